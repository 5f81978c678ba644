"""Alignment: one voice of a recording, laid out on the call's own clock. Pure.

A voice comes in pieces, each with the time at which it was handed over. Within a stream the pieces
are put end to end, for the line fills its gaps by timestamp and clock. But a stream ends and begins
anew (another phone, a transfer and back), and a phone's clock is not ours; so it is seen to that
sample n is the moment n / rate after the beginning:

- Where nothing came for a while, or only the silence with which the line fills in, the piece behind
  it is put where its time says. Of the pieces of the next moment the earliest one counts: one that
  was held up tells nothing.
- Where the pieces of some seconds are all too late, or too early, by more than DRIFT, as much
  silence is put in, or as much sound is left out, in the next pause.

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
STILL = 0.15  # s of digital silence that are no sound: a codec's own is seldom 0
KEPT = 0.3  # s of such silence that may still be taken back
TOLERANCE = 0.002  # s by which a stream may be off where one begins
DRIFT = 0.04  # s by which it may be off in general; twice that until there is a pause
_WINDOW = 3  # looks at the drift that have to agree
_GRAIN = 0.005  # s, in which a quiet place is looked for
_PAUSE = 30  # of 32767, on average: nobody speaks


class Piece(NamedTuple):
    """Some sound; `rate` in Hz, `at` in s."""

    samples: Samples
    rate: int
    at: float
    begins: bool  # a stream, or sound behind silence: its time tells where it belongs
    silent: bool  # filled in, not heard


class Track:
    """One voice. `ahead` (s): by how much the end of a piece is later than the piece's time.

    `streamed`: it came over the network, and where it stopped, silence was filled in.
    """

    def __init__(self, ahead: float = 0.0, *, streamed: bool = False) -> None:
        self.incoming: deque[Piece] = deque()
        self.length = 0  # samples laid out since the beginning, those that were taken included
        self.rate = 0  # Hz; set together with the beginning
        self._began = 0.0
        self._ahead = ahead
        self._streamed = streamed
        self._last_at: float | None = None  # of what came; None: there is no stream
        self._still = 0.0  # s of silence that came last
        self._waiting: list[Samples] = []
        self._spare = 0  # samples of silence at the end of it
        self._cut = 0  # samples to leave out
        self._late: deque[float] = deque(maxlen=_WINDOW)  # samples that the stream is early by
        self._converter = _Converter(1, 1)

    def begin(self, rate: int, now: float) -> None:
        """Lay out from `now` on, at `rate` Hz."""
        self.rate, self._began = rate, now
        self._converter = _Converter(rate, rate)

    def add(self, samples: Samples, rate: int, at: float) -> None:
        """A piece more; `rate` in Hz, `at` in s."""
        begins = self._last_at is None or at - self._last_at > GAP
        silent = False
        if self._streamed:
            silent = _is_silent(samples)
            begins = begins or (not silent and self._still >= STILL)
            self._still = self._still + len(samples) / rate if silent else 0.0
        self.incoming.append(Piece(samples, rate, at, begins, silent))
        self._last_at = at

    def collect(self, *, final: bool = False) -> None:
        """Lay out what came; `final`: nothing will follow it."""
        while run := self._next(final):
            self._lay(run)
            for _ in run:
                self.incoming.popleft()
        if final:
            self._emit(self._converter.finish())
            self._spare = 0

    @property
    def settled(self) -> int:
        """Samples of `length` that will stay where they are."""
        return self.length - min(self._spare, int(KEPT * self.rate))

    def pad(self, length: int) -> None:
        """Have at least so much settled, by silence: the stream was somehow lost."""
        if length > self.settled:
            self._emit(self._converter.finish())
            self._emit(silence(max(0, length - self.length)))
            self._last_at, self._spare = None, 0

    def take(self, count: int) -> Samples:
        """The next samples of what was laid out; no more than are settled."""
        sound = np.concatenate(self._waiting) if self._waiting else silence(0)
        self._waiting = [sound[count:]] if len(sound) > count else []
        return sound[:count]

    # -- inside

    def _next(self, final: bool) -> list[Piece]:
        """The first pieces that go together; none while it is too early to place them."""
        run: list[Piece] = []
        for piece in self.incoming:
            if run and (piece.begins or piece.rate != run[0].rate):
                break
            if piece.begins and not final and self.incoming[-1].at - piece.at < LOOK:
                break
            run.append(piece)
        return run

    def _lay(self, run: Sequence[Piece]) -> None:
        fresh = run[0].begins
        if fresh or run[0].rate != self._converter.rate:
            self._emit(self._converter.finish())
            self._converter = _Converter(run[0].rate, self.rate)
        if fresh:
            self._place(run)
        length, spare = self.length, self._spare
        sound = self._converter.push(np.concatenate([piece.samples for piece in run]))
        if not fresh:
            end = self.length + len(sound) + self._converter.held
            sound = self._steadied(sound, end - self._due(run[-1].at))
        self._emit(sound)
        self._spare = min(self._silence_at_end(run), spare + self.length - length)

    def _silence_at_end(self, run: Sequence[Piece]) -> int:
        count = 0
        for piece in reversed(run):
            if not piece.silent:
                return count
            count += len(piece.samples) * self.rate // piece.rate
        return count + self._spare

    def _place(self, run: Sequence[Piece]) -> None:
        """Have the first of these at its time."""
        end, early = float(self.length), -np.inf
        for piece in run:
            if piece.at > run[0].at + LOOK:
                break
            end += len(piece.samples) * self.rate / piece.rate
            early = max(early, end - self._due(piece.at))
        off = round(float(early))
        self._late.clear()
        if not self.length:
            self._cut = max(0, off)
        elif off > TOLERANCE * self.rate:
            self._take_back(off)
        if off < -TOLERANCE * self.rate or not self.length:
            self._emit(silence(max(0, -off)))

    def _take_back(self, count: int) -> None:
        """Less of the silence at the end, as far as it is still here."""
        sound = self.take(self.length)
        count = min(count, self._spare, len(sound))
        self._waiting = [sound[: len(sound) - count]]
        self.length -= count
        self._spare -= count

    def _due(self, at: float) -> float:
        """Where the end of a piece of that time belongs."""
        return (at - self._began + self._ahead) * self.rate

    def _steadied(self, sound: Samples, early: float) -> Samples:
        """The same, with as much more or less of quiet as the stream is off."""
        self._late.append(early)
        off = round(max(self._late))
        if len(self._late) < _WINDOW or abs(off) <= DRIFT * self.rate or not len(sound):
            return sound
        length = min(off, len(sound)) if off > 0 else 1
        start, quiet = _quietest(sound, length, self.rate)
        if not quiet and abs(off) <= 2 * DRIFT * self.rate:
            return sound  # between two words it will cost less
        self._late.clear()
        return np.concatenate((sound[:start], silence(max(0, -off)), sound[start + max(0, off) :]))

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


def _is_silent(samples: Samples) -> bool:
    return not len(samples) or not (samples[0] or samples.any())


def _quietest(sound: Samples, length: int, rate: int) -> tuple[int, bool]:
    """Where the quietest stretch of that many samples begins, by and large; is it a pause?"""
    grain = max(1, int(_GRAIN * rate))
    level = np.cumsum(np.abs(np.concatenate((silence(1), sound)).astype(np.int64)))
    span = max(length, min(grain * 4, len(sound)))
    starts = np.arange(0, len(sound) - span + 1, grain)
    levels = (level[starts + span] - level[starts]) / span
    least = int(np.argmin(levels))
    return int(starts[least]), bool(levels[least] <= max(_PAUSE, 0.1 * level[-1] / len(sound)))
