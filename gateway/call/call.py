"""Call ●: the life of a call, from INVITE to record. Shell: it acts, and decides nothing.

    invited ─▶ ringing, the model's WebSocket opens meanwhile ─▶ answered ─▶ over ─▶ record
                 └──────────────── refused, cancelled ───────────────────▶ over ─▶ record

One task group owns all that a call needs; leaving it, whatever the reason, gives back its port,
closes its socket, stops its recording and completes its record. What happens to the call enters
by a method (`receive` from SIP, `said` and `lost` from the model, the engine's from the tick,
`_wake` from the timer), and each of them ends in `_act`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

import structlog

from gateway.agents import Agent
from gateway.config import AgentConfig
from gateway.realtime.client import BackendError
from gateway.realtime.events import ServerEvent
from gateway.realtime.session import Settings
from gateway.rtp.port import PortsExhausted, RtpPort
from gateway.sdp.description import MISCELLANEOUS, SdpError
from gateway.sdp.negotiation import Local, Media, Negotiation
from gateway.sip.event import Ended, Event, Offered
from gateway.text import cleaned

from .bridge import Action, HangUp, Note, Send
from .ending import INTERNAL_ERROR, Ending, Refusal, incompatible, unavailable
from .exchange import Caller, Exchange
from .model import Backend, Model, reach
from .record import Record
from .recording import Recording
from .talk import Talk, make_bridge, make_line
from .tools import definitions

SET_UP = 3.0  # s from the INVITE to the 200, or else 503
FLUSH = 1.0  # s between writes of a recording


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.cause)
        self.refusal = refusal


class Call:
    """One call. `run` is its whole life and returns its record."""

    def __init__(self, caller: Caller, exchange: Exchange) -> None:
        self._caller = caller
        self._x = exchange
        self._id = caller.invite.call
        self._record = Record(
            call_id=caller.call_id,
            sip_call_id=cleaned(caller.invite.request.headers.call_id),
            from_=caller.from_,
            to=caller.to,
            trunk=caller.trunk,
            invited_at=exchange.wall(),
            transcript=[] if exchange.transcripts else None,
        )
        self._log = structlog.get_logger().bind(**self.names)
        self._over = asyncio.Event()
        self._negotiation = Negotiation()
        self._local: Local | None = None
        self._port: RtpPort | None = None
        self._model: Model | None = None
        self._talk: Talk | None = None
        self._recording: Recording | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at: float | None = None  # by max_duration
        self._ending: Ending | None = None

    @property
    def names(self) -> dict[str, str]:
        """The ids that every log line of this call has."""
        return {"call_id": self._record.call_id, "sip_call_id": self._record.sip_call_id}

    # -- the life

    async def run(self, plan: Agent | Refusal, backends: Sequence[Backend]) -> Record:
        """Take the call to its end; `backends` are tried in order. Leaves nothing behind."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._set_up(plan, backends))]
                if self._x.recording:
                    tasks.append(group.create_task(self._write_recording()))
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        except* Exception as group_:  # the border: a call's fault ends this call only
            self.failed(group_.exceptions[0])
        finally:
            await self._close()
        return self._record

    def receive(self, event: Event) -> None:
        """Take an event of this call's dialog."""
        with self._border():
            match event:
                case Offered(request=request):
                    self._renegotiate(request.body)
                case Ended():
                    self._ended(event)
                case _:
                    pass  # the ACK changes nothing here: the sound began with the 200

    def hang_up(self, cause: str) -> None:
        """End the call because the service stops, or an operator wants it."""
        self._hang_up(Ending("gateway", cause))

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: end this call, and keep the traceback."""
        self._log.error("call_failed", exc_info=error)
        self._hang_up(Ending("gateway", INTERNAL_ERROR))

    async def _set_up(self, plan: Agent | Refusal, backends: Sequence[Backend]) -> None:
        try:
            if isinstance(plan, Refusal):
                raise _Refused(plan)
            self._record.agent = plan.name
            self._log = self._log.bind(agent=plan.name)
            media, answer = self._agree()
            self._x.act(self._x.endpoint.ring(self._id, self._x.clock()))
            self._model = await self._reach_model(plan.settings, backends)
            self._answer(plan.settings, self._model, media, answer)
        except _Refused as refused:
            self._refuse(refused.refusal)

    def _agree(self) -> tuple[Media, bytes]:
        """Open a port and answer the offer."""
        try:
            self._port = self._x.ports.open(self._x.clock())
        except (PortsExhausted, OSError) as error:
            raise _Refused(unavailable("no_ports", f"No media port is free: {error}")) from None
        host, number = self._port.address
        if host in ("0.0.0.0", "::"):  # what to announce is the address of the route
            host = self._caller.invite.flow.local[0]
        address = (self._x.media_address or host, number)
        self._local = Local(address, self._x.codecs, self._x.number(31))
        try:
            answer, media = self._negotiate(self._caller.invite.request.body)
        except SdpError as error:
            raise _Refused(incompatible(error)) from None
        self._record.codec = media.codec.name
        return media, answer

    async def _reach_model(self, agent: AgentConfig, backends: Sequence[Backend]) -> Model:
        """A session with one of the backends."""
        detection = agent.turn_detection
        settings = Settings(
            instructions=self._caller.instructions,
            voice=agent.voice,
            language=agent.language,
            turn_detection=detection.wire() if detection else None,
            tools=definitions(agent.tools),
            transcription=self._x.transcripts,
            extra=agent.session,
        )

        def make(backend: Backend) -> Model:
            return Model(
                backend,
                settings,
                self,
                connect=self._x.connect,
                token=self._x.token,
                clock=self._x.clock,
                log=self._log,
            )

        try:
            model = await reach(backends, make, within=SET_UP, clock=self._x.clock, log=self._log)
        except BackendError as error:
            no = unavailable("backend_unavailable", str(error), error.retry_after)
            raise _Refused(no) from None
        self._record.backend = model.backend.name
        self._record.model = model.session.model
        self._record.session_id = model.session.session_id
        self._log = self._log.bind(backend=model.backend.name)
        return model

    def _answer(self, agent: AgentConfig, model: Model, media: Media, answer: bytes) -> None:
        """Pick up, and join the two ends."""
        assert self._port  # _agree came before
        now = self._x.clock()
        self._x.act(self._x.endpoint.answer(self._id, answer, now))
        if self._over.is_set():
            return
        self._record.answered_at = self._x.wall()
        if self._x.recording is not None:
            self._recording = self._x.recording(self._caller.call_id)
            self._record.recording = str(self._recording.path)
        line = make_line(media, model, self._caller, self._x, self._recording)
        bridge = make_bridge(line, model, agent, self._caller, self._x, self._record)
        self._talk = Talk(line, bridge, model, self._port, self, rtp_timeout=self._x.rtp_timeout)
        self._ends_at = now + agent.max_duration
        self._x.engine.add(self._talk.leg)
        self._log.info("call_began", codec=media.codec.name)
        self.act(bridge.open(now))

    async def _write_recording(self) -> None:
        """Write what was recorded off the loop, until the call is over."""
        while True:
            await asyncio.sleep(FLUSH)
            if self._recording:
                await asyncio.to_thread(self._recording.flush)

    async def _close(self) -> None:
        """Give back everything, and complete the record; a fault in one step stops no other."""
        with self._border():
            async with AsyncExitStack() as steps:  # from the last one up
                steps.push_async_callback(self._end_recording)
                steps.callback(self._complete)
                if self._port:
                    answered = self._record.answered_at is not None
                    steps.callback(
                        self._x.ports.release, self._port, self._x.clock(), announced=answered
                    )
                if self._model:
                    steps.callback(self._model.close)
                if self._talk:
                    steps.callback(self._x.engine.remove, self._talk.leg)
                if self._timer:
                    steps.callback(self._timer.cancel)

    async def _end_recording(self) -> None:
        if self._recording:
            await asyncio.to_thread(self._recording.close)
            if self._recording.error:
                self._log.warning("recording_failed", reason=str(self._recording.error))

    def _complete(self) -> None:
        record = self._record
        record.ended_at = record.ended_at or self._x.wall()
        if end := self._ending:
            record.ended_by, record.cause = end.by, end.cause
            record.sip_reason = record.sip_reason or end.reason
        if self._model:
            record.usage.input_tokens = self._model.session.usage.input_tokens
            record.usage.output_tokens = self._model.session.usage.output_tokens
        if self._talk:
            self._talk.complete(record)
            if counts := self._talk.irregularities():
                self._log.info("call_irregular", **counts)

    # -- SIP

    def _refuse(self, no: Refusal) -> None:
        self._ending = self._ending or Ending("gateway", no.cause, no.reason)
        now = self._x.clock()
        self._x.act(self._x.endpoint.refuse(self._id, no.status, now, headers=no.headers))

    def _hang_up(self, ending: Ending) -> None:
        """End the call from our side; the first ending is the one that counts."""
        self._ending = self._ending or ending
        if self._record.answered_at is None:
            self._refuse(ending.refusal)
        # nothing where the refusal ended the call; not so where its 200 had just left
        self._x.act(self._x.endpoint.bye(self._id, self._x.clock(), reason=ending.header))

    def _ended(self, event: Ended) -> None:
        if self._ending is None:
            self._ending = Ending("caller" if event.by == "peer" else "network", event.cause)
            self._record.sip_reason = cleaned(event.reason) if event.reason else None
        self._record.sip_status = event.status
        self._record.ended_at = self._x.wall()
        if self._talk:
            self._x.engine.remove(self._talk.leg)  # no packet follows the BYE
        self._over.set()

    def _negotiate(self, offer: bytes) -> tuple[bytes, Media]:
        if not offer or self._local is None:
            # an offer of ours, in the 200, comes with a later version
            raise SdpError(MISCELLANEOUS, "an offer is needed: none of ours is made yet")
        return self._negotiation.answer(offer, self._local)

    def _renegotiate(self, offer: bytes) -> None:
        """A re-INVITE: move, hold, resume, or keep what was agreed and say 488."""
        now = self._x.clock()
        try:
            answer, media = self._negotiate(offer)
        except SdpError as error:
            no = incompatible(error)
            self._x.act(self._x.endpoint.refuse(self._id, no.status, now, headers=no.headers))
            return
        if self._talk:
            self._talk.renegotiate(media, now)
            self._record.codec = media.codec.name
        self._x.act(self._x.endpoint.answer(self._id, answer, now))
        self.act([])

    # -- the model

    def said(self, events: Sequence[ServerEvent], now: float) -> None:
        """The model said something."""
        with self._border():
            if self._talk:
                for event in events:
                    self.act(self._talk.bridge.receive(event, now))
                self._set_timer()

    def lost(self, cause: str, reason: str) -> None:
        """The model's session is over, and not by us."""
        self._hang_up(Ending("backend", cause, reason))

    # -- what follows from it

    @contextmanager
    def _border(self) -> Iterator[None]:
        """Where the world calls in: what goes wrong behind it ends this call, and no other."""
        try:
            yield
        except Exception as error:
            self.failed(error)

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out what was decided, and set the one timer."""
        for action in actions:
            match action:
                case Send(event):
                    if self._model:
                        self._model.send(event, self._x.clock())
                case HangUp(by, cause, reason):
                    self._hang_up(Ending(by, cause, reason))
                case Note(name, values):
                    self._log.warning(name, **values)
        self._set_timer()

    def _set_timer(self) -> None:
        talk = self._talk
        if talk is None or self._over.is_set():
            return
        due = (self._ends_at, talk.silent_at, talk.deadline)
        at = min(at for at in due if at is not None)
        if self._timer:
            if self._timer.when() == at:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._wake)

    def _wake(self) -> None:
        """Something is due."""
        self._timer = None
        talk, now = self._talk, self._x.clock()
        assert talk  # it set the timer
        with self._border():
            actions: list[Action] = talk.handle_timer(now)
            if self._ends_at is not None and now >= self._ends_at:
                actions.append(HangUp("gateway", "max_duration"))
            elif talk.silent_at is not None and now >= talk.silent_at:
                actions.append(HangUp("network", "rtp_timeout"))
            self.act(actions)
