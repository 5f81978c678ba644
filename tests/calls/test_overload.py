"""Overload: while sound leaves late new calls are refused; those that run go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.call.lateness import WINDOW
from gateway.simulator.phone import CallFailed, Phone
from tests.clock import LoopTicker, run

from .house import GATEWAY, House, Sip, house


class LateTicker(LoopTicker):
    """The process pauses for `late` s, every so many ticks; what was due meanwhile comes then."""

    def __init__(self) -> None:
        super().__init__()
        self.late = 0.0  # s
        self.every = 1
        self._ticks = 0
        self._free = 0.0  # when the pause is over

    def start(self, tick: Callable[[float, int], None]) -> None:
        loop = asyncio.get_running_loop()

        def late(now: float, missed: int) -> None:
            self._ticks += 1
            if self._ticks % self.every == 0:
                self._free = now + self.late
            loop.call_at(max(now, self._free), lambda: tick(loop.time(), missed))

        super().start(late)


WINDOWS = WINDOW * 0.02 + 1  # s after which what happens now is all that counts


async def dial(phone: Phone) -> int:
    try:
        await phone.dial("100", GATEWAY)
    except CallFailed as failed:
        return failed.status
    return 200


async def is_ready(home: House) -> bool:
    for backend in home.gateway.backends.values():
        backend.last_success = asyncio.get_running_loop().time()
    return (await home.gateway.readiness()).ready


def gaps(phone: Phone, since: float) -> list[float]:
    """s between the packets that the phone heard."""
    return [b.at - a.at for a, b in pairwise(it for it in phone.heard if it.at > since)]


def test_new_calls_are_refused_while_ticks_are_late_and_no_longer(tmp_path: Path) -> None:
    async def main() -> list[dict[str, Any]]:
        ticker = LateTicker()
        loop = asyncio.get_running_loop()
        async with (
            house(tmp_path, world={"ticker": ticker}) as home,
            home.phone() as one,
            home.phone() as two,
            home.phone() as three,
        ):
            sip = Sip(home.network)
            assert await dial(one) == 200
            await asyncio.sleep(WINDOWS)
            assert await is_ready(home)

            ticker.late, ticker.every = 0.025, 50
            await asyncio.sleep(WINDOWS)
            began = loop.time()
            assert await dial(two) == 503
            assert sip.responses(503)[0].headers.get("Retry-After") == "5"
            assert not await is_ready(home)
            assert 'refused_total{cause="overload"} 1' in home.gateway.metrics()
            assert "gateway_overloaded 1" in home.gateway.metrics()

            ticker.late = 0.015  # in time, and yet no better than half of the limit
            await asyncio.sleep(WINDOWS)
            assert await dial(two) == 503

            ticker.late = 0.0
            await asyncio.sleep(WINDOWS)
            assert await is_ready(home)
            assert await dial(three) == 200
            assert "gateway_overloaded 0" in home.gateway.metrics()

            heard = gaps(one, began)
            assert len(heard) > 600
            assert max(heard) < 0.05  # a pause and a packet's time, and nothing beside them
            assert sum(heard) == pytest.approx(0.02 * len(heard), abs=0.02)  # none was left out
            one.hang_up()
            three.hang_up()
            return await home.records()

    with capture_logs() as logs:
        records = run(main())
    causes = [record["cause"] for record in records]
    assert sorted(causes) == ["hang_up", "hang_up", "overload", "overload"]
    told = [entry["event"] for entry in logs if entry["event"].startswith("overload")]
    assert told == ["overloaded", "overload_over"]


def test_a_tick_that_takes_most_of_its_time_is_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        work = spent = 0.0
        async with (
            house(tmp_path, world={"meter": lambda: spent}) as home,
            home.phone() as one,
            home.phone() as two,
        ):
            engine = home.gateway.engine
            tick = engine.tick

            def laborious(now: float, missed: int = 0) -> None:
                nonlocal spent
                spent += work
                tick(now, missed)

            monkeypatch.setattr(engine, "tick", laborious)
            assert await dial(one) == 200
            work = 0.018
            await asyncio.sleep(WINDOWS)
            assert await dial(two) == 503
            work = 0.01
            await asyncio.sleep(WINDOWS)
            assert await dial(two) == 200

    run(main())


def test_an_operator_may_have_no_limit(tmp_path: Path) -> None:
    async def main() -> None:
        ticker = LateTicker()
        config = {"media": {"max_lateness": 0}}
        async with house(tmp_path, config=config, world={"ticker": ticker}) as home:
            ticker.late, ticker.every = 0.5, 2
            await asyncio.sleep(WINDOWS)
            async with home.phone() as phone:
                assert await dial(phone) == 200

    run(main())
