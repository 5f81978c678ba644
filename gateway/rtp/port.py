"""UDP ports for RTP, and the pool they come from. Shell: sockets and an epoll; Linux.

No port has a task or a callback: once a tick the engine asks the pool which ports have something
and reads them. Only one that is `watch`ed, because what comes is to leave at once, is read by the
event loop. Nothing raises out of a port: what the network refuses is counted.

A port that was released is not given out again while an old peer may still send to it, or
the next call would hear the last one's caller: it stays bound and is emptied until it was
quiet for 30 s, at most for 10 minutes. Ports are even and are given out first in, first out.

The odd port after each is its RTCP's (RFC 3550 §11): a second socket of the same port, watched by
the same epoll and read only when that says so, once in several seconds. What is read there comes
among the rest, told apart as on a port that both share (RFC 5761).

Left out on purpose: RTP timestamps from the kernel.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .packet import is_rtcp

Address = tuple[str, int]

MAX_DATAGRAM = 2048  # bytes: more than any link's RTP; a longer one is dropped
MAX_BATCH = 64  # datagrams read from a port at once, so that a flood at one call spares the others
MAX_QUEUED = 4096  # more than any socket's buffer holds
MAX_CONTROL = 8  # of RTCP's own port; a call has one in several seconds
QUIET = 30.0  # s
LONGEST_QUARANTINE = 600.0  # s
LOOK = 5.0  # s between looks at a port in quarantine

_libc = ctypes.CDLL(None, use_errno=True)
_UNSPECIFIED = struct.pack("=H14x", socket.AF_UNSPEC)  # a sockaddr


class RtpPort(Protocol):
    """A port, as the engine uses it: `Port`, or one of a network in memory."""

    refused: int  # ICMP refusals of what we sent
    failed: int  # what the kernel did not take

    @property
    def address(self) -> Address: ...
    def send(self, data: bytes, target: Address) -> bool: ...
    def send_control(self, data: bytes, target: Address) -> bool: ...
    def receive(self) -> list[tuple[bytes, Address]]: ...
    def connect(self, target: Address) -> None: ...
    def disconnect(self) -> None: ...
    def watch(self, arrived: Callable[[], None] | None) -> None: ...


class RtpPorts(Protocol):
    """Where the engine gets its ports: `PortPool`, or a network in memory."""

    def open(self, now: float) -> RtpPort: ...
    def release(self, port: RtpPort, now: float, *, announced: bool = True) -> None: ...
    def sweep(self, now: float) -> None: ...
    def poll(self) -> Sequence[RtpPort]: ...
    def close(self) -> None: ...


class PortsExhausted(Exception):
    """No port is free: every one is in use, in quarantine or taken by another program."""


class Port:
    """One bound UDP socket for RTP, and one for RTCP.

    `refused` counts ICMP refusals of what we sent, `failed` what the kernel did not take
    (full, no route), `oversized` datagrams longer than any RTP.
    """

    def __init__(self, address: Address) -> None:
        """Bind to a host and a port of our choice, and the next. Raises OSError.

        Not port 0: one that the kernel chose it takes back in `disconnect`.
        """
        host, number = address
        if not number:
            raise ValueError("a port has a number")
        self._socket = _bound(address)
        try:
            self._control = _bound((host, number + 1))
        except OSError:
            self._socket.close()
            raise
        self.address: Address = self._socket.getsockname()[:2]
        self.refused = 0
        self.failed = 0
        self.oversized = 0
        self.control_waits = False  # the epoll saw something at RTCP's port
        self._everywhere = self.address[0] in ("0.0.0.0", "::")
        self._connected: Address | None = None
        self._before: list[tuple[bytes, Address]] = []  # came before it was connected

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def control_fileno(self) -> int:
        """Of RTCP's own port."""
        return self._control.fileno()

    def send(self, data: bytes, target: Address) -> bool:
        """Hand a datagram to the kernel; False where it does not take it."""
        try:
            if target == self._connected:
                self._socket.send(data)
            else:
                self._socket.sendto(data, target)
        except ConnectionRefusedError:
            # Of an earlier datagram; it is reported in place of this one, which was not sent.
            self.refused += 1
        except OSError:
            self.failed += 1
            return False
        else:
            return True
        try:
            self._socket.sendto(data, target)
        except OSError as error:
            self.refused += isinstance(error, ConnectionRefusedError)
            self.failed += 1
            return False
        return True

    def send_control(self, data: bytes, target: Address) -> bool:
        """The same from RTCP's own port, for a peer that has one, too."""
        try:
            self._control.sendto(data, target)
        except OSError:
            self.failed += 1
            return False
        return True

    def receive(self) -> list[tuple[bytes, Address]]:
        """All that is there now, at most 64 datagrams, each with its source.

        Of a connected port it is one: mostly there is no other, and to ask costs as much again. The
        pool says it once more if there is. After them up to 8 of RTCP's own port, where the
        pool saw that there are any.
        """
        if self._before:
            datagrams, self._before = self._before, []
        elif self._connected is None:
            datagrams = self._read(self._socket, MAX_BATCH)
        else:
            datagrams = self._read_connected(self._connected)
        if self.control_waits:
            self.control_waits = False
            control = self._read(self._control, MAX_CONTROL)
            datagrams += [datagram for datagram in control if is_rtcp(datagram[0])]
        return datagrams

    def _read_connected(self, source: Address) -> list[tuple[bytes, Address]]:
        try:
            data = self._socket.recv(MAX_DATAGRAM + 1)
        except ConnectionRefusedError:
            self.refused += 1
        except OSError:  # nothing
            pass
        else:
            if len(data) <= MAX_DATAGRAM:
                return [(data, source)]
            self.oversized += 1
        return []

    def _read(self, opening: socket.socket, limit: int) -> list[tuple[bytes, Address]]:
        datagrams: list[tuple[bytes, Address]] = []
        for _ in range(limit):
            try:
                data, source = opening.recvfrom(MAX_DATAGRAM + 1)
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:  # nothing more
                break
            else:
                if len(data) > MAX_DATAGRAM:
                    self.oversized += 1
                else:
                    datagrams.append((data, source[:2]))
        return datagrams

    def connect(self, target: Address) -> None:
        """Let the kernel drop what others send, from now on.

        What is queued already stays: `receive` once more, for no poll and no watch tells of it.

        Not at RTCP's own port: where the peer sends that from is not known as early.
        Not when bound to every address: connecting would pin the one that the route to
        `target` has, and lose what comes to another one, which our SDP may have named. The source
        rule stands alone then.
        """
        if self._everywhere:
            return
        try:
            self._socket.connect(target)
        except OSError:  # no route: there is no filter then either
            self.failed += 1
            self.disconnect()
        else:
            self._before += self._read(self._socket, MAX_QUEUED)  # whose it is nobody knows later
            self._connected = target

    def disconnect(self) -> None:
        """Hear everybody again.

        connect(2) with AF_UNSPEC, which Python's sockets cannot say. A new socket on the
        same port instead would lose what is queued, and for a moment the port.
        """
        self._connected = None
        _libc.connect(self._socket.fileno(), _UNSPECIFIED, len(_UNSPECIFIED))

    def watch(self, arrived: Callable[[], None] | None) -> None:
        """Have the running loop call `arrived` whenever something is there; None: no longer."""
        loop = asyncio.get_running_loop()
        if arrived:
            loop.add_reader(self._socket, arrived)
        else:
            loop.remove_reader(self._socket)

    def close(self) -> None:
        self._socket.close()
        self._control.close()


def _bound(address: Address) -> socket.socket:
    """A socket that does not block. Raises OSError."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


@dataclass(slots=True)
class _Quarantined:
    port: Port
    released: float
    heard: float
    look: float  # when to look next


class PortPool:
    """The even ports from `first` to `last` on one host, each with the odd one after it."""

    def __init__(self, host: str, first: int, last: int) -> None:
        self._host = host
        self._free = deque(range(first + first % 2, last, 2))
        self._open: dict[int, Port] = {}  # by file descriptor
        self._controls: dict[int, Port] = {}  # by that of RTCP's port
        self._quarantine: deque[_Quarantined] = deque()  # by time of the next look
        self._epoll = select.epoll()

    @property
    def free(self) -> int:
        """How many ports could be opened now, as far as other programs let us."""
        return len(self._free)

    def open(self, now: float) -> Port:
        """Bind the port that was free for longest. Raises PortsExhausted, or OSError where
        the host is not ours to bind."""
        self.sweep(now)
        for _ in range(len(self._free)):
            number = self._free.popleft()
            try:
                port = Port((self._host, number))
            except OSError as error:
                self._free.append(number)
                if error.errno == errno.EADDRINUSE:  # another program's, for now
                    continue
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise PortsExhausted(os.strerror(error.errno)) from error
                raise
            self._open[port.fileno()] = port
            self._controls[port.control_fileno] = port
            for descriptor in (port.fileno(), port.control_fileno):
                self._epoll.register(descriptor, select.EPOLLIN)
            return port
        raise PortsExhausted("every port is in use or in quarantine")

    def release(self, port: RtpPort, now: float, *, announced: bool = True) -> None:
        """Put a port into quarantine. ValueError if it is not one of ours in use.

        One that no SDP `announced` has no old peer, so it is free at once.
        """
        if not isinstance(port, Port) or self._open.pop(port.fileno(), None) is None:
            raise ValueError("not an open port of this pool")
        del self._controls[port.control_fileno]
        for descriptor in (port.fileno(), port.control_fileno):
            self._epoll.unregister(descriptor)
        if not announced:
            port.close()
            self._free.append(port.address[1])
            return
        port.disconnect()  # whoever still sends shall be heard
        self._quarantine.append(_Quarantined(port, now, now, now + LOOK))

    def sweep(self, now: float) -> None:
        """Look at the ports in quarantine, free the quiet ones. Call it every few seconds."""
        while self._quarantine and self._quarantine[0].look <= now:
            entry = self._quarantine.popleft()
            if _drain(entry.port):
                entry.heard = now
            if now - entry.heard >= QUIET or now - entry.released >= LONGEST_QUARANTINE:
                entry.port.close()
                self._free.append(entry.port.address[1])
            else:
                entry.look = now + LOOK
                self._quarantine.append(entry)

    def poll(self) -> list[Port]:
        """The ports with something to read, without waiting."""
        if not self._open:
            return []
        opened = self._open
        ready = self._epoll.poll(0, 2 * len(opened))
        ports = [opened[descriptor] for descriptor, _ in ready if descriptor in opened]
        if len(ports) < len(ready):
            for descriptor, _ in ready:
                if port := self._controls.get(descriptor):
                    port.control_waits = True
                    ports.append(port)
            ports = list(dict.fromkeys(ports))
        return ports

    def close(self) -> None:
        """Close every port, and the epoll."""
        for port in (*self._open.values(), *(entry.port for entry in self._quarantine)):
            port.close()
        self._open.clear()
        self._controls.clear()
        self._quarantine.clear()
        self._epoll.close()


def _drain(port: Port) -> bool:
    """Throw away what is queued; whether there was anything. A flood is drained by its limit."""
    heard = False
    port.control_waits = True
    for _ in range(16):
        if not port.receive():
            break
        heard = True
    return heard
