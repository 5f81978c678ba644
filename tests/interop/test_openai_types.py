"""Every event of a whole call, as the types of the official openai package have it.

A call in memory in which everything happens that makes the gateway speak. Exempt is the yandex
dialect in one field: that API takes the caller's `languages`, which OpenAI's does not have.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import Phone
from tests.calls.house import GATEWAY, House, house, noise
from tests.clock import run

try:
    from tests.realtime.oracle import refused_by_openai
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("the openai package is not installed", allow_module_level=True)

LONG = "The opening hours of our clinic are from nine to five. " * 3
SCRIPT = {
    "turns": [
        {
            "hears": "When are you open?",
            "say": [LONG, "And on Sundays too."],
        },  # interrupted, when all is there
        {"hears": "Connect me!", "call": {"name": "transfer", "arguments": {"to": "sales"}}},
        {"say": "I cannot do that."},
        {"hears": "And when?", "say": LONG * 8},  # interrupted by a key, while it is being made
        {"hears": "Are you there?", "fail": "server_error"},
        {"say": "Yes, I am here."},
        {"hears": "Goodbye.", "say": "Goodbye.", "call": "hang_up"},
    ],
    "digits": {"4711": "That is right."},
}
AGENT = {
    "greeting": "Hello!",
    "instructions": "You answer the phone of a dental clinic.",
    "language": "ru-RU",
    "voice": "marina",
    "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 400},
}
SAID = {
    "session.update",
    "input_audio_buffer.append",
    "conversation.item.create",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
}


async def whole_call(home: House, phone: Phone) -> None:
    """Greeting, interruption, a function that is not ours, a key, a failure, the farewell."""
    await phone.dial("100", GATEWAY)
    await answer(phone)
    await phone.say(noise(0.6))
    await phone.until_sound()
    await asyncio.sleep(1)  # of the answer
    await phone.say(noise(0.6))  # into it
    await answer(phone)
    await phone.say(noise(0.6))
    await phone.until_sound()
    await asyncio.sleep(1)
    await phone.press("4711#")
    await answer(phone)
    await phone.say(noise(0.6))
    await answer(phone)
    await phone.say(noise(0.6))
    await phone.ended.wait()


async def answer(phone: Phone) -> None:
    """Listen to the end of what the model says."""
    await phone.until_sound()
    await phone.until_silence(1)


def heard(tmp_path: Path, dialect: str, config: dict[str, Any]) -> list[dict[str, Any]]:
    """All client events of the call; it went as it was meant to."""

    async def main() -> list[dict[str, Any]]:
        async with (
            house(tmp_path, SCRIPT, agent=AGENT, config=config, dialect=dialect, speed=20) as home,
            home.phone() as phone,
        ):
            await whole_call(home, phone)
            record = await home.record()
            assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
            assert [barge_in["trigger"] for barge_in in record["barge_ins"]] == ["speech", "digit"]
            assert record["digits"] == ["4711"]
            assert [tool["name"] for tool in record["tools"]] == ["transfer", "hang_up"]
            assert home.model.answers("error") == []
            return [event for _, event in home.model.heard]

    return run(main())


def wrong(events: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """What the types have against these events, each complaint once, with the event's type."""
    return {
        (event["type"], *refused)
        for event in events
        if (refused := refused_by_openai(json.dumps(event).encode()))
    }


def test_of_a_call_with_openai(tmp_path: Path) -> None:
    events = heard(tmp_path, "openai", {})
    assert {event["type"] for event in events} == SAID
    assert wrong(events) == set()


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
def test_of_a_call_in_g711(tmp_path: Path, law: str) -> None:
    """The formats of the telephone, untouched."""
    backend = {
        "provider": "openai",
        "api_key": "any",
        "model": "gpt-realtime",
        "input_format": {"type": law},
        "output_format": {"type": law},
    }
    events = heard(tmp_path, "openai", {"backends": {"model": backend}})
    assert events[0]["session"]["audio"]["input"]["format"]["type"] == law
    assert wrong(events) == set()


def test_of_a_call_with_yandex(tmp_path: Path) -> None:
    backend = {"provider": "yandex", "folder": "b1g", "api_key": "any", "model": "m"}
    events = heard(tmp_path, "yandex", {"backends": {"model": backend}})
    assert {event["type"] for event in events} == SAID
    assert wrong(events) == {("session.update", "session.audio.input.languages")}
