"""Backends that speak G.711: the sound goes through untouched, and is counted in its bytes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.audio.g711 import codec
from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, House, house, noise

LONG = " ".join(["A long story about the telephone."] * 4)
SCRIPT = {
    "turns": [
        {"hears": "Tell me more", "say": LONG},
        {"hears": "Stop", "say": "I stopped."},
    ]
}
LAWS = [("audio/pcmu", "PCMU"), ("audio/pcma", "PCMA")]


@asynccontextmanager
async def g711(
    folder: Path, given: str, spoken: str, *phone_codecs: str
) -> AsyncIterator[tuple[House, Phone]]:
    backend: dict[str, Any] = {
        "provider": "compatible",
        "url": "ws://model/v1/realtime",
        "model": "m",
        "input_format": {"type": given},
        "output_format": {"type": spoken},
    }
    async with (
        house(folder, SCRIPT, config={"backends": {"model": backend}}) as home,
        home.phone(codecs=phone_codecs) as phone,
    ):
        yield home, phone
        assert home.model.answers("error") == []


def given(home: House) -> bytes:
    """All that the model was given."""
    appends = home.model.events("input_audio_buffer.append")
    return b"".join(base64.b64decode(event["audio"]) for event in appends)


def heard(phone: Phone) -> bytes:
    """All that the phone received."""
    return b"".join(heard.packet.payload for heard in phone.heard)


@pytest.mark.parametrize(("kind", "name"), LAWS)
def test_the_sound_goes_through_untouched(kind: str, name: str, tmp_path: Path) -> None:
    """Where both ends speak the same law nothing is decoded for good, either way."""

    async def main() -> None:
        async with g711(tmp_path, kind, kind, name) as (home, phone):
            await phone.dial("100", GATEWAY)
            words = noise(0.6)
            await phone.say(words)
            await phone.until_sound()
            await phone.until_silence()
            assert codec(name).encode(words) in given(home)
            item_id = home.model.answers("response.output_audio.delta")[0]["item_id"]
            said = home.model.audio(item_id)
            assert len(said) > 60_000
            assert said in heard(phone)
            phone.hang_up()
            record = await home.record()

        assert record["codec"] == name
        assert record["usage"]["audio_out_s"] == pytest.approx(len(said) / 8000, abs=0.01)
        assert record["usage"]["audio_in_s"] == pytest.approx(len(given(home)) / 8000, abs=0.01)

    run(main())


@pytest.mark.parametrize(("kind", "name"), LAWS)
def test_a_barge_in_is_counted_in_samples_of_the_law(kind: str, name: str, tmp_path: Path) -> None:
    """What the phone received of the item is what the truncate names, to the millisecond."""

    async def main() -> None:
        async with g711(tmp_path, kind, kind, name) as (home, phone):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.5))
            await phone.until_sound()
            await asyncio.sleep(2.0)
            await phone.say(noise(0.5))
            await phone.until_sound()
            await phone.until_silence()
            (truncate,) = home.model.events("conversation.item.truncate")
            said = home.model.audio(truncate["item_id"])
            samples = truncate["audio_end_ms"] * 8
            assert said[:samples] in heard(phone)
            assert said[: samples + 8] not in heard(phone)
            phone.hang_up()

    run(main())


@pytest.mark.parametrize(
    ("into", "out", "name"),
    [
        ("audio/pcmu", "audio/pcmu", "PCMA"),  # another law than the phone's
        ("audio/pcma", "audio/pcm", "PCMU"),  # and one each way
        ("audio/pcm", "audio/pcmu", "PCMA"),
    ],
)
def test_ends_of_different_laws_understand_each_other(
    into: str, out: str, name: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with g711(tmp_path, into, out, name) as (home, phone):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.5))
            await phone.until_sound()
            await phone.until_silence()
            phone.hang_up()
            record = await home.record()

        (update,) = home.model.events("session.update")
        audio = update["session"]["audio"]
        assert audio["input"]["format"]["type"] == into
        assert audio["output"]["format"]["type"] == out
        assert [line["text"] for line in record["transcript"]] == ["Tell me more", LONG]
        assert record["rtp"]["lost"] == 0

    run(main())


def test_the_codec_changes_while_the_model_speaks(tmp_path: Path) -> None:
    """A re-INVITE to another law and back: nothing is missing, and nothing is said twice."""

    async def main() -> None:
        async with g711(tmp_path, "audio/pcmu", "audio/pcmu", "PCMU", "PCMA") as (home, phone):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.5))
            await phone.until_sound()
            for kinds in (b" 0 101", b" 8 101", b" 0 101"):
                await asyncio.sleep(0.7)
                assert await phone.offer(phone.description().replace(b" 0 8 101", kinds))
            await phone.until_silence()
            item_id = home.model.answers("response.output_audio.delta")[0]["item_id"]
            said = codec("PCMU").decode(home.model.audio(item_id)).astype(float)
            sound = np.concatenate(
                [
                    codec("PCMA" if it.packet.payload_type == 8 else "PCMU").decode(
                        it.packet.payload
                    )
                    for it in phone.heard
                ]
            ).astype(float)
            at = int(np.argmax(np.correlate(sound, said[:8000], "valid")))
            error = sound[at : at + len(said)] - said
            assert {it.packet.payload_type for it in phone.heard} == {0, 8}
            assert np.sqrt((error**2).mean()) < 0.05 * np.sqrt((said**2).mean())
            phone.hang_up()

    run(main())
