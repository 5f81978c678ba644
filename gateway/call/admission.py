"""Admission: whether one more call is taken. Pure.

Before anything is opened for a call: how many at once, how many new ones in a second, none while
sound leaves late, and none while the service goes down. What is over a limit is answered 503 with
Retry-After; calls in progress are never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .ending import Refusal, unavailable


class Admission:
    """The limits of one process: `at_once` calls, `per_second` new ones.

    `overloaded` tells whether those that there are take all the time there is.
    """

    def __init__(
        self, *, at_once: int, per_second: int, overloaded: Callable[[], bool] = lambda: False
    ) -> None:
        self.draining = False
        self.refused: Counter[str] = Counter()  # by cause
        self._overloaded = overloaded
        self._at_once = at_once
        self._per_second = float(per_second)
        self._tokens = float(per_second)  # a bucket that holds a second's worth
        self._filled_at = 0.0

    def refusal(self, calls: int, now: float) -> Refusal | None:
        """Why a new call is not taken; None takes it. `calls` are those in progress."""
        refusal = self._refusal(calls, now)
        if refusal:
            self.refused[refusal.cause] += 1
        return refusal

    def _refusal(self, calls: int, now: float) -> Refusal | None:
        if self.draining:
            return unavailable("draining", "The service is going down")
        if self._overloaded():
            return unavailable("overload", "Too busy for another call")
        if calls >= self._at_once:
            return unavailable("max_calls", "Too many calls at once")
        waited = now - self._filled_at
        self._tokens = min(self._per_second, self._tokens + waited * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return unavailable("max_calls_per_second", "Too many new calls")
        self._tokens -= 1
        return None
