"""A recording is a stereo WAV file that anything can read, and never in the way of the call."""

from __future__ import annotations

import asyncio
import threading
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.call.recording import Recording
from tests.clock import run


def frame(value: int, n: int = 160) -> Samples:
    return np.full(n, value, np.int16)


def tracks(path: Path) -> tuple[list[int], list[int]]:
    """The samples of the caller and of the model."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(stereo) == file.getnframes()
    return stereo[:, 0].tolist(), stereo[:, 1].tolist()


def test_the_caller_is_left_and_the_model_is_right(tmp_path: Path) -> None:
    """Sample n of both tracks is the same moment."""
    recording = Recording(tmp_path / "call.wav")
    recording.caller(frame(1), 8000)
    recording.model(frame(-2), 8000)
    recording.close()
    assert tracks(recording.path) == ([1] * 160, [-2] * 160)
    assert recording.error is None


def test_every_byte_of_a_file(tmp_path: Path) -> None:
    """RIFF, `fmt ` (PCM, two tracks, 8,000 Hz, 32,000 bytes a second), `data`; little-endian."""
    recording = Recording(tmp_path / "call.wav")
    recording.caller(np.array([1, 2], np.int16), 8000)
    recording.model(np.array([-1, 256], np.int16), 8000)
    recording.close()
    assert recording.path.read_bytes() == (
        b"RIFF\x2c\x00\x00\x00WAVE"
        b"fmt \x10\x00\x00\x00\x01\x00\x02\x00\x40\x1f\x00\x00\x00\x7d\x00\x00\x04\x00\x10\x00"
        b"data\x08\x00\x00\x00"
        b"\x01\x00\xff\xff\x02\x00\x00\x01"
    )


def test_what_comes_while_it_is_paused_is_left_out(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav")
    recording.paused = True
    recording.caller(frame(1), 8000)
    recording.model(frame(2), 8000)
    recording.paused = False
    recording.caller(frame(3), 8000)
    recording.model(frame(4), 8000)
    recording.close()
    assert tracks(recording.path) == ([3] * 160, [4] * 160)


def test_it_is_written_each_second_until_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        recording = Recording(tmp_path / "call.wav")
        task = asyncio.create_task(recording.keep())
        recording.caller(frame(1), 8000)
        recording.model(frame(2), 8000)
        await asyncio.sleep(1.5)
        assert tracks(recording.path) == ([1] * 160, [2] * 160)
        task.cancel()

    run(main())


def test_nothing_is_written_before_a_flush(tmp_path: Path) -> None:
    """The tick only remembers; the disk is for the slow task."""
    recording = Recording(tmp_path / "call.wav")
    recording.caller(frame(1), 8000)
    recording.model(frame(2), 8000)
    assert not recording.path.exists()
    recording.flush()
    assert tracks(recording.path) == ([1] * 160, [2] * 160)


def test_flushes_join_without_a_seam(tmp_path: Path) -> None:
    """The file is whole after each one, and goes on where it was."""
    recording = Recording(tmp_path / "call.wav")
    for n in range(3):
        recording.caller(frame(n), 8000)
        recording.model(frame(-n), 8000)
        recording.flush()
        assert tracks(recording.path)[0] == [k for k in range(n + 1) for _ in range(160)]
    recording.close()
    assert tracks(recording.path)[1] == [-k for k in range(3) for _ in range(160)]


def test_frames_need_not_be_of_one_size(tmp_path: Path) -> None:
    """The caller comes in bursts; only the order counts."""
    recording = Recording(tmp_path / "call.wav")
    recording.caller(frame(1, 480), 8000)
    recording.caller(frame(2, 7), 8000)
    for _ in range(4):
        recording.model(frame(3), 8000)
    recording.flush()
    assert tracks(recording.path) == ([1] * 480 + [2] * 7, [3] * 487)


def test_a_track_that_is_a_little_late_is_waited_for(tmp_path: Path) -> None:
    """Up to a second behind, its samples still find their place."""
    recording = Recording(tmp_path / "call.wav")
    recording.model(frame(5, 8000), 8000)
    recording.flush()
    assert tracks(recording.path) == ([], [])
    recording.caller(frame(6, 8000), 8000)
    recording.flush()
    assert tracks(recording.path) == ([6] * 8000, [5] * 8000)


def test_a_track_that_is_more_than_a_second_late_is_silent(tmp_path: Path) -> None:
    """What the lagging track does not have is silence, up to a second before the other's end."""
    recording = Recording(tmp_path / "call.wav")
    recording.model(frame(5, 8160), 8000)
    recording.flush()
    assert tracks(recording.path) == ([0] * 160, [5] * 160)


def test_the_shorter_track_ends_in_silence(tmp_path: Path) -> None:
    """Both tracks of the closed file are as long as the call."""
    recording = Recording(tmp_path / "call.wav")
    recording.caller(frame(1, 100), 8000)
    recording.model(frame(2, 160), 8000)
    recording.close()
    assert tracks(recording.path) == ([1] * 100 + [0] * 60, [2] * 160)


def test_a_call_without_sound_leaves_an_empty_file(tmp_path: Path) -> None:
    """Valid, with no samples in it."""
    recording = Recording(tmp_path / "call.wav")
    recording.close()
    assert tracks(recording.path) == ([], [])


def test_a_file_of_that_name_is_made_anew(tmp_path: Path) -> None:
    """Nothing of an older recording is left at the end."""
    path = tmp_path / "call.wav"
    path.write_bytes(b"x" * 10_000)
    Recording(path).close()
    assert path.stat().st_size == 44


def test_after_the_end_nothing_is_recorded(tmp_path: Path) -> None:
    """The tick may be one frame behind the close."""
    recording = Recording(tmp_path / "call.wav")
    recording.caller(frame(1), 8000)
    recording.model(frame(1), 8000)
    recording.close()
    recording.caller(frame(2), 8000)
    recording.model(frame(2), 8000)
    recording.flush()
    assert tracks(recording.path) == ([1] * 160, [1] * 160)


def test_other_rates_stand_in_the_header(tmp_path: Path) -> None:
    """The rate is that of both tracks; the second that a track may lag is one of it."""
    recording = Recording(tmp_path / "call.wav", rate=16000)
    recording.model(frame(5, 16000), 16000)
    recording.flush()
    assert tracks(recording.path) == ([], [])
    recording.close()
    with wave.open(str(recording.path)) as file:
        assert (file.getframerate(), file.getnframes()) == (16000, 16000)


class TestTheDisk:
    """Its errors end the recording and nothing else."""

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        """The error is kept for the record of the call; later frames are forgotten."""
        recording = Recording(tmp_path / "none" / "call.wav")
        recording.caller(frame(1), 8000)
        recording.model(frame(1), 8000)
        recording.flush()
        first = recording.error
        assert isinstance(first, FileNotFoundError)
        recording.path.parent.mkdir()
        recording.caller(frame(2), 8000)
        recording.model(frame(2), 8000)
        recording.flush()
        recording.close()
        assert recording.error is first
        assert not recording.path.exists()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_a_full_disk(self) -> None:
        """ENOSPC comes as late as when the file is closed, and is caught there too."""
        recording = Recording(Path("/dev/full"))
        recording.caller(frame(1), 8000)
        recording.model(frame(1), 8000)
        recording.close()
        assert recording.error is not None
        assert recording.error.strerror == "No space left on device"

    def test_a_file_that_goes_away(self, tmp_path: Path) -> None:
        """What was written before is not made again without its beginning."""
        recording = Recording(tmp_path / "call.wav")
        recording.flush()
        recording.path.unlink()
        recording.flush()
        assert isinstance(recording.error, FileNotFoundError)


def test_the_tick_goes_on_while_the_disk_is_written(tmp_path: Path) -> None:
    """Frames that come during a flush in another thread are neither lost nor out of order."""
    recording = Recording(tmp_path / "call.wav")
    with ThreadPoolExecutor(1) as executor:
        flushes = []
        for n in range(1000):
            recording.caller(frame(n, 2), 8000)
            recording.model(frame(-n, 2), 8000)
            if n % 50 == 0:
                flushes.append(executor.submit(recording.flush))
        executor.submit(recording.close).result()
        assert all(it.done() for it in flushes)
    left, right = tracks(recording.path)
    assert left == [n for n in range(1000) for _ in range(2)]
    assert right == [-n for n in left]


def test_the_end_waits_for_a_flush_that_still_runs(tmp_path: Path) -> None:
    """A call that ends lets go of its flush, but its thread writes on: the file must not mix."""
    recording = Slow(tmp_path / "call.wav")
    recording.caller(frame(1), 8000)
    recording.model(frame(2), 8000)
    with ThreadPoolExecutor(2) as executor:
        flushing = executor.submit(recording.flush)
        assert recording.began.wait(5)
        recording.caller(frame(3), 8000)
        recording.model(frame(4), 8000)
        closing = executor.submit(recording.close)
        with pytest.raises(TimeoutError):
            closing.result(0.05)
        recording.goes_on.set()
        closing.result(5)
        flushing.result(5)
    assert tracks(recording.path) == ([1] * 160 + [3] * 160, [2] * 160 + [4] * 160)


class Slow(Recording):
    """On a disk that takes its time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.began = threading.Event()
        self.goes_on = threading.Event()

    def _append(self, sound: bytes) -> None:
        self.began.set()
        assert self.goes_on.wait(5)
        super()._append(sound)
