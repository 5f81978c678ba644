"""What passwords prove, and where we are registered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.agents import Directory
from gateway.config import Config
from gateway.sip.endpoint import Endpoint, Event, Flow, Registered, Unregistered
from gateway.sip.transport import Listen, Transport
from gateway.trunks import LOOK, Registrations, accounts, address_of_record, credentials
from tests.calls.provider import PROVIDER, Provider
from tests.clock import Network, run

OTHER = ("10.0.9.2", 5060)
TRUNK = {"register": "sip:10.0.9.1", "username": "7495", "password": "secret"}


def config(**trunks: dict[str, Any]) -> Config:
    return Config.model_validate({"trunks": trunks})


class Service:
    """What app.py joins, without calls."""

    def __init__(self, settings: Config, transport: Transport, endpoint: Endpoint) -> None:
        numbers = count(1)
        self.directory = Directory(settings)
        self.endpoint, self.transport = endpoint, transport
        self.registrations = Registrations(
            settings,
            endpoint=endpoint,
            transport=transport,
            directory=self.directory,
            credentials=credentials(settings, lambda: f"c{next(numbers)}"),
        )

    def receive(self, event: Event) -> None:
        assert isinstance(event, Registered | Unregistered)
        self.registrations.receive(event)


@asynccontextmanager
async def service(network: Network, **trunks: dict[str, Any]) -> AsyncIterator[Service]:
    numbers = count(1)
    endpoint = Endpoint(token=lambda: f"t{next(numbers)}")
    events: list[Event] = []
    transport = await Transport.open(
        endpoint, [Listen("udp", "10.0.0.1", 5060)], on_event=events.append, bind=network.bind
    )
    it = Service(config(**trunks), transport, endpoint)
    transport._on_event = it.receive
    try:
        yield it
    finally:
        await transport.close()


class TestPasswords:
    def test_users_by_realm_and_name(self) -> None:
        known = accounts(
            config(
                phones={"users": {"100": "p", "101": "q"}},
                others={"users": {"100": "r"}, "realm": "other"},
                pbx={"allow": "192.0.2.10"},
            )
        )
        assert {key: (it.trunk, it.password) for key, it in known.items()} == {
            ("gateway", "100"): ("phones", "p"),
            ("gateway", "101"): ("phones", "q"),
            ("other", "100"): ("others", "r"),
        }

    def test_ours_by_trunk(self) -> None:
        known = credentials(
            config(
                a=TRUNK,
                b={"outbound": "sip:b", "username": "u", "password": "p", "realm": "r"},
                c={"register": "sip:c", "username": "u", "password": ""},
                d={"allow": "192.0.2.10"},
            ),
            lambda: "t",
        )
        assert {name: (it.username, it.password, it.realm) for name, it in known.items()} == {
            "a": ("7495", "secret", None),
            "b": ("u", "p", "r"),
        }

    @pytest.mark.parametrize(
        ("registrar", "username", "aor"),
        [
            ("sip:p.example", "7495", "sip:7495@p.example"),
            ("sip:p.example:5070;transport=tcp", "7495", "sip:7495@p.example"),
            ("sips:p.example", "+7495", "sips:+7495@p.example"),
            ("sip:proxy.p.example", "me@p.example", "sip:me@p.example"),
            ("sip:p.example", "a%b", "sip:a%25b@p.example"),
        ],
    )
    def test_as_whom(self, registrar: str, username: str, aor: str) -> None:
        settings = config(t={"register": registrar, "username": username})
        assert address_of_record(settings.trunks["t"]) == aor

    def test_how_users_prove_it(self) -> None:
        users = {"users": {"100": "p"}}
        known = accounts(config(a=users, b={**users, "realm": "b", "digest": "MD5"}))
        assert [it.algorithms for it in known.values()] == [("SHA-256", "MD5"), ("MD5",)]

    def test_of_which_domain(self) -> None:
        trunk = {"register": "sip:192.0.2.20", "username": "7495", "domain": "p.example"}
        assert address_of_record(config(t=trunk).trunks["t"]) == "sip:7495@p.example"


def states(**trunks: dict[str, Any]) -> dict[str, str]:
    """What is told a minute after the start, with a registrar at 10.0.9.1."""

    async def main() -> dict[str, str]:
        network = Network()
        Provider(network)
        async with service(network, **trunks) as it:
            it.registrations.start()
            await asyncio.sleep(60)
            return it.registrations.states

    return run(main())


class TestState:
    def test_registered(self) -> None:
        assert states(provider=TRUNK, pbx={"allow": "192.0.2.10"}) == {"provider": "registered"}

    def test_a_wrong_password(self) -> None:
        assert states(provider={**TRUNK, "password": "x"}) == {"provider": "401 Unauthorized"}

    def test_another_realm(self) -> None:
        """The password is for one place only."""
        assert states(provider={**TRUNK, "realm": "other"}) == {"provider": "401 Unauthorized"}

    def test_nobody_there(self) -> None:
        assert states(provider={**TRUNK, "register": "sip:10.0.9.2"}) == {
            "provider": "408 No Answer"
        }

    def test_not_yet(self) -> None:
        async def main() -> dict[str, str]:
            async with service(Network(), provider=TRUNK) as it:
                it.registrations.start()
                return it.registrations.states

        assert run(main()) == {"provider": "registering"}

    def test_a_password_that_is_not_set(self) -> None:
        """Nothing is sent; the operator has been told by `check` as well."""
        with capture_logs() as logs:
            assert states(provider={**TRUNK, "password": ""}) == {"provider": "no password"}
        assert [(entry["event"], entry["reason"]) for entry in logs] == [
            ("not_registered", "no password")
        ]


class TestLog:
    def test_one_line_when_it_changes(self) -> None:
        """None for a refresh; and none for each attempt that fails as the one before it did."""

        async def main() -> None:
            network = Network()
            provider = Provider(network)
            async with service(network, provider=TRUNK) as it:
                it.registrations.start()
                await asyncio.sleep(300)
                assert len(provider.asked) >= 4
                provider.status, provider.reason = 503, "Too \x1b[31mbusy\u2028"
                await asyncio.sleep(300)
                provider.status = 200
                await asyncio.sleep(300)

        with capture_logs() as logs:
            run(main())
        assert [(entry["event"], entry.get("reason")) for entry in logs] == [
            ("registered", None),
            ("not_registered", "Too [31mbusy"),
            ("registered", None),
        ]
        assert (logs[0]["trunk"], logs[0]["expires"]) == ("provider", 120)
        assert (logs[1]["status"], logs[1]["log_level"]) == (503, "warning")

    def test_no_password(self) -> None:
        with capture_logs() as logs:
            states(provider=TRUNK, other={**TRUNK, "password": "canary"})
        assert "secret" not in str(logs)
        assert "canary" not in str(logs)


class TestReachable:
    """Not ready only where every way in is a registration, and none of them holds."""

    @pytest.mark.parametrize(
        ("trunks", "before", "after"),
        [
            ({}, True, True),
            ({"pbx": {"allow": "192.0.2.10"}}, True, True),
            ({"out": {"outbound": "sip:o.example"}}, True, True),
            ({"a": TRUNK}, False, True),
            ({"a": TRUNK, "b": {**TRUNK, "register": "sip:10.0.9.2"}}, False, True),
            ({"b": {**TRUNK, "register": "sip:10.0.9.2"}}, False, False),
            ({"b": {**TRUNK, "register": "sip:10.0.9.2", "allow": "192.0.2.10"}}, True, True),
            ({"b": {**TRUNK, "register": "sip:10.0.9.2"}, "p": {"users": {"1": "x"}}}, True, True),
        ],
    )
    def test_one(self, trunks: dict[str, dict[str, Any]], before: bool, after: bool) -> None:
        async def main() -> tuple[bool, bool]:
            network = Network()
            Provider(network)
            async with service(network, **trunks) as it:
                it.registrations.start()
                first = it.registrations.reachable
                await asyncio.sleep(60)
                return first, it.registrations.reachable

        assert run(main()) == (before, after)


class TestWay:
    def test_where_it_is_registered_calls_come_from(self) -> None:
        async def main() -> None:
            network = Network()
            Provider(network)
            async with service(network, provider=TRUNK) as it:
                assert it.directory.trunk(PROVIDER[0]) is None
                it.registrations.start()
                await asyncio.sleep(1)
                trunk = it.directory.trunk(PROVIDER[0])
                assert trunk
                assert trunk.name == "provider"

        run(main())

    def test_it_is_kept_open_until_the_end(self) -> None:
        """RFC 5626 §4.4: by something small now and then, through a NAT on the way."""

        async def main() -> None:
            network, pings = Network(), []
            provider = Provider(network, expires=3600)
            send = network.send

            def tap(data: bytes, source: Any, target: Any) -> None:
                if data == b"\r\n\r\n":
                    pings.append(target)
                send(data, source, target)

            network.send = tap  # type: ignore[method-assign]
            async with service(network, provider=TRUNK) as it:
                it.registrations.start()
                await asyncio.sleep(100)
                assert set(pings) == {PROVIDER}
                it.registrations.stop()
                await asyncio.sleep(1)
                assert provider.bound is None
                assert it.endpoint.registrations == {}
                told = len(pings)
                await asyncio.sleep(100)
                assert len(pings) == told

        run(main())

    def test_our_address_changes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Within five seconds, and once; also where nobody answers then."""
        ours = ["10.0.0.1"]

        async def main() -> None:
            network = Network()
            provider = Provider(network)
            async with service(network, provider=TRUNK) as it:
                monkeypatch.setattr(it.transport, "source", lambda flow: ours[0])
                it.registrations.start()
                watching = asyncio.create_task(it.registrations.watch())
                await asyncio.sleep(2 * LOOK + 1)
                assert len(provider.asked) == 1
                ours[0] = "10.0.0.9"
                provider.status = 0
                await asyncio.sleep(LOOK)
                assert len({request.headers.cseq for _, request in provider.heard}) == 3
                await asyncio.sleep(2 * LOOK)
                assert len({request.headers.cseq for _, request in provider.heard}) == 3
                watching.cancel()

        with capture_logs() as logs:
            run(main())
        moved = [entry for entry in logs if entry["event"] == "network_changed"]
        assert [(it["trunk"], it["address"]) for it in moved] == [("provider", "10.0.0.9")]

    def test_the_registrar_moves(self) -> None:
        """Another address of it is learned, and the way there is the one that is kept."""

        async def main() -> None:
            network = Network()
            Provider(network)
            async with service(network, provider=TRUNK) as it:
                it.registrations.start()
                await asyncio.sleep(1)
                state = it.registrations._states["provider"]
                before = state.flow
                registration = it.endpoint.registrations["provider"]
                assert registration.flow == before
                registration.flow = Flow("udp", ("10.0.0.1", 5060), OTHER)
                it.registrations.receive(Registered("provider", 120))
                assert state.flow == registration.flow
                assert set(it.transport._kept) == {registration.flow}
                it.registrations.stop()

        run(main())
