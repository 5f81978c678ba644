"""Recorder ●: writes the recordings of all calls, in one thread, about once a second.

Nothing here is done in the tick: it puts pieces into one bounded queue, and never waits for it. A
disk that does not keep up, or is full, ends recordings, and the log says so once for each; calls
go on. Between two recordings the thread lets go of the interpreter, so that a tick that is due
waits for one of them at most.

Left out: fsync. What a crash of the process leaves is whole; that of the machine may take the last
seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from .recording import Make, Queue, Recording

WRITE = 1.0  # s between two rounds
PATIENCE = 10.0  # s that the end of a call waits for its recording
MOST = 400_000  # pieces in the queue, of 500 bytes and more; 500 calls give 50,000 a second
_STRETCH = 500  # pieces that are sorted in one go
_BREATH = 0.0001  # s; to let go of the interpreter for no time would give it to nobody

log = structlog.get_logger()


class Recorder:
    """The recordings of the process, in `folder`, each in a file that `make` makes.

    `clock` is the loop's, `most` the pieces that may wait for the disk.
    """

    def __init__(
        self,
        folder: Path,
        make: Make,
        clock: Callable[[], float],
        *,
        most: int = MOST,
    ) -> None:
        self._folder = folder
        self._make = make
        self._clock = clock
        self._most = most
        self._queue: Queue = deque()
        self._open: dict[Recording, None] = {}
        self._writer = ThreadPoolExecutor(1, "recordings")
        self._rounds: asyncio.Task[None] | None = None

    # -- the loop's

    def start(self) -> None:
        """Write from now on."""
        self._rounds = asyncio.create_task(self._run())

    def close(self) -> None:
        """Every recording was finished; the thread ends."""
        if self._rounds:
            self._rounds.cancel()
        self._writer.shutdown(wait=False, cancel_futures=True)

    def recording(self, call_id: str) -> Recording:
        """One for this call; there is no file before it begins."""
        path = self._folder / f"{call_id}{self._make.suffix}"
        return Recording(call_id, path, self._make, self._queue, self._clock, most=self._most)

    def begin(self, recording: Recording) -> None:
        """Record from now on; `finish` it always."""
        self._open[recording] = None
        recording.begin()

    async def finish(self, recording: Recording) -> None:
        """Wait until it is written, but not for ever: disks hang."""
        recording.stop()
        loop = asyncio.get_running_loop()
        written = loop.run_in_executor(self._writer, self._finish, recording)
        done, _ = await asyncio.wait([written], timeout=PATIENCE)
        if not done:
            recording.give_up()
        self._open.pop(recording, None)
        self._tell(recording)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WRITE)
            await loop.run_in_executor(self._writer, self._round)
            for recording in list(self._open):
                self._tell(recording)

    def _tell(self, recording: Recording) -> None:
        """Log what ended it early, once."""
        error = recording.error
        if error is None or recording.told:
            return
        recording.told = True
        kept = str(recording.path) if recording.kept else None
        ours = None if isinstance(error, OSError) else error  # a mistake of ours has a traceback
        log.warning(
            "recording_failed",
            call_id=recording.call_id,
            reason=str(error),
            kept=kept,
            exc_info=ours,
        )

    # -- the thread's

    def _round(self) -> None:
        self._sort()
        for index, recording in enumerate(list(self._open)):
            if index:
                time.sleep(_BREATH)
            recording.write()

    def _finish(self, recording: Recording) -> None:
        self._sort()
        recording.end()

    def _sort(self) -> None:
        """Give each track its pieces; what comes meanwhile may wait."""
        queue = self._queue
        for count in range(1, len(queue) + 1):
            track, samples, rate, at = queue.popleft()
            track.add(samples, rate, at)
            if count % _STRETCH == 0:
                time.sleep(_BREATH)
