"""Alignment: one voice of a recording, laid out on the call's own clock. Pure.

A voice comes in pieces, each with the time at which it was handed over. Within a stream the pieces
are put end to end, for the line fills its gaps by timestamp and clock. But a stream ends and begins
anew (another phone, a transfer and back), and a phone's clock is not ours; so it is seen to that
sample n is the moment n / rate after the beginning:

- Where nothing came for a while, the piece behind it is put where its time says. Of the pieces of
  the next moment the earliest one counts: one that was held up tells nothing.
- Where the pieces of some seconds are all too late, or too early, by more than DRIFT, as much
  silence is put in, or as much sound is left out, at the quietest place of the last second.

Left out: to follow a clock's skew smoothly. Of 100 ppm it is one correction in ten minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.audio.frame import Samples, silence
from gateway.audio.resample import Resampler

GAP = 0.3  # s without a piece after which time counts; the line fills in after 0.2 and a bit
LOOK = 0.2  # s behind a gap in which the earliest piece is looked for
TOLERANCE = 0.03  # s by which a stream may be off after a gap: a tick and a bit
DRIFT = 0.06  # s by which it may be off in general
_WINDOW = 3  # looks at the drift that have to agree
_QUIET = 0.005  # s, the grain in which a quiet place is looked for


class Piece(NamedTuple):
    """Some sound; `rate` in Hz, `at` in s."""

    samples: Samples
    rate: int
    at: float


class Track:
    """One voice. `ahead` (s): by how much the end of a piece is later than the piece's time."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.incoming: deque[Piece] = deque()
        self.length = 0  # samples laid out since the beginning, those that were taken included
        self.rate = 0  # Hz; set together with the beginning
        self._began = 0.0
        self._ahead = ahead
        self._waiting: list[Samples] = []
        self._last_at: float | None = None  # the last piece's time; None: there is no stream
        self._converter = _Converter(1, 1)
        self._cut = 0  # samples to leave out
        self._late: deque[float] = deque(maxlen=_WINDOW)  # samples, from late to early

    def begin(self, rate: int, now: float) -> None:
        """Lay out from `now` on, at `rate` Hz."""
        self.rate, self._began = rate, now
        self._converter = _Converter(rate, rate)

    def add(self, samples: Samples, rate: int, at: float) -> None:
        """A piece more; `rate` in Hz, `at` in s."""
        self.incoming.append(Piece(samples, rate, at))

    def collect(self, *, final: bool = False) -> None:
        """Lay out what came; `final`: nothing will follow it."""
        while run := self._run(final):
            self._lay(run)
            for _ in run:
                self.incoming.popleft()
        if final:
            self._emit(self._converter.finish())

    def pad(self, length: int) -> None:
        """Be at least so long, by silence; the stream was somehow lost."""
        if length > self.length:
            self._emit(self._converter.finish())
            self._emit(silence(max(0, length - self.length)))
            self._last_at = None

    def take(self, count: int) -> Samples:
        """The next samples of what was laid out; no more than there are."""
        sound = np.concatenate(self._waiting) if self._waiting else silence(0)
        self._waiting = [sound[count:]] if len(sound) > count else []
        return sound[:count]

    # -- inside

    def _run(self, final: bool) -> list[Piece]:
        """The first pieces of one stream and rate; none while it is too early to place them."""
        run: list[Piece] = []
        last_at = self._last_at
        for piece in self.incoming:
            if run and (piece.rate != run[0].rate or self._is_gap(last_at, piece.at)):
                break
            run.append(piece)
            last_at = piece.at
        if run and not final and self._is_gap(self._last_at, run[0].at):
            known = self.incoming[-1].at - run[0].at
            return run if known >= LOOK else []
        return run

    @staticmethod
    def _is_gap(before: float | None, at: float) -> bool:
        return before is None or at - before > GAP

    def _lay(self, run: Sequence[Piece]) -> None:
        rate, at = run[0].rate, run[0].at
        fresh = self._is_gap(self._last_at, at)
        if fresh or rate != self._converter.rate:
            self._emit(self._converter.finish())
            self._converter = _Converter(rate, self.rate)
        if fresh:
            self._place(run)
        sound = self._converter.push(np.concatenate([piece.samples for piece in run]))
        if not fresh:
            end = self.length + len(sound) + self._converter.held
            sound = self._steadied(sound, end - self._due(run[-1].at))
        self._emit(sound)
        self._last_at = run[-1].at

    def _place(self, run: Sequence[Piece]) -> None:
        """Have the first of these at its time."""
        end, early = float(self.length), -np.inf
        for piece in run:
            if piece.at > run[0].at + LOOK:
                break
            end += len(piece.samples) * self.rate / piece.rate
            early = max(early, end - self._due(piece.at))
        self._late.clear()
        shift = -round(float(early))
        if self._last_at is not None and abs(shift) <= TOLERANCE * self.rate:
            return
        self._cut = max(0, -shift)
        self._emit(silence(max(0, shift)))

    def _due(self, at: float) -> float:
        """Where the end of a piece of that time belongs."""
        return (at - self._began + self._ahead) * self.rate

    def _steadied(self, sound: Samples, early: float) -> Samples:
        """The same, with as much more or less of quiet as the stream is off."""
        self._late.append(early)
        off = round(max(self._late))
        if len(self._late) < _WINDOW or abs(off) <= DRIFT * self.rate or not len(sound):
            return sound
        self._late.clear()
        if off > 0:
            start = _quietest(sound, min(off, len(sound)), self.rate)
            return np.concatenate((sound[:start], sound[start + off :]))
        start = _quietest(sound, 1, self.rate)
        return np.concatenate((sound[:start], silence(-off), sound[start:]))

    def _emit(self, sound: Samples) -> None:
        cut = min(self._cut, len(sound))
        self._cut -= cut
        if len(sound) > cut:
            self._waiting.append(sound[cut:])
            self.length += len(sound) - cut


class _Converter:
    """From one rate to another without the resampler's lag: what comes out begins with the first
    sample that went in, and ends with the last one."""

    def __init__(self, rate: int, target: int) -> None:
        self.rate = rate
        self.held = 0  # samples at the target's rate that went in and have to come out
        self._resampler = Resampler(rate, target) if rate != target else None
        if self._resampler:
            self._lag = self._resampler.delay * target // rate
            self._drop = self._lag

    def push(self, samples: Samples) -> Samples:
        if self._resampler is None:
            return samples
        sound = self._resampler.push(samples)
        dropped = min(self._drop, len(sound))
        self._drop -= dropped
        self.held += dropped
        return sound[dropped:]

    def finish(self) -> Samples:
        """The end of what went in."""
        if self._resampler is None or not self.held:
            return silence(0)
        sound = self.push(silence(self._resampler.delay))
        self.held = 0
        return sound


def _quietest(sound: Samples, length: int, rate: int) -> int:
    """Where the quietest stretch of that many samples begins, by and large."""
    grain = max(1, int(_QUIET * rate))
    level = np.cumsum(np.abs(np.concatenate((silence(1), sound)).astype(np.int64)))
    span = max(length, min(grain * 4, len(sound)))
    starts = np.arange(0, len(sound) - span + 1, grain)
    return int(starts[np.argmin(level[starts + span] - level[starts])])
