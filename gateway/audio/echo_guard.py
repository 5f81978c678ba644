"""Holding down what an echo canceller leaves; pure.

Before the canceller has learnt, where a loudspeaker distorts, and for a moment after every change
something of the echo comes through. So while we speak only what is louder than the echo's remains
can be is let through: that is a caller. How loud they can be the canceller's own work shows.

And a canceller that has not learnt yet, or has nothing to learn, takes callers away as well. Then
sound goes around it, and what is louder than the whole echo is let through.

Left out: callers who are quieter than the echo of us, while it sounds.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from .echo_path import FLOOR, Doubles, EchoPath, levels
from .frame import Samples

_ASSUMED = -10.0  # dB, an echo of which nothing is known yet
_TAIL = 12  # blocks that an echo may go on
_LEARNING = 150  # blocks of our speech before the canceller is trusted
_JUDGED = 200  # blocks of our speech by which the remains are judged
_WORST = 0.1  # of them, which may be a caller
_SAFETY = 6.0  # dB over the rest
_MOST = 6.0  # dB that the remains are below the echo, a distorted one leaves more
_DOUBT = 3.0  # dB over the echo that its remains may be
_CERTAIN = 8.0  # dB over the echo that it cannot be itself
_LOOK = 10  # blocks from one judgement to the next
_FEW = 20  # blocks, too few to judge by
_HELD_DOWN = 0.03  # of a sound that may be echo
_SURE = 2  # blocks in a row that are louder, before anything is let through
_OPEN = 5  # blocks that are let through after one that is louder


class EchoGuard:
    """One call's; `block` is 10 ms in samples."""

    def __init__(self, path: EchoPath, block: int) -> None:
        self._path = path
        self._block = block
        self._learnt = 0  # blocks
        self._remains: deque[float] = deque(maxlen=_JUDGED)  # dB below the echo, of each block
        self._taken = -_DOUBT  # dB, by which we reckon with them
        self._blocks = 0  # since the last judgement
        self._gain = 1.0
        self._loud = 0  # blocks in a row
        self._open = 0  # blocks that are still let through

    def forget(self) -> None:
        """The canceller begins anew."""
        self._learnt = 0
        self._remains.clear()
        self._taken = -_DOUBT

    def rest(self) -> None:
        """No echo can come now."""
        self._gain, self._open, self._loud = 1.0, 0, 0

    def push(self, plain: Samples, clean: Samples) -> Samples:
        """The next blocks, as they came and as the canceller gives them."""
        if self._path.verdict == "none":
            self.rest()
            return plain
        echo = self._echo(len(clean) // self._block)
        loudness = levels(clean, self._block)
        trusted = self._learnt >= _LEARNING and self._path.verdict == "found"
        if trusted:
            sound, bound = clean, echo - self._below(loudness, echo)
        else:
            sound, bound = clean, echo + _DOUBT
            self._learnt += len(loudness)
            around = levels(plain, self._block)
            if around.max() > echo + _CERTAIN:
                sound, loudness, bound = plain, around, echo + _CERTAIN
        gains = [self._gain]
        for loud in (loudness > bound).tolist():
            self._loud = self._loud + 1 if loud else 0
            self._open = _OPEN if self._loud >= _SURE else max(self._open - 1, 0)
            gains.append(1.0 if self._open else _HELD_DOWN)
        self._gain = gains[-1]
        if min(gains) == 1.0:
            return sound
        ends = np.arange(len(gains)) * self._block
        scale = np.interp(np.arange(len(sound)), ends, gains)
        return np.rint(sound * scale).astype(np.int16)

    def _below(self, loudness: Doubles, echo: float) -> float:
        """dB that remains are below the echo."""
        self._blocks += len(loudness)
        if echo > FLOOR:
            self._remains.extend((echo - loudness).tolist())
            if self._blocks >= _LOOK and len(self._remains) > _FEW:
                self._blocks = 0
                worst = sorted(self._remains)[int(len(self._remains) * _WORST)]
                self._taken = min(max(worst - _SAFETY, -_DOUBT), _MOST)
        return self._taken

    def _echo(self, count: int) -> float:
        """dBFS that the echo is at most, in so many blocks."""
        path = self._path
        if path.verdict == "learning":
            return path.loudest_possible(count) + _ASSUMED - _DOUBT
        return path.loudest(path.lag - 2, path.lag + _TAIL) + path.gain
