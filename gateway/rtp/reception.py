"""What arrived, counted: RFC 3550 §6.4.1 and A.3 (loss), A.8 (jitter). Pure.

Counts what the network did; what the listener missed is in reorder.py. Loss is
expected less received, so a duplicate hides a loss, and it may be negative, as the RFC has it.
"""

from __future__ import annotations

from .packet import MAX_DROPOUT, MAX_MISORDER, Packet, sequence_delta, timestamp_delta


class Reception:
    """The statistics of one call's incoming stream, over every SSRC it has had."""

    def __init__(self, clock_rate: int) -> None:
        self.received = 0
        self._clock_rate = clock_rate  # Hz
        self._ssrc: int | None = None
        self._next = 0  # sequence
        self._expected = 0
        self._timestamp: int | None = None
        self._arrival = 0.0  # s
        self._jitter = 0.0  # in timestamp units

    @property
    def lost(self) -> int:
        return self._expected - self.received

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000 / self._clock_rate

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
            self._ssrc, self._timestamp = packet.ssrc, None
            ahead = 0
        if ahead >= 0:
            self._expected += ahead + 1
            self._next = (packet.sequence + 1) & 0xFFFF
