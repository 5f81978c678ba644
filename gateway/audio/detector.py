"""Hearing digits in the sound: DTMF of ITU-T Q.23 by the limits of Q.24, as a stream; pure.

Sound is judged in blocks of 12.75 ms (102 samples at 8 kHz), by Goertzel's filter at each of the
eight frequencies, here all at once as a product with a matrix. A block may be of a digit when one
row and one column are loud, near each other in level (twist), well above the other rows and
columns, and together most of what is heard. Two such blocks in a row are a digit if they stand a
closer look: how far the phases went from one to the other tells the true frequencies, which must
be near the nominal ones; with these taken out little may be left, and of that next to nothing at
twice the frequencies, where a voice has its overtones.

A tone of 40 ms always has two whole blocks in it, one of less than 23 ms never fills two. A digit
ends with two blocks that are not of it: so a break of 10 ms does not make two of one, a pause of
40 ms does.

A digit is known 40 ms after it began. Who must not let a tone through gives sound out as far as
`clear` tells and no further (of speech, all that makes whole blocks), and blanks it from a press's
beginning to its end: 8 ms of a tone pass at most. Positions are samples since the start.

Left out: digits in a dial tone, which nobody answers a call with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import pi

import numpy as np
import numpy.typing as npt

from .frame import Samples, silence
from .tone import peak

_Floats = npt.NDArray[np.float32]

BLOCK = 0.01275  # s
FREQUENCIES = np.array([697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0])  # Hz, Q.23
KEYS = "123A456B789C*0#D"

# Ratios below are of powers.
_QUIETEST = -35.0  # dBm0 of each tone; Q.24 has -29 as the level that need not be heard
_ROW_OVER = 10.0  # the row may be 8 dB over the column (and what noise adds): lines take highs
_COLUMN_OVER = 10**0.52  # the column 4 dB over the row
_PEAK = 5.0  # over each other row or column, 7 dB, which the leakage of 8 dB of twist allows
_LIKELY = 0.35  # both tones of all that is heard, where a digit may be beginning
_SHARE = 0.6  # the same in a block of a digit, by the nominal frequencies
_PART = 0.5  # the same while a digit lasts: 5 ms of either side of a break may be missing
_CLOSE_SHARE = 42 / 51  # the same by the true frequencies
_THROUGHOUT = 0.72  # the strength of the tones in each third of a block against the whole
_OFF = 0.025  # of a frequency. Q.24 asks for 1.5 % + 2 Hz, and against 3.5 %
_OVERTONE = 0.04  # over the tone itself, -14 dB
_STEADY = 2.5  # a tone in one block over the same in the other


@dataclass(frozen=True, slots=True)
class Press:
    """A key is down (`ended` False), or was let go: always in this order, once each."""

    digit: str  # one of 0-9 * # A-D
    at: int  # sample position: of the beginning, or of the end
    ended: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Bank:
    """What all streams of one rate share."""

    size: int  # samples of a block
    steps: npt.NDArray[np.float64]  # radians of each frequency in a sample
    matrix: _Floats  # samples of a block x the eight cosines, then the eight sines
    quietest: float  # power of a tone


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """12.75 ms of sound that may be of a digit."""

    sound: _Floats
    waves: _Floats  # how much there is of the eight cosines and sines
    key: int  # that it may be of
    share: float  # of its power that the key's tones are


class Detector:
    """The digits in the sound of one call, at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self._bank = _bank(rate)
        self._rest = silence(0)  # less than a block, waiting
        self._at = 0  # position of the rest
        self._last: _Block | None = None  # the one before, if it may be of a digit
        self._since = 0  # position where such blocks began
        self._down: int | None = None  # the key that is pressed
        self._missed = False  # it was, in the last block
        self.clear = 0  # samples from the start in which no digit may just be beginning

    def push(self, samples: Samples) -> list[Press]:
        """Take the next samples of the stream; gives what was pressed and let go with them."""
        size = self._bank.size
        sound = np.concatenate((self._rest, samples))
        count = len(sound) // size
        self._rest = sound[count * size :]
        blocks = sound[: count * size].astype(np.float32).reshape(count, size)
        pressed: list[Press] = []
        for block in blocks:
            waves = block.dot(self._bank.matrix)
            total = float(block.dot(block)) * 2 / size
            self._at += size
            if self._down is None and float(waves.dot(waves)) <= _LIKELY * total:
                self._last, self.clear = None, self._at  # so it is nearly always
                continue
            powers: list[float] = (waves[:8] ** 2 + waves[8:] ** 2).tolist()
            if self._down is not None:
                if self._lasts(self._down, powers, total):
                    continue
                pressed.append(Press(KEYS[self._down], self._at - size, ended=True))
                self._down = None
            share = max(powers[:4]) + max(powers[4:])
            key = self._key(powers) if share > _LIKELY * total else None
            seen = None if key is None else _Block(block, waves, key, share / total)
            if self._begins(seen) and self._down is not None:
                pressed.append(Press(KEYS[self._down], self._since, ended=False))
        return pressed

    def _lasts(self, key: int, powers: list[float], total: float) -> bool:
        """Whether the key that was down is so after this block; what went before it matters."""
        row, column = divmod(key, 4)
        there = powers[row] + powers[4 + column] > max(_PART * total, self._bank.quietest)
        before, self._missed = self._missed, not there
        self.clear = self._at
        return there or not before

    def _key(self, powers: list[float]) -> int | None:
        """The digit that the powers of the eight tones are of: level, twist, relative peak."""
        rows, columns = powers[:4], powers[4:]
        row, column = max(rows), max(columns)
        if min(row, column) < self._bank.quietest:
            return None
        if row > column * _ROW_OVER or column > row * _COLUMN_OVER:
            return None
        if sum(power * _PEAK > row for power in rows) > 1:
            return None
        if sum(power * _PEAK > column for power in columns) > 1:
            return None
        return rows.index(row) * 4 + columns.index(column)

    def _begins(self, block: _Block | None) -> bool:
        """Take the next block, which ends at the position; whether a digit is down with it.

        None is a block that is of no digit.
        """
        size = self._bank.size
        last, self._last = self._last, block
        self.clear = self._at
        if block is None:
            return False
        # A tone may begin in the block before the first of two whole ones, but no earlier.
        self._since = max(self._since, self._at - 3 * size)
        if last is None or last.key != block.key:
            self._since = self._at - size
        elif min(last.share, block.share) > _SHARE and self._close(last, block):
            self._down, self._missed, self._last = block.key, False, None
            return True
        self.clear = max(self._since, self._at - 2 * size)
        return False

    def _close(self, first: _Block, second: _Block) -> bool:
        """The closer look at two blocks of one key."""
        bank = self._bank
        pair = np.array([first.key // 4, 4 + first.key % 4])
        before = first.waves[pair] - 1j * first.waves[8 + pair]
        after = second.waves[pair] - 1j * second.waves[8 + pair]
        nominal = bank.steps[pair]
        turn = np.angle(after * before.conj() * np.exp(-1j * nominal * bank.size))
        off = turn / bank.size
        if (np.abs(off) > nominal * _OFF).any():
            return False
        steps = nominal + off
        sounds = np.stack((first.sound, second.sound), axis=1).astype(np.float64)
        tones = _waves(steps, bank.size)
        parts = np.linalg.lstsq(tones, sounds, rcond=None)[0]
        fits = tones @ parts
        rest = sounds - fits
        if ((rest**2).sum(0) > (1 - _CLOSE_SHARE) * (sounds**2).sum(0)).any():
            return False
        thirds = (3, bank.size // 3, 2)
        there = (sounds * fits).reshape(thirds).sum(1) / (fits**2).reshape(thirds).sum(1)
        if (there < _THROUGHOUT).any():
            return False
        powers = parts[:2] ** 2 + parts[2:] ** 2  # row and column x first and second
        if (powers.max(1) > _STEADY * powers.min(1)).any():
            return False
        above = (_waves(2 * steps, bank.size).T @ rest) * (2 / bank.size)
        overtones = above[:2] ** 2 + above[2:] ** 2
        return not (overtones > _OVERTONE * powers).any()


def _waves(steps: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """`n` samples of cosines, then of sines, a column each."""
    angles = np.arange(n)[:, None] * steps
    return np.concatenate((np.cos(angles), np.sin(angles)), axis=1)


@cache
def _bank(rate: int) -> _Bank:
    size = round(BLOCK * rate)
    steps = 2 * pi * FREQUENCIES / rate
    matrix = (_waves(steps, size) * (2 / size)).astype(np.float32)
    return _Bank(size, steps, matrix, peak(_QUIETEST) ** 2)
