from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from gateway.audio.codec import CODECS, codec
from gateway.call.transcoder import Transcoder


@pytest.mark.parametrize(("heard", "said"), list(permutations(CODECS, 2)))
@pytest.mark.parametrize("ptime", [10, 20, 40])
def test_a_tone_passes(heard: str, said: str, ptime: int) -> None:
    """Packet for packet, each as long as it was."""
    one, other = codec(heard), codec(said)
    subject, encoder, decoder = Transcoder(one, other), one.encoder(ptime), other.decoder()
    samples = one.rate * ptime // 1000
    at = np.arange(1000 // ptime * samples) / one.rate
    tone = np.rint(8000 * np.sin(2 * np.pi * 1000 * at)).astype(np.int16)
    sound = []
    for n in range(1000 // ptime):
        payload = subject.convert(encoder.encode(tone[n * samples : (n + 1) * samples]))
        assert payload is not None
        assert other.duration(payload) == other.clock_rate * ptime // 1000
        sound.append(decoder.decode(payload))
    spectrum = np.abs(np.fft.rfft(np.concatenate(sound)))
    assert abs(int(np.argmax(spectrum)) - 1000) <= 2


def test_another_length_in_between() -> None:
    subject = Transcoder(codec("PCMU"), codec("OPUS"))
    lengths = [subject.convert(bytes(160 * n)) for n in (1, 2, 1, 3)]
    assert [codec("OPUS").duration(it or b"") for it in lengths] == [960, 1920, 960, 2880]


@pytest.mark.parametrize("payload", [b"", b"\xff" * 240, b"\xff" * 7])
def test_what_has_no_form_there(payload: bytes) -> None:
    """Nothing, 30 ms, and less than a millisecond are no Opus packets of ours."""
    assert Transcoder(codec("PCMU"), codec("OPUS")).convert(payload) is None


def test_broken() -> None:
    assert Transcoder(codec("OPUS"), codec("PCMU")).convert(b"\xff") is None
