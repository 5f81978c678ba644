"""Keys that the model presses: by RTP events, INFO or tones, in their place between its words."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.audio.g711 import codec
from gateway.audio.tone import DIGITS, samples
from gateway.rtp.dtmf import DigitReceiver
from gateway.simulator.phone import Heard, Phone
from tests.clock import run

from .house import GATEWAY, House, MemoryModel, Sip, house, noise

WORDS = "One moment please."
AGENT = {"tools": ["hang_up", "send_digits"]}
EVENTS = 101  # the payload type


def script(digits: str, say: str = WORDS) -> dict[str, Any]:
    press = {"name": "send_digits", "arguments": {"digits": digits}}
    return {"turns": [{"hears": "Press", "say": say, "call": press}, {"say": "They are sent."}]}


def outputs(model: MemoryModel) -> list[dict[str, Any]]:
    """The outputs of functions that the model got."""
    items = [event["item"] for event in model.events("conversation.item.create")]
    return [json.loads(it["output"]) for it in items if it["type"] == "function_call_output"]


def events(phone: Phone) -> list[Heard]:
    return [heard for heard in phone.heard if heard.packet.payload_type == EVENTS]


def pressed(phone: Phone) -> str:
    """The keys that the phone heard as RTP events."""
    receiver, keys = DigitReceiver(8000, 8000), ""
    for heard in events(phone):
        for digit in receiver.receive(heard.packet, heard.at):
            keys += "" if digit.ended else digit.digit
    return keys


def is_loud(heard: Heard) -> bool:
    return heard.packet.payload_type == 8 and set(heard.packet.payload) != {0xD5}


async def asked(home: House, phone: Phone) -> None:
    """The caller says something, and all that follows is said and pressed."""
    await phone.dial("100", GATEWAY)
    await phone.say(noise(0.4))
    while len(home.model.answers("response.done")) < 2:  # noqa: ASYNC110 - virtual time costs nothing
        await asyncio.sleep(0.1)
    await phone.until_silence()


def without_events(phone: Phone) -> None:
    """Let a phone offer no telephone-event."""
    offer = phone._negotiation.offer

    def plain(*args: Any, **kwargs: Any) -> bytes:
        lines = offer(*args, **kwargs).decode().split("\r\n")
        kept = [line.removesuffix(" 101") for line in lines if ":101" not in line]
        return "\r\n".join(kept).encode()

    phone._negotiation.offer = plain  # type: ignore[method-assign] # an older phone


def test_keys_follow_the_words_before_them(tmp_path: Path) -> None:
    """Each key 100 ms, paced by the tick, and what comes next waits; the model is told."""

    async def main() -> None:
        async with house(tmp_path, script("12#"), agent=AGENT) as home, home.phone() as phone:
            await asked(home, phone)
            phone.hang_up()
            record = await home.record()

        assert pressed(phone) == "12#"
        sent = events(phone)
        words = [heard for heard in phone.heard if is_loud(heard) and heard.at < sent[0].at]
        spoken = 160 * len(words) / 8000
        assert spoken == pytest.approx(len(home.model.audio(item(home.model, 0))) / 48000, abs=0.05)
        later = [heard for heard in phone.heard if is_loud(heard) and heard.at > sent[0].at]
        assert later[0].at > sent[-1].at
        starts = [heard for heard in sent if heard.packet.marker]
        gaps = np.diff([heard.at for heard in starts])
        assert gaps == pytest.approx(0.24, abs=0.001)
        assert np.diff([heard.at for heard in sent[:7]]) == pytest.approx(0.02, abs=0.001)
        sequences = [heard.packet.sequence for heard in phone.heard]
        assert set(np.diff(sequences) & 0xFFFF) == {1}
        assert outputs(home.model) == [{"sent": "12#"}]
        (use,) = record["tools"]
        assert (use["name"], use["ok"]) == ("send_digits", True)
        assert use["ms"] > 700
        assert record["transcript"][-1]["text"] == "They are sent."
        assert record["digits"] == []  # those are the caller's
        assert home.model.answers("error") == []

    run(main())


def item(model: MemoryModel, index: int) -> str:
    """The id of the nth item that the model spoke."""
    ids: list[str] = [event["item_id"] for event in model.answers("response.output_audio.delta")]
    return list(dict.fromkeys(ids))[index]


def test_keys_do_not_count_as_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, script("1w2"), agent=AGENT) as home, home.phone() as phone:
            await asked(home, phone)
            phone.hang_up()
            record = await home.record()
        spoken = sum(len(home.model.audio(item(home.model, n))) for n in (0, 1)) / 48000
        assert record["usage"]["audio_out_s"] == pytest.approx(spoken, abs=0.01)
        starts = [heard.at for heard in events(phone) if heard.packet.marker]
        assert starts[1] - starts[0] == pytest.approx(0.24 + 0.5, abs=0.001)

    run(main())


def test_a_menu_that_talks_on_does_not_keep_the_keys(tmp_path: Path) -> None:
    """The caller, a menu, interrupts the words; the keys follow at once."""

    async def main() -> None:
        story = " ".join([WORDS] * 8)
        async with house(tmp_path, script("5", story), agent=AGENT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await home.model.until("response.done")
            await asyncio.sleep(0.5)
            began = asyncio.get_running_loop().time()
            await phone.say(noise(1.5))
            assert pressed(phone) == "5"
            assert events(phone)[0].at - began < 0.6
            await phone.until_silence()
            phone.hang_up()
            assert len((await home.record())["barge_ins"]) == 1
        assert outputs(home.model) == [{"sent": "5"}]

    run(main())


def test_without_telephone_event_they_go_by_info(tmp_path: Path) -> None:
    """Where the peer's Allow has it, as the phone's does."""

    async def main() -> None:
        async with house(tmp_path, script("5#"), agent=AGENT) as home, home.phone() as phone:
            without_events(phone)
            sip = Sip(home.network)
            await asked(home, phone)
            assert phone.media
            assert phone.media.event_payload_type is None
        assert events(phone) == []
        bodies = [request.body for request in sip.requests("INFO")]
        assert [body.split(b"\r\n")[0] for body in bodies] == [b"Signal=5", b"Signal=#"]
        assert phone.informed == bodies
        first, second = sip.times("INFO")
        assert second - first == pytest.approx(0.2, abs=0.021)
        assert outputs(home.model) == [{"sent": "5#"}]

    run(main())


def test_without_either_they_are_tones(tmp_path: Path) -> None:
    """In the sound, which is silent around them."""

    async def main() -> None:
        async with house(tmp_path, script("5", say=""), agent=AGENT) as home, home.phone() as phone:
            without_events(phone)
            send = home.network.send

            def silent(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
                lines = data.split(b"\r\n")
                kept = [line for line in lines if not line.startswith(b"Allow:")]
                send(b"\r\n".join(kept), source, target)

            home.network.send = silent  # type: ignore[method-assign] # a phone that says little
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await home.model.until("response.done")
            await asyncio.sleep(0.3)
            heard = codec("PCMA").decode(b"".join(it.packet.payload for it in phone.heard))
        tone = samples(DIGITS["5"], 8000)[:800].astype(float)
        likeness = np.correlate(heard.astype(float), tone) / (tone**2).sum()
        assert likeness.max() == pytest.approx(1, abs=0.01)

    run(main())


def test_keys_that_are_none_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, script("call me"), agent=AGENT) as home, home.phone() as phone:
            await asked(home, phone)
            assert events(phone) == []
        (output,) = outputs(home.model)
        assert "error" in output

    run(main())


def test_keys_into_a_hold_are_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, script("5"), agent=AGENT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            assert await phone.hold()
            await asyncio.sleep(45)
            assert outputs(home.model) == [{"error": "The keys could not be sent."}]
            assert await phone.resume()
            await asyncio.sleep(1)
            assert events(phone) == []
            phone.hang_up()
            record = await home.record()
        assert record["tools"][0]["ok"] is False

    run(main())
