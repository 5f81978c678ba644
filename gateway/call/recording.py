"""Recording ●: a two-track WAV file of one call, the caller on the left, the model on the right.

● of the files of a call this one alone touches the disk, and never inside a tick: `caller` and
`model` only remember; `flush`, which `keep` calls off the loop, writes.

Each track is one unbroken stream of samples from the answer on: sample n of both is the same
moment. The line keeps that promise (it fills gaps and silence by timestamp and clock), so nothing
here needs a time. Should a track fall more than a second behind all the same, silence goes in.

A recording is never worth a call: the first error of the disk ends it, is kept in `error`, and is
not raised. After each flush the file is a valid WAV file, so a crash costs the last seconds only.

Left out: compression (16-bit PCM, 32 kB a second), and files beyond 4 GiB (37 hours).
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from pathlib import Path

import numpy as np

from gateway.audio.frame import Samples
from gateway.audio.resample import Resampler

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_TRACKS = 2
_SAMPLE_BYTES = 2
_FLUSH_S = 1  # between writes
_LAG_S = 1  # a track may be so much behind the other before it is taken for silent


class _Track:
    """`incoming` passes from thread to thread; then `waiting`, as bytes, for the other track."""

    def __init__(self, rate: int) -> None:
        self.incoming: deque[tuple[Samples, int]] = deque()
        self.waiting = bytearray()
        self._rate = rate
        self._converters: dict[int, Resampler] = {}  # by the rate that they take

    def collect(self) -> None:
        while self.incoming:
            samples, rate = self.incoming.popleft()
            if rate not in self._converters:
                self._converters[rate] = Resampler(rate, self._rate)
            self.waiting += self._converters[rate].push(samples).tobytes()

    def pad(self, size: int) -> None:
        self.waiting += bytes(max(0, size - len(self.waiting)))

    def take(self, size: int) -> Samples:
        taken = np.frombuffer(bytes(self.waiting[:size]), np.int16)
        del self.waiting[:size]
        return taken


class Recording:
    """One file, made (or made anew) by the first flush; `rate` in Hz is that of both tracks.

    `caller` and `model` may be called from another thread than `flush` and `close`. A `flush` that
    nobody waits for any more may still run when `close` is called: one waits for the other.
    """

    def __init__(self, path: Path, rate: int = 8000) -> None:
        self.path = path
        self.error: OSError | None = None  # what ended the recording early
        self.paused = False  # what comes meanwhile is left out
        self._rate = rate
        self._caller = _Track(rate)
        self._model = _Track(rate)
        self._written: int | None = None  # bytes of sound in the file; None: there is no file yet
        self._closed = False
        self._writing = threading.Lock()

    def caller(self, samples: Samples, rate: int) -> None:
        """The next samples of the caller's voice; `rate` in Hz."""
        self._add(self._caller, samples, rate)

    def model(self, samples: Samples, rate: int) -> None:
        """The next samples that were sent to the caller; `rate` in Hz."""
        self._add(self._model, samples, rate)

    async def keep(self) -> None:
        """Write what was recorded off the loop, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write what both tracks have; blocks on the disk, raises nothing."""
        self._write(_LAG_S * self._rate * _SAMPLE_BYTES)

    def close(self) -> None:
        """Write the rest, the shorter track ending in silence; nothing is recorded after it."""
        self._closed = True
        self._write(0)

    def _add(self, track: _Track, samples: Samples, rate: int) -> None:
        if not (self.paused or self._closed or self.error):
            track.incoming.append((samples, rate))

    def _write(self, lag: int) -> None:
        with self._writing:
            if self.error:
                return
            sound = self._interleaved(lag)
            try:
                self._append(sound)
            except OSError as error:
                self.error = error
                self._caller = self._model = _Track(self._rate)

    def _interleaved(self, lag: int) -> bytes:
        """As far as both tracks go, or within `lag` bytes of the longer one."""
        tracks = self._caller, self._model
        for track in tracks:
            track.collect()
        longest = max(len(track.waiting) for track in tracks)
        for track in tracks:
            track.pad(longest - lag)
        size = min(len(track.waiting) for track in tracks)
        return np.column_stack([track.take(size) for track in tracks]).astype("<i2").tobytes()

    def _append(self, sound: bytes) -> None:
        """Sound first, then the header that counts it; the file is open only meanwhile."""
        begun = self._written is not None
        written = self._written or 0
        with self.path.open("r+b" if begun else "wb") as file:
            file.seek(_HEADER.size + written)
            file.write(sound)
            file.seek(0)
            file.write(self._header(written + len(sound)))
        self._written = written + len(sound)

    def _header(self, size: int) -> bytes:
        """RIFF and its `fmt ` chunk, as far as the samples (Microsoft's WAVE_FORMAT_PCM)."""
        block = _TRACKS * _SAMPLE_BYTES
        return _HEADER.pack(
            *(b"RIFF", min(size + _HEADER.size - 8, 0xFFFFFFFF), b"WAVE"),
            *(b"fmt ", 16, 1, _TRACKS, self._rate, self._rate * block, block, 8 * _SAMPLE_BYTES),
            *(b"data", min(size, 0xFFFFFFFF)),
        )
