"""The service's own RTP ports, on real sockets, in whole calls on virtual time.

A port that a call gave back is kept until nobody sends to it any more, so that the next caller is
not heard with the last one's voice; where a network refuses what we send the call goes on; and of
calls that are given up on the way nothing stays open.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.rtp.packet import Packet, encode, is_rtcp
from gateway.rtp.port import LONGEST_QUARANTINE, LOOK, QUIET
from gateway.sip.endpoint import Address
from tests.clock import Network, run
from tests.torture.caller import PCMA, Caller, tone
from tests.torture.watch import nothing_breaks

from .house import House, SocketPorts, house

HOST = "127.0.0.1"
CONFIG: dict[str, Any] = {
    "media": {"public_address": HOST, "rtp_timeout": 90},
    "sip": {"listen": ["udp:10.0.0.1:5060"], "max_calls_per_second": 1000},
}
HERS, HIS = 400.0, 1600.0  # Hz
RATE = 24000  # Hz, of what the model hears
FRAME = RATE // 50


class SocketCaller(Caller):
    """A caller whose sound goes by a real socket; her SIP is in memory."""

    def __init__(self, network: Network, host: str) -> None:
        super().__init__(network, host, seed=int(host.rsplit(".", 1)[1]))
        self.socket: socket.socket | None = None
        self.plug()

    def plug(self) -> None:
        """Listen, at the same port each time."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((self.host, 7000))

    def unplug(self) -> None:
        """Listen no more: what comes is refused by ICMP."""
        if self.socket:
            self.socket.close()
            self.socket = None

    async def close(self) -> None:
        await super().close()
        self.unplug()

    def send(self, data: bytes, source: Address | None = None) -> None:
        if self.target and self.socket:
            try:
                self.socket.sendto(data, self.target)
            except ConnectionRefusedError:
                pass  # of something before

    def arrived(self) -> list[bytes]:
        """The RTP that is there."""
        came = []
        while self.socket:
            try:
                data = self.socket.recv(2048)
            except ConnectionRefusedError:
                continue
            except BlockingIOError:
                break
            if not is_rtcp(data):
                came.append(data)
        return came

    async def speak(self, seconds: float, hertz: float = HERS) -> int:
        """A tone; returns how many packets came meanwhile."""
        self.arrived()
        came = 0
        for n in range(round(seconds * 50)):
            await self.say(tone(hertz, n))
            came += len(self.arrived())
        return came


@asynccontextmanager
async def calling(network: Network, number: int) -> AsyncIterator[SocketCaller]:
    """A caller at 127.0.1.number."""
    caller = SocketCaller(network, f"127.0.1.{number}")
    await caller.open()
    try:
        yield caller
    finally:
        await caller.close()


def port_range(count: int) -> tuple[int, int]:
    """So many pairs of ports that nobody has, anywhere on this machine."""
    for first in range(20_000, 30_000, 2 * count):
        try:
            for number in range(first, first + 2 * count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
                    tried.bind((HOST, number))
        except OSError:
            continue
        return first, first + 2 * count - 1
    raise AssertionError("no ports are free")


@asynccontextmanager
async def with_ports(
    folder: Path, count: int, network: Network, script: dict[str, Any] | None = None
) -> AsyncIterator[tuple[House, list[Any]]]:
    """A house that has so many pairs of ports, and what it logs."""
    ports = SocketPorts(HOST, *port_range(count))
    with nothing_breaks() as log:
        async with house(folder, script, network=network, ports=ports, config=CONFIG) as home:
            yield home, log


def descriptors() -> int:
    """How many of this process are open."""
    return len(os.listdir("/proc/self/fd"))


def sound(home: House) -> npt.NDArray[np.float64]:
    """All that the model was given."""
    texts = [event["audio"] for event in home.model.events("input_audio_buffer.append")]
    return np.frombuffer(b"".join(map(base64.b64decode, texts)), "<i2").astype(np.float64)


def level(samples: npt.NDArray[np.float64], hertz: float) -> float:
    """How loud one tone is in a stretch of sound: its amplitude."""
    at = np.arange(len(samples)) / RATE
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * hertz * at))))


async def go_on_sending(caller: SocketCaller, target: Address) -> None:
    """As a phone does that never got the BYE: 50 packets a second, in the same stream."""
    assert caller.socket
    n = 0
    while True:
        n += 1
        packet = Packet(PCMA, (caller.sequence + n) & 0xFFFF, n * 160, caller.ssrc, tone(HIS, n))
        try:
            caller.socket.sendto(encode(packet), target)
        except ConnectionRefusedError:
            pass
        await asyncio.sleep(0.02)


def test_a_port_that_is_still_sent_to_is_nobody_elses(tmp_path: Path) -> None:
    """
    Two ports: the first call is over, and its phone goes on to send. The second call has the
    other port and hears nothing of it; a third is refused, 503, until the first port is quiet.
    """

    async def main() -> None:
        network = Network()
        async with (
            with_ports(tmp_path, 2, network) as (home, _),
            calling(network, 1) as first,
            calling(network, 2) as second,
            calling(network, 3) as third,
        ):
            assert (await first.dial()).status == 200
            await first.speak(1.0, HIS)
            theirs = first.target
            assert theirs
            first.hang_up()
            await asyncio.sleep(0.5)
            sending = asyncio.create_task(go_on_sending(first, theirs))
            home.model.heard.clear()

            assert (await second.dial()).status == 200
            assert second.target
            assert second.target != theirs
            assert await second.speak(2.0) >= 95
            heard = sound(home)
            assert level(heard, HIS) < 8
            assert level(heard[10 * FRAME : -10 * FRAME], HERS) > 7000
            await refused(home, third)
            await asyncio.sleep(2 * QUIET)
            await second.speak(0.2)
            await refused(home, third)  # the phone sends yet

            sending.cancel()
            await asyncio.sleep(QUIET + 2 * LOOK)
            assert (await third.dial()).status == 200
            assert third.target == theirs
            home.model.heard.clear()
            await asyncio.gather(third.speak(1.0), second.speak(1.0))
            assert level(sound(home), HIS) < 8
            second.hang_up()
            third.hang_up()
            records = await home.records()
        received = {it["cause"]: it["rtp"]["received"] for it in records if it["sip_status"] == 200}
        assert [it["cause"] for it in records].count("no_ports") == 2
        assert received["hang_up"] > 0

    run(main())


async def refused(home: House, caller: Caller) -> None:
    """She calls in vain, and nothing is left of it."""
    before = home.gateway.calls, len(home.ports.opened), home.model.open_connections
    assert (await caller.dial()).status == 503
    await asyncio.sleep(0.1)
    assert (home.gateway.calls, len(home.ports.opened), home.model.open_connections) == before


def test_a_phone_that_never_stops_holds_its_port_for_ten_minutes(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network()
        async with (
            with_ports(tmp_path, 1, network) as (home, _),
            calling(network, 1) as first,
            calling(network, 2) as second,
        ):
            assert (await first.dial()).status == 200
            await first.speak(0.2)
            theirs = first.target
            assert theirs
            first.hang_up()
            ended = asyncio.get_running_loop().time()
            sending = asyncio.create_task(keep_alive(first, theirs))
            while (await second.dial()).status == 503:  # noqa: ASYNC110 - as she would try
                await asyncio.sleep(10.0)
            took = asyncio.get_running_loop().time() - ended
            assert took == pytest.approx(LONGEST_QUARANTINE, abs=10 + 2 * LOOK)
            sending.cancel()
            await second.speak(0.2)
            second.hang_up()
            await home.records()

    run(main())


async def keep_alive(caller: SocketCaller, target: Address) -> None:
    """Now and then a packet."""
    assert caller.socket
    while True:
        try:
            caller.socket.sendto(b"\x80\x08" + bytes(170), target)
        except ConnectionRefusedError:
            pass
        await asyncio.sleep(4.0)


def test_calls_that_are_given_up_leave_no_port_behind(tmp_path: Path) -> None:
    """
    Two ports, and 60 calls that end before they are answered, refused or given up: nobody was
    told of a port, so each is free at once. As many descriptors are open afterwards as before.
    """

    async def main() -> None:
        network = Network()
        async with with_ports(tmp_path, 2, network) as (home, _), calling(network, 1) as caller:
            home.model.delay = 0.2  # the call rings for so long, twice and more
            before = descriptors()
            statuses = []
            for n in range(60):
                offers = [None, caller.offer(port=0), b"v=0\r\nnonsense"]
                dialling = asyncio.create_task(caller.dial(offers[n % 3]))
                await asyncio.sleep((0.0, 0.004, 0.015, 0.1, 0.3)[n % 5])
                caller.hang_up()
                statuses.append((await dialling).status)
                await asyncio.sleep(1.0)
                assert home.holds_nothing()
                assert descriptors() == before
            assert 503 not in statuses
            assert {487, 488} <= set(statuses)
            assert (await caller.dial()).status == 200
            caller.hang_up()
            await home.records()
            await asyncio.sleep(QUIET + 3 * LOOK)
            assert descriptors() == before

    run(main())


def test_a_phone_that_refuses_our_sound_is_kept(tmp_path: Path) -> None:
    """
    Its port is closed for 15 s, and packets are answered by ICMP. Nothing breaks; what it says next
    is heard, and it hears us in the same moment.
    """

    async def main() -> None:
        network = Network()
        async with (
            with_ports(tmp_path, 2, network) as (home, log),
            calling(network, 1) as caller,
        ):
            assert (await caller.dial()).status == 200
            assert await caller.speak(2.0) >= 95
            caller.unplug()
            await caller.speak(15.0)
            caller.plug()
            assert await caller.speak(2.0) >= 95
            heard = sound(home)[-90 * FRAME : -10 * FRAME]
            assert level(heard, HERS) > 7000
            caller.hang_up()
            record = await home.record()
        assert record["cause"] == "hang_up"
        (told,) = [line for line in log if line["event"] == "call_irregular"]
        assert 400 < told["rtp_refused"] <= 1500

    run(main())


def test_a_phone_that_is_gone_is_given_up_as_one_that_is_silent(tmp_path: Path) -> None:
    """After `rtp_timeout` of nothing but refusals."""

    async def main() -> None:
        network = Network()
        async with with_ports(tmp_path, 2, network) as (home, _), calling(network, 1) as caller:
            assert (await caller.dial()).status == 200
            await caller.speak(1.0)
            caller.unplug()
            gone = asyncio.get_running_loop().time()
            await caller.ended.wait()
            assert asyncio.get_running_loop().time() - gone == pytest.approx(90, abs=0.5)
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("network", "rtp_timeout")

    run(main())
