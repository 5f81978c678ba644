"""The model remembers what was heard: 200 barge-ins, each found again in what the phone received.

The assistant speaks seeded noise, of which no stretch is like another. Of each interrupted reply
the last sound that the phone received is found in the noise by correlation; its place, carried to
the last packet that left the gateway, must be where the truncate says, within a millisecond.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.g711 import codec
from gateway.rtp.packet import Packet, is_rtcp, parse, timestamp_delta
from gateway.simulator.phone import Phone
from gateway.simulator.speech import resample
from tests.clock import Network, run

from .house import GATEWAY, House, house, noise

TURNS = 10
LOUD = 200  # of 32767; the noise is far above, silence in A-law is 8
NOTHING = 0.5  # s after a barge-in in which all that was on its way has come


@dataclass(frozen=True)
class Variant:
    """One kind of house."""

    name: str
    seed: int
    items: int = 1
    speed: float = 5.0
    loss: float = 0.0
    stall: float = 0.0  # s that the model's messages are held back now and then


VARIANTS = [
    *[Variant("one item", seed) for seed in range(4)],
    *[Variant("two items", seed, items=2) for seed in range(10, 14)],
    *[Variant("underruns", seed, speed=1.2, stall=0.6) for seed in range(20, 24)],
    *[Variant("5 % loss", seed, loss=0.05) for seed in range(30, 34)],
    Variant("1 x", 40, speed=1.0),
    Variant("2 x", 41, speed=2.0, items=2),
    Variant("10 x", 42, speed=10.0),
    Variant("20 x", 43, speed=20.0, items=2, loss=0.05),
]


def script(variant: Variant) -> dict[str, Any]:
    """Long replies, each of other noise."""
    turns = []
    for turn in range(TURNS + 1):
        first = f"turn {turn} of seed {variant.seed} " + "x" * (40 if variant.items > 1 else 110)
        second = [f"and more in turn {turn} of seed {variant.seed} " + "y" * 90]
        turns.append({"say": [first, *second[: variant.items - 1]]})
    return {"turns": turns}


class Wire:
    """The RTP that leaves the gateway, before the network loses any of it."""

    def __init__(self, network: Network) -> None:
        self.sent: list[tuple[float, Packet]] = []
        self._send = network.send
        network.send = self._tapped  # type: ignore[method-assign] # a tap on the wire

    def _tapped(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if source[0] == GATEWAY[0] and source[1] != GATEWAY[1] and not is_rtcp(data):
            self.sent.append((asyncio.get_running_loop().time(), parse(data)))
        self._send(data, source, target)


async def barge_in(home: House, phone: Phone, dice: random.Random, turn: int) -> float:
    """Wait into the reply and speak; returns when the truncate left."""
    before = len(home.model.events("conversation.item.truncate"))
    await phone.until_sound()
    await asyncio.sleep(dice.uniform(0.2, 3.5))
    await phone.say(noise(0.4, seed=turn + 1000))
    await asyncio.sleep(NOTHING)
    assert len(home.model.events("conversation.item.truncate")) == before + 1
    times = [at for at, event in home.model.heard if event["type"] == "conversation.item.truncate"]
    return times[-1]


def reference(home: House, item_id: str) -> npt.NDArray[np.float64]:
    """An item as the phone should hear it: 8 kHz, by a filter that is not the gateway's."""
    pcm = resample(home.model.audio(item_id), 24000, 8000)
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def heard_before(phone: Phone, moment: float) -> Packet:
    """The last packet with full speech that the phone received of what left before `moment`."""
    for heard in reversed(phone.heard):
        samples = codec("PCMA").decode(heard.packet.payload)
        if heard.at <= moment + 0.1 and (np.abs(samples) > LOUD).sum() > 60:
            return heard.packet
    raise AssertionError("nothing was heard")


def place(sound: npt.NDArray[np.float64], of: npt.NDArray[np.float64]) -> int:
    """Where `sound` begins in `of`, by normalised correlation; it must be found beyond doubt."""
    scores = np.correlate(of, sound, "valid")
    energy = np.sqrt(np.convolve(of**2, np.ones(len(sound)), "valid"))
    scores /= np.maximum(energy, 1.0) * np.sqrt((sound**2).sum())
    best = int(np.argmax(scores))
    assert scores[best] > 0.8, f"not found: {scores[best]:.2f}"
    return best


def last_sample(wire: Wire, moment: float) -> tuple[Packet, int]:
    """The last packet with speech that left before `moment`, and how much of it is speech."""
    for at, packet in reversed(wire.sent):
        loud = np.flatnonzero(np.abs(codec("PCMA").decode(packet.payload)) > LOUD)
        if at <= moment and len(loud):
            return packet, int(loud[-1]) + 1
    raise AssertionError("nothing was sent")


def off_by(home: House, phone: Phone, wire: Wire, moment: float) -> float:
    """How far the last truncate is from what left for the phone, in ms."""
    truncate = home.model.events("conversation.item.truncate")[-1]
    item = reference(home, truncate["item_id"])
    anchor = heard_before(phone, moment)
    sound = codec("PCMA").decode(anchor.payload).astype(np.float64)
    whole = np.abs(sound) > 0
    first, end = int(np.argmax(whole)), len(sound) - int(np.argmax(whole[::-1]))
    began = place(sound[first:end], item) - first
    last, count = last_sample(wire, moment)
    sent = began + timestamp_delta(last.timestamp, anchor.timestamp) + count
    return float(truncate["audio_end_ms"] - sent / 8)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{v.name} {v.seed}")
def test_the_truncate_names_the_last_sample_sent(variant: Variant, tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(loss=variant.loss, seed=variant.seed)
        network.lossy = lambda data: data[0] == 0x80  # RTP; SIP has its own tests
        wire = Wire(network)
        dice = random.Random(variant.seed)
        options: dict[str, Any] = {
            "speed": variant.speed,
            "stall": variant.stall,
            "seed": variant.seed,
        }
        async with (
            house(tmp_path, script(variant), network=network, **options) as home,
            home.phone() as phone,
        ):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            errors = []
            for turn in range(TURNS):
                moment = await barge_in(home, phone, dice, turn)
                errors.append(off_by(home, phone, wire, moment))
            assert max(map(abs, errors)) <= 1.0, errors
            assert home.model.answers("error") == []
            phone.hang_up()
            record = await home.record()
        assert len(record["barge_ins"]) == TURNS

    run(main())
