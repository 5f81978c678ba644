"""Packets in order, missing time named: RFC 3550's sequence and timestamp, without a delay. Pure.

A model is no loudspeaker: it needs order and duration, not even arrival. So a packet
that is next passes at once, however late it is; only behind a hole packets wait, until the
missing one comes, 60 ms of later sound are there, or 60 ms have passed.

Time is exact: from the first packet to the last, the samples of the packets and of the `Gap`s
add up to what the timestamp advanced. A gap says how much time has no packet: lost (the
sequence jumped too) or not sent (it did not: silence suppression, or a digit in its place). More
than 500 ms is no gap: the stream was set anew, and time goes on from the new timestamp; as it does
after another SSRC, a backward timestamp, or a jump in sequence that RFC 3550 A.1 calls a restart.

Digits and comfort noise share the sequence but not the timeline: a packet of 0 `samples`
counts where loss is judged and is not returned. Hand it to its receiver as it arrives.

Left out on purpose: which source is believed (source.py), how a gap sounds (the line).
"""

from __future__ import annotations

from dataclasses import dataclass

from .packet import MAX_DROPOUT, MAX_MISORDER, Packet, sequence_delta, timestamp_delta

HOLD = 0.06  # s
LONGEST_GAP = 0.5  # s
MAX_HELD = 64  # packets, whatever their length


@dataclass(frozen=True, slots=True)
class Gap:
    """Time for which there is no packet."""

    timestamp: int  # of its first sample
    samples: int  # in timestamp units
    lost: bool  # False: nothing was sent


@dataclass(frozen=True, slots=True)
class _Held:
    packet: Packet
    samples: int
    arrival: float


class Reorder:
    """One call's incoming stream, put in order.

    `deadline` (s, monotonic) is when `handle_timer` is next due; None while nothing waits.
    The counts are the listener's: `lost` never came, `late` came when its time was over.
    """

    def __init__(self, clock_rate: int) -> None:
        self.deadline: float | None = None
        self.lost = 0
        self.late = 0
        self.duplicates = 0
        self._hold_samples = int(HOLD * clock_rate)
        self._longest_gap = int(LONGEST_GAP * clock_rate)
        self._ssrc: int | None = None
        self._next = 0  # sequence
        self._expected: int | None = None  # timestamp
        self._skipped = False  # a sequence number was given up since the last sound
        self._held: dict[int, _Held] = {}  # by sequence
        self._given_up: dict[int, None] = {}  # sequences, oldest first

    def push(self, packet: Packet, samples: int, now: float) -> list[Packet | Gap]:
        """Take a packet of the locked source; return what can be heard now, in order.

        `samples`: how long its sound is in timestamp units; 0 for what is no sound.
        """
        if packet.sequence != self._next or packet.ssrc != self._ssrc or self._held:
            return self._out_of_order(packet, samples, now)
        self._next = (packet.sequence + 1) & 0xFFFF
        if samples and packet.timestamp == self._expected and not self._skipped:
            self._expected = (packet.timestamp + samples) & 0xFFFFFFFF
            return [packet]
        return self._deliver(packet, samples)

    def handle_timer(self, now: float) -> list[Packet | Gap]:
        """Give up every hole that has been open for 60 ms."""
        out: list[Packet | Gap] = []
        while self.deadline is not None and self.deadline <= now:
            out += self._give_up()
        return out

    def _out_of_order(self, packet: Packet, samples: int, now: float) -> list[Packet | Gap]:
        ahead = sequence_delta(packet.sequence, self._next)
        if packet.ssrc != self._ssrc or not -MAX_MISORDER <= ahead < MAX_DROPOUT:
            return self._restart(packet, samples)
        if ahead < 0:
            self._count_stray(packet.sequence)
            return []
        if packet.sequence in self._held:
            self.duplicates += 1
            return []
        self._held[packet.sequence] = _Held(packet, samples, now)
        out = self._release()
        while self._full():
            out += self._give_up()
        return out

    def _restart(self, packet: Packet, samples: int) -> list[Packet | Gap]:
        """Another stream begins: what waits is said first, holes and all."""
        out: list[Packet | Gap] = []
        while self._held:
            out += self._give_up()
        self._given_up.clear()
        self._ssrc, self._expected, self._skipped = packet.ssrc, None, False
        self._next = (packet.sequence + 1) & 0xFFFF
        return out + self._deliver(packet, samples)

    def _count_stray(self, sequence: int) -> None:
        if sequence in self._given_up:
            del self._given_up[sequence]
            self.late += 1
            self.lost -= 1
        else:
            self.duplicates += 1

    def _full(self) -> bool:
        """Whether 60 ms of later sound wait, in at least two packets."""
        held = self._held
        if len(held) < 2:
            return False
        return sum(h.samples for h in held.values()) >= self._hold_samples or len(held) > MAX_HELD

    def _give_up(self) -> list[Packet | Gap]:
        """Skip the first hole."""
        first = min(self._held, key=lambda sequence: sequence_delta(sequence, self._next))
        hole = sequence_delta(first, self._next)
        self.lost += hole
        self._skipped = True
        for missing in range(max(0, hole - MAX_MISORDER), hole):
            self._given_up[(self._next + missing) & 0xFFFF] = None
        while len(self._given_up) > MAX_MISORDER:
            del self._given_up[next(iter(self._given_up))]
        self._next = first
        return self._release()

    def _release(self) -> list[Packet | Gap]:
        """Everything that is next, and when the hole behind it is due."""
        out: list[Packet | Gap] = []
        while held := self._held.pop(self._next, None):
            self._next = (self._next + 1) & 0xFFFF
            out += self._deliver(held.packet, held.samples)
        oldest = min((held.arrival for held in self._held.values()), default=None)
        self.deadline = None if oldest is None else oldest + HOLD
        return out

    def _deliver(self, packet: Packet, samples: int) -> list[Packet | Gap]:
        if not samples:
            return []
        out: list[Packet | Gap] = [packet]
        if self._expected is not None:
            ahead = timestamp_delta(packet.timestamp, self._expected)
            if 0 < ahead <= self._longest_gap:
                out.insert(0, Gap(self._expected, ahead, self._skipped))
        self._expected = (packet.timestamp + samples) & 0xFFFFFFFF
        self._skipped = False
        return out
