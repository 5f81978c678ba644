"""RTP packets, RFC 3550 §5.1: the header, everything that may stand behind it, and its limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.packet import (
    Packet,
    RtpError,
    encode,
    is_rtcp,
    parse,
    sequence_delta,
    timestamp_delta,
)

HEADER = bytes.fromhex("8000 0102 03040506 0708090a")


def test_a_plain_packet() -> None:
    assert parse(HEADER + b"sound") == Packet(0, 0x0102, 0x03040506, 0x0708090A, b"sound", False)


def test_the_marker_is_the_top_bit_of_the_payload_type() -> None:
    packet = parse(bytes.fromhex("80e5 0102 03040506 0708090a"))
    assert (packet.marker, packet.payload_type, packet.payload) == (True, 101, b"")


def test_contributors_extension_and_padding_are_stepped_over() -> None:
    """§5.1 CC and P, §5.3.1 X."""
    contributors = b"\1\2\3\4" * 2
    extension = bytes.fromhex("bede 0001 10ff0000")
    data = b"\xb2" + HEADER[1:] + contributors + extension + b"sound" + b"\0\0\3"
    assert parse(data).payload == b"sound"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "header"),
        (HEADER[:11], "header"),
        (b"\x00" + HEADER[1:], "version"),
        (b"\x40" + HEADER[1:], "version"),
        (b"\xc0" + HEADER[1:], "version"),
        (b"\x8f" + HEADER[1:] + b"\1" * 59, "shorter"),  # 15 contributors are 60 bytes
        (b"\x90" + HEADER[1:] + b"\0\0\0", "shorter"),  # no room for the extension's header
        (b"\x90" + HEADER[1:] + b"\0\0\xff\xff", "shorter"),
        (b"\xa0" + HEADER[1:] + b"\0", "padding"),
        (b"\xa0" + HEADER[1:] + b"\2", "shorter"),
    ],
)
def test_false_lengths_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(RtpError, match=text):
        parse(data)


def test_padding_may_be_all_there_is() -> None:
    assert parse(b"\xa0" + HEADER[1:] + b"\0\2").payload == b""


def test_numbers_wrap_when_written() -> None:
    """§5.1: the sequence is 16 bits, the timestamp 32."""
    data = encode(Packet(8, 65536 + 5, (1 << 32) + 160, 1, b"x", True))
    assert data == bytes.fromhex("8088 0005 000000a0 00000001") + b"x"


@pytest.mark.parametrize(
    ("data", "rtcp"),
    [
        (bytes.fromhex("80c8 0006"), True),  # sender report
        (bytes.fromhex("81cb 0001"), True),  # bye
        (bytes.fromhex("80df"), True),
        (bytes.fromhex("80bf"), False),
        (bytes.fromhex("80e0"), False),  # marker and payload type 96
        (bytes.fromhex("8000"), False),
        (b"\x80", False),
    ],
)
def test_rtcp_is_told_apart(data: bytes, rtcp: bool) -> None:
    """RFC 5761 §4."""
    assert is_rtcp(data) is rtcp


def test_differences_are_modular() -> None:
    assert sequence_delta(2, 65534) == 4
    assert sequence_delta(65534, 2) == -4
    assert sequence_delta(0x8000, 0) == -0x8000
    assert timestamp_delta(160, (1 << 32) - 160) == 320
    assert timestamp_delta((1 << 32) - 160, 160) == -320


@given(st.binary(max_size=100))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        packet = parse(data)
    except RtpError:
        return
    assert parse(encode(packet)) == packet
    assert packet.payload in data
