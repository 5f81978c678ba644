"""Voice activity by energy, on the audio that arrived (pure).

The clock is the audio itself: every millisecond is an offset in all that was ever pushed.
A block of 10 ms is speech when its level is over a bound that the API's `threshold` sets, and
well over the line's own noise. Speech begins with 60 ms of it and ends after
`silence_duration_ms` without; as in the API, the reported start is moved back by
`prefix_padding_ms`, and the reported end includes the silence.

Left out: telling a voice from other sounds. A loud tone is speech here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.audio.frame import Samples

BLOCK_MS = 10
ONSET_MS = 60  # of speech blocks, less what lies between them, before speech has begun
QUIETEST, LOUDEST = -60.0, -30.0  # dBFS, the bound at threshold 0 and 1
FLOOR = (-75.0, -45.0)  # dBFS, what the line's noise may be taken for
FLOOR_RISE = 3.0  # dB per second: a voice does not become noise while a sentence lasts
OVER_FLOOR = (6.0, 18.0)  # dB that speech is above the noise, at threshold 0 and 1
RELEASE = 4.0  # dB below the bound that still are speech, once it has begun


@dataclass(frozen=True, slots=True)
class Settings:
    threshold: float = 0.5  # 0 hears a whisper, 1 only a loud voice
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    audio_end_ms: int


Activity = SpeechStarted | SpeechStopped


class Vad:
    """One listener at one rate (Hz), on a clock that stands at `start_ms`."""

    def __init__(self, settings: Settings, rate: int, start_ms: int = 0) -> None:
        self.settings = settings
        self.rate = rate
        self.speaking = False
        self._start_ms = start_ms
        self._size = rate * BLOCK_MS // 1000  # samples of a block
        self._blocks = 0  # heard so far
        self._rest = np.zeros(0, dtype=np.int16)  # less than a block, waiting
        self._floor = FLOOR[0]  # dBFS
        self._onset_ms = 0  # of speech, before it counts
        self._onset_at = 0  # ms, where that began
        self._voice_end = 0  # ms, end of the last block of speech

    @property
    def onset(self) -> int | None:
        """Where speech may just be beginning, in ms; None in silence."""
        return self._onset_at if self._onset_ms else None

    def push(self, samples: Samples) -> list[Activity]:
        return [activity for level in self._levels(samples) for activity in self._hear(level)]

    def _levels(self, samples: Samples) -> list[float]:
        """dBFS of each whole block."""
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // self._size * self._size
        self._rest = sound[whole:].copy()
        blocks = sound[:whole].reshape(-1, self._size).astype(np.float64)
        power = np.mean((blocks / 32768.0) ** 2, axis=1)
        return [float(level) for level in 10 * np.log10(power + 1e-10)]

    def _hear(self, level: float) -> Iterator[Activity]:
        begin = self._clock()
        self._blocks += 1
        end = self._clock()
        voiced = level > self._bound()
        self._floor = min(level, self._floor + FLOOR_RISE * BLOCK_MS / 1000)
        self._floor = min(max(self._floor, FLOOR[0]), FLOOR[1])
        if voiced:
            self._voice_end = end
        if self.speaking:
            if end - self._voice_end >= self.settings.silence_duration_ms and not voiced:
                self.speaking = False
                yield SpeechStopped(end)
        elif self._begins(voiced, begin):
            self.speaking = True
            yield SpeechStarted(max(self._onset_at - self.settings.prefix_padding_ms, 0))

    def _clock(self) -> int:
        return self._start_ms + self._blocks * self._size * 1000 // self.rate

    def _bound(self) -> float:
        """dBFS above which a block is speech."""
        threshold = self.settings.threshold
        least = QUIETEST + (LOUDEST - QUIETEST) * threshold
        over = OVER_FLOOR[0] + (OVER_FLOOR[1] - OVER_FLOOR[0]) * threshold
        return max(least, self._floor + over) - (RELEASE if self.speaking else 0)

    def _begins(self, voiced: bool, begin: int) -> bool:
        if voiced and not self._onset_ms:
            self._onset_at = begin
        self._onset_ms = max(self._onset_ms + (BLOCK_MS if voiced else -BLOCK_MS), 0)
        if self._onset_ms < ONSET_MS:
            return False
        self._onset_ms = 0
        return True
