"""What a frame is."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.frame import FRAME_MS, frame_samples, silence


@pytest.mark.parametrize(
    ("rate", "samples"), [(8000, 160), (16000, 320), (24000, 480), (44100, 882), (48000, 960)]
)
def test_a_frame_is_20_ms(rate: int, samples: int) -> None:
    """Every rate in use has a whole number of samples in a frame."""
    assert frame_samples(rate) == samples
    assert samples * 1000 == rate * FRAME_MS


def test_silence_is_zeros() -> None:
    """Digital silence is 16-bit zeros, also none of them."""
    assert silence(3).tolist() == [0, 0, 0]
    assert silence(0).dtype == np.int16
