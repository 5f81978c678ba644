"""TCP and TLS connections: on virtual time in memory, and on real sockets where these matter."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.sip import connection
from gateway.sip.connection import Connection, Connections
from gateway.sip.event import Address, Flow
from gateway.sip.grammar import SipError
from gateway.sip.sockets import Network, Sockets
from gateway.sip.stream import PING, PONG
from gateway.sip.tls import TlsSettings
from tests.clock import Network as Memory
from tests.clock import run, timers

from .wire import request

FILES = Path(__file__).parent / "certificates"
CA, PROXY = FILES / "ca.pem", FILES / "proxy.pem"
ADDRESS = TlsSettings(FILES / "address.crt", FILES / "address.key", CA)
NAMED = TlsSettings(PROXY, PROXY, CA)
VERIFYING = replace(ADDRESS, verify_peer=True)
HERE, THERE = ("10.0.0.1", 5060), ("10.0.0.2", 5060)
OPTIONS = request("OPTIONS")


class Side:
    """Connections of one party, and what they have told."""

    def __init__(self, network: Network, tls: TlsSettings = ADDRESS) -> None:
        self.received: list[bytes | SipError] = []
        self.flows: list[Flow] = []  # by which something came
        self.failed: list[Flow] = []
        self.used: set[Flow] = set()
        self.strangers: set[str] = set()
        self.known: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.heard = asyncio.Event()
        self.all = Connections(
            receive=self._receive,
            failed=self._fail,
            uses=self.used.__contains__,
            admits=lambda host: host not in self.strangers,
            knows=self.known.__contains__,
            counts=self.counts,
            tls=tls,
            network=network,
        )

    def _receive(self, message: bytes | SipError, by: Connection) -> None:
        self.received.append(message)
        self.flows.append(by.flow)
        self.heard.set()

    def _fail(self, flow: Flow) -> None:
        self.failed.append(flow)
        self.heard.set()

    async def hear(self) -> None:
        """Wait for the next message or failure."""
        self.heard.clear()
        await asyncio.wait_for(self.heard.wait(), 10)


class Peer(asyncio.Protocol):
    """The other end of a connection, with hands of its own."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False
        self.transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True


def on_virtual_time(test: Callable[[Memory, Side], Coroutine[Any, Any, None]]) -> None:
    """Run a test in memory; nothing may be left behind."""

    async def main() -> None:
        network = Memory()
        side = Side(network)
        await test(network, side)
        await side.all.close()
        assert len(side.all) == 0
        assert len(asyncio.all_tasks()) == 1
        assert [it for it in timers() if it.startswith("gateway")] == []

    run(main())


async def connected(network: Memory, address: Address = HERE, host: str = "10.0.0.2") -> Peer:
    peer = Peer()
    await network.connect(lambda: peer, address, (host, 0))
    return peer


class TestMessages:
    def test_came_in(self) -> None:
        """What comes by a connection has its flow, and what goes by that flow takes it."""

        async def test(network: Memory, side: Side) -> None:
            assert await side.all.listen("tcp", HERE) == HERE
            peer = await connected(network)
            own = peer.transport.get_extra_info("sockname")
            peer.transport.write(OPTIONS[:50])
            await asyncio.sleep(1)
            peer.transport.write(OPTIONS[50:] + OPTIONS)
            await asyncio.sleep(1)
            assert side.received == [OPTIONS] * 2
            assert side.flows == [Flow("tcp", HERE, own)] * 2

            side.all.send(b"answer", side.flows[0], None)
            await asyncio.sleep(1)
            assert peer.data == b"answer"
            assert len(side.all) == 1

        on_virtual_time(test)

    def test_dialled(self) -> None:
        """What is not there is made, once for all that waits; the peer's messages come by it."""

        async def test(network: Memory, side: Side) -> None:
            peer = Peer()
            await network.listen(lambda: peer, THERE)
            flow = Flow("tcp", HERE, THERE)
            side.all.send(b"one ", flow, None)
            side.all.send(b"two ", flow, None)
            await asyncio.sleep(1)
            side.all.send(b"three", flow, None)
            peer.transport.write(OPTIONS)
            await asyncio.sleep(1)
            assert peer.data == b"one two three"
            assert peer.transport.get_extra_info("peername")[0] == HERE[0]
            assert (side.received, side.flows) == ([OPTIONS], [flow])
            assert len(side.all) == 1

        on_virtual_time(test)

    def test_any_address_of_ours(self) -> None:
        """No route known: the system chooses the address to call from."""

        async def test(network: Memory, side: Side) -> None:
            peer = Peer()
            await network.listen(lambda: peer, THERE)
            side.all.send(b"x", Flow("tcp", ("0.0.0.0", 5060), THERE), None)
            await asyncio.sleep(1)
            assert peer.data == b"x"

        on_virtual_time(test)

    def test_ping(self) -> None:
        """A ping is answered (RFC 5626 §4.4.1)."""

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(PING)
            await asyncio.sleep(1)
            assert peer.data == PONG
            assert side.received == []

        on_virtual_time(test)

    def test_broken(self) -> None:
        """The end of a stream goes up like a message, and can be answered; then it is closed."""

        async def test(network: Memory, side: Side) -> None:
            def answer(message: bytes | SipError, by: Connection) -> None:
                side._receive(message, by)
                side.all.send(b"400", by.flow, None)

            side.all.receive = answer
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(OPTIONS.replace(b"Content-Length: 0", b"Content-Length: -1"))
            await asyncio.sleep(1)
            assert [str(it) for it in side.received] == ["Bad Content-Length"]
            assert (peer.data, peer.closed) == (b"400", True)
            assert side.failed == side.flows

        on_virtual_time(test)

    def test_closed_by_the_first_message(self) -> None:
        """What follows a message that ended the connection is nobody's."""

        async def test(network: Memory, side: Side) -> None:
            def end(message: bytes | SipError, by: Connection) -> None:
                side._receive(message, by)
                by.abort()

            side.all.receive = end
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(OPTIONS * 3)
            peer.transport.write(OPTIONS)
            await asyncio.sleep(1)
            assert side.received == [OPTIONS]

        on_virtual_time(test)


class TestEnds:
    def test_gone(self) -> None:
        """
        A connection that came in and is gone is not dialled: nobody listens there. A response
        goes to where its Via says instead, by a connection of its own (§18.2.2).
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(OPTIONS)
            await asyncio.sleep(1)
            (flow,) = side.flows
            peer.transport.close()
            await asyncio.sleep(1)
            assert side.failed == [flow]
            assert len(side.all) == 0

            side.all.send(b"request", flow, None)
            await asyncio.sleep(1)
            assert side.failed == [flow, flow]
            assert side.counts["unsent"] == 1

            listening = Peer()
            await network.listen(lambda: listening, THERE)
            side.all.send(b"response", flow, Flow("tcp", HERE, THERE))
            await asyncio.sleep(1)
            assert listening.data == b"response"

        on_virtual_time(test)

    def test_called_from_where_it_listens(self) -> None:
        """
        The peer's source may be where it listens, too: then a target of ours is dialled though a
        connection from there is gone.
        """

        async def test(network: Memory, side: Side) -> None:
            flow = Flow("tcp", HERE, THERE)
            side.all._gone[flow] = None
            peer = Peer()
            await network.listen(lambda: peer, THERE)
            side.all.expect(flow)
            side.all.send(b"x", flow, None)
            await asyncio.sleep(1)
            assert peer.data == b"x"

        on_virtual_time(test)

    def test_the_same_flow_again(self) -> None:
        """
        A peer that has forgotten its connection calls again from the same port: the new one counts.
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            first = await connected(network)
            network._next = first.transport.get_extra_info("sockname")[1]
            second = await connected(network)
            second.transport.write(OPTIONS)
            await asyncio.sleep(1)
            side.all.send(b"x", side.flows[0], None)
            await asyncio.sleep(1)
            assert (first.data, first.closed, second.data) == (b"", True, b"x")

        on_virtual_time(test)

    def test_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Of flows that are gone, and hosts that were told of, a bounded number is remembered.
        """
        monkeypatch.setattr(connection, "MAX_REMEMBERED", 3)

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            for _ in range(10):
                peer = await connected(network)
                peer.transport.close()
                await asyncio.sleep(1)
            for host in range(10):
                side.all.send(b"x", Flow("tcp", HERE, (f"10.0.1.{host}", 5060)), None)
                await asyncio.sleep(1)
            assert len(side.all._gone) == 3
            assert len(side.all._told) <= 3

        on_virtual_time(test)

    def test_refused(self) -> None:
        """
        Nobody listens there: the flow has failed, which is told to the log once a minute.
        """

        async def test(network: Memory, side: Side) -> None:
            flow = Flow("tcp", HERE, THERE)
            with capture_logs() as logs:
                for seconds in (1, 1, 60):
                    side.all.send(b"x", flow, None)
                    await asyncio.sleep(seconds)
                side.all.send(b"x", flow, None)
                await asyncio.sleep(1)
            assert side.failed == [flow] * 4
            assert (
                logs
                == [
                    {
                        "event": "sip_connection_failed",
                        "log_level": "warning",
                        "transport": "tcp",
                        "peer": "10.0.0.2:5060",
                        "dialled": True,
                        "reason": "[Errno 111] nobody listens at ('10.0.0.2', 5060)",
                    }
                ]
                * 2
            )
            assert side.counts["connection_failed"] == 4

        on_virtual_time(test)

    def test_refused_two(self) -> None:
        """
        Several trunks may be at one host: each name's failure is told.
        """

        async def test(network: Memory, side: Side) -> None:
            with capture_logs() as logs:
                for name in ("a.example", "b.example", "a.example"):
                    side.all.send(b"x", Flow("tcp", HERE, THERE, name), None)
                    await asyncio.sleep(1)
                side.all.send(b"x", Flow("tls", HERE, THERE, "a.example"), None)
                await asyncio.sleep(1)
            assert [it["transport"] for it in logs] == ["tcp", "tcp", "tls"]

        on_virtual_time(test)

    def test_no_answer(self) -> None:
        """
        A host that does not answer is given up after 5 s.
        """

        async def test(network: Memory, side: Side) -> None:
            network.silent.add(THERE[0])
            flow = Flow("tcp", HERE, THERE)
            with capture_logs() as logs:
                side.all.send(b"x", flow, None)
                await asyncio.sleep(4.9)
                assert side.failed == []
                await asyncio.sleep(0.2)
            assert side.failed == [flow]
            assert [line["reason"] for line in logs] == ["no answer in time"]

        on_virtual_time(test)

    def test_closed_while_dialling(self) -> None:
        """
        close() gives up what is not connected yet; nothing is told to anybody then, nor dialled.
        """

        async def test(network: Memory, side: Side) -> None:
            network.silent.add(THERE[0])
            flow = Flow("tcp", HERE, THERE)
            side.all.send(b"x", flow, None)
            await side.all.close()
            side.all.send(b"x", flow, None)
            await asyncio.sleep(1)
            assert side.failed == []
            assert side.counts["unsent"] == 1

        on_virtual_time(test)

    def test_not_read(self) -> None:
        """
        A peer that does not read loses the connection with 256 KiB on their way.
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(OPTIONS)
            await asyncio.sleep(1)
            peer.transport.pause_reading()
            for _ in range(6):
                side.all.send(b"x" * 60_000, side.flows[0], None)
                await asyncio.sleep(1)
            assert side.failed == side.flows
            assert side.counts["not_read"] == 1

        on_virtual_time(test)

    def test_too_much_while_dialling(self) -> None:
        """
        What waits for a connection is bounded in the same way.
        """

        async def test(network: Memory, side: Side) -> None:
            network.silent.add(THERE[0])
            flow = Flow("tcp", HERE, THERE)
            for _ in range(5):
                side.all.send(b"x" * 60_000, flow, None)
            await asyncio.sleep(0.1)
            assert side.failed == [flow]
            assert len(side.all) == 0

        on_virtual_time(test)


class TestTime:
    def test_partial(self) -> None:
        """
        A message that does not end closes its connection after 5 s, byte by byte or not.
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            slow, silent = await connected(network), await connected(network)
            for at in range(8):
                slow.transport.write(OPTIONS[at : at + 1])
                await asyncio.sleep(1)
            assert (slow.closed, silent.closed) == (True, False)
            assert side.counts["connection_stuck"] == 1

        on_virtual_time(test)

    def test_unused(self) -> None:
        """
        One that is silent for 120 s is closed, unless it is somebody's way to a call.
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tcp", HERE)
            silent, talking, needed = [await connected(network) for _ in range(3)]
            needed.transport.write(OPTIONS)
            await asyncio.sleep(1)
            side.used.update(side.flows)
            for _ in range(20):
                await asyncio.sleep(10)
                talking.transport.write(PING)
            assert (silent.closed, talking.closed, needed.closed) == (True, False, False)
            side.used.clear()
            await asyncio.sleep(121)
            assert (talking.closed, needed.closed) == (True, True)

        on_virtual_time(test)

    def test_dialled(self) -> None:
        """
        One that we made is asked each 30 s; unused, it is closed after 120 s.
        """

        async def test(network: Memory, side: Side) -> None:
            peer = Peer()
            await network.listen(lambda: peer, THERE)
            flow = Flow("tcp", HERE, THERE)
            side.all.send(b"x", flow, None)
            await asyncio.sleep(119)
            assert peer.data == b"x" + 3 * PING
            assert not peer.closed
            await asyncio.sleep(2)
            assert peer.closed
            assert side.failed == [flow]

        on_virtual_time(test)

    def test_dead(self) -> None:
        """
        A peer that has answered pings, and answers no more, is gone after 10 s.
        """

        async def test(network: Memory, side: Side) -> None:
            peer = Peer()
            await network.listen(lambda: peer, THERE)
            flow = Flow("tcp", HERE, THERE)
            side.used.add(flow)
            side.all.send(b"x", flow, None)
            await asyncio.sleep(30.5)
            peer.transport.write(PONG)
            await asyncio.sleep(38)
            assert side.failed == []
            await asyncio.sleep(2)
            assert side.failed == [flow]
            assert side.counts["connection_dead"] == 1

        on_virtual_time(test)


class TestLimits:
    def test_not_admitted(self) -> None:
        """
        Who may not call is closed without a byte.
        """

        async def test(network: Memory, side: Side) -> None:
            side.strangers.add("10.0.0.66")
            await side.all.listen("tcp", HERE)
            peer = await connected(network, host="10.0.0.66")
            peer.transport.write(OPTIONS)
            await asyncio.sleep(1)
            assert (peer.data, peer.closed, side.received) == (b"", True, [])
            assert side.counts == {"not_admitted": 1}
            assert len(side.all) == 0
            assert side.failed == []

        on_virtual_time(test)

    def test_of_one_host(self) -> None:
        """
        20 from one host, more from one that is known; when some are closed there is room again.
        """

        async def test(network: Memory, side: Side) -> None:
            side.known.add("10.0.0.3")
            await side.all.listen("tcp", HERE)
            peers = [await connected(network) for _ in range(25)]
            known = [await connected(network, host="10.0.0.3") for _ in range(25)]
            await asyncio.sleep(1)
            assert [peer.closed for peer in peers] == [False] * 20 + [True] * 5
            assert not any(peer.closed for peer in known)
            assert side.counts == {"connection_refused": 5}
            for peer in peers[:20]:
                peer.transport.close()
            await asyncio.sleep(1)
            assert not side.all._from["10.0.0.2"]
            again = await connected(network)
            await asyncio.sleep(1)
            assert not again.closed

        on_virtual_time(test)

    def test_in_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Strangers get half of all; when there is none left nothing is accepted, nor dialled.
        """
        monkeypatch.setattr(connection, "MAX_CONNECTIONS", 8)

        async def test(network: Memory, side: Side) -> None:
            side.known.add("10.0.0.3")
            await side.all.listen("tcp", HERE)
            await network.listen(Peer, THERE)
            for number in range(6):
                await connected(network, host=f"10.0.1.{number}")
            assert len(side.all) == 4
            for _ in range(6):
                await connected(network, host="10.0.0.3")
            assert len(side.all) == 8
            flow = Flow("tcp", HERE, THERE)
            side.all.send(b"x", flow, None)
            await asyncio.sleep(1)
            assert side.failed == [flow]

        on_virtual_time(test)


def aliased(transport: str, sent_by: str) -> bytes:
    """A request of one who lets us use his connection."""
    via = f"SIP/2.0/{transport} {sent_by};rport;alias;branch=z9hG4bK-1"
    own = b"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1;rport"
    return OPTIONS.replace(own, via.encode())


class TestAlias:
    """RFC 5923: by the connection of a peer goes what is for the port that it listens on."""

    @pytest.mark.parametrize("known", [True, False])
    def test_tcp(self, known: bool) -> None:
        """Of a host that is known by its address; anybody else is dialled."""

        async def test(network: Memory, side: Side) -> None:
            side.known.update({"10.0.0.2"} if known else set())
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(aliased("TCP", "10.0.0.2:5060"))
            await asyncio.sleep(1)
            side.all.send(OPTIONS, Flow("tcp", HERE, THERE), None)
            await asyncio.sleep(1)
            assert (peer.data == OPTIONS) is known
            assert (side.failed == []) is known

            peer.transport.abort()
            await asyncio.sleep(1)
            assert Flow("tcp", HERE, THERE) in side.failed
            assert len(side.all) == 0

        on_virtual_time(test)

    def test_one_port_and_no_more(self) -> None:
        """A peer cannot fill our table with ports that are not its own."""

        async def test(network: Memory, side: Side) -> None:
            side.known.add("10.0.0.2")
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            for port in range(5060, 5070):
                peer.transport.write(aliased("TCP", f"10.0.0.2:{port}"))
            await asyncio.sleep(1)
            assert len(side.received) == 10
            for port in (5060, 5061):
                side.all.send(OPTIONS, Flow("tcp", HERE, ("10.0.0.2", port)), None)
            await asyncio.sleep(1)
            assert peer.data == OPTIONS
            assert [flow.remote[1] for flow in side.failed] == [5061]

        on_virtual_time(test)

    def test_a_connection_from_that_very_port(self) -> None:
        """It takes the place of the alias; the older one stays, and ends without harm to it."""

        async def test(network: Memory, side: Side) -> None:
            side.known.add("10.0.0.2")
            await side.all.listen("tcp", HERE)
            older, newer = await connected(network), Peer()
            older.transport.write(aliased("TCP", "10.0.0.2:5060"))
            await asyncio.sleep(1)
            await network.connect(lambda: newer, HERE, THERE)
            await asyncio.sleep(1)
            assert len(side.all) == 2
            older.transport.abort()
            await asyncio.sleep(1)
            side.all.send(OPTIONS, Flow("tcp", HERE, THERE), None)
            await asyncio.sleep(1)
            assert newer.data == OPTIONS

        on_virtual_time(test)

    def test_kept_while_the_alias_is_used(self) -> None:
        async def test(network: Memory, side: Side) -> None:
            side.known.add("10.0.0.2")
            side.used.add(Flow("tcp", HERE, THERE))
            await side.all.listen("tcp", HERE)
            peer = await connected(network)
            peer.transport.write(aliased("TCP", "10.0.0.2"))
            await asyncio.sleep(1000)
            assert len(side.all) == 1

        on_virtual_time(test)

    @pytest.mark.parametrize(
        ("certificate", "sent_by", "reused"),
        [
            (NAMED, "proxy.example", True),
            (NAMED, "other.example", False),
            (ADDRESS, "127.0.0.1:5061", True),
            (ADDRESS, "192.0.2.7:5061", False),
        ],
    )
    def test_tls(self, certificate: TlsSettings, sent_by: str, reused: bool) -> None:
        """Of a name that its certificate proves (§9.1)."""

        async def main() -> None:
            network = Memory()
            one, other = Side(network, certificate), Side(network, VERIFYING)
            await other.all.listen("tls", ("127.0.0.1", 5061))
            way = Flow("tls", ("127.0.0.1", 5070), ("127.0.0.1", 5061), "127.0.0.1")
            one.all.send(aliased("TLS", sent_by), way, None)
            await asyncio.sleep(10)
            assert len(other.received) == 1
            name = sent_by.partition(":")[0]
            back = Flow("tls", ("127.0.0.1", 5061), ("127.0.0.1", 5061), name)
            other.all.send(OPTIONS, back, None)
            await asyncio.sleep(10)
            assert (one.received == [OPTIONS]) is reused
            await one.all.close()
            await other.all.close()

        run(main())


class TestTls:
    """Over TLS; the network is in memory, the handshakes are real."""

    def call(
        self,
        caller: TlsSettings,
        called: TlsSettings,
        name: str,
        host: str = "127.0.0.1",
    ) -> tuple[Side, list[Any]]:
        """One side sends by TLS, the other answers; what the caller has heard, and the log."""
        sides = []
        logs: list[Any] = []

        async def main() -> None:
            network = Memory()
            one, other = Side(network, caller), Side(network, called)
            sides.append(one)
            other.all.receive = lambda message, by: other.all.send(OPTIONS, by.flow, None)
            await other.all.listen("tls", (host, 5061))
            one.all.send(OPTIONS, Flow("tls", HERE, (host, 5061), name), None)
            with capture_logs() as told:
                await asyncio.sleep(10)
            logs.extend(told)
            await one.all.close()
            await other.all.close()
            assert (len(one.all), len(other.all)) == (0, 0)

        run(main())
        return sides[0], logs

    @pytest.mark.parametrize(
        ("called", "name"),
        [(NAMED, "proxy.example"), (ADDRESS, ""), (ADDRESS, "127.0.0.1")],
    )
    def test_right(self, called: TlsSettings, name: str) -> None:
        """
        The certificate shows the name of the URI, or the address (RFC 5922 §7.2).
        """
        side, logs = self.call(TlsSettings(ca=CA), called, name)
        assert side.received == [OPTIONS]
        assert logs == []

    @pytest.mark.parametrize(
        ("caller", "called", "name", "reason"),
        [
            (TlsSettings(ca=CA), NAMED, "other.example", "Hostname mismatch"),
            (TlsSettings(ca=CA), NAMED, "", "IP address mismatch"),
            (TlsSettings(), NAMED, "proxy.example", "unable to get local issuer certificate"),
            (TlsSettings(ca=CA), NAMED, ".", "UnicodeError"),
        ],
    )
    def test_wrong(self, caller: TlsSettings, called: TlsSettings, name: str, reason: str) -> None:
        """
        Another name, an authority that we do not trust, a name that is none: no message leaves.
        """
        side, logs = self.call(caller, called, name)
        assert side.received == []
        assert [flow.remote for flow in side.failed] == [("127.0.0.1", 5061)]
        assert any(reason in line["reason"] for line in logs if line["dialled"])

    def test_client_certificate(self) -> None:
        """
        `verify_peer`: with our certificate we are let in, without one we are not.
        """
        asking = TlsSettings(PROXY, PROXY, CA, verify_peer=True)
        side, _ = self.call(ADDRESS, asking, "proxy.example")
        assert side.received == [OPTIONS]
        side, _ = self.call(TlsSettings(ca=CA), asking, "proxy.example")
        assert side.received == []
        assert side.failed

    def test_another_name(self) -> None:
        """
        A connection that was checked for one name is not used for another at the same address, and
        one that came in is used for none (RFC 5923 §9.1).
        """

        async def test(network: Memory, side: Side) -> None:
            other = Side(network, NAMED)
            await other.all.listen("tls", THERE)
            for name in ("proxy.example", "proxy.example", "other.example"):
                side.all.send(OPTIONS, Flow("tls", HERE, THERE, name), None)
                await asyncio.sleep(1)
            assert other.received == [OPTIONS] * 2
            assert [flow.name for flow in side.failed] == ["other.example"]
            await other.all.close()

        on_virtual_time(test)

    def test_silence(self) -> None:
        """
        Who connects and does not begin the handshake, or does not go on, is closed after 5 s; one
        line in the log for all of them.
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tls", HERE)
            peers = [await connected(network) for _ in range(10)]
            peers[0].transport.write(b"\x16\x03\x01")
            with capture_logs() as logs:
                await asyncio.sleep(4.9)
                assert not any(peer.closed for peer in peers)
                await asyncio.sleep(0.2)
            assert all(peer.closed for peer in peers)
            assert len(logs) == 1
            assert logs[0]["reason"].startswith("SSL handshake is taking longer than 5.0 seconds")

        on_virtual_time(test)

    def test_no_tls(self) -> None:
        """
        SIP in the clear, or bytes of any other kind, on the TLS port: closed.
        """

        async def test(network: Memory, side: Side) -> None:
            await side.all.listen("tls", HERE)
            for data in (OPTIONS, b"\0" * 100, b"\x16\x03\x01\x00\x05abcde"):
                peer = await connected(network)
                peer.transport.write(data)
                await asyncio.sleep(1)
                assert peer.closed
            peer = await connected(network)
            peer.transport.close()
            await asyncio.sleep(1)
            assert side.received == []
            assert len(side.all) == 0

        on_virtual_time(test)

    def test_silent_server(self) -> None:
        """
        A server that accepts and does not shake hands is given up, and so is one that closes.
        """

        async def test(network: Memory, side: Side) -> None:
            peers: list[Peer] = []

            def accept() -> Peer:
                peers.append(Peer())
                return peers[-1]

            await network.listen(accept, THERE)
            flow = Flow("tls", HERE, THERE)
            side.all.send(b"x", flow, None)
            await asyncio.sleep(6)
            assert side.failed == [flow]
            side.all.send(b"x", flow, None)
            await asyncio.sleep(1)
            peers[-1].transport.close()
            await asyncio.sleep(1)
            assert side.failed == [flow] * 2

        on_virtual_time(test)


def on_sockets(test: Callable[[Side], Awaitable[None]]) -> None:
    async def main() -> None:
        side = Side(Sockets())
        await asyncio.wait_for(test(side), 20)
        await side.all.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestSockets:
    @pytest.mark.parametrize("transport", ["tcp", "tls"])
    def test_both_ends(self, transport: str) -> None:
        """
        Dialled by one, answered by the other, over one connection.
        """

        async def test(side: Side) -> None:
            other = Side(Sockets())
            address = await other.all.listen(transport, ("127.0.0.1", 0))
            flow = Flow(transport, ("127.0.0.1", 5060), address)
            side.all.send(OPTIONS, flow, None)
            await other.hear()
            other.all.send(OPTIONS, other.flows[0], None)
            await side.hear()
            assert side.flows == [flow]
            assert other.flows[0].local == address
            await other.all.close()

        on_sockets(test)

    def test_ipv6(self) -> None:
        async def test(side: Side) -> None:
            other = Side(Sockets())
            try:
                address = await other.all.listen("tcp", ("::1", 0))
            except OSError:
                pytest.skip("no IPv6 here")
            side.all.send(OPTIONS, Flow("tcp", ("::1", 5060), address), None)
            await other.hear()
            assert other.flows[0].remote[0] == "::1"
            await other.all.close()

        on_sockets(test)

    def test_taken(self) -> None:
        async def test(side: Side) -> None:
            address = await side.all.listen("tcp", ("127.0.0.1", 0))
            with pytest.raises(OSError, match="in use"):
                await Side(Sockets()).all.listen("tcp", address)

        on_sockets(test)

    def test_refused(self) -> None:
        async def test(side: Side) -> None:
            with socket.socket() as bound:
                bound.bind(("127.0.0.1", 0))
                flow = Flow("tcp", ("127.0.0.1", 5060), bound.getsockname())
                side.all.send(OPTIONS, flow, None)
                await side.hear()
            assert side.failed == [flow]

        on_sockets(test)

    def test_a_peer_that_does_not_read(self) -> None:
        """
        The connection is closed, with all that waited for it, and its memory is given back.
        """

        async def test(side: Side) -> None:
            address = await side.all.listen("tcp", ("127.0.0.1", 0))
            with socket.create_connection(address) as peer:
                peer.sendall(OPTIONS)
                await side.hear()
                while not side.failed:
                    side.all.send(b"x" * 60_000, side.flows[0], None)
                    await asyncio.sleep(0)
            assert side.counts["not_read"] == 1

        on_sockets(test)

    def test_close_with_a_peer_that_does_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        What is still to be sent has a second when we leave, and no more.
        """
        monkeypatch.setattr(connection, "CLOSE_WITHIN", 0.1)
        monkeypatch.setattr(connection, "MAX_WAITING", 10_000_000)

        async def test(side: Side) -> None:
            address = await side.all.listen("tcp", ("127.0.0.1", 0))
            with socket.create_connection(address) as peer:
                peer.sendall(OPTIONS)
                await side.hear()
                side.all.send(b"x" * 9_000_000, side.flows[0], None)
                await side.all.close()

        on_sockets(test)

    @pytest.mark.parametrize("transport", ["tcp", "tls"])
    def test_abrupt(self, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        200 connections that end by a reset at some stage: nothing is left of them, no descriptor,
        no task, no connection.
        """
        monkeypatch.setattr(connection, "MAX_OF_STRANGER", 100)
        context = ssl.create_default_context(cafile=str(CA))

        async def test(side: Side) -> None:
            address = await side.all.listen(transport, ("127.0.0.1", 0))
            before = descriptors()
            loop = asyncio.get_running_loop()

            async def visit(stage: int) -> None:
                peer = socket.socket()
                peer.setblocking(False)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await loop.sock_connect(peer, address)
                if stage == 1:
                    await loop.sock_sendall(peer, OPTIONS[:100])
                elif stage == 2:
                    await loop.sock_sendall(peer, OPTIONS)
                elif stage == 3 and transport == "tls":
                    made, _ = await loop.create_connection(
                        asyncio.Protocol, sock=peer, ssl=context, server_hostname="127.0.0.1"
                    )
                    made.write(OPTIONS)
                    made.abort()
                    await asyncio.sleep(0.01)
                    return
                peer.close()  # with a reset

            for number in range(200):
                await visit(number % 4)
            for _ in range(200):
                if not len(side.all):
                    break
                await asyncio.sleep(0.01)
            assert len(side.all) == 0
            assert not side.all._from
            gc.collect()
            assert descriptors() <= before
            assert len(asyncio.all_tasks()) <= 2  # this one, and who waits for it

        on_sockets(test)

    def test_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        200 peers that send a byte now and then: all are closed when their time is over, while
        another is served.
        """
        monkeypatch.setattr(connection, "MAX_OF_STRANGER", 300)
        monkeypatch.setattr("gateway.sip.stream.PARTIAL", 0.5)

        async def test(side: Side) -> None:
            address = await side.all.listen("tcp", ("127.0.0.1", 0))
            before = descriptors()
            peers = [await asyncio.open_connection(*address) for _ in range(200)]
            for at in range(3):
                for _, writer in peers:
                    writer.write(OPTIONS[at : at + 1])
                await asyncio.sleep(0.05)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(OPTIONS + PING)
            assert await reader.readexactly(2) == PONG
            assert side.received == [OPTIONS]
            assert [await it.read() for it, _ in peers] == [b""] * 200
            assert side.counts["connection_stuck"] == 200
            assert len(side.all) == 1
            for _, it in [*peers, (reader, writer)]:
                it.close()
                await it.wait_closed()
            await asyncio.sleep(0.05)
            gc.collect()
            assert descriptors() <= before

        on_sockets(test)
