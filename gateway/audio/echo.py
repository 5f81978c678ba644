"""Taking our own voice out of what the caller's line returns; pure.

A hybrid or a loud telephone returns what we say, 12 to 40 dB weaker and up to a second late. A
model that listens for speech hears it and interrupts itself. The canceller is WebRTC's AEC3, from
`pywebrtc-audio` (1 MB, of numpy alone, 8 ms to import; livekit's has the same filter, but is 30 MB,
brings protobuf and a thread). Around it is what it does not do itself:

- echo_reference.py pairs what is heard with what was sent, whatever the packets' delays.
- AEC3 finds delays up to some 450 ms. Where the echo is later (echo_path.py) the reference is held
  back.
- Remains are held down, and until AEC3 has learnt sound goes around it (echo_guard.py).
- It costs more than the whole rest of a call, so it runs only while an echo can come: from our
  first word to 1.3 s after our last, and in the mode `auto` no longer on a line that has returned
  nothing for some seconds of our speech, until it does.

Sound comes out `delay` samples late (11 ms at 8 kHz, 8 ms at 16 kHz), always: nothing jumps.

Left out: noise suppression and gain control, which are the model's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .echo_guard import EchoGuard
from .echo_path import BLOCK_MS, EchoPath, levels
from .echo_reference import Place, Sent
from .frame import Samples, silence

if TYPE_CHECKING:
    from pywebrtc_audio import AudioProcessor

Mode = Literal["auto", "on"]

DELAY = {8000: 88, 16000: 128}  # samples that AEC3 and its resampler hold back, by rate

_REACH = 42  # blocks: an echo that comes later is too late for AEC3
_NEAR = 10  # blocks: so late it comes then
_HEARD = 100  # of 32767, the highest sample of what can come back (-50 dBFS)
_TOGETHER = 64  # blocks that a line without an echo is judged by at once


class EchoCanceller:
    """One call's, at 8,000 or 16,000 Hz (ValueError for others)."""

    def __init__(self, rate: int, mode: Mode = "auto") -> None:
        if rate not in DELAY:
            raise ValueError(f"no echo cancelling at {rate} Hz")
        self.delay = DELAY[rate]  # samples
        self.path = EchoPath()
        self.running = False
        self._rate = rate
        self._mode = mode
        self._block = rate * BLOCK_MS // 1000
        self._processor: AudioProcessor | None = None
        self._sent = Sent(rate)
        self._place = Place(rate)
        self._guard = EchoGuard(self.path, self._block)
        self._rest = silence(0)  # less than a block, waiting
        self._late = silence(self.delay)  # the last sound heard
        self._unseen: list[Samples] = []  # what came on a line without an echo
        self._unseen_at = 0  # the place of its beginning
        self._held_back = 0  # blocks, of the reference

    def sent(self, samples: Samples, now: float) -> None:
        """What is handed to the network at this moment (s, monotonic); silence too, if possible."""
        self._sent.push(samples, now)

    def heard(self, samples: Samples, now: float) -> Samples:
        """What came, without our own voice: whole blocks of 10 ms, the rest waits."""
        near = samples
        if len(self._rest) or len(samples) % self._block:
            sound = np.concatenate((self._rest, samples))
            whole = len(sound) // self._block * self._block
            near, self._rest = sound[:whole], sound[whole:]
        n = len(near)
        if not n:
            return near
        at = self._place.take(n, now)
        line = np.concatenate((self._late, near))
        plain, self._late = line[:n], line[n:]
        if self._wants_none:
            self._doze(near, at)
            return plain
        far = self._sent.take(at, n)
        if self.path.quiet and far.max() < _HEARD:
            self.path.rest(n // self._block)
            if not self.running:
                return plain
        else:
            self.path.push(levels(near, self._block), levels(far, self._block))
        before, self.running = self.running, self._wanted()
        if not before and not self.running:
            return plain
        clean = self._cancel(near, far, at)
        if before and self.running:
            return self._guard.push(plain, clean)
        if self.running:
            return plain  # the processor still gives what it heard last time
        clean = self._guard.push(plain, clean)
        self._guard.rest()
        return _fade(clean, plain, self._block)

    @property
    def _wants_none(self) -> bool:
        """It does not run, and on this line it need not."""
        return not self.running and self._mode == "auto" and self.path.verdict == "none"

    def _doze(self, near: Samples, at: int) -> None:
        """See now and then whether the line has an echo after all."""
        if not self._unseen:
            self._unseen_at = at
        self._unseen.append(near)
        count = sum(map(len, self._unseen))
        if count >= _TOGETHER * self._block:
            near, self._unseen = np.concatenate(self._unseen), []
            far = self._sent.take(self._unseen_at, count)
            self.path.push(levels(near, self._block), levels(far, self._block))

    def _wanted(self) -> bool:
        if self._mode == "auto" and self.path.verdict == "none":
            self._processor = None  # 0.4 MB
            return False
        return not self.path.quiet

    def _cancel(self, near: Samples, far: Samples, at: int) -> Samples:
        if self._processor is None:
            self._processor = _processor(self._rate)
            self._guard.forget()
        if self.path.verdict == "found":
            later = self.path.lag - self._held_back
            if later > _REACH or later < min(_NEAR // 2, self.path.lag):
                self._held_back = self.path.lag - _NEAR if self.path.lag > _REACH else 0
                self._guard.forget()
        if self._held_back:
            far = self._sent.take(at - self._held_back * self._block, len(far))
        return self._processor.process(near, far)


def missing() -> str | None:
    """Why echoes cannot be cancelled here, to be said at start; None where they can."""
    try:
        _processor(8000).process(silence(80), silence(80))
    except (ImportError, OSError, RuntimeError) as error:
        return str(error)
    return None


def _processor(rate: int) -> AudioProcessor:
    from pywebrtc_audio import AudioProcessor  # a library, which may be missing

    return AudioProcessor(rate, echo_cancellation=True)


def _fade(out: Samples, into: Samples, n: int) -> Samples:
    """From one sound to the other, in the first `n` samples."""
    ramp = np.minimum(np.arange(1, len(into) + 1) / n, 1.0)
    faded: Samples = np.rint(out * (1 - ramp) + into * ramp).astype(np.int16)
    return faded
