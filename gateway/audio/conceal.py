"""Concealment of lost packets by the waveform, after ITU-T G.711 Appendix I, at any rate; pure.

A voice is nearly periodic, so a gap sounds like the last period of pitch over and over (§I.2.3),
after 10 ms the last two and after 20 ms the last three, so that it does not buzz (§I.2.5). It
fades by a fifth every 10 ms, and 60 ms are the most that anybody should have to imagine (§I.2.7);
then there is silence. Where the sound comes back the imagined one fades into it (§I.2.6).

Who fills a gap mostly holds the packet behind it, for it was that packet which told of the gap.
Then the same is done backwards from there, and the one fades into the other: no longer the
Appendix, but worth half as much again.

Sound that arrives is only noted. All the work is done at the first sample of a gap, 70 ms at once.

Left out: the Appendix's delay of 3.75 ms, which lets it mend the joint at the head of a gap in
sound that is still to be played. Ours has left, so the step from the last sample is evened out
behind it. And its 200 Hz as the highest pitch: many a voice is higher.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from .frame import Samples, silence

_Floats = npt.NDArray[np.float32]

_PITCH = (1 / 400, 3 / 200)  # s, the shortest and the longest period that is looked for
_TEMPLATE = 0.02  # s that are compared with what was one period before
_HISTORY = 0.04875  # s: three of the longest periods and a quarter
_LEAST = 0.02  # s that the search needs; silence makes up for what was not heard
_STEP = 0.01  # s, after which one more period is repeated, and all is a fifth quieter
_FADE = 0.2  # of its strength that the imagined sound loses in every step but the first
_LONGEST = 0.06  # s of a gap that are filled
_REENTRY = 0.004  # s for which the imagined sound lives on, for every step of the gap but one
NOTED = 6  # runs of sound that are kept: enough for the history in packets of 10 ms


class Concealer:
    """One direction of one call, at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._step = round(_STEP * rate)
        self._longest = round(_LONGEST * rate)
        self._heard: deque[Samples] = deque(maxlen=NOTED)
        self._imagined: _Floats | None = None  # what follows the last sound, during a gap
        self._overlap = 0  # samples of it that fade into what ends a short gap
        self._filled = 0  # samples of this gap so far

    @property
    def in_gap(self) -> bool:
        """Whether what comes next has to be joined to what was imagined."""
        return self._imagined is not None

    def good(self, samples: Samples) -> Samples:
        """Note sound that arrived; gives it back, joined to the gap that it may end."""
        if self._imagined is None:
            self._heard.append(samples)
            return samples
        if not len(samples):
            return samples
        joined = self._join(self._imagined, samples)
        self._end(self._imagined, joined)
        return joined

    def fill(self, n: int, after: Samples | None = None) -> Samples:
        """The next `n` samples of a gap; `after` is the sound behind its end, if it is known."""
        if not n:
            return silence(0)
        if self._imagined is None:
            heard = np.concatenate((silence(0), *self._heard))
            self._imagined, self._overlap = self._imagine(heard)
            self._filled = 0
        if after is None or not len(after):
            sound = self._cut(self._imagined, self._filled, n)
            self._filled += n
            return sound
        sound = self._bridge(self._imagined, n, after)
        self._end(self._imagined, sound)
        return sound

    def _end(self, imagined: _Floats, last: Samples) -> None:
        """The gap is over; what filled it counts as heard."""
        self._heard.append(self._cut(imagined, 0, self._filled))
        self._heard.append(last)
        self._imagined = None

    def _imagine(self, heard: Samples) -> tuple[_Floats, int]:
        """What would have come: as much as is ever filled, and as much as the joint needs.

        The number is a quarter of the period, for which two sounds overlap at a joint.
        """
        rate, step = self._rate, self._step
        past = heard[-round(_HISTORY * rate) :].astype(np.float32)
        if (missing := round(_LEAST * rate) - len(past)) > 0:
            past = np.concatenate((np.zeros(missing, np.float32), past))
        period = _period(past, rate)
        quarter = period // 4
        most = (len(past) - quarter) // period  # periods that there are
        sound = np.empty(self._longest + step, np.float32)
        before, offset = past[:0], 0
        for periods in (1, 2, 3):
            begin = (periods - 1) * step
            end = len(sound) if periods == 3 else begin + step
            stretch = _repeated(past, period, min(periods, most), quarter)
            sound[begin:end] = stretch.take(np.arange(offset, offset + end - begin), mode="wrap")
            if periods > 1:
                over = np.arange(offset, offset + quarter)
                _fade(before.take(over, mode="wrap"), sound[begin : begin + quarter])
            before, offset = stretch, (offset + step) % period
        off = past[-1] - past[-period - 1]  # the step between the last sample and its like
        sound[:quarter] += off * np.linspace(1, 0, quarter, endpoint=False, dtype=np.float32)
        sound[step:] *= self._gains(len(sound) - step)
        return sound, quarter

    def _gains(self, n: int) -> _Floats:
        gains: _Floats = 1 - np.arange(n, dtype=np.float32) * np.float32(_FADE / self._step)
        return gains.clip(0)

    def _cut(self, imagined: _Floats, begin: int, n: int) -> Samples:
        """Samples of the gap from `begin`."""
        sound = silence(n)
        end = min(begin + n, self._longest)
        if begin < end:
            sound[: end - begin] = _whole(imagined[begin:end])
        return sound

    def _bridge(self, imagined: _Floats, n: int, after: Samples) -> Samples:
        """The last `n` samples of a gap, from both its ends."""
        sound = self._cut(imagined, self._filled, n)
        back, _ = self._imagine(after[::-1])
        length = min(n, self._longest)
        blend = back[:length][::-1]
        _fade(sound[n - length :].astype(np.float32), blend)
        sound[n - length :] = _whole(blend)
        return sound

    def _join(self, imagined: _Floats, samples: Samples) -> Samples:
        """Let the imagined sound fade into the real one."""
        steps = self._filled // self._step
        length = self._overlap + max(0, steps - 1) * round(_REENTRY * self._rate)
        length = min(length, self._step, len(samples))
        ending = np.zeros(length, np.float32)
        left = imagined[self._filled : self._filled + length]
        ending[: len(left)] = left
        beginning = samples[:length].astype(np.float32)
        _fade(ending, beginning)
        joined = samples.copy()
        joined[:length] = _whole(beginning)
        return joined


def _period(past: _Floats, rate: int) -> int:
    """Samples after which the sound is most like itself (normalised cross-correlation)."""
    n = min(round(_TEMPLATE * rate), len(past) // 2)
    shortest, longest = round(_PITCH[0] * rate), min(round(_PITCH[1] * rate), len(past) - n)
    before = past[len(past) - n - longest : len(past) - shortest]
    likeness = np.correlate(before, past[-n:])
    powers = np.concatenate(([0.0], np.cumsum(before.astype(np.float64) ** 2)))
    power = powers[n:] - powers[:-n]
    return longest - int(np.argmax(likeness / np.sqrt(np.maximum(power, n))))


def _repeated(past: _Floats, period: int, periods: int, quarter: int) -> _Floats:
    """The last periods, with an end that leads into their beginning."""
    begin = len(past) - periods * period
    sound = past[begin:].copy()
    tail = sound[-quarter:].copy()
    sound[-quarter:] = past[begin - quarter : begin]
    _fade(tail, sound[-quarter:])
    return sound


def _fade(out: _Floats, into: _Floats) -> None:
    """Cross-fade from the one to the other, in the other's place."""
    ramp = np.arange(1, len(into) + 1, dtype=np.float32) / np.float32(len(into) + 1)
    into *= ramp
    into += out * ramp[::-1]


def _whole(sound: _Floats) -> Samples:
    return np.rint(sound).clip(-32768, 32767).astype(np.int16)
