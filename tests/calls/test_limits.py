"""Limits: what is over one is refused before anything is opened for it, and nobody else notices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.simulator.phone import CallFailed, Phone
from gateway.simulator.script import load
from tests.clock import Network, run

from .house import GATEWAY, House, MemoryModel, Sip, house, phone_on


async def dial(phone: Phone, user: str = "100") -> int:
    """Call; returns the final status."""
    try:
        await phone.dial(user, GATEWAY)
    except CallFailed as failed:
        return failed.status
    return 200


async def dial_later(phone: Phone) -> int:
    await asyncio.sleep(0.5)
    return await dial(phone)


async def refused_for(home: House, phone: Phone, cause: str, status: int = 503) -> dict[str, Any]:
    """Call in vain; returns the record."""
    sip = Sip(home.network)
    calls, ports, models = home.gateway.calls, len(home.ports.opened), len(home.model.links)
    assert await dial(phone) == status
    answer = sip.responses(status)[0]
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    await asyncio.sleep(0.1)
    assert (home.gateway.calls, len(home.ports.opened)) == (calls, ports)
    assert len(home.model.links) == models
    record = home.written()[-1]
    assert record["cause"] == cause
    assert (record["ended_by"], record["sip_status"]) == ("gateway", status)
    assert record["answered_at"] is None
    return record


def test_max_calls(tmp_path: Path) -> None:
    async def main() -> None:
        config = {"sip": {"listen": ["udp:10.0.0.1:5060"], "max_calls": 2}}
        async with (
            house(tmp_path, config=config) as home,
            home.phone() as one,
            home.phone() as two,
            home.phone() as three,
            home.phone() as four,
        ):
            assert await dial(one) == 200
            assert await dial(two) == 200
            await refused_for(home, three, "max_calls")
            assert not one.ended.is_set()
            one.hang_up()
            await asyncio.sleep(1)
            assert await dial(four) == 200

    run(main())


def test_max_calls_per_second(tmp_path: Path) -> None:
    """A burst of a second's worth is taken, what is beyond it is not."""

    async def main() -> None:
        config = {"sip": {"max_calls_per_second": 3}}
        async with house(tmp_path, config=config) as home:
            phones = [home.phone() for _ in range(6)]
            opened = [await phone.__aenter__() for phone in phones]
            statuses = await asyncio.gather(*(dial(phone) for phone in opened[:5]))
            assert sorted(statuses) == [200, 200, 200, 503, 503]
            await asyncio.sleep(1)
            assert await dial(opened[5]) == 200
            for phone in phones:
                await phone.__aexit__(None, None, None)
            causes = [record["cause"] for record in await home.records()]
        assert causes.count("max_calls_per_second") == 2

    run(main())


def test_no_free_port(tmp_path: Path) -> None:
    """503 with Retry-After, no partial state; the next call after one ended has a port."""

    async def main() -> None:
        async with (
            house(tmp_path, ports=1) as home,
            home.phone() as one,
            home.phone() as two,
            home.phone() as three,
        ):
            assert await dial(one) == 200
            await refused_for(home, two, "no_ports")
            one.hang_up()
            await asyncio.sleep(1)
            assert await dial(three) == 200

    run(main())


def test_the_quota_of_a_backend(tmp_path: Path) -> None:
    """Further calls go to the next backend of the list, or are refused."""

    async def main() -> None:
        models = {name: MemoryModel(load({})) for name in ("first", "second")}
        backend = {"provider": "compatible", "model": "m", "max_sessions": 1}
        config = {
            "backends": {name: {**backend, "url": f"ws://{name}/v1/realtime"} for name in models}
        }
        async with (
            house(tmp_path, config=config, models=models) as home,
            home.phone() as one,
            home.phone() as two,
            home.phone() as three,
            home.phone() as four,
        ):
            assert await dial(one) == 200
            assert await dial(two) == 200
            record = await refused_for(home, three, "backend_unavailable")
            assert "no backend has a free session" in record["sip_reason"]
            one.hang_up()
            await asyncio.sleep(0.1)
            assert await dial(four) == 200
            two.hang_up()
            four.hang_up()
            backends = [record["backend"] for record in await home.records()]
        assert backends == [None, "first", "second", "first"]

    run(main())


def test_a_quota_that_is_used_up_meanwhile(tmp_path: Path) -> None:
    """While the first backend is tried, somebody else takes the second one's last session."""

    async def main() -> None:
        models = {name: MemoryModel(load({})) for name in ("slow", "second")}
        backend = {"provider": "compatible", "model": "m", "max_sessions": 1}
        config = {
            "backends": {name: {**backend, "url": f"ws://{name}/v1/realtime"} for name in models}
        }
        models["slow"].delay = 1000.0
        async with (
            house(tmp_path, config=config, models=models) as home,
            home.phone() as one,
            home.phone() as two,
        ):
            first = asyncio.create_task(dial(one))
            await asyncio.sleep(0.5)
            assert await dial(two) == 200
            assert await first == 503
            assert home.gateway.backends["second"].sessions == 1

    run(main())


def test_a_service_that_goes_down_takes_no_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as home, home.phone() as one, home.phone() as two:
            sip = Sip(home.network)
            assert await dial(one) == 200
            home.gateway.hang_up_all()
            assert await dial(two) == 503
            assert sip.responses(503)[0].headers.get("Retry-After") == "5"
            await one.ended.wait()
            assert home.holds_nothing()

    run(main())


def test_an_invite_in_the_last_moment(tmp_path: Path) -> None:
    """While the last BYEs are answered no call is taken any more, and nothing breaks."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        unhandled: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: unhandled.append(context))
        network = Network(loss=1.0)
        network.lossy = lambda data: data.startswith(b"BYE ")
        async with phone_on(network, 1) as one, phone_on(network, 2) as two:
            async with house(tmp_path, network=network) as home:
                assert await dial(one) == 200
                late = asyncio.create_task(dial_later(two))
            assert late.done()
            assert late.result() == 503
            assert unhandled == []
            assert [record["cause"] for record in home.written()] == ["shutdown"]

    run(main())


def test_no_route(tmp_path: Path) -> None:
    """404, and a record of it."""

    async def main() -> None:
        config = {"routes": [{"to": "7??", "agent": "reception"}]}
        async with house(tmp_path, config=config) as home, home.phone() as phone:
            record = await refused_for(home, phone, "no_route", 404)
            assert (record["to"], record["from"], record["agent"]) == ("100", "100", None)
            assert await dial(phone, "700") == 200

    run(main())


def test_who_may_not_call_is_not_answered(tmp_path: Path) -> None:
    """With trunks, only what they name; the rest is counted, not parsed and not recorded."""

    async def main() -> None:
        config = {"trunks": {"pbx": {"allow": ["10.0.1.2"]}}}
        async with (
            house(tmp_path, config=config) as home,
            home.phone() as stranger,
            home.phone() as pbx,
        ):
            sip = Sip(home.network)
            dialling = asyncio.create_task(dial(stranger))
            await asyncio.sleep(1)
            assert [ours for _, _, ours in sip.messages if ours] == []
            assert home.gateway.endpoint.counts["not_admitted"] == 2  # INVITE, and its copy
            assert await dial(pbx) == 200
            pbx.hang_up()
            assert (await home.record())["trunk"] == "pbx"
            stranger.hang_up()
            await dialling

    run(main())
