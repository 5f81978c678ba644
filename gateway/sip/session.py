"""What the parts of an INVITE usage share: its dialog, the way to the peer, what the peer allows.

Pure. The parts are the chapters of RFC 3261: initiate.py (§13.2), accept.py (§13.3), modify.py
(§14); invite.py joins them, and ends what they began (§15).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from .address import Via
from .agent import ALLOW, METHODS, SUPPORTED, UserAgent, content
from .dialog import Dialog
from .digest import Credentials
from .event import By, Ended, Flow, Output
from .grammar import text
from .layer import Server, TransactionLayer
from .message import Request, Response
from .refer import Referrals
from .route import request_flow
from .session_timer import SessionTimer
from .transaction import State
from .uac import Acknowledgement, Attempt, UserAgentClient, Way

MAX_FORKS = 16  # phones that may ring for, or answer, one INVITE of ours
MAX_REASON = 256  # characters of a Reason header
CREDENTIALS = ("Authorization", "Proxy-Authorization")

Fields = Sequence[tuple[str, str]]


class Session:
    """`call` is our tag, too: one number finds the call from either side."""

    def __init__(
        self,
        call: str,
        layer: TransactionLayer,
        uac: UserAgentClient,
        agent: UserAgent,
        flow: Flow | None,
        via: Via | None = None,
    ) -> None:
        self.call = call
        self.layer, self.uac, self.agent = layer, uac, agent
        self.flow = flow  # by which the peer's latest request came; or which led to the peer
        self.via = via  # and what that request says of it; that may be a REGISTER
        self.dialog: Dialog | None = None  # the call's; before a 2xx to our INVITE there is none
        self.owner = False  # did we make the Call-ID (§14.1)?
        self.credentials: Credentials | None = None  # for whoever challenges us
        self.timer = SessionTimer(agent.session_expires)
        self._referrals: Referrals | None = None
        self.answered = False  # a 2xx to the INVITE went, or came
        self.ended = False  # and told to the owner of the call
        self._allowed: frozenset[str] | None = None  # what the peer's latest Allow said
        self._acks: dict[tuple[Attempt, str], Acknowledgement] = {}  # INVITE, tag of a 2xx

    def end(self, by: By, cause: str, status: int, reason: str | None) -> list[Output]:
        """Say once that the call is over."""
        if self.ended:
            return []
        self.ended = True
        return [Ended(self.call, by, cause, status, reason)]

    @property
    def referrals(self) -> Referrals | None:
        """REFER and NOTIFY within the call, from its answer to its end."""
        dialog = self.dialog
        if self._referrals is None and dialog is not None and self.answered and not self.ended:
            self._referrals = Referrals(
                self.call,
                dialog,
                self.uac,
                self.agent,
                way=lambda: self.way(dialog),
                respond=self.respond,
                credentials=self.credentials,
            )
        return None if self.ended else self._referrals

    # the peer

    def follow(self, request: Request, flow: Flow) -> None:
        """Answer and ask the peer from now on by the way that its latest request took."""
        self.flow, self.via = flow, request.headers.via
        self.note(request)

    def note(self, message: Request | Response) -> None:
        """Note what the peer allows, where it says so (§20.5)."""
        if message.headers.get("Allow") is not None:
            named = set(message.headers.elements("Allow"))
            self._allowed = frozenset(method for method in METHODS if method in named)

    def forbid(self, method: str) -> None:
        """It was refused, whatever Allow says."""
        known = frozenset(METHODS) if self._allowed is None else self._allowed
        self._allowed = known - {method}

    def allows(self, method: str, *, unknown: bool = True) -> bool:
        """May this method be sent? `unknown` where the peer has not said."""
        return unknown if self._allowed is None else method in self._allowed

    # answers to the peer

    def respond(
        self,
        server: Server,
        status: int,
        now: float,
        headers: Fields = (),
        *,
        reason: str | None = None,
        body: bytes = b"",
    ) -> list[Output]:
        response = self.compose(server, status, headers, reason=reason, body=body)
        return [*self.layer.respond(server, response, now)]

    def compose(
        self,
        server: Server,
        status: int,
        headers: Fields,
        *,
        reason: str | None = None,
        body: bytes = b"",
    ) -> Response:
        return self.agent.respond(
            server.request,
            status,
            tag=self.call,
            reason=reason,
            headers=[*headers, *content(body)],
            body=body,
        )

    def dialog_headers(self, server: Server) -> Fields:
        """What 18x and 2xx carry; the first also the route set, in its order (§12.1.1)."""
        asked = server.request.headers
        routes = asked.all("Record-Route") if asked.to.tag is None else []
        return [
            *(("Record-Route", route) for route in routes),
            ("Contact", self.agent.contact(server.flow)),
            ALLOW,
            SUPPORTED,
        ]

    # requests to the peer

    def offer_headers(self, body: bytes) -> Fields:
        """What INVITE and UPDATE carry (§13.2.1, RFC 4028 §7.1); Contact is the way's."""
        return [
            ALLOW,
            SUPPORTED,
            *self.timer.ask(),
            ("User-Agent", self.agent.name),
            *content(body),
        ]

    def request(self, request: Request, dialog: Dialog, now: float) -> tuple[Attempt, list[Output]]:
        """Send a request within a dialog."""
        return self.uac.send(
            request,
            self.way(dialog),
            self.call,
            now,
            credentials=self.credentials,
            renumber=dialog.next_cseq,
        )

    def way(self, dialog: Dialog) -> Way:
        """Where requests within a dialog go."""
        assert self.flow is not None  # a dialog has had a message of the peer's
        return request_flow(dialog.next_hop, self.flow, self.via)

    def acknowledge(self, attempt: Attempt, dialog: Dialog) -> list[Output]:
        """The ACK of a 2xx, kept for as long as copies of the 2xx may come (§13.2.2.4).

        It has the credentials of its INVITE (§22.1).
        """
        for key in [key for key in self._acks if _is_settled(key[0])]:
            del self._acks[key]
        asked = attempt.request.headers
        headers = [(name, value) for name in CREDENTIALS for value in asked.all(name)]
        ack = Acknowledgement(dialog.ack(asked.cseq.number, headers), self.way(dialog))
        self._acks[attempt, dialog.remote_tag] = ack
        return self.uac.acknowledge(ack)

    def acknowledge_again(self, attempt: Attempt, response: Response) -> list[Output] | None:
        """The same ACK for a copy of a 2xx: ours was lost. None: it is no copy."""
        kept = self._acks.get((attempt, response.headers.to.tag or ""))
        return self.uac.acknowledge(kept) if kept else None

    @property
    def answers(self) -> int:
        """How many 2xx were acknowledged, of which copies may come."""
        return len(self._acks)

    def dice(self, sides: int) -> int:
        """A number from 0 to `sides` - 1, from the randomness that we were given."""
        return zlib.crc32(self.agent.token().encode()) % sides


def _is_settled(attempt: Attempt) -> bool:
    """Can no copy of its 2xx come any more (timer M)?"""
    return attempt.client is None or attempt.client.machine.state is State.TERMINATED


def reason_of(message: Request | Response) -> str | None:
    """The Reasons of a BYE, a CANCEL (RFC 3326) or a refusal (RFC 6432), fit for people."""
    value = ", ".join(message.headers.all("Reason"))
    return text(value)[:MAX_REASON] if value else None
