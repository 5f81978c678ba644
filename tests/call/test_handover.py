"""A transfer that is carried out: what can go wrong on the way to the target, and with it.

Whole transfers, with their sound, are in tests/calls/test_bridged.py and test_transfer.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.simulator.phone import Answering
from tests.calls.house import Sip, noise
from tests.calls.test_bridged import asked, outputs, trunk, two_phones, until
from tests.clock import run

MISSING = {"transfer": {"sales": "tel:+7495"}, "tools": ["hang_up", "transfer"]}


def test_no_port_for_the_target(tmp_path: Path) -> None:
    """The caller has the last one, and keeps it."""

    async def main() -> None:
        async with two_phones(tmp_path, ports=1) as (home, phone, other):
            await asked(phone)
            await until(lambda: bool(outputs(home.model)))
            assert outputs(home.model) == [{"error": "unavailable", "status": 503}]
            assert other.invite is None
            assert not phone.ended.is_set()

    run(main())


def test_a_number_without_a_way_out(tmp_path: Path) -> None:
    async def main() -> None:
        config = trunk(outbound=None)
        async with two_phones(tmp_path, agent=MISSING, config=config) as (home, phone, _):
            await asked(phone)
            await until(lambda: bool(outputs(home.model)))
            assert outputs(home.model) == [{"error": "not_found", "status": 404}]

    run(main())


def test_a_target_whose_session_cannot_be_used(tmp_path: Path) -> None:
    """It answered, so it gets a BYE; the model is told, and goes on."""

    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            broken: list[bytes] = []
            send = home.network.send

            def bent(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
                if source == ("10.0.1.2", 5060) and b"m=audio" in data:
                    data = data.replace(b"RTP/AVP", b"RTP/SAVP")
                    broken.append(data)
                send(data, source, target)

            home.network.send = bent  # type: ignore[method-assign] # a target with a bad answer
            await asked(phone)
            await until(lambda: bool(outputs(home.model)))
            assert broken
            assert outputs(home.model)[0]["status"] == 488
            await other.ended.wait()
            assert not phone.ended.is_set()
            phone.hang_up()
            assert (await home.record())["transfers"][0]["answered_at"] is None

    run(main())


def test_a_target_does_not_move_the_caller(tmp_path: Path) -> None:
    """Its REFER is refused: it was called, and is nobody's trunk."""

    async def main() -> None:
        config = trunk(accept_transfers=True)
        async with two_phones(tmp_path, config=config) as (_, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            other.refer("sip:200@10.0.1.2")
            await until(lambda: bool(other.progress))
            assert [(it.status, it.final) for it in other.progress] == [(603, True)]
            assert not phone.ended.is_set()

    run(main())


def test_a_session_that_cannot_be_agreed_later_keeps_the_old_one(tmp_path: Path) -> None:
    """RFC 3261 §14.2, on either side."""

    async def main() -> None:
        async with two_phones(tmp_path) as (_, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            for who in (phone, other):
                assert not await who.offer(who.description().replace(b"m=audio", b"m=video"))
                assert not phone.ended.is_set()

    run(main())


def test_a_fault_of_ours_ends_this_call_and_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.5)
            sip = Sip(home.network)
            (joint,) = home.gateway.engine._joints

            def broken(*args: Any) -> bytes | None:
                raise RuntimeError("broken")

            joint.relay.pass_on = broken  # type: ignore[assignment, method-assign] # ours
            await asyncio.gather(phone.ended.wait(), other.ended.wait())
            record = await home.record()
            assert home.holds_nothing()
            assert len(sip.requests("BYE")) == 2
        assert (record["ended_by"], record["cause"]) == ("gateway", "internal_error")

    run(main())


def test_a_fault_with_an_event_of_the_target(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=2.0)) as (home, phone, other):
            await asked(phone)
            await until(lambda: other.invite is not None)
            (call,) = home.gateway.switchboard._calls.values()
            handover = call.transfers._handover
            assert handover

            def broken(*args: Any) -> bool:
                raise RuntimeError("broken")

            handover._target.receive = broken  # type: ignore[assignment, method-assign] # ours
            await phone.ended.wait()
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("gateway", "internal_error")

    run(main())


def test_a_fault_with_the_first_sound_of_the_target(tmp_path: Path) -> None:
    async def main() -> None:
        answering = Answering(after=5.0, early=True)
        async with two_phones(tmp_path, answering=answering) as (home, phone, _):

            def broken(*args: Any) -> None:
                raise RuntimeError("broken")

            home.gateway.engine.join = broken  # type: ignore[assignment, method-assign] # ours
            await asked(phone)
            await phone.ended.wait()
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("gateway", "internal_error")

    run(main())


def test_a_caller_who_speaks_while_it_rings_is_not_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=None)) as (home, phone, other):
            await asked(phone)
            await until(lambda: other.invite is not None)
            turns = len(home.model.answers("input_audio_buffer.speech_started"))
            await phone.say(noise(0.4))
            await phone.press("1#")
            await asyncio.sleep(1)
            assert len(home.model.answers("input_audio_buffer.speech_started")) == turns
            assert len(home.model.events("conversation.item.create")) == 0
            phone.hang_up()
            assert (await home.record())["digits"] == []

    run(main())
