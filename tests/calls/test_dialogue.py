"""Whole calls on virtual time: a phone calls, a model answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from gateway.simulator.script import load
from tests.clock import run

from .house import GATEWAY, MemoryModel, house, noise

SCRIPT = {
    "turns": [
        {"hears": "Hello", "say": "Good day to you, what can I do?"},
        {"hears": "Goodbye", "say": "Goodbye then.", "call": {"name": "hang_up"}},
    ],
    "digits": {"4711": "Thank you."},
}


def test_a_call_from_the_greeting_to_the_farewell(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            house(tmp_path, SCRIPT, agent={"greeting": "Hello!"}) as home,
            home.phone() as phone,
        ):
            media = await phone.dial("100", GATEWAY)
            assert media.codec.name == "PCMA"
            await phone.until_sound()
            await phone.until_silence()
            await phone.say(noise(0.5))
            await phone.until_sound()
            await phone.until_silence()
            await phone.press("4711#")
            await phone.until_sound()
            await phone.until_silence()
            await phone.say(noise(0.5))
            await phone.ended.wait()
            record = await home.record()

        assert record["cause"] == "hang_up"
        assert record["ended_by"] == "model"
        assert record["digits"] == ["4711"]
        assert [line["text"] for line in record["transcript"]] == [
            "Hello!",
            "Hello",
            "Good day to you, what can I do?",
            "Thank you.",
            "Goodbye",
            "Goodbye then.",
        ]
        assert home.model.answers("error") == []
        assert home.model.open_connections == 0
        assert home.ports.opened == []

    run(main())


def test_a_hello_at_pick_up_is_answered_and_not_talked_over(tmp_path: Path) -> None:
    """She speaks while the greeting is asked for: it is cancelled as it begins."""

    async def main() -> None:
        slow = MemoryModel(load(SCRIPT), delay=0.4)
        async with (
            house(tmp_path, agent={"greeting": "Hello!"}, model=slow) as home,
            home.phone() as phone,
        ):
            await phone.dial("100", GATEWAY)
            # as if the server had heard her before it got the response.create
            home.model.links[0].say(
                '{"type": "input_audio_buffer.speech_started", "event_id": "e",'
                ' "audio_start_ms": 0, "item_id": "item_x"}'
            )
            await asyncio.sleep(5)
            (cancel,) = home.model.events("response.cancel")
            (greeting,) = home.model.answers("response.done")
            loud = np.abs(phone.recording().astype(int)).max()
            phone.hang_up()
            record = await home.record()

        assert cancel["response_id"] == greeting["response"]["id"]
        assert loud < 100
        assert record["barge_ins"] == []

    run(main())
