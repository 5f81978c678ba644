"""Handover: a transfer that is being carried out: the target's telephone, and the joint of both.

transfer.py decides, this does it: it asks the peer to call the target, or calls the target through
the caller's trunk at a port of its own, lets the caller hear that it rings, joins the two, and
gives the caller back to the model where it came to nothing. It has no socket, task or clock of its
own. The caller's call is its owner's; of the target's call it is the owner itself.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Literal, Protocol

from gateway.rtp.source import SourceRule
from gateway.sdp.description import SdpError
from gateway.sdp.negotiation import Media
from gateway.sip.event import Answered, CallEvent, Ended, Informed, Progress, Referred
from gateway.sip.info import digits

from .downlink import Start
from .ending import Ending, incompatible
from .engine import Joint
from .exchange import Destination, Exchange
from .prepare import Refused, host_towards, located, open_port
from .relay import Relay, Side
from .shield import Shield
from .talk import Talk
from .telephone import Telephone
from .transfer import (
    Dial,
    Drop,
    GoOn,
    Join,
    Leave,
    Listen,
    Refer,
    Release,
    RingBack,
    Step,
    Transfer,
)

DECLINE, UNAVAILABLE = 603, 503


class Host(Protocol):
    """The call whose caller is transferred."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run until the call is over."""

    def release(self) -> None:
        """The model is no longer needed."""

    def leave(self, ending: Ending) -> None:
        """End the caller's call."""

    def go_on(self, error: Mapping[str, Any]) -> None:
        """Nothing came of it: the model goes on."""

    def moved(self) -> None:
        """Something happened: deadlines may be others now."""

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: the call cannot go on."""


class Handover:
    """One attempt. `uri` is where to; `to` how we would call it, None: there is no way."""

    def __init__(
        self,
        exchange: Exchange,
        host: Host,
        transfer: Transfer,
        *,
        caller: Telephone,
        talk: Talk,
        uri: str,
        to: Destination | None,
        referred_by: str | None,
        source_mode: Literal["sdp", "learn"],
    ) -> None:
        self.transfer = transfer
        self._x = exchange
        self._host = host
        self._caller = caller
        self._talk = talk
        self._uri = uri
        self._to = to
        self._referred_by = referred_by
        self._source_mode = source_mode
        self._target = Telephone(exchange, self)
        self._shield: Shield | None = None  # of the target's port
        self._joint: Joint | None = None

    def begin(self) -> None:
        """The model has stepped aside: try."""
        self._perform(self.transfer.begin(self._x.clock()))

    # -- what happens

    def receive(self, event: CallEvent) -> None:
        """Take an event of the target's call."""
        try:
            self._receive(event)
        except Exception as error:  # a border: the SIP core that called is not at fault
            self._host.failed(error)

    def referred(self, status: int, *, final: bool) -> None:
        """The caller's peer told what became of our REFER."""
        self._perform(self.transfer.referred(status, final=final, now=self._x.clock()))

    def informed(self, event: Informed) -> bool:
        """The caller's INFO; whether it is the target's, for the two are joined."""
        if self._joint:
            relay = self._joint.relay
            self._pass_on(event, relay.caller, relay.target, self._target)
        return self._joint is not None

    def caller_ended(self) -> None:
        """The caller's call is over."""
        self._part()
        self._perform(self.transfer.caller_ended(self._x.clock()))

    def follow(self, media: Media) -> None:
        """Have the caller's sound as it was agreed last; her line follows by itself."""
        if self._joint:
            caller = self._joint.relay.caller
            caller.renegotiate(media, self._x.clock())
            self._joint.reconnect(caller)

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        return self.transfer.deadline

    @property
    def silent_at(self) -> float | None:
        """When a caller or a target without RTP is given up; None: never."""
        if self._joint:
            relay, rings = self._joint.relay, self.transfer.state == "dialling"
            return relay.silent_of(relay.caller) if rings else relay.silent_at
        if self.transfer.state in ("asking", "leaving"):
            return None  # where the peer has the sound meanwhile is not our affair
        return self._talk.silent_at

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._perform(self.transfer.handle_timer(now))

    def close(self) -> None:
        """Give back everything; harmless when that was done."""
        self._part()
        if self._target.handle:
            self._target.hang_up(None)
            self._target.leave()
        if self._shield:
            port = self._shield.port
            port.watch(None)
            self._shield.close()
            self._x.ports.release(port, self._x.clock(), announced=self._target.announced)
            self._shield = None

    # -- the target

    def _receive(self, event: CallEvent) -> None:
        now = self._x.clock()
        try:
            agreed = self._target.receive(event)
        except SdpError as error:
            no = incompatible(error)
            self._perform(self.transfer.unreachable(no.status, now))
            self._target.hang_up(Ending("gateway", no.cause).header)
            return
        if agreed:
            self._agreed()
        match event:
            case Progress(status=status):
                self._perform(self.transfer.rings(status, early=agreed))
            case Answered() if self.transfer.state == "dialling":
                self._perform(self.transfer.answered(now))
            case Referred(call=call):  # whom we called does not move the caller
                self._x.act(self._x.endpoint.refuse_referral(call, DECLINE, now))
            case Informed() if self._joint:
                relay = self._joint.relay
                self._pass_on(event, relay.target, relay.caller, self._caller)
            case Ended() if self.transfer.state == "dialling" and self._target.retry(event):
                pass  # she is called once more
            case Ended(status=status):
                self._target.leave()
                self._perform(self.transfer.target_ended(status or UNAVAILABLE, now))
                if self.transfer.state == "attending":
                    self._part()  # replaced: no packet follows the BYE
            case _:
                self._host.moved()

    def _agreed(self) -> None:
        """Have the target's sound as it was agreed last."""
        if self._joint and self._target.media:
            target = self._joint.relay.target
            target.renegotiate(self._target.media, self._x.clock())
            self._protect(target)
            self._joint.reconnect(target)

    def _protect(self, target: Side) -> None:
        """Encrypt the target's sound as it was agreed with her."""
        if self._shield:
            self._shield.agree(target.media.security, target.source, self._x.clock())

    def _pass_on(self, event: Informed, one: Side, other: Side, telephone: Telephone) -> None:
        """Give a side's keys to the other, as an event or by INFO; not those that come as both."""
        for key in () if one.presses else digits(event.content_type, event.body):
            if not other.press(key):
                telephone.inform(key)

    # -- what was decided

    def _perform(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Refer(replacing):
                    self._refer(replacing)
                case Dial():
                    self._host.start(self._dial())
                case RingBack():
                    self._talk.line.downlink.ring = True
                case Listen() if self._shield:
                    self._shield.port.watch(self._heard)
                case Join():
                    self._join()
                case Release():
                    self._host.release()
                case Drop():
                    self._target.hang_up(None)
                case Leave(ending):
                    self._part()
                    self._host.leave(ending)
                case GoOn(error):
                    self._give_back(error)
        self._host.moved()

    def _refer(self, replacing: bool) -> None:
        uri, replaces = self._uri, None
        if replacing and self._to:
            uri, replaces = self._to.target, self._target.handle
        outputs = self._x.endpoint.refer(
            self._caller.handle,
            uri,
            self._x.clock(),
            referred_by=self._referred_by,
            replaces=replaces,
        )
        self._x.act(outputs)

    async def _dial(self) -> None:
        """Call the target, for as long as it is wanted."""
        try:
            if self._to is None:
                self._perform(self.transfer.unreachable(404, self._x.clock()))
                return
            host = await host_towards(self._to, self._x)
            if self.transfer.state != "dialling":
                return
            port, x = open_port(self._x), self._x
            self._shield = Shield(port, x.identity, x.engine.handshakes, self._host.failed)
            self._target.use(port, host, codec=self._talk.line.media.codec.name)
            self._target.call(located(self._to, self._x), host)
        except Refused as refused:
            self._perform(self.transfer.unreachable(refused.refusal.status, self._x.clock()))

    def _join(self) -> None:
        """From here on the two hear each other, and the engine has nothing to do for either."""
        line, media, now = self._talk.line, self._target.media, self._x.clock()
        if self._joint:
            self._joint.relay.target.last_packet_at = now  # it may have been silent until now
        if self._joint or media is None or self._shield is None:
            return
        self._x.engine.remove(self._talk.leg)
        self._talk.leg.reconnect()
        number = self._x.number
        relay = Relay(
            Side(line.media, line.source, line.stand(), now),
            Side(
                media,
                SourceRule(self._source_mode, media.remote),
                Start(number(32), number(15), number(32)),
                now,
            ),
            rtp_timeout=self._x.rtp_timeout,
        )
        self._joint = Joint(
            relay, self._talk.leg.shield, self._shield, clock=self._x.clock, broke=self._host.failed
        )
        self._protect(relay.target)
        self._x.engine.join(self._joint)

    def _heard(self) -> None:
        """A target that still rings sends sound of its own: until then, ours was heard."""
        try:
            self._perform([Join()])
        except Exception as error:  # a border: the loop that called is not at fault
            self._host.failed(error)

    def _part(self) -> None:
        """Join them no longer; what passed counts as the call's."""
        if self._joint:
            joint, self._joint = self._joint, None
            self._x.engine.part(joint)
            side, now = joint.relay.caller, self._x.clock()
            self._talk.line.rejoin(side.stand(now), side.counts(), now)

    def _give_back(self, error: Mapping[str, Any]) -> None:
        """The caller is the model's again."""
        joined = self._joint is not None
        self._part()
        self._talk.line.downlink.ring = False
        if joined:
            self._x.engine.add(self._talk.leg)
        self._host.go_on(error)
