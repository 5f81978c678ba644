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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from gateway.agents import Agent
from gateway.audio.frame import Samples
from gateway.audio.playout import Part, Playout
from gateway.realtime.client import BackendError, Connector
from gateway.realtime.events import ServerEvent
from gateway.realtime.session import Settings
from gateway.rtp.port import PortsExhausted, RtpPort, RtpPorts
from gateway.rtp.source import SourceRule
from gateway.sdp.description import MISCELLANEOUS, SdpError
from gateway.sdp.negotiation import Local, Media, Negotiation
from gateway.sip.endpoint import Endpoint
from gateway.sip.event import Ended, Event, Incoming, Offered, Output

from .bridge import Action, Behaviour, Bridge, HangUp, Note, Send
from .engine import Engine, Leg
from .keypad import Keypad
from .line import Line, Start
from .model import Backend, Model
from .record import EndedBy, Record
from .recording import Recording
from .tools import definitions

SET_UP = 3.0  # s from the INVITE to the 200, or else 503
RETRY_AFTER = "5"  # s, what a refused caller is told to wait
HOLD_TIMEOUT = 1800.0  # s without RTP that a call on hold may last (reliability F8)
FLUSH = 1.0  # s between writes of a recording


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is not taken: the final response, and why for the record."""

    status: int
    cause: str  # a word
    reason: str | None = None  # a sentence
    headers: tuple[tuple[str, str], ...] = ()


def unavailable(cause: str, reason: str) -> Refusal:
    """503 with Retry-After: not now, perhaps in a moment."""
    return Refusal(503, cause, reason, (("Retry-After", RETRY_AFTER),))


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.cause)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all calls of the process share, and what the operator configured of them."""

    endpoint: Endpoint
    act: Callable[[list[Output]], None]  # performs what the endpoint returned
    engine: Engine
    ports: RtpPorts
    connect: Connector
    clock: Callable[[], float]  # the loop's time, s
    wall: Callable[[], float]  # s since 1970
    number: Callable[[int], int]  # a random whole number of so many bits
    token: Callable[[], str]  # a random word
    codecs: Sequence[str] = ("PCMA", "PCMU")
    media_address: str | None = None  # written into SDP; None: the route's
    rtp_timeout: float = 30.0  # s; 0: never
    playout_delay: float = 0.06  # s, at the far end
    transcripts: bool = False
    recordings: Path | None = None  # a folder


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what the INVITE said: found out before the call is taken."""

    call_id: str
    invite: Incoming
    from_: str | None
    to: str | None
    trunk: str | None
    source_mode: Literal["sdp", "learn"]  # who may send RTP
    instructions: str  # the agent's, filled in


class Talk:
    """An answered call: the line and the model, joined by the bridge.

    It listens to the engine and to the model, and hands what the bridge decides to `act`.
    """

    def __init__(self, line: Line, bridge: Bridge, model: Model, port: RtpPort, call: Call) -> None:
        self.line = line
        self.bridge = bridge
        self.model = model
        self.leg = Leg(port, line, self)
        self._call = call

    def heard(self, samples: Samples, now: float) -> None:
        """Give the model the caller's sound."""
        if self.model.append(samples):
            self.bridge.appended(len(samples), now)

    def pressed(self, digit: str, now: float) -> None:
        """The caller pressed a key."""
        self._call.act(self.bridge.press(digit, now))

    def began(self, part: Part, now: float) -> None:
        """A part began to be heard."""
        self.bridge.began(part, now)

    def drained(self, now: float) -> None:
        """The line fell silent."""
        self._call.act(self.bridge.drained(now))

    def broke(self, error: Exception) -> None:
        """The sound of this call failed."""
        self._call.failed(error)

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        return _first(self.bridge.deadline, self.model.deadline)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due."""
        self.model.handle_timer(now)
        return self.bridge.handle_timer(now)


class Call:
    """One call. `run` is its whole life and returns its record."""

    def __init__(self, caller: Caller, exchange: Exchange) -> None:
        self._caller = caller
        self._x = exchange
        self._id = caller.invite.call
        self._record = Record(
            call_id=caller.call_id,
            sip_call_id=caller.invite.request.headers.get("Call-ID") or "",
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
        self._why: tuple[EndedBy, str, str | None] | None = None

    @property
    def names(self) -> dict[str, str]:
        """The ids that every log line of this call has."""
        return {"call_id": self._record.call_id, "sip_call_id": self._record.sip_call_id}

    # -- the life

    async def run(self, plan: Agent | Refusal, backends: Sequence[Backend]) -> Record:
        """Take the call to its end; `backends` are tried in order. Leaves nothing behind."""
        try:
            async with asyncio.TaskGroup() as group:
                set_up = group.create_task(self._set_up(plan, backends))
                await self._over.wait()
                set_up.cancel()
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
        self._hang_up("gateway", cause)

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: end this call, and keep the traceback."""
        self._log.error("call_failed", exc_info=error)
        self._hang_up("gateway", "internal_error")

    async def _set_up(self, plan: Agent | Refusal, backends: Sequence[Backend]) -> None:
        try:
            if isinstance(plan, Refusal):
                raise _Refused(plan)
            self._record.agent = plan.name
            self._log = self._log.bind(agent=plan.name)
            media, answer = self._agree()
            self._x.act(self._x.endpoint.ring(self._id, self._x.clock()))
            self._model = await self._reach_model(plan, backends)
            self._answer(plan, self._model, media, answer)
        except _Refused as refused:
            self._refuse(refused.refusal)
        else:
            await self._write_recording()

    def _agree(self) -> tuple[Media, bytes]:
        """Open a port and answer the offer."""
        try:
            self._port = self._x.ports.open(self._x.clock())
        except PortsExhausted:
            raise _Refused(unavailable("no_ports", "No media port is free")) from None
        host = self._x.media_address or self._caller.invite.flow.local[0]
        self._local = Local((host, self._port.address[1]), self._x.codecs, self._x.number(31))
        try:
            answer, media = self._negotiate(self._caller.invite.request.body)
        except SdpError as error:
            raise _Refused(_incompatible(error)) from None
        self._record.codec = media.codec.name
        return media, answer

    async def _reach_model(self, agent: Agent, backends: Sequence[Backend]) -> Model:
        """A session with the first backend that has one for us."""
        deadline = self._x.clock() + SET_UP
        problem = "no backend has a free session"
        free = [backend for backend in backends if not backend.full]
        for index, backend in enumerate(free):
            share = (deadline - self._x.clock()) / (len(free) - index)
            model = self._model = Model(
                backend,
                self._settings(agent),
                self,
                connect=self._x.connect,
                token=self._x.token,
                clock=self._x.clock,
                log=self._log,
            )
            try:
                async with asyncio.timeout(share):
                    await model.open()
            except BackendError as error:
                problem = str(error)
            except TimeoutError:
                problem = f"no session within {share:.1f} s"
            else:
                self._reached(model)
                return model
            model.close()
            self._log.warning("backend_failed", backend=backend.name, reason=problem)
        raise _Refused(unavailable("backend_unavailable", problem))

    def _settings(self, agent: Agent) -> Settings:
        detection = agent.settings.turn_detection
        return Settings(
            instructions=self._caller.instructions,
            voice=agent.settings.voice,
            language=agent.settings.language,
            turn_detection=detection.wire() if detection else None,
            tools=definitions(agent.settings.tools),
            transcription=self._x.transcripts,
            extra=agent.settings.session,
        )

    def _reached(self, model: Model) -> None:
        self._record.backend = model.backend.name
        self._record.model = model.session.model
        self._record.session_id = model.session.session_id
        self._log = self._log.bind(backend=model.backend.name)

    def _answer(self, agent: Agent, model: Model, media: Media, answer: bytes) -> None:
        """Pick up, and join the two ends."""
        assert self._port  # _agree came before
        now = self._x.clock()
        self._x.act(self._x.endpoint.answer(self._id, answer, now))
        if self._over.is_set():
            return
        self._record.answered_at = self._x.wall()
        if self._x.recordings is not None:
            self._recording = Recording(self._x.recordings / f"{self._caller.call_id}.wav")
            self._record.recording = str(self._recording.path)
        line = self._make_line(media, model, now)
        self._talk = Talk(line, self._make_bridge(agent, line, model), model, self._port, self)
        self._ends_at = now + agent.settings.max_duration
        self._x.engine.add(self._talk.leg)
        self._log.info("call_answered", codec=media.codec.name)
        self.act(self._talk.bridge.open(now))

    def _make_line(self, media: Media, model: Model, now: float) -> Line:
        profile = model.backend.profile
        number = self._x.number
        return Line(
            media,
            Playout(profile.output.rate, profile.output.law),
            model_rate=profile.input.rate,
            source=SourceRule(
                self._caller.source_mode,
                media.remote,
                signalling_host=self._caller.invite.flow.remote[0],
            ),
            start=Start(number(32), number(15), number(32)),  # RFC 3550 §5.1
            now=now,
            tracks=self._recording,
        )

    def _make_bridge(self, agent: Agent, line: Line, model: Model) -> Bridge:
        profile, session, wanted = model.backend.profile, model.session, agent.settings
        detection = session.turn_detection or {}
        offset = self._x.wall() - self._x.clock()
        behaviour = Behaviour(
            instructions=self._caller.instructions,
            greeting=wanted.greeting.say if wanted.greeting else None,
            interruptible=wanted.interruptible,
            truncate_at=wanted.truncate_at,
            tools=wanted.tools,
            builtin_tools=profile.builtin_tools,
            keypad_interrupts=wanted.keypad.interrupts,
            cancels_on_speech=session.cancels_on_speech,
            padding_ms=int(detection.get("prefix_padding_ms", 300)),
            loop_delay=self._x.playout_delay,
            cumulative_transcripts=profile.cumulative_transcripts,
        )
        keypad = Keypad(
            terminator=wanted.keypad.terminator,
            max_digits=wanted.keypad.max_digits,
            timeout=wanted.keypad.timeout,
        )
        return Bridge(
            line,
            self._record,
            keypad,
            behaviour,
            input_rate=profile.input.rate,
            wall=lambda at: at + offset,
        )

    async def _write_recording(self) -> None:
        """Write what was recorded off the loop, until the call is over."""
        while self._recording and not self._over.is_set():
            await asyncio.sleep(FLUSH)
            await asyncio.to_thread(self._recording.flush)

    async def _close(self) -> None:
        """Give back everything, and complete the record."""
        now = self._x.clock()
        if self._timer:
            self._timer.cancel()
        if self._talk:
            self._talk.bridge.close()
            self._x.engine.remove(self._talk.leg)
        if self._model:
            self._model.close()
        if self._port:
            self._x.ports.release(self._port, now)
        self._complete()
        if self._recording:
            await asyncio.to_thread(self._recording.close)
            if self._recording.error:
                self._log.warning("recording_failed", reason=str(self._recording.error))

    def _complete(self) -> None:
        record = self._record
        record.ended_at = record.ended_at or self._x.wall()
        if self._why:
            record.ended_by, record.cause, reason = self._why
            record.sip_reason = record.sip_reason or reason
        if self._model:
            record.usage.input_tokens = self._model.session.usage.input_tokens
            record.usage.output_tokens = self._model.session.usage.output_tokens
        if self._talk:
            line = self._talk.line
            record.rtp = line.counts()
            record.usage.audio_out_s = round(line.playout.sent_total / line.playout.rate, 2)
            record.usage.audio_in_s = round(self._talk.bridge.appended_s, 2)

    # -- SIP

    def _refuse(self, refusal: Refusal) -> None:
        self._why = ("gateway", refusal.cause, refusal.reason)
        self._x.act(
            self._x.endpoint.refuse(
                self._id, refusal.status, self._x.clock(), headers=refusal.headers
            )
        )

    def _hang_up(self, by: EndedBy, cause: str, reason: str | None = None) -> None:
        """End the call from our side; who says why first is the one who ended it."""
        self._why = self._why or (by, cause, reason)
        header = None  # RFC 3326; Q.850: 31 is normal, 41 a temporary failure, 102 a timer's expiry
        if cause != "hang_up":
            number = {"rtp_timeout": 102, "max_duration": 102, "shutdown": 31}.get(cause, 41)
            header = f'Q.850;cause={number};text="{cause}"'
        self._x.act(self._x.endpoint.bye(self._id, self._x.clock(), reason=header))

    def _ended(self, event: Ended) -> None:
        if self._why is None:
            self._why = ("caller" if event.by == "peer" else "network", event.cause, None)
            self._record.sip_reason = event.reason
        self._record.sip_status = event.status
        self._record.ended_at = self._x.wall()
        self._over.set()

    def _negotiate(self, offer: bytes) -> tuple[bytes, Media]:
        if not offer or self._local is None:
            # an offer of ours, in the 200, comes with a later version
            raise SdpError(MISCELLANEOUS, "an INVITE without an offer is not answered yet")
        return self._negotiation.answer(offer, self._local)

    def _renegotiate(self, offer: bytes) -> None:
        """A re-INVITE: move, hold, resume, or keep what was agreed and say 488."""
        now = self._x.clock()
        try:
            answer, media = self._negotiate(offer)
        except SdpError as error:
            no = _incompatible(error)
            self._x.act(self._x.endpoint.refuse(self._id, no.status, now, headers=no.headers))
            return
        if self._talk:
            self._talk.leg.reconnect()
            self._talk.line.renegotiate(media, now)
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
        self._hang_up("backend", cause, reason)

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
                case HangUp(by, cause):
                    self._hang_up(by, cause)
                case Note(name, values):
                    self._log.warning(name, **values)
        self._set_timer()

    def _set_timer(self) -> None:
        talk = self._talk
        at = _first(self._ends_at, self._rtp_deadline(), talk.deadline if talk else None)
        if self._over.is_set() or at is None:
            return
        if self._timer:
            if self._timer.when() == at:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._wake)

    def _rtp_deadline(self) -> float | None:
        if self._talk is None or not self._x.rtp_timeout:
            return None
        line = self._talk.line
        return line.last_packet_at + (HOLD_TIMEOUT if line.on_hold else self._x.rtp_timeout)

    def _wake(self) -> None:
        """Something is due."""
        self._timer = None
        now, silent_at = self._x.clock(), self._rtp_deadline()
        with self._border():
            actions: list[Action] = self._talk.handle_timer(now) if self._talk else []
            if self._ends_at is not None and now >= self._ends_at:
                actions.append(HangUp("gateway", "max_duration"))
            elif silent_at is not None and now >= silent_at:
                actions.append(HangUp("network", "rtp_timeout"))
            self.act(actions)


def _first(*times: float | None) -> float | None:
    return min((at for at in times if at is not None), default=None)


def _incompatible(error: SdpError) -> Refusal:
    """488 with the Warning of RFC 3261 §20.43."""
    warning = f'{error.warning} gateway "{error}"'
    return Refusal(488, "media_not_acceptable", str(error), (("Warning", warning),))
