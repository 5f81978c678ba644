"""Bad networks: what arrives is said in order, time stays true, and digits come once each."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest

from gateway.simulator.phone import Phone
from tests.clock import Network, run

from .house import GATEWAY, MemoryModel, house, noise

SCRIPT = {
    "turns": [
        {"hears": "Hello", "say": "Good day to you."},
        {"hears": "And then", "say": "Nothing."},
    ],
    "digits": {"*": "Thank you."},
}
KEYS = "0123456789*"


def is_rtp(data: bytes) -> bool:
    return data[0] >> 6 == 2


def now() -> float:
    return asyncio.get_running_loop().time()


def appended(model: MemoryModel, begin: float = 0.0, end: float = 1e9) -> float:
    """Seconds of sound that the model was given."""
    return sum(
        len(base64.b64decode(event["audio"])) / 48000
        for at, event in model.heard
        if event["type"] == "input_audio_buffer.append" and begin <= at < end
    )


async def dialogue(phone: Phone) -> None:
    """Two turns and an entry between them."""
    await phone.dial("100", GATEWAY)
    await phone.say(noise(0.6))
    await phone.until_sound()
    await phone.until_silence(1.0)
    await phone.press(KEYS + "#")
    await phone.until_sound()
    await phone.until_silence(1.0)
    await phone.say(noise(0.6))
    await phone.until_sound()
    await phone.until_silence(1.0)
    phone.hang_up()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_a_dialogue_over_a_network_that_loses(loss: float, seed: int, tmp_path: Path) -> None:
    """The call stays, digits come once each, and the sound lasts as long as it lasted."""

    async def main() -> None:
        network = Network(loss=loss, seed=seed)
        network.lossy = is_rtp
        async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
            await dialogue(phone)
            record = await home.record()
            assert home.holds_nothing()

        assert record["digits"] == [KEYS]
        assert [line["text"] for line in record["transcript"]] == [
            "Hello",
            "Good day to you.",
            "Thank you.",
            "And then",
            "Nothing.",
        ]
        rtp = record["rtp"]
        assert rtp["received"] + rtp["lost"] == pytest.approx(phone.sent, abs=5)
        assert rtp["lost"] / phone.sent == pytest.approx(loss, rel=0.4)
        assert len(phone.heard) / rtp["sent"] == pytest.approx(1 - loss, rel=0.05)
        assert record["usage"]["audio_in_s"] == pytest.approx(phone.sent / 50, abs=0.1)
        assert home.model.answers("error") == []

    run(main())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_dialogue_over_a_network_that_mixes(seed: int, tmp_path: Path) -> None:
    """Packets overtake each other by up to 55 ms, and 5 % come twice: none is lost."""

    async def main() -> None:
        network = Network(jitter=0.055, duplicates=0.05, seed=seed)
        async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
            await dialogue(phone)
            record = await home.record()

        assert record["digits"] == [KEYS]
        assert record["rtp"]["lost"] == 0
        assert record["rtp"]["late"] == 0
        assert 5 < record["rtp"]["jitter_ms"] < 30
        assert record["transcript"][-1]["text"] == "Nothing."
        assert home.model.answers("error") == []

    run(main())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_mixed_up_is_heard_in_order_to_the_sample(seed: int, tmp_path: Path) -> None:
    """A model that takes G.711 gets the very bytes that the phone sent."""

    async def main() -> None:
        network = Network(jitter=0.055, duplicates=0.05, seed=seed)
        sent: dict[int, bytes] = {}
        send = network.send

        def tapped(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
            if source[0] == "10.0.1.1" and is_rtp(data):
                sent[int.from_bytes(data[2:4], "big")] = data[12:]
            send(data, source, target)

        network.send = tapped  # type: ignore[method-assign] # a tap on the wire
        sound = {"type": "audio/pcma"}
        backend = {"provider": "compatible", "url": "ws://model/v1/realtime", "model": "m"}
        config = {"backends": {"model": {**backend, "input_format": sound}}}
        async with (
            house(tmp_path, SCRIPT, config=config, network=network) as home,
            home.phone() as phone,
        ):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(8))
            await asyncio.sleep(1)
        heard = b"".join(
            base64.b64decode(event["audio"])
            for event in home.model.events("input_audio_buffer.append")
        )
        spoken = b"".join(sent[sequence] for sequence in sorted(sent))
        assert len(heard) > 60_000
        assert heard in spoken

    run(main())


def test_a_turn_ends_though_the_sound_stops_with_it(tmp_path: Path) -> None:
    """The server counts the sound that it gets, so what is missing is filled in by the clock."""

    async def main() -> None:
        network = Network()
        async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.6))
            network.loss, network.lossy = 1.0, is_rtp
            began = now()
            await home.model.until("input_audio_buffer.speech_stopped")
            assert now() - began < 0.7  # 500 ms of silence, and what was on its way
            await asyncio.sleep(5)
            assert appended(home.model, began) == pytest.approx(now() - began, abs=0.1)

    run(main())


@pytest.mark.parametrize("pause", [0.1, 0.3, 0.45, 1.0, 3.0])
def test_time_is_never_heard_twice(pause: float, tmp_path: Path) -> None:
    """What the clock filled in is not filled in again when the stream goes on after a hole."""

    async def main() -> None:
        network = Network()
        network.lossy = is_rtp
        async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(1)
            began, before = now(), appended(home.model)
            for _ in range(5):
                network.loss = 1.0
                await asyncio.sleep(pause)
                network.loss = 0.0
                await asyncio.sleep(0.5)
            took = now() - began
            assert appended(home.model) - before == pytest.approx(took, abs=0.1)

    run(main())


def test_signalling_that_is_lost_too(tmp_path: Path) -> None:
    """A fifth of all SIP messages and of the sound: the call is made, is held, and ends."""

    async def main() -> None:
        network = Network(loss=0.2, seed=4)
        async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.6))
            await phone.until_sound()
            await phone.until_silence(1.0)
            assert await phone.hold()
            assert await phone.resume()
            phone.hang_up()
            record = await home.record()
            network.loss = 0.0
            await asyncio.sleep(70)
            assert home.gateway.endpoint.idle
        assert record["ended_by"] == "caller"

    run(main())


def test_loss_leaves_no_clicks(tmp_path: Path) -> None:
    """A hole is concealed: the model hears a fading voice, not 20 ms of nothing in a word."""

    async def main() -> None:
        network = Network(loss=0.05, seed=7)
        network.lossy = is_rtp
        async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(8))
            record_time = now()
            pcm = b"".join(
                base64.b64decode(event["audio"])
                for at, event in home.model.heard
                if event["type"] == "input_audio_buffer.append" and at < record_time
            )
        sound = np.frombuffer(pcm, "<i2").astype(np.float64)
        loud = np.flatnonzero(np.abs(sound) > 300)
        frames = sound[loud[0] : loud[-1]]
        frames = frames[: len(frames) // 480 * 480].reshape(-1, 480)
        assert np.sqrt((frames**2).mean(axis=1)).min() > 300

    run(main())
