"""A caller whose clock is not ours, for an hour: nothing is added to her words, nothing left out.

Upward the timestamps count, so a clock that is fast or slow by 1,000 ppm (3.6 s in an hour) adds
up to nothing, and what our clock fills in where the stream stops is part of the same account.
"""

from __future__ import annotations

import pytest

from gateway.audio.playout import Playout
from gateway.call.downlink import Start
from gateway.call.line import Line
from gateway.rtp.packet import Packet, encode
from gateway.rtp.source import SourceRule

from .talk import PHONE, media

RATE = 8000  # Hz
FRAME = 160  # samples of 20 ms
LONG = 3 * FRAME  # samples in a packet of 60 ms, so that an hour is short here
HOUR = 60_000  # such packets


def line() -> Line:
    source = SourceRule("sdp", PHONE)
    start = Start(ssrc=7, sequence=100, timestamp=1000)
    return Line(media(), Playout(RATE), model_rate=RATE, source=source, start=start, now=100.0)


def packet(sequence: int, timestamp: int, frames: int) -> bytes:
    payload = bytes(frames * FRAME)
    return encode(Packet(0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, 0xCAFE, payload))


@pytest.mark.parametrize("skew", [-1e-3, 1e-3])
def test_an_hour_of_speech(skew: float) -> None:
    """The model hears as many samples as were sent, and each as soon as it came."""
    subject = line()
    heard = 0
    for n in range(HOUR):
        now = 100.0 + n * 0.06 * (1 + skew)
        subject.receive(packet(n, n * LONG, 3), PHONE, now)
        if n % 2:
            heard += len(subject.hear(now + 0.015))
            assert heard == (n + 1) * LONG
    counts = subject.counts()
    assert (counts.received, counts.lost, counts.late) == (HOUR, 0, 0)
    assert counts.jitter_ms < 0.1


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("skew", [-1e-3, 1e-3])
def test_an_hour_of_words_and_pauses(skew: float, frames: int) -> None:
    """3 s of speech and 3 s of which nothing is sent (silence suppression), 600 times, in packets
    of 20 or 60 ms: a tenth of a second more or less is heard, all of it silence."""
    subject = line()
    heard, sequence = 0, 0
    for turn in range(600):
        for tick in range(0, 300, frames):
            now = 100.0 + (turn * 300 + tick) * 0.02 * (1 + skew)
            if tick < 150:
                timestamp = (turn * 300 + tick) * FRAME
                subject.receive(packet(sequence, timestamp, frames), PHONE, now)
                sequence += 1
            if tick % 2:
                heard += len(subject.hear(now + 0.001))
    assert heard == pytest.approx(3600 * RATE, abs=5 * FRAME)
