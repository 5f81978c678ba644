"""Tones: keys that come as sound, heard and kept from the model: a stage of the uplink. Pure.

For trunks that send neither events nor INFO. Sound goes on to the model as far as the detector has
seen that no tone begins in it (up to 13 ms late, 38 ms where one may), and from a key's beginning
to its end it is silence.

A trunk may send a tone and its event. Once an event came tones count no more, and an event right
behind the tone of the same key is that key. Keys that we press ourselves come back on some lines:
while they leave, and for a second, no tone counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.audio.detector import Detector
from gateway.audio.frame import Samples, silence

BESIDE = 0.5  # s that an event may come behind the end of the same key's tone
RETURNED = 1.0  # s after the last key of ours in which it may still come back


class Tones:
    """One call's."""

    def __init__(self) -> None:
        self._rate = 0
        self._detector: Detector
        self._held = silence(0)  # not given to the model yet
        self._given = 0  # samples, of the detector's
        self._down: int | None = None  # position from which a key is down
        self._keys: list[str] = []  # not told yet
        self._last: tuple[str, float] | None = None  # the latest key, and when it was down
        self._has_events = False
        self._ours_until = 0.0  # s

    def hear(self, samples: Samples, rate: int, now: float) -> Samples:
        """The next samples of the caller's: what of them, and of those before, is no tone."""
        late = silence(0)
        if rate != self._rate:
            if self._rate:
                late = silence(len(self._held) * rate // self._rate)
            self._rate, self._detector = rate, Detector(rate)
            self._held, self._given, self._down = silence(0), 0, None
        self._held = np.concatenate((self._held, samples))
        for press in self._detector.push(samples):
            if press.ended:
                self._blank(press.at)
                self._down = None
            else:
                self._down = press.at
                self._begin(press.digit, now)
        clear = self._detector.clear
        self._blank(clear)
        if self._down is not None and self._last:
            self._last = self._last[0], now
        count = clear - self._given
        heard, self._held, self._given = self._held[:count], self._held[count:], clear
        return np.concatenate((late, heard)) if len(late) else heard

    def take(self) -> list[str]:
        """The keys that were heard since the last time."""
        keys, self._keys = self._keys, []
        return keys

    def beside(self, keys: Sequence[str], now: float) -> list[str]:
        """Keys that came as events: those of them that were not heard as tones before."""
        self._has_events = True
        last, self._last = self._last, None
        if last and keys[0] == last[0] and now < last[1] + BESIDE:
            return list(keys[1:])
        return list(keys)

    def press(self, now: float) -> None:
        """A key of ours leaves."""
        self._ours_until = now + RETURNED

    # -- inside

    def _begin(self, key: str, now: float) -> None:
        if not self._has_events and now >= self._ours_until:
            self._keys.append(key)
            self._last = key, now

    def _blank(self, end: int) -> None:
        """Let the key that is down not be heard, up to a position."""
        if self._down is not None:
            self._held[max(self._down - self._given, 0) : max(end - self._given, 0)] = 0
