"""Keys beside sound of any codec: each once, and none of their tone for the model."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from gateway.audio.codec import Codec, codec
from gateway.audio.frame import Samples
from gateway.audio.playout import Playout
from gateway.audio.tone import DIGITS
from gateway.call.downlink import Start
from gateway.call.line import Line
from gateway.call.tones import Tones
from gateway.rtp.packet import Packet, encode
from gateway.rtp.source import SourceRule
from gateway.sdp.formats import CODECS

from .talk import PHONE, media

MODEL_RATE = 24000
SEGMENT = 0xFFFF


class Caller:
    """A caller whose phone sends a frame each 20 ms, of a tone or of silence, and events."""

    def __init__(self, name: str, event_clock: int, *, inband: bool = False) -> None:
        self.codec: Codec = codec(name)
        agreed = replace(CODECS[name], payload_type=96)
        self.now = 100.0
        self.event_clock = event_clock
        self.line = Line(
            media(
                codec=agreed,
                accepted={96: agreed},
                event_clock_rate=event_clock,
                events={101: event_clock},
            ),
            Playout(MODEL_RATE),
            model_rate=MODEL_RATE,
            source=SourceRule("sdp", PHONE),
            start=Start(7, 100, 1000),
            now=self.now,
            tones=Tones() if inband else None,
        )
        self.keys = ""
        self.heard: list[Samples] = []
        self._encoder = self.codec.encoder(20)
        self._sequence = 500
        self._ticks = 0

    def tick(self, sound: Samples, event: tuple[int, int, bool] | None = None) -> None:
        """A frame, and perhaps an event: timestamp, duration and whether it ends."""
        self.now += 0.02
        if event:
            timestamp, duration, end = event
            payload = struct.pack("!BBH", 5, end << 7 | 10, duration)
            self._arrives(101, timestamp, payload)
        at = self._ticks * self.codec.clock_rate // 50
        self._arrives(96, at, self._encoder.encode(sound))
        self._ticks += 1
        if self._ticks % 2 == 0:
            self.heard.append(self.line.hear(self.now))
            self.keys += "".join(self.line.pressed())

    def _arrives(self, payload_type: int, timestamp: int, payload: bytes) -> None:
        packet = Packet(payload_type, self._sequence & 0xFFFF, timestamp, 77, payload)
        self._sequence += 1
        self.keys += "".join(self.line.receive(encode(packet), PHONE, self.now))


def tone(rate: int, seconds: float) -> Samples:
    """The 5."""
    at = np.arange(round(seconds * rate)) / rate
    wave = sum(5000 * np.sin(2 * np.pi * hertz * at) for hertz, _ in DIGITS["5"].parts)
    return np.rint(wave).astype(np.int16)


def long_press(caller: Caller, seconds: float, *, tone_too: bool) -> None:
    """One second of nothing, then the key, then another second."""
    frame, clock = caller.codec.rate // 50, caller.event_clock
    sound = tone(caller.codec.rate, seconds) if tone_too else np.zeros(0, np.int16)
    quiet = np.zeros(frame, np.int16)
    for _ in range(50):
        caller.tick(quiet)
    begin = before = clock
    steps = round(seconds * 50)
    for step in range(steps):
        if begin + clock // 50 * (step + 1) - before > SEGMENT:
            before += SEGMENT
        duration = begin + clock // 50 * (step + 1) - before
        piece = sound[step * frame : (step + 1) * frame] if tone_too else quiet
        caller.tick(piece, (before, duration, step == steps - 1))
    for _ in range(50):
        caller.tick(quiet)


@pytest.mark.parametrize("inband", [False, True])
@pytest.mark.parametrize(
    ("name", "clock"),
    [("PCMU", 8000), ("G722", 8000), ("OPUS", 48000), ("OPUS", 8000), ("PCMU", 48000)],
)
@pytest.mark.parametrize("seconds", [0.1, 5.0])
def test_a_key_is_one_however_long(name: str, clock: int, seconds: float, inband: bool) -> None:
    """At 48 kHz 5 s are four segments (RFC 4733 §2.5.1.3)."""
    caller = Caller(name, clock, inband=inband)
    long_press(caller, seconds, tone_too=True)
    assert caller.keys == "5"
    heard = np.concatenate(caller.heard).astype(float)
    assert np.count_nonzero(np.abs(heard) > 300) < 0.045 * MODEL_RATE


@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
def test_a_tone_alone_is_a_key(name: str) -> None:
    caller = Caller(name, 8000, inband=True)
    sound = np.pad(tone(caller.codec.rate, 0.1), caller.codec.rate // 5)
    frame = caller.codec.rate // 50
    for begin in range(0, len(sound) - frame + 1, frame):
        caller.tick(sound[begin : begin + frame])
    assert caller.keys == "5"
