"""The demo's phone, against the gateway in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audio.frame import silence
from gateway.simulator.phone import CallFailed
from tests.calls.house import GATEWAY, house, phone_on
from tests.clock import Network, run


def test_a_call_that_is_not_answered_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        routes = {"routes": [{"to": "100", "agent": "reception"}]}
        async with house(tmp_path, config=routes) as home, home.phone() as phone:
            with pytest.raises(CallFailed, match="404") as failed:
                await phone.dial("200", GATEWAY)
            assert failed.value.status == phone.status == 404
            assert phone.ended.is_set()

    run(main())


def test_nobody_is_there() -> None:
    """Timer B (RFC 3261 §17.1.1.2)."""

    async def main() -> None:
        async with phone_on(Network()) as phone:
            with pytest.raises(CallFailed) as failed:
                await phone.dial("100", GATEWAY)
            assert failed.value.status == 408

    run(main())


def test_waiting_ends_with_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            phone.hang_up()
            phone.hang_up()
            await phone.say(silence(80_000))
            await phone.until_sound()
            await phone.until_silence()
            assert phone.end
            assert (phone.end.by, phone.end.cause) == ("us", "hang_up")

    run(main())
