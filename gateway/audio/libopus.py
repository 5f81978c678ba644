"""libopus by ctypes: the few functions of it that a call needs. Pure, but for loading the library.

PyAV cannot do it: FFmpeg's wrapper always decodes with `decode_fec` 0 and has no way to ask for
the sound of a lost packet, FFmpeg's own decoder conceals nothing. The library is the one in PyAV's
wheel (it comes with every FFmpeg there), else the system's (Debian: libopus0).

A state lives in memory of ours (`opus_decoder_init` and not `opus_decoder_create`), so nothing
has to be freed. The GIL is kept over a call: all take less than a fifth of a millisecond, and
whoever got it meanwhile would hold up the tick for longer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .frame import AudioError, Samples

VOIP = 2048  # OPUS_APPLICATION_VOIP

# Requests of opus_encoder_ctl (opus_defines.h)
SET_BITRATE = 4002  # bit/s
SET_MAX_BANDWIDTH = 4004
SET_VBR = 4006
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_DTX = 4016
SET_SIGNAL = 4024
GET_LOOKAHEAD = 4027  # samples

SIGNAL_VOICE = 3001
BANDWIDTHS = {8000: 1101, 12000: 1102, 16000: 1103, 24000: 1104, 48000: 1105}  # by sample rate

_SYSTEM = ("libopus.so.0", "libopus.0.dylib", "opus.dll")
MAX_MS = 120  # in one packet: RFC 6716 §3.4 [R5]

_MAX_PACKET = 1275 * 3 + 6  # bytes of 60 ms: three frames of the greatest size (RFC 6716 §3.2.5)


@cache
def library() -> ctypes.PyDLL:
    """The library, loaded once. Raises OSError, with advice, where there is none."""
    for name in _names():
        try:
            return _declared(ctypes.PyDLL(name))
        except (OSError, AttributeError):  # not there, or too old
            continue
    raise OSError("Opus needs libopus: install the package `av` as a wheel, or Debian's libopus0")


def _names() -> Iterator[str]:
    """Where to look, PyAV's wheels first: Linux and Windows have av.libs, macOS av/.dylibs."""
    av = find_spec("av")
    if av is not None and av.origin is not None:
        package = Path(av.origin).parent
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            yield from map(str, sorted(folder.glob("*opus[-.]*")))
    yield from _SYSTEM


def _declared(opus: ctypes.PyDLL) -> ctypes.PyDLL:
    """With the signatures of opus.h. Of `ctl` only what is no variable argument is declared."""
    opus.opus_strerror.restype = c_char_p
    opus.opus_encoder_get_size.argtypes = [c_int]
    opus.opus_encoder_init.argtypes = [c_void_p, c_int, c_int, c_int]
    opus.opus_encoder_ctl.argtypes = [c_void_p, c_int]
    opus.opus_encode.argtypes = [c_void_p, c_void_p, c_int, c_void_p, c_int]
    opus.opus_decoder_get_size.argtypes = [c_int]
    opus.opus_decoder_init.argtypes = [c_void_p, c_int, c_int]
    opus.opus_decode.argtypes = [c_void_p, c_char_p, c_int, c_void_p, c_int, c_int]
    return opus


class EncoderState:
    """An OpusEncoder of one channel at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self._opus = library()
        self._state = ctypes.create_string_buffer(self._opus.opus_encoder_get_size(1))
        self._sound = np.empty(rate * MAX_MS // 1000, np.int16)
        self._at = self._sound.ctypes.data
        self._packet = ctypes.create_string_buffer(_MAX_PACKET)
        self._checked(self._opus.opus_encoder_init(self._state, rate, 1, VOIP))

    def set(self, request: int, value: int) -> None:
        """ValueError where the value is out of range."""
        self._checked(self._opus.opus_encoder_ctl(self._state, request, c_int(value)))

    def get(self, request: int) -> int:
        """What the encoder says of itself."""
        value = c_int()
        self._checked(self._opus.opus_encoder_ctl(self._state, request, ctypes.byref(value)))
        return value.value

    def encode(self, samples: Samples) -> bytes:
        """One packet. ValueError where Opus has no frames of that length."""
        count = len(samples)
        self._sound[:count] = samples
        size = self._opus.opus_encode(self._state, self._at, count, self._packet, _MAX_PACKET)
        return ctypes.string_at(self._packet, self._checked(size))

    def _checked(self, code: int) -> int:
        if code < 0:
            raise ValueError(f"libopus: {_text(self._opus, code)}")
        return code


class DecoderState:
    """An OpusDecoder of one channel at `rate` Hz; stereo comes out as its middle."""

    def __init__(self, rate: int) -> None:
        self._opus = library()
        self._state = ctypes.create_string_buffer(self._opus.opus_decoder_get_size(1))
        self._sound = np.empty(rate * MAX_MS // 1000, np.int16)
        self._at = self._sound.ctypes.data
        if code := self._opus.opus_decoder_init(self._state, rate, 1):
            raise ValueError(f"libopus: {_text(self._opus, code)}")

    def decode(self, packet: bytes) -> Samples:
        """The sound of a packet. AudioError where it is broken."""
        return self._decode(packet, len(self._sound), fec=False)

    def conceal(self, count: int, following: bytes | None = None) -> Samples:
        """`count` samples of what a lost packet may have held, 120 ms at most.

        Of `following`, the packet right behind it, is read what it repeats of the lost one (FEC),
        where it does. AudioError where that is broken, or `count` no multiple of 2.5 ms.
        """
        return self._decode(following, count, fec=following is not None)

    def _decode(self, packet: bytes | None, room: int, *, fec: bool) -> Samples:
        size = len(packet) if packet is not None else 0
        count = self._opus.opus_decode(self._state, packet, size, self._at, room, fec)
        if count < 0:
            raise AudioError(f"libopus: {_text(self._opus, count)}")
        return self._sound[:count].copy()


def _text(opus: ctypes.PyDLL, code: int) -> str:
    text: bytes = opus.opus_strerror(code)
    return text.decode()
