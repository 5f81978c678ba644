"""Functions that the model calls: hang_up after its farewell, a refusal for what is not ours."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, MemoryModel, Sip, house, noise

GOODBYE = "Goodbye, and thank you for your call."  # 2.4 s of it
HANG_UP = {"hears": "Bye", "say": GOODBYE, "call": {"name": "hang_up"}}


def now() -> float:
    return asyncio.get_running_loop().time()


def outputs(model: MemoryModel) -> list[dict[str, Any]]:
    """The outputs of functions that the model got."""
    items = [event["item"] for event in model.events("conversation.item.create")]
    return [json.loads(it["output"]) for it in items if it["type"] == "function_call_output"]


async def asked(phone: Phone) -> None:
    await phone.dial("100", GATEWAY)
    await phone.say(noise(0.4))
    await phone.until_sound()


def last_loud(phone: Phone) -> float:
    """When the phone last heard something that is no silence (of A-law)."""
    return max(heard.at for heard in phone.heard if set(heard.packet.payload) != {0xD5})


@pytest.mark.parametrize("speed", [1.0, 5.0, 20.0])
def test_the_farewell_is_heard_to_its_last_sample(speed: float, tmp_path: Path) -> None:
    """BYE follows the last packet of speech as soon as the phone's jitter buffer has played it."""

    async def main() -> None:
        async with house(tmp_path, {"turns": [HANG_UP]}, speed=speed) as home:
            async with home.phone() as phone:
                sip = Sip(home.network)
                await asked(phone)
                await phone.ended.wait()
                record = await home.record()
                assert home.holds_nothing()

            (at,) = sip.times("BYE")
            # media.playout_delay is 60 ms; the phone looks every 20 ms
            assert 0.04 <= at - last_loud(phone) < 0.13
            item_id = home.model.answers("response.output_audio.delta")[0]["item_id"]
            spoken = len(home.model.audio(item_id)) / 48000
            assert record["usage"]["audio_out_s"] == pytest.approx(spoken, abs=0.01)

        assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
        assert record["tools"] == [{"name": "hang_up", "ms": 0, "ok": True}]
        assert record["transcript"][-1]["text"] == GOODBYE
        assert home.model.events("response.create") == []  # nobody is left to be answered

    run(main())


def test_a_caller_who_interrupts_the_farewell_keeps_the_line(tmp_path: Path) -> None:
    """The model learns that the call goes on, and a later farewell ends it."""

    async def main() -> None:
        turns = [HANG_UP, {"hears": "Wait", "say": "Yes?"}, HANG_UP]
        async with house(tmp_path, {"turns": turns}) as home, home.phone() as phone:
            await asked(phone)
            await asyncio.sleep(1)
            await phone.say(noise(0.4))
            await phone.until_sound()
            await phone.until_silence()
            await asyncio.sleep(15)  # longer than a farewell is waited for
            assert not phone.ended.is_set()
            assert [output["ended"] for output in outputs(home.model)] == [False]
            await phone.say(noise(0.4))
            await phone.ended.wait()
            record = await home.record()

        assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
        assert len(record["barge_ins"]) == 1
        assert home.model.answers("error") == []

    run(main())


def test_a_key_interrupts_the_farewell_too(tmp_path: Path) -> None:
    async def main() -> None:
        script = {"turns": [HANG_UP], "digits": {"*": "Yes?"}}
        async with house(tmp_path, script) as home, home.phone() as phone:
            await asked(phone)
            await asyncio.sleep(1)
            await phone.press("1#")
            await phone.until_sound()
            await phone.until_silence()
            await asyncio.sleep(15)
            assert not phone.ended.is_set()
            phone.hang_up()
            record = await home.record()
        assert record["transcript"][-1]["text"] == "Yes?"
        assert home.model.answers("error") == []

    run(main())


def test_a_farewell_without_words(tmp_path: Path) -> None:
    async def main() -> None:
        turns = [{"hears": "Bye", "call": {"name": "hang_up"}}]
        async with house(tmp_path, {"turns": turns}) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await home.model.until("response.done")
            done = now()
            await phone.ended.wait()
            assert now() - done < 0.1
            assert (await home.record())["ended_by"] == "model"

    run(main())


def test_an_endless_farewell_ends_after_ten_seconds(tmp_path: Path) -> None:
    """Counted from when the model had said it; what was heard of it is in the transcript."""

    async def main() -> None:
        turns = [{**HANG_UP, "say": " ".join([GOODBYE] * 12)}]
        async with house(tmp_path, {"turns": turns}) as home, home.phone() as phone:
            await asked(phone)
            await home.model.until("response.done")
            done = now()
            await phone.ended.wait()
            assert now() - done == pytest.approx(10, abs=0.1)
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
        assert 100 < len(record["transcript"][-1]["text"]) < 400

    run(main())


def test_a_farewell_into_a_hold(tmp_path: Path) -> None:
    """Nobody hears it, and the call does not hang for ever."""

    async def main() -> None:
        async with house(tmp_path, {"turns": [HANG_UP]}) as home, home.phone() as phone:
            await asked(phone)
            assert await phone.hold()
            await phone.ended.wait()
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
        assert len(record["transcript"][-1]["text"]) < len(GOODBYE) / 2

    run(main())


@pytest.mark.parametrize(
    ("name", "tools", "known"),
    [
        ("transfer", ["hang_up"], "hang_up"),
        ("__import__", ["hang_up"], "hang_up"),
        ("hang_up", [], "none"),  # the agent does not have it
        ("HANG_UP", ["hang_up"], "hang_up"),
    ],
)
def test_a_function_that_is_not_ours(
    name: str, tools: list[str], known: str, tmp_path: Path
) -> None:
    """It is refused with words that the model can act on, and the model goes on."""

    async def main() -> None:
        turns = [
            {"hears": "Connect me", "say": "One moment.", "call": {"name": name}},
            {"say": "I cannot do that."},
        ]
        async with (
            house(tmp_path, {"turns": turns}, agent={"tools": tools}) as home,
            home.phone() as phone,
        ):
            await asked(phone)
            await phone.until_silence()
            phone.hang_up()
            record = await home.record()

        (output,) = outputs(home.model)
        assert output == {"error": f"There is no function of this name. Functions: {known}."}
        assert record["tools"] == [{"name": name, "ms": 0, "ok": False}]
        assert record["transcript"][-1]["text"] == "I cannot do that."
        assert len(home.model.events("response.create")) == 1
        assert home.model.answers("error") == []

    run(main())


def test_tools_are_told_to_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
        (update,) = home.model.events("session.update")
        assert [tool["name"] for tool in update["session"]["tools"]] == ["hang_up"]

    run(main())
