"""Opus, packets <-> samples: RFC 6716, as RTP carries it (RFC 7587); pure.

One channel of voice. The RTP clock is 48 kHz whatever the sound; the samples have any rate of
Opus's own, by default 16 kHz, the wide band that speech needs. libopus does the work: it conceals
what was lost, and reads it from the packet behind the loss where the sender repeats it there
(in-band FEC). What a far end wants of us is `Wishes`, the parameters of RFC 7587 §6.1.

Left out on purpose: stereo (it is heard as its middle); sending with DTX, since silence that is
sent keeps addresses open on the way; and the redundancy that is newer than RFC 6716 (DRED).
"""

from __future__ import annotations

from dataclasses import dataclass

from . import libopus
from .frame import Samples, silence
from .libopus import DecoderState, EncoderState

CLOCK_RATE = 48000  # Hz, of RTP timestamps: RFC 7587 §4.1
RATE = 16000  # Hz, of samples
RATES = (8000, 12000, 16000, 24000, 48000)  # Hz, that samples may have
PACKETS = (10, 20, 40, 60)  # ms, of the packets that we may send

_BIT_RATE = 32_000  # bit/s, at which FEC costs no bandwidth of the sound
_LEAST_BIT_RATE = 6_000  # bit/s: RFC 6716 §2.1.1
# A good voice at 32 kbit/s; from 2 on it costs twice the time.
_COMPLEXITY = 1
_EXPECTED_LOSS = 0.1  # until somebody knows better; without any no FEC is sent

_STEP = 120  # of the clock: 2.5 ms, the shortest frame
_SILK = (4, 8, 16, 24)  # frames of 10, 20, 40, 60 ms, in steps
_HYBRID = (4, 8)
_CELT = (1, 2, 4, 8)
# Steps of one frame by the upper five bits of the first byte: RFC 6716 §3.1, Table 2.
_FRAMES = _SILK * 3 + _HYBRID * 2 + _CELT * 4


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the receiver wants to get."""

    playback_rate: int = 48000  # Hz; of higher ones it would hear nothing (maxplaybackrate)
    bit_rate: int | None = None  # bit/s on average at most (maxaveragebitrate)
    fec: bool = False  # it can use in-band FEC (useinbandfec)
    constant: bool = False  # it prefers a constant bit rate (cbr)


NO_WISHES = Wishes()


def duration(payload: bytes) -> int:
    """How long the sound of a packet is, in units of the RTP clock; 0 where it is none.

    By its first bytes alone: RFC 6716 §3.1 and §3.2.
    """
    if not payload:
        return 0
    first = payload[0]
    frames = (1, 2, 2, 0)[first & 3]
    if not frames:
        frames = payload[1] & 63 if len(payload) > 1 else 0
    steps = frames * _FRAMES[first >> 3]
    return steps * _STEP if steps <= libopus.MAX_MS * CLOCK_RATE // 1000 // _STEP else 0


class OpusDecoder:
    """What arrives from one sender."""

    def __init__(self, rate: int = RATE) -> None:
        """ValueError for a rate that is not in RATES; OSError where there is no libopus."""
        self.rate = rate
        self._state = DecoderState(rate)
        self._step = rate // 400  # samples of 2.5 ms
        self._most = rate * libopus.MAX_MS // 1000

    def decode(self, payload: bytes) -> Samples:
        """The sound of a packet. AudioError where it is broken; the decoder goes on after it."""
        return self._state.decode(payload) if payload else silence(0)

    def conceal(self, count: int, following: bytes = b"") -> Samples:
        """`count` samples for what was lost; `following` is the packet right behind it, if known.

        FEC brings back the last frame of a loss, everything before it is guessed and soon
        fades. Also what to ask for when a sender stops for silence (DTX): its noise goes on.
        """
        whole = count - count % self._step
        read = min(whole, self._most) if following else 0
        sound = silence(count)
        for at in range(0, whole - read, self._most):
            part = sound[at : min(at + self._most, whole - read)]
            part[:] = self._state.conceal(len(part))
        if read:
            sound[whole - read : whole] = self._recover(read, following)
        return sound

    def _recover(self, count: int, following: bytes) -> Samples:
        try:
            return self._state.conceal(count, following)
        except ValueError:  # broken itself
            return self._state.conceal(count)


class OpusEncoder:
    """What is sent to one receiver, in packets of `ptime` ms."""

    def __init__(self, rate: int = RATE, *, ptime: int = 20, wishes: Wishes = NO_WISHES) -> None:
        """ValueError for a rate that is not in RATES; OSError where there is no libopus."""
        self.rate = rate
        self._count = rate * ptime // 1000
        self._state = state = EncoderState(rate)
        most = wishes.bit_rate or _BIT_RATE
        state.set(libopus.SET_BITRATE, max(_LEAST_BIT_RATE, min(_BIT_RATE, most)))
        state.set(libopus.SET_VBR, int(not wishes.constant))
        state.set(libopus.SET_COMPLEXITY, _COMPLEXITY)
        state.set(libopus.SET_SIGNAL, libopus.SIGNAL_VOICE)
        state.set(libopus.SET_MAX_BANDWIDTH, _bandwidth(wishes.playback_rate))
        state.set(libopus.SET_INBAND_FEC, int(wishes.fec))
        self.expect_loss(_EXPECTED_LOSS)
        self.delay = state.get(libopus.GET_LOOKAHEAD)

    def encode(self, samples: Samples) -> bytes:
        """One packet of `ptime` ms. ValueError where that is not what the samples are."""
        if len(samples) != self._count:
            raise ValueError(f"{len(samples)} samples for a packet of {self._count}")
        return self._state.encode(samples)

    def expect_loss(self, share: float) -> None:
        """Of the packets, 0..1, so much is lost lately: it decides how much FEC is sent."""
        self._state.set(libopus.SET_PACKET_LOSS_PERC, round(100 * min(1.0, max(0.0, share))))


def _bandwidth(playback_rate: int) -> int:
    """The widest that the receiver can play, and at least the narrowest that there is."""
    rate = max((rate for rate in RATES if rate <= playback_rate), default=RATES[0])
    return libopus.BANDWIDTHS[rate]
