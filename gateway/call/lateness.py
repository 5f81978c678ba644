"""Lateness: how late the ticks are, how much time they take, and when that is too much. Pure.

Ticks are due in an even row of 20 ms; where the row lies, the earliest of them shows. Of the last
five seconds count the lateness that one tick in a hundred exceeds, and the share of the time that
the ticks themselves took: over the limit the process has as many calls as it can bear, until it is
well below it again. A single pause of whatever length, a neighbour's or the collector's, makes two
late ticks at most (the engine makes up for the others by silence): that is no overload.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from gateway.audio.frame import FRAME_MS

TICK = FRAME_MS / 1000  # s
WINDOW = 250  # ticks that are judged: 5 s
EVERY = 50  # ticks from judgement to judgement
BUSY = 0.8  # of the time, in the ticks alone: with what else there is to do that is all of a core
LATE_AGAIN, BUSY_AGAIN = 0.5, 0.75  # of the limits, below which calls are taken again
BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # s


class Histogram:
    """How many values were at most so large, for each bound."""

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        """Count one more."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def cumulated(self) -> list[int]:
        """For each bound how many values are not above it; then all of them."""
        return list(accumulate(self._counts))


class _Tick(NamedTuple):
    began: float
    late: float
    work: float


class Lateness:
    """That of one process; `limit` in s of lateness, 0: nothing is ever too late."""

    def __init__(self, limit: float) -> None:
        self.late = Histogram()  # s after it was due
        self.work = Histogram()  # s of one tick
        self.missed = 0  # ticks that were left out, because the ones before took too long
        self.overloaded = False
        self.p99 = 0.0  # s of lateness, of the last five
        self.busy = 0.0  # share of the last five seconds
        self._limit = limit
        self._first = 0.0  # when the first tick was due
        self._count = -1  # ticks that were due since then
        self._ticks: deque[_Tick] = deque(maxlen=WINDOW)
        self._until_judged = WINDOW

    def note(self, began: float, missed: int, work: float) -> None:
        """A tick `began` then and took `work` s; `missed` ones before it were left out."""
        self.missed += missed
        self._count += 1 + missed
        late = began - self._first - self._count * TICK
        if late < 0 or not self._count:  # the earliest so far
            self._first, late = began - self._count * TICK, 0.0
        self.late.add(late)
        self.work.add(work)
        self._ticks.append(_Tick(began, late, work))
        self._until_judged -= 1
        if not self._until_judged:
            self._until_judged = EVERY
            self._judge()

    def _judge(self) -> None:
        self.p99 = sorted(tick.late for tick in self._ticks)[-1 - WINDOW // 100]
        seconds = self._ticks[-1].began - self._ticks[0].began + TICK
        self.busy = sum(tick.work for tick in self._ticks) / seconds
        late, busy = self._limit, BUSY
        if self.overloaded:
            late, busy = late * LATE_AGAIN, busy * BUSY_AGAIN
        self.overloaded = self._limit > 0 and (self.p99 > late or self.busy > busy)
