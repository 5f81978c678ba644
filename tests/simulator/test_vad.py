"""Speech is told from silence by its energy, on the clock of the audio."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.simulator.speech import Noise, Tones
from gateway.simulator.vad import Activity, Settings, SpeechStarted, SpeechStopped, Vad

RATE = 24000


def quiet(seconds: float, rate: int = RATE) -> Samples:
    return np.zeros(round(seconds * rate), np.int16)


def noise(seconds: float, dbfs: float, rate: int = RATE) -> Samples:
    dice = np.random.default_rng(1)
    level = 32768 * 10 ** (dbfs / 20)
    return np.asarray(dice.standard_normal(round(seconds * rate)) * level, np.int16)


def hear(*sounds: Samples, rate: int = RATE, chunk: int = 960, **settings: float) -> list[Activity]:
    vad = Vad(Settings(**settings), rate)  # type: ignore[arg-type]
    sound = np.concatenate(sounds)
    return [
        activity
        for start in range(0, len(sound), chunk)
        for activity in vad.push(sound[start : start + chunk])
    ]


def test_a_turn_starts_back_by_the_padding_and_ends_with_its_silence() -> None:
    """speech_started: less prefix_padding_ms; speech_stopped: includes silence_duration_ms."""
    assert hear(quiet(1), noise(1, -20), quiet(1)) == [SpeechStarted(700), SpeechStopped(2500)]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_the_clock_is_the_same_at_every_rate(rate: int) -> None:
    started, stopped = hear(quiet(9, rate), noise(1, -20, rate), quiet(1, rate), rate=rate)
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert abs(started.audio_start_ms - 8700) <= 10
    assert abs(stopped.audio_end_ms - 10500) <= 20


@pytest.mark.parametrize("chunk", [1, 77, 240, 24000])
def test_how_the_audio_is_cut_does_not_matter(chunk: int) -> None:
    sounds = (quiet(0.4), noise(0.5, -20), quiet(0.6))
    assert hear(*sounds, chunk=chunk) == [SpeechStarted(100), SpeechStopped(1400)]


def test_the_start_is_never_before_the_audio() -> None:
    assert hear(noise(1, -20))[0] == SpeechStarted(0)


def test_a_pause_shorter_than_the_silence_does_not_end_a_turn() -> None:
    sounds = (noise(0.5, -20), quiet(0.4), noise(0.5, -20), quiet(0.5))
    assert hear(*sounds) == [SpeechStarted(0), SpeechStopped(1900)]
    assert len(hear(*sounds, silence_duration_ms=300)) == 4


def test_a_click_is_no_speech() -> None:
    click = (noise(0.03, -10), quiet(0.2))
    assert hear(*click, *click, *click, quiet(1)) == []


def test_the_threshold_says_how_loud_speech_must_be() -> None:
    soft = (quiet(1), noise(1, -40), quiet(1))
    assert len(hear(*soft, threshold=0.5)) == 2
    assert hear(*soft, threshold=0.9) == []
    whisper = (quiet(1), noise(1, -52), quiet(1))
    assert hear(*whisper, threshold=0.5) == []
    assert len(hear(*whisper, threshold=0.1)) == 2


def test_a_noisy_line_is_learned() -> None:
    """Steady noise of -42 dBFS is taken for speech at first, and then never again."""
    line = noise(20, -42)
    activities = hear(line, line)
    assert len(activities) == 2
    spoken = hear(line, line, noise(1, -20), noise(1, -42))
    assert len(spoken) == 4


def test_a_long_sentence_is_not_taken_for_noise() -> None:
    assert hear(quiet(1), noise(10, -20)) == [SpeechStarted(700)]


@pytest.mark.parametrize("speech", [Tones(), Noise()])
def test_the_simulator_hears_its_own_voices_as_one_turn(speech: Tones | Noise) -> None:
    pcm = speech.say("Hello, I would like to ask a question. Are you there?", RATE, "en")
    said = np.frombuffer(pcm, "<i2").astype(np.int16)
    assert len(hear(quiet(0.5), said, quiet(1))) == 2
    assert len(hear(quiet(0.5), said, quiet(1), silence_duration_ms=400)) == 2


def test_the_onset_is_told_before_speech_counts() -> None:
    vad = Vad(Settings(), RATE, start_ms=1000)
    assert vad.onset is None
    vad.push(noise(0.03, -20))
    assert vad.onset == 1000
    assert not vad.speaking
    vad.push(noise(0.1, -20))
    assert vad.speaking
