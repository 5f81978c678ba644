"""Recording ●: one call's two voices, from the tick to a file.

    tick: caller(), model() ─▶ the process's queue ─▶ writer's thread: alignment.py ─▶ sound_file.py

The tick puts a piece and its time into the queue of recorder.py, and nothing more. All else is
done by the one thread that writes for all calls: the pieces of both voices are laid out so that
sample n of both is the same moment, and as far as both go they are appended to the file. The
recording's rate is that of the first sound, which is the codec's of the answer: a wide band is
kept. What another codec brings later is converted to it.

A recording is never worth a call: the first error ends it, is kept in `error`, and is not raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from gateway.audio.frame import FRAME_MS, Samples

from .alignment import Track
from .sound_file import SoundFile, Stereo

SLOW = "the disk is too slow"
LAG = 2  # s; a track may be so much behind the other before it is taken for silent
_FRAME = FRAME_MS / 1000  # s
_RATE = 8000  # Hz, where there was no sound

Queue = deque[tuple[Track, Samples, int, float]]  # samples, their rate in Hz and their time in s


class Make(Protocol):
    """A kind of file."""

    @property
    def suffix(self) -> str:
        """Of its name."""

    def __call__(self, path: Path, rate: int) -> SoundFile:
        """One of `rate` Hz."""


class TooSlow(OSError):
    """The disk does not keep up."""


class Recording:
    """One file, made (anew) by the first `write`. Samples that were given may not change any more.

    The tick calls `caller` and `model`, the writer's thread `write` and `end`; pieces come from the
    one to the other by `queue`, of which there are `most` at most.
    """

    def __init__(
        self,
        call_id: str,
        path: Path,
        make: Make,
        queue: Queue,
        clock: Callable[[], float],
        *,
        most: int,
    ) -> None:
        self.call_id = call_id
        self.path = path
        self.error: Exception | None = None  # what ended the recording early
        self.told = False  # is that in the log?
        self.begun = False
        self._make = make
        self._queue = queue
        self._most = most
        self._clock = clock
        self._on = False
        self._began = 0.0
        self._caller = Track(streamed=True)  # a piece of hers ends when it is read
        self._model = Track(_FRAME)  # one of ours begins when it is sent
        self._taken = 0  # samples of each track that are in the file
        self._file: SoundFile | None = None

    # -- the tick's

    def begin(self) -> None:
        """Record from now on; what came before is left out."""
        self._began = self._clock()
        self._on = self.begun = True

    def caller(self, samples: Samples, rate: int) -> None:
        """The next samples of the caller's voice; `rate` in Hz."""
        if self._on:
            self._queue.append((self._caller, samples, rate, self._clock()))
            if len(self._queue) > self._most:
                self._fail(TooSlow(SLOW))

    def model(self, samples: Samples, rate: int) -> None:
        """The next samples that were sent to the caller; `rate` in Hz."""
        if self._on:
            self._queue.append((self._model, samples, rate, self._clock()))
            if len(self._queue) > self._most:
                self._fail(TooSlow(SLOW))

    def stop(self) -> None:
        """Nothing is recorded any more."""
        self._on = False

    def give_up(self) -> None:
        """The writer does not come back from it."""
        self._fail(TooSlow("the disk hangs"))

    # -- the writer's thread's

    def write(self) -> None:
        """Append what both tracks have; raises nothing."""
        self._write(final=False)

    def end(self) -> None:
        """Write the rest, the shorter track ending in silence."""
        self._write(final=True)

    @property
    def kept(self) -> bool:
        """Is there a file?"""
        return self._file is not None and self.path.exists()

    def _write(self, *, final: bool) -> None:
        if self.error:
            self._caller, self._model = Track(), Track()  # nobody wants it any more
            return
        if not (final or self._rate()):
            return
        try:
            sound = self._laid_out(final)
            if self._file is None:
                self._file = self._make(self.path, self._caller.rate)
            self._file.append(sound)
            if final:
                self._file.close()
        except Exception as error:  # a border: of the disk's errors and ours none is worth a call
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._on = False
        self.error = error

    def _laid_out(self, final: bool) -> Stereo:
        """As far as both tracks go, or within LAG of the longer one."""
        tracks = self._caller, self._model
        rate = self._rate() or _RATE
        for track in tracks:
            if not track.rate:
                track.begin(rate, self._began)
            track.collect(final=final)
        longest = max(track.settled for track in tracks)
        for track in tracks:
            track.pad(longest - (0 if final else LAG * rate))
        count = max(0, min(track.settled for track in tracks) - self._taken)
        self._taken += count
        sound = np.empty((count, len(tracks)), np.int16)
        for column, track in enumerate(tracks):
            sound[:, column] = track.take(count)
        return sound

    def _rate(self) -> int:
        """That of the file, in Hz; 0 while there is no sound."""
        if self._caller.rate:
            return self._caller.rate
        rates = [track.incoming[0].rate for track in (self._model, self._caller) if track.incoming]
        return rates[0] if rates else 0
