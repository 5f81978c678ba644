"""Recordings of whole calls: every sound is at the sample where it belongs, whatever happens.

All packets are noted at the gateway's port with their times. What left at t is t after the answer
in the model's track; what was read at t ends there in the caller's. Where each sound is in the
file is asked of the file, by correlation.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.g711 import codec
from gateway.call.alignment import DRIFT
from gateway.rtp.packet import RtpError, is_rtcp, parse
from gateway.simulator import handset
from gateway.simulator.phone import Answering, Phone
from tests.clock import LoopTicker, Network, run

from . import house as houses
from .house import GATEWAY, House, house, noise
from .test_bridged import outputs, trunk, two_phones, until

RATE = 8000
LAWS = {0: "PCMU", 8: "PCMA"}
STORIES = [
    " ".join([f"The {kind} story of the telephone."] * 4) for kind in ("first", "next", "last")
]
SCRIPT = {"turns": [{"hears": "More", "say": story} for story in STORIES]}  # 8.8 s each
NEAR = 3 * RATE  # samples
WINDOW = 25  # packets: half a second is enough to be found again

Sound = npt.NDArray[np.float64]


class Passed(NamedTuple):
    """A packet at the gateway's port."""

    at: float
    sound: Sound


class Tap:
    """The sound at the gateway's ports for one phone, both ways."""

    def __init__(self, network: Network, host: str = "10.0.1.1") -> None:
        self.model: list[Passed] = []  # when it left
        self.caller: list[Passed] = []  # when it came
        self._delay, self._send, self._host = network.delay, network.send, host
        network.send = self._tapped  # type: ignore[method-assign] # a tap on the wire

    def _tapped(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        self._send(data, source, target)
        ours = source[0] == GATEWAY[0]
        peer = target if ours else source
        if peer[0] != self._host or peer[1] == 5060 or is_rtcp(data):
            return
        try:
            packet = parse(data)
        except RtpError:
            return
        if law := LAWS.get(packet.payload_type):
            sound = codec(law).decode(packet.payload).astype(np.float64)
            at = asyncio.get_running_loop().time()
            (self.model if ours else self.caller).append(
                Passed(at if ours else at + self._delay, sound)
            )


def windows(passed: list[Passed]) -> Iterator[tuple[float, Sound]]:
    """Stretches that are loud from their beginning to their end, with the time of the first."""
    at = 0
    while at + WINDOW <= len(passed):
        these = passed[at : at + WINDOW]
        steps = np.diff([it.at for it in these])
        quiet = [n for n, it in enumerate(these) if np.abs(it.sound).max() < 1000]
        late = [n + 1 for n, step in enumerate(steps) if abs(step - 0.02) > 1e-4]
        if not quiet and not late:
            yield these[0].at, np.concatenate([it.sound for it in these])
            at += WINDOW
        else:
            at += max([n + 1 for n in quiet] + late)


def behind(track: Sound, sound: Sound, expected: int, least: float) -> int:
    """By how many samples it is behind its place: where, within seconds, it is most alike."""
    start = max(0, expected - NEAR)
    near = track[start : expected + NEAR + len(sound)]
    size = 1 << (len(near) + len(sound)).bit_length()
    spectrum = np.fft.rfft(near, size) * np.conj(np.fft.rfft(sound, size))
    products = np.fft.irfft(spectrum, size)[: len(near) - len(sound) + 1]
    energy = np.cumsum(np.concatenate(([0.0], near**2)))
    energy = energy[len(sound) :] - energy[: -len(sound)]
    alike = products / np.sqrt(np.maximum(energy, 1e6) * (sound**2).sum())
    found = int(np.argmax(alike))
    assert alike[found] > least
    return start + found - expected


class Call(NamedTuple):
    """A recorded call."""

    tap: Tap
    began: float  # the loop's time
    caller: Sound
    model: Sound

    def offsets(self, *, alike: float = 0.95) -> tuple[list[int], list[int]]:
        """By how many samples each sound is behind its place; the caller's, then the model's.

        The gateway reads in its ticks, that is, when it sends.
        """
        ticks = np.arange(0, 10_000) * 0.02 + self.tap.model[0].at
        of_caller, of_model = [], []
        for at, sound in windows(self.tap.caller):
            read = ticks[np.searchsorted(ticks, at - 1e-9)]
            of_caller.append(behind(self.caller, sound, self._sample(read - 0.02), alike))
        for at, sound in windows(self.tap.model):
            of_model.append(behind(self.model, sound, self._sample(at), alike))
        return of_caller, of_model

    def _sample(self, at: float) -> int:
        return round((at - self.began) * RATE)


def tracks(path: Path) -> tuple[Sound, Sound]:
    """The caller and the model."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(stereo) == file.getnframes()
    return stereo[:, 0].astype(np.float64), stereo[:, 1].astype(np.float64)


def recorded(folder: Path, **more: Any) -> dict[str, Any]:
    return {"records": {"audio": str(folder / "audio")}, **more}


async def talk(phone: Phone, seed: int = 5) -> None:
    """The caller says something, and hears the beginning of a story."""
    await phone.say(noise(1.2, seed))
    await phone.until_sound()
    await asyncio.sleep(3)


async def over(home: House, phone: Phone, tap: Tap) -> Call:
    """Hang up, and read the recording."""
    phone.hang_up()
    record = await home.record()
    answered = loop_time(record["answered_at"])
    caller, model = tracks(Path(record["recording"]))
    assert len(caller) == len(model)
    assert len(caller) / RATE == pytest.approx(loop_time(record["ended_at"]) - answered, abs=0.1)
    return Call(tap, answered, caller, model)


def loop_time(iso: str) -> float:
    """The loop's time of a record's."""
    return datetime.fromisoformat(iso).timestamp() - houses.WALL


async def _nothing(phone: Phone) -> None:
    await asyncio.sleep(2)


async def _hold(phone: Phone) -> None:
    assert await phone.hold()
    await asyncio.sleep(7.123)
    assert await phone.resume()


async def _hold_and_begin_anew(phone: Phone) -> None:
    """Another stream, and in another phase of the tick."""
    assert await phone.hold("inactive")
    phone.handset.stop()
    await asyncio.sleep(7.1234)
    assert await phone.resume()
    phone.handset.begin()


async def _codec(phone: Phone) -> None:
    description = phone.description()
    assert await phone.offer(description.replace(b" 8 0 ", b" 0 8 "))


async def _fall_silent(phone: Phone) -> None:
    """Without a packet for a second, and its clock stands still."""
    phone.handset.stop()
    await asyncio.sleep(1.0074)
    handset = phone.handset
    handset._tick(asyncio.get_running_loop().time())


async def _move(phone: Phone) -> None:
    assert await phone.move()


@pytest.mark.parametrize(
    "happens", [_nothing, _hold, _hold_and_begin_anew, _codec, _fall_silent, _move]
)
def test_every_sound_is_where_it_belongs(happens: Callable[[Phone], Any], tmp_path: Path) -> None:
    """To the sample, before and after."""

    async def main() -> None:
        config = recorded(tmp_path)
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            tap = Tap(home.network)
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(0.5)
            await talk(phone)
            await happens(phone)
            await asyncio.sleep(0.5)
            await talk(phone, 6)
            await talk(phone, 7)
            call = await over(home, phone, tap)
        of_caller, of_model = call.offsets()
        assert len(of_caller) >= 6
        assert len(of_model) >= 12
        assert set(of_caller) == {0}
        assert set(of_model) == {0}

    run(main())


class Stalling(LoopTicker):
    """Now and then the process does not run for a while; the ticks of that time are due at once."""

    stalls: Iterator[tuple[float, float]] = iter(())  # when the next ones begin and end, s

    def start(self, tick: Callable[[float, int], None]) -> None:
        (begins, ends), due = next(self.stalls), 0

        def late(now: float, missed: int) -> None:
            nonlocal begins, ends, due
            due += 1
            if begins <= now < ends:
                return
            if now >= begins:
                begins, ends = next(self.stalls, (np.inf, np.inf))
            runs = min(due, 2)
            for n in range(runs):
                tick(now, due - runs if n == 0 else 0)
            due = 0

        super().start(late)


def test_ticks_that_were_left_out_are_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the model's track; what the caller said meanwhile came late, and is where it was said."""
    monkeypatch.setattr(houses, "LoopTicker", Stalling)

    async def main() -> None:
        now = asyncio.get_running_loop().time()
        stalls = [(3.011, 0.15), (5, 0.47), (8, 0.07), (8.9, 0.23), (9.5, 0.9)]
        Stalling.stalls = iter([(now + at, now + at + lasts) for at, lasts in stalls])
        config = recorded(tmp_path)
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            tap = Tap(home.network)
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(0.5)
            for seed in (5, 6, 7):
                await talk(phone, seed)
            call = await over(home, phone, tap)
        of_caller, of_model = call.offsets()
        assert len(of_caller) >= 6
        assert len(of_model) >= 8
        assert set(of_caller) == {0}
        assert set(of_model) == {0}

    run(main())


def test_a_transfer_that_failed_is_silence_in_both(tmp_path: Path) -> None:
    """The caller heard another's announcement for a while; after it everything is in its place."""

    async def main() -> None:
        answering = Answering(status=486, after=4.0137, early=True)
        config = recorded(tmp_path, **trunk())
        async with two_phones(tmp_path, answering=answering, config=config) as (home, phone, _):
            tap = Tap(home.network)
            await phone.dial("100", GATEWAY)
            await phone.say(noise(1.2))
            await phone.until_sound()
            await until(lambda: bool(outputs(home.model)))
            await phone.until_sound()
            await phone.until_silence()
            await phone.say(noise(1.2, 6))
            await phone.until_sound()
            await phone.until_silence()
            call = await over(home, phone, tap)
        of_caller, of_model = call.offsets()
        assert len(of_caller) >= 4
        assert len(of_model) >= 4
        assert set(of_caller) == {0}
        assert set(of_model) == {0}

    run(main())


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_a_phone_whose_clock_is_wrong(
    ppm: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes later it is 120 ms off; its track is not, by more than it may drift."""
    monkeypatch.setattr(handset, "TICK", 0.02 / (1 + ppm * 1e-6))

    async def main() -> None:
        config = recorded(tmp_path)
        async with house(tmp_path, {}, config=config) as home, home.phone() as phone:
            tap = Tap(home.network)
            await phone.dial("100", GATEWAY)
            for seed in range(20):
                await phone.say(noise(4, seed))
                await asyncio.sleep(2)
            call = await over(home, phone, tap)
        of_caller, _ = call.offsets()
        assert len(of_caller) >= 140
        most = (
            2 * DRIFT + 0.02 + 0.005
        )  # the tick in which it is read, and what it drifts meanwhile
        assert max(map(abs, of_caller)) < most * RATE
        assert max(map(abs, of_caller)) > DRIFT * RATE

    run(main())


def test_opus_in_ogg(tmp_path: Path) -> None:
    """Both voices are where a WAV would have them, within a millisecond."""

    async def main() -> None:
        config = recorded(tmp_path)
        config["records"]["audio_format"] = "opus"
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            tap = Tap(home.network)
            await phone.dial("100", GATEWAY)
            await talk(phone)
            assert await phone.hold()
            await asyncio.sleep(3.123)
            assert await phone.resume()
            await talk(phone, 6)
            phone.hang_up()
            record = await home.record()
        assert record["recording"].endswith(f"{record['call_id']}.opus")
        caller, model = decoded(record["recording"])
        began, ended = loop_time(record["answered_at"]), loop_time(record["ended_at"])
        assert len(caller) / RATE == pytest.approx(ended - began, abs=0.1)
        of_caller, of_model = Call(tap, began, caller, model).offsets(alike=0.7)
        assert len(of_caller) >= 4
        assert len(of_model) >= 6
        assert max(map(abs, of_caller + of_model)) <= 0.001 * RATE

    run(main())


def decoded(path: str) -> tuple[Sound, Sound]:
    """What FFmpeg plays of it: 48 kHz, here at 8."""
    with av.open(path, "r") as file:
        (stream,) = file.streams.audio
        frames = [frame.to_ndarray() for frame in file.decode(stream)]
    caller, model = np.concatenate(frames, axis=1).astype(np.float64) * 32768
    return caller[::6], model[::6]
