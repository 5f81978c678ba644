from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.sip.event import Address
from gateway.sip.sockets import Sockets

HOST = "127.0.0.1"


class Peer(asyncio.Protocol):
    """Takes connections; knows where they came from."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Address] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.heard.put_nowait(transport.get_extra_info("peername"))


@asynccontextmanager
async def listening(network: Sockets) -> AsyncIterator[tuple[Peer, Address]]:
    peer = Peer()
    address, end = await network.listen(lambda: peer, (HOST, 0))
    yield peer, address
    end()


async def hang_up(made: object) -> None:
    assert isinstance(made, tuple)
    made[0].abort()
    await asyncio.sleep(0)


def test_from_any_port() -> None:
    async def main() -> None:
        network = Sockets()
        async with listening(network) as (peer, address):
            for own in (None, (HOST, 0)):
                made = await network.connect(asyncio.Protocol, address, own)
                assert (await peer.heard.get())[0] == HOST
                await hang_up(made)

    asyncio.run(main())


def test_several_from_one_port() -> None:
    """Each to another peer, at the same time."""

    async def main() -> None:
        network = Sockets()
        port, give_back = network.reserve(HOST)
        async with listening(network) as (one, here), listening(network) as (other, there):
            made = [
                await network.connect(asyncio.Protocol, here, (HOST, port)),
                await network.connect(asyncio.Protocol, there, (HOST, port)),
            ]
            assert await one.heard.get() == await other.heard.get() == (HOST, port)
            for it in made:
                await hang_up(it)
        give_back()

    asyncio.run(main())


def test_port_is_taken() -> None:
    """There is a connection from it to that peer already: another port is better than none."""

    async def main() -> None:
        network = Sockets()
        port, give_back = network.reserve(HOST)
        async with listening(network) as (peer, address):
            first = await network.connect(asyncio.Protocol, address, (HOST, port))
            second = await network.connect(asyncio.Protocol, address, (HOST, port))
            assert await peer.heard.get() == (HOST, port)
            assert (await peer.heard.get())[1] != port
            await hang_up(first)
            await hang_up(second)
        give_back()

    asyncio.run(main())


def test_nobody_there() -> None:
    async def main() -> None:
        network = Sockets()
        port, give_back = network.reserve(HOST)
        with socket.socket() as deaf:
            deaf.bind((HOST, 0))
            with pytest.raises(ConnectionRefusedError):
                await network.connect(asyncio.Protocol, deaf.getsockname(), (HOST, port))
        give_back()

    asyncio.run(main())


def test_no_such_address() -> None:
    """192.0.2.1 is nobody's (RFC 5737)."""
    with pytest.raises(OSError, match="assign"):
        Sockets().reserve("192.0.2.1")
