"""One call's RTCP: when a report is due, what it says, what theirs mean. RFC 3550 §6.2-6.4, §8.2.

Pure. Two parties share the session, so the minimum interval always rules (§6.2): reports go every
2.5 to 7.5 s, by a dice of whoever made this, the first after half of that. Timer reconsideration
(§6.3.3), and the factor that makes up for it, are left out: nobody joins. Both reports and our BYE
are compounds even where reduced size was agreed, as RFC 5506 §3.4.2 wants regular reports to be.

What they report is a claim, so it is bounded: only of our SSRC, never more lost than was sent, a
round trip only to a sender report that we did send and lately. Their BYE ends nothing but what it
says (an SSRC is gone); calls end by SIP.

A conflict of SSRCs (§8.2), when theirs is ours by chance or by a mirror: we say goodbye to ours and
take another, once. A second time it is a loop and nothing is changed. The sound is used in
either case, since between two parties the address tells who speaks.

Left out on purpose: timing out members (§6.3.5; a call has its own), bandwidth shares (§6.2), early
feedback (RFC 4585), extended reports of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .reception import Stream
from .rtcp import (
    Bye,
    ControlPacket,
    Description,
    Report,
    ReportBlock,
    SenderInfo,
    VoipMetrics,
    encode,
    ntp,
)

INTERVAL = 5.0  # s, §6.2
REMEMBERED = 4  # sender reports of ours that a round trip may be measured by
TRIPS = 5  # round trips of which the median counts, so that one packet held up does not
LONGEST_TRIP = 5.0  # s; who claims more has not told of the delay on its side
TOLERANCE = 0.05  # s: clocks run apart and are read in steps, so a short way may seem to be below 0
LONGEST_JITTER = 1.0  # s
LONGEST_PLAYOUT = 1000  # ms


class Sent(NamedTuple):
    """Our own stream, as it is at the moment of a report."""

    packets: int  # all of the call
    octets: int  # of their payload
    timestamp: int  # RTP's, now


@dataclass(frozen=True, slots=True)
class FarEnd:
    """What the peer said last of our stream."""

    fraction: float  # lost between its last two reports, 0..1
    loss: float  # lost of all that we sent, 0..1
    jitter_ms: float


class Reports:
    """The control protocol of one call.

    `ssrc` is the one to send with: look at it again after each `report`. `deadline` (s, monotonic)
    is when `report` is next due. `random` gives numbers from 0 to 1, 1 excluded.
    """

    def __init__(
        self,
        ssrc: int,
        cname: str,
        clock_rate: int,
        random: Callable[[], float],
        now: float,
    ) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate  # Hz, of RTP timestamps; may change with the payload type
        self.deadline = now + INTERVAL / 2 * (0.5 + random())
        self.far_end: FarEnd | None = None
        self.playout_delay_ms: int | None = None  # from arrival to their ear, where they say it
        self.conflicts = 0
        self._cname = cname.encode()[:255]
        self._random = random
        self._moved = False  # our SSRC was in conflict and is another now
        self._base = (0, 0)  # packets and octets under former SSRCs
        self._reported = [0, 0]  # packets sent, at the last two reports
        self._silent = True  # nothing was reported yet
        self._sent_at: dict[int, float] = {}  # by what `last_sr` would say of them
        self._trips: list[float] = []  # s, the latest last
        self._heard: tuple[int, int, float] | None = None  # their last SR: SSRC, `last_sr`, arrival
        self._before: Stream | None = None  # their stream at the last report

    @property
    def round_trip(self) -> float | None:
        """Seconds to the peer and back, without what it kept our report; None: unknown. §6.4.1."""
        trips = sorted(self._trips)
        return trips[len(trips) // 2] if trips else None

    def loop_delay(self, playout_delay: float) -> float:
        """Seconds from our sound's leaving to the arrival of what is said at its hearing.

        `playout_delay` (s) is that of their jitter buffer, where they do not tell (RFC 3611 §4.7).
        """
        told = self.playout_delay_ms
        buffered = playout_delay if told is None else told / 1000
        return (self.round_trip or 0.0) + buffered

    def report(self, sent: Sent, stream: Stream | None, now: float, wall: float) -> bytes:
        """The report that is due: its datagram. `wall` is the same moment in s since 1970.

        `sent` and `stream` are what was sent and received so far. Sets the next deadline.
        """
        self.deadline = now + INTERVAL * (0.5 + self._random())
        if stream is not None and stream.ssrc == self.ssrc:
            self.conflicts += 1
            if not self._moved:
                return self._move(sent, stream, now, wall)
        return encode(self._compound(sent, stream, now, wall))

    def bye(self, sent: Sent, stream: Stream | None, now: float, wall: float) -> bytes | None:
        """The last report, with a goodbye. None where nobody knows us. §6.3.7."""
        if self._silent and not sent.packets:
            return None
        return encode([*self._compound(sent, stream, now, wall), Bye((self.ssrc,))])

    def receive(self, packets: Sequence[ControlPacket], sent: Sent, now: float) -> None:
        """Take a datagram of the peer's, parsed, from where its RTP comes."""
        for packet in packets:
            match packet:
                case Report(ssrc, blocks, sender):
                    if ssrc == self.ssrc:  # our own, from a mirror: §8.2
                        self.conflicts += 1
                        return
                    if sender is not None:
                        self._heard = ssrc, sender.ntp >> 16 & 0xFFFFFFFF, now
                    for block in blocks:
                        if block.ssrc == self.ssrc:
                            self._take(block, sent, now)
                case VoipMetrics(ssrc, delay, nominal) if ssrc == self.ssrc:
                    self.playout_delay_ms = min(delay or nominal, LONGEST_PLAYOUT)
                case Bye(ssrcs) if self._heard and self._heard[0] in ssrcs:
                    self._heard = None

    def _take(self, block: ReportBlock, sent: Sent, now: float) -> None:
        packets = sent.packets - self._base[0]
        lost = min(max(0, block.lost), packets)
        jitter = min(block.jitter / self.clock_rate, LONGEST_JITTER)
        self.far_end = FarEnd(block.fraction / 256, lost / max(1, packets), jitter * 1000)
        sent_at = self._sent_at.get(block.last_sr)
        if sent_at is None:
            return
        trip = now - sent_at - block.delay / 65536
        if -TOLERANCE <= trip <= LONGEST_TRIP:
            self._trips = [*self._trips[1 - TRIPS :], max(0.0, trip)]

    def _compound(
        self, sent: Sent, stream: Stream | None, now: float, wall: float
    ) -> list[Report | Description | Bye]:
        blocks = self._blocks(stream, now)
        sender = self._sender(sent, now, wall)
        self._silent = False
        name = Description(((self.ssrc, self._cname),))
        return [Report(self.ssrc, blocks, sender), name]

    def _sender(self, sent: Sent, now: float, wall: float) -> SenderInfo | None:
        """Where something was sent since the report before the last one: §6.4."""
        active = sent.packets > self._reported[0]
        self._reported = [self._reported[1], sent.packets]
        if not active:
            return None
        stamp = ntp(wall)
        self._sent_at[stamp >> 16 & 0xFFFFFFFF] = now
        if len(self._sent_at) > REMEMBERED:
            del self._sent_at[next(iter(self._sent_at))]
        packets, octets = sent.packets - self._base[0], sent.octets - self._base[1]
        return SenderInfo(
            stamp, sent.timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
        )

    def _blocks(self, stream: Stream | None, now: float) -> tuple[ReportBlock, ...]:
        """One, where something came of their stream since the last report: §6.4, A.3."""
        before, self._before = self._before, stream
        if stream is None or stream.ssrc == self.ssrc:
            return ()
        if before is None or before[:2] != stream[:2]:
            before = Stream(stream.ssrc, stream.first, 0, 0, 0)
        received = stream.received - before.received
        if received <= 0:
            return ()
        expected = stream.expected - before.expected
        lost = max(0, expected - received)
        last_sr, delay = 0, 0
        if self._heard is not None and self._heard[0] == stream.ssrc:
            last_sr = self._heard[1]
            delay = min(int((now - self._heard[2]) * 65536), 0xFFFFFFFF)
        return (
            ReportBlock(
                stream.ssrc,
                lost * 256 // expected if lost else 0,
                min(max(-0x800000, stream.expected - stream.received), 0x7FFFFF),
                stream.highest,
                stream.jitter,
                last_sr,
                delay,
            ),
        )

    def _move(self, sent: Sent, stream: Stream, now: float, wall: float) -> bytes:
        """Leave an SSRC that is theirs too, and take another. §8.2."""
        last = encode([*self._compound(sent, stream, now, wall), Bye((self.ssrc,))])
        self._moved = True
        self.ssrc = (self.ssrc + 1 + int(self._random() * 0xFFFFFFFF)) & 0xFFFFFFFF
        self._base = sent.packets, sent.octets
        self._sent_at.clear()
        return last
