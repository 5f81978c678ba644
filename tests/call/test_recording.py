"""A recording of one call: what comes from the tick, as two tracks in step; never in its way."""

from __future__ import annotations

import wave
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.call.recording import LAG, Queue, Recording, TooSlow
from gateway.call.sound_file import WavFile


def frame(value: int, n: int = 160) -> Samples:
    return np.full(n, value, np.int16)


class Desk:
    """A recording, its queue, and a clock; the tick is every 20 ms."""

    def __init__(self, folder: Path, *, most: int = 1000) -> None:
        self.now = 50.0
        self.queue: Queue = deque()
        self.path = folder / "c-1.wav"
        self.recording = Recording(
            "c-1", self.path, WavFile, self.queue, lambda: self.now, most=most
        )

    def tick(
        self, caller: int | None, model: int | None, *, count: int = 1, rate: int = 8000
    ) -> None:
        for _ in range(count):
            self.now += 0.02
            if model is not None:
                self.recording.model(frame(model, rate // 50), rate)
            if caller is not None:
                self.recording.caller(frame(caller, rate // 50), rate)

    def write(self) -> None:
        self._sort()
        self.recording.write()

    def end(self) -> None:
        self._sort()
        self.recording.stop()
        self.recording.end()

    def tracks(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Both, as values and how many samples they last."""
        with wave.open(str(self.path)) as file:
            stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        caller, model = (runs(stereo[:, track]) for track in (0, 1))
        return caller, model

    def _sort(self) -> None:
        while self.queue:
            track, samples, rate, at = self.queue.popleft()
            track.add(samples, rate, at)


def runs(samples: Samples) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(samples)) + 1
    return [(int(it[0]), len(it)) for it in np.split(samples, edges) if len(it)]


def test_the_caller_is_left_and_the_model_is_right(tmp_path: Path) -> None:
    """What was read in a tick ends there, what was sent in it begins there."""
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.tick(1, -2, count=50)
    desk.end()
    assert desk.tracks() == ([(1, 8000), (0, 160)], [(0, 160), (-2, 8000)])
    assert desk.recording.error is None
    assert desk.recording.kept


def test_what_comes_before_it_begins_is_left_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.tick(1, 2, count=5)
    assert not desk.queue
    desk.recording.begin()
    desk.tick(3, 4, count=50)
    desk.end()
    assert desk.tracks() == ([(3, 8000), (0, 160)], [(0, 160), (4, 8000)])


def test_nothing_is_written_before_the_writer_does_it(tmp_path: Path) -> None:
    """The tick only remembers."""
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.tick(1, 2, count=50)
    assert not desk.path.exists()
    desk.write()
    assert desk.path.exists()


def test_nothing_is_written_before_there_is_a_sound(tmp_path: Path) -> None:
    """For the first one tells the rate."""
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.write()
    assert not desk.path.exists()
    assert not desk.recording.kept
    desk.end()
    assert desk.tracks() == ([], [])
    assert desk.recording.kept


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_the_band_of_the_first_codec_is_kept(rate: int, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.tick(1, 2, count=50, rate=rate)
    desk.write()
    desk.tick(100, 200, count=50, rate=8000)
    desk.end()
    with wave.open(str(desk.path)) as file:
        assert file.getframerate() == rate
        assert file.getnframes() == 2 * rate + rate // 50


def test_writes_join_without_a_seam(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.recording.begin()
    for _ in range(10):
        desk.tick(1, 2, count=37)
        desk.write()
    desk.end()
    assert desk.tracks() == ([(1, 59_200), (0, 160)], [(0, 160), (2, 59_200)])


def test_a_track_that_is_late_is_waited_for(tmp_path: Path) -> None:
    """So long; then it is silence, until it comes again where it belongs."""
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.tick(1, 2, count=100)
    desk.tick(None, 2, count=50)
    desk.write()
    assert desk.tracks()[0] == [(1, 16_000)]
    desk.tick(None, 2, count=200)
    desk.write()
    assert desk.tracks() == (
        [(1, 16_000), (0, 40_160 - LAG * 8000)],
        [(0, 160), (2, 56_000 - LAG * 8000)],
    )
    desk.tick(3, 2, count=100)
    desk.end()
    assert desk.tracks() == (
        [(1, 16_000), (0, 40_000), (3, 16_000), (0, 160)],
        [(0, 160), (2, 72_000)],
    )


def test_after_the_end_nothing_is_recorded(tmp_path: Path) -> None:
    """The tick may be one frame behind."""
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.tick(1, 1, count=20)
    desk.end()
    before = desk.path.read_bytes()
    desk.tick(2, 2, count=20)
    desk.write()
    assert not desk.queue
    assert desk.path.read_bytes() == before


def test_an_error_of_the_disk_ends_it(tmp_path: Path) -> None:
    """It is kept and not raised; nothing is taken any more, and nothing is written again."""
    desk = Desk(tmp_path / "none")
    desk.recording.begin()
    desk.tick(1, 2, count=50)
    desk.write()
    assert isinstance(desk.recording.error, FileNotFoundError)
    desk.path.parent.mkdir()
    desk.tick(1, 2, count=50)
    assert not desk.queue
    desk.write()
    desk.end()
    assert not desk.path.exists()
    assert not desk.recording.kept


def test_a_queue_that_is_full_ends_it(tmp_path: Path) -> None:
    """The tick does not wait for the disk, and memory has an end."""
    desk = Desk(tmp_path, most=100)
    desk.recording.begin()
    desk.tick(1, 2, count=20)
    desk.write()
    desk.tick(1, 2, count=80)
    assert len(desk.queue) == 101
    assert isinstance(desk.recording.error, TooSlow)
    desk.end()
    assert desk.recording.kept
    assert desk.tracks() == ([(1, 3200)], [(0, 160), (2, 3040)])


def test_a_disk_that_hangs_is_given_up(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.recording.begin()
    desk.recording.give_up()
    desk.tick(1, 2)
    assert not desk.queue
    assert isinstance(desk.recording.error, TooSlow)
