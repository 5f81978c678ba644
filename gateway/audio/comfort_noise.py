"""Comfort noise: RFC 3389, what is heard while the far end sends no sound for its silence; pure.

A payload is a level and, if the sender likes, the colour of the noise as reflection coefficients
of an all-pole filter (their sign as ITU-T G.711 Appendix II and everybody have it: low noise has a
first coefficient below zero). The noise here is a period of 4,096 samples with
every frequency in it, random phases and the colour's magnitudes: so the level is exact, the
period has no seam, and a frame of it costs a copy.

The colour is relative to the sample rate of the codec that falls silent, so nothing here knows a
rate. Left out: fading from one noise into the next, which are as good as equal in a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from .frame import AudioError, Samples

CLOCK_RATE = 8000  # Hz, of payload type 13
QUIETEST = 127  # -dBov

_OVERLOAD = 32124.0  # 0 dBov: a square wave that fills mu-law (§3.1), in 16 bits
_ORDER = 10  # coefficients that are sent, and the most that are heeded
_STEP = 258 / 32768  # of a coefficient (§3.2); 127 stands for 0
_PERIOD = 4096  # samples
_SEED = 3389

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Noise:
    """One kind of noise."""

    level: int = QUIETEST  # -dBov, 0 (as loud as can be) to 127
    colour: tuple[int, ...] = ()  # coefficients as the wire has them, 0 to 254; none: white


def parse(payload: bytes) -> Noise:
    """Read a payload, §3.3. AudioError where it has not even a level."""
    if not payload:
        raise AudioError("comfort noise without a level")
    # A receiver may use fewer coefficients than it gets (§3); 255 is none of them.
    colour = payload[1 : 1 + _ORDER].partition(b"\xff")[0]
    return Noise(payload[0] & 0x7F, tuple(colour))


def encode(noise: Noise) -> bytes:
    """The payload that says so."""
    return bytes((noise.level, *noise.colour))


def measure(samples: Samples) -> Noise:
    """What is sent in place of these samples, a frame or several of the silence."""
    sound = samples.astype(np.float64)
    power = float(np.mean(np.square(sound))) if len(sound) else 0.0
    if not power:
        return Noise()
    level = round(-20 * np.log10(np.sqrt(power) / _OVERLOAD))
    return Noise(min(QUIETEST, max(0, level)), _colour(sound * np.hanning(len(sound))))


class ComfortNoise:
    """The noise of one stream. `start` (any number) is where it begins, so that calls differ."""

    def __init__(self, start: int = 0) -> None:
        self._at = start % _PERIOD
        self._period = _period(Noise())

    def follow(self, noise: Noise) -> None:
        """Sound like this from now on."""
        self._period = _period(noise)

    def take(self, n: int) -> Samples:
        """The next `n` samples."""
        sound = self._period.take(np.arange(self._at, self._at + n), mode="wrap")
        self._at = (self._at + n) % _PERIOD
        return sound


@lru_cache(maxsize=256)
def _period(noise: Noise) -> Samples:
    """Shared, and not to be written to."""
    spectrum = _white() / np.fft.rfft(_filter([(n - 127) * _STEP for n in noise.colour]), _PERIOD)
    sound = np.fft.irfft(spectrum)
    sound *= _OVERLOAD * 10 ** (-noise.level / 20) / np.sqrt(np.mean(np.square(sound)))
    period = np.rint(np.clip(sound, -32768, 32767)).astype(np.int16)
    period.flags.writeable = False
    return period


@cache
def _white() -> npt.NDArray[np.complex128]:
    """Every frequency, equally loud, but for the two ends, which have no phase."""
    phases = np.random.default_rng(_SEED).uniform(0, 2 * np.pi, _PERIOD // 2 + 1)
    white: npt.NDArray[np.complex128] = np.exp(1j * phases)
    white[[0, -1]] = 0
    return white


def _filter(reflections: Sequence[float]) -> _Floats:
    """The polynomial A(z) of the filter 1/A(z), by the step-up recursion."""
    polynomial = np.ones(1)
    for reflection in reflections:
        polynomial = _longer(polynomial, reflection)
    return polynomial


def _longer(polynomial: _Floats, reflection: float) -> _Floats:
    longer = np.append(polynomial, 0.0)
    return longer + reflection * longer[::-1]


def _colour(sound: _Floats) -> tuple[int, ...]:
    """Coefficients from the autocorrelation, by the recursion of Levinson and Durbin."""
    sound = np.append(sound, np.zeros(_ORDER))
    correlation = [float(sound[lag:] @ sound[: len(sound) - lag]) for lag in range(_ORDER + 1)]
    correlation[0] *= 1.0001  # 40 dB below: what is pure has no filter
    polynomial, error, colour = np.ones(1), correlation[0], []
    for order in range(1, _ORDER + 1):
        ahead = float(polynomial @ correlation[order:0:-1])
        reflection = -ahead / error if error > 0 else 0.0
        colour.append(min(254, max(0, round(reflection / _STEP) + 127)))
        polynomial = _longer(polynomial, reflection)
        error *= 1 - reflection * reflection
    return tuple(colour)
