"""What arrived, counted: RFC 3550 §6.4.1 and A.3 (loss), A.8 (jitter). Pure.

Counts what the network did; what the listener missed is in reorder.py. Loss is
expected less received, so a duplicate hides a loss, and it may be negative, as the RFC has it.
The call's counts are over all it received; `stream` is what a report says of the present SSRC.
"""

from __future__ import annotations

from typing import NamedTuple

from .packet import MAX_DROPOUT, MAX_MISORDER, Packet, sequence_delta, timestamp_delta
from .succession import Settled


class Stream(NamedTuple):
    """What came of one SSRC since it began, or began anew. §6.4.1."""

    ssrc: int
    first: int  # sequence
    expected: int  # packets
    received: int
    jitter: int  # timestamp units

    @property
    def highest(self) -> int:
        """The latest sequence, with its cycles above the 16 bits."""
        return (self.first + self.expected - 1) & 0xFFFFFFFF


class Reception:
    """The statistics of one call's incoming stream, over every SSRC it has had."""

    def __init__(self, clock_rate: int) -> None:
        self.received = 0
        self._clock_rate = clock_rate  # Hz
        self._ssrc: int | None = None
        self._next = 0  # sequence
        self._expected = 0
        self._first = 0  # sequence of the present stream
        self._before = (0, 0)  # expected and received in those before it
        self._timestamp: int | None = None
        self._arrival = 0.0  # s
        self._jitter = 0.0  # in timestamp units

    @property
    def lost(self) -> int:
        return self._expected - self.received

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000 / self._clock_rate

    @property
    def expected(self) -> int:
        """Packets that were sent to us, as far as their sequence tells."""
        return self._expected

    @property
    def stream(self) -> Stream | None:
        """The present stream; None before the first packet."""
        if self._ssrc is None:
            return None
        expected, received = self._expected - self._before[0], self.received - self._before[1]
        return Stream(self._ssrc, self._first, expected, received, int(self._jitter))

    def retime(self, clock_rate: int) -> None:
        """Go on at another clock rate (Hz): the payload type changed. RFC 7160 §4."""
        self._jitter *= clock_rate / self._clock_rate
        self._clock_rate, self._timestamp = clock_rate, None

    @property
    def jitter(self) -> float:
        """RFC 3550 §A.8, in timestamp units."""
        return self._jitter

    def is_at(self, packet: Packet) -> bool:
        """Whether this packet of sound is the newest."""
        return (
            self._next == (packet.sequence + 1) & 0xFFFF
            and self._timestamp == packet.timestamp
            and self._ssrc == packet.ssrc
        )

    def settle(self, settled: Settled) -> None:
        """Count packets of sound that were next, after one that it `is_at`."""
        self.received += settled.packets
        self._expected += settled.packets
        self._next = (self._next + settled.packets) & 0xFFFF
        assert self._timestamp is not None
        self._timestamp = (self._timestamp + settled.samples) & 0xFFFFFFFF
        self._arrival, self._jitter = settled.arrival, settled.jitter

    def forget(self) -> None:
        """What comes next begins anew: what came meanwhile was counted elsewhere."""
        self._ssrc = None

    def receive(self, packet: Packet, samples: int, now: float) -> None:
        """Count a packet of the locked source.

        `samples`: how long its sound is in timestamp units. 0 for what is no sound
        (telephone-event, comfort noise): its timestamp stands still and says nothing of jitter.
        """
        self.received += 1
        if packet.sequence == self._next and packet.ssrc == self._ssrc:
            self._expected += 1
            self._next = (packet.sequence + 1) & 0xFFFF
        else:
            self._jump(packet)
        if not samples:
            return
        if self._timestamp is not None:
            spacing = timestamp_delta(packet.timestamp, self._timestamp)
            difference = abs((now - self._arrival) * self._clock_rate - spacing)
            if difference < self._clock_rate:  # a second: the timestamps were set anew
                self._jitter += (difference - self._jitter) / 16
        self._timestamp, self._arrival = packet.timestamp, now

    def _jump(self, packet: Packet) -> None:
        ahead = sequence_delta(packet.sequence, self._next)
        if packet.ssrc != self._ssrc or not -MAX_MISORDER <= ahead < MAX_DROPOUT:
            self._before = self._expected, self.received - 1
            self._ssrc, self._first, self._timestamp = packet.ssrc, packet.sequence, None
            ahead = 0
        if ahead >= 0:
            self._expected += ahead + 1
            self._next = (packet.sequence + 1) & 0xFFFF
