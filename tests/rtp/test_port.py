"""UDP ports on loopback: sending, hearing, filtering; and that no port is used too soon."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from gateway.rtp.port import Address, Port, PortPool, PortsExhausted, RtpPort, RtpPorts

HOST = "127.0.0.77"  # loopback, and nobody else's
PHONE = "127.0.0.78"


@contextmanager
def pool_of(first: int, last: int) -> Iterator[PortPool]:
    pool = PortPool(HOST, first, last)
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def phone(host: str = PHONE) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(2.0)
        peer.bind((host, 0))
        yield peer


NUMBERS = count(42_000, 2)


@contextmanager
def a_port(host: str = HOST) -> Iterator[Port]:
    port = Port((host, next(NUMBERS)))
    try:
        yield port
    finally:
        port.close()


def address(peer: socket.socket) -> Address:
    host, number = peer.getsockname()[:2]
    return host, number


def test_what_comes_to_a_port_that_is_watched_is_told_at_once() -> None:
    async def main() -> None:
        with a_port() as port, phone() as peer:
            arrived = asyncio.Event()
            heard: list[bytes] = []

            def read() -> None:
                heard.extend(data for data, _ in port.receive())
                arrived.set()

            port.watch(read)
            peer.sendto(b"one", port.address)
            await asyncio.wait_for(arrived.wait(), 2)
            port.watch(None)
            peer.sendto(b"two", port.address)
            assert await asyncio.to_thread(select.select, [port], [], [], 2)
            assert heard == [b"one"]
            assert [data for data, _ in port.receive()] == [b"two"]

    asyncio.run(main())


def test_the_engine_sees_a_pool_of_ports() -> None:
    with pool_of(40_000, 40_010) as pool:
        ports: RtpPorts = pool
        port: RtpPort = ports.open(0.0)
        assert port.address[0] == HOST


class TestPort:
    @pytest.mark.parametrize(("ours", "theirs"), [(HOST, PHONE), ("::1", "::1")])
    def test_datagrams_go_both_ways(self, ours: str, theirs: str) -> None:
        with a_port(ours) as port, phone(theirs) as peer:
            assert port.send(b"to them", address(peer))
            assert peer.recvfrom(100)[0] == b"to them"
            peer.sendto(b"one", port.address)
            peer.sendto(b"two", port.address)
            assert port.receive() == [(b"one", address(peer)), (b"two", address(peer))]
            assert port.receive() == []

    def test_a_batch_is_bounded(self) -> None:
        with a_port() as port, phone() as peer:
            for n in range(70):
                peer.sendto(bytes([n]), port.address)
            assert len(port.receive()) == 64
            assert len(port.receive()) == 6

    def test_empty_and_oversized_datagrams(self) -> None:
        """An empty one is a datagram; one longer than any RTP is dropped, not cut."""
        with a_port() as port, phone() as peer:
            for size in (0, 2048, 2049, 60_000):
                peer.sendto(bytes(size), port.address)
            assert [len(data) for data, _ in port.receive()] == [0, 2048]
            assert port.oversized == 2

    def test_connected_the_kernel_drops_what_others_send(self) -> None:
        with a_port() as port, phone() as peer, phone() as stranger:
            port.connect(address(peer))
            stranger.sendto(b"spray", port.address)
            peer.sendto(b"speech", port.address)
            assert port.receive() == [(b"speech", address(peer))]
            assert port.send(b"reply", address(peer))
            assert peer.recvfrom(100) == (b"reply", port.address)
            # a hold or a move may send elsewhere before the filter is lifted
            assert port.send(b"moved", address(stranger))
            assert stranger.recvfrom(100) == (b"moved", port.address)

    def test_what_was_queued_before_stays(self) -> None:
        """So the source rule still looks at every packet."""
        with a_port() as port, phone() as peer, phone() as stranger:
            stranger.sendto(b"before", port.address)
            port.connect(address(peer))
            assert port.receive() == [(b"before", address(stranger))]

    def test_what_was_queued_before_stays_whenever_it_is_read(self) -> None:
        """Also behind two changes of mind, and before what comes later."""
        with a_port() as port, phone() as peer:
            for said in (b"one", b"two"):
                peer.sendto(said, port.address)
                port.connect(address(peer))
                port.disconnect()
            port.connect(address(peer))
            assert [data for data, _ in port.receive()] == [b"one", b"two"]

    def test_disconnected_it_hears_everybody_on_the_same_port(self) -> None:
        """A re-INVITE moves the media: the port stays ours, and what is queued stays."""
        with a_port() as port, phone() as peer, phone() as stranger:
            port.connect(address(peer))
            peer.sendto(b"last", port.address)
            port.disconnect()
            stranger.sendto(b"new", port.address)
            assert port.receive() == [(b"last", address(peer)), (b"new", address(stranger))]
            port.connect(address(stranger))
            peer.sendto(b"old", port.address)
            stranger.sendto(b"newer", port.address)
            assert port.receive() == [(b"newer", address(stranger))]

    @pytest.mark.parametrize(("everywhere", "theirs"), [("0.0.0.0", PHONE), ("::", "::1")])
    def test_bound_to_every_address_it_hears_on_every_address(
        self, everywhere: str, theirs: str
    ) -> None:
        """The address in our SDP need not be the one that the route to the peer has."""
        with a_port(everywhere) as port, phone(theirs) as peer:
            port.connect(address(peer))
            for ours in (HOST, "127.0.0.79") if everywhere == "0.0.0.0" else ("::1",):
                peer.sendto(b"speech", (ours, port.address[1]))
                assert port.receive() == [(b"speech", address(peer))]
            assert port.send(b"reply", address(peer))
            assert peer.recvfrom(100)[0] == b"reply"

    def test_disconnect_without_a_connection_is_nothing(self) -> None:
        with a_port() as port, phone() as peer:
            port.disconnect()
            peer.sendto(b"x", port.address)
            assert port.receive() == [(b"x", address(peer))]

    def test_a_peer_that_is_gone_is_counted(self) -> None:
        """ICMP port unreachable is no error of ours, and hides no datagram."""
        with a_port() as port, phone() as peer, phone() as other:
            gone = address(peer)
            port.connect(gone)
            peer.close()
            assert port.send(b"1", gone)
            assert port.receive() == []
            assert port.refused == 1
            assert port.send(b"2", gone)
            # the refusal of the second is told to the third, which is sent all the same
            assert port.send(b"3", address(other))
            assert other.recvfrom(100)[0] == b"3"
            assert port.refused == 2
            assert port.failed == 0

    def test_what_the_kernel_does_not_take_is_counted(self) -> None:
        with a_port() as port, phone("::1") as other_family:
            assert not port.send(bytes(70_000), (PHONE, 9))
            assert not port.send(b"x", (PHONE, 0))
            assert not port.send(b"x", address(other_family))
            assert port.failed == 3
            port.connect(address(other_family))
            assert port.failed == 4

    def test_a_port_has_a_number(self) -> None:
        with pytest.raises(ValueError, match="number"):
            Port((HOST, 0))

    def test_a_port_that_is_taken(self) -> None:
        with a_port() as port, pytest.raises(OSError, match="in use"):
            Port(port.address)


REPORT = bytes.fromhex("80c90001 01020304")  # an empty receiver report


class TestControl:
    """RTCP's own port, the odd one: RFC 3550 §11."""

    def test_what_comes_there_comes_with_the_rest(self) -> None:
        with pool_of(41_140, 41_141) as pool, phone() as peer:
            port = pool.open(0.0)
            peer.sendto(REPORT, (HOST, 41_141))
            assert pool.poll() == [port]
            peer.sendto(b"speech", port.address)
            assert pool.poll() == [port]  # once, though both have something
            assert port.receive() == [(b"speech", address(peer)), (REPORT, address(peer))]
            assert pool.poll() == []
            assert port.receive() == []

    def test_it_costs_nothing_while_nothing_comes(self) -> None:
        """It is not read before the epoll has seen something."""
        with pool_of(41_142, 41_143) as pool, phone() as peer:
            port = pool.open(0.0)
            peer.sendto(REPORT, (HOST, 41_143))
            assert port.receive() == []
            assert pool.poll() == [port]
            assert port.receive() == [(REPORT, address(peer))]

    def test_nothing_but_rtcp_is_heard_there(self) -> None:
        with pool_of(41_144, 41_145) as pool, phone() as peer:
            port = pool.open(0.0)
            for data in (b"", b"\x80\x00" + bytes(10), b"spray", bytes(3000), REPORT):
                peer.sendto(data, (HOST, 41_145))
            assert pool.poll() == [port]
            assert port.receive() == [(REPORT, address(peer))]
            assert port.oversized == 1

    def test_a_flood_is_read_by_its_limit(self) -> None:
        with pool_of(41_146, 41_147) as pool, phone() as peer:
            port = pool.open(0.0)
            for _ in range(20):
                peer.sendto(REPORT, (HOST, 41_147))
            read = []
            while pool.poll():
                read.append(len(port.receive()))
            assert read == [8, 8, 4]

    def test_ours_leave_from_there(self) -> None:
        with a_port() as port, phone() as peer, phone("::1") as other_family:
            assert port.send_control(REPORT, address(peer))
            assert peer.recvfrom(100) == (REPORT, (HOST, port.address[1] + 1))
            assert not port.send_control(REPORT, address(other_family))
            assert port.failed == 1

    def test_it_hears_everybody_also_when_the_port_is_connected(self) -> None:
        """A peer's RTCP port is not known as early; whom to believe the source rule says."""
        with pool_of(41_148, 41_149) as pool, phone() as peer, phone() as control:
            port = pool.open(0.0)
            port.connect(address(peer))
            control.sendto(REPORT, (HOST, 41_149))
            assert pool.poll() == [port]
            assert port.receive() == [(REPORT, address(control))]

    def test_a_pair_is_free_when_both_are(self) -> None:
        with (
            pool_of(41_150, 41_153) as pool,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            other.bind((HOST, 41_151))
            assert pool.open(0.0).address[1] == 41_152
            with pytest.raises(PortsExhausted):
                pool.open(0.0)
            Port((HOST, 41_154)).close()
            other.close()
            assert pool.open(0.0).address[1] == 41_150

    def test_it_is_in_quarantine_with_the_other(self) -> None:
        """An old peer's reports keep it back as its speech does; other noise does not."""
        with pool_of(41_156, 41_157) as pool, phone() as peer:
            port = pool.open(0.0)
            pool.release(port, 0.0)
            assert pool.poll() == []
            for now in range(1, 12):
                peer.sendto(REPORT, (HOST, 41_157))
                pool.sweep(float(now))
            for now in range(12, 40):
                peer.sendto(b"noise", (HOST, 41_157))
                pool.sweep(float(now))
            with pytest.raises(PortsExhausted):
                pool.open(39.0)
            again = pool.open(45.0)
            assert again.address == port.address
            assert pool.poll() == []

    def test_no_descriptor_left_for_it(self) -> None:
        with pool_of(41_158, 41_159) as pool:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
            try:
                with pytest.raises(PortsExhausted):
                    pool.open(0.0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert pool.open(0.0).fileno() == lowest  # nothing was left open


class TestPool:
    def test_even_ports_the_longest_free_first(self) -> None:
        with pool_of(41_001, 41_009) as pool:
            assert pool.free == 4
            ports = [pool.open(0.0) for _ in range(3)]
            assert [port.address[1] for port in ports] == [41_002, 41_004, 41_006]
            pool.release(ports[1], 0.0)
            pool.sweep(40.0)
            assert pool.open(40.0).address[1] == 41_008
            assert pool.open(40.0).address[1] == 41_004
            with pytest.raises(PortsExhausted):
                pool.open(40.0)

    def test_ports_with_something_to_read(self) -> None:
        with pool_of(41_020, 41_030) as pool, phone() as peer:
            assert pool.poll() == []
            first, second = pool.open(0.0), pool.open(0.0)
            assert pool.poll() == []
            peer.sendto(b"x", second.address)
            assert pool.poll() == [second]
            assert pool.poll() == [second]  # until it was read
            second.receive()
            assert pool.poll() == []
            peer.sendto(b"x", first.address)
            pool.release(first, 0.0)
            assert pool.poll() == []

    def test_a_port_that_nobody_was_told_is_free_at_once(self) -> None:
        """A refused call leaves no old peer behind."""
        with pool_of(41_044, 41_045) as pool:
            for now in range(5):
                pool.release(pool.open(float(now)), float(now), announced=False)
            assert pool.free == 1

    def test_a_released_port_is_quiet_for_30_s_before_it_is_used_again(self) -> None:
        """Nobody hears the last call's caller."""
        with pool_of(41_040, 41_041) as pool, phone() as peer:
            port = pool.open(0.0)
            number = port.address
            port.connect(address(peer))
            pool.release(port, 0.0)
            for now in range(1, 30):
                pool.sweep(float(now))
            with pytest.raises(PortsExhausted):
                pool.open(29.9)
            again = pool.open(30.0)
            assert again.address == number
            assert again is not port

    def test_an_old_peer_that_still_sends_keeps_it_back(self) -> None:
        with pool_of(41_050, 41_053) as pool, phone() as peer, phone() as other:
            first = pool.open(0.0)
            first.connect(address(peer))
            pool.release(first, 0.0)
            second = pool.open(0.0)
            assert second.address != first.address
            now = 0.0
            for now in range(100):
                # connected or not while it was open: now anybody's packet counts
                (peer if now < 60 else other).sendto(b"stale", first.address)
                pool.sweep(float(now))
                with pytest.raises(PortsExhausted):
                    pool.open(float(now))
            assert second.receive() == []
            for now in range(100, 130):
                pool.sweep(float(now))
            with pytest.raises(PortsExhausted):
                pool.open(129.0)
            third = pool.open(131.0)
            assert third.address == first.address
            assert third.receive() == []

    def test_ten_minutes_are_the_longest_quarantine(self) -> None:
        with pool_of(41_060, 41_061) as pool, phone() as peer:
            port = pool.open(0.0)
            pool.release(port, 0.0)
            for now in range(0, 600, 5):
                peer.sendto(b"stale", port.address)
                with pytest.raises(PortsExhausted):
                    pool.open(float(now))
            assert pool.open(600.0).address == port.address

    def test_a_flood_does_not_hold_up_the_sweep(self) -> None:
        """A look empties the queue, within bounds: what came before it is heard once."""
        with pool_of(41_070, 41_071) as pool, phone() as peer:
            port = pool.open(0.0)
            pool.release(port, 0.0)
            for _ in range(150):
                peer.sendto(b"flood", port.address)
            pool.sweep(5.0)
            pool.sweep(10.0)
            with pytest.raises(PortsExhausted):
                pool.open(34.9)
            pool.sweep(30.0)
            pool.open(40.0)

    def test_ports_of_other_programs_are_passed_over(self) -> None:
        with pool_of(41_080, 41_085) as pool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((HOST, 41_080))
                assert pool.open(0.0).address[1] == 41_082
                assert pool.open(0.0).address[1] == 41_084
                with pytest.raises(PortsExhausted):
                    pool.open(0.0)
            assert pool.open(0.0).address[1] == 41_080

    def test_a_host_that_is_not_ours(self) -> None:
        pool = PortPool("192.0.2.1", 41_090, 41_091)
        with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
            pool.open(0.0)
        assert pool.free == 1
        pool.close()

    def test_no_file_descriptors_left(self) -> None:
        """Refused like a full pool, and nothing is lost by it."""
        with pool_of(41_100, 41_101) as pool:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                with pytest.raises(PortsExhausted):
                    pool.open(0.0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert pool.open(0.0).address[1] == 41_100

    def test_only_an_open_port_can_be_released(self) -> None:
        with pool_of(41_110, 41_111) as pool, a_port() as other:
            port = pool.open(0.0)
            pool.release(port, 0.0)
            for wrong in (port, other):
                with pytest.raises(ValueError, match="not an open port"):
                    pool.release(wrong, 0.0)

    def test_close_closes_everything(self) -> None:
        pool = PortPool(HOST, 41_120, 41_124)
        ports = [pool.open(0.0), pool.open(0.0)]
        pool.release(ports[0], 0.0)
        pool.close()
        assert [port.fileno() for port in ports] == [-1, -1]
        for number in (41_120, 41_122):
            Port((HOST, number)).close()


def test_an_epoll_of_ones_own_may_watch_a_port() -> None:
    with a_port() as port, phone() as peer, select.epoll() as epoll:
        epoll.register(port.fileno(), select.EPOLLIN)
        peer.sendto(b"x", port.address)
        assert epoll.poll(1.0) == [(port.fileno(), select.EPOLLIN)]
