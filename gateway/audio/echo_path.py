"""Whether a line returns what we say, how late and how loud: by the levels alone; pure.

An echo has the ups and downs of the voice that it is of. So the levels of what is heard, in dB
and every 10 ms, are correlated with those of what was sent up to 1.28 s before: at the echo's delay
they agree, whatever its strength. It is found within 0.3 s of its coming, and where nothing is
found in some seconds of our speech there is none. While we have not been speaking nothing is done.

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
_LOOK = 5  # pushes from one judgement to the next
_FOUND, _GONE = 0.65, 0.4  # correlation
_BESIDE = 2  # blocks that an echo may seem to move
_STUBBORN = 15  # judgements for which it does not move further
_SOUND = 20  # blocks of sound on the line without which nothing is known of an echo
_ENOUGH = 150  # blocks of our speech after which an echo would have been found
_SPREAD = 2.0  # dB, standard deviation of levels that tell anything
_STRONGEST = -3.0  # dB, of an echo
_LOUD = 12.0  # dB below our loudest, where the echo is measured
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
        self._pushes = 0
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
        if self.quiet:
            return
        near = self._heard[-count:] - FLOOR
        if self.verdict == "none" and not near.any():
            return
        # A row a block: what was sent 0, 1, 2 … blocks before it.
        levels = self._sent[1 - count - LAGS :] - FLOOR
        far = np.lib.stride_tricks.sliding_window_view(levels, LAGS)[:, ::-1]
        keep = 1 - count / _MEMORY
        self._far *= keep
        self._far[0] += far.sum(0)
        self._far[1] += (far * far).sum(0)
        self._far[2] += near @ far
        self._near *= keep
        self._near += np.array((count, near.sum(), near @ near))
        self._spoken = self._spoken * keep + len(active)
        self._sounded = self._sounded * keep + float((near > 0).sum())
        self._pushes += 1
        if self._pushes % _LOOK == 0:
            self._judge()

    def _judge(self) -> None:
        number, near, near_squares = self._near
        near, near_squares = near / number, near_squares / number
        far, far_squares, products = self._far / number
        deviation = max(near_squares - near**2, _SPREAD**2) ** 0.5
        deviations = np.sqrt(np.maximum(far_squares - far**2, _SPREAD**2))
        likeness = (products - near * far) / (deviations * deviation)
        lag = int(likeness.argmax())
        moved = self.verdict == "found" and abs(lag - self.lag) > _BESIDE
        self._elsewhere = self._elsewhere + 1 if moved else 0
        if moved and self._elsewhere < _STUBBORN:
            lag = self.lag  # a caller who speaks while we do has ups and downs, too
        if likeness[lag] > _FOUND and self._sounded > _SOUND:
            self._measure(lag, anew=moved or self.verdict != "found")
            self.verdict, self.lag = "found", lag
        elif likeness.max() < _GONE and self._spoken > _ENOUGH:
            self.verdict = "none"

    def _measure(self, lag: int, anew: bool) -> None:
        """How loud the echo is, as the median of where we were loud, so that no caller counts."""
        sent = self._sent[LAGS - lag : 2 * LAGS - lag]
        loud = sent > max(float(sent.max()) - _LOUD, ACTIVE)
        if loud.any():
            gain = min(float(np.median((self._heard - sent)[loud])), _STRONGEST)
            self.gain = gain if anew else self.gain + _FOLLOW * (gain - self.gain)


def levels(sound: Samples, block: int) -> Doubles:
    """dBFS of each so many samples."""
    blocks = sound.astype(np.float32).reshape(-1, block)
    powers = np.einsum("ij,ij->i", blocks, blocks).astype(np.float64)
    found: Doubles = 10 * np.log10(powers / (block * 32768.0**2) + 1e-10)
    return found
