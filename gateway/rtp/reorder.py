"""Packets in order, missing time named: RFC 3550's sequence and timestamp, without a delay. Pure.

A model is no loudspeaker: it needs order and duration, not even arrival. So a packet
that is next passes at once, however late it is; only behind a hole packets wait, until the
missing one comes, the hold has passed, or so much of later sound is there.

The hold follows the path. It is 60 ms at first, which sorts what networks usually mix up; 20 ms
once for 30 s nothing came that needed more, so that on a path that keeps order a loss does not
delay what follows for longer; 60 ms again at the first packet that came too late for 20; 100 ms
after three within 10 s that came too late for 60. What came later than 100 ms says nothing.

Time is exact: from the first packet to the last, the samples of the packets and of the `Gap`s
add up to what the timestamp advanced. A gap says how much time has no packet: lost (the
sequence jumped too) or not sent (it did not: silence suppression, or a digit in its place). More
than 500 ms is a gap where about as much time passed between the arrivals; else the stream was set
anew, and time goes on from the new timestamp; as it does after another SSRC, a backward
timestamp, or a jump in sequence that RFC 3550 A.1 calls a restart.

Digits and comfort noise share the sequence but not the timeline: a packet of 0 `samples`
counts where loss is judged and is not returned. Hand it to its receiver as it arrives.

Left out on purpose: which source is believed (source.py), how a gap sounds (the line).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .packet import MAX_DROPOUT, MAX_MISORDER, Packet, sequence_delta, timestamp_delta
from .succession import Settled

HOLDS = (0.02, 0.06, 0.1)  # s
LATE = 3  # packets too late for the second hold, within
LATE_SPAN = 10.0  # s, ask for the third
QUIET = 30.0  # s in which more than the first was of no use
LONGEST_GAP = 0.5  # s, that no clock has to confirm
DOUBT = 0.2  # s that a network may keep packets back, and
SKEW = 2e-3  # by which two clocks may differ, in what confirms a longer one
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
    The counts are the listener's: `lost` never came, `late` came when its time was over, and
    `bursts` of packets in a row were one or the other.
    """

    def __init__(self, clock_rate: int) -> None:
        self.deadline: float | None = None
        self.hold = HOLDS[1]  # s
        self.lost = 0
        self.late = 0
        self.bursts = 0
        self.duplicates = 0
        self._clock_rate = clock_rate
        self._longest_gap = int(LONGEST_GAP * clock_rate)
        self._ssrc: int | None = None
        self._next = 0  # sequence
        self._expected: int | None = None  # timestamp
        self._arrival = 0.0  # s, of the last sound
        self._skipped = False  # a sequence number was given up since the last sound
        self._held: dict[int, _Held] = {}  # by sequence
        self._given_up: dict[int, float] = {}  # sequences, oldest first, and since when they missed
        self._missed: deque[float] = deque(maxlen=LATE)  # when one came too late
        self._needed = 0.0  # when more than the first hold was of use, or would have been

    def push(self, packet: Packet, samples: int, now: float) -> list[Packet | Gap]:
        """Take a packet of the locked source; return what can be heard now, in order.

        `samples`: how long its sound is in timestamp units; 0 for what is no sound.
        """
        if packet.sequence != self._next or packet.ssrc != self._ssrc or self._held:
            return self._out_of_order(packet, samples, now)
        self._next = (packet.sequence + 1) & 0xFFFF
        if samples and packet.timestamp == self._expected and not self._skipped:
            self._expected = (packet.timestamp + samples) & 0xFFFFFFFF
            self._arrival = now
            return [packet]
        return self._deliver(packet, samples, now)

    def is_at(self, packet: Packet, samples: int) -> bool:
        """Whether this packet was the newest, in its place, and nothing is missing before it."""
        return (
            self._next == (packet.sequence + 1) & 0xFFFF
            and self._expected == (packet.timestamp + samples) & 0xFFFFFFFF
            and self._ssrc == packet.ssrc
            and not (self._held or self._skipped)
        )

    def settle(self, settled: Settled) -> None:
        """Take note of packets that were next, each in its time, after one that it `is_at`."""
        assert self._expected is not None
        self._next = (self._next + settled.packets) & 0xFFFF
        self._expected = (self._expected + settled.samples) & 0xFFFFFFFF
        self._arrival = settled.arrival

    def handle_timer(self, now: float) -> list[Packet | Gap]:
        """Give up every hole that has been open for too long."""
        out: list[Packet | Gap] = []
        while self.deadline is not None and self.deadline <= now:
            out += self._give_up()
        return out

    def retime(self, clock_rate: int) -> list[Packet | Gap]:
        """Go on at another clock rate (Hz), with a payload type that has it; what waits comes out.

        The timestamps before and after have nothing to do with each other: RFC 7160 §3.
        """
        out = self._flush()
        self._clock_rate, self._longest_gap = clock_rate, int(LONGEST_GAP * clock_rate)
        self._expected, self._skipped = None, False
        return out

    def _out_of_order(self, packet: Packet, samples: int, now: float) -> list[Packet | Gap]:
        ahead = sequence_delta(packet.sequence, self._next)
        if packet.ssrc != self._ssrc or not -MAX_MISORDER <= ahead < MAX_DROPOUT:
            if self._ssrc is None:
                self._needed = now
            return self._restart(packet, samples, now)
        if ahead < 0:
            self._count_stray(packet.sequence, now)
            return []
        if packet.sequence in self._held:
            self.duplicates += 1
            return []
        if not self._held:
            if now - self._needed > QUIET:
                self.hold = HOLDS[0]
        elif not ahead and now - self._opened() > HOLDS[0]:
            self._needed = now
        self._held[packet.sequence] = _Held(packet, samples, now)
        out = self._release()
        while self._full() or (self.deadline is not None and self.deadline <= now):
            out += self._give_up()
        return out

    def _restart(self, packet: Packet, samples: int, now: float) -> list[Packet | Gap]:
        """Another stream begins: what waits is said first, holes and all."""
        out = self._flush()
        self._given_up.clear()
        self._ssrc, self._expected, self._skipped = packet.ssrc, None, False
        self._next = (packet.sequence + 1) & 0xFFFF
        return out + self._deliver(packet, samples, now)

    def _flush(self) -> list[Packet | Gap]:
        """All that waits, holes and all."""
        out: list[Packet | Gap] = []
        while self._held:
            out += self._give_up()
        return out

    def _count_stray(self, sequence: int, now: float) -> None:
        since = self._given_up.pop(sequence, None)
        if since is None:
            self.duplicates += 1
            return
        self.late += 1
        self.lost -= 1
        if now - since > HOLDS[-1]:
            return  # no hold would have saved it
        self._needed = now
        if self.hold == HOLDS[0]:
            self.hold = HOLDS[1]
            return
        self._missed.append(now)
        if len(self._missed) == LATE and now - self._missed[0] <= LATE_SPAN:
            self.hold = HOLDS[2]

    def _opened(self) -> float:
        """Since when something waits."""
        return min(held.arrival for held in self._held.values())

    def _full(self) -> bool:
        """Whether as much of later sound waits as the hold has, in at least two packets.

        60 ms at least: where packets come in bursts they are there in no time.
        """
        held = self._held
        if len(held) < 2:
            return False
        enough = int(max(self.hold, HOLDS[1]) * self._clock_rate)
        return len(held) > MAX_HELD or sum(h.samples for h in held.values()) >= enough

    def _give_up(self) -> list[Packet | Gap]:
        """Skip the first hole."""
        first = min(self._held, key=lambda sequence: sequence_delta(sequence, self._next))
        hole, since = sequence_delta(first, self._next), self._opened()
        self.lost += hole
        self.bursts += 1
        self._skipped = True
        for missing in range(max(0, hole - MAX_MISORDER), hole):
            self._given_up[(self._next + missing) & 0xFFFF] = since
        while len(self._given_up) > MAX_MISORDER:
            del self._given_up[next(iter(self._given_up))]
        self._next = first
        return self._release()

    def _release(self) -> list[Packet | Gap]:
        """Everything that is next, and when the hole behind it is due."""
        out: list[Packet | Gap] = []
        while held := self._held.pop(self._next, None):
            self._next = (self._next + 1) & 0xFFFF
            out += self._deliver(held.packet, held.samples, held.arrival)
        self.deadline = self._opened() + self.hold if self._held else None
        return out

    def _deliver(self, packet: Packet, samples: int, arrival: float) -> list[Packet | Gap]:
        if not samples:
            return []
        out: list[Packet | Gap] = [packet]
        if self._expected is not None:
            ahead = timestamp_delta(packet.timestamp, self._expected)
            if ahead > 0 and (
                ahead <= self._longest_gap or self._confirmed(ahead + samples, arrival)
            ):
                out.insert(0, Gap(self._expected, ahead, self._skipped))
        self._expected = (packet.timestamp + samples) & 0xFFFFFFFF
        self._arrival = arrival
        self._skipped = False
        return out

    def _confirmed(self, advance: int, arrival: float) -> bool:
        """Whether our clock went on by as much as the timestamps did."""
        passed = arrival - self._arrival
        return abs(advance / self._clock_rate - passed) <= DOUBT + SKEW * passed
