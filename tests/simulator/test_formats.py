"""Bytes, milliseconds and samples of the wire's formats."""

from __future__ import annotations

import numpy as np

from gateway.simulator.formats import AudioFormat

PCM = AudioFormat("audio/pcm", 44100)
PCMU = AudioFormat.of({"type": "audio/pcmu"})


def test_a_format_comes_from_the_session_and_goes_back() -> None:
    assert AudioFormat.of({"type": "audio/pcm"}) == AudioFormat("audio/pcm", 24000)
    assert AudioFormat.of({"type": "audio/pcm", "rate": 44100}) == PCM
    assert PCM.wire() == {"type": "audio/pcm", "rate": 44100}
    assert PCMU.wire() == {"type": "audio/pcmu"}
    assert PCMU.rate == 8000


def test_sizes_are_whole_samples() -> None:
    assert (PCM.width, PCMU.width) == (2, 1)
    assert PCM.size(1) == 88  # 44.1 samples
    assert PCM.size(10) == 882
    assert PCM.ms(882) == 10
    assert PCM.ms(881) == 9
    assert PCMU.size(20) == 160
    assert PCMU.ms(160) == 20


def test_pcm_is_little_endian_and_g711_is_coded() -> None:
    assert PCM.decode(b"\x01\x00\xff\xff").tolist() == [1, -1]
    assert PCM.encode(b"\x01\x00") == b"\x01\x00"
    assert PCMU.decode(b"\xff\x00").tolist() == [0, -32124]
    assert PCMU.encode(np.array([0, -32124], "<i2").tobytes()) == b"\xff\x00"
    assert AudioFormat.of({"type": "audio/pcma"}).decode(b"\x55").tolist() == [-8]
