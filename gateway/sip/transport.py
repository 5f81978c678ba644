"""SIP over UDP sockets: the shell around the endpoint (RFC 3261 §18).

One input in, every output performed, the one timer armed again: `act` does the latter two, and
every path ends in it. No rule of SIP is here. TCP and TLS have their place beside `_Socket`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from .endpoint import Address, Endpoint, Event, Flow, Output, Transmit

Binder = Callable[
    [Callable[[], asyncio.DatagramProtocol], Address], Awaitable[asyncio.DatagramTransport]
]

_MAX_ROUTES = 4096  # remembered answers of the routing table


async def bind_udp(
    protocol: Callable[[], asyncio.DatagramProtocol], address: Address
) -> asyncio.DatagramTransport:
    """Bind a real socket."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(protocol, local_addr=address)
    return transport


class _Socket(asyncio.DatagramProtocol):
    """One bound socket. What it is told goes up; it decides nothing."""

    def __init__(self, received: Callable[[bytes, Address, Address], None]) -> None:
        self.address: Address = ("", 0)
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        name = transport.get_extra_info("sockname")
        self.address = (name[0], name[1])

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._received(data, self.address, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """ICMP said no, or the datagram is too long: what is not answered is resent, then ends."""


class Transport:
    """The endpoint on its sockets. Made by `open`; everything goes in and out by `act`."""

    def __init__(
        self, endpoint: Endpoint, on_event: Callable[[Event], None], admit: Callable[[str], bool]
    ) -> None:
        self._endpoint = endpoint
        self._on_event = on_event
        self._admit = admit
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None  # when the timer goes off
        self._sockets: dict[Address, asyncio.DatagramTransport] = {}
        self._routes: dict[tuple[Address, str], Address] = {}

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        listen: Sequence[Address],
        *,
        on_event: Callable[[Event], None],
        admit: Callable[[str], bool] = lambda ip: True,
        bind: Binder = bind_udp,
    ) -> Transport:
        """Bind every address; OSError if one cannot be, and then none is.

        `admit(source_ip)` False: the datagram is counted as "not_admitted" and never parsed; only
        responses are, while a request of ours to that host is open (its Contact led us there).
        """
        transport = cls(endpoint, on_event, admit)
        try:
            for address in listen:
                made = await bind(lambda: _Socket(transport._receive), address)
                name = made.get_extra_info("sockname")
                transport._sockets[name[0], name[1]] = made
        except BaseException:
            await transport.close()
            raise
        return transport

    @property
    def addresses(self) -> list[Address]:
        """Where we listen, port 0 resolved."""
        return list(self._sockets)

    def now(self) -> float:
        """Seconds, on the clock that the endpoint lives by."""
        return self._loop.time()

    def flow(self, remote: Address) -> Flow:
        """The way to a peer that we call. OSError if no listening address is of its family."""
        fitting = [own for own in self._sockets if (":" in own[0]) == (":" in remote[0])]
        flows = [Flow("udp", self._route(own, remote[0]), remote) for own in fitting]
        if not flows:
            raise OSError(f"no way to {remote[0]}")
        if len(flows) == 1:
            return flows[0]
        return next((flow for flow in flows if _is_on_route(flow)), flows[0])

    def act(self, outputs: list[Output]) -> None:
        """Perform outputs in their order, then arm the timer."""
        for output in outputs:
            if isinstance(output, Transmit):
                self._send(output)
            else:
                self._on_event(output)
        self._arm()

    async def close(self) -> None:
        """Close sockets and timer. Calls are not ended: that is their owner's to do before."""
        if self._timer:
            self._timer.cancel()
        for made in self._sockets.values():
            made.close()
        self._sockets.clear()
        await asyncio.sleep(0)  # the loop closes sockets in its next turn

    def _receive(self, data: bytes, own: Address, remote: Address) -> None:
        if not self._admit(remote[0]) and not self._endpoint.awaits(data, remote[0]):
            self._endpoint.counts["not_admitted"] += 1
            return
        flow = Flow("udp", self._route(own, remote[0]), remote)
        self.act(self._endpoint.receive(data, flow, self.now()))

    def _send(self, output: Transmit) -> None:
        host, port = output.flow.local
        for own in ((host, port), ("0.0.0.0", port), ("::", port)):
            if made := self._sockets.get(own):
                made.sendto(output.data, output.flow.remote)
                return
        self._endpoint.counts["unsent"] += 1  # closed meanwhile

    def _arm(self) -> None:
        deadline = self._endpoint.deadline if self._sockets else None
        if deadline == self._armed:
            return
        if self._timer:
            self._timer.cancel()
        self._armed = deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = self._armed = None
        self.act(self._endpoint.handle_timer(self.now()))

    def _route(self, own: Address, remote_host: str) -> Address:
        """Our address as the peer sees it: a wildcard becomes that of the route to the peer."""
        if own[0] not in {"0.0.0.0", "::"}:
            return own
        known = self._routes.get((own, remote_host))
        if known is None:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
            known = self._routes[own, remote_host] = (_source_host(own[0], remote_host), own[1])
        return known


def _is_on_route(flow: Flow) -> bool:
    wildcard = "::" if ":" in flow.local[0] else "0.0.0.0"
    return _source_host(wildcard, flow.remote[0]) == flow.local[0]


def _source_host(wildcard: str, remote_host: str) -> str:
    """Ask the routing table which of our addresses faces a peer. Nothing is sent."""
    family = socket.AF_INET6 if wildcard == "::" else socket.AF_INET
    with suppress(OSError, ValueError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(ipaddress.ip_address(remote_host)), 9))
        host: str = probe.getsockname()[0]
        return host
    return wildcard
