"""Switchboard ●: all calls of the process: who answers, who is called, who is in a call. Shell.

Each INVITE gets an agent or a reason why not, each order a trunk; each call runs in a task of one
group, and is written down when it is over. Events of SIP go to the call that they are about. The
last calls that ended are remembered, for whoever asks how they went.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from gateway.agents import Agent, Directory, Trunk, instructions, variables
from gateway.sip.address import Uri
from gateway.sip.event import CallEvent, Incoming
from gateway.text import cleaned

from .admission import Admission
from .call import Call
from .carrier import Carrier
from .ending import HANG_UP, Refusal
from .exchange import Exchange, Party
from .introduction import introduce
from .journal import Journal
from .model import Backend
from .onward import Onward
from .order import Order, OrderError, choose, destination
from .prepare import Refused
from .record import Record, summary

REMEMBERED = 1000  # calls that ended
DECLINE = 603

log = structlog.get_logger()


class Switchboard:
    """All calls; each runs in `group`."""

    def __init__(
        self,
        directory: Directory,
        exchange: Exchange,
        admission: Admission,
        backends: Mapping[str, Backend],
        carriers: Mapping[str, Carrier],
        journal: Journal,
    ) -> None:
        self.group: asyncio.TaskGroup
        self._directory = directory
        self._x = exchange
        self._admission = admission
        self._backends = backends
        self._carriers = carriers
        self._journal = journal
        self._calls: dict[str, Call] = {}  # by our id
        self._ended: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._calls)

    async def written(self) -> None:
        """Wait until no call is left, and every record is written."""
        while self._running:
            await asyncio.wait(self._running)

    # -- SIP

    def receive(self, event: CallEvent) -> None:
        """Take an event of the SIP core."""
        if isinstance(event, Incoming):
            self._invited(event)
        elif owner := self._x.owners.get(event.call):
            owner.receive(event)

    def _invited(self, invite: Incoming) -> None:
        if self._admission.draining and not self._running:
            self._turn_away(invite)  # the group of calls may be over, so no call can begin
            return
        trunk = self._trunk_of(invite)
        assert trunk  # or it had not been admitted
        if invite.replaces:
            self._replace(invite, trunk)
            return
        user = invite.identity.user if invite.identity else None
        caller = introduce(invite.request.headers, trusted=trunk.is_trusted(user))
        to = Uri.parse(invite.request.uri).name
        plan = self._plan(to, trunk)
        text = ""
        if isinstance(plan, Agent):
            known = variables(plan, trunk, caller.header)
            text = self._instructions(plan, caller.number, to, trunk, known)
        party = Party(
            call_id=self._new_id(),
            sip=invite,
            from_=caller.from_,
            to=cleaned(to) or None,
            trunk=trunk.name,
            source_mode=trunk.source,
            inband_digits=trunk.inband_digits,
            instructions=text,
            headers=caller.headers,
        )
        self._begin(party, plan)

    def _trunk_of(self, invite: Incoming) -> Trunk | None:
        """Whom the call is from: as proven, where that was asked."""
        if identity := invite.identity:
            return self._directory.named(identity.trunk)
        return self._directory.trunk(invite.flow.remote[0])

    def _replace(self, invite: Incoming, trunk: Trunk) -> None:
        """Somebody wants to go on with a call of ours: one of the same trunk's, if she may."""
        assert invite.replaces
        call = self._x.owners.get(invite.replaces)
        if trunk.accept_transfers and isinstance(call, Call) and call.record.trunk == trunk.name:
            call.transfers.replace(invite)
            return
        self._x.act(self._x.endpoint.refuse(invite.call, DECLINE, self._x.clock()))

    def _onward(self, name: str | None) -> Onward:
        """Where the calls of a trunk may be transferred to."""
        trunk = self._directory.named(name)
        carrier = None if name is None else self._carriers.get(name)
        if trunk is None:
            return Onward(carrier=carrier)
        return Onward(trunk.transfer_by, trunk.accept_transfers, trunk.allow, carrier)

    def _turn_away(self, invite: Incoming) -> None:
        """Refuse a call that nobody is left to keep a record of."""
        now = self._x.clock()
        if no := self._admission.refusal(0, now):
            self._x.act(self._x.endpoint.refuse(invite.call, no.status, now, headers=no.headers))

    def _plan(self, to: str, trunk: Trunk) -> Agent | Refusal:
        """Who answers, or why nobody does."""
        # the new call is not among them yet
        if refusal := self._admission.refusal(len(self._calls), self._x.clock()):
            return refusal
        return self._directory.route(to, trunk) or Refusal(404, "no_route", "No route matches")

    # -- programs

    def place(self, order: Order) -> str:
        """Make a call; its id. Raises OrderError, or Refused where none is taken now."""
        agent = self._directory.agents.get(order.agent)
        if agent is None:
            names = ", ".join(sorted(self._directory.agents))
            message = f"no agent of this name; there are: {names}"
            raise OrderError("agent", message, status=404)
        carrier = choose(order, self._carriers)
        sip = destination(order, carrier)
        if refusal := self._admission.refusal(len(self._calls), self._x.clock()):
            raise Refused(refusal)
        trunk = self._directory.named(carrier.name)
        assert trunk  # both are made of one configuration
        to, from_ = Uri.parse(sip.target).name, order.from_ or carrier.user
        party = Party(
            call_id=self._new_id(),
            sip=sip,
            from_=from_,
            to=to,
            trunk=trunk.name,
            source_mode=trunk.source,
            inband_digits=trunk.inband_digits,
            instructions=self._instructions(agent, from_, to, trunk, order.variables),
        )
        self._begin(party, agent)
        return party.call_id

    def listing(self) -> list[Mapping[str, Any]]:
        """The calls in progress, oldest first."""
        return [summary(call.record, call.state) for call in self._calls.values()]

    def view(self, call_id: str) -> Mapping[str, Any] | None:
        """A call in progress, or one of the last that ended."""
        if call := self._calls.get(call_id):
            return summary(call.record, call.state)
        return self._ended.get(call_id)

    def hang_up(self, call_id: str) -> bool:
        """End a call, whatever it is doing; False where there is none."""
        if call := self._calls.get(call_id):
            call.hang_up(HANG_UP)
            return True
        return call_id in self._ended

    async def settled(self, call_id: str) -> None:
        """Wait until a call is answered, or will never be."""
        if call := self._calls.get(call_id):
            await call.settled()

    def hang_up_all(self) -> None:
        """Take no more calls, and end those in progress."""
        self._admission.draining = True
        for call in list(self._calls.values()):
            call.hang_up("shutdown")

    # -- both

    def _instructions(
        self,
        agent: Agent,
        caller: str | None,
        called: str,
        trunk: Trunk,
        known: Mapping[str, str],
    ) -> str:
        return instructions(
            agent,
            caller=caller,
            called=called,
            trunk=trunk,
            now=datetime.fromtimestamp(self._x.wall()).astimezone(),
            variables=known,
        )

    def _new_id(self) -> str:
        return f"c-{self._x.number(64):016x}"

    def _begin(self, party: Party, plan: Agent | Refusal) -> None:
        call = self._calls[party.call_id] = Call(party, self._x, self._onward(party.trunk))
        task = self.group.create_task(self._run(call, plan))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, call: Call, plan: Agent | Refusal) -> None:
        log.debug("call_invited", **call.names)
        try:
            record = await call.run(plan, self._backends_of(plan))
        finally:
            self._remember(self._calls.pop(call.record.call_id))
        await self._journal.write(record)
        log.info(
            "call_ended",
            **call.names,
            agent=record.agent,
            backend=record.backend,
            ended_by=record.ended_by,
            cause=record.cause,
            status=record.sip_status,
            seconds=_seconds(record),
        )

    def _remember(self, call: Call) -> None:
        self._ended[call.record.call_id] = summary(call.record, call.state)
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def _backends_of(self, plan: Agent | Refusal) -> Sequence[Backend]:
        if isinstance(plan, Refusal):
            return ()
        return [self._backends[name] for name in plan.backends if name in self._backends]


def _seconds(record: Record) -> float | None:
    if record.answered_at is None or record.ended_at is None:
        return None
    return round(record.ended_at - record.answered_at, 1)
