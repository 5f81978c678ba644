"""One UDP socket of the real system."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable

import pytest

from gateway.sip.datagram import Datagrams, bind_udp
from gateway.sip.event import Address

LOOPBACK = ("127.0.0.1", 0)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whose datagram it was")


class End:
    """A socket, and what it was told."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[bytes, Address, Address]] = asyncio.Queue()
        self.refused: asyncio.Queue[tuple[Address, Address]] = asyncio.Queue()
        self.socket = Datagrams(
            lambda *came: self.came.put_nowait(came), lambda *said: self.refused.put_nowait(said)
        )

    async def bind(self, address: Address = LOOPBACK) -> Address:
        await bind_udp(lambda: self.socket, address)
        return self.socket.address


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        await asyncio.wait_for(test(), 5)
        await asyncio.sleep(0)  # the loop closes sockets in its next turn

    asyncio.run(within_time())


def dead(host: str) -> Address:
    """Where nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return host, probe.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_there_and_back(host: str) -> None:
    """
    Each end is told what came, where, and from whom.
    """

    async def main() -> None:
        one, other = End(), End()
        near, far = await one.bind((host, 0)), await other.bind((host, 0))
        one.socket.send(b"hello", far)
        assert await other.came.get() == (b"hello", far, near)
        one.socket.close()
        other.socket.close()

    run(main)


def test_both_wildcards() -> None:
    """
    0.0.0.0 and :: are had at the same port, each for its family alone, as of TCP.
    """

    async def main() -> None:
        four, six = End(), End()
        _, port = await four.bind(("0.0.0.0", 0))
        await six.bind(("::", port))
        four.socket.send(b"4", ("127.0.0.1", port))
        six.socket.send(b"6", ("::1", port))
        assert (await four.came.get())[2] == ("127.0.0.1", port)
        assert (await six.came.get())[2] == ("::1", port)
        four.socket.close()
        six.socket.close()

    run(main)


def test_taken() -> None:
    """
    An address that cannot be had is named.
    """

    async def main() -> None:
        end = End()
        host, port = await end.bind()
        with pytest.raises(OSError, match=f"udp:{host}:{port}: Address already in use"):
            await End().bind((host, port))
        end.socket.close()

    run(main)


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_nobody_listens(host: str) -> None:
    """
    §18.4: that a port is unreachable is told, with the address that was written to.
    """

    async def main() -> None:
        end, nobody = End(), dead(host)
        own = await end.bind((host, 0))
        end.socket.send(b"hello", nobody)
        assert await end.refused.get() == (own, nobody)
        assert end.refused.empty()
        end.socket.close()

    run(main)


@linux
def test_the_next_datagram_leaves() -> None:
    """
    What a refusal is told of is lost, not what is sent after it.
    """

    async def main() -> None:
        end, other, nobody = End(), End(), dead("127.0.0.1")
        await end.bind()
        far = await other.bind()
        for number in range(20):
            end.socket.send(b"hello", nobody)
            end.socket.send(b"%d" % number, far)
            assert (await other.came.get())[0] == b"%d" % number
            await end.refused.get()
        end.socket.close()
        other.socket.close()

    run(main)


def test_too_long() -> None:
    """
    A datagram that is longer than any can be goes nowhere; the socket goes on.
    """

    async def main() -> None:
        end, other = End(), End()
        await end.bind()
        far = await other.bind()
        end.socket.send(bytes(70_000), far)
        end.socket.send(b"short", far)
        assert (await other.came.get())[0] == b"short"
        assert end.refused.get_nowait() == (end.socket.address, far)
        assert end.refused.empty()
        end.socket.close()
        other.socket.close()

    run(main)


@linux
def test_no_route() -> None:
    """
    A machine of the network cannot be reached from the loopback address, and the system says so.
    """

    async def main() -> None:
        end, far = End(), ("192.0.2.1", 5060)
        own = await end.bind()
        end.socket.send(b"hello", far)
        assert end.refused.get_nowait() == (own, far)
        end.socket.close()

    run(main)


def test_too_late() -> None:
    """
    What is told when nothing is being sent says not whose datagram it was.
    """

    async def main() -> None:
        end = End()
        await end.bind()
        end.socket.error_received(OSError(errno.EPERM, "no"))
        assert end.refused.empty()
        end.socket.close()

    run(main)
