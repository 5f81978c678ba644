"""Tones that we make: ring-back for who waits (ITU-T E.180), digits as sound (Q.23); pure.

A tone is computed once for each rate, all its cadence long, and every call plays from the same
samples: a frame costs a copy. Edges are soft, so that nothing clicks. Levels are dBm0, each
frequency's own, where a sine that fills G.711 has 3.14 dBm0 (G.711 §4; mu-law's 3.17 is as near).

Left out: hearing tones, which is detector.py's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .frame import Samples, silence

FULL_SCALE = 3.14  # dBm0
EDGE = 0.005  # s that a tone takes to come and to go
DIGIT = 0.1  # s of a digit's tone, and of the pause behind it

_ROWS = (697.0, 770.0, 852.0, 941.0)  # Hz, Q.23; RFC 4733 §3.2 has the digits as events
_COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
_KEYS = ("123A", "456B", "789C", "*0#D")
_ROW_LEVEL, _COLUMN_LEVEL = -10.0, -8.0  # dBm0; lines take more from the higher one


@dataclass(frozen=True, slots=True)
class Tone:
    """Frequencies that sound together, and when: what a telephone signal is made of."""

    parts: tuple[tuple[float, float], ...]  # Hz, dBm0 of each
    cadence: tuple[float, ...]  # s on, s off, and so on; then from the start


RING_BACK = Tone(parts=((425.0, -10.0),), cadence=(1.0, 4.0))
"""What most of Europe and Russia hear while it rings; E.180 asks for -10 dBm0, 5 dB up or down."""

DIGITS = {
    key: Tone(parts=((row, _ROW_LEVEL), (column, _COLUMN_LEVEL)), cadence=(DIGIT, DIGIT))
    for row, keys in zip(_ROWS, _KEYS, strict=True)
    for column, key in zip(_COLUMNS, keys, strict=True)
}


class Signal:
    """A tone over and over, at `rate` Hz."""

    def __init__(self, tone: Tone, rate: int) -> None:
        self._period = samples(tone, rate)
        self._at = 0

    def take(self, n: int) -> Samples:
        """The next `n` samples."""
        sound = self._period.take(np.arange(self._at, self._at + n), mode="wrap")
        self._at = (self._at + n) % len(self._period)
        return sound


@cache
def samples(tone: Tone, rate: int) -> Samples:
    """One period of a tone at `rate` Hz; shared, and not to be written to."""
    stretches = [
        _sound(tone, round(seconds * rate), rate)
        if index % 2 == 0
        else silence(round(seconds * rate))
        for index, seconds in enumerate(tone.cadence)
    ]
    period = np.concatenate(stretches)
    period.flags.writeable = False
    return period


def _sound(tone: Tone, n: int, rate: int) -> Samples:
    at = np.arange(n) / rate  # s
    wave = np.zeros(n)
    for frequency, level in tone.parts:
        wave += peak(level) * np.sin(2 * np.pi * frequency * at)
    edge = np.minimum(at, at[::-1]) / EDGE
    wave *= 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1.0))
    return np.rint(np.clip(wave, -32768, 32767)).astype(np.int16)


def peak(level: float) -> float:
    """The highest sample of a sine of `level` dBm0."""
    return float(32768 * 10 ** ((level - FULL_SCALE) / 20))
