"""One thread writes all recordings; neither a tick nor a call waits for the disk."""

from __future__ import annotations

import asyncio
import threading
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.audio.frame import Samples
from gateway.call import recorder as module
from gateway.call.recorder import Recorder
from gateway.call.recording import Make, Recording
from gateway.call.sound_file import Stereo, WavFile

FRAME = np.full(160, 7, np.int16)


class Stuck:
    """A disk that does not answer until it is told to."""

    suffix = ".wav"

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.goes_on = threading.Event()
        self.threads: set[str] = set()

    def __call__(self, path: Path, rate: int) -> StuckFile:
        return StuckFile(self, path, rate)


class StuckFile(WavFile):
    def __init__(self, disk: Stuck, path: Path, rate: int) -> None:
        super().__init__(path, rate)
        self._stuck = disk

    def append(self, sound: Stereo) -> None:
        self._stuck.threads.add(threading.current_thread().name)
        self._stuck.reached.set()
        assert self._stuck.goes_on.wait(10)
        super().append(sound)


@asynccontextmanager
async def recording_to(
    folder: Path, make: Make = WavFile, most: int = module.MOST
) -> AsyncIterator[Recorder]:
    made = Recorder(folder, make, asyncio.get_running_loop().time, most=most)
    made.start()
    try:
        yield made
    finally:
        made.close()


def begun(recorder: Recorder, call_id: str) -> Recording:
    recording = recorder.recording(call_id)
    recorder.begin(recording)
    return recording


def tick(*recordings: Recording, sound: Samples = FRAME) -> None:
    for recording in recordings:
        recording.model(sound, 8000)
        recording.caller(sound, 8000)


def length(path: Path) -> int:
    with wave.open(str(path)) as file:
        return int(file.getnframes())


async def until_set(event: threading.Event) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, event.wait, 10)


def test_it_is_written_as_it_goes_and_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By real time and a real thread: a second of three calls."""
    monkeypatch.setattr(module, "WRITE", 0.1)

    async def main() -> None:
        async with recording_to(tmp_path) as recorder:
            began = asyncio.get_running_loop().time()
            calls = [begun(recorder, f"c-{n}") for n in range(3)]
            for _ in range(40):
                await asyncio.sleep(0.02)
                tick(*calls)
            for call in calls:
                assert length(call.path) > 8000 * 0.3
                await recorder.finish(call)
                assert call.error is None
            lengths = {length(call.path) for call in calls}
            took = asyncio.get_running_loop().time() - began
        assert min(lengths) >= 40 * 160
        assert max(lengths) <= took * 8000 + 160

    asyncio.run(main())


def test_neither_the_tick_nor_the_loop_waits_for_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread, which hangs; what comes meanwhile is written when it goes on."""
    monkeypatch.setattr(module, "WRITE", 0.02)
    disk = Stuck()

    async def main() -> None:
        async with recording_to(tmp_path, disk) as recorder:
            calls = [begun(recorder, f"c-{n}") for n in range(20)]
            began = time.perf_counter()
            for n in range(100):
                tick(*calls)
                await asyncio.sleep(0)
                if n == 50:
                    await until_set(disk.reached)
            assert time.perf_counter() - began < 2
            assert [call.error for call in calls] == [None] * 20
            disk.goes_on.set()
            for call in calls:
                await recorder.finish(call)
            assert {call.error for call in calls} == {None}
            assert {length(call.path) for call in calls} != {0}
        assert len(disk.threads) == 1
        assert threading.main_thread().name not in disk.threads

    asyncio.run(main())


def test_the_queue_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then recordings end, each with one line in the log; memory does not grow."""
    monkeypatch.setattr(module, "WRITE", 0.02)
    disk = Stuck()

    async def main() -> None:
        async with recording_to(tmp_path, disk, most=500) as recorder:
            calls = [begun(recorder, f"c-{n}") for n in range(5)]
            tick(*calls)
            await asyncio.sleep(0.25)
            tick(*calls)
            await until_set(disk.reached)
            for _ in range(200):
                tick(*calls)
            assert len(recorder._queue) <= 505
            disk.goes_on.set()
            with capture_logs() as logs:
                for call in calls:
                    await recorder.finish(call)
            told = [line for line in logs if line["event"] == "recording_failed"]
            assert sorted(line["call_id"] for line in told) == [f"c-{n}" for n in range(5)]
            assert {line["reason"] for line in told} == {"the disk is too slow"}

    asyncio.run(main())


def test_the_end_of_a_call_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE", 0.02)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    disk = Stuck()

    async def main() -> None:
        async with recording_to(tmp_path, disk) as recorder:
            call = begun(recorder, "c-1")
            tick(call)
            await asyncio.sleep(0.25)
            tick(call)
            await until_set(disk.reached)
            with capture_logs() as logs:
                await recorder.finish(call)
            (line,) = [line for line in logs if line["event"] == "recording_failed"]
            assert (line["call_id"], line["reason"]) == ("c-1", "the disk hangs")
            disk.goes_on.set()

    asyncio.run(main())


def test_a_failure_is_told_when_it_happens_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other call's recording goes on."""
    monkeypatch.setattr(module, "WRITE", 0.05)

    async def main() -> None:
        async with recording_to(tmp_path) as recorder:
            good, bad = begun(recorder, "c-1"), begun(recorder, "none/c-2")
            with capture_logs() as logs:
                for _ in range(20):
                    await asyncio.sleep(0.02)
                    tick(good, bad)
                (line,) = [line for line in logs if line["event"] == "recording_failed"]
                assert (line["call_id"], line["kept"], line["log_level"]) == (
                    "none/c-2",
                    None,
                    "warning",
                )
                await recorder.finish(good)
                await recorder.finish(bad)
                assert len([it for it in logs if it["event"] == "recording_failed"]) == 1
            assert (good.kept, bad.kept) == (True, False)

    asyncio.run(main())
