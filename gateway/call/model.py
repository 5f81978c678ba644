"""Model ●: the model's end of a call: one session on one connection. Shell: it acts.

What the session wants to say goes to the connection, what the connection hears goes through the
session, and the events that come out go to whoever listens. A backend's sessions are a quota, so
one is taken before the socket opens and given back when it is closed, whatever happened between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from gateway.audio.frame import Samples
from gateway.audio.g711 import Codes, codec, is_coded
from gateway.realtime.client import BackendError, Connection, Connector
from gateway.realtime.events import (
    ClientEvent,
    Error,
    Malformed,
    ResponseOutputAudioDelta,
    ServerEvent,
    Unknown,
    type_of,
)
from gateway.realtime.profile import Profile
from gateway.realtime.session import Session, Settings, is_benign, is_fatal

from .backlog import Backlog


@dataclass(slots=True)
class Backend:
    """A model that answers: how to reach it, and how many sessions it may have at once."""

    name: str
    profile: Profile
    max_sessions: int | None = None
    sessions: int = 0
    last_success: float | None = None  # when a session was last ready, for /readyz
    behind: int = 0  # times that a caller's sound waited too long to be taken
    lost_ms: int = 0  # of callers' sound that was never taken

    @property
    def full(self) -> bool:
        """Its quota is used up."""
        return self.max_sessions is not None and self.sessions >= self.max_sessions


class Listener(Protocol):
    """Who hears the model."""

    def said(self, events: Sequence[ServerEvent], now: float) -> None:
        """A message came; `events` is empty where it says nothing new."""

    def lost(self, cause: str, reason: str) -> None:
        """The session is over, and not by us; `cause` is a word for the record."""

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: the session cannot go on."""


class Model:
    """One session. `open` it, then `send` and `append`; `close` it always."""

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        listener: Listener,
        *,
        connect: Connector,
        token: Callable[[], str],
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.backend = backend
        self.session = Session(backend.profile, settings, token=token)
        self.broken = 0  # messages that were no events
        self._listener = listener
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._taken = False
        sound = backend.profile.input
        self._law = codec(sound.law) if sound.law else None
        self._sample_bytes = 1 if sound.law else 2
        self.backlog = Backlog(sound.rate * self._sample_bytes)
        self._log = log.bind(backend=backend.name)

    async def open(self) -> None:
        """Connect, and wait until the settings are in force; raises BackendError.

        Whatever ends it early, cancellation too, leaves nothing open.
        """
        self._taken = True
        self.backend.sessions += 1
        try:
            self._connection = await self._connect(
                self.backend.profile, self._message, self._connection_closed
            )
            self._flush()
            await self._ready
        except BaseException:
            self.close()
            raise
        self.backend.last_success = self._clock()

    def close(self) -> None:
        """Close the socket at once and give the session back; harmless when it was not open."""
        if self._connection:
            connection, self._connection = self._connection, None
            connection.close()
        if self._taken:
            self._taken = False
            self.backend.sessions -= 1

    def send(self, event: ClientEvent, now: float) -> None:
        """Say something to the model, as soon as the rules of the wire allow."""
        self.session.send(event, now)
        self._flush()

    def append(self, sound: Samples | Codes, now: float) -> list[tuple[int, float]]:
        """Give the model sound at its own rate, as soon as the socket takes it.

        Codes are those of the model's own law. Returns what left by now: samples, and when they
        had come.
        """
        if (connection := self._connection) is None:
            return []
        data = self._coded(sound)
        if self.backlog.passes(connection.backlog):
            self.session.append(data)
            self._flush()
            return [(len(sound), now)]
        self._queue(data, now, connection.backlog)
        given: list[tuple[int, float]] = []
        while pieces := self.backlog.take(connection.backlog):
            self.session.append(b"".join([piece.data for piece in pieces]))
            self._flush()
            given += [(len(piece.data) // self._sample_bytes, piece.came) for piece in pieces]
        return given

    def _coded(self, sound: Samples | Codes) -> bytes:
        if is_coded(sound):
            return sound.tobytes()
        return self._law.encode(sound) if self._law else sound.astype("<i2", copy=False).tobytes()

    def _queue(self, data: bytes, now: float, unsent: int) -> None:
        """Let sound wait behind what waits already, and count what is too much."""
        backlog, backend = self.backlog, self.backend
        behind, losses, lost_ms = backlog.behind, backlog.losses, backlog.lost_ms
        backlog.push(data, now, unsent)
        backend.behind += backlog.behind - behind
        backend.lost_ms += backlog.lost_ms - lost_ms
        if backlog.losses > losses:  # this is the tick: nothing is logged in it
            loop = asyncio.get_running_loop()
            loop.call_soon(partial(self._log.warning, "backend_slow", reason="sound is lost"))

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        return self.session.deadline

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self.session.handle_timer(now)
        self._flush()

    def _flush(self) -> None:
        if self._connection:
            for text in self.session.outgoing():
                self._connection.send(text)

    def _message(self, text: str | bytes) -> None:
        if self._connection is None:
            return  # the tick that ran just before this message ended the call
        try:
            self._hear(text)
        except Exception as error:  # a border: the socket that called is not at fault
            self._listener.failed(error)

    def _hear(self, text: str | bytes) -> None:
        now = self._clock()
        events = self.session.receive(text, now)
        for event in events:
            self._watch(event)
        if self.session.ready and not self._ready.done():
            self._ready.set_result(None)
        self._flush()
        self._listener.said(events, now)

    def _connection_closed(self, code: int, reason: str) -> None:
        self._connection = None
        text = f"WebSocket closed {code} {reason}".strip()
        if not self._ready.done():
            self._ready.set_exception(BackendError("refused", reason=text))
            return
        self._log.warning("backend_closed", code=code, reason=reason)
        self._listener.lost("backend_closed", text)

    def _watch(self, event: ServerEvent) -> None:
        """Tell the operator what is wrong, and end what cannot go on."""
        match event:
            case Malformed(reason=reason):
                self.broken += 1
                if self.broken == 1:  # one line a call; a server that does it once does it often
                    self._log.warning("backend_message_broken", reason=reason)
            case Unknown(type=name):
                self._log.debug("backend_event_unknown", type=name)
            case ResponseOutputAudioDelta():
                pass  # five a second and more, of every call
            case Error(error=error) if not is_benign(error):
                asked = self.session.asked(error.event_id)
                kind = type_of(asked) if asked else None
                code = error.code or error.type
                self._log.warning("backend_error", code=code, reason=error.message, to=kind)
                if not self._ready.done():
                    self._ready.set_exception(BackendError("refused", reason=error.message))
                elif is_fatal(error):
                    self._listener.lost("backend_error", f"{code}: {error.message}")
            case _:
                self._log.debug("backend_event", type=type_of(event))


async def reach(
    backends: Sequence[Backend],
    make: Callable[[Backend], Model],
    *,
    within: float,
    clock: Callable[[], float],
    log: structlog.stdlib.BoundLogger,
) -> Model:
    """A session with the first of the backends that has one for us, within so many seconds.

    Each backend gets an equal share of the time that is left. Raises BackendError with the last
    reason; every reason is logged.
    """
    deadline = clock() + within
    problem = BackendError("unreachable", "no backend has a free session")
    for index, backend in enumerate(backends):
        free = sum(not other.full for other in backends[index:])  # they change while we wait
        if backend.full:
            continue
        share = (deadline - clock()) / free
        model = make(backend)
        try:
            async with asyncio.timeout(share):
                await model.open()
            return model
        except BackendError as error:
            problem = error
        except TimeoutError:
            problem = BackendError("timeout", f"no session within {share:.1f} s")
        log.warning("backend_failed", backend=backend.name, reason=str(problem))
    raise problem
