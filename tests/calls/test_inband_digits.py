"""Keys as tones in the caller's sound, of trunks that send them so."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.frame import Samples, silence
from gateway.audio.tone import DIGITS, samples
from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, MemoryModel, house
from .returning import caller
from .test_keypad import SCRIPT, answered, entries, story

TRUNKS: dict[str, Any] = {"pbx": {"allow": ["10.0.0.0/8"], "inband_digits": True}}
CONFIG = {"trunks": TRUNKS}


def tones(keys: str, *, level: float = 0.0) -> Samples:
    """100 ms each, and the same between."""
    sound = np.concatenate([samples(DIGITS[key], 8000) for key in keys])
    return np.rint(sound * 10 ** (level / 20)).astype(np.int16)


def given(model: MemoryModel) -> npt.NDArray[np.float64]:
    """All that the model was given, at 24 kHz."""
    appended = model.events("input_audio_buffer.append")
    pcm = b"".join(base64.b64decode(event["audio"]) for event in appended)
    return np.frombuffer(pcm, "<i2").astype(np.float64)


@pytest.mark.parametrize("level", [0.0, -15.0])
def test_tones_are_keys(level: float, tmp_path: Path) -> None:
    """They interrupt, and are read as one entry; the model hears next to nothing of them."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, config=CONFIG) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await story(home, phone)
            before = len(given(home.model))
            pressed = asyncio.get_running_loop().time()
            await phone.say(tones("4711#", level=level))
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()
        assert entries(home.model) == ["Keypad: 4711"]
        assert record["digits"] == ["4711"]
        assert [it["trigger"] for it in record["barge_ins"]] == ["digit"]
        (cut,) = [at for at, it in home.model.heard if it["type"] == "response.cancel"]
        assert cut - pressed < 0.15
        heard = given(home.model)[before : before + 24000]
        assert np.count_nonzero(np.abs(heard) > 100) < 5 * 0.012 * 24000

    run(main())


def test_not_where_the_trunk_is_not_known_for_it(tmp_path: Path) -> None:
    """A caller may whistle."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(tones("4711#"))
            await asyncio.sleep(1)
            phone.hang_up()
            assert (await home.record())["digits"] == []

    run(main())


@pytest.mark.parametrize("leak", [0.0, 0.06, 0.1, 0.3])
def test_a_trunk_that_sends_both(leak: float, tmp_path: Path) -> None:
    """Each key once, however much of its tone comes before the event."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, config=CONFIG) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            for key in "4711#":
                await both(phone, key, leak)
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()
        assert record["digits"] == ["4711"]

    run(main())


async def both(phone: Phone, key: str, leak: float) -> None:
    """So many s of the tone, then the event, and the rest of the tone behind it."""
    at = np.arange(round(leak * 8000)) / 8000
    row, column = (frequency for frequency, _ in DIGITS[key].parts)
    tone = 5000 * (np.sin(2 * np.pi * row * at) + np.sin(2 * np.pi * column * at))
    if leak:
        await phone.say(np.rint(tone).astype(np.int16))
    await phone.press(key)
    await phone.say(np.concatenate((tones(key)[:480], silence(1600))))


def test_speech_is_no_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT, config=CONFIG) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(caller(6.0))
            await answered(home, phone)
            phone.hang_up()
            record = await home.record()
        assert record["digits"] == []
        assert record["transcript"][0]["text"] == "Tell me more"

    run(main())
