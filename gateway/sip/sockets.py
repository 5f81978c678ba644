"""The network of streams ●: where connections are taken, and where ours come from. Shell."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final, Protocol

from .event import Address

BACKLOG: Final = 1024  # connections that wait to be accepted

Maker = Callable[[], asyncio.Protocol]


class Network(Protocol):
    """Where streams come from: sockets, or in tests a network in memory."""

    async def listen(self, make: Maker, address: Address) -> tuple[Address, Callable[[], None]]:
        """Take connections at `address`: returns it with its port, and what ends it. OSError."""

    def reserve(self, host: str) -> tuple[int, Callable[[], None]]:
        """A port that connections may leave from: returns it, and what gives it back. OSError."""

    async def connect(self, make: Maker, remote: Address, own: Address | None) -> object:
        """Connect, from this address of ours if one is given; port 0: from any. OSError."""


class Sockets:
    """The real network. Where no descriptor is left, asyncio accepts again a second later."""

    async def listen(self, make: Maker, address: Address) -> tuple[Address, Callable[[], None]]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(make, *address, backlog=BACKLOG)
        name = server.sockets[0].getsockname()
        return (name[0], name[1]), server.close

    def reserve(self, host: str) -> tuple[int, Callable[[], None]]:
        made = _bound((host, 0))
        return made.getsockname()[1], made.close

    async def connect(self, make: Maker, remote: Address, own: Address | None) -> object:
        loop = asyncio.get_running_loop()
        if own and own[1]:
            try:
                return await loop.create_connection(make, sock=await _connected(own, remote))
            except OSError as error:
                # taken by a connection to the same peer that is not quite forgotten: TIME_WAIT
                if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
                    raise
        return await loop.create_connection(make, *remote, local_addr=own and (own[0], 0))


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        # several connections leave from the port, each to another peer
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


async def _connected(own: Address, remote: Address) -> socket.socket:
    made = _bound(own)
    try:
        await asyncio.get_running_loop().sock_connect(made, remote)
    except BaseException:
        made.close()
        raise
    return made
