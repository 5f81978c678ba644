"""A trunk where we register: its calls come in, it hears from us again, and when we go."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from gateway.simulator.phone import CallFailed, Phone
from tests.clock import Network, run

from .house import GATEWAY, house
from .provider import PROVIDER, Provider

TRUNK = {"register": "sip:10.0.9.1", "username": "7495", "password": "secret"}
CONFIG = {"trunks": {"provider": TRUNK}}


async def call_from(network: Network, host: str) -> int:
    """A call to our number from a provider's host; the final status."""
    phone = await Phone.open((host, 5070), ports=network.ports(host), bind=network.bind)
    try:
        await phone.dial("7495", GATEWAY)
        await asyncio.sleep(1)
        phone.hang_up()
        await asyncio.sleep(1)
    except CallFailed as failed:
        return failed.status
    finally:
        await phone.close()
    return 200


def test_a_call_by_the_registrar(tmp_path: Path) -> None:
    """Its address was configured nowhere; nobody else may call."""

    async def main() -> dict[str, Any]:
        network = Network()
        provider = Provider(network)
        async with house(tmp_path, config=CONFIG, network=network) as home:
            await asyncio.sleep(1)
            assert provider.bound == "<sip:7495@10.0.0.1:5060>"
            assert home.gateway.registrations.states == {"provider": "registered"}
            assert await call_from(network, PROVIDER[0]) == 200
            assert await call_from(network, "10.0.9.9") == 408
            return await home.record()

    record = run(main())
    assert (record["trunk"], record["to"]) == ("provider", "7495")


def test_it_stays_registered(tmp_path: Path) -> None:
    """At half time, for as long as the service runs; one line in the log."""

    async def main() -> None:
        network = Network()
        provider = Provider(network, expires=120)
        async with house(tmp_path, config=CONFIG, network=network):
            await asyncio.sleep(3000)
            times = [at for at, _ in provider.asked]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert len(gaps) >= 49
            assert all(53 <= gap <= 61 for gap in gaps)
            assert len(set(gaps)) > 10  # not all at the same pace

    with capture_logs() as logs:
        run(main())
    assert [entry["trunk"] for entry in logs if entry["event"] == "registered"] == ["provider"]


def test_it_says_when_it_goes(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network()
        provider = Provider(network)
        async with house(tmp_path, config=CONFIG, network=network):
            await asyncio.sleep(1)
            assert provider.bound
        assert provider.bound is None
        assert [expires for _, expires in provider.asked] == ["300", "0"]

    run(main())


def test_a_registrar_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    async def main() -> float:
        network = Network()
        provider = Provider(network)
        async with house(tmp_path, config=CONFIG, network=network):
            await asyncio.sleep(1)
            provider.status = 0
            begun = asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - begun

    assert run(main()) < 4.0


def test_one_that_comes_back(tmp_path: Path) -> None:
    """Not there at the start, then in trouble, then as it should be."""

    async def main() -> None:
        network = Network()
        provider = Provider(network)
        provider.status = 0
        async with house(tmp_path, config=CONFIG, network=network) as home:
            await asyncio.sleep(40)
            assert home.gateway.registrations.states == {"provider": "408 No Answer"}
            assert not home.gateway.registrations.reachable
            assert await call_from(network, PROVIDER[0]) == 408
            provider.status, provider.reason = 503, "Busy"
            await asyncio.sleep(20)
            assert home.gateway.registrations.states == {"provider": "503 Busy"}
            provider.status = 200
            await asyncio.sleep(40)
            assert home.gateway.registrations.states == {"provider": "registered"}
            assert home.gateway.registrations.reachable
            assert await call_from(network, PROVIDER[0]) == 200
            await home.record()

    run(main())


def test_several_registrars(tmp_path: Path) -> None:
    """Each for itself; a wrong password at one is told, and takes nothing from the other."""

    async def main() -> None:
        network = Network()
        first, second = Provider(network), Provider(network, address=("10.0.9.2", 5060))
        other = {**TRUNK, "register": "sip:10.0.9.2", "password": "wrong"}
        config = {"trunks": {"provider": TRUNK, "other": other}}
        async with house(tmp_path, config=config, network=network) as home:
            await asyncio.sleep(500)
            assert home.gateway.registrations.states == {
                "provider": "registered",
                "other": "401 Unauthorized",
            }
            assert first.bound
            assert second.bound is None
            assert len(second.asked) == 1  # nobody is to lock the account for that
            assert home.gateway.registrations.reachable

    run(main())


def test_under_loss(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(loss=0.3, seed=3)
        provider = Provider(network, expires=600)
        async with house(tmp_path, config=CONFIG, network=network) as home:
            await asyncio.sleep(3000)
            assert home.gateway.registrations.states == {"provider": "registered"}
            assert provider.bound

    run(main())
