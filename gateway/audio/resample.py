"""Resampling between the rates of phones and models, as a stream; pure.

A polyphase FIR filter (a low-pass at half the lower rate, windowed by Kaiser's) applied as a
matrix: a row is 2.5 ms of sound with the history that the filter needs, a column is one output
sample, so that a frame is one product of two small matrices and costs a few microseconds.

With the ratio target : source = up : down in lowest terms, the stream has a period, the unit:
`down` samples in, `up` samples out. After n samples in, exactly floor(n * up / down) are out,
whatever the sizes of the pushes: nothing waits, nothing drifts. What the filter costs is a lag of
16 samples of the lower rate (2 ms of 8 kHz), told as `delay`.

Left out: following a clock that drifts, and rates that nobody here uses (the matrix of an odd ratio
would be large).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil, gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .frame import Samples

RATES = frozenset({8000, 16000, 24000, 44100, 48000})  # Hz

_Floats = npt.NDArray[np.float32]

_HALF_LENGTH = 16  # samples of the lower rate on each side of the filter's centre
# As arrays, because numpy is slower with numbers.
_LOWEST, _HIGHEST = np.array(-32768, np.float32), np.array(32767, np.float32)
_BETA = 7.0  # of Kaiser's window: everything from 1.15 of the edge up is 70 dB down
_ROW_HZ = 400  # rows of at least 2.5 ms: longer ones multiply more zeros, shorter ones copy more


class _Filter(NamedTuple):
    """What all streams of one ratio share."""

    up: int
    down: int
    delay: int  # samples at the source rate
    history: int  # samples before a row that its outputs still depend on
    row: int  # samples in a row, a whole number of units
    matrix: _Floats  # (history + row) x the outputs of a row


class Resampler:
    """One direction of one call. ValueError for a rate that is not in RATES."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        if not {source_rate, target_rate} <= RATES:
            raise ValueError(f"no resampling from {source_rate} to {target_rate} Hz")
        self.rates = source_rate, target_rate
        self._filter = _design(source_rate, target_rate)
        self.reset()

    @property
    def delay(self) -> int:
        """Samples at the source rate by which the output lags.

        Feed that many ahead, drop what comes out, and the rest is in step with what is fed after
        it: exactly, but for 44.1 kHz, where a part of a sample remains.
        """
        return self._filter.delay

    def reset(self) -> None:
        """Begin anew, after silence."""
        self._phase = 0  # samples of the unfinished unit, kept behind the history
        self._line = np.zeros(self._filter.history, np.float32)
        self._fit(1)

    def takes(self, length: int) -> bool:
        """Whether `push_all` may have so many samples: whole rows, and none begun."""
        return not (self._phase or length % self._filter.row)

    def push(self, samples: Samples) -> Samples:
        """Take the next samples of the stream and give all that can follow them, saturated."""
        up, down, delay, history, row, matrix = self._filter
        if not delay:
            return samples
        before, after = self._phase, self._phase + len(samples)
        if after > self._rows * row or after <= (self._rows - 1) * row:
            self._fit(-(-after // row))
        line, sound = self._line, self._sound
        line[history + before : history + after] = samples
        self._windows.dot(matrix, self._product)
        np.rint(sound, out=sound)
        sound.clip(_LOWEST, _HIGHEST, out=sound)
        self._phase = after % down
        line[: history + self._phase] = line[after - self._phase : history + after]
        return sound[before * up // down : after * up // down].astype(np.int16)

    def _fit(self, rows: int) -> None:
        """Make room for pushes of that many rows: most are as long as the one before."""
        _, _, _, history, row, matrix = self._filter
        line = np.zeros(history + rows * row, np.float32)
        kept = history + self._phase
        line[:kept] = self._line[:kept]
        self._rows = rows
        self._line = line
        # Rows overlap by the history, so this is a view of the line and no array of its own.
        self._windows: _Floats = np.ndarray(
            (rows, history + row), np.float32, line, 0, (row * line.itemsize, line.itemsize)
        )
        self._product = np.empty((rows, matrix.shape[1]), np.float32)
        self._sound = self._product.reshape(-1)


def push_all(streams: Sequence[Resampler], block: Samples) -> Samples:
    """What `push` does, for many streams of one pair of rates at once: a fifth of the work.

    `block` is a row of samples for each stream, so is what comes out. Each stream `takes` as many.
    """
    _, _, delay, history, row, matrix = streams[0]._filter
    if not delay:
        return block
    count, length = block.shape
    line = np.empty((count, history + length), np.float32)
    for stream, start in zip(streams, line, strict=True):
        start[:history] = stream._line[:history]
    line[:, history:] = block
    step = line.itemsize
    windows: _Floats = np.ndarray(
        (count, length // row, history + row), np.float32, line, 0,
        (line.strides[0], row * step, step),
    )  # fmt: skip
    sound = (windows.reshape(-1, history + row) @ matrix).reshape(count, -1)
    np.rint(sound, out=sound)
    sound.clip(_LOWEST, _HIGHEST, out=sound)
    for stream, end in zip(streams, line[:, length:], strict=True):
        stream._line[:history] = end
    return sound.astype(np.int16)


@cache
def _design(source_rate: int, target_rate: int) -> _Filter:
    """The filter of a pair of rates; the times below are in steps of source_rate * up."""
    common = gcd(source_rate, target_rate)
    up, down = target_rate // common, source_rate // common
    if up == down:
        return _Filter(1, 1, 0, 0, 1, np.ones((1, 1), np.float32))
    delay = ceil(_HALF_LENGTH * max(up, down) / up)
    # Output m looks back from step (m + 1) * down - 1, the last one inside its own period: the
    # newest source sample there is the last one that floor(n * up / down) > m allows.
    centre = delay * up + down - 1
    taps = np.sinc((np.arange(2 * centre + 1) - centre) / max(up, down))
    taps *= np.kaiser(2 * centre + 1, _BETA)
    for phase in range(up):
        taps[phase::up] /= taps[phase::up].sum()  # direct current passes exactly, in each phase
    history = (2 * centre - (down - 1) + up - 1) // up
    row = ceil(source_rate / _ROW_HZ / down) * down
    step = np.arange(1, row // down * up + 1) * down - 1  # where each output of a row looks from
    at = step[None, :] - (np.arange(history + row)[:, None] - history) * up
    matrix = np.where((at >= 0) & (at < len(taps)), taps.take(at, mode="clip"), 0.0)
    return _Filter(up, down, delay, history, row, matrix.astype(np.float32))
