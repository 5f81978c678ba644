"""The voice with words lives in a child process, and may go at any time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.simulator import espeak
from gateway.simulator.espeak import Espeak, installed
from gateway.simulator.speech import Tones
from gateway.simulator.vad import Settings, Vad

TEXT = "Good afternoon. I would like to ask when you are open. Are you open on Sunday?"

if not installed() and not os.environ.get("CI"):
    pytest.skip("espeakng-loader is not installed", allow_module_level=True)


@pytest.fixture
def voice() -> Iterator[Espeak]:
    speech = Espeak()
    speech.start()
    yield speech
    speech.close()


def test_it_speaks_two_languages_at_any_rate(voice: Espeak) -> None:
    for text, language in ((TEXT, "en"), ("Добрый день, чем могу помочь?", "ru")):
        lengths = [len(voice.say(text, rate, language)) / 2 / rate for rate in (8000, 24000, 44100)]
        assert max(lengths) - min(lengths) < 0.1  # it breathes a little differently each time
        assert lengths[0] == pytest.approx(len(text) * 0.06, rel=0.4)
    assert voice.say(TEXT, 8000, "en") != Tones().say(TEXT, 8000, "en")


def test_the_vad_hears_it_as_one_turn(voice: Espeak) -> None:
    said = np.frombuffer(voice.say(TEXT, 24000, "en"), "<i2").astype(np.int16)
    quiet = np.zeros(24000, np.int16)
    assert len(Vad(Settings(), 24000).push(np.concatenate([quiet, said, quiet]))) == 2


def test_a_text_is_spoken_once_and_kept(voice: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "MOST_KEPT", 2)
    first = voice.say("one", 8000, "en")
    assert voice.say("one", 8000, "en") is first
    voice.say("two", 8000, "en")
    voice.say("three", 8000, "en")
    assert voice.say("three", 8000, "en") is voice.say("three", 8000, "en")
    assert voice.say("one", 8000, "en") is not first


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "line\nbreak", "<speak>", "x" * 6000])
def test_any_text_is_answered(voice: Espeak, text: str) -> None:
    with capture_logs() as logs:
        voice.say(text, 8000, "en")
        voice.say("an unknown language", 8000, "../../etc")
    assert logs == []


def test_tones_take_over_when_the_process_dies(voice: Espeak) -> None:
    assert voice._child is not None
    os.kill(voice._child.pid, signal.SIGKILL)
    with capture_logs() as logs:
        for text in ("one", "two"):
            assert voice.say(text, 8000, "en") == Tones().say(text, 8000, "en")
    assert [entry["event"] for entry in logs] == ["speech_in_tones"]


def test_tones_take_over_when_it_does_not_answer(
    voice: Espeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(espeak, "TIMEOUT", 0.05)
    assert voice._child is not None
    os.kill(voice._child.pid, signal.SIGSTOP)
    with capture_logs() as logs:
        assert voice.say("one", 8000, "en") == Tones().say("one", 8000, "en")
    assert logs[0]["reason"] == "espeak-ng did not answer in time"


def test_tones_take_over_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "installed", lambda: False)
    speech = Espeak()
    with capture_logs() as logs:
        assert speech.say("one", 8000, "en") == Tones().say("one", 8000, "en")
    assert "gateway[speech]" in logs[0]["reason"]
    speech.close()
