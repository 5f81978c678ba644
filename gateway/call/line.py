"""Line: the caller's end of a call, both ways of its sound and what goes with them. Pure.

    datagram ─▶ packet ─▶ source ─┬─▶ digits
                                  └─▶ uplink.py ─▶ model
    datagram ◀──────────────────────  downlink.py ◀─ model

Here is what both ways have in common: who may send, which payload types there are, what was
counted, and the loan of the stream to somebody else who speaks with the caller.
"""

from __future__ import annotations

from typing import Protocol

from gateway.audio.codec import codec as codec_of
from gateway.audio.frame import Samples
from gateway.audio.playout import Playout
from gateway.rtp.dtmf import DigitReceiver
from gateway.rtp.packet import RtpError, is_rtcp, parse
from gateway.rtp.source import SourceRule
from gateway.sdp.negotiation import Media

from .downlink import Downlink, Start
from .record import RtpCounts
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
    the model's rate, and `model_rate` (Hz) is the rate that the model listens at.
    """

    def __init__(
        self,
        media: Media,
        playout: Playout,
        *,
        model_rate: int,
        source: SourceRule,
        start: Start,
        now: float,
        tracks: Tracks | None = None,
    ) -> None:
        self.playout = playout
        self.source = source
        self.ignored = 0  # datagrams that are not of this call's sound
        self.last_packet_at = now
        self._passed = RtpCounts()  # while the stream was lent
        self._media = media
        self._digits: dict[int, DigitReceiver] = {}  # by payload type
        self._events: tuple[dict[int, int], int] | None = None  # what they were made for
        self.uplink = Uplink(
            media,
            model_rate=model_rate,
            covers=self._covers,
            now=now,
            noise=start.ssrc,
            track=tracks.caller if tracks else None,
        )
        self.downlink = Downlink(media, playout, start, tracks.model if tracks else None)
        self._listen(media)

    @property
    def media(self) -> Media:
        """What the two ends agreed last."""
        return self._media

    @property
    def on_hold(self) -> bool:
        """The caller does not want to hear us (RFC 3264 §8.4, or `c=0.0.0.0`)."""
        return self.uplink.on_hold

    def renegotiate(self, media: Media, now: float) -> None:
        """Follow a re-INVITE: the stream may move, change its codec, be held or resumed."""
        self.source.resignal(media.remote)
        self.last_packet_at = now  # there may have been a reason for the silence so far
        self._media = media
        self._listen(media)
        self.uplink.use(media, now)
        self.downlink.use(media)

    # -- from the caller

    def receive(self, data: bytes, source: tuple[str, int], now: float) -> list[str]:
        """Take one datagram of this call's port; returns the digits that it pressed."""
        if is_rtcp(data):
            return []
        try:
            packet = parse(data)
        except RtpError:
            self.ignored += 1
            return []
        if not self.source.accept(packet, source, now):
            self.ignored += 1
            return []
        self.last_packet_at = now
        keys = self._digits.get(packet.payload_type)
        pressed = keys.receive(packet, now) if keys else []
        if not self.uplink.receive(packet, now) and keys is None:
            self.ignored += 1  # what was never agreed
        return [digit.digit for digit in pressed if not digit.ended]

    def hear(self, now: float) -> Samples:
        """What the model hears since the last call, at its rate; may be empty."""
        for digits in self._digits.values():
            digits.handle_timer(now)
        return self.uplink.hear(now)

    # -- while somebody else speaks with the caller

    def stand(self) -> Start:
        """Where whoever goes on with our stream begins."""
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
        self.uplink.forget(now)

    def counts(self) -> RtpCounts:
        """What became of the packets, for the record."""
        reorder, reception = self.uplink.reorder, self.uplink.reception
        return RtpCounts(
            sent=self.downlink.packets_sent + self._passed.sent,
            received=reception.received + self._passed.received,
            lost=reorder.lost + self._passed.lost,
            late=reorder.late,
            jitter_ms=round(reception.jitter_ms, 2),
        )

    # -- inside

    def _listen(self, media: Media) -> None:
        """Hear the keys of each payload type that they may come by."""
        clock = codec_of(media.codec.name).clock_rate
        events = dict(media.events)
        if media.event_payload_type is not None:
            events.setdefault(media.event_payload_type, media.event_clock_rate)
        if (events, clock) != self._events:
            self._events = events, clock
            self._digits = {pt: DigitReceiver(rate, clock) for pt, rate in events.items()}

    def _covers(self, timestamp: int, units: int, now: float) -> bool:
        return any(it.covers(timestamp, units, now) for it in self._digits.values())
