"""Line: the caller's end of a call, both ways of its sound and what goes with them. Pure.

    datagram ─▶ packet ─▶ source ─┬─▶ digits
             └▶ RTCP ─▶ reports   └─▶ uplink.py ─▶ model
    datagram ◀──────────────────────  downlink.py ◀─ model

Here is what both ways have in common: who may send, which payload types there are, what was
counted and reported, and the loan of the stream to somebody else who speaks with the caller.
"""

from __future__ import annotations

from typing import Protocol

from gateway.audio.codec import codec as codec_of
from gateway.audio.frame import Samples
from gateway.audio.playout import Playout
from gateway.rtp import rtcp
from gateway.rtp.dtmf import DigitReceiver
from gateway.rtp.packet import Packet, RtpError, is_rtcp, parse
from gateway.rtp.quality import CODECS, burst_ratio, mos, one_way, rating
from gateway.rtp.reports import Reports, Sent
from gateway.rtp.source import Address, SourceRule
from gateway.rtp.succession import Succession
from gateway.sdp.negotiation import Media

from .downlink import Downlink, Start
from .echo import Echo
from .record import RtpCounts
from .tones import Tones
from .uplink import Uplink


class Tracks(Protocol):
    """Where both voices are recorded, each as one unbroken stream; `rate` in Hz."""

    def caller(self, samples: Samples, rate: int) -> None:
        """What came from the caller."""

    def model(self, samples: Samples, rate: int) -> None:
        """What was sent to the caller."""


class Line:
    """The sound of one call.

    `media` is what SDP agreed; `source` says who may send; `playout` holds the model's speech at
    the model's rate; `model_rate` (Hz) and, for G.711, `model_law` are what it listens in.
    `reports` is the call's RTCP; None: there is none. `epoch` is the wall clock's time at 0 of
    `now`, both in s. `echo` takes our voice out of what the caller returns, `tones` hears her keys
    as sound.
    """

    def __init__(
        self,
        media: Media,
        playout: Playout,
        *,
        model_rate: int,
        model_law: str | None = None,
        source: SourceRule,
        start: Start,
        now: float,
        tracks: Tracks | None = None,
        reports: Reports | None = None,
        echo: Echo | None = None,
        tones: Tones | None = None,
        epoch: float = 0.0,
    ) -> None:
        self.playout = playout
        self._source = source
        self._following: Succession | None = None  # what the next packet is like, most likely
        self._followed: Address | None = None  # and where it comes from
        self.reports = reports
        self.ignored = 0  # datagrams that are not of this call's sound
        self.last_packet_at = now
        self._epoch = epoch
        self._echo = echo
        self._tones = tones
        self._passed = RtpCounts()  # while the stream was lent
        self._media = media
        # By payload type, its clock and that of the audio beside it.
        self._digits: dict[tuple[int, int, int], DigitReceiver] = {}
        self._keys: dict[int, DigitReceiver] = {}  # the same by payload type alone
        self.uplink = Uplink(
            media,
            model_rate=model_rate,
            model_law=model_law,
            covers=self._covers,
            now=now,
            noise=start.ssrc,
            track=tracks.caller if tracks else None,
            stages=[stage for stage in (tones, echo) if stage],
        )
        track = tracks.model if tracks else None
        self.downlink = Downlink(media, playout, start, track, echo)
        self._listen(media)

    @property
    def media(self) -> Media:
        """What the two ends agreed last."""
        return self._media

    @property
    def source(self) -> SourceRule:
        """Who may send."""
        return self._source

    @source.setter
    def source(self, source: SourceRule) -> None:
        self._end_succession()
        self._source = source

    @property
    def on_hold(self) -> bool:
        """The caller does not want to hear us (RFC 3264 §8.4, or `c=0.0.0.0`)."""
        return self.uplink.on_hold

    def renegotiate(self, media: Media, now: float) -> None:
        """Follow a re-INVITE: the stream may move, change its codec, be held or resumed."""
        self._end_succession()
        self.source.resignal(media.remote)
        self.last_packet_at = now  # there may have been a reason for the silence so far
        self._media = media
        self._listen(media)
        self.uplink.use(media, now)
        self.downlink.use(media)
        if self.reports:
            self.reports.clock_rate = media.codec.clock_rate

    # -- from the caller

    def receive(self, data: bytes, source: Address, now: float) -> list[str]:
        """Take one datagram of this call's port; returns the digits that it pressed."""
        following = self._following
        if following is not None and source == self._followed:
            payload = following.take(data, now)
            if payload is not None:
                self.last_packet_at = now
                self.uplink.follow(payload, now)
                return []
        if is_rtcp(data):
            self._read_control(data, source, now)
            return []
        try:
            packet = parse(data)
        except RtpError:
            self.ignored += 1
            return []
        return self._judge(packet, source, now)

    def _judge(self, packet: Packet, source: Address, now: float) -> list[str]:
        """Take a packet that is not simply the next one."""
        self._settle()
        if not self._source.accept(packet, source, now):
            self.ignored += 1
            return []
        self.last_packet_at = now
        keys = self._keys.get(packet.payload_type)
        pressed = keys.receive(packet, now) if keys else []
        if not self.uplink.receive(packet, now) and keys is None:
            self.ignored += 1  # what was never agreed
        self._following = None
        if self._source.is_at(packet) and all(it.is_quiet(now) for it in self._digits.values()):
            self._following = self.uplink.succession(packet, now)
            self._followed = source
        begun = [digit.digit for digit in pressed if not digit.ended]
        return self._tones.beside(begun, now) if begun and self._tones else begun

    def coded(self, now: float) -> bytes | Samples | None:
        """What the model hears since the last call, as it came; None: `hear` it. See uplink.py."""
        if self._following is None:
            return None
        self._tell_stages(now)
        return self.uplink.coded(now)

    def hear(self, now: float) -> Samples:
        """What the model hears since the last call, at its rate; may be empty."""
        for digits in self._digits.values():
            digits.handle_timer(now)
        self._tell_stages(now)
        heard = self.uplink.hear(now)
        if not self.uplink.steady:
            self._end_succession()
        return heard

    def _tell_stages(self, now: float) -> None:
        """What they have to know of the other direction."""
        if self._echo:
            self._echo.follow(self.source.target)
        if self._tones and self.downlink.keys:
            self._tones.press(now)

    def _settle(self) -> None:
        """Have what followed counted, before somebody asks."""
        if self._following is None or (settled := self._following.settle()) is None:
            return
        self._source.settle(settled.packets)
        self.uplink.settle(settled)

    def _end_succession(self) -> None:
        self._settle()
        self._following = None

    def pressed(self) -> list[str]:
        """The digits that were heard as tones since the last call."""
        return self._tones.take() if self._tones else []

    @property
    def delay(self) -> float:
        """s by which the model hears late what came."""
        return self._echo.delay if self._echo else 0.0

    def loop_delay(self, playout_delay: float) -> float:
        """s from our sound's leaving until the model has what the caller says as she hears it.

        `playout_delay` (s) is that of her telephone, where it does not tell.
        """
        there_and_back = self.reports.loop_delay(playout_delay) if self.reports else playout_delay
        return there_and_back + self.delay

    # -- reports

    @property
    def control_target(self) -> Address | None:
        """Where RTCP goes; None: nowhere now. By RTP's own port where the two are one."""
        return self.source.target if self._media.control.mux else self.source.control_target

    def report(self, now: float) -> bytes | None:
        """The RTCP that is due, if any is."""
        if self.reports is None or now < self.reports.deadline:
            return None
        self._settle()
        stream = self.uplink.reception.stream
        told = self.reports.report(self._sent(), stream, now, self._epoch + now)
        self.downlink.ssrc = self.reports.ssrc  # another one after a conflict
        return told

    def farewell(self, now: float) -> bytes | None:
        """The last RTCP: our stream is over."""
        if self.reports is None:
            return None
        self._settle()
        stream = self.uplink.reception.stream
        return self.reports.bye(self._sent(), stream, now, self._epoch + now)

    # -- while somebody else speaks with the caller

    def stand(self) -> Start:
        """Where whoever goes on with our stream begins; `source` is theirs, too, until then."""
        self._end_succession()
        return self.downlink.stand()

    def rejoin(self, start: Start, passed: RtpCounts, now: float) -> None:
        """Take our stream back; what the caller said meanwhile was for others.

        `passed` is what became of the packets since `stand`; they are the call's, too.
        """
        self._passed.sent += passed.sent
        self._passed.received += passed.received
        self._passed.lost += passed.lost
        self.downlink.resume(start)
        self.last_packet_at = now
        self._end_succession()
        self.uplink.forget(now)

    def counts(self) -> RtpCounts:
        """What became of the packets, for the record."""
        self._settle()
        reorder, reception = self.uplink.reorder, self.uplink.reception
        return RtpCounts(
            sent=self.downlink.packets_sent + self._passed.sent,
            received=reception.received + self._passed.received,
            lost=reorder.lost + self._passed.lost,
            late=reorder.late,
            jitter_ms=round(reception.jitter_ms, 2),
            round_trip_ms=None if self._round_trip is None else round(1000 * self._round_trip, 1),
            mos=self._mos(),
        )

    # -- inside

    @property
    def _round_trip(self) -> float | None:
        return self.reports.round_trip if self.reports else None

    def _sent(self) -> Sent:
        downlink = self.downlink
        packets = downlink.packets_sent + self._passed.sent
        return Sent(packets, downlink.octets_sent, downlink.stand().timestamp)

    def _read_control(self, data: bytes, source: Address, now: float) -> None:
        if self.reports is None or not self.source.accept_control(source):
            return
        try:
            self.reports.receive(rtcp.parse(data), self._sent(), now)
        except RtpError:
            self.ignored += 1
        if self.reports.far_end:
            self.downlink.expect_loss(self.reports.far_end.fraction)

    def _mos(self) -> float | None:
        """The worse of both ways (ITU-T G.107); None where nothing was heard."""
        reorder, reception = self.uplink.reorder, self.uplink.reception
        if not reception.expected:
            return None
        lost = reorder.lost + reorder.late
        codec, delay = CODECS[self._media.codec.name], one_way(self._round_trip)
        burst = burst_ratio(reception.expected, lost, reorder.bursts)
        ways = [rating(codec, lost / reception.expected, burst_ratio=burst, delay=delay)]
        if self.reports and self.reports.far_end:
            ways.append(rating(codec, self.reports.far_end.loss, delay=delay))
        return round(mos(min(ways)), 2)

    def _listen(self, media: Media) -> None:
        """Hear the keys of each payload type that they may come by, and RTCP where it comes."""
        self.source.signal_control(None if media.control.mux else media.control.remote)
        clock = codec_of(media.codec.name).clock_rate
        events = dict(media.events)
        if media.event_payload_type is not None:
            events.setdefault(media.event_payload_type, media.event_clock_rate)
        digits = {}
        for payload_type, rate in events.items():
            key = payload_type, rate, clock
            # A key may be down: who hears it goes on hearing it.
            digits[key] = self._digits.get(key) or DigitReceiver(rate, clock)
        self._digits = digits
        self._keys = {payload_type: it for (payload_type, _, _), it in digits.items()}

    def _covers(self, timestamp: int, units: int, now: float) -> bool:
        return any(it.covers(timestamp, units, now) for it in self._digits.values())
