"""Call ●: the life of a call, from INVITE to record. Shell: it acts, and decides nothing.

    invited ─▶ ringing, the model's WebSocket opens meanwhile ─▶ answered ─▶ over ─▶ record
                 └──────────────── refused, cancelled ───────────────────▶ over ─▶ record
    calling: the model's WebSocket first ─▶ INVITE ─▶ ringing ─▶ answered ─▶ over ─▶ record

One task group owns all that a call needs; leaving it, whatever the reason, gives back its port,
closes its socket, stops its recording and completes its record. What happens to the call enters
by a method (`receive` from SIP, `said` and `lost` from the model, the engine's from the tick,
`_wake` from the timer), and each of them ends in `act`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import structlog

from gateway.agents import Agent
from gateway.config import AgentConfig
from gateway.realtime.events import ServerEvent
from gateway.rtp.port import RtpPort
from gateway.rtp.source import SourceRule
from gateway.sdp.description import SdpError
from gateway.sip.event import (
    Answered,
    CallEvent,
    Ended,
    Incoming,
    Informed,
    Progress,
    ReferralProgress,
    Referred,
)
from gateway.sip.info import digits
from gateway.text import cleaned

from .bridge import Action, HangUp, Note, Press, Send, Transfer
from .ending import INTERNAL_ERROR, Ending, Refusal, ended_by_them, incompatible
from .equipment import Equipment
from .exchange import Destination, Exchange, Party
from .model import Backend
from .onward import Onward
from .prepare import Refused, host_towards, located
from .record import Record, State
from .talk import Talk
from .telephone import Telephone
from .transfers import Transfers

RINGING = 180  # SIP's


class Call:
    """One call. `run` is its whole life and returns its record."""

    def __init__(self, party: Party, exchange: Exchange, onward: Onward) -> None:
        self.record = Record(
            call_id=party.call_id,
            direction=party.direction,
            from_=party.from_,
            to=party.to,
            trunk=party.trunk,
            headers=party.headers,
            invited_at=exchange.wall(),
            transcript=[] if exchange.transcripts else None,
        )
        self._party = party
        self._x = exchange
        self.telephone = Telephone(exchange, self)
        if isinstance(party.sip, Incoming):
            self.telephone = Telephone(exchange, self, party.sip.call, flow=party.sip.flow)
            self.record.sip_call_id = cleaned(party.sip.request.headers.call_id)
        self._log = structlog.get_logger().bind(**self.names)
        self._over = asyncio.Event()
        self._settled = asyncio.Event()
        self._rings = party.direction == "inbound"
        self._agent = AgentConfig()
        self._held = Equipment(party, exchange, self.record)
        self._began = False
        self._group: asyncio.TaskGroup
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._limit: tuple[float, HangUp] | None = None  # when it ends in any case, and how
        self._ending: Ending | None = None
        self._lost: Ending | None = None  # as the end of the model's session would have it
        self.transfers = Transfers(exchange, self, self.record, onward, party.source_mode)

    @property
    def names(self) -> dict[str, str | None]:
        """The ids that every log line of this call has."""
        return {"call_id": self.record.call_id, "sip_call_id": self.record.sip_call_id}

    @property
    def state(self) -> State:
        """How far it has come."""
        if self._over.is_set():
            return "ended"
        if self.record.answered_at is not None:
            return "answered"
        return "ringing" if self._rings else "calling"

    async def settled(self) -> None:
        """Wait until it is answered, or will never be."""
        await self._settled.wait()

    # -- the life

    async def run(self, plan: Agent | Refusal, backends: Sequence[Backend]) -> Record:
        """Take the call to its end; `backends` are tried in order. Leaves nothing behind."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self.start(self._set_up(plan, backends))
                await self._over.wait()
                for task in self._tasks:
                    task.cancel()
        except* Exception as group_:  # the border: a call's fault ends this call only
            self.failed(group_.exceptions[0])
        finally:
            await self._close()
        return self.record

    def receive(self, event: CallEvent) -> None:
        """Take an event of this call's SIP."""
        with self._border():
            try:
                agreed = self.telephone.receive(event)
            except SdpError as error:
                self._hang_up(Ending("gateway", "media_not_acceptable", str(error)))
                return
            match event:
                case Ended() if self._ending is None and self.telephone.retry(event):
                    self._calls()
                case Ended():
                    self.ended(event)
                case Referred():
                    self.transfers.referred(event)
                case ReferralProgress():
                    self.transfers.referral(event)
                case Progress(status=status):
                    self._rings = self._rings or agreed or status == RINGING
                    if agreed:
                        self._join()  # early media runs, and the model hears nothing of it
                case Informed() if self.transfers.informed(event):
                    pass  # to whom the caller talks with
                case Informed(content_type=kind, body=body) if self._talk:
                    for digit in digits(kind, body):
                        self._talk.informed(digit, self._x.clock())
                case Answered() if self.record.answered_at is None:
                    self._answered()
                case _ if agreed:
                    self._agreed()

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
                raise Refused(plan)
            self._agent = plan.settings
            self.record.agent = plan.name
            self._log = self._log.bind(agent=plan.name)
            match self._party.sip:
                case Incoming() as invite:
                    await self._be_called(invite, backends)
                case Destination() as to:
                    await self._call(to, backends)
        except Refused as refused:
            self._refuse(refused.refusal)

    async def _be_called(self, invite: Incoming, backends: Sequence[Backend]) -> None:
        """Ring until the model is ready, then answer."""
        self.telephone.use(self._held.open_port(), self._x.endpoint.host(invite.flow))
        try:
            self.telephone.agree(invite.request.body)
        except SdpError as error:
            raise Refused(incompatible(error)) from None
        self.telephone.ring()
        await self._reach_model(backends)
        self.telephone.answer()
        if not self._over.is_set():
            self._answered()

    async def _call(self, to: Destination, backends: Sequence[Backend]) -> None:
        """Call when the model is ready: nobody shall pick up and hear nothing."""
        host = await host_towards(to, self._x)
        self.telephone.use(self._held.open_port(), host)
        await self._reach_model(backends)
        self._limit = self._x.clock() + to.timeout, HangUp("gateway", "no_answer")
        self.telephone.call(located(to, self._x), host)
        self._calls()
        self.act([])

    def _calls(self) -> None:
        """An INVITE of ours has left, perhaps in place of another."""
        self.record.sip_call_id = self._x.endpoint.call_id(self.telephone.handle)
        self._log = self._log.bind(**self.names)

    async def _reach_model(self, backends: Sequence[Backend]) -> None:
        model = await self._held.reach_model(self._agent, backends, self, self._log)
        self._log = self._log.bind(backend=model.backend.name)

    def _answered(self) -> None:
        """Somebody picked up: from now on it is a call."""
        self.record.answered_at = self._x.wall()
        ends = self._x.clock() + self._agent.max_duration
        self._limit = ends, HangUp("gateway", "max_duration")
        self._settled.set()
        self._agreed()

    def _agreed(self) -> None:
        """Have the sound where, and as, it was agreed last; begin where it is agreed at last."""
        if media := self.telephone.media:
            self.record.codec = media.codec.name
            if self._talk:
                self._talk.renegotiate(media, self._x.clock())
                self.transfers.agreed(media)
            if self.record.answered_at is not None and not self._began:
                self._begin()
        self.act([])

    def _begin(self) -> None:
        """Let the two ends hear each other."""
        self._began, now = True, self._x.clock()
        talk = self._join()
        self._held.record()
        talk.begin(now)
        self._log.info("call_began", codec=self.record.codec)
        self.act(talk.bridge.open(now))

    def _join(self) -> Talk:
        assert self.telephone.media
        return self._held.join(self.telephone.media, self._agent, self)

    @property
    def _talk(self) -> Talk | None:
        return self._held.talk

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run until the call is over."""
        self._tasks.append(self._group.create_task(work))

    async def _close(self) -> None:
        """Give back everything, and complete the record; a fault in one step stops no other."""
        with self._border():
            async with AsyncExitStack() as steps:  # from the last one up
                told = self.telephone.announced
                steps.push_async_callback(self._held.close, announced=told, log=self._log)
                if not self._over.is_set():  # SIP was broken, too
                    steps.callback(self._is_over)
                if self._timer:
                    steps.callback(self._timer.cancel)
                steps.callback(self.telephone.leave)
                steps.callback(self.transfers.close)

    # -- SIP

    def _refuse(self, no: Refusal) -> None:
        """Take no call, or do not even begin to make one."""
        self._ending = self._ending or Ending("gateway", no.cause, no.reason)
        if self.telephone.handle:
            self.telephone.refuse(no)
        else:
            self.record.sip_status = no.status if no.told else None
            self._is_over()

    def _hang_up(self, ending: Ending) -> None:
        """End the call from our side; the first ending is the one that counts."""
        self._ending = self._ending or ending
        if self.record.answered_at is None:
            self._refuse(ending.refusal)
        # nothing where the refusal ended the call; not so where its 200 had just left
        self.telephone.hang_up(ending.header)
        if gone := self.transfers.outlived:  # nobody is left to hang up on
            self.record.sip_status = gone.status
            self._is_over()

    def ended(self, event: Ended) -> None:
        """The telephone's call is over, and so is this one, unless a transfer goes on."""
        self._held.silence()  # no packet follows the BYE
        if event.by != "us" and self.transfers.outlives(event):
            self.moved()
            return
        if self._ending is None:
            meant = self.transfers.ending if event.by == "peer" else None
            self._ending = meant or ended_by_them(event, self.record)
        if event.reason and self._ending.reason is None:  # of theirs, or of ours
            self.record.sip_reason = cleaned(event.reason)
        self.record.sip_status = event.status
        self._is_over()

    def _is_over(self) -> None:
        record = self.record
        record.ended_at = self._x.wall()
        if end := self._ending:
            record.ended_by, record.cause = end.by, end.cause
            record.sip_reason = record.sip_reason or end.reason
        self._held.silence()  # no packet follows the BYE
        self._over.set()
        self._settled.set()

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
        self._lost = Ending("backend", cause, reason)
        if not self.transfers.busy:  # else it may not be needed any more
            self._hang_up(self._lost)

    # -- transfers

    @property
    def sound(self) -> tuple[Talk, RtpPort] | None:
        """What is heard, and at which port; None: nothing yet."""
        talk, port = self._talk, self._held.port
        return (talk, port) if talk and port and self._began else None

    def follow(self, telephone: Telephone, host: str | None) -> None:
        """Be with another telephone from now on."""
        self.telephone = telephone
        telephone.belong(self)
        if self._talk:
            self._talk.move(SourceRule(self._party.source_mode, None, signalling_host=host))
            self._x.engine.remove(self._talk.leg)
            self._x.engine.add(self._talk.leg)
        self._agreed()

    def release(self) -> None:
        """Somebody else talks with the caller: the model is no longer needed."""
        if self._talk and self._held.model:
            self._talk.bridge.transferred(self._x.clock())
            self._held.model.close()

    def go_on(self, error: Mapping[str, Any]) -> None:
        """A transfer came to nothing."""
        if self._lost:
            self._hang_up(self._lost)
        elif self._talk:
            self.act(self._talk.bridge.not_transferred(error, self._x.clock()))

    def leave(self, ending: Ending) -> None:
        """A transfer ends the call."""
        self._hang_up(ending)

    def moved(self) -> None:
        """Deadlines may be others now."""
        self._set_timer()

    def inform(self, digit: str) -> None:
        """Send a key by INFO."""
        self.telephone.inform(digit)

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
                    if self._held.model:
                        self._held.model.send(event, self._x.clock())
                case HangUp(by, cause, reason):
                    self._hang_up(Ending(by, cause, reason))
                case Transfer(target):
                    self.transfers.hand_over(target, self._agent.transfer[target])
                case Press(keys) if self._talk:
                    self._talk.press(keys, inform=self.telephone.takes_info)
                case Note(name, values):
                    self._log.warning(name, **values)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._over.is_set():
            return
        due = [self._limit[0] if self._limit else None, self._silent_at, self.transfers.deadline]
        due += [self._talk.deadline if self._talk else None]
        at = min((at for at in due if at is not None), default=None)
        if self._timer:
            if self._timer.when() == at:
                return
            self._timer.cancel()
        self._timer = None
        if at is not None:
            self._timer = asyncio.get_running_loop().call_at(at, self._wake)

    @property
    def _silent_at(self) -> float | None:
        """When somebody without RTP is given up; None: never."""
        return self.transfers.silent_at if self._talk else None

    def _wake(self) -> None:
        """Something is due."""
        self._timer = None
        talk, now = self._talk, self._x.clock()
        with self._border():
            self.transfers.handle_timer(now)
            actions: list[Action] = talk.handle_timer(now) if talk else []
            if self._limit and now >= self._limit[0]:
                actions.append(self._limit[1])
            elif self._silent_at is not None and now >= self._silent_at:
                actions.append(HangUp("network", "rtp_timeout"))
            self.act(actions)
