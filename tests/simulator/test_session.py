"""session.update: what is named changes, the rest stays."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.dialect import OPENAI, YANDEX, Dialect
from gateway.simulator.formats import AudioFormat
from gateway.simulator.schema import Refusal
from gateway.simulator.session import Session
from gateway.simulator.vad import Settings


def session(dialect: Dialect = OPENAI, **patch: Any) -> Session:
    new = Session(dialect, "sess_1", "gpt-realtime")
    new.update(patch, spoken=False)
    return new


def heard(**fields: Any) -> dict[str, Any]:
    return {"input": fields}


def test_a_session_begins_with_the_defaults() -> None:
    assert session().wire() == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "voice": "alloy",
                "speed": 1.0,
            },
        },
    }


def test_an_update_changes_only_what_it_names() -> None:
    one = session(instructions="Be brief.", audio=heard(transcription={"model": "whisper-1"}))
    one.update({"audio": {"output": {"voice": "marin"}}}, spoken=False)
    assert one.instructions == "Be brief."
    assert one.transcribes
    assert one.voice == "marin"
    one.update({"instructions": "", "audio": heard(transcription=None)}, spoken=False)
    assert one.instructions == ""
    assert not one.transcribes


def test_the_model_is_that_of_the_connection() -> None:
    assert session(model="other").wire()["model"] == "gpt-realtime"


def test_server_vad_is_filled_up_with_its_defaults() -> None:
    one = session(audio=heard(turn_detection={"type": "server_vad", "silence_duration_ms": 200}))
    assert one.vad == Settings(0.5, 300, 200)
    assert one.creates_responses
    assert one.interrupts
    assert one.idle_timeout is None
    two = session(
        audio=heard(
            turn_detection={
                "type": "server_vad",
                "create_response": False,
                "interrupt_response": False,
                "idle_timeout_ms": 6000,
            }
        )
    )
    assert not two.creates_responses
    assert not two.interrupts
    assert two.idle_timeout == 6.0


def test_semantic_vad_waits_by_its_eagerness() -> None:
    detection = {"type": "semantic_vad", "eagerness": "low"}
    one = session(audio=heard(turn_detection=detection))
    assert one.vad == Settings(silence_duration_ms=800)
    assert one.creates_responses
    assert one.idle_timeout is None


def test_without_turn_detection_the_client_commits() -> None:
    one = session(audio=heard(turn_detection=None))
    assert one.vad is None
    assert not one.creates_responses


def test_the_voice_is_fixed_once_the_assistant_has_spoken() -> None:
    one = session()
    with pytest.raises(Refusal) as caught:
        one.update({"audio": {"output": {"voice": "marin"}}}, spoken=True)
    assert caught.value.code == "cannot_update_voice"
    one.update({"audio": {"output": {"voice": "alloy"}}}, spoken=True)
    other = session(YANDEX)
    other.update({"audio": {"output": {"voice": "marina"}}}, spoken=True)
    assert other.voice == "marina"


def test_formats() -> None:
    one = session(audio={"input": {"format": {"type": "audio/pcma"}}})
    assert one.input_format == AudioFormat("audio/pcma", 8000)
    assert one.output_format == AudioFormat("audio/pcm", 24000)
    assert one.format_of({"format": {"type": "audio/pcmu"}}) == AudioFormat("audio/pcmu", 8000)


def test_yandex_echoes_no_rate_and_both_modalities_and_always_transcribes() -> None:
    one = session(YANDEX, audio=heard(format={"type": "audio/pcm", "rate": 8000}, languages=["ru"]))
    wire = one.wire()
    assert wire["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": None}
    assert wire["audio"]["input"]["languages"] == ["ru"]
    assert wire["output_modalities"] == ["text", "audio"]
    assert one.input_format.rate == 8000
    assert one.transcribes
    assert one.modality == "audio"
