"""Appended: when each piece of the caller's sound was given to the model. Pure.

The server tells time in milliseconds of all sound that was ever appended, silence and gaps
included. That is no clock: only this account turns its numbers into moments.
"""

from __future__ import annotations

from collections import deque

MEMORY = 500  # appends: 20 s at 40 ms


class Appended:
    """The account of one session; `rate` in Hz is that of the appended sound."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = 0
        self._appends: deque[tuple[int, float]] = deque(maxlen=MEMORY)

    def add(self, samples: int, now: float) -> None:
        """So many samples were appended."""
        self._samples += samples
        self._appends.append((self._samples, now))

    @property
    def seconds(self) -> float:
        """How much sound the model was given."""
        return self._samples / self._rate

    def arrived(self, ms: int) -> float | None:
        """When the sound at `ms` of the session arrived; None where that is not known."""
        sample = ms * self._rate // 1000
        for total, at in self._appends:
            if total >= sample:
                return at - (total - sample) / self._rate
        return None
