"""Line: the caller's end of a call as frames; the stages of the sound, in their order. Pure.

    datagram ─▶ packet ─▶ source ─▶ digits ─▶ reorder ─▶ codec ─▶ conceal ─▶ resample ─▶ model
    datagram ◀─ packet ◀─────────────────────────────── codec ◀── resample ◀── playout ◀─ model

Upward nothing is buffered for play-out: the model is no loudspeaker, order and duration are all
that counts. Where the stream has a gap it is filled by its timestamps, where it stops it is
filled by the clock (a server that detects turns counts the audio that it gets, so a silent
stream would never end a turn), and never twice. While the call is on hold the model hears
silence for a moment, so that a turn ends, and then nothing: music on hold is no speech.

Downward one packet of 20 ms is prepared ahead of each tick, timestamps without a break. Keys that
the model presses, and the ring-back while somebody else is called, go out in the place of its
speech, which waits and is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateway.audio.conceal import Concealer
from gateway.audio.frame import FRAME_MS, Samples, silence
from gateway.audio.g711 import codec as codec_of
from gateway.audio.playout import Heard, Part, Playout
from gateway.audio.resample import Resampler
from gateway.audio.tone import Signal
from gateway.rtp.dtmf import DigitReceiver
from gateway.rtp.packet import Packet, RtpError, encode, is_rtcp, parse
from gateway.rtp.reception import Reception
from gateway.rtp.reorder import Gap, Reorder
from gateway.rtp.source import SourceRule
from gateway.sdp.negotiation import Media

from .digits import Digits
from .record import RtpCounts

RATE = 8000  # Hz, the samples of G.711, and its RTP clock
FRAME = RATE * FRAME_MS // 1000
# s without audio after which the clock fills in, all of it at once: so a server that ends a turn by
# so much silence ends it no later, and a network that holds packets back for less puts no hole
# into a word.
STOPPED = 0.2
OVERDRAFT = 3 * FRAME  # samples that it filled in too much and owes to the next pause, at most
HOLD_SILENCE = 2.0  # s of silence that the model hears of a hold, enough to end any turn


class Tracks(Protocol):
    """Where both voices are recorded, each as one unbroken stream at 8 kHz."""

    def caller(self, samples: Samples) -> None:
        """What came from the caller."""

    def model(self, samples: Samples) -> None:
        """What was sent to the caller."""


@dataclass(frozen=True, slots=True)
class Start:
    """The random beginnings of an RTP stream (RFC 3550 §5.1)."""

    ssrc: int
    sequence: int
    timestamp: int


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
        self.reception = Reception(RATE)
        self.packet: bytes | None = None  # what the next tick sends
        self.packets_sent = 0
        self.ignored = 0  # datagrams that are not of this call's sound
        self.deaf = False  # the model hears silence instead of the caller
        self.keys: Digits | None = None  # go out before any more speech
        self.inform: str | None = None  # the key that INFO has to carry now
        self.ring: Signal | None = None  # heard instead of any speech
        self.last_packet_at = now
        self._passed = RtpCounts()  # while the stream was lent
        self._media = media
        self._start = start
        self._tracks = tracks
        self._reorder = Reorder(RATE)
        self._digits = DigitReceiver(media.event_clock_rate, RATE)
        self._concealer = Concealer(RATE)
        self._up = Resampler(RATE, model_rate)
        self._down = Resampler(playout.rate, RATE)
        self._heard: list[Samples] = []  # at 8 kHz, not given to the model yet
        self._last_audio_at = now
        self._filled = 0  # samples filled in by the clock since the last audio packet
        self._owed = 0  # samples that it filled in too much
        self._held_since: float | None = None
        self._sequence = start.sequence
        self._timestamp = start.timestamp
        self._frame: Samples = silence(FRAME)  # the sound of `packet`
        self._taken = 0  # samples of the playout that are under `packet`
        self._marker = True
        self._use(media, now)
        self._prime()

    @property
    def media(self) -> Media:
        """What the two ends agreed last."""
        return self._media

    @property
    def on_hold(self) -> bool:
        """The caller does not want to hear us (RFC 3264 §8.4, or `c=0.0.0.0`)."""
        return self._held_since is not None

    def renegotiate(self, media: Media, now: float) -> None:
        """Follow a re-INVITE: the stream may move, change its codec, be held or resumed."""
        self.source.resignal(media.remote)
        self.last_packet_at = now  # there may have been a reason for the silence so far
        if media.event_clock_rate != self._media.event_clock_rate:
            self._digits = DigitReceiver(media.event_clock_rate, RATE)
        self._use(media, now)

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
        digits: list[str] = []
        samples = 0  # what is no speech has a place in the sequence, but takes no time
        if packet.payload_type in self._decoders:
            samples = len(packet.payload)
            if samples and not self.on_hold:
                self._last_audio_at = now
        elif packet.payload_type == self._media.event_payload_type:
            pressed = self._digits.receive(packet, now)
            digits = [digit.digit for digit in pressed if not digit.ended]
        else:
            self.ignored += 1  # comfort noise, or what was never agreed
        self.reception.receive(packet, samples, now)
        for ordered in self._reorder.push(packet, samples, now):
            self._hear(ordered, now)
        return digits

    def hear(self, now: float) -> Samples:
        """What the model hears since the last call, at its rate; may be empty."""
        self._digits.handle_timer(now)
        for ordered in self._reorder.handle_timer(now):
            self._hear(ordered, now)
        self._fill_by_clock(now)
        if not self._heard:
            return silence(0)
        heard = np.concatenate(self._heard)
        self._heard.clear()
        return self._up.push(silence(len(heard)) if self.deaf else heard)

    # -- to the caller

    def prepare(self) -> None:
        """Make the packet that the next tick sends."""
        self._timestamp = (self._timestamp + FRAME) & 0xFFFFFFFF
        if not self._media.sending:
            return
        if not self._taken:  # else a frame from before a hold still waits
            if self.ring:
                self._frame = self.ring.take(FRAME)
            elif self.keys:
                if packet := self._press(self.keys):
                    self.packet = packet
                    return
            else:
                self._taken = self.playout.rate * FRAME_MS // 1000
                self._frame = self._down.push(self.playout.take(self._taken))
        self._encode()

    def sent(self, now: float) -> Part | None:
        """The packet left; returns the part of the model's speech that began with it, if any."""
        if self._tracks:
            self._tracks.model(silence(FRAME) if self.packet is None else self._frame)
        if self.packet is None:
            return None
        self.packet = None
        self.packets_sent += 1
        self._marker = False
        self._sequence = (self._sequence + 1) & 0xFFFF
        begun = self.playout.sent(self._taken, now)
        self._taken = 0
        return begun

    def skip(self, frames: int) -> None:
        """Let time pass without packets: the tick came late, and bursts help nobody."""
        self._timestamp = (self._timestamp + frames * FRAME) & 0xFFFFFFFF
        if self._tracks:
            self._tracks.model(silence(frames * FRAME))

    def cut(self) -> list[Heard]:
        """Stop speaking at once; what was prepared but not sent is silence now."""
        heard = self.playout.cut()
        self._prime()
        if self.packet is not None and self._taken:  # not so a key
            self._frame = silence(FRAME)
            self._encode()
        self._taken = 0
        return heard

    # -- while somebody else speaks with the caller

    def stand(self) -> Start:
        """Where whoever goes on with our stream begins."""
        return Start(self._start.ssrc, self._sequence, self._timestamp)

    def rejoin(self, start: Start, passed: RtpCounts, now: float) -> None:
        """Take our stream back; what the caller said meanwhile was for others.

        `passed` is what became of the packets since `stand`; they are the call's, too.
        """
        self._passed.sent += passed.sent
        self._passed.received += passed.received
        self._passed.lost += passed.lost
        self._sequence = start.sequence
        self._timestamp = (start.timestamp - FRAME) & 0xFFFFFFFF
        self.packet, self._marker = None, True
        self.last_packet_at = self._last_audio_at = now
        self._filled = 0
        self._heard.clear()
        before, self._reorder = self._reorder, Reorder(RATE)
        self._reorder.lost, self._reorder.late = before.lost, before.late

    def counts(self) -> RtpCounts:
        """What became of the packets, for the record."""
        return RtpCounts(
            sent=self.packets_sent + self._passed.sent,
            received=self.reception.received + self._passed.received,
            lost=self._reorder.lost + self._passed.lost,
            late=self._reorder.late,
            jitter_ms=round(self.reception.jitter_ms, 2),
        )

    # -- inside

    def _use(self, media: Media, now: float) -> None:
        """Take what was agreed, and note when the call is held and resumed."""
        self._media = media
        self._codec = codec_of(media.codec.name)
        self._decoders = {pt: codec_of(it.name) for pt, it in media.accepted.items()}
        if not media.sending:
            self.packet, self._marker = None, True  # the stream begins anew after the pause
            self._held_since = now if self._held_since is None else self._held_since
        else:
            self._held_since = None

    def _prime(self) -> None:
        """Feed the resampler ahead by its own delay, so that what leaves is what was counted."""
        self._down.reset()
        self._down.push(self.playout.take(self._down.delay))

    def _press(self, keys: Digits) -> bytes | None:
        """The next 20 ms of keys: a packet of its own, or else a frame."""
        step = keys.step(self._media, self._sequence, self._timestamp, self._start.ssrc)
        self._frame = silence(FRAME) if step.sound is None else step.sound
        self.inform = step.inform
        return encode(step.packet) if step.packet else None

    def _encode(self) -> None:
        packet = Packet(
            self._media.codec.payload_type,
            self._sequence,
            self._timestamp,
            self._start.ssrc,
            self._codec.encode(self._frame),
            self._marker,
        )
        self.packet = encode(packet)

    def _hear(self, ordered: Packet | Gap, now: float) -> None:
        if self.on_hold:
            return
        if isinstance(ordered, Gap):
            missing = max(0, ordered.samples - self._filled)
            self._owed = min(max(self._owed, self._filled - ordered.samples), OVERDRAFT)
            conceal = ordered.lost and not self._digits.covers(
                ordered.timestamp, ordered.samples, now
            )
            self._add(self._concealer.fill(missing) if conceal else silence(missing))
            return
        self._filled = 0
        decoder = self._decoders.get(ordered.payload_type)  # a re-INVITE may have taken it away
        samples = decoder.decode(ordered.payload) if decoder else silence(len(ordered.payload))
        if self._digits.covers(ordered.timestamp, len(samples), now):
            samples = silence(len(samples))  # the tone of a key is not for the model
        self._concealer.good(samples)
        self._add(samples)

    def _fill_by_clock(self, now: float) -> None:
        quiet = now - self._last_audio_at
        if quiet <= STOPPED:
            return
        if not self._filled:
            self._filled, self._owed = self._owed, 0
        missing = int(quiet * RATE) - self._filled
        missing -= missing % FRAME
        if missing <= 0:
            return
        self._filled += missing
        if self._held_since is not None and now - self._held_since > HOLD_SILENCE:
            if self._tracks:
                self._tracks.caller(silence(missing))
            return
        self._add(silence(missing))

    def _add(self, samples: Samples) -> None:
        if not len(samples):
            return
        self._heard.append(samples)
        if self._tracks:
            self._tracks.caller(samples)
