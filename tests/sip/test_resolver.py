"""Asking DNS: a real server on loopback, with its faults; what is remembered, on virtual time."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.message
import pytest

from gateway.sip import resolver as module
from gateway.sip.address import Uri
from gateway.sip.locate import Means, Naptr, Question, Record, Srv, Target
from gateway.sip.resolver import (
    Dns,
    Hosts,
    NoSuchName,
    Reply,
    Resolver,
    Unanswered,
    ask_os,
    pick,
)
from tests import clock

from .dns_server import DnsServer, dns_server

NO_HOSTS = Path("/nonexistent/hosts")
PBX = Uri.parse("sip:pbx.example")
PORT = Uri.parse("sip:pbx.example:5070")
A = Question("pbx.example", "A")
IPV4 = Means(families=(4,))


async def settled(found: Sequence[Target] | Awaitable[Sequence[Target]]) -> list[str]:
    targets = found if isinstance(found, Sequence) else await found
    return [f"{it.transport}:{it.host}:{it.port}" for it in targets]


class TestServer:
    """dnspython against a real server."""

    @staticmethod
    def ask(
        kind: Any, name: str, prepare: Callable[[DnsServer], None], lifetime: float = 0.3
    ) -> tuple[Reply | str, DnsServer]:
        async def main() -> tuple[Reply | str, DnsServer]:
            async with dns_server() as server:
                prepare(server)
                try:
                    ask = Dns(server.resolver(lifetime / 3), lifetime)
                    return await ask(Question(name, kind)), server
                except (Unanswered, NoSuchName) as error:
                    return type(error).__name__, server

        return asyncio.run(main())

    @pytest.mark.parametrize(
        ("kind", "lines", "records"),
        [
            ("A", ["192.0.2.2", "192.0.2.1"], ["192.0.2.2", "192.0.2.1"]),
            ("AAAA", ["2001:db8::1"], ["2001:db8::1"]),
            ("SRV", ["10 20 5060 a.example."], [Srv(10, 20, 5060, "a.example")]),
            ("SRV", ["0 0 0 ."], [Srv(0, 0, 0, ".")]),
            (
                "NAPTR",
                ['50 60 "s" "SIP+D2U" "" _sip._udp.x.example.'],
                [Naptr(50, 60, "s", "SIP+D2U", "", "_sip._udp.x.example")],
            ),
        ],
    )
    def test_records(self, kind: str, lines: list[str], records: list[Record]) -> None:
        """
        In the order in which the server has them, with its TTL.
        """
        reply, _ = self.ask(
            kind, "x.example", lambda it: it.records.update({f"x.example. {kind}": lines})
        )
        assert reply == (records, 300)

    def test_alias(self) -> None:
        """
        A CNAME is followed within the answer; one that leads to itself is a failure.
        """

        def prepare(server: DnsServer) -> None:
            server.records["x.example. CNAME"] = ["y.example."]
            server.records["y.example. A"] = ["192.0.2.1"]
            server.records["z.example. CNAME"] = ["z.example."]

        assert self.ask("A", "x.example", prepare)[0] == (["192.0.2.1"], 300)
        assert self.ask("A", "z.example", prepare)[0] == "Unanswered"

    def test_no_record(self) -> None:
        """
        The name is there without such a record: none, and no failure.
        """
        reply, _ = self.ask(
            "SRV", "x.example", lambda it: it.records.update({"x.example. A": ["192.0.2.1"]})
        )
        assert isinstance(reply, Reply)
        assert reply.records == []

    def test_no_name(self) -> None:
        assert self.ask("A", "x.example", lambda it: None)[0] == "NoSuchName"

    def test_servfail(self) -> None:
        reply, _ = self.ask(
            "A", "x.example", lambda it: it.manners.update({"x.example.": it.servfail})
        )
        assert reply == "Unanswered"

    def test_hang(self) -> None:
        """
        A silent server is asked again until the time is over.
        """
        reply, server = self.ask(
            "A", "x.example", lambda it: it.manners.update({"x.example.": it.hang}), 0.25
        )
        assert reply == "Unanswered"
        assert server.asked["x.example. A"] >= 2

    def test_huge(self) -> None:
        """
        What does not fit into a datagram is fetched by TCP; 256 records of it are kept.
        """
        many = [f"192.0.{n // 250}.{n % 250}" for n in range(1000)]
        reply, server = self.ask(
            "A", "x.example", lambda it: it.records.update({"x.example. A": many}), 6.0
        )
        assert isinstance(reply, Reply)
        assert reply.records == many[:256]
        assert server.asked["x.example. A"] == 2

    @pytest.mark.parametrize("lie", ["id", "question", "garbage", "short", "query"])
    def test_lies(self, lie: str) -> None:
        """
        What does not answer the question is passed over, and the truth after it is taken.
        """

        def manner(server: DnsServer, query: dns.message.Message) -> list[bytes]:
            server.records["x.example. A"] = ["192.0.2.66"]
            false = server.answer(query, ["192.0.2.66"])
            match lie:
                case "id":
                    false.id ^= 1
                case "question":
                    other = dns.message.make_query("y.example", "A", id=query.id)
                    false = server.answer(other, ["192.0.2.66"])
                case "query":
                    false.flags = 0
            wire = {"garbage": b"\xff" * 40, "short": b"\0"}.get(lie, false.to_wire())
            return [wire, server.answer(query, ["192.0.2.1"]).to_wire()]

        reply, server = self.ask(
            "A",
            "x.example",
            lambda it: it.manners.update({"x.example.": lambda query: manner(it, query)}),
        )
        assert reply == (["192.0.2.1"], 300)
        assert server.asked["x.example. A"] == 1

    def test_only_lies(self) -> None:
        """
        Answers of another number are no answer at all.
        """

        def manner(server: DnsServer, query: dns.message.Message) -> list[bytes]:
            false = server.answer(query, ["192.0.2.66"])
            false.id ^= 1
            return [false.to_wire()] * 50

        reply, _ = self.ask(
            "A",
            "x.example",
            lambda it: it.manners.update({"x.example.": lambda query: manner(it, query)}),
        )
        assert reply == "Unanswered"

    @pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", "x." * 130 + "example"])
    def test_names_that_are_none(self, name: str) -> None:
        reply, server = self.ask("A", name, lambda it: None)
        assert reply == "Unanswered"
        assert not server.asked

    def test_whole(self) -> None:
        """
        From a URI to targets by NAPTR, SRV and addresses, then from memory, in the same turn.
        """

        async def main() -> None:
            async with dns_server() as server:
                server.records = {
                    "example.com. NAPTR": ['1 1 "s" "SIP+D2T" "" _sip._tcp.example.com.'],
                    "_sip._tcp.example.com. SRV": ["1 1 5070 a.example.", "2 1 5070 b.example."],
                    "a.example. A": ["192.0.2.1"],
                    "a.example. AAAA": ["2001:db8::1"],
                    "b.example. A": ["192.0.2.2"],
                }
                resolver = Resolver(ask=Dns(server.resolver()), hosts=NO_HOSTS)
                uri = Uri.parse("sip:alice@EXAMPLE.com")
                wanted = ["tcp:192.0.2.1:5070", "tcp:2001:db8::1:5070", "tcp:192.0.2.2:5070"]
                assert await settled(resolver.locate(uri)) == wanted
                found = resolver.locate(uri)
                assert isinstance(found, list)
                assert await settled(found) == wanted
                assert max(server.asked.values()) == 1
                await resolver.close()

        asyncio.run(main())

    def test_configuration(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The servers are those of resolv.conf as it is now; where it names none, the operating
        system is asked.
        """
        path = tmp_path / "resolv.conf"
        monkeypatch.setattr(module, "RESOLV_CONF", path)

        async def main() -> None:
            ask = Dns()
            assert (await ask(Question("127.0.0.9", "A"))).records == ["127.0.0.9"]
            async with dns_server() as server:
                server.records["x.example. A"] = ["192.0.2.1"]
                path.write_text("nameserver 127.0.0.1\n")
                monkeypatch.setattr(
                    dns.asyncresolver.Resolver,
                    "port",
                    property(lambda self: server.port, _ignore),
                    raising=False,
                )
                assert (await ask(Question("x.example", "A"))).records == ["192.0.2.1"]
                assert (await ask(Question("x.example", "A"))).records == ["192.0.2.1"]
            path.write_text("# none")
            assert (await ask(Question("127.0.0.9", "A"))).records == ["127.0.0.9"]

        asyncio.run(main())


def _ignore(self: object, value: object) -> None:
    """A port that cannot be set."""


class TestOperatingSystem:
    """Where dnspython has no servers to ask. Addresses as names need no server."""

    @staticmethod
    def ask(name: str, kind: Any) -> Reply:
        return asyncio.run(ask_os(Question(name, kind)))

    def test_addresses(self) -> None:
        assert self.ask("192.0.2.1", "A") == (["192.0.2.1"], 60.0)
        assert self.ask("2001:db8::1", "AAAA") == (["2001:db8::1"], 60.0)

    def test_other_records(self) -> None:
        """
        It has none.
        """
        assert self.ask("_sip._udp.pbx.example", "SRV").records == ()

    def test_no_name(self) -> None:
        with pytest.raises(NoSuchName):
            self.ask("x" * 64, "A")
        with pytest.raises((NoSuchName, Unanswered)):
            self.ask("no such name", "A")


class TestHosts:
    """/etc/hosts comes first."""

    @staticmethod
    def hosts(tmp_path: Path, text: str) -> Hosts:
        path = tmp_path / "hosts"
        path.write_text(text)
        return Hosts(path)

    def test_names(self, tmp_path: Path) -> None:
        hosts = self.hosts(
            tmp_path,
            "# comment\n192.0.2.1\tPBX.example  pbx # mine\n2001:db8::1 pbx\nnonsense pbx\n\n"
            "192.0.2.2 pbx.\n",
        )
        assert hosts.get(Question("pbx", "A")) == ["192.0.2.1", "192.0.2.2"]
        assert hosts.get(Question("pbx", "AAAA")) == ["2001:db8::1"]
        assert hosts.get(A) == ["192.0.2.1"]
        assert hosts.get(Question("pbx.example", "AAAA")) == []
        assert hosts.get(Question("other.example", "A")) is None

    def test_no_detours(self, tmp_path: Path) -> None:
        """
        Such a name has no NAPTR and no SRV, and nobody is asked for them.
        """
        hosts = self.hosts(tmp_path, "192.0.2.1 pbx\n")
        assert hosts.get(Question("pbx", "NAPTR")) == []
        assert hosts.get(Question("_sip._udp.pbx", "SRV")) == []
        assert hosts.get(Question("_sip._udp.pbx.example", "SRV")) is None

    def test_localhost(self) -> None:
        """
        RFC 6761 §6.3: with or without a file.
        """
        hosts = Hosts(NO_HOSTS)
        assert hosts.get(Question("localhost", "A")) == ["127.0.0.1"]
        assert hosts.get(Question("pbx.localhost", "AAAA")) == ["::1"]

    def test_change(self, tmp_path: Path) -> None:
        hosts = self.hosts(tmp_path, "192.0.2.1 pbx\n")
        assert hosts.get(Question("pbx", "A")) == ["192.0.2.1"]
        (tmp_path / "hosts").write_text("192.0.2.9 pbx\n")
        os.utime(tmp_path / "hosts", (1, 1))
        assert hosts.get(Question("pbx", "A")) == ["192.0.2.9"]
        (tmp_path / "hosts").unlink()  # somebody writes it anew
        assert hosts.get(Question("pbx", "A")) == ["192.0.2.9"]

    def test_located(self, tmp_path: Path) -> None:
        """
        In the same turn, and nobody is asked.
        """

        async def main() -> None:
            (tmp_path / "hosts").write_text("192.0.2.1 pbx\n")
            world = World()
            resolver = world.resolver(hosts=tmp_path / "hosts")
            found = resolver.locate(Uri.parse("sip:pbx"))
            assert isinstance(found, list)
            assert await settled(found) == ["udp:192.0.2.1:5060"]
            resolver.keep(Uri.parse("sip:pbx"))
            await asyncio.sleep(100)
            assert not world.asked
            await resolver.close()

        clock.run(main())


class World:
    """A DNS on virtual time: answers by question, or an exception; None hangs."""

    def __init__(self) -> None:
        self.says: dict[Question, Reply | Exception | None] = {}
        self.asked: Counter[Question] = Counter()
        self.trouble: list[tuple[str, str]] = []
        self.delay = 0.1

    async def ask(self, question: Question) -> Reply:
        self.asked[question] += 1
        await asyncio.sleep(self.delay)
        says = self.says.get(question, NoSuchName("none"))
        if says is None:
            await asyncio.sleep(1000)
        if isinstance(says, Exception):
            raise says
        assert says
        return says

    def resolver(self, hosts: Path = NO_HOSTS, means: Means = IPV4) -> Resolver:
        return Resolver(
            ask=self.ask,
            means=means,
            hosts=hosts,
            on_trouble=lambda question, reason: self.trouble.append((question.name, reason)),
        )


class TestMemory:
    """Who waits, who does not, and what is asked."""

    def test_same_turn(self) -> None:
        """
        The second one does not wait; a literal never does.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 100)
            resolver = world.resolver()
            first = resolver.locate(PORT)
            assert not isinstance(first, Sequence)
            assert await settled(first) == ["udp:192.0.2.1:5070"]
            assert isinstance(resolver.locate(PORT), Sequence)
            assert isinstance(resolver.locate(Uri.parse("sip:192.0.2.1")), Sequence)
            assert resolver.locate(Uri.parse("tel:+7495")) == []
            assert world.asked == {A: 1}

        clock.run(main())

    def test_joined(self) -> None:
        """
        Many who ask for a name at once are one question; one who goes away takes nothing along.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 100)
            resolver = world.resolver()
            waiting = [asyncio.ensure_future(_list(resolver.locate(PORT))) for _ in range(50)]
            await asyncio.sleep(0.05)
            waiting[0].cancel()
            found = await asyncio.gather(*waiting[1:])
            assert {tuple(it) for it in found} == {("udp:192.0.2.1:5070",)}
            assert world.asked == {A: 1}

        clock.run(main())

    def test_expiry(self) -> None:
        """
        A name that nobody keeps is asked again when its time is over.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 100)
            resolver = world.resolver()
            await settled(resolver.locate(PORT))
            await asyncio.sleep(101)
            world.says[A] = Reply(["192.0.2.2"], 100)
            assert await settled(resolver.locate(PORT)) == ["udp:192.0.2.2:5070"]

        clock.run(main())

    @pytest.mark.parametrize(
        "fault", [Unanswered("SERVFAIL"), NoSuchName("gone"), OSError("no network"), None]
    )
    def test_last_good(self, fault: Exception | None) -> None:
        """
        When the server fails, the last good answer is given for a day; nobody waits for more
        than 2 s, and in between nobody waits at all. It is told once.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 100)
            resolver = world.resolver()
            loop = asyncio.get_running_loop()
            await settled(resolver.locate(PORT))
            world.says[A] = fault
            for _ in range(5):
                await asyncio.sleep(3600)
                before = loop.time()
                assert await settled(resolver.locate(PORT)) == ["udp:192.0.2.1:5070"]
                assert loop.time() - before <= 2.001
                assert isinstance(resolver.locate(PORT), Sequence)
            assert len(world.trouble) == 1
            await asyncio.sleep(86_400)
            assert await settled(resolver.locate(PORT)) == []

        clock.LONGEST, longest = 200_000.0, clock.LONGEST
        try:
            clock.run(main())
        finally:
            clock.LONGEST = longest

    def test_total(self) -> None:
        """
        A server that hangs at each question is given up after 4 s, and the call has no target.
        """

        async def main() -> None:
            world = World()
            world.says = dict.fromkeys(
                [
                    Question("pbx.example", "NAPTR"),
                    *(Question(f"{it}.pbx.example", "SRV") for it in SERVICES),
                    A,
                ]
            )
            resolver = world.resolver()
            loop = asyncio.get_running_loop()
            before = loop.time()
            assert await settled(resolver.locate(PBX)) == []
            assert loop.time() - before == pytest.approx(4.0, abs=0.01)
            await resolver.close()

        clock.run(main())

    def test_naptr_alone_hangs(self) -> None:
        """
        A server that chokes on NAPTR costs 2 s once, and ends no call.
        """

        async def main() -> None:
            world = World()
            world.says = {Question("pbx.example", "NAPTR"): None, A: Reply(["192.0.2.1"], 100)}
            resolver = world.resolver()
            assert await settled(resolver.locate(PBX)) == ["udp:192.0.2.1:5060"]
            assert isinstance(resolver.locate(PBX), Sequence)
            assert world.trouble == [("pbx.example", "no answer")]

        clock.run(main())

    def test_kept(self) -> None:
        """
        A kept name is asked ahead of its end: for an hour nobody waits, and a change is followed.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 100)
            resolver = world.resolver()
            resolver.keep(PBX)
            resolver.keep(Uri.parse("sip:user@PBX.example"))  # the same place
            await asyncio.sleep(1)
            for _ in range(500):
                await asyncio.sleep(3.3)
                found = resolver.locate(PBX)
                assert isinstance(found, list)
                assert await settled(found) == ["udp:192.0.2.1:5060"]
            assert world.asked[A] == pytest.approx(1651 / 90, abs=1)
            world.says[A] = Reply(["192.0.2.2"], 100)
            await asyncio.sleep(100)
            assert await settled(resolver.locate(PBX)) == ["udp:192.0.2.2:5060"]
            await resolver.close()

        clock.run(main())

    def test_kept_by_a_server_that_fails(self) -> None:
        """
        Also while the server hangs, nobody waits; when it is back, its answer counts.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 5)
            resolver = world.resolver()
            resolver.keep(PORT)
            await asyncio.sleep(1)
            world.says[A] = None
            for _ in range(300):
                await asyncio.sleep(1.1)
                found = resolver.locate(PORT)
                assert isinstance(found, list)
                assert await settled(found) == ["udp:192.0.2.1:5070"]
            world.says[A] = Reply(["192.0.2.2"], 5)
            await asyncio.sleep(31)
            assert await settled(resolver.locate(PORT)) == ["udp:192.0.2.2:5070"]
            await resolver.close()

        clock.run(main())

    def test_kept_before_it_is_known(self) -> None:
        """
        The first call waits for the question that is under way.
        """

        async def main() -> None:
            world = World()
            world.says[A] = Reply(["192.0.2.1"], 100)
            resolver = world.resolver()
            resolver.keep(PORT)
            assert await settled(resolver.locate(PORT)) == ["udp:192.0.2.1:5070"]
            assert world.asked == {A: 1}
            await resolver.close()

        clock.run(main())

    def test_close(self) -> None:
        """
        Nothing is left behind: neither what is kept nor what is being asked.
        """

        async def main() -> None:
            world = World()
            world.says[A] = None
            resolver = world.resolver()
            resolver.keep(PORT)
            resolver.keep(Uri.parse("sip:192.0.2.1"))
            waiting = asyncio.ensure_future(_list(resolver.locate(PORT)))
            await asyncio.sleep(0.5)
            await resolver.close()
            assert await waiting == []
            assert asyncio.all_tasks() == {asyncio.current_task()}

        clock.run(main())


SERVICES = ("_sip._udp", "_sip._tcp", "_sips._tcp")


async def _list(found: Sequence[Target] | Awaitable[Sequence[Target]]) -> list[str]:
    return await settled(found)


def test_pick() -> None:
    """
    Both ends are possible.
    """
    assert {pick(3) for _ in range(200)} == {0, 1, 2, 3}
    assert pick(0) == 0
