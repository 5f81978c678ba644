"""Time as a number: an event loop whose clock jumps to the next timer, and a network in memory.

A minute of call takes milliseconds and is the same every run; a deadlock is an error, not a hang.
The network carries datagrams with delay, loss and duplicates from a seeded dice, and streams with
delay. SIP's transport binds datagram endpoints to it and listens and connects on it, the engine and
the phone take their RTP ports from it.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Address = tuple[str, int]
T = TypeVar("T")


LONGEST = 3600.0  # s of virtual time; a test that waits so long waits for what never comes
TURNS = 100_000  # of the loop at one moment; who needs more turns in a circle


class _Jumping(selectors.SelectSelector):
    """A selector that waits by moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0  # s; not 0, so that nobody takes a time for false
        self._ends_at = self.now + LONGEST
        self._turns = 0  # since the clock moved

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            self._turns += 1
            if self._turns > TURNS:
                raise RuntimeError("a circle: the clock does not move any more")
            return ready
        if timeout is None:
            raise RuntimeError("deadlock: every task waits, and no timer is set")
        self.now, self._turns = self.now + timeout, 0
        if self.now > self._ends_at:
            raise RuntimeError("no end: what this test waits for does not come")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        self._timers = 0
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    # the types of what they override are of no use to a test
    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Timers of the same moment fire in their order, which asyncio does not promise."""
        self._timers += 1
        when += self._timers % 1_000_000 * 1e-12
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """At once, in this thread: another one would take real time."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a test on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def timers() -> list[str]:
    """What waits on the running loop, by module and name of the callback."""
    scheduled: list[Any] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    waiting = (handle._callback for handle in scheduled if not handle.cancelled())
    return [f"{it.__module__}.{getattr(it, '__qualname__', it)}" for it in waiting]


def tasks() -> list[str]:
    """What runs on the running loop, by module and name of the coroutine."""
    running = [task.get_coro() for task in asyncio.all_tasks()]
    return [f"{it.cr_frame.f_globals['__name__']}.{it.__qualname__}" for it in running]  # type: ignore[union-attr]


class Network:
    """Datagrams in memory. `delay` in s; `loss` and `duplicates` as shares of all datagrams.

    `jitter` (s) comes on top of the delay, at most, for each datagram by itself: they overtake.
    """

    def __init__(
        self,
        *,
        delay: float = 0.005,
        jitter: float = 0.0,
        loss: float = 0.0,
        duplicates: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.delay, self.jitter, self.loss, self.duplicates = delay, jitter, loss, duplicates
        self.lossy: Callable[[bytes], bool] = lambda data: True  # which datagrams may be lost
        self._dice = random.Random(seed)
        self._taps: dict[Address, Callable[[bytes, Address], None]] = {}
        self._doors: dict[Address, Callable[[], asyncio.Protocol]] = {}
        self.silent: set[str] = set()  # hosts that no connection reaches
        self._next = 40000

    def open(self, address: Address, arrived: Callable[[bytes, Address], None]) -> Address:
        """Let datagrams for `address` arrive at a function; port 0 takes any free one."""
        host, port = address
        while not port or (host, port) in self._taps:
            if port:
                raise OSError(98, f"{address} is in use")
            port, self._next = self._next, self._next + 2
        self._taps[host, port] = arrived
        return host, port

    def close(self, address: Address) -> None:
        """Nothing arrives there any more."""
        self._taps.pop(address, None)

    def send(self, data: bytes, source: Address, target: Address) -> None:
        """Carry a datagram, unless the dice lose it."""
        loop = asyncio.get_running_loop()
        if self._dice.random() < self.loss and self.lossy(data):
            return
        copies = 2 if self._dice.random() < self.duplicates else 1
        for _ in range(copies):
            delay = self.delay + (self._dice.uniform(0, self.jitter) if self.jitter else 0.0)
            loop.call_later(delay, self._arrive, data, source, target)

    def _arrive(self, data: bytes, source: Address, target: Address) -> None:
        if arrived := self._taps.get(target):
            arrived(data, source)

    async def bind(
        self, protocol: Callable[[], asyncio.DatagramProtocol], address: Address
    ) -> asyncio.DatagramTransport:
        """What loop.create_datagram_endpoint is to real sockets."""
        made = protocol()
        transport = _Datagrams(self, self.open(address, made.datagram_received))
        made.connection_made(transport)
        return transport

    # streams: what SIP's connections take for their network

    async def listen(
        self, make: Callable[[], asyncio.Protocol], address: Address
    ) -> tuple[Address, Callable[[], None]]:
        """Take connections at `address`."""
        host, port = address
        if not port:
            port, self._next = self._next, self._next + 2
        if (host, port) in self._doors:
            raise OSError(98, f"{address} is in use")
        self._doors[host, port] = make
        return (host, port), lambda: self._doors.pop((host, port), None) and None

    def reserve(self, host: str) -> tuple[int, Callable[[], None]]:
        """A port that connections may leave from."""
        port, self._next = self._next, self._next + 2
        return port, lambda: None

    async def connect(
        self, make: Callable[[], asyncio.Protocol], remote: Address, own: Address | None
    ) -> _Stream:
        """A connection; to hosts in `silent` none is ever made, nor refused."""
        await asyncio.sleep(2 * self.delay)
        if remote[0] in self.silent:
            await asyncio.get_running_loop().create_future()
        if remote not in self._doors:
            raise ConnectionRefusedError(111, f"nobody listens at {remote}")
        host, port = own or ("127.0.0.1", 0)
        if not port:
            port, self._next = self._next, self._next + 2
        own = (host, port)
        near, far = _Stream(self, own, remote), _Stream(self, remote, own)
        near.other, far.other = far, near
        far.begin(self._doors[remote]())
        near.begin(make())
        return near

    def ports(self, host: str, limit: int = 1000) -> MemoryPorts:
        """RTP ports at `host`."""
        return MemoryPorts(self, host, limit)


class _Datagrams(asyncio.DatagramTransport):
    def __init__(self, network: Network, address: Address) -> None:
        super().__init__({"sockname": address})
        self._network, self._address = network, address

    def sendto(self, data: Any, addr: Any = None) -> None:
        self._network.send(bytes(data), self._address, addr)

    def close(self) -> None:
        self._network.close(self._address)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return False


class _Stream(asyncio.Transport):
    """One end of a connection in memory. TLS works on it: loop.start_tls."""

    _start_tls_compatible = True

    def __init__(self, network: Network, own: Address, remote: Address) -> None:
        super().__init__({"sockname": own, "peername": remote})
        self.other: _Stream
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._protocol: Any
        self._closing = False
        self._reading = True
        self._arrived: list[bytes | None] = []  # while nobody reads; None: the other end closed

    def begin(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def write(self, data: Any) -> None:
        if not self._closing:
            self._loop.call_later(self._network.delay, self.other.arrive, bytes(data))

    def get_write_buffer_size(self) -> int:
        """What the other end has not read."""
        return sum(len(data) for data in self.other._arrived if data)

    def arrive(self, data: bytes | None) -> None:
        if self._reading and not self._closing:
            self._take(data)
        else:
            self._arrived.append(data)

    def _take(self, data: bytes | None) -> None:
        if data is None:
            self._protocol.eof_received()
            self.close()
        elif hasattr(self._protocol, "get_buffer"):  # the TLS protocol of asyncio
            self._protocol.get_buffer(len(data))[: len(data)] = data
            self._protocol.buffer_updated(len(data))
        else:
            self._protocol.data_received(data)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        arrived, self._arrived = self._arrived, []
        for data in arrived:
            self.arrive(data)

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _force_close(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, exc)
            self._loop.call_later(self._network.delay, self.other.arrive, None)


class MemoryPort:
    """An RTP port in memory (`RtpPort`)."""

    def __init__(self, network: Network, host: str, ready: dict[MemoryPort, None]) -> None:
        self._network = network
        self._ready = ready
        self._arrived: list[tuple[bytes, Address]] = []
        self._peer: Address | None = None
        self._arrival: Callable[[], None] | None = None
        self.refused = self.failed = 0
        self.address = network.open((host, 0), self._take)
        self._control = network.open((host, self.address[1] + 1), self._take_control)

    def send(self, data: bytes, target: Address) -> bool:
        self._network.send(data, self.address, target)
        return True

    def send_control(self, data: bytes, target: Address) -> bool:
        self._network.send(data, self._control, target)
        return True

    def receive(self) -> list[tuple[bytes, Address]]:
        arrived, self._arrived = self._arrived, []
        return arrived

    def connect(self, target: Address) -> None:
        self._peer = target

    def disconnect(self) -> None:
        self._peer = None

    def watch(self, arrived: Callable[[], None] | None) -> None:
        self._arrival = arrived

    def close(self) -> None:
        self._network.close(self.address)
        self._network.close(self._control)

    def _take_control(self, data: bytes, source: Address) -> None:
        from gateway.rtp.packet import is_rtcp

        if is_rtcp(data):
            self._arrived.append((data, source))
            self._ready[self] = None

    def _take(self, data: bytes, source: Address) -> None:
        if self._peer is None or source == self._peer:
            self._arrived.append((data, source))
            self._ready[self] = None
            if self._arrival:
                self._arrival()


class MemoryPorts:
    """A pool of RTP ports in memory (`RtpPorts`)."""

    def __init__(self, network: Network, host: str, limit: int) -> None:
        self._network, self._host, self._limit = network, host, limit
        self._ready: dict[MemoryPort, None] = {}
        self.opened: list[MemoryPort] = []

    def open(self, now: float) -> MemoryPort:
        from gateway.rtp.port import PortsExhausted

        if len(self.opened) >= self._limit:
            raise PortsExhausted("no port is free")
        port = MemoryPort(self._network, self._host, self._ready)
        self.opened.append(port)
        return port

    def release(self, port: Any, now: float, *, announced: bool = True) -> None:
        port.close()
        self.opened.remove(port)

    def poll(self) -> list[MemoryPort]:
        ready, known = list(self._ready), set(self.opened)
        self._ready.clear()
        return [port for port in ready if port in known]

    def sweep(self, now: float) -> None:
        pass

    def close(self) -> None:
        for port in list(self.opened):
            self.release(port, 0.0)


class Unfiltered(Network):
    """A network whose ports hear everybody all the time, as those bound to every address do."""

    def ports(self, host: str, limit: int = 1000) -> MemoryPorts:
        return _UnfilteredPorts(self, host, limit)


class _UnfilteredPorts(MemoryPorts):
    def open(self, now: float) -> MemoryPort:
        port = super().open(now)
        port.connect = lambda target: None  # type: ignore[method-assign]
        return port


class LoopTicker:
    """Ticks of 20 ms from the loop's own clock (`Ticker`), for virtual time.

    `missed` of them are left out before each, as by a loop that is held up: hours pass in no time.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._handle: asyncio.TimerHandle | None = None

    def start(self, tick: Callable[[float, int], None]) -> None:
        loop = asyncio.get_running_loop()

        def due(at: float) -> None:
            missed = self.missed
            after = at + 0.02 * (1 + missed)
            self._handle = loop.call_at(after, due, after)
            tick(loop.time(), missed)

        first = loop.time() + 0.02
        self._handle = loop.call_at(first, due, first)

    def keep(self) -> None:
        """Nothing is ever late here."""

    def stop(self) -> None:
        if self._handle:
            self._handle.cancel()
