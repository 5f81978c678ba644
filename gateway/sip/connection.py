"""TCP and TLS connections ●: those that come in and those that we dial (RFC 3261 §18). Shell.

A connection belongs to one `Flow`, is found by it, and carries messages both ways for as long as it
is open: responses go back by it, and so do requests of ours, if the core names its flow, or one
that its peer has given as an alias (RFC 5923, alias.py). What is not there is dialled. How bytes
become messages, and how long a connection lives, is said in stream.py.

    2,048   connections in all; strangers get half of them
       20   from one host, 512 from one that is known by its address
  256 KiB   waiting to be sent; then the peer does not read, and the connection is closed
      5 s   to connect, and again for the TLS handshake
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, cast

import structlog

from .alias import alias, proven
from .event import Address, Flow
from .grammar import SipError, hostport
from .scope import parse_ip
from .sockets import Network
from .stream import PING, PONG, Due, Signal, StreamFramer, Upkeep
from .tls import TlsSettings, reason_of

MAX_CONNECTIONS = 2048
MAX_OF_STRANGER = 20
MAX_OF_PEER = 512
MAX_WAITING = 262_144  # bytes that wait to be sent
CONNECT_WITHIN = 5.0  # s
SHAKE_HANDS_WITHIN = 5.0  # s
CLOSE_WITHIN = 1.0  # s for what is still to be sent
UNACKNOWLEDGED = 30.0  # s after which a peer that acknowledges no byte is gone
SAY_EACH = 60.0  # s; a host's failures are not told more often
MAX_REMEMBERED: Final = 4096  # hosts whose failures were told; flows that are gone

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """One stream: its bytes, its time, its end."""

    def __init__(self, table: Connections, transport: str, flow: Flow | None = None) -> None:
        self.flow: Flow
        self.dialled = flow is not None
        self.alias: Flow | None = None  # another flow that it is used for
        self.names: frozenset[str] = frozenset()  # of a peer that showed a certificate
        self._table = table
        self._kind = transport
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._work: asyncio.Task[None] | None = None  # connects, or shakes hands
        self._open = False
        self._waiting: list[bytes] = []  # is to be sent as soon as it is open
        self._early: list[bytes] = []  # came before we knew that it is
        self._framer = StreamFramer()
        self._upkeep = Upkeep(dialled=self.dialled, now=self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        if flow is not None:
            self.flow = flow

    # its beginning

    def dial(self) -> None:
        """Connect to the peer of the flow."""
        self._begin(self._dial())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        if self._kind == "tls":
            made.pause_reading()  # what comes first is the handshake's
        _give_up_on_the_silent(made)
        if self.dialled:
            return  # _dial goes on
        remote, own = made.get_extra_info("peername"), made.get_extra_info("sockname")
        if not remote or not own or not self._table.lets_in(remote[0]):
            made.abort()
            return
        self.flow = Flow(self._kind, (own[0], own[1]), (remote[0], remote[1]))
        self._table.add(self)
        if self._kind == "tls":
            self._begin(self._shake_hands())
        else:
            self._opened()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = self._loop.create_task(work)
        self._work.add_done_callback(self._begun)

    def _begun(self, work: asyncio.Task[None]) -> None:
        self._work = None
        error = None if work.cancelled() else work.exception()
        if error:
            self._table.tell(self, error)
        if error or work.cancelled():
            self.abort()
            self.connection_lost(None)  # TLS does not say so when its handshake failed

    async def _dial(self) -> None:
        async with asyncio.timeout(CONNECT_WITHIN):
            await self._table.connect(self)
        if self._kind == "tls":
            await self._shake_hands()
        else:
            self._opened()

    async def _shake_hands(self) -> None:
        assert self._transport is not None  # it is made
        tls = self._table.tls
        name = self.flow.name or self.flow.remote[0]
        self._transport = await self._loop.start_tls(
            self._transport,
            self,
            tls.client if self.dialled else tls.server,
            server_side=not self.dialled,
            server_hostname=name if self.dialled else None,
            ssl_handshake_timeout=SHAKE_HANDS_WITHIN,
            ssl_shutdown_timeout=CLOSE_WITHIN,
        )
        if self._transport:
            self.names = proven(self._transport.get_extra_info("peercert"))
        self._opened()

    def _opened(self) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("closed at once")
        self._open = True
        waiting, early = b"".join(self._waiting), b"".join(self._early)
        self._waiting, self._early = [], []
        self._arm()
        if waiting:
            self.write(waiting)
        if early:
            self.data_received(early)

    # its life

    def write(self, data: bytes) -> None:
        """Send, now or as soon as it is open. Who does not read loses the connection."""
        if self._open and self._transport:
            self._upkeep.use(self._loop.time())
            self._transport.write(data)
            waiting = self._transport.get_write_buffer_size()
        else:
            self._waiting.append(data)
            waiting = sum(map(len, self._waiting))
        if waiting > MAX_WAITING:
            self._table.counts["not_read"] += 1
            self.abort()

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self._early.append(data)
        elif self._table.has(self):
            self._read(data)

    def _read(self, data: bytes) -> None:
        results = self._framer.receive(data)
        self._upkeep.receive(results, self._framer.partial, self._loop.time())
        for result in results:
            if not self._table.has(self):
                return  # closed meanwhile, and what follows is nobody's
            match result:
                case Signal.PING:
                    self.write(PONG)
                case SipError():
                    self._table.receive(result, self)
                case bytes():
                    self._table.take_alias(self, result)
                    self._table.receive(result, self)
        if any(isinstance(result, SipError) for result in results):
            self.close()
        self._arm()

    def _arm(self) -> None:
        """Let the one timer go off in time; one that comes too early is no harm."""
        if not self._table.has(self):
            return
        deadline = self._upkeep.deadline
        if self._timer and self._timer.when() <= deadline:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        match self._upkeep.handle_timer(now):
            case Due.ASK:
                self._framer.forget()
                self._ask()
            case Due.UNUSED if self._in_use:
                self._upkeep.use(now)
            case Due.UNUSED:
                self.close()
            case Due.STUCK | Due.DEAD as cause:
                self._table.counts[f"connection_{cause.value}"] += 1
                self.abort()
            case None:
                pass  # there was something to hear meanwhile
        self._arm()

    @property
    def _in_use(self) -> bool:
        alias = self.alias
        return self._table.uses(self.flow) or (alias is not None and self._table.uses(alias))

    def _ask(self) -> None:
        assert self._transport is not None  # time runs from its opening on
        self._transport.write(PING)

    # its end

    def close(self) -> None:
        """End it; what is still to be sent has a second."""
        self._table.retire(self)
        if self._work:
            self._work.cancel()
        elif self._transport and not self._transport.is_closing():
            self._transport.close()
            self._stop()
            self._timer = self._loop.call_later(CLOSE_WITHIN, self._transport.abort)

    def abort(self) -> None:
        """End it at once."""
        self._table.retire(self)
        if self._work:
            self._work.cancel()
        elif self._transport:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self._stop()
        self._table.remove(self)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Connections:
    """All of them: who may connect, which one a message goes by, and that none stays behind.

    `receive` takes a message, or the mistake that ends a stream. `failed` hears of each flow that
    is none any more, in a later turn of the loop. `uses`: does somebody need this flow, though it
    is silent? `admits`: may this host connect? `knows`: is it known by its address?
    """

    def __init__(
        self,
        *,
        receive: Callable[[bytes | SipError, Connection], None],
        failed: Callable[[Flow], None],
        uses: Callable[[Flow], bool],
        admits: Callable[[str], bool],
        knows: Callable[[str], bool],
        counts: Counter[str],
        tls: TlsSettings,
        network: Network,
    ) -> None:
        self.receive = receive
        self.uses = uses
        self.counts = counts
        self.tls = tls
        self._network = network
        self._failed = failed
        self._admits = admits
        self._knows = knows
        self._loop = asyncio.get_running_loop()
        self._usable: dict[tuple[Flow, str], Connection] = {}
        self._held: set[Connection] = set()  # those that are closing, too
        self._from: Counter[str] = Counter()  # hosts that connected
        self._gone: dict[Flow, None] = {}  # came in and are closed: nobody listens there
        self._told: dict[tuple[str, str, str], float] = {}  # until when it is not told again
        self._listeners: list[Callable[[], None]] = []
        self.reserved: dict[str, int] = {}  # our host -> the port that connections leave from
        self._closing = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    async def listen(self, transport: str, address: Address) -> Address:
        """Take connections at an address; returns it with its port. OSError, also for TLS files."""
        if transport == "tls":
            _ = self.tls.server
        bound, end = await self._network.listen(lambda: Connection(self, transport), address)
        self._listeners.append(end)
        return bound

    def port(self, host: str) -> int:
        """The port that connections from this host of ours leave from, where we do not listen.

        It is what Via and Contact name, so a peer that looks for a connection to what they name
        finds the one that we made. OSError if none can be had.
        """
        if host not in self.reserved:
            self.reserved[host], end = self._network.reserve(host)
            self._listeners.append(end)
        return self.reserved[host]

    async def connect(self, connection: Connection) -> None:
        """Connect to the peer of its flow, from our end of it. OSError."""
        host, port = connection.flow.local
        own = (host, port if port in self.reserved.values() else 0)
        wildcard = host in {"0.0.0.0", "::"} and not own[1]
        remote = connection.flow.remote
        await self._network.connect(lambda: connection, remote, None if wildcard else own)

    def send(self, data: bytes, flow: Flow, instead: Flow | None) -> None:
        """Send by the connection of this flow, dialled if it is not there.

        One that came in is not dialled: its peer does not listen where it called from. A response
        then goes `instead`; for what goes nowhere, `failed` is called.
        """
        connection = self._find(flow)
        if connection is None and instead:
            flow = instead
            self.expect(flow)
            connection = self._find(flow)
        connection = connection or self._dial(flow)
        if connection:
            connection.write(data)
        else:
            self.counts["unsent"] += 1
            self._fail(flow)

    def expect(self, flow: Flow) -> None:
        """Somebody listens there, as we were told; though a connection may have come from there."""
        self._gone.pop(flow, None)

    async def close(self) -> None:
        """Close all of them, and wait until they are."""
        self._closing = True
        for end in self._listeners:
            end()
        self._listeners.clear()
        for connection in list(self._held):
            connection.close()
        if self._held:
            await self._empty.wait()
        await asyncio.sleep(0)  # the loop closes sockets in its next turn

    def take_alias(self, connection: Connection, message: bytes) -> None:
        """Use a connection that came in for what goes to its peer's own port, if it says so.

        For one port: a peer listens at one, and shall not fill our table with others.
        """
        if connection.dialled or connection.alias or not (found := alias(message)):
            return
        name, port = found
        host = connection.flow.remote[0]
        if connection.flow.transport != "tls":
            believed = self._knows(host)
        else:
            believed = name in connection.names and (parse_ip(name) in {None, parse_ip(host)})
        flow = replace(connection.flow, remote=(host, port), name=name)
        if believed and self._find(flow) is None:
            self._usable[_key(flow)] = connection
            connection.alias = flow
            self.expect(flow)

    def _find(self, flow: Flow) -> Connection | None:
        return self._usable.get(_key(flow))

    def _dial(self, flow: Flow) -> Connection | None:
        if self._closing or flow in self._gone or len(self._held) >= MAX_CONNECTIONS:
            return None
        connection = Connection(self, flow.transport, flow)
        self.add(connection)
        connection.dial()
        return connection

    # what connections ask and tell

    def lets_in(self, host: str) -> bool:
        """May this host have another connection?"""
        known = self._knows(host)
        if self._closing or not self._admits(host):
            self.counts["not_admitted"] += 1
            return False
        room = MAX_CONNECTIONS if known else MAX_CONNECTIONS // 2
        if len(self._held) >= room or self._from[host] >= (
            MAX_OF_PEER if known else MAX_OF_STRANGER
        ):
            self.counts["connection_refused"] += 1
            return False
        return True

    def add(self, connection: Connection) -> None:
        key = _key(connection.flow)
        old = self._usable.get(key)
        if old and old.flow == connection.flow:  # and not one that had it as an alias
            old.abort()  # its peer has forgotten it, or it could not call from there again
        self._usable[key] = connection
        self._held.add(connection)
        self._empty.clear()
        if not connection.dialled:
            self.expect(connection.flow)
            self._from[connection.flow.remote[0]] += 1

    def has(self, connection: Connection) -> bool:
        """Is it still to be used?"""
        return connection in self._held and self._usable.get(_key(connection.flow)) is connection

    def retire(self, connection: Connection) -> None:
        """It is used no more, though it may still be closing."""
        if not self.has(connection):
            return
        flow = connection.flow
        del self._usable[_key(flow)]
        if not connection.dialled:
            if len(self._gone) >= MAX_REMEMBERED:
                del self._gone[next(iter(self._gone))]
            self._gone[flow] = None
        self._fail(flow)
        if (alias := connection.alias) and self._usable.get(_key(alias)) is connection:
            del self._usable[_key(alias)]
            self._fail(alias)

    def remove(self, connection: Connection) -> None:
        """It is closed."""
        if connection not in self._held:
            return
        self.retire(connection)
        self._held.remove(connection)
        if not connection.dialled:
            host = connection.flow.remote[0]
            self._from[host] -= 1
            if not self._from[host]:
                del self._from[host]
        if not self._held:
            self._empty.set()

    def tell(self, connection: Connection, error: BaseException) -> None:
        """Log why it could not be made, once a minute for each host, and each name that it has."""
        self.counts["connection_failed"] += 1
        flow = connection.flow
        host, port = flow.remote
        whom = (flow.transport, host, flow.name)
        now = self._loop.time()
        if self._told.get(whom, now) > now:
            return
        if len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
        self._told[whom] = now + SAY_EACH
        log.warning(
            "sip_connection_failed",
            transport=flow.transport,
            peer=hostport(host, port),
            dialled=connection.dialled,
            reason=reason_of(error),
        )

    def _fail(self, flow: Flow) -> None:
        if not self._closing:
            self._loop.call_soon(self._failed, flow)


def _key(flow: Flow) -> tuple[Flow, str]:
    """Of TLS also the name that was checked (RFC 5923 §9.1): one for another is no proof."""
    return flow, flow.name if flow.transport == "tls" else ""


def _give_up_on_the_silent(transport: asyncio.Transport) -> None:
    """Whose machine is gone acknowledges nothing; Linux would try for a quarter of an hour."""
    option, made = getattr(socket, "TCP_USER_TIMEOUT", None), transport.get_extra_info("socket")
    if option is not None and made is not None:
        made.setsockopt(socket.IPPROTO_TCP, option, int(UNACKNOWLEDGED * 1000))
