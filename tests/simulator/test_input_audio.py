"""The input audio buffer: its clock, what it keeps, and what a commit takes."""

from __future__ import annotations

import base64

import pytest

from gateway.simulator.formats import AudioFormat
from gateway.simulator.input_audio import InputAudio, decode_audio
from gateway.simulator.schema import Refusal
from gateway.simulator.vad import Settings, SpeechStarted, SpeechStopped
from tests.simulator.client import silence, voice

PCM = AudioFormat("audio/pcm", 24000)
NARROW = AudioFormat("audio/pcm", 8000)
PCMU = AudioFormat("audio/pcmu", 8000)


def append(audio: InputAudio, data: bytes) -> list[object]:
    return list(audio.append(base64.b64encode(data).decode()))


def test_without_vad_everything_is_kept_until_the_commit() -> None:
    audio = InputAudio(PCM, None)
    assert append(audio, voice(1.0)) == []
    append(audio, silence(2.0))
    assert audio.clock_ms == 3000
    assert not audio.speaking
    assert audio.commit() == voice(1.0) + silence(2.0)
    with pytest.raises(Refusal, match=r"buffer only has 0\.00ms of audio"):
        audio.commit()
    assert audio.clock_ms == 3000


def test_a_commit_needs_100_ms() -> None:
    audio = InputAudio(PCM, None)
    append(audio, silence(0.0995))
    with pytest.raises(Refusal) as caught:
        audio.commit()
    assert caught.value.code == "input_audio_buffer_commit_empty"
    assert "Expected at least 100ms of audio, but buffer only has 99.50ms" in caught.value.message
    append(audio, silence(0.0005))
    assert audio.commit() == silence(0.1)


def test_a_turn_is_taken_from_its_start_to_its_end() -> None:
    audio = InputAudio(PCM, Settings())
    append(audio, silence(5.0))
    (started,) = append(audio, voice(1.0))
    assert started == SpeechStarted(4700)
    assert audio.speaking
    (stopped,) = append(audio, silence(0.7))
    assert stopped == SpeechStopped(6500)
    assert audio.take(4700, 6500) == silence(0.3) + voice(1.0) + silence(0.5)
    assert not audio.speaking


def test_a_turn_within_one_append_is_kept_whole() -> None:
    audio = InputAudio(PCM, Settings())
    heard = append(audio, silence(3.0) + voice(1.0) + silence(3.0))
    assert heard == [SpeechStarted(2700), SpeechStopped(4500)]
    assert audio.take(2700, 4500) == silence(0.3) + voice(1.0) + silence(0.5)


def test_silence_is_forgotten_but_for_the_padding() -> None:
    audio = InputAudio(PCM, Settings(prefix_padding_ms=200))
    for _ in range(100):
        append(audio, silence(0.1))
    assert audio.take(0, 10_000) == silence(0.7)


def test_while_nobody_speaks_there_is_nothing_to_commit_under_vad() -> None:
    """ "never commit while server VAD is on": input_audio_buffer_commit_empty."""
    audio = InputAudio(PCM, Settings())
    append(audio, silence(1.0))
    with pytest.raises(Refusal, match=r"0\.00ms"):
        audio.commit()
    append(audio, voice(1.0))
    assert audio.commit().endswith(voice(1.0))


def test_clear_forgets_the_audio_and_the_turn_but_not_the_time() -> None:
    audio = InputAudio(PCM, Settings())
    append(audio, voice(1.0))
    audio.clear()
    assert not audio.speaking
    assert append(audio, silence(2.0)) == []
    assert append(audio, voice(0.5)) == [SpeechStarted(2700)]


def test_the_clock_goes_on_when_the_format_changes() -> None:
    audio = InputAudio(PCM, Settings())
    append(audio, silence(1.0))
    audio.configure(PCMU, Settings())
    assert audio.clock_ms == 1000
    append(audio, b"\xff" * 8000)
    assert audio.clock_ms == 2000
    audio.configure(NARROW, Settings())
    assert append(audio, voice(1.0, 8000)) == [SpeechStarted(1700)]
    append(audio, silence(0.5, 8000))
    assert audio.take(1700, 3500) == voice(1.0, 8000) + silence(0.5, 8000)


def test_an_update_that_changes_nothing_disturbs_nothing() -> None:
    audio = InputAudio(PCM, Settings())
    append(audio, voice(0.5))
    audio.configure(PCM, Settings())
    assert audio.speaking
    audio.configure(PCM, Settings(threshold=0.6))
    assert not audio.speaking
    audio.configure(PCM, None)
    assert append(audio, voice(1.0)) == []


@pytest.mark.parametrize(
    "text", ["AAA", "A", "????", "AA==AA==", "AAAA\n", "AQ==", "AAA_", "é"], ids=repr
)
def test_what_is_no_base64_or_no_whole_samples_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode_audio(text, PCM, "audio")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "audio")


def test_no_audio_is_audio() -> None:
    assert decode_audio("", PCM, "audio") == b""
    assert append(InputAudio(PCM, Settings()), b"") == []
