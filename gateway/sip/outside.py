"""Requests outside of a dialog, and what is refused before it reaches a call: RFC 3261 §8.2.

Pure. Who sent it (authentication.py), whether it can be served (uas.py), and the answer:

    INVITE             a new call
    REGISTER           of a user of ours, to the registrar
    OPTIONS            what we can do (§11.2); 503 while the process stops
    a dialog's own     481: a call or a transaction that is not here (§12.2.2)
    from a stranger    what the screen says, mostly silence
    beyond what we keep   503, without state

Left out on purpose: a user's mailbox, presence and messages (MESSAGE, SUBSCRIBE, PUBLISH: 405).
"""

from __future__ import annotations

from collections import Counter

from .agent import UserAgent, capabilities
from .authentication import Screen
from .calls import Calls
from .event import Flow, Identity, Output, Transmit
from .grammar import SipError
from .layer import TransactionLayer
from .message import Request
from .registrar import Registrar
from .route import response_flow
from .session_timer import inspect_interval
from .uas import Rejection, inspect

RETRY_AFTER = ("Retry-After", "5")  # s
OVERLOAD = Rejection(503, (RETRY_AFTER,))


class Outside:
    """`screen` says who a request is from; without one everybody is served.

    Beyond `max_transactions` new requests are answered and forgotten, beyond twice as many those of
    calls in progress, too. `counts` is told of what was not served.
    """

    def __init__(
        self,
        layer: TransactionLayer,
        agent: UserAgent,
        calls: Calls,
        registrar: Registrar,
        *,
        screen: Screen | None,
        max_transactions: int,
        counts: Counter[str],
    ) -> None:
        self.draining = False  # OPTIONS is answered 503; refusing calls is their owner's
        self._layer = layer
        self._agent = agent
        self._calls = calls
        self._registrar = registrar
        self._screen = screen
        self._max_transactions = max_transactions
        self._counts = counts

    @property
    def is_overrun(self) -> bool:
        """Is there no room even for the requests of calls in progress?"""
        return len(self._layer) >= 2 * self._max_transactions

    def receive(self, request: Request, flow: Flow, now: float) -> list[Output]:
        """A request outside of any dialog: from whom it is, and whether it can be served."""
        verdict = self._screen.judge(request, flow, now) if self._screen else None
        if self._screen and not isinstance(verdict, Identity):
            return self._turn_away(request, flow, verdict, self._screen)
        identity = verdict if isinstance(verdict, Identity) else None
        user = identity is not None and identity.user is not None
        if self._is_full:
            return self.reject_stateless(request, flow, OVERLOAD)
        if self._layer.is_merged(request):
            return self._reject(request, flow, Rejection(482), now)
        if rejection := inspect(request, registrar=user) or inspect_interval(request):
            return self._reject(request, flow, rejection, now)
        if request.method == "INVITE":
            return self._receive_invite(request, flow, identity, now)
        return self._reject(request, flow, self._answer(request, flow, identity, now), now)

    def receive_stray(self, request: Request, flow: Flow, now: float) -> list[Output]:
        """A request for a dialog or a transaction that is not here; a stranger learns nothing."""
        if self._is_stranger(flow):
            self._counts["unheard"] += 1
            return []
        return self._reject(request, flow, Rejection(481), now)

    def receive_broken(self, error: SipError, flow: Flow) -> list[Output]:
        """Answer what cannot be read, if it can be answered; a stranger learns nothing."""
        self._counts["parse_error"] += 1
        if error.status is None or error.request is None or self._is_stranger(flow):
            return []
        request = error.request
        request.headers.set_top_via(request.headers.via.seen_from(*flow.remote))
        return self.reject_stateless(request, flow, Rejection(error.status, reason=error.reason))

    def reject_stateless(self, request: Request, flow: Flow, rejection: Rejection) -> list[Output]:
        """Answer and keep nothing (§8.2.7)."""
        self._counts["stateless"] += 1
        response = self._agent.respond_stateless(
            request, rejection.status, reason=rejection.reason, headers=rejection.headers
        )
        return [Transmit(response.encode(), *response_flow(request.headers.via, flow))]

    # pieces

    @property
    def _is_full(self) -> bool:
        return len(self._layer) >= self._max_transactions

    def _is_stranger(self, flow: Flow) -> bool:
        return self._screen is not None and self._screen.knows(flow.remote[0]) is None

    def _turn_away(
        self, request: Request, flow: Flow, verdict: Rejection | None, screen: Screen
    ) -> list[Output]:
        """A stranger gets what the screen says, and of that nothing that helps to hurt others."""
        if verdict is None:
            self._counts["unheard"] += 1
            return []
        outputs = self.reject_stateless(request, flow, verdict)
        answers = (it.data for it in outputs if isinstance(it, Transmit))
        return outputs if all(screen.is_fair(request, it, flow) for it in answers) else []

    def _receive_invite(
        self, invite: Request, flow: Flow, identity: Identity | None, now: float
    ) -> list[Output]:
        try:
            return self._calls.accept(invite, flow, identity, now)
        except SipError as error:
            return self._reject(invite, flow, Rejection(error.status or 400), now)

    def _answer(
        self, request: Request, flow: Flow, identity: Identity | None, now: float
    ) -> Rejection:
        """What to answer to a request that begins no call: 200 is one, too."""
        match request.method:
            case "REGISTER" if identity:
                return self._registrar.receive(request, identity, flow, now)
            case "REFER":
                return Rejection(603)  # out of a call
            case "OPTIONS" if self.draining:
                return OVERLOAD
            case "OPTIONS":
                return Rejection(200, tuple(capabilities()))
            case _:
                return Rejection(481)  # a BYE without a call

    def _reject(
        self, request: Request, flow: Flow, rejection: Rejection, now: float
    ) -> list[Output]:
        """Answer a request that belongs to no call."""
        if self._is_full:
            return self.reject_stateless(request, flow, rejection)
        server = self._layer.accept(request, flow, None)
        response = self._agent.respond(
            request,
            rejection.status,
            tag=self._agent.token(),
            reason=rejection.reason,
            headers=rejection.headers,
        )
        return [*self._layer.respond(server, response, now)]
