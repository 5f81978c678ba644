"""Sound files ●: two tracks on the disk, as WAV or as Opus in Ogg. They block; no tick calls them.

After each `append` the file is whole: who reads it then, or after a crash, has all of it but what
an encoder still holds (about a second). It is open only meanwhile, so a call costs no descriptor.
When the disk is full, what was kept so far is: half of a piece is taken off again.

The tracks are those of a stereo file, the caller on the left. WAV: 16-bit PCM (Microsoft's
WAVE_FORMAT_PCM), 32 kB a second at 8 kHz. Opus (RFC 6716 in Ogg, RFC 7845): a seventh of that, for
3 to 6 ms of processor time a second; of 8, 16 or 24 kHz as of 48, which is what Opus has in Ogg.
Left out: WAV beyond 4 GiB (37 hours).
"""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Stereo = npt.NDArray[np.int16]  # (n, 2): caller, model

_TRACKS = 2
_SAMPLE_BYTES = 2
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_BIT_RATE = 48_000  # bit/s, at which Opus keeps two voices apart by 50 dB


class SoundFile(Protocol):
    """Raises OSError where the disk does not take it; nothing may be appended after that."""

    def append(self, sound: Stereo) -> None:
        """More of both tracks, which may be nothing; the first time the file is made (anew)."""

    def close(self) -> None:
        """It is complete."""


class _Disk:
    """A file that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size: int | None = None  # bytes; None: there is no file yet

    def append(self, data: bytes, header: bytes | None = None) -> None:
        """More at the end, and then another beginning."""
        begun = self.size is not None
        size = self.size or (len(header) if header else 0)
        flags = os.O_WRONLY if begun else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        file = os.open(self.path, flags | os.O_CLOEXEC, 0o666)
        try:
            _write(file, data, size)
            if header:
                _write(file, header, 0)
        except OSError:
            self._restore(file)
            raise
        finally:
            os.close(file)
        self.size = size + len(data)

    def _restore(self, file: int) -> None:
        """As it was before: the half of a piece is no sound. A device has no such thing."""
        if self.path.is_file():
            os.ftruncate(file, self.size or 0)
            if self.size is None:
                self.path.unlink()


def _write(file: int, data: bytes, at: int) -> None:
    """All of it: a disk that is nearly full takes a part, and refuses the next."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(file, rest, at)
        rest, at = rest[count:], at + count


class WavFile:
    """RIFF, `fmt ` and `data`; the header counts what is behind it."""

    suffix = ".wav"

    def __init__(self, path: Path, rate: int) -> None:
        self._disk = _Disk(path)
        self._rate = rate

    def append(self, sound: Stereo) -> None:
        """The sound first, then the header that counts it."""
        data = sound.astype("<i2", copy=False).tobytes()
        size = (self._disk.size or _HEADER.size) - _HEADER.size + len(data)
        self._disk.append(data, self._header(size))

    def close(self) -> None:
        """It always is."""

    def _header(self, size: int) -> bytes:
        block = _TRACKS * _SAMPLE_BYTES
        return _HEADER.pack(
            *(b"RIFF", min(size + _HEADER.size - 8, 0xFFFFFFFF), b"WAVE"),
            *(b"fmt ", 16, 1, _TRACKS, self._rate, self._rate * block, block, 8 * _SAMPLE_BYTES),
            *(b"data", min(size, 0xFFFFFFFF)),
        )


class _Sink:
    """What the muxer writes to."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


class OpusFile:
    """One stream of Opus in Ogg, stereo. `rate` is one that Opus knows.

    A page is a second; the file's length is right to the sample, by its pre-skip and its end.
    """

    suffix = ".opus"

    def __init__(self, path: Path, rate: int) -> None:
        import av  # 30 MB, for those only who want it

        self._av = av
        self._disk = _Disk(path)
        self._rate = rate
        self._length = 0
        self._sink = _Sink()
        self._container = av.open(self._sink, "w", format="ogg")
        self._stream = self._container.add_stream("libopus", rate=rate, layout="stereo")
        self._stream.bit_rate = _BIT_RATE
        self._stream.options = {"application": "audio", "compression_level": "5"}
        self._container.start_encoding()

    def append(self, sound: Stereo) -> None:
        """Pages of it, a second later for what is not a page yet."""
        if len(sound):
            whole = np.ascontiguousarray(sound).reshape(1, -1)
            frame = self._av.AudioFrame.from_ndarray(whole, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = self._rate, self._length
            frame.time_base = Fraction(1, self._rate)
            self._length += len(sound)
            self._container.mux(self._stream.encode(frame))
        self._disk.append(self._sink.take())

    def close(self) -> None:
        """The last page, which tells the end. Ogg without any sound would be no file."""
        if not self._length:
            self.append(np.zeros((self._rate // 50, _TRACKS), np.int16))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._disk.append(self._sink.take())


def opus_missing() -> str | None:
    """Why there can be no OpusFile, if so."""
    try:
        import av

        av.Codec("libopus", "w")
    except Exception as error:  # no PyAV, or one without libopus: FFmpeg's errors and import's
        return str(error) or type(error).__name__
    return None


FORMATS: dict[str, type[WavFile] | type[OpusFile]] = {"wav": WavFile, "opus": OpusFile}
