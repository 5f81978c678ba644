"""Whether a line returns what we say, how late and how loud: by the levels alone; pure.

An echo has the ups and downs of the voice that it is of. So the levels of what is heard, in dB
and every 10 ms, are correlated with those of what was sent up to 1.28 s before: at the echo's delay
they agree, whatever its strength. A caller who begins to speak a moment after us agrees as well,
for a while. But where we were loud and nothing was heard after some delay, there is no echo so
late: this leaves few delays possible at the first words of a call, and none after 1.3 s of a line
that returns nothing. An echo is found within 0.3 s where there has been one from the beginning,
within some seconds of our speech where it comes later. While we have not been speaking nothing is
done.

Left out: more than one echo; the strongest is found.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from .frame import Samples

Doubles = npt.NDArray[np.float64]

BLOCK_MS: Final = 10
LAGS = 128  # blocks that an echo may be late
FLOOR = -65.0  # dBFS: G.711's own noise, and what nobody hears
ACTIVE = -45.0  # dBFS, from where on we are speaking

_MEMORY = 400  # blocks of our speech after which what was learnt counts a third
_LOOK = 10  # blocks from one judgement to the next
_FOUND, _GONE = 0.65, 0.4  # correlation
_BESIDE = 2  # blocks that an echo may seem to move
_STUBBORN = 15  # judgements for which it does not move further
_SOUND = 20  # blocks of sound on the line without which nothing is known of an echo
_ENOUGH = 150  # blocks of our speech after which an echo would have been found
_SPREAD = 2.0  # dB, standard deviation of levels that tell anything
_STRONGEST = -3.0  # dB, of an echo
_LOUD = 12.0  # dB below our loudest, where the echo is measured
_OUTRIGHT = -8.0  # dB: what is louder against what was sent is no echo at first sight
_SIGHT = 100  # loud blocks that make the first sight
_RECENT = 100  # blocks of our speech after which what was not heard counts a third
_UNKNOWN = 8  # loud blocks, too few to say that no echo is so late
_EMPTY = 0.15  # share of the loud blocks after which nothing may be heard, of an echo
_GONE_EMPTY = 0.3  # the same where the echo that was found is none
_NOTHING = 4.0  # dB over the line's own noise
_NOISE = -45.0  # dBFS, the most that is taken for that
_TOGETHER = 64  # blocks of silence on a line without an echo
_RISE = 0.03  # dB a block: a voice does not become noise while a sentence lasts
_FOLLOW = 0.2  # of the way to each new measure

Verdict = Literal["learning", "found", "none"]


class EchoPath:
    """What is known of one call's echo."""

    def __init__(self) -> None:
        self.verdict: Verdict = "learning"
        self.lag = 0  # blocks that the echo is late, if it is found
        self.gain = 0.0  # dB, of the echo against what was sent, if it is found
        self._sent = np.full(2 * LAGS, FLOOR)  # levels, the latest last
        self._heard = np.full(LAGS, FLOOR)
        self._quiet = LAGS  # blocks since we spoke
        self._spoken = 0.0  # blocks, as they are remembered
        self._sounded = 0.0
        self._waiting = 0  # blocks that were not yet taken into account
        self._blocks = 0  # since the last judgement
        self._noise = FLOOR  # dBFS, of the line
        # For each lag: blocks in which we were loud, and those of them in which nothing was heard.
        self._loud = np.zeros((2, LAGS))
        self._elsewhere = 0  # judgements, for which the likeliest lag has been another
        # Sums over blocks: their number, levels heard and their squares; and for each lag levels
        # sent, their squares, and the products of both.
        self._near = np.zeros(3)
        self._far = np.zeros((3, LAGS))

    @property
    def quiet(self) -> bool:
        """No echo can come now: we have not spoken for so long."""
        return self._quiet >= LAGS

    def loudest(self, first: int, last: int) -> float:
        """Our highest level from so many to so many blocks ago, both included."""
        return float(self._sent[-1 - last : len(self._sent) - max(first, 0)].max())

    def loudest_possible(self, count: int) -> float:
        """Our highest level, from where an echo in the last so many blocks may be."""
        possible = np.convolve(self._possible, np.ones(count))[:LAGS] > 0
        sent = self._sent[: -LAGS - 1 : -1]
        return float(sent.max(where=possible, initial=FLOOR))

    def rest(self, count: int) -> None:
        """Pass over blocks in which nothing is sent."""
        self._quiet += count

    def push(self, heard: Doubles, sent: Doubles) -> None:
        """Take the levels (dBFS) of the same few blocks of both directions."""
        count = len(sent)
        self._sent = np.concatenate((self._sent, np.maximum(sent, FLOOR)))[count:]
        self._heard = np.concatenate((self._heard, np.maximum(heard, FLOOR)))[count:]
        active = np.flatnonzero(sent > ACTIVE)
        self._quiet = count - 1 - int(active[-1]) if len(active) else self._quiet + count
        self._waiting = 0 if self.quiet else self._waiting + count
        latest = self._heard[-count:]
        self._noise = min(float(latest.min()), self._noise + _RISE * count, _NOISE)
        silent = self.verdict == "none" and latest.max() <= self._noise + _NOTHING
        if self.quiet or (silent and self._waiting < _TOGETHER):
            return
        self._learn(self._waiting)
        self._waiting = 0
        if self._blocks >= _LOOK:
            self._blocks = 0
            self._judge()

    def _learn(self, count: int) -> None:
        """Take the last so many blocks into account."""
        near = self._heard[-count:] - FLOOR
        nothing = near <= self._noise + _NOTHING - FLOOR
        active = int((self._sent[-count:] > ACTIVE).sum())
        # A row a block: what was sent 0, 1, 2 … blocks before it.
        levels = self._sent[1 - count - LAGS :] - FLOOR
        far = np.lib.stride_tricks.sliding_window_view(levels, LAGS)[:, ::-1]
        loud = far > max(float(self._sent.max()) - _LOUD, ACTIVE) - FLOOR
        self._loud *= 1 - active / _RECENT
        self._loud[0] += loud.sum(0)
        self._loud[1] += nothing @ loud
        keep = 1 - count / _MEMORY
        self._far *= keep
        self._far[0] += far.sum(0)
        self._far[1] += (far * far).sum(0)
        self._far[2] += near @ far
        self._near *= keep
        self._near += np.array((count, near.sum(), near @ near))
        self._spoken = self._spoken * keep + active
        self._sounded = self._sounded * keep + float((near > 0).sum())
        self._blocks += count

    @property
    def _possible(self) -> npt.NDArray[np.bool_]:
        """The lags that an echo may have."""
        possible: npt.NDArray[np.bool_] = (self._loud[0] < _UNKNOWN) | ~self._empties(_EMPTY)
        return possible

    def _empties(self, share: float) -> npt.NDArray[np.bool_]:
        """The lags after which nothing is heard of more than such a share of our loud blocks."""
        loud, empty = self._loud
        nothing: npt.NDArray[np.bool_] = empty > share * loud + 1
        return nothing

    def _judge(self) -> None:
        number, near, near_squares = self._near
        near, near_squares = near / number, near_squares / number
        far, far_squares, products = self._far / number
        deviation = max(near_squares - near**2, _SPREAD**2) ** 0.5
        deviations = np.sqrt(np.maximum(far_squares - far**2, _SPREAD**2))
        possible = self._possible
        likeness = (products - near * far) / (deviations * deviation)
        likeness[~possible] = -1.0
        lag = int(likeness.argmax())
        moved = self.verdict == "found" and abs(lag - self.lag) > _BESIDE
        self._elsewhere = self._elsewhere + 1 if moved else 0
        if moved and self._elsewhere < _STUBBORN:
            lag = self.lag  # a caller who speaks while we do has ups and downs, too
        if likeness[lag] > _FOUND and self._sounded > _SOUND:
            self._find(lag, anew=moved or self.verdict != "found")
        elif self.verdict == "found":  # a caller who speaks while we do hides an echo, at times
            if self._empties(_GONE_EMPTY)[self.lag]:
                self.verdict = "learning"
        elif not possible.any() or (likeness.max() < _GONE and self._spoken > _ENOUGH):
            self.verdict = "none"

    def _find(self, lag: int, *, anew: bool) -> None:
        """An echo is likely: how loud it is says the median of where we were loud, so that no
        caller counts; and whether it is one."""
        sent = self._sent[LAGS - lag : 2 * LAGS - lag]
        loud = sent > max(float(sent.max()) - _LOUD, ACTIVE)
        if not loud.any():
            return
        heard = float(np.median(self._heard[loud]))
        gain = min(float(np.median((self._heard - sent)[loud])), _STRONGEST)
        if not anew:
            self.gain += _FOLLOW * (gain - self.gain)
            self.lag = lag
        elif heard > self._noise + _NOTHING and (gain < _OUTRIGHT or self._loud[0, lag] > _SIGHT):
            self.verdict, self.lag, self.gain = "found", lag, gain


def levels(sound: Samples, block: int) -> Doubles:
    """dBFS of each so many samples."""
    blocks = sound.astype(np.float32).reshape(-1, block)
    powers = np.einsum("ij,ij->i", blocks, blocks).astype(np.float64)
    found: Doubles = 10 * np.log10(powers / (block * 32768.0**2) + 1e-10)
    return found
