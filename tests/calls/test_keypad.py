"""Digits: from the key to what the model reads, and what a key does to what the model says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, House, MemoryModel, house, noise

LONG = " ".join(["A long story about the telephone."] * 4)
SCRIPT = {
    "turns": [{"hears": "Tell me more", "say": LONG}, {"hears": "And then", "say": "Nothing."}],
    "digits": {"4711": "The right code.", "*": "Another code."},
}


def entries(model: MemoryModel) -> list[str]:
    """What the model was given to read."""
    return [
        event["item"]["content"][0]["text"] for event in model.events("conversation.item.create")
    ]


def order(model: MemoryModel, *kinds: str) -> list[str]:
    """The gateway's events of some types, in their order."""
    return [event["type"] for _, event in model.heard if event["type"] in kinds]


async def answered(home: House, phone: Phone) -> None:
    await phone.until_sound()
    await phone.until_silence()


async def story(home: House, phone: Phone) -> None:
    """Let the model tell its story for a while."""
    await phone.say(noise(0.4))
    await phone.until_sound()
    await asyncio.sleep(1.5)


def test_keys_by_info_are_keys(tmp_path: Path) -> None:
    """RFC 6086 and the older use, for who has no telephone-event: they interrupt, and are read."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await story(home, phone)
            phone.inform("4711#")
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()
        assert entries(home.model) == ["Keypad: 4711"]
        assert record["digits"] == ["4711"]
        assert [it["trigger"] for it in record["barge_ins"]] == ["digit"]

    run(main())


@pytest.mark.parametrize(
    ("keypad", "pressed", "read", "after"),
    [
        ({}, "4711#", "4711", 0.0),  # by the terminator, which is no part of it
        ({}, "#", "#", 0.0),  # alone it is an entry of its own
        ({}, "4711", "4711", 3.0),  # by the pause
        ({"timeout": 1}, "4711", "4711", 1.0),
        ({"max_digits": 4}, "4711", "4711", 0.0),  # by their count
        ({"terminator": "*"}, "47#11*", "47#11", 0.0),
        ({"terminator": None, "timeout": 0.5}, "4711#", "4711#", 0.5),
        ({}, "0123456789*ABCD#", "0123456789*ABCD", 0.0),
    ],
)
def test_an_entry_is_read_to_the_model_as_one(
    keypad: dict[str, Any], pressed: str, read: str, after: float, tmp_path: Path
) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent={"keypad": keypad}) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.press(pressed)
            done = asyncio.get_running_loop().time()
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()

        assert entries(home.model) == [f"Keypad: {read}"]
        (item,) = home.model.events("conversation.item.create")
        assert (item["item"]["role"], item["item"]["content"][0]["type"]) == ("user", "input_text")
        (at,) = (at for at, event in home.model.heard if event["type"] == "response.create")
        # the last key's pause of 100 ms is a part of pressing it
        assert at - done == pytest.approx(after - 0.2, abs=0.1)
        assert record["digits"] == [read]
        said = "The right code." if read == "4711" else "Another code."
        assert record["transcript"][-1]["text"] == said
        assert home.model.answers("error") == []

    run(main())


def test_the_first_key_interrupts_the_model(tmp_path: Path) -> None:
    """The reply is truncated and cancelled by its id; the entry is answered after its end."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await story(home, phone)
            response = home.model.answers("response.created")[0]["response"]["id"]
            await phone.press("4711#")
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()

        (cancel,) = home.model.events("response.cancel")
        assert cancel["response_id"] == response
        (truncate,) = home.model.events("conversation.item.truncate")
        (barge_in,) = record["barge_ins"]
        assert barge_in["trigger"] == "digit"
        assert barge_in["heard_ms"] == truncate["audio_end_ms"]
        assert 1000 < truncate["audio_end_ms"] < 2500
        assert order(
            home.model, "response.cancel", "response.create", "conversation.item.create"
        ) == [
            "response.cancel",
            "conversation.item.create",
            "response.create",
        ]
        statuses = [event["response"]["status"] for event in home.model.answers("response.done")]
        assert statuses == ["cancelled", "completed"]
        assert record["transcript"][-1]["text"] == "The right code."
        assert home.model.answers("error") == []

    run(main())


def test_a_key_silences_the_model_within_a_frame(tmp_path: Path) -> None:
    """The second key of an entry stops nothing any more: the model is silent already."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await story(home, phone)
            pressed = asyncio.get_running_loop().time()
            await phone.press("47")
            quiet = [heard.at for heard in phone.heard if set(heard.packet.payload) == {0xD5}]
            first = next(at for at in quiet if at > pressed)
            assert first - pressed < 0.1  # two ways through the network, two ticks
            assert [h.at for h in phone.heard if h.at >= first] == [
                at for at in quiet if at >= first
            ]

    run(main())


def test_keys_that_do_not_interrupt(tmp_path: Path) -> None:
    """The story is told to its end, then the entry is answered."""

    async def main() -> None:
        agent = {"keypad": {"interrupts": False}}
        async with house(tmp_path, SCRIPT, agent=agent) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await story(home, phone)
            await phone.press("4711#")
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()

        assert home.model.events("response.cancel") == []
        assert home.model.events("conversation.item.truncate") == []
        assert record["barge_ins"] == []
        assert [line["text"] for line in record["transcript"]][1:] == [LONG, "The right code."]

    run(main())


def test_a_key_while_the_model_begins_to_speak(tmp_path: Path) -> None:
    """Between the caller's turn and the first sound: that answer is never heard."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await home.model.until("response.created")
            await phone.press("4711#")
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()

        assert record["transcript"][-1]["text"] == "The right code."
        assert LONG not in [line["text"] for line in record["transcript"]]
        assert home.model.answers("error") == []

    run(main())


def test_two_entries_in_a_row(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.press("1#4711#")
            await answered(home, phone)
            await asyncio.sleep(3)
            phone.hang_up()
            record = await home.record()

        assert record["digits"] == ["1", "4711"]
        assert entries(home.model) == ["Keypad: 1", "Keypad: 4711"]
        assert record["transcript"][-1]["text"] == "The right code."
        assert home.model.answers("error") == []

    run(main())


def test_an_entry_that_the_end_of_the_call_cuts(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.press("47")
            phone.hang_up()
            await asyncio.sleep(10)
            assert (await home.record())["cause"] == "hang_up"
            assert home.holds_nothing()
            assert entries(home.model) == []

    run(main())


def test_digits_that_the_server_heard(tmp_path: Path) -> None:
    """`dtmf_event_received` in both published shapes counts as a key of the caller's."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            kind = "input_audio_buffer.dtmf_event_received"
            for digit in "47":
                told = {"type": kind, "event_id": "e", "event": digit, "received_at": 1763510400}
                home.model.links[0].say(json.dumps(told))
            for digit in "11#":
                told = {"type": kind, "event_id": "e", "digit": digit, "timestamp_ms": 1200}
                home.model.links[0].say(json.dumps(told))
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()

        assert record["digits"] == ["4711"]
        assert entries(home.model) == ["Keypad: 4711"]

    run(main())


def test_a_phone_without_telephone_event_can_talk(tmp_path: Path) -> None:
    """Nothing was agreed for its keys; its voice is not affected."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            voice = phone.description().split(b"\r\n")
            without = [line.replace(b" 101", b"") for line in voice if b":101" not in line]
            assert await phone.offer(b"\r\n".join(without))
            assert phone.media
            assert phone.media.event_payload_type is None
            await phone.press("1")
            await phone.say(noise(0.4))
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()

        assert record["digits"] == []
        assert record["transcript"][0]["text"] == "Tell me more"

    run(main())
