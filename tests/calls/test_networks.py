"""What a bad network does to a caller's sound, judged byte by byte: each packet has its own noise.

The model takes A-law here, as the caller sends it, so what it is given are the very bytes of hers,
or it is not what she said. Time is virtual, and a seed makes each network the same every run.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.rtp.packet import is_rtcp
from tests.clock import Address, Network, run
from tests.torture.caller import FRAME, Caller, calling
from tests.torture.watch import nothing_breaks

from .house import GATEWAY, House, house

A_LAW = {
    "backends": {
        "model": {
            "provider": "compatible",
            "url": "ws://model/v1/realtime",
            "model": "m",
            "input_format": {"type": "audio/pcma"},
        }
    }
}
QUIET = bytes(value for value in range(256) if (value ^ 0x55) & 0x7F < 16)  # of A-law
LOUD = bytes(value for value in range(256) if value not in QUIET)
DELAY = 0.005  # s, of every network here
READ = 0.02  # s until the next tick
APPEND = 0.04  # s of sound in an append


def is_rtp(data: bytes) -> bool:
    return data[0] >> 6 == 2


class InOrder(Network):
    """Each datagram is late by another time, up to `spread` s, and none overtakes another."""

    def __init__(self, spread: float, seed: int) -> None:
        super().__init__(delay=DELAY)
        self._spread = spread
        self._lateness = random.Random(seed)
        self._latest: dict[Address, float] = {}  # by target

    def send(self, data: bytes, source: Address, target: Address) -> None:
        loop = asyncio.get_running_loop()
        lateness = self._lateness.uniform(0, self._spread) if is_rtp(data) else 0.0
        at = max(self._latest.get(target, 0.0), loop.time() + self.delay + lateness)
        self._latest[target] = at
        loop.call_at(at, self._arrive, data, source, target)


class Stalling(Network):
    """Each `every` s nothing comes through for `held` s; then all of it does at once."""

    def __init__(self, every: float, held: float) -> None:
        super().__init__(delay=DELAY)
        self._every, self._held = every, held

    def send(self, data: bytes, source: Address, target: Address) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + self.delay
        phase = at % self._every
        if is_rtp(data) and phase < self._held:
            at += self._held - phase
        loop.call_at(at, self._arrive, data, source, target)


class Bursty(Network):
    """Three to ten packets in a row are lost, again and again; `lost` is which of hers."""

    def __init__(self, seed: int) -> None:
        super().__init__(delay=DELAY)
        self._where = random.Random(seed)
        self._run = 0
        self._next = 25
        self._count = 0  # of hers
        self.lost: set[int] = set()

    def send(self, data: bytes, source: Address, target: Address) -> None:
        if source[1] == 7000 and is_rtp(data):
            self._count += 1
            if self._count >= self._next:
                self.lost.add(self._count - 1)
                self._run = (self._run or self._where.randint(3, 10)) - 1
                if not self._run:
                    self._next = self._count + self._where.randint(30, 80)
                return
        super().send(data, source, target)


class Talk:
    """A caller whose every packet is noise of its own."""

    def __init__(self, home: House, caller: Caller, seed: int) -> None:
        self.home = home
        self.caller = caller
        self.spoken: list[bytes] = []  # payloads
        self.said_at: list[float] = []
        self._dice = random.Random(seed)

    async def speak(self, seconds: float) -> None:
        """Packets of 20 ms, each other bytes."""
        for _ in range(round(seconds * 50)):
            # no silence among them, so that none can be taken for it
            payload = bytes(self._dice.choice(LOUD) for _ in range(FRAME))
            self.spoken.append(payload)
            self.said_at.append(asyncio.get_running_loop().time())
            await self.caller.say(payload)

    @property
    def given(self) -> list[tuple[float, bytes]]:
        """What the model was given, and when."""
        return [
            (at, base64.b64decode(event["audio"]))
            for at, event in self.home.model.heard
            if event["type"] == "input_audio_buffer.append"
        ]

    @property
    def heard(self) -> bytes:
        """All that it was given, without the silence before she spoke and after."""
        return b"".join(data for _, data in self.given).strip(QUIET)


@asynccontextmanager
async def talking(folder: Path, network: Network, seed: int = 1) -> AsyncIterator[Talk]:
    """A call over such a network; nothing of it breaks, and what we send has no hole."""
    with nothing_breaks():
        async with house(folder, {}, network=network, config=A_LAW) as home:
            async with calling(network, seed) as caller:
                assert (await caller.dial()).status == 200
                left = leaving(network, caller.address)
                yield Talk(home, caller, seed)
                await asyncio.sleep(1.0)
                steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(left)}
                assert steps == {1}
            assert (await home.record())["cause"] == "hang_up"


def leaving(network: Network, caller: Address) -> list[int]:
    """The sequence numbers of what the gateway sends there, from now on."""
    left: list[int] = []
    send = network.send

    def tapped(data: bytes, source: Address, target: Address) -> None:
        if source[0] == GATEWAY[0] and target == caller and not is_rtcp(data):
            left.append(int.from_bytes(data[2:4], "big"))
        send(data, source, target)

    network.send = tapped  # type: ignore[method-assign] # a tap on the wire
    return left


def waits(talk: Talk) -> list[float]:
    """How long the last sample of each append had waited since its packet left, in s."""
    whole = b"".join(data for _, data in talk.given)
    begin = whole.index(talk.spoken[0])
    out, count = [], 0
    for at, data in talk.given:
        count += len(data)
        index = (count - begin - 1) // FRAME
        if 0 <= index < len(talk.spoken):
            out.append(at - talk.said_at[index])
    return out


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("spread", [0.05, 0.1, 0.15])
def test_jitter_in_order_costs_nothing_but_itself(spread: float, seed: int, tmp_path: Path) -> None:
    """Every sample is heard once, and none later than the network made it."""

    async def main() -> None:
        async with talking(tmp_path, InOrder(spread, seed), seed) as talk:
            await talk.speak(8.0)
        assert talk.heard == b"".join(talk.spoken)
        record = await talk.home.record()
        assert (record["rtp"]["lost"], record["rtp"]["late"]) == (0, 0)
        assert max(waits(talk)) <= DELAY + spread + READ + APPEND

    run(main())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_jitter_of_a_fifth_of_a_second_loses_nothing(seed: int, tmp_path: Path) -> None:
    """The clock may fill in where nothing came for so long, but each packet is heard all the same,
    in its order, and what was filled in is taken out of the next pause."""

    async def main() -> None:
        async with talking(tmp_path, InOrder(0.2, seed), seed) as talk:
            await talk.speak(8.0)
        assert talk.heard.translate(None, QUIET) == b"".join(talk.spoken)
        record = await talk.home.record()
        assert (record["rtp"]["lost"], record["rtp"]["late"]) == (0, 0)

    run(main())


@pytest.mark.parametrize("held", [0.06, 0.12, 0.18])
def test_packets_that_come_in_bursts(held: float, tmp_path: Path) -> None:
    """As a radio link does it that sleeps: nothing for a while, then all at once."""

    async def main() -> None:
        async with talking(tmp_path, Stalling(1.0, held)) as talk:
            await talk.speak(8.0)
        assert talk.heard == b"".join(talk.spoken)
        assert (await talk.home.record())["rtp"]["lost"] == 0
        assert max(waits(talk)) <= DELAY + held + READ + APPEND

    run(main())


@pytest.mark.parametrize("seed", range(1, 9))
def test_what_overtakes_by_60_ms_is_put_in_order(seed: int, tmp_path: Path) -> None:
    """To the sample; 5 % come twice, and are heard once."""

    async def main() -> None:
        network = Network(delay=DELAY, duplicates=0.05, seed=seed)
        async with talking(tmp_path, network, seed) as talk:
            await talk.speak(0.1)  # the first to come is where a stream begins
            network.jitter = 0.06
            await talk.speak(8.0)
        assert talk.heard == b"".join(talk.spoken)
        record = await talk.home.record()
        assert (record["rtp"]["lost"], record["rtp"]["late"]) == (0, 0)
        assert max(waits(talk)) <= DELAY + 0.06 + READ + APPEND

    run(main())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_losses_in_bursts_keep_time(seed: int, tmp_path: Path) -> None:
    """60 to 200 ms are missing again and again: what comes is where it was said, to the sample."""

    async def main() -> None:
        network = Bursty(seed)
        async with talking(tmp_path, network, seed) as talk:
            await talk.speak(10.0)
        heard, lost = talk.heard, network.lost
        assert len(lost) > 40
        assert len(heard) == len(talk.spoken) * FRAME
        for n, payload in enumerate(talk.spoken):
            if n not in lost and n - 1 not in lost:  # the first one after a hole is led in to
                assert heard[n * FRAME : (n + 1) * FRAME] == payload, n
        assert (await talk.home.record())["rtp"]["lost"] == len(lost)

    run(main())


CHANGES: dict[str, dict[str, Any]] = {
    "SSRC": {"ssrc": 77},
    "SSRC and numbers": {"ssrc": 77, "sequence": 20_000, "timestamp": 2**30},
    "SSRC and numbers back": {"ssrc": 1, "sequence": -20_000, "timestamp": -(2**30)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_stream_of_the_same_source(change: str, tmp_path: Path) -> None:
    """Five times in a call, each time less than 40 ms are missing, and nothing is made up."""

    async def main() -> None:
        async with talking(tmp_path, Network(delay=DELAY)) as talk:
            began: list[int] = []
            for _ in range(5):
                await talk.speak(1.0)
                began.append(len(talk.spoken))
                caller, by = talk.caller, CHANGES[change]
                caller.ssrc += by["ssrc"]
                caller.sequence = (caller.sequence + by.get("sequence", 0)) & 0xFFFF
                caller.timestamp = (caller.timestamp + by.get("timestamp", 0)) & 0xFFFFFFFF
            await talk.speak(1.0)
        missing = [n for n, payload in enumerate(talk.spoken) if payload not in talk.heard]
        assert missing == began  # the first one of a new stream has to be followed by a second
        assert len(talk.heard) <= len(talk.spoken) * FRAME
        assert max(waits_after(talk, began)) < 0.04 + DELAY + READ + APPEND

    run(main())


def waits_after(talk: Talk, began: list[int]) -> list[float]:
    """For each new stream, how long it took from its first packet until any of it was heard."""
    out = []
    for n in began:
        first = next(at for at, data in talk.given if talk.spoken[n + 1][:80] in data)
        out.append(first - talk.said_at[n])
    return out
