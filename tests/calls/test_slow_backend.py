"""A backend that stops reading: the caller hears on, little waits, then all is as before."""

from __future__ import annotations

import asyncio
import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, House, house, noise

SPEECH = {"turns": [{"say": "x" * 150}, {"say": "y" * 150}, {"say": "z" * 150}]}
PCM = 48_000  # bytes a second


def now() -> float:
    return asyncio.get_running_loop().time()


def appended(home: House, since: float = 0.0, until: float = 1e9) -> list[int]:
    """Bytes of each append that the gateway handed over in a time."""
    return [
        len(base64.b64decode(event["audio"]))
        for at, event in home.model.heard
        if event["type"] == "input_audio_buffer.append" and since <= at < until
    ]


async def interrupt(home: House, phone: Phone) -> None:
    """Let the model speak for a second and a half, and speak then."""
    await phone.say(noise(0.4))
    await phone.until_sound()
    await asyncio.sleep(1.5)
    await phone.say(noise(0.4))
    await asyncio.sleep(0.5)


async def stop_reading(home: House, seconds: float) -> int:
    """Returns how many bytes of sound are in the socket then."""
    home.model.reads = False
    await asyncio.sleep(seconds)
    waiting = home.model.links[0].backlog * 3 // 4
    home.model.read_on()
    return waiting


def test_five_seconds_without_reading(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        async with house(tmp_path, SPEECH) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            answered = now()
            await interrupt(home, phone)
            await phone.say(noise(0.4))
            await phone.until_sound()
            began = now()
            assert await stop_reading(home, 5.0) < 0.15 * PCM
            ended = now()
            assert appended(home, began + 0.2, ended) == []
            gaps = [b.at - a.at for a, b in pairwise(it for it in phone.heard if it.at > began)]
            assert max(gaps) == pytest.approx(0.02)

            await asyncio.sleep(0.1)
            burst = appended(home, ended, ended + 0.05)
            assert 0.8 * PCM < sum(burst) < PCM
            assert max(burst) == 0.08 * PCM  # two of 40 ms: three would be more than 100
            await asyncio.sleep(2)
            await interrupt(home, phone)
            phone.hang_up()
            hung_up = now()
            record = await home.record()
            lost = record["appends"]["lost_ms"] / 1000
            assert 3.7 < lost < 4.1
            heard = record["usage"]["audio_in_s"]
            assert heard == pytest.approx(hung_up - answered - lost, abs=0.1)
            assert f'lost_seconds_total{{backend="model"}} {lost}' in home.gateway.metrics()
            return record

    with capture_logs() as logs:
        record = run(main())
    assert record["appends"]["behind"] == 1
    assert [it["event"] for it in logs if it["event"] == "backend_slow"] == ["backend_slow"]
    before, after = record["barge_ins"][0], record["barge_ins"][-1]
    late = before["heard_ms"] - before["onset_ms"]
    assert after["heard_ms"] - after["onset_ms"] == pytest.approx(late, abs=40)


def test_a_short_one_loses_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SPEECH) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            answered = now()
            await asyncio.sleep(1)
            await stop_reading(home, 0.8)
            await asyncio.sleep(1)
            phone.hang_up()
            hung_up = now()
            record = await home.record()
            assert record["appends"] == {"behind": 1, "lost_ms": 0}
            sound = record["usage"]["audio_in_s"]
            assert sound == pytest.approx(hung_up - answered, abs=0.1)

    run(main())
