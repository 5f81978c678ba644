"""A run of sound: 16-bit linear PCM, one channel, as a numpy array; pure.

The rate is not carried along: each stage is built for one (`rate`, Hz), and the line knows them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]


class AudioError(ValueError):
    """What arrived is not the codec's; the packet is as good as lost."""


FRAME_MS = 20
"""The clock of the gateway: one frame a tick."""


def frame_samples(rate: int) -> int:
    """Samples in one frame at `rate` Hz."""
    return rate * FRAME_MS // 1000


def silence(n: int) -> Samples:
    """`n` samples of digital silence."""
    return np.zeros(n, np.int16)
