"""The 11 client events: what is accepted, and how a mistake in each is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.dialect import COMPATIBLE, OPENAI, YANDEX, Dialect
from gateway.simulator.schema import Refusal
from gateway.simulator.validation import MOST_AUDIO, Validator, parse

USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
SESSION = {
    "type": "realtime",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": {"type": "near_field"},
            "transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": 6000,
                "create_response": True,
                "interrupt_response": False,
            },
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.25},
    },
    "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}},
        {"type": "mcp", "server_label": "l", "server_url": "https://mcp.example"},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "max_output_tokens": 4096,
    "prompt": {"id": "pmpt_1", "version": None, "variables": {"a": "b"}},
    "include": ["item.input_audio_transcription.logprobs"],
    "tracing": "auto",
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low"},
}

RIGHT: list[dict[str, Any]] = [
    {"type": "session.update", "session": SESSION, "event_id": "e1"},
    {"type": "session.update", "session": {"type": "realtime", "max_output_tokens": "inf"}},
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "audio": {
                "input": {
                    "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
                    "transcription": None,
                },
                "output": {"voice": {"id": "voice_1"}},
            },
        },
    },
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "conversation.item.create", "item": USER, "previous_item_id": "root"},
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "id": "item_x",
            "status": "completed",
            "content": [
                {"type": "input_audio", "audio": "AAAA", "transcript": "a"},
                {"type": "input_image", "image_url": "data:", "detail": "low"},
            ],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "hello"}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "c", "output": "ok"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    },
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 9},
    {"type": "conversation.item.delete", "item_id": "i"},
    {"type": "response.create"},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "input": [USER, {"type": "item_reference", "id": "item_x"}],
            "metadata": {"topic": "t"},
            "output_modalities": ["text"],
            "audio": {"output": {"voice": "alloy", "format": {"type": "audio/pcm"}}},
            "tool_choice": "none",
        },
    },
    {"type": "response.cancel"},
    {"type": "response.cancel", "response_id": "r"},
    {"type": "output_audio_buffer.clear"},
]


@pytest.mark.parametrize("event", RIGHT, ids=lambda event: event["type"])
def test_every_client_event_is_accepted(event: dict[str, Any]) -> None:
    Validator(OPENAI).check(event)


def refusal(event: dict[str, Any], dialect: Dialect = OPENAI) -> tuple[str | None, str | None]:
    with pytest.raises(Refusal) as caught:
        Validator(dialect).check(event)
    return caught.value.code, caught.value.param


def session(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def heard(**fields: Any) -> dict[str, Any]:
    return session(audio={"input": fields})


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": fields}


UNKNOWN, MISSING = "unknown_parameter", "missing_required_parameter"
TYPE, VALUE = "invalid_type", "invalid_value"
BELOW = "integer_below_min_value"
MESSAGE = {"type": "message", "role": "user"}

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, MISSING, "type"),
    ({"type": 5}, TYPE, "type"),
    ({"type": "response.make"}, VALUE, "type"),
    ({"type": "response.cancel", "event_id": 5}, TYPE, "event_id"),
    ({"type": "response.cancel", "why": 5}, UNKNOWN, "why"),
    ({"type": "session.update"}, MISSING, "session"),
    ({"type": "session.update", "session": {}}, MISSING, "session.type"),
    (session(type="transcription"), VALUE, "session.type"),
    (session(voice="alloy"), UNKNOWN, "session.voice"),
    (session(modalities=["text"]), UNKNOWN, "session.modalities"),
    (session(input_audio_format="pcm16"), UNKNOWN, "session.input_audio_format"),
    (session(output_modalities=["text", "audio"]), VALUE, "session.output_modalities"),
    (session(output_modalities=["smell"]), VALUE, "session.output_modalities[0]"),
    (session(instructions=None), TYPE, "session.instructions"),
    (session(max_output_tokens=0), BELOW, "session.max_output_tokens"),
    (session(tools=[{"type": "function"}]), MISSING, "session.tools[0].name"),
    (
        session(tools=[{"type": "function", "name": "f", "meta": 1}]),
        UNKNOWN,
        "session.tools[0].meta",
    ),
    (session(tool_choice="maybe"), VALUE, "session.tool_choice"),
    (
        session(truncation={"type": "retention_ratio"}),
        MISSING,
        "session.truncation.retention_ratio",
    ),
    (heard(format={"rate": 24000}), MISSING, "session.audio.input.format.type"),
    (heard(format={"type": "audio/pcm", "rate": 16000}), BELOW, "session.audio.input.format.rate"),
    (
        heard(format={"type": "audio/pcmu", "rate": 8000}),
        UNKNOWN,
        "session.audio.input.format.rate",
    ),
    (heard(format={"type": "audio/opus"}), VALUE, "session.audio.input.format.type"),
    (heard(languages=["ru-RU"]), UNKNOWN, "session.audio.input.languages"),
    (heard(turn_detection={}), MISSING, "session.audio.input.turn_detection.type"),
    (
        heard(turn_detection={"type": "server_vad", "threshold": 2}),
        "decimal_above_max_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        heard(turn_detection={"type": "semantic_vad", "threshold": 0.5}),
        UNKNOWN,
        "session.audio.input.turn_detection.threshold",
    ),
    (
        heard(turn_detection={"type": "server_vad", "idle_timeout_ms": 100}),
        BELOW,
        "session.audio.input.turn_detection.idle_timeout_ms",
    ),
    ({"type": "input_audio_buffer.append"}, MISSING, "audio"),
    ({"type": "input_audio_buffer.append", "audio": None}, TYPE, "audio"),
    (
        {"type": "input_audio_buffer.append", "audio": "A" * (MOST_AUDIO // 3 * 4 + 8)},
        "string_above_max_length",
        "audio",
    ),
    ({"type": "conversation.item.create"}, MISSING, "item"),
    (item(role="user"), MISSING, "item.type"),
    (item(type="speech"), VALUE, "item.type"),
    (item(type="message", content=[]), MISSING, "item.role"),
    (item(type="message", role="tool", content=[]), VALUE, "item.role"),
    (item(**MESSAGE), MISSING, "item.content"),
    (item(**MESSAGE, content=[], id="i" * 33), "string_above_max_length", "item.id"),
    (item(**MESSAGE, content=[{"type": "input_text"}]), MISSING, "item.content[0].text"),
    (item(**MESSAGE, content=[{"type": "output_text"}]), VALUE, "item.content[0].type"),
    (
        item(type="message", role="assistant", content=[{"type": "output_audio", "audio": ""}]),
        VALUE,
        "item.content[0].type",
    ),
    (item(type="function_call_output", output=""), MISSING, "item.call_id"),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0},
        MISSING,
        "audio_end_ms",
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 0,
            "audio_end_ms": 5.5,
        },
        TYPE,
        "audio_end_ms",
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 0,
            "audio_end_ms": -1,
        },
        BELOW,
        "audio_end_ms",
    ),
    ({"type": "conversation.item.delete"}, MISSING, "item_id"),
    ({"type": "response.create", "response": {"modalities": []}}, UNKNOWN, "response.modalities"),
    (
        {"type": "response.create", "response": {"conversation": "x"}},
        VALUE,
        "response.conversation",
    ),
    (
        {"type": "response.create", "response": {"metadata": {"a": 1}}},
        TYPE,
        "response.metadata.a",
    ),
    (
        {"type": "response.create", "response": {"input": [{"type": "item_reference"}]}},
        MISSING,
        "response.input[0].id",
    ),
]


@pytest.mark.parametrize(("event", "code", "param"), WRONG)
def test_a_mistake_is_refused_with_its_code_and_place(
    event: dict[str, Any], code: str, param: str
) -> None:
    assert refusal(event) == (code, param)


def test_yandex_takes_other_rates_fields_of_its_own_and_no_type() -> None:
    audio = {
        "input": {"format": {"type": "audio/pcm", "rate": 44100, "channels": 1}, "languages": []},
        "output": {"format": {"type": "audio/pcm", "rate": 8000}, "role": "friendly"},
    }
    Validator(YANDEX).check({"type": "session.update", "session": {"audio": audio}})


def test_yandex_refuses_g711_and_assistant_items() -> None:
    assert refusal(heard(format={"type": "audio/pcmu"}), YANDEX)[0] == VALUE
    said = item(type="message", role="assistant", content=[{"type": "output_text", "text": "a"}])
    with pytest.raises(Refusal, match="MessageContentItemOutputText is not supported yet"):
        Validator(YANDEX).check(said)


def test_a_compatible_server_takes_pcm_of_8_to_48_khz() -> None:
    for rate in (8000, 48000):
        Validator(COMPATIBLE).check(heard(format={"type": "audio/pcm", "rate": rate}))
    low = heard(format={"type": "audio/pcm", "rate": 7999})
    assert refusal(low, COMPATIBLE) == (BELOW, "session.audio.input.format.rate")


@pytest.mark.parametrize(
    "message", ["", "{", "nothing", b"\xff\xfe\xfd", '{"a": NaN}', "[" * 100_000, "[]", '"a"', "5"]
)
def test_a_message_that_is_no_json_object_is_refused(message: str | bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse(message)
    assert caught.value.code == "invalid_json"


def test_a_message_is_read_as_text_or_bytes() -> None:
    assert parse('{"a": "é"}') == parse('{"a": "é"}'.encode()) == {"a": "é"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([event["type"] for event in RIGHT]),
    st.dictionaries(
        st.sampled_from(["session", "audio", "item", "item_id", "response", "event_id"]),
        json_values,
    ),
)
def test_whatever_comes_is_accepted_or_refused(kind: str, fields: dict[str, Any]) -> None:
    for dialect in (OPENAI, YANDEX):
        try:
            Validator(dialect).check(parse(json.dumps({**fields, "type": kind})))
        except Refusal:
            pass
