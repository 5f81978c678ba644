"""The endpoint on the network ●: UDP, TCP and TLS at once (RFC 3261 §18). Shell.

One input in, every output performed, the one timer armed again: `act` does the latter two, and
every path ends in it. No rule of SIP is here, but two that need no transaction: keep-alives of
RFC 5626 are answered, and sent where somebody wants a way to be kept. Streams have their file,
connection.py, and so have datagrams, datagram.py.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from .address import Uri
from .connection import Connection, Connections
from .datagram import Binder, Datagrams, bind_udp
from .endpoint import Address, Endpoint, Event, Flow, Locate, Output, Transmit
from .grammar import SipError, hostport
from .locate import Target, literal
from .sockets import Network, Sockets
from .stream import PING, PONG
from .stun import answer
from .tls import TlsSettings

Locator = Callable[[Uri], Awaitable[Sequence[Target]] | Sequence[Target]]

KEEP_EACH = 25.0  # s between datagrams that keep a NAT open; most forget a way after 30

_MAX_ROUTES = 4096  # remembered answers of the routing table

log = structlog.get_logger()


class Listen(NamedTuple):
    """Where messages come in."""

    transport: str  # "udp", "tcp", "tls"
    host: str  # an IP address; 0.0.0.0 and :: are all of one family
    port: int  # 0: any free one

    def __str__(self) -> str:
        return f"{self.transport}:{hostport(self.host, self.port)}"


class Transport:
    """The endpoint on its sockets. Made by `open`; everything goes in and out by `act`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        on_event: Callable[[Event], None],
        admit: Callable[[str], bool],
        knows: Callable[[str], bool],
        locate: Locator,
        tls: TlsSettings,
        network: Network,
    ) -> None:
        self._endpoint = endpoint
        self._on_event = on_event
        self._admit = admit
        self._locator = locate
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None  # when the timer goes off
        self._listening: list[Listen] = []
        self._sockets: dict[Address, Datagrams] = {}
        self._routes: dict[tuple[Address, str], Address] = {}
        self._locating: set[asyncio.Task[None]] = set()
        self._kept: Counter[Flow] = Counter()
        self._keepers: dict[Flow, asyncio.TimerHandle] = {}
        self._connections = Connections(
            receive=self._receive_from_stream,
            failed=self._fail,
            uses=lambda flow: flow in self._kept or endpoint.uses(flow),
            admits=lambda host: admit(host) or endpoint.awaits(b"SIP/2.0 ", host),
            knows=knows,
            counts=endpoint.counts,
            tls=tls,
            network=network,
        )

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        listen: Sequence[Listen],
        *,
        on_event: Callable[[Event], None],
        admit: Callable[[str], bool] = lambda ip: True,
        knows: Callable[[str], bool] = lambda ip: False,
        locate: Locator = literal,
        tls: TlsSettings | None = None,
        bind: Binder = bind_udp,
        network: Network | None = None,
    ) -> Transport:
        """Listen at every address; OSError if one cannot be had, and then there is none.

        `admit(source_ip)` False: the datagram is counted as "not_admitted" and never parsed, a
        connection is closed at once; only responses are heard, while a request of ours to that host
        is open (its Contact led us there). On a connection that we dialled everything is heard.
        `knows(source_ip)`: its address is proof enough, so it may have many connections. `tls`
        names files; OSError says which of them cannot be used.
        """
        transport = cls(
            endpoint,
            on_event=on_event,
            admit=admit,
            knows=knows,
            locate=locate,
            tls=tls or TlsSettings(),
            network=network or Sockets(),
        )
        try:
            if tls:
                _ = tls.client  # its files are to be seen now, and not by the first call
            for wanted in listen:
                await transport._listen(wanted, bind)
        except BaseException:
            await transport.close()
            raise
        return transport

    async def _listen(self, wanted: Listen, bind: Binder) -> None:
        address = (wanted.host, wanted.port)
        if wanted.transport == "udp":
            made = Datagrams(self._receive, self._refuse)
            await bind(lambda: made, address)
            address = made.address
            self._sockets[address] = made
        else:
            address = await self._connections.listen(wanted.transport, address)
        self._listening.append(Listen(wanted.transport, *address))

    @property
    def listening(self) -> list[Listen]:
        """Where we listen, port 0 resolved."""
        return list(self._listening)

    @property
    def addresses(self) -> list[Address]:
        """Where we listen for datagrams."""
        return list(self._sockets)

    @property
    def connections(self) -> int:
        """Streams that are open, being made, or being closed."""
        return len(self._connections)

    def now(self) -> float:
        """Seconds, on the clock that the endpoint lives by."""
        return self._loop.time()

    def flow(self, remote: Address, transport: str = "udp", name: str = "") -> Flow:
        """The way to a peer that we call. OSError if no listening address is of its family.

        `name`: whom a TLS certificate has to show. A stream does not need us to listen for streams.
        """
        family = [own for own in self._listening if (":" in own.host) == (":" in remote[0])]
        fitting = [own for own in family if own.transport == transport]
        if transport != "udp" and not fitting:
            ports = self._connections
            fitting = [Listen(transport, own.host, ports.port(own.host)) for own in family]
        flows = [
            Flow(transport, self._route((own.host, own.port), remote[0]), remote, name)
            for own in fitting
        ]
        if not flows:
            raise OSError(f"no way to {remote[0]}")
        flow = flows[0]
        if len(flows) > 1:
            flow = next((flow for flow in flows if _is_on_route(flow)), flow)
        self._connections.expect(flow)
        return flow

    def source(self, flow: Flow) -> str | None:
        """Our host on this way, as the routing table has it now; then `flow` has it, too.

        None if there is no route, or if we listen at one address whatever the routes are.
        """
        wildcard = _wildcard(flow.local[0])
        port = flow.local[1]
        if all((own.host, own.port) != (wildcard, port) for own in self._listening) and (
            self._connections.reserved.get(wildcard) != port
        ):
            return None
        host = _source_host(wildcard, flow.remote[0])
        if host == wildcard:
            return None
        if host != flow.local[0]:
            self._routes.clear()  # one has changed, and so may others have
        return host

    def keep(self, flow: Flow) -> None:
        """Keep this way open, until it is released as often: somebody reaches us by it."""
        self._kept[flow] += 1
        if flow.transport == "udp" and flow not in self._keepers:
            self._keepers[flow] = self._loop.call_later(KEEP_EACH, self._keep_open, flow)

    def release(self, flow: Flow) -> None:
        """It need not be kept any more."""
        self._kept[flow] -= 1
        if self._kept[flow] <= 0:
            del self._kept[flow]
            if keeper := self._keepers.pop(flow, None):
                keeper.cancel()

    def _keep_open(self, flow: Flow) -> None:
        self._keepers[flow] = self._loop.call_later(KEEP_EACH, self._keep_open, flow)
        self._send_datagram(PING, flow)

    def act(self, outputs: list[Output]) -> None:
        """Perform outputs in their order, then arm the timer."""
        for output in outputs:
            match output:
                case Transmit(data, Flow(transport="udp") as flow):
                    self._send_datagram(data, flow)
                case Transmit(data, flow, instead):
                    self._connections.send(data, flow, instead)
                case Locate():
                    self._locate(output)
                case _:
                    self._on_event(output)
        self._arm()

    async def close(self) -> None:
        """Close everything. Calls are not ended: that is their owner's to do before."""
        if self._timer:
            self._timer.cancel()
        for keeper in self._keepers.values():
            keeper.cancel()
        for task in self._locating:
            task.cancel()
        for made in self._sockets.values():
            made.close()
        self._sockets.clear()
        self._listening.clear()
        await self._connections.close()
        await asyncio.sleep(0)  # the loop closes sockets in its next turn

    # what comes

    def _receive(self, data: bytes, own: Address, remote: Address) -> None:
        if not self._hears(data, remote[0]):
            return
        flow = Flow("udp", self._route(own, remote[0]), remote)
        if data == PING:
            self._send_datagram(PONG, flow)
        elif response := answer(data, remote):
            self._endpoint.counts["keepalive"] += 1
            self._send_datagram(response, flow)
            return
        self.act(self._endpoint.receive(data, flow, self.now()))

    def _receive_from_stream(self, message: bytes | SipError, connection: Connection) -> None:
        flow = connection.flow
        if isinstance(message, SipError):
            self.act(self._endpoint.reject(message, flow))
        elif connection.dialled or self._hears(message, flow.remote[0]):
            self.act(self._endpoint.receive(message, flow, self.now()))

    def _hears(self, data: bytes, host: str) -> bool:
        if self._admit(host) or self._endpoint.awaits(data, host):
            return True
        self._endpoint.counts["not_admitted"] += 1
        return False

    def _refuse(self, own: Address, remote: Address) -> None:
        """Nobody listens there. We may be in the midst of sending: that is gone on with first."""
        self._loop.call_soon(self._fail, Flow("udp", self._route(own, remote[0]), remote))

    def _fail(self, flow: Flow) -> None:
        self.act(self._endpoint.failed(flow, self.now()))

    # what goes

    def _send_datagram(self, data: bytes, flow: Flow) -> None:
        host, port = flow.local
        made = self._sockets.get((host, port)) or self._sockets.get((_wildcard(host), port))
        if made:
            made.send(data, flow.remote)
        else:
            self._endpoint.counts["unsent"] += 1  # closed meanwhile

    def _locate(self, asked: Locate) -> None:
        found = self._locator(asked.hop)
        if isinstance(found, Awaitable):
            task = self._loop.create_task(self._wait(asked, found))
            self._locating.add(task)
            task.add_done_callback(self._locating.discard)
        else:
            self._located(asked, found)

    async def _wait(self, asked: Locate, finding: Awaitable[Sequence[Target]]) -> None:
        self._located(asked, await finding)

    def _located(self, asked: Locate, targets: Sequence[Target]) -> None:
        flows = []
        for target in targets:
            with suppress(OSError):  # of a family that we do not speak
                address = (target.host, target.port)
                flows.append(self.flow(address, target.transport, target.name))
        self.act(self._endpoint.located(asked.key, flows, self.now()))

    # time

    def _arm(self) -> None:
        deadline = self._endpoint.deadline if self._listening else None
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


def _wildcard(host: str) -> str:
    """Every address of this one's family."""
    return "::" if ":" in host else "0.0.0.0"


def _is_on_route(flow: Flow) -> bool:
    return _source_host(_wildcard(flow.local[0]), flow.remote[0]) == flow.local[0]


def _source_host(wildcard: str, remote_host: str) -> str:
    """Ask the routing table which of our addresses faces a peer. Nothing is sent."""
    family = socket.AF_INET6 if wildcard == "::" else socket.AF_INET
    with suppress(OSError, ValueError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(ipaddress.ip_address(remote_host)), 9))
        host: str = probe.getsockname()[0]
        return host
    return wildcard
