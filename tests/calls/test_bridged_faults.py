"""Two parties joined, and a bad network or a stranger between: each hears the other, and nobody."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gateway.rtp.packet import Packet, encode, is_rtcp, timestamp_delta
from gateway.simulator.phone import Phone
from tests.clock import Address, Network, Unfiltered, run
from tests.torture.caller import tone
from tests.torture.test_rtp import NO_PACKETS
from tests.torture.watch import nothing_breaks

from .house import House, noise
from .test_bridged import asked, heard_since, is_unbroken, likeness, now, sound, two_phones

STRANGER = ("203.0.113.7", 7000)


def doors(home: House, phones: tuple[Phone, Phone]) -> list[tuple[Address, Address]]:
    """For each phone: where its sound comes from, and the gateway's port for it."""
    pairs = []
    for phone in phones:
        assert phone.handset.port
        assert phone.handset.media
        assert phone.handset.media.remote
        pairs.append((phone.handset.port.address, phone.handset.media.remote))
    return pairs


async def both_speak(phone: Phone, other: Phone, seconds: float, seed: int) -> tuple[float, float]:
    """How well each hears the other meanwhile."""
    began, a, b = now(), noise(seconds, seed=seed), noise(seconds, seed=seed + 1)
    await asyncio.gather(phone.say(a), other.say(b))
    await asyncio.sleep(0.2)
    middle = slice(800, len(a) - 800)
    return likeness(sound(other, began), a[middle]), likeness(sound(phone, began), b[middle])


@pytest.mark.parametrize("network", [Network, Unfiltered])
def test_strangers_are_heard_by_neither(network: Callable[[], Network], tmp_path: Path) -> None:
    """Packets as good as theirs, at both ports, 200 a second: none passes, none is sent to him."""

    async def main() -> None:
        net = network()
        robbed: list[bytes] = []
        net.open(STRANGER, lambda data, source: robbed.append(data))
        with nothing_breaks():
            async with two_phones(tmp_path, network=net) as (home, phone, other):
                spraying = asyncio.create_task(spray(home, net))
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.1)
                assert min(await both_speak(phone, other, 3.0, 31)) > 0.98
                assert is_unbroken(phone)
                assert is_unbroken(other)
                spraying.cancel()
        assert robbed == []

    run(main())


async def spray(home: House, network: Network) -> None:
    """A steady stream to each port that is open."""
    for n in itertools.count():
        packet = encode(Packet(8, n & 0xFFFF, n * 160, 666, tone(1600.0, n)))
        for port in home.ports.opened:
            network.send(packet, STRANGER, port.address)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", NO_PACKETS)
def test_what_is_no_packet_is_not_passed_on(kind: str, tmp_path: Path) -> None:
    """From their own addresses, with each of their packets: the other hears a whole stream."""

    async def main() -> None:
        with nothing_breaks():
            async with two_phones(tmp_path) as (home, phone, other):
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.1)
                ends = doors(home, (phone, other))
                junk = asyncio.create_task(send_junk(home.network, ends, NO_PACKETS[kind]))
                assert min(await both_speak(phone, other, 1.5, 41)) > 0.98
                junk.cancel()
                assert is_unbroken(phone)
                assert is_unbroken(other)

    run(main())


async def send_junk(
    network: Network, ends: list[tuple[Address, Address]], datagrams: list[bytes]
) -> None:
    """Each 20 ms, of both."""
    cycle: Iterator[bytes] = itertools.cycle(datagrams)
    while True:
        for source, target in ends:
            network.send(next(cycle), source, target)
        await asyncio.sleep(0.02)


def test_another_stream_goes_on_in_ours(tmp_path: Path) -> None:
    """Five times in a call: one SSRC of ours, no number left out, less than 40 ms missing."""

    async def main() -> None:
        dice = random.Random(3)
        with nothing_breaks():
            async with two_phones(tmp_path) as (_, phone, other):
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.1)
                began = now()
                speaking = asyncio.create_task(phone.say(noise(6.0, seed=51)))
                for _ in range(5):
                    await asyncio.sleep(1.0)
                    handset = phone.handset
                    handset._ssrc, handset._sequence = dice.getrandbits(32), dice.getrandbits(16)
                    handset._timestamp = dice.getrandbits(32)
                await speaking
                await asyncio.sleep(0.1)
                heard = heard_since(other, began)
                assert is_unbroken(other)
                assert len(heard) >= (now() - began) * 50 - 5 - 3
                assert max(b.at - a.at for a, b in pairwise(heard)) < 0.045
                steps = [
                    timestamp_delta(b.packet.timestamp, a.packet.timestamp)
                    for a, b in pairwise(heard)
                ]
                assert sum(steps) / 8000 == pytest.approx(heard[-1].at - heard[0].at, abs=0.05)
                assert max(steps) <= 480

    run(main())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_network_is_as_bad_as_it_is_and_no_worse(seed: int, tmp_path: Path) -> None:
    """Loss, packets that overtake and that come twice pass as they are, by their numbers."""

    async def main() -> None:
        network = Network(seed=seed)
        with nothing_breaks():
            async with two_phones(tmp_path, network=network) as (_, phone, other):
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.1)
                network.lossy = lambda data: data[0] >> 6 == 2 and not is_rtcp(data)
                network.loss, network.jitter, network.duplicates = 0.05, 0.03, 0.05
                began, voice = now(), noise(8.0, seed=61)
                await phone.say(voice)
                network.loss = network.jitter = network.duplicates = 0.0
                await asyncio.sleep(0.2)
                heard = {it.packet.sequence: it.packet for it in heard_since(other, began)}
                assert len(heard) == pytest.approx(410 * 0.95**2, rel=0.05)
                first = min(heard.values(), key=lambda it: timestamp_delta(it.timestamp, 0))
                for packet in heard.values():
                    numbers = (packet.sequence - first.sequence) & 0xFFFF
                    assert timestamp_delta(packet.timestamp, first.timestamp) == 160 * numbers
                assert np.unique([it.ssrc for it in heard.values()]).size == 1
                assert not phone.ended.is_set()

    run(main())


def test_numbers_wrap(tmp_path: Path) -> None:
    """Both phones' in the midst of what they say."""

    async def main() -> None:
        near = {"sequence": 65_400}
        with nothing_breaks():
            async with two_phones(tmp_path, caller=near, target=near) as (_, phone, other):
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.1)
                assert min(await both_speak(phone, other, 4.0, 71)) > 0.98
                assert is_unbroken(phone)
                assert is_unbroken(other)
                assert phone.handset._sequence < 65_400
                assert other.handset._sequence < 65_400

    run(main())
