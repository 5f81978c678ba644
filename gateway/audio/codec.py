"""Codecs: what a call needs of each, and which there are; pure.

A decoder belongs to one stream that arrives and an encoder to one that leaves, because most keep
a state. G.711 keeps none: one object is both, for every call, and takes the frames of many calls
as one piece (`Codec.stateless`).

The clock of RTP and the rate of the samples are different things: G.722 counts 8 kHz and sounds
16, Opus counts 48 kHz whatever it sounds. `Codec` holds both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from . import g711, g722, opus
from .frame import Samples
from .g722 import G722Decoder, G722Encoder
from .opus import NO_WISHES, OpusDecoder, OpusEncoder, Wishes

ANY_LENGTH = (10, 20, 30, 40, 50, 60)  # ms


class Decoder(Protocol):
    """Sound out of packets, in their order."""

    @property
    def rate(self) -> int:
        """Hz, of the samples."""

    def decode(self, payload: bytes) -> Samples:
        """The sound of a packet; nothing for an empty one. AudioError: take it for lost."""

    def conceal(self, count: int, following: bytes = b"") -> Samples | None:
        """`count` samples in place of lost ones, if the codec has its own way to guess them.

        `following` is the payload right behind the gap, where it is there.
        """


class Encoder(Protocol):
    """Sound into packets of one length."""

    @property
    def rate(self) -> int:
        """Hz, of the samples."""

    @property
    def delay(self) -> int:
        """Samples by which what the far end decodes lags."""

    def encode(self, samples: Samples) -> bytes:
        """One packet."""

    def expect_loss(self, share: float) -> None:
        """Of our packets so many (0..1) were lost lately, as the far end reports."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec by its SDP name."""

    name: str  # in capitals
    clock_rate: int  # Hz, of RTP timestamps
    rate: int  # Hz, of the samples
    ptimes: tuple[int, ...]  # ms, that one packet of ours can last
    duration: Callable[[bytes], int]  # of a payload, in units of the RTP clock; 0: none or broken
    _decoder: Callable[[], Decoder]
    _encoder: Callable[[int, Wishes], Encoder]
    stateless: bool = False

    def decoder(self) -> Decoder:
        """For one more stream. OSError or ImportError where its library is missing."""
        return self._decoder()

    def encoder(self, ptime: int = 20, wishes: Wishes = NO_WISHES) -> Encoder:
        """For one more stream, in packets of `ptime` ms, which is one of `ptimes`."""
        return self._encoder(ptime, wishes)

    def packet_ms(self, wanted: int) -> int:
        """How long our packets last where the far end asks for `wanted` ms: never longer."""
        return max((ptime for ptime in self.ptimes if ptime <= wanted), default=self.ptimes[0])


def codec(name: str) -> Codec:
    """The codec of that SDP encoding name, in any case; ValueError when there is none."""
    try:
        return CODECS[name.upper()]
    except KeyError:
        raise ValueError(f"no codec named {name!r}") from None


def missing(name: str) -> str | None:
    """Why a codec does not work here, to be said at start; None where it does."""
    try:
        codec(name).decoder()
    except (OSError, ImportError) as error:
        return str(error)
    return None


def _g711(name: str) -> Codec:
    law = g711.codec(name)
    return Codec(
        name, law.rate, law.rate, ANY_LENGTH, len, lambda: law, lambda _ptime, _wishes: law, True
    )


CODECS = {
    "PCMU": _g711("PCMU"),
    "PCMA": _g711("PCMA"),
    "G722": Codec(
        "G722",
        g722.CLOCK_RATE,
        g722.RATE,
        ANY_LENGTH,
        len,
        G722Decoder,
        lambda ptime, _wishes: G722Encoder(ptime),
    ),
    "OPUS": Codec(
        "OPUS",
        opus.CLOCK_RATE,
        opus.RATE,
        opus.PACKETS,
        opus.duration,
        OpusDecoder,
        lambda ptime, wishes: OpusEncoder(ptime=ptime, wishes=wishes),
    ),
}
