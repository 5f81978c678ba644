"""Which of many machines is due next.

Pure. A heap whose entries are never moved: a changed deadline is a new entry, the old one is
passed over when it comes up. Thousands of transactions cost a logarithm each, not a scan.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Schedule(Generic[_T]):
    def __init__(self) -> None:
        self._due: dict[_T, float] = {}
        self._heap: list[tuple[float, int, _T]] = []
        self._order = count()  # machines due at once keep the order in which they were set

    def set(self, machine: _T, deadline: float | None) -> None:
        """Wake `machine` at `deadline` and not before; never, if None."""
        if deadline is None:
            self._due.pop(machine, None)
        elif self._due.get(machine) != deadline:
            self._due[machine] = deadline
            heapq.heappush(self._heap, (deadline, next(self._order), machine))
            if len(self._heap) > 2 * len(self._due) + 64:
                self._sweep()

    def _sweep(self) -> None:
        """Drop what was passed over: a peer that moves a deadline often costs no memory."""
        self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)

    @property
    def deadline(self) -> float | None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> Iterator[_T]:
        """Yield every machine whose deadline has come; each has to be set again."""
        while (deadline := self.deadline) is not None and deadline <= now:
            _, _, machine = heapq.heappop(self._heap)
            del self._due[machine]
            yield machine
