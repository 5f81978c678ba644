"""A line and a bridge without a network: what the tests of this folder talk through."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.audio.playout import Playout
from gateway.call.behaviour import Behaviour
from gateway.call.bridge import Action, Bridge
from gateway.call.downlink import Start
from gateway.call.keypad import Keypad
from gateway.call.line import Line
from gateway.call.record import Record
from gateway.realtime import events as ev
from gateway.rtp.source import SourceRule
from gateway.sdp.formats import Codec
from gateway.sdp.negotiation import Media

RATE = 24000
PCMU = Codec("PCMU", 0, 8000)
PCMA = Codec("PCMA", 8, 8000)
PHONE = ("192.0.2.7", 4000)


def media(**values: Any) -> Media:
    agreed = {
        "remote": PHONE,
        "codec": PCMU,
        "accepted": {0: PCMU, 8: PCMA},
        "event_payload_type": 101,
        "event_clock_rate": 8000,
        "sending": True,
        "receiving": True,
        "ptime": 20,
    }
    return Media(**{**agreed, **values})


def make_line(**values: Any) -> Line:
    arguments = {
        "model_rate": RATE,
        "source": SourceRule("learn", PHONE),
        "start": Start(ssrc=7, sequence=100, timestamp=1000),
        "now": 0.0,
    }
    return Line(media(), Playout(RATE), **{**arguments, **values})


class Talk:
    """A bridge on a line, a clock, and a model whose sentences are easy to write."""

    def __init__(
        self, *, is_cancelled: Callable[[str], bool] = lambda response_id: False, **behaviour: Any
    ) -> None:
        self.now = 100.0
        self.line = make_line(now=self.now)
        self.record = Record(call_id="c-1", sip_call_id="x", invited_at=0.0, transcript=[])
        keypad = Keypad(terminator="#", max_digits=20, timeout=3.0)
        self.bridge = Bridge(
            self.line,
            self.record,
            keypad,
            Behaviour(**behaviour),
            input_rate=RATE,
            wall=lambda now: now + 1_800_000_000 - 100,
            is_cancelled=is_cancelled,
        )
        self.line.downlink.prepare()

    def receive(self, event: ev.ServerEvent) -> list[Action]:
        return self.bridge.receive(event, self.now)

    def create(self, response: str = "resp_1") -> None:
        self.receive(ev.ResponseCreated(response=ev.Response(id=response)))

    def speak(self, item: str, ms: int, response: str = "resp_1", index: int = 0) -> list[Action]:
        sound = base64.b64encode(np.full(ms * RATE // 1000, 1000, "<i2").tobytes()).decode()
        return self.receive(
            ev.ResponseOutputAudioDelta(
                response_id=response, item_id=item, content_index=index, delta=sound
            )
        )

    def finish(self, item: str, response: str = "resp_1") -> None:
        self.receive(ev.ResponseOutputAudioDone(response_id=response, item_id=item))

    def done(self, response: str = "resp_1", status: str = "completed") -> list[Action]:
        return self.receive(ev.ResponseDone(response=ev.Response(id=response, status=status)))

    def hear(self, frames: int) -> None:
        """Let the caller hear so many frames, as the engine would."""
        for _ in range(frames):
            self.now += 0.02
            begun = self.line.downlink.sent(self.now)
            if begun:
                self.bridge.began(begun, self.now)
            if self.line.playout.idle:
                self.bridge.drained(self.now)
            self.line.downlink.prepare()

    def interrupt(self, start_ms: int = 0) -> list[Action]:
        return self.receive(
            ev.InputAudioBufferSpeechStarted(audio_start_ms=start_ms, item_id="item_u")
        )

    def call_function(
        self, name: str, status: str = "completed", *, arguments: str = "{}", call: str = "call_1"
    ) -> None:
        item = ev.Item(
            "function_call",
            id="item_f",
            call_id=call,
            name=name,
            arguments=arguments,
            status=status,
        )
        self.receive(ev.ResponseOutputItemDone(response_id="resp_1", item=item))
