"""What a trunk's headers say of a call: believed, kept, or not even looked at."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import CallFailed, Phone
from gateway.simulator.script import load
from tests.clock import run

from .house import GATEWAY, MemoryModel, Sip, house

AGENT = {"instructions": "{caller} / {clinic}", "variables": {"clinic": "X-Clinic"}}
SAID = [
    ("P-Asserted-Identity", '"Anna" <sip:+74951234567@provider.example>'),
    ("Diversion", "<sip:+74957654321@provider.example>;reason=no-answer"),
    ("X-Clinic", "North"),
    ("Subject", "no matter"),
]
ANYONE = "10.0.0.0/8"


async def told(folder: Path, trunks: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model's instructions and the record of a call with those headers."""
    config = {"trunks": trunks} if trunks else {}
    async with house(folder, agent=AGENT, config=config) as home, home.phone() as phone:
        await phone.dial("100", GATEWAY, headers=SAID)
        phone.hang_up()
        record = await home.record()
        (update,) = home.model.events("session.update")
    return update["session"]["instructions"], record


@pytest.mark.parametrize("trunk", [{}, {"trusted": True}])
def test_of_a_trusted_trunk(trunk: dict[str, Any], tmp_path: Path) -> None:
    """The agent is told the number that the network asserts; the record has what led here."""
    instructions, record = run(told(tmp_path, {"pbx": {"allow": ANYONE, **trunk}}))
    assert instructions == "+74951234567 / North"
    assert record["from"] == "100"
    assert record["headers"] == dict(SAID[:3])


@pytest.mark.parametrize("trunks", [{}, {"pbx": {"allow": ANYONE, "trusted": False}}])
def test_of_any_other(trunks: dict[str, Any], tmp_path: Path) -> None:
    """A neighbour, or a trunk that is not trusted: From is what there is."""
    instructions, record = run(told(tmp_path, trunks))
    assert instructions == "100 / unknown"
    assert record["from"] == "100"
    assert record["headers"] == {}


def end(phone: Phone, reason: str) -> None:
    """BYE or CANCEL with a Reason, which our own phone has no button for."""
    assert phone._call
    outputs = phone._endpoint.bye(phone._call, phone._loop.time(), reason=reason)
    phone._transport.act(outputs)


REASON = 'Q.850;cause=16;text="Normal call clearing"'


def test_the_reason_of_a_bye(tmp_path: Path) -> None:
    """RFC 3326: theirs is in the record, with its Q.850 cause."""

    async def main() -> dict[str, Any]:
        async with house(tmp_path) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            end(phone, REASON)
            return await home.record()

    record = run(main())
    assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
    assert record["sip_reason"] == REASON


def test_the_reason_of_a_cancel(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        model = MemoryModel(load({}), delay=0.5)
        async with house(tmp_path, model=model) as home, home.phone() as phone:
            dialling = asyncio.create_task(phone.dial("100", GATEWAY))
            await asyncio.sleep(0.6)
            end(phone, 'SIP;cause=200;text="Call completed elsewhere"')
            with pytest.raises(CallFailed):
                await dialling
            return await home.record()

    record = run(main())
    assert (record["ended_by"], record["cause"]) == ("caller", "cancelled")
    assert record["sip_reason"] == 'SIP;cause=200;text="Call completed elsewhere"'


def test_our_reason(tmp_path: Path) -> None:
    """What our BYE says is in the record, too."""

    async def main() -> tuple[dict[str, Any], str | None]:
        async with house(tmp_path) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            home.gateway.hang_up_all()
            await phone.ended.wait()
            record = await home.record()
            return record, sip.requests("BYE")[0].headers.get("Reason")

    record, said = run(main())
    assert (record["ended_by"], record["cause"]) == ("gateway", "shutdown")
    assert said == 'Q.850;cause=31;text="shutdown"'
    assert record["sip_reason"] == said
