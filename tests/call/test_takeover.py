"""The peer asks for another party in its own place: what can go wrong on the way to her.

Whole conversations that go on are in tests/calls/test_transfer.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.simulator.phone import Answering
from tests.calls.test_bridged import until
from tests.calls.test_transfer import has_a_turn, talking
from tests.clock import run


def test_a_party_whose_session_cannot_be_used(tmp_path: Path) -> None:
    """She answered, so she gets a BYE; the peer is told 488 and keeps the conversation."""

    async def main() -> None:
        async with talking(tmp_path) as (home, phone, other, _):
            send = home.network.send

            def bent(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
                if source == ("10.0.1.2", 5060):
                    data = data.replace(b"RTP/AVP", b"RTP/SAVP")
                send(data, source, target)

            home.network.send = bent  # type: ignore[method-assign] # a party with a bad answer
            phone.refer("sip:200@10.0.1.2")
            await until(lambda: bool(phone.progress) and phone.progress[-1].final)
            assert phone.progress[-1].status == 488
            await other.ended.wait()
            await has_a_turn(home, phone)

    run(main())


def test_no_way_to_her(tmp_path: Path) -> None:
    async def main() -> None:
        async with talking(tmp_path) as (home, phone, _, _sip):

            async def nowhere(uri: str) -> str:
                raise OSError("no route")

            (call,) = home.gateway.switchboard._calls.values()
            object.__setattr__(call.transfers._x, "host", nowhere)
            phone.refer("sip:200@10.0.1.2")
            await until(lambda: bool(phone.progress) and phone.progress[-1].final)
            assert phone.progress[-1].status == 503
            await has_a_turn(home, phone)

    run(main())


def test_early_media_is_not_for_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with talking(tmp_path) as (home, phone, other, _):
            other.answering = Answering(after=2.0, early=True)
            phone.refer("sip:200@10.0.1.2")
            await until(lambda: other.invite is not None)
            await has_a_turn(home, phone)
            await other.called()
            await asyncio.sleep(0.2)
            await has_a_turn(home, other)

    run(main())


def test_a_fault_of_ours_ends_this_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with talking(tmp_path) as (home, phone, other, _):
            phone.refer("sip:200@10.0.1.2")
            await until(lambda: other.invite is not None)
            (call,) = home.gateway.switchboard._calls.values()
            takeover = call.transfers._takeover
            assert takeover

            def broken(*args: Any) -> bool:
                raise RuntimeError("broken")

            takeover._telephone.receive = broken  # type: ignore[assignment, method-assign] # ours
            await phone.ended.wait()
            record = await home.record()
            assert home.holds_nothing()
        assert (record["ended_by"], record["cause"]) == ("gateway", "internal_error")

    run(main())
