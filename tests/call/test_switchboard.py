"""Who answers, who is called, who is in a call; whole calls are in tests/calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.call import switchboard
from gateway.call.order import OrderError, read
from gateway.simulator.phone import Answering
from tests.calls.house import GATEWAY, house
from tests.clock import run

TRUNKS = {"trunks": {"pbx": {"allow": "10.0.1.0/24", "outbound": "sip:10.0.1.1:5060"}}}


def order(**fields: Any) -> Any:
    return read({"to": "100", "agent": "reception", **fields})


def test_the_calls_in_progress_are_shown(tmp_path: Path) -> None:
    """Both directions, oldest first, under the names of the record."""

    async def main() -> None:
        async with (
            house(tmp_path, config=TRUNKS) as home,
            home.phone() as callee,
            home.phone() as caller,
        ):
            callee.answering = Answering(after=None)
            calls = home.gateway.switchboard
            assert calls.listing() == []
            await caller.dial("200", GATEWAY)
            placed = calls.place(order())
            await asyncio.sleep(1)
            inbound, outbound = calls.listing()
            assert len(calls) == 2
            assert inbound["direction"] == "inbound"
            assert (inbound["state"], inbound["to"]) == ("answered", "200")
            assert inbound["answered_at"] is not None
            assert list(inbound) == [
                "id",
                "sip_call_id",
                "direction",
                "state",
                "from",
                "to",
                "trunk",
                "agent",
                "backend",
                "invited_at",
                "answered_at",
                "ended_at",
                "ended_by",
                "cause",
                "sip_status",
                "sip_reason",
            ]
            assert (outbound["id"], outbound["state"]) == (placed, "ringing")
            assert outbound == calls.view(placed)
            caller.hang_up()
            callee.hang_up()
            await home.records()
            assert calls.listing() == []

    run(main())


def test_the_last_calls_that_ended_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "REMEMBERED", 2)

    async def main() -> None:
        async with house(tmp_path, config=TRUNKS) as home, home.phone() as phone:
            phone.answering = Answering(status=486)
            calls, placed = home.gateway.switchboard, []
            for _ in range(3):
                placed.append(calls.place(order()))
                await home.records()
            first, *last = (calls.view(call_id) for call_id in placed)
            assert first is None
            assert [it and it["cause"] for it in last] == ["busy", "busy"]
            await calls.settled(placed[1])  # it was long ago
            await calls.settled("c-unknown")
            assert calls.hang_up(placed[2])
            assert not calls.hang_up(placed[0])

    run(main())


def test_what_there_is_not(tmp_path: Path) -> None:
    """404, and the names of what there is."""

    async def main() -> None:
        async with house(tmp_path, config=TRUNKS) as home:
            for fields, param in (({"agent": "nobody"}, "agent"), ({"trunk": "no"}, "trunk")):
                with pytest.raises(OrderError) as wrong:
                    home.gateway.switchboard.place(order(**fields))
                assert (wrong.value.status, wrong.value.param) == (404, param)
            assert "reception" in str(wrong.value) or "pbx" in str(wrong.value)

    run(main())


def test_a_call_that_rings_in_is_hung_up(tmp_path: Path) -> None:
    """480: an operator's hang-up is no reason to try again at once."""

    async def main() -> None:
        async with house(tmp_path, config=TRUNKS, delay=0.5) as home, home.phone() as phone:
            dialling = asyncio.create_task(phone.dial("200", GATEWAY))
            await asyncio.sleep(0.2)
            (call,) = home.gateway.switchboard.listing()
            assert call["state"] == "ringing"
            home.gateway.switchboard.hang_up(call["id"])
            with pytest.raises(Exception, match="480"):
                await dialling
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("gateway", "hang_up")

    run(main())
