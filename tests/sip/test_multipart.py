"""RFC 2046 §5.1 and RFC 5621: the session description among other parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.message import Headers, Request, Response, parse
from gateway.sip.multipart import session_description, unwrapped

from .wire import OFFER, request

MIXED = "multipart/mixed;boundary=b1"


def part(*headers: str, content: bytes = b"x") -> bytes:
    return "".join(f"{line}\r\n" for line in headers).encode() + b"\r\n" + content


def body(*parts: bytes, boundary: bytes = b"b1") -> bytes:
    """Each part behind its boundary, and the last boundary."""
    cut = b"\r\n--" + boundary
    return b"".join(cut + b"\r\n" + it for it in parts)[2:] + cut + b"--\r\n"


SDP = part("Content-Type: application/sdp", content=OFFER)
ISUP = part(
    "Content-Type: application/ISUP;version=nxv3",
    "Content-Disposition: signal;handling=optional",
    content=b"\x01\x00--b\r\n\r\n\xff",
)


def found(data: bytes, kind: str = MIXED) -> bytes | None:
    return session_description(Headers([("Content-Type", kind)]), data)


@pytest.mark.parametrize(
    "data",
    [
        body(SDP),
        body(ISUP, SDP),
        body(SDP, ISUP),
        body(SDP, part("Content-Type: application/sdp", content=b"v=0 of another\r\n")),
        body(*[part()] * 7, SDP),
        b"a preamble\r\n--b1x\r\n\r\n" + body(SDP) + b"an epilogue\r\n--b1\r\n\r\n",
        body(SDP).replace(b"--b1\r\n", b"--b1 \t\r\n"),
        body(part("c: Application/SDP; x=y", "Content-Disposition: Session", content=OFFER)),
        body(part("Content-Type:\r\n application/sdp", content=OFFER)),
        body(part("Content-Type: application/sdp", "nonsense", content=OFFER)),
        body(part("Content-Type: application/sdp", "e: identity", content=OFFER)),
        body(
            part("Content-Type: application/sdp", "Content-Transfer-Encoding: 8bit", content=OFFER)
        ),
    ],
)
def test_found(data: bytes) -> None:
    """
    The first part that is a session description, wherever it stands, to its last byte.
    """
    assert found(data) == OFFER


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ('multipart/mixed;boundary="b 1"', b"b 1"),
        ("Multipart/Alternative ; Boundary=gc0p4Jq0M2Yt08j34c0p", b"gc0p4Jq0M2Yt08j34c0p"),
        ("multipart/related;type=x;boundary='()+_,-./:=?", b"'()+_,-./:=?"),
    ],
)
def test_kinds_and_boundaries(kind: str, boundary: bytes) -> None:
    assert found(body(SDP, ISUP, boundary=boundary), kind) == OFFER


def test_plain() -> None:
    """
    A body that is itself one needs no parts.
    """
    assert found(OFFER, "Application/SDP;charset=x") == OFFER
    assert found(OFFER, "text/plain") is None
    assert session_description(Headers(), OFFER) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--b1--",
        b"--b1",
        OFFER,
        body(),
        body(ISUP),
        body(SDP)[:-6],  # not closed
        body(SDP).replace(b"--b1", b"--b2"),
        body(*[part()] * 8, SDP),
        body(b"", SDP),
        body(b"no headers", SDP),
        b"--b1\r\n" * 10_000,
        body(part("Content-Type: application/sdp", "Content-Encoding: gzip", content=OFFER)),
        body(
            part(
                "Content-Type: application/sdp",
                "Content-Transfer-Encoding: base64",
                content=b"dg==",
            )
        ),
        body(part("Content-Type: application/sdp", "Content-Disposition: early-session")),
        body(SDP, part("Content-Type: x/y", "Content-Disposition: render; Handling=Required")),
        body(part("Content-Type: multipart/mixed;boundary=b2", content=body(SDP, boundary=b"b2"))),
    ],
)
def test_none(data: bytes) -> None:
    """
    Too many parts, no end, another encoding or purpose, a part within a part, or a part that has
    to be understood and is not (§20.11).
    """
    assert found(data) is None


@pytest.mark.parametrize(
    "kind",
    [
        *("multipart/mixed", "multipart/mixed;boundary", 'multipart/mixed;boundary=""'),
        *("multipart/mixed;boundary=" + "b" * 71, "multipart/mixed;boundary=b\udcff"),
        *("multipart/signed;boundary=b1", "multipart/mixed;boundary=b1@"),
    ],
)
def test_bad_kind(kind: str) -> None:
    assert found(body(SDP), kind) is None


def test_unwrapped() -> None:
    """
    Whoever looks at the body sees the session; nothing else of the message changes.
    """
    data = request("INVITE", body=body(ISUP, SDP))
    message = parse(
        data.replace(
            b"application/sdp\r\nContent-Length", b"multipart/mixed; boundary=b1\r\nContent-Length"
        )
    )
    assert isinstance(message, Request)
    others = [pair for pair in message.headers if pair[0] != "Content-Type"]

    plain = unwrapped(message)

    assert plain.body == OFFER
    assert plain.headers.get("Content-Type") == "application/sdp"
    assert [pair for pair in plain.headers if pair[0] != "Content-Type"] == others


def test_left_alone() -> None:
    """
    One that has no such part, so that it is refused for what it is; and a response.
    """
    invite = parse(request("INVITE", body=OFFER))
    assert isinstance(invite, Request)
    answer = Response(200, "OK", Headers([("Content-Type", MIXED)]), body(ISUP))

    assert unwrapped(invite) is invite
    assert unwrapped(answer) is answer


@given(
    st.lists(
        st.sampled_from([b"--b1", b"--b1--", b"\r\n", b"\n", b":", b"c: application/sdp", b"v=0"])
    )
)
def test_arbitrary_parts(pieces: list[bytes]) -> None:
    """
    Whatever the bytes: a piece of them, or None.
    """
    data = b"".join(pieces)
    sdp = found(data)
    assert sdp is None or sdp in data
