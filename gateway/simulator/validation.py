"""The 11 client events of the Realtime API, validated before anything acts on them (pure).

The tables are OpenAI's published schema (the official package's `RealtimeClientEvent`); the
refusals are those of `schema`. What depends on the state of a session (an item that does not
exist, a response that runs already) is refused by whoever keeps that state.

Left out: the contents of MCP tools and items, which are accepted and never used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from .dialect import Dialect
from .schema import (
    Check,
    Refusal,
    anything,
    array,
    boolean,
    decimal,
    either,
    integer,
    mapping,
    missing,
    nullable,
    record,
    text,
    variants,
    wrong_type,
    wrong_value,
)

LONGEST_ID = 32  # characters of an item id that a client chooses
MOST_AUDIO = 15 * 1024 * 1024  # bytes in one append

_SCOPE = {"type": anything, "event_id": text(longest=512)}


def parse(message: str | bytes) -> dict[str, Any]:
    """The JSON object of one message; Refusal where there is none."""
    try:
        event = json.loads(message, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            "We could not parse the JSON of your message.", code="invalid_json"
        ) from error
    if not isinstance(event, dict):
        raise Refusal("Your message is not a JSON object.", code="invalid_json")
    return event


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class Validator:
    """The checks of one dialect; `check` raises the Refusal to send."""

    def __init__(self, dialect: Dialect) -> None:
        self._events = _events(dialect)

    def check(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if "type" not in event:
            raise missing("type")
        if not isinstance(kind, str):
            raise wrong_type("a string", kind, "type")
        if kind not in self._events:
            raise wrong_value(kind, self._events, "type")
        self._events[kind](event, "")


def _modalities(value: object, path: str) -> None:
    array(text("text", "audio"))(value, path)
    if value not in (["text"], ["audio"]):
        raise Refusal(
            f"Invalid modalities: {value}. Supported combinations are: ['text'] and ['audio'].",
            code="invalid_value",
            param=path,
        )


def _format(dialect: Dialect) -> Check:
    kinds = {"audio/pcm": _pcm(dialect)}
    if dialect.g711:
        bare = record({"type": anything}, strict=dialect.strict)
        kinds |= {"audio/pcmu": bare, "audio/pcma": bare}
    return variants("type", kinds)


def _pcm(dialect: Dialect) -> Check:
    return record({"type": anything, "rate": integer(*dialect.rates)}, strict=dialect.strict)


def _turn_detection(strict: bool) -> Check:
    common = {"type": anything, "create_response": boolean, "interrupt_response": boolean}
    server = {
        "threshold": decimal(0, 1),
        "prefix_padding_ms": integer(0),
        "silence_duration_ms": integer(0),
        "idle_timeout_ms": nullable(integer(5000, 30000)),
    }
    semantic = {"eagerness": text("low", "medium", "high", "auto")}
    return variants(
        "type",
        {
            "server_vad": record(common | server, strict=strict),
            "semantic_vad": record(common | semantic, strict=strict),
        },
    )


def _audio(dialect: Dialect) -> Check:
    strict = dialect.strict
    transcription = {
        "model": text(),
        "language": text(),
        "languages": array(text()),
        "prompt": text(),
        "keywords": array(text()),
        "delay": text("minimal", "low", "medium", "high", "xhigh"),
    }
    noise = {"type": text("near_field", "far_field"), "strength": decimal(0, 1)}
    heard = {
        "format": _format(dialect),
        "noise_reduction": nullable(record(noise, strict=strict)),
        "transcription": nullable(record(transcription, strict=strict)),
        "turn_detection": nullable(_turn_detection(strict)),
    }
    spoken = {"format": _format(dialect), "voice": _voice(strict), "speed": decimal(0.25, 1.5)}
    return record(
        {"input": record(heard, strict=strict), "output": record(spoken, strict=strict)},
        strict=strict,
    )


def _voice(strict: bool) -> Check:
    return either(text(), record({"id": text()}, required=["id"], strict=strict))


def _tools(strict: bool) -> Check:
    function = {"type": anything, "name": text(longest=64), "description": text()}
    return array(
        variants(
            "type",
            {
                "function": record(
                    function | {"parameters": anything}, required=["name"], strict=strict
                ),
                "mcp": record({}, required=["server_label"], strict=False),
            },
        )
    )


def _tool_choice(strict: bool) -> Check:
    function = {"type": anything, "name": text()}
    server = {"type": anything, "server_label": text(), "name": nullable(text())}
    return either(
        text("none", "auto", "required"),
        variants(
            "type",
            {
                "function": record(function, required=["name"], strict=strict),
                "mcp": record(server, required=["server_label"], strict=strict),
            },
        ),
    )


def _shared(strict: bool) -> dict[str, Check]:
    """What a session and a response both have."""
    prompt = {"id": text(), "version": nullable(text()), "variables": nullable(anything)}
    return {
        "output_modalities": _modalities,
        "instructions": text(),
        "tools": _tools(strict),
        "tool_choice": _tool_choice(strict),
        "max_output_tokens": either(text("inf"), integer(1, 4096)),
        "prompt": nullable(record(prompt, required=["id"], strict=strict)),
        "parallel_tool_calls": boolean,
        "reasoning": nullable(
            record({"effort": text("minimal", "low", "medium", "high", "xhigh")}, strict=strict)
        ),
    }


def _session(dialect: Dialect) -> Check:
    strict = dialect.strict
    ratio = {
        "type": text("retention_ratio"),
        "retention_ratio": decimal(0, 1),
        "token_limits": record({"post_instructions": integer(0)}, strict=strict),
    }
    fields: dict[str, Check] = {
        "type": text("realtime"),
        "model": text(),
        "audio": _audio(dialect),
        "include": nullable(array(text("item.input_audio_transcription.logprobs"))),
        "tracing": nullable(either(text("auto"), record({}, strict=False))),
        "truncation": either(
            text("auto", "disabled"),
            record(ratio, required=["type", "retention_ratio"], strict=strict),
        ),
    }
    needed = ["type"] if strict else []
    return record(fields | _shared(strict), required=needed, strict=strict)


def _response(dialect: Dialect) -> Check:
    strict = dialect.strict
    spoken = record({"format": _format(dialect), "voice": _voice(strict)}, strict=strict)
    reference = record({"type": anything, "id": text()}, required=["id"], strict=strict)
    fields: dict[str, Check] = {
        "audio": record({"output": spoken}, strict=strict),
        "conversation": text("auto", "none"),
        "input": array(variants("type", _items(dialect) | {"item_reference": reference})),
        "metadata": nullable(mapping(text(longest=512), longest=16)),
    }
    return record(fields | _shared(strict), strict=strict)


def _items(dialect: Dialect) -> dict[str, Check]:
    strict = dialect.strict
    base: dict[str, Check] = {
        "type": anything,
        "id": text(longest=LONGEST_ID),
        "object": text("realtime.item"),
        "status": text("completed", "incomplete", "in_progress"),
    }
    call = {"call_id": text(), "name": text(), "arguments": text()}
    output = {"call_id": text(), "output": text()}
    return {
        "message": _message(dialect, base),
        "function_call": record(base | call, required=["name", "arguments"], strict=strict),
        "function_call_output": record(
            base | output, required=["call_id", "output"], strict=strict
        ),
        "mcp_approval_response": record(
            base, required=["approval_request_id", "approve"], strict=False
        ),
    }


def _message(dialect: Dialect, base: Mapping[str, Check]) -> Check:
    strict = dialect.strict

    def part(kind: str, **fields: Check) -> tuple[str, Check]:
        needed = [name for name in ("text", "audio", "image_url") if name in fields]
        return kind, record({"type": anything} | fields, required=needed, strict=strict)

    typed = part("input_text", text=text())
    spoken = part("input_audio", audio=base64_audio, transcript=nullable(text()))
    image = part("input_image", image_url=text(), detail=text("auto", "low", "high"))
    said = part("output_text", text=text())
    roles = {
        "system": [typed],
        "user": [typed, spoken, image],
        "assistant": [said],  # "it cannot populate assistant audio messages"
    }

    def message(role: str, parts: list[tuple[str, Check]]) -> Check:
        content = array(variants("type", dict(parts)))
        if role == "assistant" and not dialect.assistant_items:
            content = _refuse_assistant
        return record(
            {**base, "role": anything, "content": content},
            required=["content"],
            strict=strict,
        )

    return variants("role", {role: message(role, parts) for role, parts in roles.items()})


def _refuse_assistant(value: object, path: str) -> None:
    raise Refusal(
        "MessageContentItemOutputText is not supported yet", code="invalid_value", param=path
    )


def base64_audio(value: object, path: str) -> None:
    """Base64 characters of at most `MOST_AUDIO` bytes; decoding them shows the rest."""
    if not isinstance(value, str):
        raise wrong_type("a string", value, path)
    if len(value) * 3 // 4 > MOST_AUDIO:
        raise Refusal(
            f"Invalid '{path}': at most 15 MiB of audio in one event.",
            code="string_above_max_length",
            param=path,
        )


def _events(dialect: Dialect) -> dict[str, Check]:
    def event(needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
        fields = {**_SCOPE, **needed, **(optional or {})}
        return record(fields, required=needed, strict=dialect.strict)

    item_id = {"item_id": text()}
    place = {"content_index": integer(0), "audio_end_ms": integer(0)}
    item = variants("type", _items(dialect))
    return {
        "session.update": event({"session": _session(dialect)}),
        "input_audio_buffer.append": event({"audio": base64_audio}),
        "input_audio_buffer.commit": event({}),
        "input_audio_buffer.clear": event({}),
        "conversation.item.create": event({"item": item}, {"previous_item_id": nullable(text())}),
        "conversation.item.retrieve": event(item_id),
        "conversation.item.truncate": event(item_id | place),
        "conversation.item.delete": event(item_id),
        "response.create": event({}, {"response": nullable(_response(dialect))}),
        "response.cancel": event({}, {"response_id": nullable(text())}),
        "output_audio_buffer.clear": event({}),
    }
