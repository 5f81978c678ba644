"""Concealment of lost packets: the last frame again, fading, then silence; pure.

Half of what a pitch repeater (G.711 Appendix I) gains over silence, in a few lines. The listener is
a model that hears about 60 ms at most of it: longer gaps are silence.
"""

from __future__ import annotations

import numpy as np

from .frame import Samples, frame_samples, silence

_GAINS = (1.0, 0.65, 0.65 * 0.65)  # by frame of the gap: 35 % less each


class Concealer:
    """One direction of one call, at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self._last = silence(frame_samples(rate))  # the last 20 ms heard
        self._gains = np.repeat(np.array(_GAINS, np.float32), len(self._last))
        self._filled = 0  # samples of this gap so far

    def good(self, samples: Samples) -> None:
        """Remember sound that arrived; it ends the gap."""
        frame = len(self._last)
        if len(samples) >= frame:
            self._last = samples[-frame:]
        else:
            self._last = np.concatenate((self._last, samples))[-frame:]
        self._filled = 0

    def fill(self, n: int) -> Samples:
        """The next `n` samples of a gap."""
        sound = silence(n)
        gains = self._gains[self._filled : self._filled + n]
        if len(gains):
            at = np.arange(self._filled, self._filled + len(gains))
            sound[: len(gains)] = self._last.take(at, mode="wrap") * gains
        self._filled += n
        return sound
