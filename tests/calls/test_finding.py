"""Finding whom we call: names, the next one when one is not there, and DNS that fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from gateway.call.order import read
from gateway.simulator.phone import Answering
from gateway.sip.locate import Question, Srv
from gateway.sip.resolver import NoSuchName, Reply, Unanswered
from tests.clock import run

from .house import House, Sip, house

NAME = "provider.example"
TRUNKS = {"trunks": {"pbx": {"outbound": f"sip:{NAME}", "username": "7495"}}}
GREETS = {"greeting": "Hello!"}


class Dns:
    """Two servers of one trunk; nobody is at the better one."""

    def __init__(self) -> None:
        self.fails = False
        self.first = "10.0.9.9"
        self.asked = 0

    async def __call__(self, question: Question) -> Reply:
        self.asked += 1
        await asyncio.sleep(0.05)
        if self.fails:
            raise Unanswered("SERVFAIL")
        match question:
            case Question("_sip._udp.provider.example", "SRV"):
                servers = [Srv(20, 0, 5060, "b.example"), Srv(10, 0, 5060, "a.example")]
                return Reply(servers, 60)
            case Question("a.example", "A"):
                return Reply([self.first], 60)
            case Question("b.example", "A"):
                return Reply(["10.0.1.1"], 60)
        raise NoSuchName(question.name)


async def call(home: House) -> Any:
    call_id = home.gateway.switchboard.place(read({"to": "100", "agent": "reception"}))
    await home.gateway.switchboard.settled(call_id)
    return home.gateway.switchboard.view(call_id)


def test_the_next_server_is_tried(tmp_path: Path) -> None:
    """RFC 3263 §4.3: after timer B, with a transaction of its own."""

    async def main() -> None:
        async with (
            house(tmp_path, config=TRUNKS, agent=GREETS, ask=Dns()) as home,
            home.phone() as phone,
        ):
            phone.answering = Answering()
            sip = Sip(home.network)
            assert (await call(home))["state"] == "answered"
            phone.hang_up()
            invites = sip.requests("INVITE")
            branches = list(dict.fromkeys(it.headers.via.branch for it in invites))
            assert len(branches) == 2
            assert len({it.headers.call_id for it in invites}) == 1
            assert {it.uri for it in invites} == {f"sip:100@{NAME}"}

    run(main())


def test_dns_that_fails_stops_no_call(tmp_path: Path) -> None:
    """A trunk that was found once is called without a wait, for a day; it is told once."""

    async def main() -> None:
        dns = Dns()
        dns.first = "10.0.1.1"
        with capture_logs() as logs:
            async with (
                house(tmp_path, config=TRUNKS, agent=GREETS, ask=dns) as home,
                home.phone() as phone,
            ):
                phone.answering = Answering()
                await asyncio.sleep(5)
                dns.fails = True
                for _ in range(5):
                    await asyncio.sleep(300)
                    before = asyncio.get_running_loop().time()
                    assert (await call(home))["state"] == "answered"
                    assert asyncio.get_running_loop().time() - before < 0.5
                    phone.hang_up()
                    await home.gateway.written()
        told = [it["name"] for it in logs if it["event"] == "dns_failed"]
        assert len(told) == len(set(told)) > 0
        [line] = [it for it in logs if it["event"] == "trunk_addresses"]
        assert (line["peer"], line["signalling"]) == ("10.0.1.1", "10.0.0.1")

    run(main())


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    """The call ends at once, and says why."""

    async def main() -> None:
        config = {"trunks": {"pbx": {"outbound": "sip:nobody.example", "username": "7495"}}}
        async with house(tmp_path, config=config, agent=GREETS, ask=Dns()) as home:
            before = asyncio.get_running_loop().time()
            seen = await call(home)
            assert asyncio.get_running_loop().time() - before < 3
            assert (seen["state"], seen["cause"]) == ("ended", "unreachable")

    run(main())
