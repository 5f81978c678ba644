"""The audio formats of the Realtime API as bytes and samples (pure).

`audio/pcm` is 16-bit little-endian mono at its rate; `audio/pcmu` and `audio/pcma` are G.711,
always 8000 Hz and without a rate field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec

_CODECS = {"audio/pcmu": "PCMU", "audio/pcma": "PCMA"}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    type: str = "audio/pcm"
    rate: int = 24000  # Hz

    @classmethod
    def of(cls, wire: Mapping[str, Any]) -> AudioFormat:
        """From a validated `format` object of a session."""
        if wire["type"] in _CODECS:
            return cls(wire["type"], 8000)
        return cls("audio/pcm", wire.get("rate") or 24000)

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return 1 if self.type in _CODECS else 2

    def ms(self, size: int) -> int:
        """Whole milliseconds in so many bytes."""
        return size // self.width * 1000 // self.rate

    def size(self, ms: int) -> int:
        """Bytes of so many milliseconds, at a sample's border."""
        return ms * self.rate // 1000 * self.width

    def wire(self) -> dict[str, Any]:
        return {"type": self.type} | ({"rate": self.rate} if self.type == "audio/pcm" else {})

    def decode(self, data: bytes) -> Samples:
        if self.type in _CODECS:
            return codec(_CODECS[self.type]).decode(data)
        return np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False)

    def encode(self, pcm: bytes) -> bytes:
        """The wire's bytes for PCM at this format's rate."""
        if self.type in _CODECS:
            return codec(_CODECS[self.type]).encode(np.frombuffer(pcm, dtype="<i2"))
        return pcm
