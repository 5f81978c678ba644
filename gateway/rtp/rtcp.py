"""RTCP packets: RFC 3550 §6, read and written by struct. Pure.

A datagram is a compound of packets, or with reduced size (RFC 5506) any one of them: what comes is
taken in either form, what we write begins with a report and names us (§6.1). Its lengths
must add up exactly, as A.2 asks. What is read: sender and receiver reports (with a profile's
extension after the blocks, §6.4.3, which is stepped over), CNAMEs, goodbyes, and of extended
reports (RFC 3611) the delay behind the far end's ear. Any other packet or block is stepped over.

aiortc's rtp.py reads the same packets and raises nothing but ValueError (60,000 broken datagrams).
It is not used because importing it brings 53 MB of codecs and ciphers in 0.2 s for these few
structures, and because it refuses a report with a profile's extension, datagram and all.

Left out on purpose: SDES items other than CNAME, APP (§6.7), feedback for video (RFC 4585), and the
reason of a BYE: nothing of the gateway's depends on them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .packet import RtpError

SENDER_REPORT, RECEIVER_REPORT, DESCRIPTION, BYE, EXTENDED = 200, 201, 202, 203, 207
CNAME = 1  # the item, §6.5.1
VOIP_METRICS = 7  # the block, RFC 3611 §4.7

_HEADER = struct.Struct("!BBH")
_SSRC = struct.Struct("!I")
_SENDER = struct.Struct("!QIII")
_BLOCK = struct.Struct("!IIIIII")
_UNIX_EPOCH = 2_208_988_800  # s after 1900, where NTP begins


class ReportBlock(NamedTuple):
    """What the sender of a report received of one SSRC. §6.4.1."""

    ssrc: int
    fraction: int  # lost since the last report, in 1/256
    lost: int  # of all; 24 bits, signed: duplicates make it negative
    highest: int  # sequence, with its cycles above the 16 bits
    jitter: int  # timestamp units
    last_sr: int  # the middle 32 bits of the NTP time in our last sender report; 0: none
    delay: int  # since that came, in 1/65536 s


class SenderInfo(NamedTuple):
    """What the sender of a report sent. §6.4.1."""

    ntp: int  # 64 bits: seconds since 1900 and their fraction
    timestamp: int  # of RTP, at the same moment
    packets: int
    octets: int  # of payload


@dataclass(frozen=True, slots=True)
class Report:
    """SR where it has a `sender`, else RR."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()
    sender: SenderInfo | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """SDES, of which the CNAMEs are kept: SSRC and name."""

    names: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """These SSRCs are no more. §6.6."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """Of an extended report: how far what arrives is from being heard. RFC 3611 §4.7.3, §4.7.6."""

    ssrc: int  # of the stream that is received
    end_system_delay: int  # ms, buffer, codec and echo path; 0: unknown
    jitter_buffer: int  # ms, nominal


ControlPacket = Report | Description | Bye | VoipMetrics


def ntp(wall: float) -> int:
    """A wall-clock time (s since 1970) as an NTP timestamp of 64 bits. §4."""
    seconds, fraction = divmod(int(wall * 65536) << 16, 1 << 32)
    return (seconds + _UNIX_EPOCH & 0xFFFFFFFF) << 32 | fraction


def parse(data: bytes) -> list[ControlPacket]:
    """Read a datagram. Raises RtpError, and nothing else, where its lengths contradict it."""
    packets: list[ControlPacket] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise RtpError("shorter than an RTCP header")
        flags, kind, words = _HEADER.unpack_from(data, at)
        if flags >> 6 != 2:
            raise RtpError("not version 2")
        end = at + 4 + 4 * words
        if end > len(data):
            raise RtpError("shorter than its RTCP header says")
        body = data[at + 4 : end]
        if flags & 0x20:
            body = _unpadded(body, last=end == len(data))
        packets += _read(kind, flags & 0x1F, body)
        at = end
    if not data:
        raise RtpError("an empty datagram")
    return packets


def _unpadded(body: bytes, *, last: bool) -> bytes:
    """Only the last packet of a compound may be padded, by whole words. §6.4.1."""
    padding = body[-1] if body else 0
    if not last or not padding or padding % 4 or padding > len(body):
        raise RtpError("false RTCP padding")
    return body[:-padding]


def _read(kind: int, count: int, body: bytes) -> list[ControlPacket]:
    if kind in (SENDER_REPORT, RECEIVER_REPORT):
        return [_report(kind, count, body)]
    if kind == DESCRIPTION:
        return [_description(count, body)]
    if kind == BYE:
        if len(body) < 4 * count:
            raise RtpError("a BYE shorter than its SSRCs")
        return [Bye(struct.unpack_from(f"!{count}I", body))]
    return list(_extended(body)) if kind == EXTENDED else []


def _report(kind: int, count: int, body: bytes) -> Report:
    start = 4 + (_SENDER.size if kind == SENDER_REPORT else 0)
    if len(body) < start + _BLOCK.size * count:
        raise RtpError("a report shorter than its blocks")
    sender = SenderInfo._make(_SENDER.unpack_from(body, 4)) if kind == SENDER_REPORT else None
    blocks = tuple(_block(body, start + _BLOCK.size * n) for n in range(count))
    return Report(_SSRC.unpack_from(body)[0], blocks, sender)


def _block(body: bytes, at: int) -> ReportBlock:
    ssrc, loss, highest, jitter, last_sr, delay = _BLOCK.unpack_from(body, at)
    lost = loss & 0xFFFFFF
    lost -= (lost & 0x800000) << 1  # the sign
    return ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_sr, delay)


def _description(count: int, body: bytes) -> Description:
    """Chunks of an SSRC, items and at least one zero, filled up to whole words. §6.5."""
    names: list[tuple[int, bytes]] = []
    at = 0
    for _ in range(count):
        if len(body) - at < 4:
            raise RtpError("SDES shorter than its chunks")
        (ssrc,) = _SSRC.unpack_from(body, at)
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise RtpError("an SDES item longer than its packet")
            kind, start, at = body[at], at + 2, at + 2 + body[at + 1]
            if kind == CNAME:
                names.append((ssrc, body[start:at]))
        at += 4 - at % 4
    return Description(tuple(names))


def _extended(body: bytes) -> Sequence[VoipMetrics]:
    """The blocks of an extended report that concern us. RFC 3611 §2 and §3."""
    if len(body) < 4:
        raise RtpError("an extended report without an SSRC")
    metrics: list[VoipMetrics] = []
    at = 4
    while at < len(body):
        size = 4 + 4 * int.from_bytes(body[at + 2 : at + 4], "big")
        if at + size > len(body):
            raise RtpError("an extended report shorter than its blocks")
        if body[at] == VOIP_METRICS and size == 36:
            (ssrc,) = _SSRC.unpack_from(body, at + 4)
            (delay,) = struct.unpack_from("!H", body, at + 18)
            (nominal,) = struct.unpack_from("!H", body, at + 30)
            metrics.append(VoipMetrics(ssrc, delay, nominal))
        at += size
    return metrics


def encode(packets: Sequence[Report | Description | Bye]) -> bytes:
    """Write a datagram. ValueError or struct.error where a number does not fit: our mistake."""
    return b"".join(map(_write, packets))


def _write(packet: Report | Description | Bye) -> bytes:
    match packet:
        case Report(ssrc, blocks, sender):
            kind = RECEIVER_REPORT if sender is None else SENDER_REPORT
            body = _SSRC.pack(ssrc) + (b"" if sender is None else _SENDER.pack(*sender))
            return _framed(kind, len(blocks), body + b"".join(map(_write_block, blocks)))
        case Description(names):
            chunks = (_chunk(ssrc, name) for ssrc, name in names)
            return _framed(DESCRIPTION, len(names), b"".join(chunks))
        case Bye(ssrcs):
            return _framed(BYE, len(ssrcs), struct.pack(f"!{len(ssrcs)}I", *ssrcs))


def _framed(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _write_block(block: ReportBlock) -> bytes:
    loss = block.fraction << 24 | block.lost & 0xFFFFFF
    return _BLOCK.pack(block.ssrc, loss, *block[3:])


def _chunk(ssrc: int, name: bytes) -> bytes:
    chunk = _SSRC.pack(ssrc) + bytes((CNAME, len(name))) + name
    return chunk + bytes(4 - len(chunk) % 4)
