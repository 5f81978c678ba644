"""G.711, bytes <-> samples: PCMU (mu-law) and PCMA (A-law), ITU-T G.711; pure.

Both are memoryless, so each is two tables: 256 entries down to samples and 65,536 up to codes. The
tables are computed here once, from the segments of the Recommendation's Tables 1 and 2. A
sample that lies on a decision value goes where the ITU's own code puts it (G.191,
`ulaw_compress`, `alaw_compress`), which the Recommendation leaves open: upwards.

Left out: Appendix I (concealment, see conceal.py) and Appendix II (comfort noise, see
comfort_noise.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import TypeIs

from .frame import Samples

Codes = npt.NDArray[np.uint8]  # as on the wire
_Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """One codec by its SDP name; it keeps no state, so one object serves every call."""

    name: str
    rate: int  # Hz, of the samples
    _samples: Samples  # by code
    _codes: Codes  # by sample, as an unsigned 16-bit index

    def encode(self, samples: Samples) -> bytes:
        """One byte a sample."""
        return self.codes(samples).tobytes()

    def codes(self, samples: Samples) -> Codes:
        """The same, as an array."""
        return self._codes.take(samples.view(np.uint16))

    def decode(self, data: bytes) -> Samples:
        """One sample a byte; any bytes of any length are sound."""
        return self._samples.take(np.frombuffer(data, np.uint8))

    def silence(self, n: int) -> bytes:
        """`n` samples of silence as the codec writes it."""
        return bytes(self._codes[:1]) * n

    @property
    def delay(self) -> int:
        """Samples by which the far end's lag behind ours: none."""
        return 0

    def conceal(self, count: int, following: bytes = b"") -> Samples | None:
        """G.711 knows no way of its own; conceal.py is that of its Appendix I."""
        return None

    def expect_loss(self, share: float) -> None:
        """Changes nothing: there is nothing to repeat."""


def is_coded(sound: Samples | Codes) -> TypeIs[Codes]:
    """Whether this is sound as on the wire, and no samples."""
    return sound.itemsize == 1  # types compare ten times slower


def codec(name: str) -> Codec:
    """The codec of that SDP encoding name, in upper case; ValueError when there is none."""
    try:
        return _CODECS[name]
    except KeyError:
        raise ValueError(f"no codec named {name!r}") from None


def _ulaw_samples() -> Samples:
    """Table 2: all bits are inverted on the wire; steps of 2 in 14 bits, doubling a segment."""
    code = np.arange(256) ^ 0xFF
    segment, interval = code >> 4 & 7, code & 15
    magnitude = ((2 * interval + 33) << segment) - 33
    return _signed(magnitude, negative=code >= 0x80, scale=4)


def _alaw_samples() -> Samples:
    """Table 1: even bits are inverted on the wire; two linear segments, then doubling steps."""
    code = np.arange(256) ^ 0x55
    segment, interval = code >> 4 & 7, code & 15
    magnitude = np.where(
        segment == 0, 2 * interval + 1, (2 * interval + 33) << np.maximum(segment - 1, 0)
    )
    return _signed(magnitude, negative=code < 0x80, scale=8)


def _ulaw_codes() -> Codes:
    sample, magnitude = _magnitudes()
    biased = np.minimum((magnitude >> 2) + 33, 0x1FFF)  # the top segment ends at 8,158
    segment = _top_bit(biased) - 5
    code = (segment << 4) | (biased >> (segment + 1) & 15) | np.where(sample < 0, 0x80, 0)
    return _inverted(code, 0xFF)


def _alaw_codes() -> Codes:
    sample, magnitude = _magnitudes()
    level = magnitude >> 4
    segment = np.maximum(_top_bit(level) - 3, 0)
    code = (segment << 4) | (level >> np.maximum(segment - 1, 0) & 15)
    return _inverted(code | np.where(sample < 0, 0, 0x80), 0x55)


def _magnitudes() -> tuple[_Numbers, _Numbers]:
    """Every sample in the order of its unsigned index, and its distance from between -1 and 0."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64)
    return sample, np.where(sample < 0, ~sample, sample)


def _inverted(code: _Numbers, bits: int) -> Codes:
    """The code as the wire has it."""
    wire: Codes = (code ^ bits).astype(np.uint8)
    return wire


def _top_bit(values: _Numbers) -> _Numbers:
    """Position of the highest bit set, from 0; 0 for 0."""
    return np.frexp(np.maximum(values, 1))[1].astype(np.int64) - 1


def _signed(magnitude: _Numbers, negative: npt.NDArray[np.bool_], scale: int) -> Samples:
    """Fill the 14 (mu-law) or 13 (A-law) bits of the Recommendation up to 16."""
    return (np.where(negative, -magnitude, magnitude) * scale).astype(np.int16)


_CODECS = {
    "PCMU": Codec("PCMU", 8000, _ulaw_samples(), _ulaw_codes()),
    "PCMA": Codec("PCMA", 8000, _alaw_samples(), _alaw_codes()),
}
