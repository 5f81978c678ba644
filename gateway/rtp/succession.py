"""Packets that follow one another exactly: the short way for nearly all there are. Pure.

Who has judged a packet by all the rules (source.py, reception.py, reorder.py) knows what the next
one will be like: its length, payload type, sequence, timestamp and SSRC. A packet that is just so
changes nothing in what they know but counts, so it is only counted here, at a quarter of the work;
`settle` tells them all of it, before anybody asks or another packet goes the long way.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .packet import HEADER_BYTES, Packet

_HEADER = struct.Struct("!HHII")
_PLAIN = 0x8000  # version 2, and nothing else in the first two bytes than the payload type


class Settled(NamedTuple):
    """What came since the last time."""

    packets: int
    samples: int  # in timestamp units
    arrival: float  # s, of the last one
    jitter: float  # RFC 3550 §A.8, in timestamp units, now


class Succession:
    """What follows a `packet` that was the newest of its stream, and in its place.

    `samples` is how long each is in timestamp units of `clock_rate` Hz; the jitter before it and
    its arrival (s) go on from there.
    """

    __slots__ = (
        "_arrival", "_clock_rate", "_count", "_jitter", "_kind", "_length", "_samples",
        "_sequence", "_ssrc", "_timestamp",
    )  # fmt: skip

    def __init__(
        self, packet: Packet, samples: int, clock_rate: int, jitter: float, arrival: float
    ) -> None:
        self._kind = _PLAIN | packet.payload_type
        self._length = HEADER_BYTES + len(packet.payload)
        self._sequence = (packet.sequence + 1) & 0xFFFF
        self._timestamp = (packet.timestamp + samples) & 0xFFFFFFFF
        self._ssrc = packet.ssrc
        self._samples = samples
        self._clock_rate = clock_rate
        self._jitter = jitter
        self._arrival = arrival
        self._count = 0

    def take(self, data: bytes, now: float) -> bytes | None:
        """The payload of the datagram that is next; None: it has to go the long way."""
        if len(data) != self._length:
            return None
        kind, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        if (
            sequence != self._sequence
            or timestamp != self._timestamp
            or ssrc != self._ssrc
            or kind != self._kind
        ):
            return None
        samples = self._samples
        difference = abs((now - self._arrival) * self._clock_rate - samples)
        if difference >= self._clock_rate:
            return None
        self._jitter += (difference - self._jitter) / 16
        self._arrival = now
        self._sequence = (sequence + 1) & 0xFFFF
        self._timestamp = (timestamp + samples) & 0xFFFFFFFF
        self._count += 1
        return data[HEADER_BYTES:]

    def settle(self) -> Settled | None:
        """What is not told yet; None: nothing."""
        count, self._count = self._count, 0
        if not count:
            return None
        return Settled(count, count * self._samples, self._arrival, self._jitter)
