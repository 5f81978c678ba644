"""A client of a `Conversation`, in memory and on virtual time."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

from gateway.simulator.conversation import Conversation
from gateway.simulator.script import Script, load
from gateway.simulator.speech import Noise, Speech, Tones

Event = dict[str, Any]


def counter() -> Callable[[], str]:
    """Tokens 1, 2, 3 …"""
    numbers = itertools.count(1)
    return lambda: str(next(numbers))


def voice(seconds: float, rate: int = 24000) -> bytes:
    """So much loud speech, PCM."""
    sound = Noise(7).say("x" * round(seconds / 0.065), rate, "en")
    return (sound + sound)[: round(seconds * rate) * 2]


def silence(seconds: float, rate: int = 24000) -> bytes:
    return bytes(round(seconds * rate) * 2)


class Client:
    """Sends events, and gathers all that comes; `now` moves only by `wait`."""

    def __init__(
        self,
        script: Script | Event | None = None,
        *,
        dialect: str = "openai",
        speech: Speech | None = None,
        update: bool = True,
        **options: Any,
    ) -> None:
        self.now = 1000.0
        self.raw: list[str] = []
        self.events: list[Event] = []
        self.conversation = Conversation(
            script if isinstance(script, Script) else load(script or {}),
            speech=speech or Tones(),
            token=counter(),
            dialect=dialect,
            **options,
        )
        self._take(self.conversation.open(self.now))
        if update:
            self.send("session.update", session={"type": "realtime"})

    def _take(self, texts: Iterable[str]) -> list[Event]:
        texts = list(texts)
        self.raw += texts
        events = [json.loads(text) for text in texts]
        self.events += events
        return events

    def send(self, kind: str, **fields: Any) -> list[Event]:
        """What comes back at once."""
        return self.text(json.dumps({"type": kind, **fields}))

    def text(self, message: str | bytes) -> list[Event]:
        return self._take(self.conversation.receive(message, self.now))

    def error(self, kind: str, **fields: Any) -> Event:
        """The error that is the only answer."""
        (event,) = self.send(kind, **fields)
        assert event["type"] == "error", event
        error: Event = event["error"]
        return error

    def update(self, **session: Any) -> list[Event]:
        return self.send("session.update", session={"type": "realtime", **session})

    def wait(self, seconds: float = 60.0) -> list[Event]:
        """All that comes in that time, each thing when it is due."""
        end, events = self.now + seconds, []
        while (due := self.conversation.deadline) is not None and due <= end:
            self.now = max(due, self.now)
            events += self._take(self.conversation.handle_timer(self.now))
        self.now = end
        return events

    def say(self, audio: bytes, *, chunk: int = 960, pace: float = 0.0) -> list[Event]:
        """Append it in chunks, `pace` seconds of time for each."""
        events = []
        for start in range(0, len(audio), chunk):
            piece = base64.b64encode(audio[start : start + chunk]).decode()
            events += self.send("input_audio_buffer.append", audio=piece)
            events += self.wait(pace) if pace else []
        return events

    def turn(self) -> list[Event]:
        """The user speaks for a second, and is silent for one."""
        return self.say(voice(1.0) + silence(1.0))

    def response(self, **asked: Any) -> Event:
        """Ask for a response and wait for its end; the response of response.done."""
        events = self.send("response.create", response=asked) + self.wait()
        done = [event for event in events if event["type"] == "response.done"]
        response: Event = done[-1]["response"]
        return response


def types(events: Iterable[Event]) -> list[str]:
    """The events' types in order, without the deltas."""
    return [event["type"] for event in events if not event["type"].endswith(".delta")]


def audio_of(events: Iterable[Event], item_id: str | None = None) -> bytes:
    """The audio of all deltas, or of one item's."""
    return b"".join(
        base64.b64decode(event["delta"])
        for event in events
        if event["type"] == "response.output_audio.delta"
        and (item_id is None or event["item_id"] == item_id)
    )
