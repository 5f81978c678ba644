"""All calls of one endpoint: how one is found, and which takes the place of which (RFC 3891 §3).

Pure. A call is known by our tag: of a request within a dialog it is the tag in To (RFC 3261
§12.2.2), of a Replaces the to-tag, and for its owner it is the call's handle. What a message means
to a call is invite.py's; here its timer is kept, and a call of which nothing is left is forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .address import Via
from .agent import UserAgent
from .digest import Credentials
from .event import Flow, Identity, Incoming, Output
from .grammar import SipError
from .invite import InviteUsage
from .layer import Acknowledged, TransactionLayer
from .message import Request
from .refer import Referrals
from .registrar import Binding
from .replaces import Replaces, refusal, replaced_by
from .schedule import Schedule
from .uac import Outcome, Reply, Silence, Unreachable, UserAgentClient

FIRST_BYTES = 4096
_TO_TAG = re.compile(rb"\r\nto?[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=[ \t]*([\w.-]+)", re.IGNORECASE)


class Calls:
    """`credentials`, by trunk, are for the challenges of those who call us."""

    def __init__(
        self,
        layer: TransactionLayer,
        uac: UserAgentClient,
        agent: UserAgent,
        credentials: Mapping[str, Credentials],
    ) -> None:
        self._layer = layer
        self._uac = uac
        self._agent = agent
        self._credentials = credentials
        self._usages: dict[str, InviteUsage] = {}
        self._replacing: dict[str, str] = {}  # a new call -> that whose place it is to take
        self._schedule: Schedule[InviteUsage] = Schedule()

    def __len__(self) -> int:
        """Calls of which anything is left, ended or not."""
        return len(self._usages)

    @property
    def going_on(self) -> int:
        """Calls that have not ended."""
        return sum(not usage.ended for usage in self._usages.values())

    @property
    def owes_bye(self) -> bool:
        """Has one ended, but for a BYE that waits for the ACK of our 2xx (§15)?"""
        return any(usage.owes_bye for usage in self._usages.values())

    def send_owed_byes(self, now: float) -> list[Output]:
        """Do not wait for these ACKs any longer."""
        owing = [usage for usage in self._usages.values() if usage.owes_bye]
        return [it for usage in owing for it in self._after(usage, usage.send_owed_bye(now))]

    def uses(self, flow: Flow) -> bool:
        """Is this the way to the peer of a call?"""
        return any(usage.flow == flow for usage in self._usages.values())

    # one call

    def find(self, call: str) -> InviteUsage | None:
        """The call of this handle, if it is not forgotten yet."""
        return self._usages.get(call)

    def of(self, request: Request) -> InviteUsage | None:
        """The call that a request is within."""
        usage = self._usages.get(request.headers.to.tag or "")
        return usage if usage and usage.owns(request) else None

    def expects(self, data: bytes) -> bool:
        """Is this within a call, told from the first bytes of a request that is yet to be read?"""
        tag = _TO_TAG.search(data, 0, FIRST_BYTES)
        return tag is not None and tag[1].decode() in self._usages

    def move(self, call: str, do: Callable[[InviteUsage], list[Output]]) -> list[Output]:
        """Do something with a call, and what follows from it; nothing with one that is not here."""
        usage = self._usages.get(call)
        return self._after(usage, do(usage)) if usage else []

    def refer(self, call: str, do: Callable[[Referrals], list[Output]]) -> list[Output]:
        """Do something with the referrals of a call, which it has from its answer to its end."""
        usage = self._usages.get(call)
        referrals = usage.referrals if usage else None
        return self._after(usage, do(referrals)) if usage and referrals else []

    def receive(self, what: Acknowledged | Outcome, now: float) -> list[Output] | None:
        """Take what the transactions of a call say. None: it is of no call."""
        call = what.call if isinstance(what, Acknowledged) else what.attempt.call
        usage = self._usages.get(call or "")
        return self._after(usage, _deliver(usage, what, now)) if usage else None

    # a new one

    def place(
        self, way: Flow | Binding | None, begin: Callable[[InviteUsage], list[Output]]
    ) -> tuple[str, list[Output]]:
        """Begin a call of ours, by this way if it is known. Without one if `begin` raises."""
        usage = self._new(way.flow, way.via) if isinstance(way, Binding) else self._new(way)
        outputs = begin(usage)
        self._usages[usage.call] = usage
        return usage.call, self._after(usage, outputs)

    def accept(
        self, invite: Request, flow: Flow, identity: Identity | None, now: float
    ) -> list[Output]:
        """Begin a call of the peer's. SipError with the status to answer, if there can be none."""
        replaces = self._replaced_by(invite)
        usage = self._new(flow)
        self._usages[usage.call] = usage
        if replaces:
            self._replacing[usage.call] = replaces
        server = self._layer.accept(invite, flow, usage.call)
        incoming = Incoming(usage.call, invite, flow, identity, replaces)
        # a user of ours has proven who she is, and is no one to whom we do
        trunk = identity.trunk if identity and identity.user is None else None
        credentials = self._credentials.get(trunk) if trunk else None
        return [*self._after(usage, usage.accept(server, credentials, now)), incoming]

    def _new(self, flow: Flow | None, via: Via | None = None) -> InviteUsage:
        return InviteUsage(self._agent.token(), self._layer, self._uac, self._agent, flow, via)

    # one in the place of another

    def place_in(self, call: str) -> Replaces | None:
        """Our place in an answered call, as its peer knows it: for the one who is to take it."""
        usage = self._usages.get(call)
        if usage is None or usage.ended or not usage.answered or usage.dialog is None:
            return None
        return Replaces.of_peer(usage.dialog)

    def _replaced_by(self, invite: Request) -> str | None:
        """The call that a new one is to take the place of (RFC 3891 §3).

        SipError with the status to answer, if there is no such call, or not any more.
        """
        wanted = replaced_by(invite)
        if wanted is None:
            return None
        usage = self._usages.get(wanted.to_tag)
        if usage is None or not usage.is_named(wanted):
            raise SipError("No Such Call", status=481)
        no = refusal(wanted, ended=usage.ended, answered=usage.answered, placed=usage.placed)
        if no:
            raise SipError("Not To Be Replaced", status=no)
        return usage.call

    def replace(self, call: str, now: float) -> list[Output]:
        """If this call is answered by now, the one whose place it takes ends (RFC 3891 §3)."""
        usage = self._usages.get(call)
        if usage is None or not usage.answered:
            return []
        old = self._replacing.pop(call, "")
        return self.move(old, lambda usage: usage.hang_up(now, cause="replaced"))

    # time

    @property
    def deadline(self) -> float | None:
        return self._schedule.deadline

    def handle_timer(self, now: float) -> list[Output]:
        outputs: list[Output] = []
        for usage in self._schedule.pop_due(now):
            outputs += self._after(usage, usage.handle_timer(now))
        return outputs

    def _after(self, usage: InviteUsage, outputs: list[Output]) -> list[Output]:
        """Keep the table and the schedule true after any move of a call."""
        if usage.released:
            self._usages.pop(usage.call, None)
            self._replacing.pop(usage.call, None)
        self._schedule.set(usage, usage.deadline)
        return outputs


def _deliver(usage: InviteUsage, what: Acknowledged | Outcome, now: float) -> list[Output]:
    match what:
        case Acknowledged(_, ack):
            return usage.receive_ack(ack, None, now)
        case Reply(attempt, response):
            return usage.receive_response(attempt, response, now)
        case Silence(attempt):
            return usage.silence(attempt, now)
        case Unreachable(attempt):
            return usage.unreachable(attempt, now)
