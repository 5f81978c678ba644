"""Session descriptions, RFC 8866: what is read, what is passed over, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.sdp.description import (
    Connection,
    MediaDescription,
    Origin,
    SdpError,
    SessionDescription,
    parse,
)

ASTERISK = b"""v=0\r
o=- 1545997027 1 IN IP4 198.51.100.5\r
s=Asterisk\r
c=IN IP4 198.51.100.5\r
t=0 0\r
m=audio 10224 RTP/AVP 0 8 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=ptime:20\r
a=sendrecv\r
"""


def test_a_description_is_read_line_by_line() -> None:
    """§5: the session's lines, then each medium's."""
    assert parse(ASTERISK) == SessionDescription(
        origin=Origin(1545997027, 1, "IN", "IP4", "198.51.100.5"),
        connection=Connection("IN", "IP4", "198.51.100.5"),
        time=(0, 0),
        attributes=(),
        media=(
            MediaDescription(
                kind="audio",
                port=10224,
                profile="RTP/AVP",
                formats=("0", "8", "101"),
                attributes=(
                    ("rtpmap", "0 PCMU/8000"),
                    ("rtpmap", "101 telephone-event/8000"),
                    ("fmtp", "101 0-16"),
                    ("ptime", "20"),
                    ("sendrecv", None),
                ),
            ),
        ),
    )


def test_a_description_is_written_in_the_order_of_the_rfc() -> None:
    """§5: v, o, s, c, t, a, then media with their c and a."""
    description = SessionDescription(
        origin=Origin(7, 2, "IN", "IP4", "192.0.2.1"),
        connection=Connection("IN", "IP4", "192.0.2.1"),
        attributes=(("inactive", None),),
        media=(
            MediaDescription(
                "audio",
                4000,
                "RTP/AVP",
                ("0",),
                Connection("IN", "IP6", "2001:db8::1"),
                (("ptime", "20"),),
            ),
            MediaDescription("video", 0, "RTP/AVP", ("31",)),
        ),
    )
    assert description.encode() == (
        b"v=0\r\no=gateway 7 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        b"a=inactive\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\na=ptime:20\r\n"
        b"m=video 0 RTP/AVP 31\r\n"
    )


def test_a_line_break_in_what_we_write_is_our_mistake() -> None:
    description = SessionDescription(attributes=(("tool", "x\r\nm=audio 9 RTP/AVP 0"),))
    with pytest.raises(ValueError, match="line break"):
        description.encode()


def test_lines_may_end_with_lf_alone() -> None:
    """§5: parsers SHOULD accept a single newline."""
    assert parse(ASTERISK.replace(b"\r\n", b"\n")) == parse(ASTERISK)


def test_what_does_not_matter_is_passed_over() -> None:
    """§5: unknown attributes, and here unknown lines, blank lines and a broken o= and t= too."""
    description = parse(
        b"v=0\r\no=nonsense\r\n\r\nx=1\r\nno equals sign\r\nt=tomorrow\r\nb=AS:64\r\n"
        b"a=X-Vendor:caf\xe9 \xff\r\na=flag\r\na= ptime : 30 \r\n"
    )
    assert description.origin is None
    assert description.time == (0, 0)
    assert description.attributes == (
        ("x-vendor", "caf\udce9 \udcff"),
        ("flag", None),
        ("ptime", "30"),
    )


def test_the_first_value_of_an_attribute_is_the_value() -> None:
    media = parse(b"v=0\nm=audio 1 RTP/AVP 0\na=ptime\na=ptime:30\na=ptime:40\n").media[0]
    assert media.value("ptime") == "30"
    assert media.value("maxptime") is None
    assert list(media.values("ptime")) == ["30", "40"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # several ports, of which the first is the stream's: §5.14
        (b"audio 4000/2 RTP/AVP 0", ("audio", 4000, "RTP/AVP", ("0",))),
        # FreeSWITCH and others switch fax off in every call
        (b"image 0 udptl t38", ("image", 0, "udptl", ("t38",))),
        (
            b"application 9 UDP/DTLS/SCTP webrtc-datachannel",
            ("application", 9, "UDP/DTLS/SCTP", ("webrtc-datachannel",)),
        ),
        # a medium switched off may name no format
        (b"video 0 RTP/AVP", ("video", 0, "RTP/AVP", ())),
        (b"AUDIO  4000  rtp/avp  0  8 ", ("audio", 4000, "RTP/AVP", ("0", "8"))),
    ],
)
def test_media_lines_of_all_kinds(line: bytes, expected: object) -> None:
    media = parse(b"v=0\r\nm=" + line + b"\r\n").media[0]
    assert (media.kind, media.port, media.profile, media.formats) == expected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "v=0"),
        (b"hello", "v=0"),
        (b"v=1\r\n", "v=0"),
        (b"m=audio 1 RTP/AVP 0\r\nv=0\r\n", "v=0"),
        (b"v=0\r\nm=audio\r\n", "m="),
        (b"v=0\r\nm=audio x RTP/AVP 0\r\n", "m="),
        (b"v=0\r\nm=audio 4294967296 RTP/AVP 0\r\n", "m="),  # AST-2018-002
        (b"v=0\r\nm=audio +5 RTP/AVP 0\r\n", "m="),
        (b"v=0\r\nm=audio 1_0 RTP/AVP 0\r\n", "m="),
        ("v=0\r\nm=audio １２ RTP/AVP 0\r\n".encode(), "m="),
        ("v=0\r\nm=audio 4² RTP/AVP 0\r\n".encode(), "m="),
        (b"v=0\r\nm=audio -1 RTP/AVP 0\r\n", "m="),
        (b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n", "65535"),
        (b"v=0\r\nc=IN IP4\r\n", "c="),
        (b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 1 RTP/AVP 0\r\nc=\r\n", "c="),
        (b"v=0\r\na=fmtp:101 0-\x0015\r\n", "control"),  # AST-2018-003
        (b"v=0\r\na=x\ry\r\n", "control"),
    ],
)
def test_what_would_change_the_meaning_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(SdpError, match=text) as refusal:
        parse(body)
    assert refusal.value.warning == 399


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (b"v=0\r\na=" + b"x" * 16372 + b"\r\n", b"v=0\r\na=" + b"x" * 16376 + b"\r\n"),
        (b"v=0\r\n" + b"a=x\r\n" * 63, b"v=0\r\n" + b"a=x\r\n" * 64),
        (
            b"v=0\r\nm=audio 1 RTP/AVP 0\r\n" + b"a=x\r\n" * 63,
            b"v=0\r\nm=audio 1 RTP/AVP 0\r\n" + b"a=x\r\n" * 64,
        ),
        (b"v=0\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * 8, b"v=0\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * 9),
        (b"v=0\r\nm=audio 1 RTP/AVP" + b" 0" * 32, b"v=0\r\nm=audio 1 RTP/AVP" + b" 0" * 33),
    ],
    ids=["bytes", "session lines", "media lines", "media", "formats"],
)
def test_limits(within: bytes, beyond: bytes) -> None:
    parse(within)
    with pytest.raises(SdpError) as refusal:
        parse(beyond)
    assert refusal.value.warning == 399


def test_line_ends_of_other_alphabets_end_no_line() -> None:
    """What str.splitlines() takes for a line break is part of the text."""
    text = "v=0\r\na=x:1\x0b2\x1c3\x854\u20285\r\n"
    assert parse(text.encode()).attributes == (("x", "1\x0b2\x1c3\x854\u20285"),)


LINES = st.sampled_from(
    [
        b"v=0",
        b"o=- 1 1 IN IP4 192.0.2.1",
        b"c=IN IP4 192.0.2.1",
        b"c=IN IP6 ::1",
        b"t=0 0",
        b"m=audio 4000 RTP/AVP 0 8 101",
        b"m=video 0 RTP/AVP",
        b"a=rtpmap:101 telephone-event/8000",
        b"a=sendonly",
        b"a=",
        b"a=:",
        b"m=",
    ]
)
NOISY = st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=20).map(
    lambda lines: b"\r\n".join([b"v=0", *lines, b""])
)


@given(st.one_of(st.binary(max_size=300), NOISY))
@example(b"v=0\r\n" + b"m=audio 1 RTP/AVP" + b" " * 16000 + b"\x01")
@example(b"v=0\r\no=" + b" " * 16000)
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    """A value or SdpError; and what was read is read again from what we write of it."""
    try:
        description = parse(data)
    except SdpError:
        return
    assert parse(description.encode()) == description
