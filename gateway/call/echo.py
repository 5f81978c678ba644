"""Echo: our own voice taken out of what the model hears: a stage of the uplink. Pure.

    packet ◀──────────┬── downlink
                      ▼ what left
    uplink ─▶ audio/echo.py ─▶ model

The canceller hears each sample that left, when it left, and all that came, after its gaps were
filled. It belongs to one telephone: where the stream moves, or sound has another rate, a new one
begins. Of a call on hold it hears nothing, in either direction.
"""

from __future__ import annotations

from gateway.audio.echo import EchoCanceller, Mode
from gateway.audio.frame import Samples
from gateway.audio.resample import Resampler
from gateway.rtp.source import Address


class Echo:
    """One call's."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._rate = 0  # Hz, of what is heard
        self._canceller: EchoCanceller | None = None
        self._resampler: Resampler | None = None  # of what is sent, where that has another rate
        self._sent_rate = 0
        self._target: Address | None = None

    @property
    def canceller(self) -> EchoCanceller | None:
        """The present one; None: nothing was heard yet."""
        return self._canceller

    @property
    def delay(self) -> float:
        """s by which the model hears the caller late."""
        return self._canceller.delay / self._rate if self._canceller else 0.0

    def follow(self, target: Address | None) -> None:
        """Where our sound goes now; None: nowhere yet."""
        if target is not None and target != self._target:
            if self._target is not None:
                self._canceller = None
            self._target = target

    def sent(self, samples: Samples, rate: int, now: float) -> None:
        """What left for the caller at this moment, at `rate` Hz."""
        if self._canceller is None:
            return  # the caller has said nothing yet
        if rate != self._sent_rate:
            self._sent_rate = rate
            self._resampler = Resampler(rate, self._rate) if rate != self._rate else None
        if self._resampler:
            samples = self._resampler.push(samples)
        self._canceller.sent(samples, now)

    def hear(self, samples: Samples, rate: int, now: float) -> Samples:
        """What the caller said, and no more; `rate` in Hz."""
        if self._canceller is None or rate != self._rate:
            self._canceller = EchoCanceller(rate, self._mode)
            self._rate, self._sent_rate = rate, 0
        return self._canceller.heard(samples, now)
