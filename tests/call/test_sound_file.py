"""Files that anybody can read, at any time, whatever became of their writer."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from gateway.call.sound_file import FORMATS, OpusFile, Stereo, WavFile, opus_missing

WRITER = """
import sys, time, numpy as np
from pathlib import Path
from gateway.call.sound_file import FORMATS
kind, path = sys.argv[1:]
file = FORMATS[kind](Path(path), 16000)
tone = 8000 * np.sin(np.arange(16000) * 0.3)
second = np.column_stack((tone, -tone)).astype(np.int16)
for n in range(5):
    file.append(second)
print("written", flush=True)
time.sleep(60)
"""


def both(left: list[int], right: list[int]) -> Stereo:
    return np.column_stack((left, right)).astype(np.int16)


def read(path: Path) -> Stereo:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(sound) == file.getnframes()
    return sound


def decoded(path: Path) -> npt.NDArray[np.float64]:
    """Both tracks at 48 kHz, as FFmpeg plays them: without the pre-skip."""
    with av.open(io.BytesIO(path.read_bytes()), "r") as file:
        (stream,) = file.streams.audio
        assert (stream.codec_context.name, stream.codec_context.channels) == ("opus", 2)
        frames = [frame.to_ndarray() for frame in file.decode(stream)]
    return np.concatenate(frames, axis=1).astype(np.float64).T * 32768


def voices(rate: int, seconds: float) -> Stereo:
    """Two voices of noise, below 3 kHz and each in the other's pauses and over it."""
    dice = np.random.default_rng(3)
    count = round(seconds * rate)
    sound = np.zeros((count, 2))
    for track in (0, 1):
        spectrum = np.fft.rfft(dice.standard_normal(count))
        hertz = np.fft.rfftfreq(count, 1 / rate)
        spectrum[(hertz < 300) | (hertz > 3000)] = 0
        voice = np.fft.irfft(spectrum, count)
        talks = np.sin(2 * np.pi * (0.4 + 0.13 * track) * np.arange(count) / rate) > 0
        sound[:, track] = talks * voice / voice.std() * 3000
    return sound.astype(np.int16)


def lag(sound: npt.NDArray[np.float64], of: npt.NDArray[np.float64], most: int = 400) -> int:
    """By how many samples it is behind."""
    piece = of[most : len(of) - 2 * most]
    products = [
        float(sound[most + shift : most + shift + len(piece)] @ piece)
        for shift in range(-most, most + 1)
    ]
    return int(np.argmax(products)) - most


class TestWav:
    def test_every_byte(self, tmp_path: Path) -> None:
        """RIFF, `fmt ` (PCM, two tracks, 8,000 Hz, 32,000 bytes a second), `data`."""
        file = WavFile(tmp_path / "call.wav", 8000)
        file.append(both([1, 2], [-1, 256]))
        file.close()
        assert (tmp_path / "call.wav").read_bytes() == (
            b"RIFF\x2c\x00\x00\x00WAVE"
            b"fmt \x10\x00\x00\x00\x01\x00\x02\x00\x40\x1f\x00\x00\x00\x7d\x00\x00\x04\x00\x10\x00"
            b"data\x08\x00\x00\x00"
            b"\x01\x00\xff\xff\x02\x00\x00\x01"
        )

    def test_it_is_whole_after_each_piece(self, tmp_path: Path) -> None:
        file = WavFile(tmp_path / "call.wav", 16000)
        for n in range(4):
            file.append(both([n] * 100, [-n] * 100))
            assert read(tmp_path / "call.wav")[:, 0].tolist() == [
                k for k in range(n + 1) for _ in range(100)
            ]

    def test_nothing_is_a_file_too(self, tmp_path: Path) -> None:
        file = WavFile(tmp_path / "call.wav", 8000)
        file.append(both([], []))
        file.close()
        assert len(read(tmp_path / "call.wav")) == 0

    def test_one_of_that_name_is_made_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "call.wav"
        path.write_bytes(b"x" * 10_000)
        WavFile(path, 8000).append(both([1], [2]))
        assert path.stat().st_size == 48


class TestOpus:
    @pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
    def test_it_can_be_played_and_is_in_step(self, rate: int, tmp_path: Path) -> None:
        """By FFmpeg; sound of both tracks is where it was, to a third of a millisecond."""
        sound = voices(rate, 6.0137)
        file = OpusFile(tmp_path / "call.opus", rate)
        for first in range(0, len(sound), rate):
            file.append(sound[first : first + rate])
        file.close()
        back = decoded(tmp_path / "call.opus")
        step = 48000 // rate
        assert len(back) / step == pytest.approx(len(sound), abs=1 + 0.0006 * rate)
        for track in (0, 1):
            slow = sound[:, track].astype(np.float64)
            assert abs(lag(back[::step, track], slow)) <= rate * 0.00034

    def test_one_voice_is_not_heard_on_the_other_track(self, tmp_path: Path) -> None:
        """By 40 dB at least."""
        sound = voices(16000, 5)
        sound[:, 1] = 0
        file = OpusFile(tmp_path / "call.opus", 16000)
        file.append(sound)
        file.close()
        back = decoded(tmp_path / "call.opus")
        assert back[:, 0].std() > 100 * back[:, 1].std()

    def test_it_is_small(self, tmp_path: Path) -> None:
        sound = voices(8000, 20)
        file = OpusFile(tmp_path / "call.opus", 8000)
        file.append(sound)
        file.close()
        assert (tmp_path / "call.opus").stat().st_size < sound.nbytes / 4

    def test_pages_are_written_as_it_goes(self, tmp_path: Path) -> None:
        """What is there can be read while the call lasts."""
        file = OpusFile(tmp_path / "call.opus", 8000)
        sound = voices(8000, 10)
        for first in range(0, 80_000, 8000):
            file.append(sound[first : first + 8000])
            heard = len(decoded(tmp_path / "call.opus")) / 48000 if first else 0.0
            assert heard >= first / 8000 - 1.1

    def test_nothing_is_a_file_too(self, tmp_path: Path) -> None:
        file = OpusFile(tmp_path / "call.opus", 8000)
        file.append(both([], []))
        file.close()
        with av.open(str(tmp_path / "call.opus")) as found:
            assert found.streams.audio[0].codec_context.name == "opus"
        assert len(decoded(tmp_path / "call.opus")) == 960

    def test_it_is_there(self) -> None:
        assert opus_missing() is None


@pytest.mark.parametrize("kind", ["wav", "opus"])
def test_a_writer_that_was_killed_leaves_what_it_wrote(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"call.{kind}"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind, str(path)], stdout=subprocess.PIPE
    )
    assert writer.stdout
    with writer.stdout:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    if kind == "wav":
        sound = read(path)
        assert len(sound) == 80_000
        assert np.array_equal(sound[:, 0], -sound[:, 1])
    else:
        assert len(decoded(path)) > 3.9 * 48000


class TestTheDisk:
    @pytest.mark.parametrize("kind", ["wav", "opus"])
    def test_a_folder_that_is_missing(self, kind: str, tmp_path: Path) -> None:
        file = FORMATS[kind](tmp_path / "none" / "call", 8000)
        with pytest.raises(FileNotFoundError):
            file.append(voices(8000, 3))

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    @pytest.mark.parametrize("kind", ["wav", "opus"])
    def test_a_full_disk(self, kind: str) -> None:
        """And a device is not taken off the system."""
        file = FORMATS[kind](Path("/dev/full"), 8000)
        with pytest.raises(OSError, match="No space left") as full:
            file.append(voices(8000, 3))
        assert full.value.errno == errno.ENOSPC
        assert Path("/dev/full").exists()

    def test_what_was_written_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The disk takes a part of a piece, and then no more: that part goes."""
        path = tmp_path / "call.wav"
        file = WavFile(path, 8000)
        file.append(both([1] * 100, [2] * 100))
        before = path.read_bytes()
        pwrite = os.pwrite

        def half(descriptor: int, data: memoryview, at: int) -> int:
            if len(data) < 60:
                raise OSError(errno.ENOSPC, "No space left on device")
            return pwrite(descriptor, data[: len(data) // 2], at)

        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space left"):
            file.append(both([3] * 100, [4] * 100))
        assert path.read_bytes() == before

    def test_a_file_that_goes_away(self, tmp_path: Path) -> None:
        """What was written before is not made again without its beginning."""
        file = WavFile(tmp_path / "call.wav", 8000)
        file.append(both([1], [2]))
        (tmp_path / "call.wav").unlink()
        with pytest.raises(FileNotFoundError):
            file.append(both([1], [2]))
