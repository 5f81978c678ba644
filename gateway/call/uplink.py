"""Uplink: the caller's packets as sound for the model. Pure.

    packet ─▶ reorder ─▶ codec ─▶ events' tones out ─▶ conceal ─▶ stages ─▶ resample ─▶ model

Nothing is buffered for play-out: the model is no loudspeaker, order and duration are all that
counts. Where the stream has a gap it is filled by its timestamps, where it stops it is filled by
the clock (a server that detects turns counts the audio that it gets, so a silent stream would never
end a turn), and never twice. Lost sound is guessed, by the codec where that can, else from the
waveform; what was not sent is silence, or the noise that the far end described (RFC 3389).

A stream may change its codec at any packet, and with it its clock and the rate of its sound. The
stages are tones.py and echo.py, in the calls that have them.

Nearly all packets follow the one before exactly, and in G.711 what they hold needs no decoder of
their own: they are kept as they came (`follow`), so that the sound of many callers goes through
tables and filter as one (`coded`, together.py), or to a model that hears G.711 as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from gateway.audio.codec import Codec, Decoder
from gateway.audio.codec import codec as codec_of
from gateway.audio.comfort_noise import ComfortNoise
from gateway.audio.comfort_noise import parse as parse_noise
from gateway.audio.conceal import NOTED, Concealer
from gateway.audio.frame import FRAME_MS, AudioError, Samples, silence
from gateway.audio.g711 import Codec as Law
from gateway.audio.g711 import codec as law_of
from gateway.audio.resample import Resampler
from gateway.rtp.packet import Packet
from gateway.rtp.reception import Reception
from gateway.rtp.reorder import Gap, Reorder
from gateway.rtp.succession import Settled, Succession
from gateway.sdp.negotiation import Media

# s without audio after which the clock fills in, all of it at once: so a server that ends a turn by
# so much silence ends it no later, and a network that holds packets back for less puts no hole
# into a word.
STOPPED = 0.2
OVERDRAFT = 0.06  # s that it filled in too much and owes to the next pause, at most
HOLD_SILENCE = 2.0  # s of silence that the model hears of a hold, enough to end any turn

# Whether sound may hold the tone of a key: its timestamp, its length in the clock's units, now.
Covers = Callable[[int, int, float], bool]
Track = Callable[[Samples, int], None]  # samples and their rate in Hz


class Stage(Protocol):
    """What else is done to the sound, with no gaps left in it, before the model hears it."""

    def hear(self, samples: Samples, rate: int, now: float) -> Samples:
        """The next samples of the caller's, at `rate` Hz; some may wait for those that follow."""


class _Voice:
    """What belongs to one rate of sound."""

    def __init__(self, rate: int, model_rate: int) -> None:
        self.rate = rate
        self.frame = rate * FRAME_MS // 1000
        self.concealer = Concealer(rate)
        self.up = Resampler(rate, model_rate)


class Uplink:
    """One call's. `track` records the caller.

    `model_rate` (Hz) is what the model listens at; `model_law` the SDP name of its codec where that
    is G.711, None where it is PCM.
    """

    def __init__(
        self,
        media: Media,
        *,
        model_rate: int,
        covers: Covers,
        now: float,
        model_law: str | None = None,
        noise: int = 0,
        track: Track | None = None,
        stages: Sequence[Stage] = (),
    ) -> None:
        self.deaf = False  # the model hears silence instead of the caller
        self.model_rate = model_rate
        self._model_law = model_law
        self._covers = covers
        self._track = track
        self._stages = stages
        self._noise_start = noise
        self._noise: ComfortNoise | None = None  # as the far end described it
        self._codecs: Mapping[int, Codec] = {}
        self._decoders: dict[int, Decoder] = {}
        self._codec = codec_of(media.codec.name)
        self.reception = Reception(self._codec.clock_rate)
        self.reorder = Reorder(self._codec.clock_rate)
        self._voices: dict[int, _Voice] = {}
        self._voice = self._speak(self._codec.rate)
        self._coded: list[bytes] = []  # payloads that followed, before anything in `_heard`
        self._past: deque[bytes] = deque(maxlen=NOTED)  # those that were given to the model
        self._heard: list[Samples] = []  # of the present voice, not given to the model yet
        self._ready: list[Samples] = []  # of voices before, at the model's rate
        self._last_audio_at = now
        self._filled = 0  # samples filled in by the clock since the last audio packet
        self._owed = 0  # samples that it filled in too much
        self._held_since: float | None = None
        self.use(media, now)

    @property
    def on_hold(self) -> bool:
        """The caller does not want to hear us (RFC 3264 §8.4, or `c=0.0.0.0`)."""
        return self._held_since is not None

    def use(self, media: Media, now: float) -> None:
        """Take what was agreed, and note when the call is held and resumed."""
        self._decode_coded()
        self._codecs = {pt: codec_of(it.name) for pt, it in media.accepted.items()}
        self._decoders.clear()  # a payload type may mean something else now
        self._noises = media.noise
        if media.sending:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = now

    def receive(self, packet: Packet, now: float) -> bool:
        """Take a packet of the caller's; False for a payload type that is no sound of hers."""
        self._decode_coded()
        codec = self._codecs.get(packet.payload_type)
        units = 0  # what is no speech has a place in the sequence, but takes no time
        if codec is not None:
            if codec is not self._codec:
                self._change(codec, now)
            units = codec.duration(packet.payload)
            if units and self._held_since is None:
                self._last_audio_at = now
        elif packet.payload_type in self._noises:
            self._describe(packet.payload)
        self.reception.receive(packet, units, now)
        if ordered := self.reorder.push(packet, units, now):
            self._hear(ordered, now)
        return codec is not None or packet.payload_type in self._noises

    def succession(self, packet: Packet, now: float) -> Succession | None:
        """What may `follow` this packet, which was received just now; None: nothing."""
        codec = self._codecs.get(packet.payload_type)
        units = len(packet.payload)
        if (
            codec is None
            or not codec.stateless
            or not units
            or self._held_since is not None
            or self._filled
            or self._voice.concealer.in_gap
            or not self.reorder.is_at(packet, units)
            or not self.reception.is_at(packet)
        ):
            return None
        return Succession(packet, units, codec.clock_rate, self.reception.jitter, now)

    def follow(self, payload: bytes, now: float) -> None:
        """Take the payload of a packet of a `succession`."""
        self._coded.append(payload)
        self._last_audio_at = now

    @property
    def steady(self) -> bool:
        """Whether what was a succession goes on: the clock has filled nothing in."""
        return not self._filled

    def settle(self, settled: Settled) -> None:
        """Count what followed."""
        self.reception.settle(settled)
        self.reorder.settle(settled)

    @property
    def law(self) -> Law:
        """The codec of what is `coded`."""
        return law_of(self._codec.name)

    @property
    def up(self) -> Resampler:
        """What brings it to the model's rate."""
        return self._voice.up

    def coded(self, now: float) -> bytes | Samples | None:
        """What the model hears since the last time, as it came; None: `hear` it.

        Whoever takes it brings it to the model's rate by `up`, and has it recorded. Where there are
        stages it has gone through them, and is recorded.
        """
        if not self._coded or self._heard or self._ready or self.deaf:
            return None
        parts, self._coded = self._coded, []
        self._past.extend(parts)
        coded = b"".join(parts)
        if not self._stages:
            return coded
        samples = self.law.decode(coded)
        self.record(samples)
        for stage in self._stages:
            samples = stage.hear(samples, self._voice.rate, now)
        return samples

    def record(self, samples: Samples) -> None:
        """Record what was `coded`."""
        if self._track:  # as its own: a row would keep the sound of all the calls there were
            self._track(samples.copy(), self._voice.rate)

    @property
    def straight(self) -> bool:
        """Whether the model hears what was `coded` as it is."""
        return self._model_law == self._codec.name

    @property
    def recorded(self) -> bool:
        """Whether somebody records it."""
        return self._track is not None

    def hear(self, now: float) -> Samples:
        """What the model hears since the last call, at its rate; may be empty."""
        self._decode_coded()
        if ordered := self.reorder.handle_timer(now):
            self._hear(ordered, now)
        self._fill_by_clock(now)
        self._convert(now)
        if not self._ready:
            return silence(0)
        heard = self._ready[0] if len(self._ready) == 1 else np.concatenate(self._ready)
        self._ready.clear()
        return heard

    def forget(self, now: float) -> None:
        """What came until now was for others; the stream goes on from here."""
        self._decode_coded()  # it is recorded
        self._last_audio_at = now
        self._filled = 0
        self._heard.clear()
        self._ready.clear()
        self.reception.forget()
        before, self.reorder = self.reorder, Reorder(self._codec.clock_rate)
        self.reorder.lost, self.reorder.late = before.lost, before.late
        self.reorder.bursts = before.bursts

    # -- inside

    def _speak(self, rate: int) -> _Voice:
        if rate not in self._voices:
            self._voices[rate] = _Voice(rate, self.model_rate)
        return self._voices[rate]

    def _change(self, codec: Codec, now: float) -> None:
        """Go on in another codec: RFC 7160 where its clock is another one."""
        if codec.clock_rate != self._codec.clock_rate:
            self._hear(self.reorder.retime(codec.clock_rate), now)
            self.reception.retime(codec.clock_rate)
        if codec.rate != self._voice.rate:
            self._convert(now)
            before, self._voice = self._voice, self._speak(codec.rate)
            self._filled = self._filled * codec.rate // before.rate
            self._owed = self._owed * codec.rate // before.rate
        self._codec = codec

    def _decode_coded(self) -> None:
        """Go the long way from here, with what came by the short one."""
        if not (self._past or self._coded):
            return
        law, concealer = self.law, self._voice.concealer
        for payload in self._past:
            concealer.good(law.decode(payload))
        self._past.clear()
        coded, self._coded = self._coded, []
        for payload in coded:
            self._add(concealer.good(law.decode(payload)))

    def _convert(self, now: float) -> None:
        """Bring what was heard through the stages and to the model's rate."""
        if not self._heard:
            return
        heard = self._heard[0] if len(self._heard) == 1 else np.concatenate(self._heard)
        self._heard.clear()
        for stage in self._stages:
            heard = stage.hear(heard, self._voice.rate, now)
        self._ready.append(self._voice.up.push(silence(len(heard)) if self.deaf else heard))

    def _describe(self, payload: bytes) -> None:
        try:
            noise = parse_noise(payload)
        except AudioError:
            return
        if self._noise is None:
            self._noise = ComfortNoise(self._noise_start)
        self._noise.follow(noise)

    def _hear(self, ordered: list[Packet | Gap], now: float) -> None:
        if self._held_since is not None:
            return
        gap: Gap | None = None
        for it in ordered:
            if isinstance(it, Gap):
                gap = it
            else:
                self._take(it, gap, now)
                gap = None

    def _take(self, packet: Packet, gap: Gap | None, now: float) -> None:
        """Hear a packet, and the gap in front of it."""
        payload = packet.payload
        codec = self._codecs.get(packet.payload_type)  # a re-INVITE may have taken it away
        units = codec.duration(payload) if codec else len(payload)
        if codec is None or codec.rate != self._voice.rate:
            count, decoder = self._samples(units), None
        else:
            count, decoder = units * codec.rate // codec.clock_rate, self._decoder(packet, codec)
        concealer = self._voice.concealer
        guess = None
        if gap is not None:
            missing = self._missing(gap)
            lost = gap.lost and not self._covers(gap.timestamp, gap.samples, now)
            guess = decoder.conceal(missing, payload if lost else b"") if decoder else None
            if guess is not None:
                self._add(guess)
        self._filled = 0
        samples = self._decode(decoder, payload) if decoder else silence(count)
        if samples is None:
            samples = concealer.fill(count)
        elif self._covers(packet.timestamp, units, now):
            samples = silence(len(samples))  # the tone of a key is not for the model
        if gap is not None and guess is None:
            self._add(concealer.fill(missing, samples) if lost else self._pause(missing))
        samples = concealer.good(samples)
        self._add(samples)

    def _missing(self, gap: Gap) -> int:
        """Samples of a gap that the clock has not filled in already."""
        samples = self._samples(gap.samples)
        most = int(OVERDRAFT * self._voice.rate)
        self._owed = min(max(self._owed, self._filled - samples), most)
        return max(0, samples - self._filled)

    def _samples(self, units: int) -> int:
        return units * self._voice.rate // self._codec.clock_rate

    def _decoder(self, packet: Packet, codec: Codec) -> Decoder:
        decoder = self._decoders.get(packet.payload_type)
        if decoder is None:
            decoder = self._decoders[packet.payload_type] = codec.decoder()
        return decoder

    @staticmethod
    def _decode(decoder: Decoder, payload: bytes) -> Samples | None:
        """None: what came is broken."""
        try:
            return decoder.decode(payload)
        except AudioError:
            return None

    def _pause(self, count: int) -> Samples:
        """What the far end would have us hear where it sends nothing."""
        return self._noise.take(count) if self._noise else silence(count)

    def _fill_by_clock(self, now: float) -> None:
        quiet = now - self._last_audio_at
        if quiet <= STOPPED:
            return
        if not self._filled:
            self._filled, self._owed = self._owed, 0
        missing = int(quiet * self._voice.rate) - self._filled
        missing -= missing % self._voice.frame
        if missing <= 0:
            return
        self._filled += missing
        if self._held_since is not None and now - self._held_since > HOLD_SILENCE:
            if self._track:
                self._track(silence(missing), self._voice.rate)
            return
        self._add(silence(missing) if self.on_hold else self._pause(missing))

    def _add(self, samples: Samples) -> None:
        if not len(samples):
            return
        self._heard.append(samples)
        if self._track:
            self._track(samples, self._voice.rate)
