"""What was sent, for as long as it may come back, and where in it the sound heard belongs; pure.

What is sent goes by the gateway's clock, what is heard by the caller's, and comes in packets that
were held up on their way. So both are counted, not timed: the place among the sound sent, of a
sample that is heard, moves only as slowly as the two clocks drift apart. A place is a number of
samples since the zero of the gateway's clock.
"""

from __future__ import annotations

from math import inf

from .frame import Samples, silence

_KEPT = 3  # s: the latest echo that is looked for, as far held back, and some
_PAUSE = 0.06  # s without anything sent, from where on it was silence
_WINDOW = 5.0  # s, of which the push that came soonest shows the clocks
_DRIFT = 0.001  # s, from where on clocks are followed
_JUMP = 0.045  # s, from where on it is the network that has changed, and not the clocks
_SLIP = 3200  # samples for each that is put in or left out: 300 ppm, which a canceller follows
_AHEAD, _BEHIND = 0.06, 0.5  # s of the count against the clock, by which it has lost its meaning


class Sent:
    """What was sent, by its place; at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._sound = silence(2 * _KEPT * rate)
        self._used = 0  # samples of it
        self._end: int | None = None  # place of what is sent next

    def push(self, samples: Samples, now: float) -> None:
        """Take what is handed to the network now (s). Where nothing was, there was silence."""
        place = round(now * self._rate)
        if self._end is None:
            self._end = place
        missing = place - self._end
        if missing > _PAUSE * self._rate:
            self._end = place
            self._add(silence(min(missing, _KEPT * self._rate)))
        self._end += len(samples)
        self._add(samples)

    def take(self, place: int, n: int) -> Samples:
        """`n` samples from a place on; silence where nothing was sent."""
        begin = self._used - ((self._end or 0) - place)
        if begin >= 0 and begin + n <= self._used:
            return self._sound[begin : begin + n]
        sound = silence(n)
        first, last = max(begin, 0), min(begin + n, self._used)
        if first < last:
            sound[first - begin : last - begin] = self._sound[first:last]
        return sound

    def _add(self, samples: Samples) -> None:
        if self._used + len(samples) > len(self._sound):
            kept = len(self._sound) // 2
            self._sound[:kept] = self._sound[self._used - kept : self._used]
            self._used = kept
        self._sound[self._used : self._used + len(samples)] = samples
        self._used += len(samples)


class Place:
    """Where samples heard belong, by their number and not by their arrival; at `rate` Hz.

    A packet comes late, never early. So the one that came soonest in some seconds shows how far
    the caller's clock is from ours, and the place follows that, sample by sample: steps of a
    frame, too, for who looks once in 20 ms does not see less.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._next: int | None = None
        self._usual: float | None = None  # samples that the soonest packet came late
        self._soonest = inf
        self._window = 0  # samples of the window so far
        self._unmoved = 0  # samples since the last that was moved
        self._slips = 0  # samples still to be moved

    def take(self, n: int, now: float) -> int:
        """The place of the first of `n` samples, the last of which came by now."""
        end = now * self._rate
        late = inf if self._next is None else end - self._next - n
        if self._next is None or not -_AHEAD * self._rate < late < _BEHIND * self._rate:
            self._next = round(end) - n
            self._usual, self._soonest, self._window, self._slips = None, inf, 0, 0
        place = self._next
        self._next += n
        self._soonest = min(self._soonest, end - self._next)
        self._unmoved += n
        if self._slips and self._unmoved >= _SLIP:
            step = 1 if self._slips > 0 else -1
            self._next += step
            self._slips -= step
            self._unmoved = 0
        self._window += n
        if self._window >= _WINDOW * self._rate:
            self._window = 0
            self._look()
        return place

    def _look(self) -> None:
        soonest, self._soonest = self._soonest, inf
        if self._usual is None or abs(soonest - self._usual) > _JUMP * self._rate:
            self._usual = soonest
        elif abs(soonest - self._usual) > _DRIFT * self._rate:
            self._slips = round(soonest - self._usual)
