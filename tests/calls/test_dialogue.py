"""Whole calls on virtual time: a phone calls, a model answers."""

from __future__ import annotations

from pathlib import Path

from tests.clock import run

from .house import GATEWAY, house, noise

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
