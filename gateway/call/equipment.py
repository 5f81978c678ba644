"""Equipment ●: what a call holds while it lasts: a port, a model, the line between, a recording.

Shell, of the loop alone. It is got piece by piece as the call goes, and given back all at once,
whatever happened; what became of it is in the record then.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog

from gateway.config import AgentConfig
from gateway.rtp.port import RtpPort
from gateway.sdp.negotiation import Media

from .exchange import Exchange, Party
from .model import Backend, Listener, Model
from .prepare import open_port, reach_model
from .record import Record
from .recording import Recording
from .shield import Shield
from .talk import Owner, Talk, make_bridge, make_line


class Equipment:
    """That of one call. `close` it always."""

    def __init__(self, party: Party, exchange: Exchange, record: Record) -> None:
        self.port: RtpPort | None = None
        self.model: Model | None = None
        self.talk: Talk | None = None
        self._recording: Recording | None = None
        self._party = party
        self._x = exchange
        self._record = record

    def open_port(self) -> RtpPort:
        """A port for the sound; raises Refused."""
        self.port = open_port(self._x)
        return self.port

    async def reach_model(
        self,
        agent: AgentConfig,
        backends: Sequence[Backend],
        listener: Listener,
        log: structlog.stdlib.BoundLogger,
    ) -> Model:
        """A session with one of the backends; raises Refused."""
        text = self._party.instructions
        model = self.model = await reach_model(agent, text, backends, self._x, listener, log)
        self._record.backend = model.backend.name
        self._record.model = model.session.model
        self._record.session_id = model.session.session_id
        return model

    def join(self, media: Media, agent: AgentConfig, owner: Owner) -> Talk:
        """The line to the telephone, on the engine; the model does not hear it yet."""
        if self.talk:
            return self.talk
        assert self.port  # both ends were made ready
        assert self.model
        party, x = self._party, self._x
        if x.recorder:
            self._recording = x.recorder.recording(party.call_id)
        line = make_line(media, self.model, party, x, self._recording)
        bridge = make_bridge(line, self.model, agent, party, x, self._record)
        shield = Shield(self.port, x.identity, x.engine.handshakes, owner.failed)
        self.talk = Talk(line, bridge, self.model, shield, owner, rtp_timeout=x.rtp_timeout)
        shield.agree(media.security, line.source, x.clock())
        x.engine.add(self.talk.leg)
        return self.talk

    def record(self) -> None:
        """Record from now on, where calls are recorded."""
        if self._recording and self._x.recorder:
            self._x.recorder.begin(self._recording)
            self._record.recording = str(self._recording.path)

    def silence(self) -> None:
        """No packet leaves any more."""
        if self.talk and self._x.engine.remove(self.talk.leg):
            self.talk.leg.leave(self._x.clock())
        if self.talk:  # it may be joined with another party
            self.talk.leg.shield.close()

    async def close(self, *, announced: bool, log: structlog.stdlib.BoundLogger) -> None:
        """Give back everything, and complete the record; a fault in one step stops no other.

        `announced`: the telephone knows our port, and may go on to send there.
        """
        async with AsyncExitStack() as steps:  # from the last one up
            if self._recording and self._recording.begun:
                steps.push_async_callback(self._end, self._recording)
            steps.callback(self._complete, log)
            if self.port:
                now = self._x.clock()
                steps.callback(self._x.ports.release, self.port, now, announced=announced)
            if self.model:
                steps.callback(self.model.close)
            steps.callback(self.silence)

    async def _end(self, recording: Recording) -> None:
        """The record names what was kept of it."""
        assert self._x.recorder  # who else began it
        await self._x.recorder.finish(recording)
        if not recording.kept:
            self._record.recording = None

    def _complete(self, log: structlog.stdlib.BoundLogger) -> None:
        if self.model:
            self._record.usage.input_tokens = self.model.session.usage.input_tokens
            self._record.usage.output_tokens = self.model.session.usage.output_tokens
        if self.talk:
            self.talk.complete(self._record)
            if counts := self.talk.irregularities():
                log.info("call_irregular", **counts)
            if reason := self._lack(self.talk.leg.shield):
                log.warning("encryption_failed", reason=reason)

    def _lack(self, shield: Shield) -> str | None:
        """Why a call that was to be encrypted had no sound; None: it had, or was given up."""
        if shield.ready or shield.failure or self._record.cause != "rtp_timeout":
            return shield.failure
        return "no keys in time"
