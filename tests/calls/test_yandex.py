"""Calls that a server with Yandex's manners answers: other events, other indices, growing texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, House, house, noise

LONG = " ".join(["Я умею всё, и рассказываю долго."] * 3)
SCRIPT = {
    "turns": [
        {"hears": "Добрый день, что вы умеете", "say": LONG},
        {"hears": "Хватит, спасибо", "say": "Хорошо."},
        {"hears": "До свидания", "say": "До свидания.", "call": {"name": "hang_up"}},
    ],
    "digits": {"4711": "Это верный код."},
}
BACKEND = {"provider": "yandex", "folder": "folder", "api_key": "key", "model": "speech-realtime"}


@asynccontextmanager
async def yandex(folder: Path, **agent: Any) -> AsyncIterator[tuple[House, Phone]]:
    settings = {"language": "ru-RU", "voice": "marina", **agent}
    async with (
        house(
            folder,
            SCRIPT,
            agent=settings,
            config={"backends": {"model": BACKEND}},
            dialect="yandex",
        ) as home,
        home.phone() as phone,
    ):
        yield home, phone
        assert home.model.answers("error") == []


async def hear(phone: Phone) -> None:
    await phone.until_sound()
    await phone.until_silence()


def test_a_whole_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with yandex(tmp_path, greeting="Здравствуйте!") as (home, phone):
            await phone.dial("100", GATEWAY)
            await hear(phone)
            await phone.say(noise(0.5))
            await hear(phone)
            await phone.press("4711#")
            await hear(phone)
            await phone.say(noise(0.5))
            await hear(phone)
            await phone.say(noise(0.5))
            await phone.ended.wait()
            record = await home.record()
            assert home.holds_nothing()

        assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
        assert [line["text"] for line in record["transcript"]] == [
            "Здравствуйте!",
            "Добрый день, что вы умеете",
            LONG,
            "Это верный код.",
            "Хватит, спасибо",
            "Хорошо.",
            "До свидания",
            "До свидания.",
        ]
        (update,) = home.model.events("session.update")
        assert update["session"]["audio"]["input"]["languages"] == ["ru-RU"]
        assert update["session"]["audio"]["output"]["voice"] == "marina"

    run(main())


def test_a_barge_in_names_part_1(tmp_path: Path) -> None:
    """[7] The audio is at content_index 1 there; the deltas say so, and the truncate repeats it."""

    async def main() -> None:
        async with yandex(tmp_path) as (home, phone):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.5))
            await phone.until_sound()
            await asyncio.sleep(1.5)
            await phone.say(noise(0.5))
            await hear(phone)
            phone.hang_up()
            record = await home.record()

        (truncate,) = home.model.events("conversation.item.truncate")
        assert truncate["content_index"] == 1
        assert 1000 < truncate["audio_end_ms"] < 3000
        assert home.model.events("response.cancel") == []  # the server does it by itself
        assert [barge_in["content_index"] for barge_in in record["barge_ins"]] == [1]
        assert record["barge_ins"][0]["heard_ms"] == truncate["audio_end_ms"]
        (cut,) = (line["text"] for line in record["transcript"] if line["text"][:3] == "Я у")
        assert LONG.startswith(cut)
        assert len(cut) < len(LONG) / 2

    run(main())
