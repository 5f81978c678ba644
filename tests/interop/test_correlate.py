"""What the comparison of sounds finds, and what it does not take for the same."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.codec import codec as codec_of
from gateway.audio.frame import Samples, silence

from .correlate import RATE, Comparison, compare, sound

LEAST = 0.65  # likeness of what is the same, in the worst of codecs (test_codecs.py)


def heard(rate: int = RATE, seed: int = 1) -> Samples:
    """The sound, a second after the beginning."""
    return np.concatenate([silence(rate), sound(rate, seed), silence(rate)])


def through(name: str, decoder: str = "") -> Comparison:
    """What is left of it by one codec, or by the wrong decoder."""
    encoder, other = codec_of(name).encoder(), codec_of(decoder or name)
    said, size = heard(encoder.rate), encoder.rate // 50
    starts = range(0, len(said) - size + 1, size)
    payloads = [encoder.encode(said[start : start + size]) for start in starts]
    decoding = other.decoder()
    return compare(np.concatenate([decoding.decode(it) for it in payloads]), decoding.rate)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_the_same(rate: int) -> None:
    found = compare(heard(rate), rate)
    assert found.at == pytest.approx(1.0, abs=0.001)
    assert found.likeness > 0.999
    assert found.spread == 0
    assert found.level == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_a_wide_band(rate: int) -> None:
    found = compare(heard(rate), rate)
    assert found.wide > 0.99
    assert found.wide_level == pytest.approx(0, abs=0.1)


def test_a_narrow_band() -> None:
    """Made wide by resampling alone: nothing is there above 4 kHz."""
    found = compare(heard(8000), 8000)
    assert found.wide < 0.1
    assert found.wide_level < -60


@pytest.mark.parametrize(("name", "least"), [("PCMU", 0.99), ("G722", 0.99), ("OPUS", LEAST)])
def test_a_codec(name: str, least: float) -> None:
    found = through(name)
    assert found.likeness > least
    assert found.spread < 0.001
    assert found.level == pytest.approx(0, abs=2)


def test_a_wrong_law() -> None:
    """A-law for µ-law still follows the wave, but bends it, and is far too loud."""
    found = through("PCMU", "PCMA")
    assert found.likeness < 0.95
    assert found.level > 6


@pytest.mark.parametrize(("name", "decoder"), [("G722", "PCMU"), ("PCMA", "G722")])
def test_a_wrong_decoder(name: str, decoder: str) -> None:
    assert through(name, decoder).likeness < LEAST / 2


@pytest.mark.parametrize("rate", [8000, 24000])
def test_a_wrong_rate(rate: int) -> None:
    assert compare(heard(), rate).likeness < LEAST / 2


@pytest.mark.parametrize("seconds", [0.1, 1.0])
@pytest.mark.parametrize("from_", [1.2, 2.4])
def test_a_hole(from_: float, seconds: float) -> None:
    """Sound that is left out: what follows is elsewhere."""
    cut = np.delete(heard(), slice(round(from_ * RATE), round((from_ + seconds) * RATE)))
    found = compare(cut, RATE)
    assert found.spread > 0.05 or found.likeness < LEAST / 2


def test_silence_in_place_of_sound() -> None:
    muted = heard()
    muted[2 * RATE : 3 * RATE] = 0
    assert compare(muted, RATE).likeness < LEAST / 2


def test_another_sound() -> None:
    assert compare(heard(seed=2), RATE).likeness < LEAST / 2
    assert compare(heard(seed=2), RATE).wide < 0.5


def test_nothing() -> None:
    assert compare(silence(0), RATE).likeness == 0
    assert compare(silence(10 * RATE), RATE).likeness < 0.1


def test_half_as_loud() -> None:
    found = compare(heard() // 2, RATE)
    assert found.level == pytest.approx(-6, abs=0.1)
    assert found.likeness > 0.99
