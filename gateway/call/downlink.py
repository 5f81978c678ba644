"""Downlink: the model's speech as packets for the caller. Pure.

    packet ◀─ codec ◀─ ring-back, keys or speech ◀─ resample ◀─ playout ◀─ model

A tick makes 20 ms of sound, and as many packets as that fills: of 10 ms two, of 20 ms one, of 60 ms
one in each third tick. They leave with the next tick; timestamps go on without a break. Keys that
the model presses, and the ring-back while somebody else is called, go out in the place of its
speech, which waits and is not counted.

What leaves is what was counted: the resampler is fed ahead by its delay. That of a codec does not
count: what it holds back of a reply that is cut short leaves with the silence behind it.

Mostly there is nothing to do but that: then `speech` and `pack` let many calls share it, in
together.py. What a model says in the line's own G.711 is not decoded: it leaves as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from gateway.audio.codec import codec as codec_of
from gateway.audio.frame import FRAME_MS, Samples, silence
from gateway.audio.g711 import Codes, is_coded
from gateway.audio.g711 import codec as law_of
from gateway.audio.opus import Wishes
from gateway.audio.playout import Heard, Part, Playout
from gateway.audio.resample import Resampler
from gateway.audio.tone import RING_BACK, Signal
from gateway.rtp.packet import HEADER, HEADER_BYTES, Packet, encode
from gateway.sdp.negotiation import Media

from .digits import Digits
from .echo import Echo

Track = Callable[[Samples, int], None]  # samples and their rate in Hz


@dataclass(frozen=True, slots=True)
class Start:
    """The random beginnings of an RTP stream (RFC 3550 §5.1)."""

    ssrc: int
    sequence: int
    timestamp: int


class _Piece(NamedTuple):
    """Some sound that is to leave."""

    sound: Samples | Codes
    taken: int  # samples of the playout that are in it: 0, or as long as it is


class Downlink:
    """One call's. `track` records what was sent, `echo` knows it by that."""

    def __init__(
        self,
        media: Media,
        playout: Playout,
        start: Start,
        track: Track | None = None,
        echo: Echo | None = None,
    ) -> None:
        self.playout = playout
        self.packets: list[bytes] = []  # what the next tick sends
        self.packets_sent = 0
        self.octets_sent = 0  # of payload
        self.keys: Digits | None = None  # go out before any more speech
        self.inform: str | None = None  # the key that INFO has to carry now
        self._ring: Signal | None = None  # heard instead of any speech
        self._track = track
        self._echo = echo
        self.ssrc, self._sequence = start.ssrc, start.sequence
        self._timestamp = start.timestamp  # of the sound of this tick
        self._marker = True
        self._waiting: list[_Piece] = []  # too short for a packet, or from before a hold
        self._leaving: list[tuple[int, _Piece]] = []  # timestamps and sound of `packets`
        self._rate = 0
        self._paused = False  # when the sound of this tick was made
        self._made_at = 0  # its rate, Hz
        self._shape = ("", 0)  # of packets: the codec's name, ms
        self._stale = False  # what was made for this tick has another shape
        self.use(media)

    @property
    def ring(self) -> bool:
        """Does the caller hear that it rings?"""
        return self._ring is not None

    @ring.setter
    def ring(self, ring: bool) -> None:
        self._ring = (self._ring or Signal(RING_BACK, self._rate)) if ring else None

    def use(self, media: Media) -> None:
        """Take what was agreed."""
        if self._rate:  # of the law there was
            self._leaving = [(at, self._sampled(piece)) for at, piece in self._leaving]
            self._waiting = [self._sampled(piece) for piece in self._waiting]
            if not media.sending:  # the stream begins anew after the pause
                self._take_back()
                self._marker = True
        self._media = media
        codec = codec_of(media.codec.name)
        ptime = codec.packet_ms(media.ptime)
        piece = FRAME_MS if ptime % FRAME_MS == 0 else FRAME_MS // 2  # ms
        wishes = Wishes(**asdict(media.wishes))
        self._encoder = codec.encoder(ptime, wishes)
        self._stale = self._stale or self._shape != (codec.name, ptime)
        self._shape = codec.name, ptime
        self._pieces = ptime // piece  # in a packet
        self._units = codec.clock_rate * piece // 1000  # of the RTP clock, in a piece
        self._tick_units = codec.clock_rate * FRAME_MS // 1000
        if self._rate != codec.rate:
            self._change(codec.rate)
        self._piece = codec.rate * piece // 1000
        self._waiting = self._divided(self._waiting)
        self._taken = self.playout.rate * FRAME_MS // 1000  # of the playout, in 20 ms
        self.law = law_of(codec.name if codec.stateless else "PCMU")  # of codes, if any leave
        self._plain = codec.stateless and ptime == FRAME_MS and media.sending
        self._silence = self._encoder.encode(silence(self._frame)) if self._plain else b""
        self._still = False
        self.playout.use_law(codec.name)

    def expect_loss(self, share: float) -> None:
        """Prepare for it that of our packets so many (0..1) are lost, as of the latest were."""
        self._encoder.expect_loss(share)

    def prepare(self) -> None:
        """Make the packets that the next tick sends."""
        self._timestamp = (self._timestamp + self._tick_units) & 0xFFFFFFFF
        if self._stale and self._leaving:  # it had to wait for keys
            self._take_back()
        self._stale, self._made_at = False, self._rate
        self._paused = not self._media.sending
        if self._paused:
            return
        if len(self._waiting) < self._pieces:
            self._make()
        if self._waiting:
            self._pack()

    @property
    def down(self) -> Resampler:
        """What brings `speech` to the line's rate."""
        return self._down

    def speech(self) -> Samples | None:
        """Do what `prepare` does, as far as it is this call's alone.

        Returns the next 20 ms of the model's speech, to go through `down` and `law` into `pack`;
        None: all is done.
        """
        if not self._plain or self._waiting or self._leaving or self._ring or self.keys:
            self.prepare()
            return None
        self._timestamp = (self._timestamp + self._tick_units) & 0xFFFFFFFF
        speech = self.playout.next(self._taken)
        if speech is None:
            if self._still:
                self.pack(self._silence, silence(self._frame))
                return None
            self._still = True
            return silence(self._taken)
        self._still = False
        if is_coded(speech):
            self.pack(speech.tobytes(), speech)
            return None
        return speech

    def pack(self, payload: bytes, sound: Samples | Codes) -> None:
        """Make the packet of 20 ms of sound."""
        kind = self._media.codec.payload_type | (0x80 if self._marker else 0)
        header = HEADER.pack(0x80, kind, self._sequence, self._timestamp, self.ssrc)
        self._paused, self._stale, self._made_at = False, False, self._rate
        self._leaving = [(self._timestamp, _Piece(sound, self._taken))]
        self.packets = [header + payload]

    def sent(self, now: float) -> Part | None:
        """The packets left; returns the part of the model's speech that began with them, if any."""
        if self._track:
            self._tell(self._track)
        if not self.packets:
            return None
        if self._echo:
            self._return(self._echo, now)
        count, taken = len(self.packets), 0
        for packet in self.packets:
            self.octets_sent += len(packet) - HEADER_BYTES
        for _, piece in self._leaving:
            taken += piece.taken
        self.packets_sent += count
        self._sequence = (self._sequence + count) & 0xFFFF
        self._marker = False
        self.packets, self._leaving = [], []
        return self.playout.sent(taken, now)

    def skip(self, ticks: int) -> None:
        """Let time pass without packets: the tick came late, and bursts help nobody."""
        self._timestamp = (self._timestamp + ticks * self._tick_units) & 0xFFFFFFFF
        if self._track:
            self._track(silence(ticks * self._frame), self._rate)

    def cut(self) -> list[Heard]:
        """Stop speaking at once; what was prepared but not sent is silence now."""
        heard = self.playout.cut()
        self._prime()
        self._waiting = [_silent(piece) for piece in self._waiting]
        if any(piece.taken for _, piece in self._leaving):  # a key goes on
            if self._stale:
                self._leaving, self.packets, self._paused = [], [], True
            else:
                self._leaving = [(at, _silent(piece)) for at, piece in self._leaving]
                self._encode()
        return heard

    def stand(self) -> Start:
        """Where whoever goes on with our stream begins."""
        return Start(self.ssrc, self._sequence, self._timestamp)

    def resume(self, start: Start) -> None:
        """Go on with our stream where another stands; speech that had not left is still to come."""
        self._leaving = [(at, piece) for at, piece in self._leaving if piece.taken]
        self._take_back()
        self._sequence = start.sequence
        self._timestamp = (start.timestamp - self._tick_units) & 0xFFFFFFFF
        self._marker = True

    # -- inside

    def _take_back(self) -> None:
        """What was prepared is still to come; as silence where sound has another rate by now."""
        pieces = [self._sampled(piece) for _, piece in self._leaving]
        if self._made_at != self._rate:
            pieces = [_at_rate(piece, self._made_at, self._rate) for piece in pieces]
        self._waiting[:0] = self._divided(pieces)
        self._leaving, self.packets = [], []

    def _change(self, rate: int) -> None:
        """Sound has another rate from now on; what waits keeps its length, and is not heard."""
        before, self._rate = self._rate, rate
        self._frame = rate * FRAME_MS // 1000
        self._waiting = [_at_rate(piece, before, rate) for piece in self._waiting]
        if self._ring:
            self._ring = Signal(RING_BACK, rate)
        self._down = Resampler(self.playout.rate, rate)
        self.playout.use_law(None)
        self._prime()

    def _prime(self) -> None:
        """Feed the resampler ahead by its own delay, so that what leaves is what was counted."""
        self._still = False
        self._down.reset()
        if self._down.delay:
            ahead = self.playout.take(self._down.delay)
            assert not is_coded(ahead)  # that needs no resampling
            self._down.push(ahead)

    def _make(self) -> None:
        """20 ms more of sound, or a key in its place."""
        taken = 0
        sound: Samples | Codes
        if self._ring:
            sound = self._ring.take(self._frame)
        elif self.keys and self._waiting and self.keys.sends_event(self._media):
            # in the place of a packet: one that has begun is filled up first
            sound = silence(self._frame)
        elif self.keys:
            step = self.keys.step(
                self._media, self._sequence, self._timestamp, self.ssrc, self._rate
            )
            self.inform = step.inform
            if step.packet:
                self.packets = [encode(step.packet)]
                return
            sound = silence(self._frame) if step.sound is None else step.sound
        else:
            taken, self._still = self._taken, False
            said = self.playout.take(taken)
            sound = said if is_coded(said) else self._down.push(said)
        if self._piece == self._frame:
            self._waiting.append(_Piece(sound, taken))
        else:
            half = self._piece
            self._waiting += [_Piece(sound[:half], taken // 2), _Piece(sound[half:], taken // 2)]

    def _pack(self) -> None:
        """Make packets of what waits, as far as it goes."""
        end = self._timestamp + self._tick_units
        while len(self._waiting) >= self._pieces:
            at = (end - len(self._waiting) * self._units) & 0xFFFFFFFF
            self._leaving.append((at, self._joined(self._waiting[: self._pieces])))
            del self._waiting[: self._pieces]
        self._encode()

    def _encode(self) -> None:
        payload_type, marker = self._media.codec.payload_type, self._marker
        self.packets = []
        for index, (at, piece) in enumerate(self._leaving):
            sequence, payload = self._sequence + index, self._coded(piece.sound)
            packet = Packet(payload_type, sequence, at, self.ssrc, payload, marker)
            self.packets.append(encode(packet))
            marker = False

    def _joined(self, pieces: list[_Piece]) -> _Piece:
        if len(pieces) == 1:
            return pieces[0]
        taken = sum([piece.taken for piece in pieces])
        codes = [piece.sound for piece in pieces if is_coded(piece.sound)]
        if len(codes) == len(pieces):
            return _Piece(np.concatenate(codes), taken)
        return _Piece(np.concatenate([self._samples(piece.sound) for piece in pieces]), taken)

    def _divided(self, pieces: list[_Piece]) -> list[_Piece]:
        """The same sound in pieces as packets have them now; silence fills up the last one."""
        least = self._rate * FRAME_MS // 2000  # of 10 ms
        parts = [
            _Piece(piece.sound[at : at + least], piece.taken * least // len(piece.sound))
            for piece in pieces
            for at in range(0, len(piece.sound), least)
        ]
        each = self._piece // least
        if len(parts) % each:
            parts.append(_Piece(silence(least), 0))
        return [self._joined(parts[at : at + each]) for at in range(0, len(parts), each)]

    def _coded(self, sound: Samples | Codes) -> bytes:
        return sound.tobytes() if is_coded(sound) else self._encoder.encode(sound)

    def _sampled(self, piece: _Piece) -> _Piece:
        return piece._replace(sound=self._samples(piece.sound))

    def _samples(self, sound: Samples | Codes) -> Samples:
        return self.law.decode(sound.tobytes()) if is_coded(sound) else sound

    def _tell(self, track: Track) -> None:
        if self._leaving:
            for _, piece in self._leaving:  # as its own: a row would keep the sound of all calls
                track(self._samples(piece.sound).copy(), self._made_at)
        elif self.packets or self._paused or not self._media.sending:  # a key, or nothing
            track(silence(self._frame), self._rate)

    def _return(self, echo: Echo, now: float) -> None:
        for _, piece in self._leaving:
            echo.sent(self._samples(piece.sound), self._made_at, now)
        if not self._leaving:  # a key
            echo.sent(silence(self._frame), self._rate, now)


def _at_rate(piece: _Piece, before: int, rate: int) -> _Piece:
    """As long as it was, and silent."""
    return piece._replace(sound=silence(len(piece.sound) * rate // before))


def _silent(piece: _Piece) -> _Piece:
    return _Piece(silence(len(piece.sound)), 0) if piece.taken else piece
