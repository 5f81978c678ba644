"""A model with ears: it keeps all that it hears and is told, and says a known sound in answer.

The simulator's conversation on a real WebSocket, in a thread of the test, so that what was
appended can be looked at: the recording is the gateway's word, this is what it gave away.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from gateway.audio.frame import Samples, silence
from gateway.simulator.conversation import Conversation
from gateway.simulator.script import Script, load
from gateway.simulator.speech import Speech

from . import correlate
from .programs import HOST

RATE = 24000  # Hz, of what it hears and says
SEED = 2  # of what it says
SCRIPT = {"turns": [{"hears": "A sound", "say": "Another", "call": "hang_up"}]}


class _Voice:
    """A phone may still hold some sound back when we hang up: there is silence at its end."""

    def say(self, text: str, rate: int, language: str) -> bytes:
        said = np.concatenate([correlate.sound(rate, SEED), silence(rate // 2)])
        return said.astype("<i2").tobytes()


class Ear:
    """The model; each connection is one conversation, the newest is the one that is told of."""

    def __init__(self, script: Script, speech: Speech) -> None:
        self.told: list[dict[str, Any]] = []  # the client's events, without the sound
        self._heard = bytearray()
        self._script = script
        self._speech = speech
        self._names = count()

    @property
    def heard(self) -> Samples:
        """All that was appended in the newest conversation, at RATE."""
        return np.frombuffer(bytes(self._heard), "<i2").astype(np.int16)

    def converse(self, connection: ServerConnection) -> None:
        """One conversation."""
        heard = self._heard = bytearray()
        told = self.told = []
        conversation = Conversation(
            self._script, speech=self._speech, token=lambda: f"{next(self._names):016x}"
        )
        try:
            _send(connection, conversation.open(time.monotonic()))
            while not conversation.close:
                message = _next(connection, conversation.deadline)
                if message is None:
                    _send(connection, conversation.handle_timer(time.monotonic()))
                    continue
                event = json.loads(message)
                if event["type"] == "input_audio_buffer.append":
                    heard += base64.b64decode(event["audio"])
                else:
                    told.append(event)
                _send(connection, conversation.receive(message, time.monotonic()))
        except ConnectionClosed:
            pass  # the call is over


def _next(connection: ServerConnection, deadline: float | None) -> str | bytes | None:
    """The next message; None where the deadline is there first."""
    wait = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        return connection.recv(timeout=wait)
    except TimeoutError:
        return None


def _send(connection: ServerConnection, texts: list[str]) -> None:
    for text in texts:
        connection.send(text)


@contextmanager
def listening(
    script: Mapping[str, Any] = SCRIPT, speech: Speech | None = None
) -> Iterator[tuple[Ear, str]]:
    """Run it, with another script and voice if wanted; the second is its URL."""
    ear = Ear(load(script), speech or _Voice())
    with serve(ear.converse, HOST, 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ear, f"ws://{HOST}:{server.socket.getsockname()[1]}/v1/realtime"
        finally:
            server.shutdown()
            thread.join()
