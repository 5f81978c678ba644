"""One bound UDP socket ●, and whose datagram goes nowhere (RFC 3261 §18.4). Shell.

The system may refuse to send: no route, a firewall. Where nobody listens, ICMP says so ("port
unreachable"). asyncio hands on that something was said, not whose datagram it was about; Linux
tells that by the error queue of a socket, which is read here. Elsewhere, what is not answered ends
by its timer. Left out on purpose: what routers say of hosts and networks, which may be back before
the next copy of a request leaves.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Final, cast

from .event import Address
from .grammar import hostport

Binder = Callable[
    [Callable[[], asyncio.DatagramProtocol], Address], Awaitable[asyncio.DatagramTransport]
]

# of Linux; the socket module does not name them
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_QUEUE: Final = getattr(socket, "MSG_ERRQUEUE", None)
_OTHERS: Final = {errno.ECONNREFUSED, errno.ENOBUFS, errno.ENOMEM}  # not this datagram's fault
_ANCILLARY: Final = 512  # bytes; an error has 44 at most


async def bind_udp(
    protocol: Callable[[], asyncio.DatagramProtocol], address: Address
) -> asyncio.DatagramTransport:
    """Bind a real socket; that of `::` is for IPv6 alone, as it is of streams. OSError."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(protocol, sock=made)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"udp:{hostport(*address)}: {error.strerror}") from None
    except BaseException:
        made.close()
        raise
    return transport


class Datagrams(asyncio.DatagramProtocol):
    """What a socket is told goes up; it decides nothing.

    `received(data, own, remote)` takes a datagram, `refused(own, remote)` hears where one cannot be
    sent, or nobody listens.
    """

    def __init__(
        self,
        received: Callable[[bytes, Address, Address], None],
        refused: Callable[[Address, Address], None],
    ) -> None:
        self.address: Address = ("", 0)
        self._received = received
        self._refused = refused
        self._transport: asyncio.DatagramTransport
        self._errors: socket.socket | None = None
        self._sending: Address | None = None

    def send(self, data: bytes, remote: Address) -> None:
        """Send a datagram."""
        self._hear()  # an error that waits would be raised in place of the sending
        self._sending = remote
        self._transport.sendto(data, remote)
        self._sending = None

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        name = transport.get_extra_info("sockname")
        self.address = (name[0], name[1])
        made = transport.get_extra_info("socket")
        if made is not None and _QUEUE is not None:
            self._errors = _error_queue(made.dup())

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._received(data, self.address, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """It is said in the midst of sending, or later of whatever was sent."""
        if self._sending and isinstance(exc, OSError) and exc.errno not in _OTHERS:
            self._refused(self.address, self._sending)
        self._hear()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._errors:
            self._errors.close()
            self._errors = None

    def _hear(self) -> None:
        """Empty the queue: while anything is in it, the loop is woken."""
        if self._errors:
            for remote in _refusals(self._errors):
                self._refused(self.address, remote)


def _error_queue(made: socket.socket) -> socket.socket:
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    return made


def _refusals(errors: socket.socket) -> Iterator[Address]:
    """Where datagrams were sent that nobody wanted."""
    with suppress(OSError):  # as soon as it is empty
        while True:
            _, details, _, remote = errors.recvmsg(0, _ANCILLARY, _QUEUE or 0)
            for _, kind, data in details:
                number = int.from_bytes(data[:4], sys.byteorder)  # of struct sock_extended_err
                if kind in {_IP_RECVERR, _IPV6_RECVERR} and number == errno.ECONNREFUSED:
                    yield remote[0], remote[1]
