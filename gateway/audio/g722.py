"""G.722, packets <-> samples: ITU-T G.722 at 64 kbit/s by FFmpeg (PyAV), as RTP carries it; pure.

The sound has 16 kHz, the RTP clock 8 kHz, a mistake of old that stays (RFC 3551 §4.5.2): one
byte is one unit of the clock and two samples. The stream has no frames, so packets may have any
length.

PyAV is imported with the first call that needs it: it brings 30 MB. Left out on purpose: 48 and 56
kbit/s, which no SDP asks for, and Appendices III and IV (concealment: conceal.py does that).
"""

from __future__ import annotations

from typing import cast

from .frame import Samples, silence

RATE = 16000  # Hz, of samples
CLOCK_RATE = 8000  # Hz, of RTP timestamps
DELAY = 22  # samples, of both filter banks together


class G722Decoder:
    """What arrives from one sender. ImportError where PyAV is missing."""

    rate = RATE

    def __init__(self) -> None:
        import av

        self._packet = av.Packet
        self._context = av.AudioCodecContext.create("g722", "r")
        self._context.layout = "mono"
        self._context.sample_rate = RATE

    def decode(self, payload: bytes) -> Samples:
        """Two samples a byte; any bytes of any length are sound."""
        if not payload:  # to PyAV it would be the end of the stream
            return silence(0)
        [frame] = self._context.decode(self._packet(payload))
        return cast(Samples, frame.to_ndarray()[0])

    def conceal(self, count: int, following: bytes = b"") -> Samples | None:
        """G.722 knows no way of its own."""
        return None


class G722Encoder:
    """What is sent to one receiver, in packets of `ptime` ms. ImportError where PyAV is missing."""

    rate = RATE
    delay = DELAY

    def __init__(self, ptime: int = 20) -> None:
        import av

        count = RATE * ptime // 1000
        self._context = av.AudioCodecContext.create("g722", "w")
        self._context.layout = "mono"
        self._context.format = "s16"
        self._context.sample_rate = RATE
        self._context.options = {"frame_size": str(count)}
        # One frame serves every packet, because the encoder copies what is in it.
        self._frame = av.AudioFrame("s16", "mono", count)
        self._frame.sample_rate = RATE
        self._plane = self._frame.planes[0]

    def encode(self, samples: Samples) -> bytes:
        """One byte for two samples. ValueError where they are not `ptime` ms."""
        self._frame.pts = None
        self._plane.update(samples.tobytes())
        [packet] = self._context.encode(self._frame)
        return bytes(packet)

    def expect_loss(self, share: float) -> None:
        """Changes nothing: there is nothing to repeat."""
