"""RFC 3261 §8.2: what is refused before anything is done for it."""

import pytest

from gateway.sip.message import Request, parse
from gateway.sip.uas import Rejection, inspect, is_sdp

from .wire import OFFER, request


def inspected(data: bytes) -> Rejection | None:
    message = parse(data)
    assert isinstance(message, Request)
    return inspect(message)


CONTACT = "Contact: <sip:alice@192.0.2.9>"


@pytest.mark.parametrize(
    "data",
    [
        request("INVITE", body=OFFER),
        request("INVITE"),
        request("INVITE", uri="sips:7000@192.0.2.1", headers=["m: sips:alice@192.0.2.9"]),
        request("INVITE", uri="tel:+7495"),
        request("INVITE", headers=[CONTACT, "Require:", "Proxy-Require: foo"]),
        request("INVITE", headers=[CONTACT, "Content-Encoding: identity"], body=OFFER),
        request("INVITE", body=OFFER).replace(b"application/sdp", b"Application/SDP ;a=b"),
        request("INVITE", body=OFFER).replace(b"Max-Forwards: 70\r\n", b""),
        request("OPTIONS", headers=["Content-Type: text/plain"], body=b"hello").replace(
            b"Content-Type: application/sdp\r\n", b""
        ),
        request("INVITE", body=OFFER).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"),
        request("OPTIONS", headers=[]).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"),
        request("OPTIONS", headers=[]).replace(b"Max-Forwards: 70", b"Max-Forwards: 000070"),
        request("BYE"),
    ],
)
def test_served(data: bytes) -> None:
    assert inspected(data) is None


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"])
def test_method(method: str) -> None:
    """
    405 names what is allowed (§8.2.1).
    """
    allow = ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY")
    assert inspected(request(method)) == Rejection(405, (allow,))


@pytest.mark.parametrize("method", ["invite", "RE%47ISTER", "NEWMETHOD"])
def test_unknown_method(method: str) -> None:
    """
    501 to what nobody has defined (§21.5.2); a method's case matters (§7.1).
    """
    rejection = inspected(request(method))
    assert rejection
    assert (rejection.status, rejection.headers[0][0]) == (501, "Allow")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/sdp", None),
        ("text/plain, Application/SDP ;q=0.5", None),
        ("application/*", None),
        ("*/*;q=0.1", None),
        ("text/plain", 406),
        ("", 406),
    ],
)
def test_accept(accept: str, status: int | None) -> None:
    """
    Who takes no session description cannot be answered (RFC 4475 §3.3.15).
    """
    rejection = inspected(request("INVITE", headers=[CONTACT, f"Accept: {accept}"], body=OFFER))
    assert (rejection and rejection.status) == status


def test_contact_of_an_old_peer() -> None:
    """
    RFC 2543 did not ask for one.
    """
    data = request("INVITE", headers=[], body=OFFER)
    assert inspected(data.replace(b";branch=z9hG4bK-1", b"")) is None


def test_uri() -> None:
    """
    A scheme that we do not serve is 416 (§8.2.2.1), a Request-URI that is none 400.
    """
    assert inspected(request("INVITE", uri="urn:service:sos")) == Rejection(416)
    assert inspected(request("INVITE", uri="sip:")) == Rejection(400, reason="Bad Request-URI")


@pytest.mark.parametrize(
    ("hops", "rejection"),
    [
        (b"256", Rejection(400, reason="Bad Max-Forwards")),
        (b"-1", Rejection(400, reason="Bad Max-Forwards")),
        (b"1_0", Rejection(400, reason="Bad Max-Forwards")),
        ("７０".encode(), Rejection(400, reason="Bad Max-Forwards")),
    ],
)
def test_hops(hops: bytes, rejection: Rejection) -> None:
    """
    What is no number from 0 to 255 is refused (§20.22); 0 is one, and here the way ends anyhow.
    """
    data = request("INVITE").replace(b"Max-Forwards: 70", b"Max-Forwards: " + hops)
    assert inspected(data) == rejection


def test_extensions() -> None:
    """
    420 names every extension that is required and not known (§8.2.2.3).
    """
    data = request("INVITE", headers=[CONTACT, "Require: 100rel, foo", "require: bar, timer"])
    assert inspected(data) == Rejection(420, (("Unsupported", "foo, bar"),))


def test_extensions_in_any_case() -> None:
    """
    An option tag is a token, and those are the same in capitals (§7.3.1).
    """
    assert inspected(request("INVITE", headers=[CONTACT, "Require: 100REL, Timer"])) is None


@pytest.mark.parametrize("contact", ["X: y", "Contact: *", "Contact: <tel:+7495>", "Contact: "])
def test_contact(contact: str) -> None:
    """
    An INVITE without a SIP Contact leads nowhere (§8.1.1.8).
    """
    rejection = Rejection(400, reason="Bad Contact")
    assert inspected(request("INVITE", headers=[contact])) == rejection


def test_replaces() -> None:
    """RFC 3891 §3: one, that can be read, in an INVITE, or 400."""
    place = "Replaces: c1;to-tag=a;from-tag=b"
    bad = Rejection(400, reason="Bad Replaces")
    assert inspected(request("INVITE", headers=[CONTACT, place])) is None
    assert inspected(request("INVITE", headers=[CONTACT, place, place])) == bad
    assert inspected(request("INVITE", headers=[CONTACT, "Replaces: c1"])) == bad
    assert inspected(request("BYE", headers=[place])) == bad


def test_content() -> None:
    """
    415 says what would do (§8.2.3).
    """
    other = request("INVITE", body=OFFER).replace(b"application/sdp", b"application/xml")
    none = request("INVITE", body=OFFER).replace(b"Content-Type: application/sdp\r\n", b"")
    packed = request("INVITE", headers=[CONTACT, "e: gzip"], body=OFFER)

    sdp = Rejection(415, (("Accept", "application/sdp"),))
    assert inspected(other) == inspected(none) == sdp
    assert inspected(packed) == Rejection(415, (("Accept-Encoding", "identity"),))


def test_is_sdp() -> None:
    message = parse(request("ACK"))
    assert isinstance(message, Request)
    assert not is_sdp(message)
