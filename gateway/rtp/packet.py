"""RTP packets: RFC 3550 §5.1, read and written by struct. Pure.

This is the hottest path of the gateway, so the plain 12-byte header is read without a loop.
CSRCs and header extensions are stepped over and not kept; RTCP is told apart, not read.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADER = struct.Struct("!BBHII")  # of a packet without CSRCs and extensions
_new = tuple.__new__
HEADER_BYTES = HEADER.size

MAX_DROPOUT = 3000  # packets ahead of the last one that still continue a stream, RFC 3550 A.1
MAX_MISORDER = 100  # packets behind it that do


class RtpError(ValueError):
    """A datagram that is no RTP packet; it is dropped and counted, never answered."""


class Packet(NamedTuple):
    payload_type: int
    sequence: int  # 16 bits, wraps
    timestamp: int  # 32 bits, wraps; counted at the payload type's clock rate
    ssrc: int
    payload: bytes
    marker: bool = False


def parse(data: bytes) -> Packet:
    """Read a datagram. Raises RtpError, and nothing else, where its lengths contradict it."""
    if len(data) < HEADER_BYTES:
        raise RtpError("shorter than a header")
    flags, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    payload = data[HEADER_BYTES:] if flags == 0x80 else _payload(flags, data)
    # Past the named tuple's own __new__, which costs a third of this function.
    return _new(Packet, (kind & 0x7F, sequence, timestamp, ssrc, payload, kind > 0x7F))


def _payload(flags: int, data: bytes) -> bytes:
    """What is left between CSRCs, a header extension (§5.3.1) and padding."""
    if flags >> 6 != 2:
        raise RtpError("not version 2")
    start = HEADER_BYTES + 4 * (flags & 0x0F)
    if flags & 0x10:
        words = int.from_bytes(data[start + 2 : start + 4], "big")  # 0 when it is cut off
        start += 4 + 4 * words
    padding = data[-1] if flags & 0x20 else 0
    if flags & 0x20 and padding == 0:
        raise RtpError("padding without a length")
    end = len(data) - padding
    if end < start:
        raise RtpError("shorter than its header says")
    return data[start:end]


def encode(packet: Packet) -> bytes:
    """Write a packet. Sequence and timestamp are taken modulo 2^16 and 2^32."""
    payload_type, sequence, timestamp, ssrc, payload, marker = packet
    kind = payload_type | 0x80 if marker else payload_type
    return HEADER.pack(0x80, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on an RTP port is RTCP: packet types 192 to 223, RFC 5761 §4."""
    return len(data) > 1 and 192 <= data[1] <= 223


def sequence_delta(later: int, earlier: int) -> int:
    """How far `later` is ahead of `earlier`, modulo 2^16: -32768 to 32767."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def timestamp_delta(later: int, earlier: int) -> int:
    """How far `later` is ahead of `earlier`, modulo 2^32: -2^31 to 2^31 - 1."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000
