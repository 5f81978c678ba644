"""Who may call: an address, a user with a password, and nobody else. Whole calls in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import Answering, CallFailed, Phone
from gateway.sip.message import Request, Response, parse
from tests.clock import Address, Network, run
from tests.sip.wire import OFFER, request

from .house import GATEWAY, House, Sip, house, noise, phone_on

ALLOW = {"pbx": {"allow": "10.0.1.1"}}
USERS = {"phones": {"users": {"100": "wonderland", "101": "other"}}}
SCANNER = ("10.66.0.1", 5060)


async def dial(phone: Phone, user: str = "200") -> int:
    """Call; returns the final status."""
    try:
        await phone.dial(user, GATEWAY)
    except CallFailed as failed:
        return failed.status
    return 200


def statuses(sip: Sip) -> list[int]:
    """What the gateway answered to INVITEs, in order."""
    return [
        message.status
        for _, message, ours in sip.messages
        if ours and isinstance(message, Response) and message.headers.cseq.method == "INVITE"
    ]


class TestCallers:
    def test_one_that_is_known_by_its_address(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with house(tmp_path, config={"trunks": ALLOW}) as home, home.phone() as phone:
                sip = Sip(home.network)
                assert await dial(phone) == 200
                phone.hang_up()
                assert (await home.record())["trunk"] == "pbx"
                assert 401 not in statuses(sip)

        run(main())

    def test_a_user(self, tmp_path: Path) -> None:
        """Asked once, and from then on a caller like any other."""

        async def main() -> None:
            async with (
                house(tmp_path, config={"trunks": USERS}) as home,
                home.phone(credentials=("100", "wonderland")) as phone,
            ):
                sip = Sip(home.network)
                assert await dial(phone) == 200
                await phone.say(noise(1.0))
                assert await phone.hold()
                assert await phone.resume()
                phone.hang_up()
                record = await home.record()
                assert (record["trunk"], record["from"], record["cause"]) == (
                    "phones",
                    "100",
                    "hang_up",
                )
                assert statuses(sip).count(401) == 1

        run(main())

    @pytest.mark.parametrize(
        "credentials", [("100", "wrong"), ("100", "other"), ("102", "wonderland"), None]
    )
    def test_nobody_else(self, tmp_path: Path, credentials: tuple[str, str] | None) -> None:
        """401 whatever is wrong, no record, and nothing opened for it."""

        async def main() -> None:
            async with (
                house(tmp_path, config={"trunks": USERS}) as home,
                home.phone(credentials=credentials) as phone,
            ):
                sip = Sip(home.network)
                assert await dial(phone) == 401
                await asyncio.sleep(60)
                assert set(statuses(sip)) == {401}
                assert len(statuses(sip)) == (2 if credentials else 1)
                assert home.model.links == []
                assert home.holds_nothing()
            assert home.written() == []

        run(main())

    def test_both_kinds(self, tmp_path: Path) -> None:
        """An address is never asked; a user may come from any other; each is of its trunk."""

        async def main() -> None:
            trunks = {**ALLOW, **USERS}
            async with (
                house(tmp_path, config={"trunks": trunks}) as home,
                home.phone() as known,
                home.phone(credentials=("101", "other")) as user,
                home.phone() as stranger,
            ):
                assert await dial(known) == 200
                assert await dial(user) == 200
                assert await dial(stranger) == 401
                known.hang_up()
                user.hang_up()
                records = await home.records()
                assert sorted(record["trunk"] for record in records) == ["pbx", "phones"]

        run(main())

    def test_routes_know_the_trunk_of_a_user(self, tmp_path: Path) -> None:
        async def main() -> None:
            routes = [{"trunk": "phones", "to": "2*", "agent": "reception"}]
            config = {"trunks": {**ALLOW, **USERS}, "routes": routes}
            async with (
                house(tmp_path, config=config) as home,
                home.phone() as known,
                home.phone(credentials=("101", "other")) as user,
            ):
                assert await dial(known) == 404
                assert await dial(user) == 200

        run(main())

    def test_under_loss(self, tmp_path: Path) -> None:
        """The 401 is not sent again by itself; the INVITE is, and brings another."""

        async def main() -> None:
            network = Network(loss=0.2, seed=4)
            async with (
                house(tmp_path, config={"trunks": USERS}, network=network) as home,
                home.phone(credentials=("100", "wonderland")) as phone,
            ):
                assert await dial(phone) == 200
                phone.hang_up()
                await home.record()
                await asyncio.sleep(40)

        run(main())


class TestPhones:
    """A user's phone registers with us, is known then, and can be called."""

    def test_it_is_found(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with (
                house(tmp_path, config={"trunks": USERS}) as home,
                home.phone(credentials=("100", "wonderland")) as phone,
            ):
                assert await phone.register(GATEWAY) == 200
                gateway = home.gateway
                now = asyncio.get_running_loop().time()
                binding = gateway.endpoint.binding("phones", "100", now)
                assert binding
                assert binding.flow.remote == phone.address
                phone.answering = Answering(status=486)
                sip = Sip(home.network)
                _, outputs = gateway.endpoint.invite(
                    binding.contact, binding.flow, b"", now, from_uri="sip:200@10.0.0.1"
                )
                gateway.transport.act(outputs)
                await asyncio.sleep(1)
                (invite,) = sip.requests("INVITE")
                assert invite.uri == "sip:100@10.0.1.1:5060"
                assert phone.invite
                await asyncio.sleep(40)

        run(main())

    def test_it_is_not_asked_again_at_once(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with (
                house(tmp_path, config={"trunks": USERS}) as home,
                home.phone(credentials=("100", "wonderland")) as phone,
            ):
                await phone.register(GATEWAY)
                sip = Sip(home.network)
                assert await dial(phone) == 200
                assert 401 not in statuses(sip)
                phone.hang_up()
                await home.record()
                await asyncio.sleep(1000)  # it comes again and again
                now = asyncio.get_running_loop().time()
                assert home.gateway.endpoint.binding("phones", "100", now)

        run(main())

    @pytest.mark.parametrize("credentials", [("100", "wrong"), ("102", "wonderland"), None])
    def test_nobody_elses(self, tmp_path: Path, credentials: tuple[str, str] | None) -> None:
        async def main() -> None:
            async with (
                house(tmp_path, config={"trunks": USERS}) as home,
                home.phone(credentials=credentials) as phone,
            ):
                assert await phone.register(GATEWAY) == 401
                now = asyncio.get_running_loop().time()
                assert home.gateway.endpoint.binding("phones", "100", now) is None

        run(main())


class Scanner:
    """Somebody out there, who keeps what the gateway answers."""

    def __init__(self, network: Network, address: Address = SCANNER) -> None:
        self.answers: list[Request | Response] = []
        self.sent = self.got = 0  # bytes
        self._network, self._address = network, network.open(address, self._receive)

    def say(self, data: bytes) -> None:
        data = data.replace(b"192.0.2.9;", b"10.66.0.1;").replace(b"192.0.2.1", b"10.0.0.1")
        self.sent += len(data)
        self._network.send(data, self._address, GATEWAY)

    def _receive(self, data: bytes, source: Address) -> None:
        self.got += len(data)
        self.answers.append(parse(data))


@asynccontextmanager
async def scanned(folder: Path, trunks: dict[str, Any]) -> AsyncIterator[tuple[House, Scanner]]:
    async with house(folder, config={"trunks": trunks}) as home:
        yield home, Scanner(home.network)


PROBES = [
    request("OPTIONS"),
    request("OPTIONS", uri="sip:nm@10.0.0.1").replace(b"Alice", b"friendly-scanner"),
    request("BYE", to_tag="t1"),
    request("CANCEL"),
    request("ACK"),
    request("INVITE", to_tag="t1", body=OFFER),
    request("MESSAGE"),
    request("SUBSCRIBE"),
    request("PUBLISH"),
    request("REFER", headers=["Refer-To: <sip:premium@example.com>"]),
    request("NONSENSE"),
    request("INVITE").replace(b"CSeq: 1", b"CSeq: 99999999999"),
    request("INVITE").replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"),
    b"\0" * 100,
    b"GET / HTTP/1.1\r\n\r\n",
]


class TestScanners:
    @pytest.mark.parametrize("trunks", [ALLOW, USERS, {**ALLOW, **USERS}])
    def test_learn_nothing(self, tmp_path: Path, trunks: dict[str, Any]) -> None:
        async def main() -> None:
            async with scanned(tmp_path, trunks) as (home, scanner):
                for probe in PROBES:
                    scanner.say(probe)
                await asyncio.sleep(40)
                assert scanner.answers == []
                assert home.gateway.endpoint.idle
            assert home.written() == []

        run(main())

    def test_invite_and_register_without_users(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with scanned(tmp_path, ALLOW) as (_, scanner):
                scanner.say(request("INVITE", body=OFFER))
                scanner.say(request("REGISTER"))
                await asyncio.sleep(40)
                assert scanner.answers == []

        run(main())

    def test_a_flood(self, tmp_path: Path) -> None:
        """A thousand INVITEs in ten seconds: few answers, less than came, nobody else notices."""

        async def main() -> None:
            async with (
                scanned(tmp_path, USERS) as (home, scanner),
                home.phone(credentials=("100", "wonderland")) as phone,
            ):
                assert await dial(phone) == 200
                for number in range(1000):
                    scanner.say(request("INVITE", branch=f"z9hG4bK-{number}", call_id=f"c{number}"))
                    await asyncio.sleep(0.01)
                assert 90 <= len(scanner.answers) <= 100  # 16 at once, and 8 in a second
                assert scanner.got < scanner.sent / 5
                assert not phone.ended.is_set()
                async with phone_on(home.network, 77, credentials=("101", "other")) as another:
                    assert await dial(another) == 200
                    another.hang_up()
                phone.hang_up()
                await home.records()
                await asyncio.sleep(40)
                assert home.gateway.endpoint.idle

        run(main())
