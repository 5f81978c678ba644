"""Ticks of 20 ms by a timer descriptor, and by callbacks that would make one wait."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.call.ticker import CATCH_UP, TICK, TimerDescriptor


def test_the_timer_descriptor_ticks_every_20_ms() -> None:
    ticks: list[tuple[float, int]] = []

    async def main() -> None:
        ticker = TimerDescriptor()
        ten = asyncio.Event()

        def tick(now: float, missed: int) -> None:
            ticks.append((now, missed))
            if len(ticks) >= 10:
                ten.set()

        ticker.start(tick)
        async with asyncio.timeout(10):
            await ten.wait()
        ticker.stop()
        ticker.stop()

    asyncio.run(main())

    took = ticks[9][0] - ticks[0][0]
    # absolute deadlines: a late tick is followed by a punctual one
    assert took == pytest.approx(9 * 0.02 + 0.02 * sum(m for _, m in ticks[1:]), abs=0.04)


def test_a_loop_that_was_away_makes_up_for_two_ticks_at_most() -> None:
    ticks: list[int] = []

    async def main() -> None:
        ticker = TimerDescriptor()
        some = asyncio.Event()

        def tick(now: float, missed: int) -> None:
            ticks.append(missed)
            if len(ticks) > CATCH_UP:
                some.set()

        ticker.start(tick)
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is to be held up
        async with asyncio.timeout(10):
            await some.wait()
        ticker.stop()

    asyncio.run(main())

    assert ticks[0] >= 7
    assert ticks[1:CATCH_UP] == [0]


def test_callbacks_that_come_many_at_a_time_let_no_tick_wait() -> None:
    """`keep` runs the tick that is due, at once, and none before its time."""
    ticks: list[int] = []

    async def main() -> None:
        loop, ticker = asyncio.get_running_loop(), TimerDescriptor()
        ticker.keep()
        began = loop.time()
        ticker.start(lambda now, missed: ticks.append(1 + missed))
        ticker.keep()
        assert sum(ticks) <= (loop.time() - began) / TICK
        time.sleep(0.025)  # noqa: ASYNC251 - a callback that takes long
        ticker.keep()
        assert ticks
        for _ in range(20):
            ticker.keep()
            assert sum(ticks) <= (loop.time() - began) / TICK
        ticker.stop()
        made = len(ticks)
        ticker.keep()
        assert len(ticks) == made

    asyncio.run(main())


def test_a_tick_that_fails_is_not_the_fault_of_who_called() -> None:
    """The loop is told, and the next tick comes in its time."""
    told: list[dict[str, Any]] = []
    ticks: list[float] = []

    def tick(now: float, missed: int) -> None:
        ticks.append(now)
        if len(ticks) == 1:
            raise RuntimeError("our own mistake")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, told_: told.append(told_))
        ticker = TimerDescriptor()
        ticker.start(tick)
        for _ in range(2):
            time.sleep(0.025)  # noqa: ASYNC251 - a callback that takes long
            ticker.keep()
        ticker.stop()

    asyncio.run(main())
    assert len(ticks) >= 2
    assert [str(it["exception"]) for it in told] == ["our own mistake"]
