"""The shell: real sockets on loopback, and the same with the network handed in."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.sip.address import Uri
from gateway.sip.datagram import bind_udp
from gateway.sip.endpoint import (
    Address,
    Answered,
    Confirmed,
    Ended,
    Endpoint,
    Event,
    Flow,
    Incoming,
    Output,
    Progress,
    Transmit,
)
from gateway.sip.locate import Target
from gateway.sip.message import Request, parse
from gateway.sip.tls import TlsSettings
from gateway.sip.transport import Listen, Transport
from tests import clock
from tests.clock import Network

from .wire import ANSWER, OFFER, request, response

LOOPBACK = ("127.0.0.1", 0)
FILES = Path(__file__).parent / "certificates"


class Party:
    """An endpoint on a socket, and its events as they come."""

    def __init__(self, name: str) -> None:
        numbers = count(1)
        self.endpoint = Endpoint(token=lambda: f"{name}{next(numbers)}")
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.transport: Transport

    async def open(self, *listen: Address, **options: Any) -> None:
        await self.listen(*(Listen("udp", *address) for address in listen), **options)

    async def listen(self, *listen: Listen, **options: Any) -> None:
        self.transport = await Transport.open(
            self.endpoint, listen, on_event=self.events.put_nowait, **options
        )

    def do(self, act: Callable[[float], list[Output]]) -> None:
        """A command of the endpoint's, now."""
        self.transport.act(act(self.transport.now()))

    async def next(self) -> Event:
        return await asyncio.wait_for(self.events.get(), 5)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        await asyncio.wait_for(test(), 10)

    asyncio.run(within_time())


def test_a_call() -> None:
    """
    Two transports, a call, BYE; every datagram really travels.
    """

    async def main() -> None:
        caller, callee = Party("a"), Party("b")
        await caller.open(LOOPBACK)
        await callee.open(LOOPBACK)
        (remote,) = callee.transport.addresses
        assert remote[1] > 0
        flow = caller.transport.flow(remote)
        assert flow.local == caller.transport.addresses[0]

        call, outputs = caller.endpoint.invite(
            "sip:bob@127.0.0.1", flow, OFFER, caller.transport.now(), from_uri="sip:a@127.0.0.1"
        )
        caller.transport.act(outputs)
        incoming = await callee.next()
        assert isinstance(incoming, Incoming)
        assert incoming.flow == Flow("udp", remote, flow.local)
        now = callee.transport.now()
        callee.transport.act(callee.endpoint.ring(incoming.call, now))
        assert await caller.next() == Progress(call, 180, b"", incoming.call)
        callee.transport.act(callee.endpoint.answer(incoming.call, ANSWER, now))
        assert await caller.next() == Answered(call, ANSWER, incoming.call)
        assert await callee.next() == Confirmed(incoming.call, b"")
        caller.transport.act(caller.endpoint.bye(call, caller.transport.now()))
        assert await callee.next() == Ended(incoming.call, "peer", "hang_up", 200, None)
        assert await caller.next() == Ended(call, "us", "hang_up", 200, None)
        await caller.transport.close()
        await callee.transport.close()

    run(main)


def dead() -> Address:
    """Where nobody listens for datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(LOOPBACK)
        address: Address = probe.getsockname()
        return address


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whose datagram it was")
class TestNobodyListens:
    def test_a_call_ends(self) -> None:
        """
        §18.4: what ICMP says ends it at once, and not timer B after 32 s.
        """

        async def main() -> None:
            party = Party("a")
            await party.open(("0.0.0.0", 0))
            flow = party.transport.flow(dead())
            call, outputs = party.endpoint.invite(
                "sip:bob@127.0.0.1", flow, OFFER, party.transport.now(), from_uri="sip:a@x"
            )
            party.transport.act(outputs)
            ended = await party.next()
            assert isinstance(ended, Ended)
            assert (ended.call, ended.cause) == (call, "unreachable")
            await party.transport.close()

        run(main)

    def test_the_next_way_is_tried(self) -> None:
        """
        RFC 3263 §4.3, without the seconds that silence is waited for.
        """

        async def main() -> None:
            caller, callee = Party("a"), Party("b")
            await callee.open(LOOPBACK)
            addresses = [dead(), *callee.transport.addresses]
            targets = [Target("udp", *address, "pbx.example") for address in addresses]
            await caller.open(LOOPBACK, locate=lambda uri: targets)
            _, outputs = caller.endpoint.invite(
                "sip:bob@pbx.example", None, OFFER, caller.transport.now(), from_uri="sip:a@x"
            )
            begin = caller.transport.now()
            caller.transport.act(outputs)
            assert isinstance(await callee.next(), Incoming)
            assert caller.transport.now() - begin < 1.0
            await caller.transport.close()
            await callee.transport.close()

        run(main)


def test_copies_by_the_timer() -> None:
    """
    The one timer is armed by the endpoint's deadline: an INVITE that nobody answers comes again
    after T1.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        party = Party("a")
        await party.open(LOOPBACK)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(LOOPBACK)
            silent.setblocking(False)
            flow = party.transport.flow(silent.getsockname())
            _, outputs = party.endpoint.invite(
                "sip:bob@127.0.0.1", flow, OFFER, party.transport.now(), from_uri="sip:a@x"
            )
            begin = loop.time()
            party.transport.act(outputs)
            first = await loop.sock_recv(silent, 65536)
            assert await loop.sock_recv(silent, 65536) == first
            assert loop.time() - begin >= 0.49
        await party.transport.close()

    run(main)


def test_who_is_admitted() -> None:
    """
    Others are counted, and not even read.
    """

    async def main() -> None:
        party = Party("a")
        asked: list[str] = []

        def admit(ip: str) -> bool:
            asked.append(ip)
            return len(asked) > 1

        await party.open(LOOPBACK, admit=admit)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.connect(party.transport.addresses[0])
            for number in range(2):
                options = request("OPTIONS", branch=f"z9hG4bK{number}", call_id=f"c{number}")
                await loop.sock_sendall(peer, options)
            answer = await loop.sock_recv(peer, 65536)
        assert answer.startswith(b"SIP/2.0 200 OK\r\n")
        assert b"\r\nCall-ID: c1\r\n" in answer
        assert asked == ["127.0.0.1"] * 2
        assert party.endpoint.counts == {"not_admitted": 1}
        await party.transport.close()

    run(main)


def test_whom_we_asked() -> None:
    """
    A host that may not call, but that a Contact has led our BYE to: its response is heard, its
    requests are not; and no response before we asked, nor after all is answered.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(LOOPBACK, admit=lambda ip: ip == "127.0.0.1")
        (address,) = party.transport.addresses
        loop = asyncio.get_running_loop()
        counts = party.endpoint.counts
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            for made, host in ((peer, "127.0.0.1"), (other, "127.0.0.2")):
                made.bind((host, 0))
                made.setblocking(False)
            port = other.getsockname()[1]
            contact = f"Contact: <sip:alice@127.0.0.2:{port}>"
            peer.sendto(request("INVITE", headers=[contact], body=OFFER), address)
            incoming = await party.next()
            assert isinstance(incoming, Incoming)
            other.sendto(b"SIP/2.0 200 OK\r\n\r\n", address)
            now = party.transport.now()
            party.transport.act(party.endpoint.answer(incoming.call, ANSWER, now))
            peer.sendto(request("ACK", branch="z9hG4bK-a", to_tag=incoming.call), address)
            assert await party.next() == Confirmed(incoming.call, b"")
            assert counts == {"not_admitted": 1}

            party.transport.act(party.endpoint.bye(incoming.call, now))
            bye = parse(await loop.sock_recv(other, 65536))
            assert isinstance(bye, Request)
            assert bye.method == "BYE"
            other.sendto(request("OPTIONS", branch="z9hG4bK-o", call_id="o"), address)
            other.sendto(response(bye, "200 OK"), address)
            peer.sendto(request("OPTIONS", branch="z9hG4bK-p", call_id="after"), address)
            while b"\r\nCall-ID: after\r\n" not in await loop.sock_recv(peer, 65536):
                pass
            assert not party.endpoint.unanswered
            assert counts == {"not_admitted": 2}
            with pytest.raises(BlockingIOError):
                other.recv(65536)
        await party.transport.close()

    run(main)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 65_507, b"\0", request("INVITE")[:100], request("INVITE", body=b"\xff" * 60_000)],
)
def test_bad_input(data: bytes) -> None:
    """
    After any datagram, 65 kB too, the next one is served.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(LOOPBACK)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.connect(party.transport.addresses[0])
            await loop.sock_sendall(peer, data)
            await loop.sock_sendall(
                peer, request("OPTIONS", branch="z9hG4bK-after", call_id="after")
            )
            while b"\r\nCall-ID: after\r\n" not in await loop.sock_recv(peer, 65536):
                pass
        await party.transport.close()

    run(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_wildcards(host: str) -> None:
    """
    Listening at all addresses of either family, at one port: each message leaves by its own.
    """

    async def main() -> None:
        party, peer = Party("a"), Party("b")
        await party.open(("0.0.0.0", 0))
        (_, port) = party.transport.addresses[0]
        await party.transport.close()
        await party.open(("0.0.0.0", port), ("::", port))
        await peer.open((host, 0))
        flow = peer.transport.flow((host, port))
        _, outputs = peer.endpoint.invite(
            "sip:bob@x", flow, OFFER, peer.transport.now(), from_uri="sip:a@x"
        )
        peer.transport.act(outputs)
        incoming = await party.next()
        assert isinstance(incoming, Incoming)
        party.do(lambda now: party.endpoint.refuse(incoming.call, 486, now))
        ended = await peer.next()
        assert isinstance(ended, Ended)
        assert ended.status == 486
        await party.transport.close()
        await peer.transport.close()

    run(main)


def test_wildcard() -> None:
    """
    A socket bound to every address shows each peer the one that faces it, and remembers it.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(("0.0.0.0", 0))
        ((_, port),) = party.transport.addresses
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.connect(("127.0.0.1", port))
            for number in range(2):
                invite = request("INVITE", branch=f"z9hG4bK{number}", call_id=f"c{number}")
                await loop.sock_sendall(peer, invite)
                await loop.sock_recv(peer, 65536)
                incoming = await party.next()
                assert isinstance(incoming, Incoming)
                assert incoming.flow.local == ("127.0.0.1", port)
        await party.transport.close()

    run(main)


def test_the_way_out() -> None:
    """
    Of several addresses the one on the route to the peer is taken; no address, no way.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(("127.0.0.2", 0), LOOPBACK)
        other, loopback = party.transport.addresses

        assert party.transport.flow(("127.0.0.1", 5060)).local == loopback
        assert party.transport.flow(("not an address", 5060)).local == other
        with pytest.raises(OSError, match="no way to ::1"):
            party.transport.flow(("::1", 5060))
        await party.transport.close()

    run(main)


def test_ipv6() -> None:
    """
    The same over IPv6, where there is one.
    """

    async def main() -> None:
        party = Party("a")
        try:
            await party.open(("::", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        flow = party.transport.flow(("::1", 5060))
        assert flow.local == ("::1", party.transport.addresses[0][1])
        await party.transport.close()

    run(main)


def test_many_peers() -> None:
    """
    What the routing table said is remembered for a bounded number of peers.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(("0.0.0.0", 0))
        for number in range(5000):
            party.transport.flow((f"127.0.{number // 250}.{number % 250 + 1}", 5060))
        assert len(party.transport._routes) <= 4096
        await party.transport.close()

    run(main)


def test_all_or_none() -> None:
    """
    When one address cannot be bound no socket stays open.
    """

    async def main() -> None:
        first = await bind_udp(asyncio.DatagramProtocol, LOOPBACK)
        taken = first.get_extra_info("sockname")
        with pytest.raises(OSError, match="in use"):
            await Party("a").open(LOOPBACK, taken)
        first.close()
        await asyncio.sleep(0)

    run(main)


def test_closed() -> None:
    """
    After close nothing is sent and no timer is left; what would have been is counted.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(LOOPBACK)
        flow = party.transport.flow(("127.0.0.1", 9))
        _, outputs = party.endpoint.invite(
            "sip:bob@127.0.0.1", flow, OFFER, party.transport.now(), from_uri="sip:a@x"
        )
        party.transport.act([])
        await party.transport.close()
        party.transport.act(outputs)

        assert party.endpoint.counts == {"unsent": 1}
        assert party.endpoint.deadline is not None
        await party.transport.close()

    run(main)


def test_what_cannot_be_sent() -> None:
    """
    A datagram that the system refuses is lost like any other: no exception.
    """

    async def main() -> None:
        party = Party("a")
        await party.open(LOOPBACK)
        flow = party.transport.flow(("127.0.0.1", 9))
        party.transport.act([Transmit(b"x" * 70_000, flow), Transmit(b"x", flow)])
        await asyncio.sleep(0)
        await party.transport.close()

    run(main)


async def udp_answers(party: Party, *datagrams: bytes) -> list[bytes]:
    """What comes back for these, up to the answer to an OPTIONS at their end."""
    loop = asyncio.get_running_loop()
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(LOOPBACK)
        peer.setblocking(False)
        last = request("OPTIONS", branch="z9hG4bK-last", call_id="last")
        for data in (*datagrams, last):
            peer.sendto(data, party.transport.addresses[0])
        while b"\r\nCall-ID: last\r\n" not in (answer := await loop.sock_recv(peer, 65536)):
            answers.append(answer)
    return answers


class TestKeepAlive:
    def test_answered(self) -> None:
        """
        CR LF CR LF is answered by CR LF, a STUN request by our view of the peer (RFC 5626 §4.4);
        a lone CR LF and what is no STUN request by nothing.
        """

        async def main() -> None:
            party = Party("a")
            await party.open(LOOPBACK)
            stun = b"\0\1\0\0\x21\x12\xa4\x42" + b"t" * 12
            pong, response = await udp_answers(party, b"\r\n\r\n", b"\r\n", stun, stun[:19])
            assert pong == b"\r\n"
            assert response[:4] == b"\1\1\0\x0c"
            assert party.endpoint.counts == {"keepalive": 3, "parse_error": 1}
            await party.transport.close()

        run(main)

    def test_of_strangers(self) -> None:
        """
        Who may not call is answered nothing at all.
        """

        async def main() -> None:
            party = Party("a")
            seen = []

            def admit(ip: str) -> bool:
                seen.append(ip)
                return len(seen) > 2

            await party.open(LOOPBACK, admit=admit)
            stun = b"\0\1\0\0\x21\x12\xa4\x42" + b"t" * 12
            assert await udp_answers(party, b"\r\n\r\n", stun) == []
            assert party.endpoint.counts == {"not_admitted": 2}
            await party.transport.close()

        run(main)

    def test_kept(self) -> None:
        """
        A way that is kept is refreshed each 25 s, until everybody who kept it has released it.
        """

        async def main() -> None:
            network = Network()
            party = Party("a")
            await party.open(("10.0.0.1", 5060), bind=network.bind)
            heard: list[bytes] = []
            network.open(("10.0.0.2", 5060), lambda data, source: heard.append(data))
            flow = party.transport.flow(("10.0.0.2", 5060))
            party.transport.keep(flow)
            party.transport.keep(flow)
            await asyncio.sleep(51)
            party.transport.release(flow)
            await asyncio.sleep(25)
            assert heard == [b"\r\n\r\n"] * 3
            party.transport.release(flow)
            await asyncio.sleep(60)
            party.transport.keep(flow)
            await party.transport.close()
            await asyncio.sleep(60)
            assert heard == [b"\r\n\r\n"] * 3

        clock.run(main())


def tls(certificate: str = "address.crt", ca: str = "ca.pem") -> TlsSettings:
    return TlsSettings(FILES / certificate, FILES / "address.key", FILES / ca)


class TestStreams:
    @pytest.mark.parametrize("transport", ["tcp", "tls"])
    def test_a_call(self, transport: str) -> None:
        """
        A call over one connection, on real sockets: its requests go both ways, and each side says
        in Via and Contact what it is reached by.
        """

        async def main() -> None:
            caller, callee = Party("a"), Party("b")
            await caller.listen(Listen(transport, *LOOPBACK), tls=tls())
            await callee.listen(Listen(transport, *LOOPBACK), tls=tls())
            (at,) = callee.transport.listening
            target = f"sip:bob@127.0.0.1:{at.port};transport={transport}"
            call, outputs = caller.endpoint.invite(
                target, None, OFFER, caller.transport.now(), from_uri="sip:a@127.0.0.1"
            )
            caller.transport.act(outputs)
            incoming = await callee.next()
            assert isinstance(incoming, Incoming)
            (own,) = caller.transport.listening
            assert incoming.flow.transport == transport
            assert incoming.flow.local == at[1:]
            assert incoming.flow.remote != own[1:]
            headers = incoming.request.headers
            assert str(headers.via).startswith(f"SIP/2.0/{transport.upper()} 127.0.0.1:{own.port};")
            assert headers.get("Contact") == f"<sip:127.0.0.1:{own.port};transport={transport}>"

            callee.do(lambda now: callee.endpoint.answer(incoming.call, ANSWER, now))
            assert isinstance(await caller.next(), Answered)
            assert await callee.next() == Confirmed(incoming.call, b"")
            callee.do(lambda now: callee.endpoint.bye(incoming.call, now))
            assert await caller.next() == Ended(call, "peer", "hang_up", 200, None)
            assert await callee.next() == Ended(incoming.call, "us", "hang_up", 200, None)
            assert (caller.transport.connections, callee.transport.connections) == (1, 1)
            await caller.transport.close()
            await callee.transport.close()
            assert (caller.transport.connections, callee.transport.connections) == (0, 0)

        run(main)

    def test_nobody_there(self) -> None:
        """
        A refused connection ends a call at once.
        """

        async def main() -> None:
            party = Party("a")
            await party.listen(Listen("tcp", *LOOPBACK))
            with socket.socket() as bound:
                bound.bind(LOOPBACK)
                target = f"sip:bob@127.0.0.1:{bound.getsockname()[1]};transport=tcp"
                call, outputs = party.endpoint.invite(
                    target, None, OFFER, party.transport.now(), from_uri="sip:a@127.0.0.1"
                )
                party.transport.act(outputs)
                ended = await party.next()
            assert isinstance(ended, Ended)
            assert (ended.call, ended.cause) == (call, "unreachable")
            await party.transport.close()

        run(main)

    def test_too_long_for_udp(self) -> None:
        """
        A long request is tried by TCP; where nobody listens for that it goes by UDP (§18.1.1).
        """

        async def main() -> None:
            caller, callee = Party("a"), Party("b")
            await caller.open(LOOPBACK)
            await callee.open(LOOPBACK)
            call, outputs = caller.endpoint.invite(
                "sip:bob@127.0.0.1",
                caller.transport.flow(callee.transport.addresses[0]),
                OFFER,
                caller.transport.now(),
                from_uri="sip:a@127.0.0.1",
                headers=[("X-Long", "x" * 2000)],
            )
            caller.transport.act(outputs)
            incoming = await callee.next()
            assert isinstance(incoming, Incoming)
            assert incoming.flow.transport == "udp"
            caller.do(lambda now: caller.endpoint.bye(call, now))
            await caller.transport.close()
            await callee.transport.close()

        run(main)

    def test_broken(self) -> None:
        """
        A request without Content-Length is answered 400, and the connection is closed (§18.3).
        """

        async def main() -> None:
            party = Party("a")
            await party.listen(Listen("tcp", *LOOPBACK))
            reader, writer = await asyncio.open_connection(*party.transport.listening[0][1:])
            writer.write(request("OPTIONS").replace(b"Content-Length: 0", b"X: y"))
            answer = await reader.read()
            assert answer.startswith(b"SIP/2.0 400 No Content-Length\r\n")
            writer.close()
            await writer.wait_closed()
            await party.transport.close()

        run(main)

    def test_whom_we_asked(self) -> None:
        """
        Over streams, too: a host that may not call is heard where it answers us, and where we have
        dialled it; else its connections are closed at once.
        """

        async def main() -> None:
            network = Network()
            party = Party("a")
            await party.listen(
                Listen("tcp", "10.0.0.1", 5060), admit=lambda ip: False, network=network
            )
            peer, later = Ear(), Ear()
            await network.listen(lambda: peer, ("10.0.0.2", 5060))
            await network.connect(lambda: later, ("10.0.0.1", 5060), ("10.0.0.2", 0))
            await asyncio.sleep(1)
            assert later.closed
            _, outputs = party.endpoint.invite(
                "sip:b@10.0.0.2;transport=tcp", None, OFFER, 0.0, from_uri="sip:a@b"
            )
            party.transport.act(outputs)
            await asyncio.sleep(1)
            invite = parse(peer.data)
            assert isinstance(invite, Request)
            peer.transport.write(response(invite, "180 Ringing") + request("OPTIONS"))
            await asyncio.sleep(1)
            assert isinstance(await party.next(), Progress)
            assert b"SIP/2.0 200 OK" in peer.data

            later = Ear()
            await network.connect(lambda: later, ("10.0.0.1", 5060), ("10.0.0.2", 0))
            later.transport.write(request("OPTIONS") + response(invite, "200 OK", body=ANSWER))
            await asyncio.sleep(1)
            assert isinstance(await party.next(), Answered)
            assert later.data == b""
            assert party.endpoint.counts["not_admitted"] == 2
            await party.transport.close()

        clock.run(main())

    def test_in_a_call(self) -> None:
        """
        The connection of a call is kept open, however long nothing is said; that of another is not.
        """

        async def main() -> None:
            network = Network()
            party = Party("a")
            await party.listen(Listen("tcp", "10.0.0.1", 5060), network=network)
            calling, other = Ear(), Ear()
            for peer in (calling, other):
                await network.connect(lambda peer=peer: peer, ("10.0.0.1", 5060), ("10.0.0.2", 0))  # type: ignore[misc]
            other.transport.write(request("OPTIONS"))
            calling.transport.write(request("INVITE", body=OFFER))
            incoming = await party.next()
            assert isinstance(incoming, Incoming)
            party.do(lambda now: party.endpoint.answer(incoming.call, ANSWER, now))
            await asyncio.sleep(1)
            calling.transport.write(request("ACK", branch="z9hG4bK-a", to_tag=incoming.call))
            await asyncio.sleep(1000)
            assert (calling.closed, other.closed) == (False, True)
            party.do(lambda now: party.endpoint.bye(incoming.call, now))
            await asyncio.sleep(1)
            assert b"\r\nCSeq: 1 BYE\r\n" in calling.data
            await party.transport.close()

        clock.run(main())

    def test_kept(self) -> None:
        """
        So is a way that somebody keeps, for calls that are to come by it.
        """

        async def main() -> None:
            network = Network()
            party = Party("a")
            await party.listen(Listen("tcp", "10.0.0.1", 5060), network=network)
            peer = Ear()
            await network.listen(lambda: peer, ("10.0.0.2", 5060))
            flow = party.transport.flow(("10.0.0.2", 5060), "tcp")
            party.transport.act([Transmit(b"x", flow)])
            party.transport.keep(flow)
            await asyncio.sleep(500)
            assert not peer.closed
            party.transport.release(flow)
            await asyncio.sleep(150)
            assert peer.closed
            await party.transport.close()

        clock.run(main())

    def test_without_a_listener(self) -> None:
        """
        A stream can be dialled where we listen for datagrams only, and leaves from where Contact
        says; not the other way round.
        """

        async def main() -> None:
            party = Party("a")
            await party.open(LOOPBACK)
            flow = party.transport.flow(("127.0.0.1", 9), "tls", "x")
            assert flow == Flow("tls", (LOOPBACK[0], flow.local[1]), ("127.0.0.1", 9))
            assert flow.local not in party.transport.addresses  # no TLS is spoken there
            assert party.transport.flow(("127.0.0.1", 9), "tcp").local == flow.local
            await party.transport.close()
            await party.listen(Listen("tcp", *LOOPBACK))
            with pytest.raises(OSError, match=r"no way to 127\.0\.0\.1"):
                party.transport.flow(("127.0.0.1", 9))
            await party.transport.close()

        run(main)

    def test_files(self) -> None:
        """
        A file that cannot be used is known at the start, though nobody listens for TLS.
        """

        async def main() -> None:
            with pytest.raises(OSError, match=r"nothing\.pem"):
                await Party("a").listen(Listen("udp", *LOOPBACK), tls=tls(ca="nothing.pem"))
            with pytest.raises(OSError, match=r"nothing\.pem"):
                await Party("a").open(LOOPBACK, tls=tls("nothing.pem"))

        run(main)


class Ear(asyncio.Protocol):
    """A peer that only listens."""

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


class TestLocate:
    """Where a hop is, is asked of whoever was handed in."""

    TARGETS = (
        Target("udp", "::1", 5060, "b.example"),  # of a family that is not listened on
        Target("tcp", "10.0.0.2", 5060, "b.example"),
    )

    def call(self, locate: Any) -> bytes:
        """What reaches the peer within 10 s."""
        heard = b""

        async def main() -> None:
            nonlocal heard
            network, party, peer = Network(), Party("a"), Ear()
            listen = Listen("tcp", "10.0.0.1", 5060)
            await party.listen(listen, network=network, locate=locate)
            await network.listen(lambda: peer, ("10.0.0.2", 5060))
            _, outputs = party.endpoint.invite(
                "sip:b@b.example", None, OFFER, party.transport.now(), from_uri="sip:a@b"
            )
            party.transport.act(outputs)
            await asyncio.sleep(10)
            heard = peer.data
            await party.transport.close()
            assert len(asyncio.all_tasks()) == 1

        clock.run(main())
        return heard

    def test_at_hand(self) -> None:
        """
        An answer that is at hand is used in the same turn; what we cannot reach is left out.
        """
        assert self.call(lambda uri: self.TARGETS).startswith(b"INVITE sip:b@b.example SIP/2.0")

    def test_later(self) -> None:
        """
        One that comes later is used when it comes.
        """

        async def locate(uri: Uri) -> Sequence[Target]:
            await asyncio.sleep(3)
            return self.TARGETS

        assert self.call(locate).startswith(b"INVITE sip:b@b.example SIP/2.0")

    def test_never(self) -> None:
        """
        One that does not come is given up when we close.
        """

        async def locate(uri: Uri) -> Sequence[Target]:
            await asyncio.sleep(1000)
            return self.TARGETS

        assert self.call(locate) == b""


def test_names() -> None:
    """
    A listener as the configuration writes it.
    """
    assert str(Listen("udp", "0.0.0.0", 5060)) == "udp:0.0.0.0:5060"
    assert str(Listen("tls", "::", 5061)) == "tls:[::]:5061"
