"""What a frame of 20 ms costs to resample: python -m tests.benchmark.resample

Beside each figure stands a plain filter on the same input in the same run: the zeros put in, one
np.convolve with a filter of equal length, the samples picked out. Only the ratio means anything on
another machine. One frame a push is the way to the caller, two are an append of 40 ms.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in the service; read when numpy loads

import sys
import timeit
from collections.abc import Callable
from math import gcd

import numpy as np

from gateway.audio.frame import Samples, frame_samples
from gateway.audio.resample import Resampler

PAIRS = [(8000, 24000), (24000, 8000), (16000, 24000), (8000, 16000), (48000, 8000)]
ROUNDS, PUSHES = 7, 2000


class Plain:
    """A correct stream in five lines, with nothing done for speed (whole periods only)."""

    def __init__(self, source: int, target: int) -> None:
        common = gcd(source, target)
        self.up, self.down = target // common, source // common
        half = 16 * max(self.up, self.down)
        self.taps = np.sinc(np.arange(-half, half + 1) / max(self.up, self.down))
        self.taps *= np.kaiser(len(self.taps), 7.0) / self.taps.sum() * self.up
        self.line = np.zeros(2 * half)

    def push(self, samples: Samples) -> Samples:
        stuffed = np.zeros(len(samples) * self.up)
        stuffed[:: self.up] = samples
        line = np.concatenate((self.line, stuffed))
        self.line = line[len(stuffed) :]
        sound = np.convolve(line, self.taps, "valid")[:: self.down]
        return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


def cost(push: Callable[[Samples], Samples], samples: Samples, pushes: int) -> float:
    """Microseconds a push, the best of some rounds."""
    return min(timeit.repeat(lambda: push(samples), number=pushes, repeat=ROUNDS)) / pushes * 1e6


def main() -> int:
    noise = np.random.default_rng(1)
    print(f"{'Hz':>14} {'us a frame':>11} {'of two':>7} {'plain':>8} {'ratio':>6}")
    for source, target in PAIRS:
        one = noise.integers(-20000, 20000, frame_samples(source)).astype(np.int16)
        two = noise.integers(-20000, 20000, 2 * frame_samples(source)).astype(np.int16)
        single = cost(Resampler(source, target).push, one, PUSHES)
        double = cost(Resampler(source, target).push, two, PUSHES) / 2
        plain = cost(Plain(source, target).push, one, PUSHES // 50)
        pair = f"{source} {target}"
        print(f"{pair:>14} {single:11.1f} {double:7.1f} {plain:8.1f} {plain / single:6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
