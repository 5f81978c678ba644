"""One transfer at a time: what comes while a call is being transferred, or has been."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.simulator.phone import Answering, CallFailed
from tests.calls.house import GATEWAY, Sip, noise
from tests.calls.test_bridged import asked, outputs, trunk, two_phones, until
from tests.calls.test_transfer import has_a_turn, replacing, talking
from tests.clock import run


def test_a_call_that_is_handed_over_is_not_moved_as_well(tmp_path: Path) -> None:
    """REFER 603, Replaces 486; and what is going on is not disturbed."""

    async def main() -> None:
        config = trunk(accept_transfers=True)
        async with (
            two_phones(tmp_path, config=config) as (home, phone, other),
            home.phone() as third,
        ):
            sip = Sip(home.network)
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            phone.refer("sip:200@10.0.1.3")
            await until(lambda: bool(phone.progress))
            assert phone.progress[-1].status == 603
            with pytest.raises(CallFailed) as failed:
                await third.dial("100", GATEWAY, headers=[("Replaces", replacing(sip))])
            assert failed.value.status == 486
            assert not phone.ended.is_set()
            assert not other.ended.is_set()

    run(main())


def test_a_call_that_is_being_moved_is_not_handed_over_as_well(tmp_path: Path) -> None:
    """The model is told so, and goes on."""

    async def main() -> None:
        config = trunk(accept_transfers=True)
        async with two_phones(tmp_path, config=config, answering=Answering(after=None)) as (
            home,
            phone,
            other,
        ):
            await phone.dial("100", GATEWAY)
            phone.refer("sip:200@10.0.1.2")
            await until(lambda: other.invite is not None)
            await phone.say(noise(0.4))
            await until(lambda: bool(outputs(home.model)))
            assert outputs(home.model) == [{"error": "The call is being transferred already."}]
            phone.hang_up()
            await asyncio.sleep(0.1)

    run(main())


def test_a_call_may_move_twice(tmp_path: Path) -> None:
    async def main() -> None:
        way_out = {"outbound": "sip:10.0.1.1:5060"}
        async with talking(tmp_path, **way_out) as (home, phone, other, sip):
            other.answering = Answering()
            await other.dial("100", GATEWAY, headers=[("Replaces", replacing(sip))])
            await phone.ended.wait()
            await has_a_turn(home, other)
            phone.answering = Answering()
            other.refer("sip:200@10.0.1.1")
            await phone.called()
            await asyncio.sleep(0.2)
            await has_a_turn(home, phone)
            phone.hang_up()
            record = await home.record()
            assert home.holds_nothing()
        assert [it["by"] for it in record["transfers"]] == ["peer", "peer"]

    run(main())
