"""Recordings that something happens to: a full disk, a mistake of ours, the end of the service.

None of it is worth a call; the record names what was kept, the log says what happened, once.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.call.recording import Recording
from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, House, house
from .test_recordings import SCRIPT, recorded, talk, tracks

Full = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 96 kB: three seconds of a call."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(folder)],
        check=False,
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files(folder: Path) -> Iterator[None]:
    """No file may be longer than 96 kB (RLIMIT_FSIZE)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (96 * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def goes_on(home: House, phone: Phone) -> dict[str, Any]:
    """Talk for ten seconds more, hang up; the record."""
    await talk(phone, 6)
    await phone.until_silence()
    said = len(home.model.answers("response.done"))
    await talk(phone, 7)
    assert len(home.model.answers("response.created")) > said
    phone.hang_up()
    record = await home.record()
    assert record["cause"] == "hang_up"
    return record


def size_of(path: str) -> int:
    return Path(path).stat().st_size


def told(logs: list[Any]) -> dict[str, Any]:
    """What the log says of it, once."""
    (line,) = [line for line in logs if line["event"] == "recording_failed"]
    found: dict[str, Any] = line
    return found


@pytest.mark.parametrize("full", [small_disk, small_files])
def test_a_full_disk_ends_the_recording_and_not_the_call(full: Full, tmp_path: Path) -> None:
    """What was written until then is kept, whole, both tracks of it."""
    audio = tmp_path / "audio"
    audio.mkdir()

    async def main() -> None:
        config = recorded(tmp_path)
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            with capture_logs() as logs:
                await phone.dial("100", GATEWAY)
                await talk(phone)
                record = await goes_on(home, phone)
        line = told(logs)
        assert line["call_id"] == record["call_id"]
        assert line["kept"] == record["recording"] == str(audio / f"{record['call_id']}.wav")
        assert "No space left" in line["reason"] or "File too large" in line["reason"]
        caller, model = tracks(Path(record["recording"]))
        assert 1.5 * 8000 < len(caller) == len(model) < 3.2 * 8000
        assert np.abs(caller).max() > 1000
        sizes.append((Path(record["recording"]), 44 + 4 * len(caller)))

    with full(audio):
        sizes: list[tuple[Path, int]] = []
        run(main())
        ((file, size),) = sizes
        assert file.stat().st_size == size  # no half of a piece behind it


def test_nothing_is_kept_where_there_is_no_room_at_all(tmp_path: Path) -> None:
    """The record names no file, and none is there."""

    async def main() -> None:
        config = recorded(tmp_path)
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            shutil.rmtree(tmp_path / "audio")
            with capture_logs() as logs:
                await phone.dial("100", GATEWAY)
                record = await goes_on(home, phone)
        assert record["recording"] is None
        assert told(logs)["kept"] is None

    run(main())


def test_a_mistake_of_ours_ends_the_recording_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its traceback, for us; other calls' recordings go on."""
    laid_out, left = Recording._laid_out, [6]

    def faulty(recording: Recording, final: bool) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("a mistake of ours")
        return laid_out(recording, final)

    monkeypatch.setattr(Recording, "_laid_out", faulty)

    async def main() -> None:
        config = recorded(tmp_path)
        async with (
            house(tmp_path, SCRIPT, config=config) as home,
            home.phone() as one,
            home.phone() as two,
        ):
            with capture_logs() as logs:
                await one.dial("100", GATEWAY)
                await two.dial("100", GATEWAY)
                await talk(one)
                await talk(two)
                one.hang_up()
                two.hang_up()
                records = await home.records()
        assert "a mistake of ours" in str(told(logs)["exc_info"])
        lengths = sorted(len(tracks(Path(it["recording"]))[0]) / 8000 for it in records)
        assert [it["cause"] for it in records] == ["hang_up", "hang_up"]
        assert lengths[0] < 5
        assert lengths[1] > 8

    run(main())


def test_a_stop_of_the_service_leaves_whole_recordings(tmp_path: Path) -> None:
    """As long as the calls were, to the packet."""

    async def main() -> None:
        config = recorded(tmp_path)
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            began = asyncio.get_running_loop().time()
            await talk(phone)
            await asyncio.sleep(0.37)
            length = asyncio.get_running_loop().time() - began
            home.gateway.hang_up_all()
            record = await home.record()
        assert record["ended_by"] == "gateway"
        caller, model = tracks(Path(record["recording"]))
        assert len(caller) == len(model)
        assert len(caller) / 8000 == pytest.approx(length, abs=0.06)

    run(main())
