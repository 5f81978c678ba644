"""Voices: as long as their text, at any rate, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.simulator.speech import Noise, Tones, language_of, resample


def samples(pcm: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


@pytest.mark.parametrize("speech", [Tones(), Noise()])
def test_a_voice_is_as_long_at_every_rate(speech: Tones | Noise) -> None:
    lengths = [len(speech.say("Hello, world.", rate, "en")) / 2 / rate for rate in (8000, 44100)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.001)
    assert 0.5 < lengths[0] < 2.5


@pytest.mark.parametrize("speech", [Tones(), Noise()])
@pytest.mark.parametrize("text", ["", " ", "Здравствуйте!", "\ud800", "?"])
def test_any_text_can_be_said(speech: Tones | Noise, text: str) -> None:
    pcm = speech.say(text, 8000, "ru")
    assert len(pcm) % 2 == 0
    assert pcm


def test_words_are_separate_and_longer_texts_are_longer() -> None:
    sound = samples(Tones().say("good morning", 8000, "en"))
    loud = np.abs(sound).reshape(-1, 80).max(axis=1) > 300
    edges = int(np.sum(loud[1:] & ~loud[:-1]))
    assert edges >= 2
    assert len(Tones().say("good morning to you", 8000, "en")) > 2 * len(sound)


def test_noise_is_its_own_for_each_text_and_seed() -> None:
    one, same = Noise(1).say("a text", 24000, "en"), Noise(1).say("a text", 24000, "en")
    assert one == same
    for other in (Noise(2).say("a text", 24000, "en"), Noise(1).say("b text", 24000, "en")):
        a, b = samples(one), samples(other)
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_noise_is_found_again_to_the_sample() -> None:
    sound = samples(Noise().say("some longer text to look for", 24000, "en"))
    piece = sound[12345:14000]
    assert int(np.argmax(np.correlate(sound, piece, "valid"))) == 12345


def test_noise_stays_in_the_band_of_a_telephone() -> None:
    sound = samples(Noise().say("x" * 30, 24000, "en"))
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / 24000)
    inside = power[(hertz >= 400) & (hertz <= 3200)].sum()
    assert inside / power.sum() > 0.9999
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.12 * 32767, rel=0.01)


def test_language_by_its_letters() -> None:
    assert language_of("Hello!") == "en"
    assert language_of("Ёлка!") == "ru"
    assert language_of("12") == "en"


def test_resampling_keeps_a_tone_in_its_place() -> None:
    time = np.arange(22050) / 22050
    tone = np.rint(8000 * np.sin(2 * np.pi * 1000 * time) * np.hanning(22050))
    there = resample(tone.astype("<i2").tobytes(), 22050, 24000)
    time = np.arange(24000) / 24000
    expected = 8000 * np.sin(2 * np.pi * 1000 * time) * np.hanning(24000)
    assert np.max(np.abs(samples(there) - expected)) < 20
    assert len(resample(there, 24000, 8000)) == 16000


def test_resampling_nothing_or_to_the_same_rate() -> None:
    assert resample(b"", 22050, 8000) == b""
    assert resample(b"\x01\x00", 8000, 8000) == b"\x01\x00"
