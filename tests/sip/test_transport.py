"""The shell: real sockets on loopback, and the same with the network handed in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from gateway.sip.endpoint import (
    Address,
    Answered,
    Confirmed,
    Ended,
    Endpoint,
    Event,
    Flow,
    Incoming,
    Progress,
    Transmit,
)
from gateway.sip.message import Request, parse
from gateway.sip.transport import Listen, Transport, bind_udp

from .wire import ANSWER, OFFER, request, response

LOOPBACK = ("127.0.0.1", 0)


class Party:
    """An endpoint on a socket, and its events as they come."""

    def __init__(self, name: str) -> None:
        numbers = count(1)
        self.endpoint = Endpoint(token=lambda: f"{name}{next(numbers)}")
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.transport: Transport

    async def open(self, *listen: Address, admit: Callable[[str], bool] = lambda ip: True) -> None:
        self.transport = await Transport.open(
            self.endpoint,
            [Listen("udp", *address) for address in listen],
            on_event=self.events.put_nowait,
            admit=admit,
        )

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
