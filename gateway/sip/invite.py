"""One call: the INVITE usage of a dialog (RFC 5057). Its parts, where they meet, and its end.

Pure. Both roles in one class, because a call forgets who began it as soon as it is answered:

    we are called   early ──answer──▶ answered ──ACK──▶ confirmed ──BYE──▶ ended ──32 s──▶ released
    we call         early ──2xx, ACK─────────────────▶ confirmed
                    early ──CANCEL, refusal──▶ ended

`ended` is what the owner of the call is told, once; `released` is when nothing of it is left.
In between, crossing and repeated messages are still answered.

Here requests within dialogs (RFC 3261 §12.2.2) and responses find the part that they are for:
initiate.py, accept.py, modify.py, refer.py, session_timer.py, terminate.py; offer.py says which
of them have to wait for one another.
"""

from __future__ import annotations

from collections.abc import Sequence

from .accept import Acceptance
from .address import Via
from .agent import UserAgent, capabilities, phrase
from .dialog import Dialog
from .digest import Credentials
from .event import Confirmed, Flow, Informed, Offered, Output
from .grammar import text
from .info import inspect_info
from .initiate import Initiation
from .layer import Server, TransactionLayer
from .message import Request, Response
from .modify import Modification
from .multipart import content_type
from .offer import Offers
from .refer import Referrals
from .replaces import Replaces
from .session import Session, reason_of
from .session_timer import Due, inspect_interval
from .terminate import Termination
from .uac import Attempt, UserAgentClient
from .uas import inspect, is_sdp

GONE = frozenset({408, 481})  # the peer has no such dialog any more, §12.2.1.2

Fields = Sequence[tuple[str, str]]


class InviteUsage:
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
        self.call_id = ""  # the header's
        self._session = session = Session(call, layer, uac, agent, flow, via)
        self._initiation = initiation = Initiation(session)
        self._acceptance = acceptance = Acceptance(session)
        self._modification = modification = Modification(session)
        self._offers = Offers(session, initiation, acceptance, modification)
        self._termination = Termination(session, initiation, acceptance, modification)

    @property
    def ended(self) -> bool:
        return self._session.ended

    @property
    def released(self) -> bool:
        return self._termination.released

    @property
    def answered(self) -> bool:
        """Was there a 2xx to the INVITE?"""
        return self._session.answered

    @property
    def placed(self) -> bool:
        """Is it we who called?"""
        return self._session.owner

    @property
    def dialog(self) -> Dialog | None:
        """The call's one dialog. A call that we place has none before it is answered."""
        return self._session.dialog

    @property
    def flow(self) -> Flow | None:
        """The way to the peer, as far as it is known."""
        return self._session.flow

    @property
    def owes_bye(self) -> bool:
        """It is over, and its BYE waits for the ACK of our 2xx (§15)."""
        return self.ended and self._acceptance.unacknowledged

    @property
    def deadline(self) -> float | None:
        due = [self._termination.deadline, self._acceptance.deadline, self._initiation.deadline]
        due += [self._modification.deadline, self._session.timer.deadline]
        if self._session.referrals:
            due.append(self._session.referrals.deadline)
        return min((at for at in due if at is not None), default=None)

    def allows(self, method: str, *, unknown: bool = True) -> bool:
        """Does the peer take this method, as far as it has said?"""
        return self._session.allows(method, unknown=unknown)

    # what its owner does

    def accept(self, server: Server, credentials: Credentials | None, now: float) -> list[Output]:
        """Begin as the one who is called; `credentials` are for what we ask of the caller."""
        session = self._session
        session.credentials = credentials
        self.call_id = server.request.headers.call_id
        session.dialog = Dialog.accept(server.request, self.call)
        session.follow(server.request, server.flow)
        return self._acceptance.begin(server, now)

    def place(
        self,
        target: str,
        from_uri: str,
        headers: Fields,
        body: bytes,
        now: float,
        *,
        route: str | None = None,
        credentials: Credentials | None = None,
        redirects: bool = False,
    ) -> list[Output]:
        """Begin as the one who calls."""
        self.call_id = self._session.agent.token()
        return self._initiation.place(
            target,
            from_uri,
            headers,
            body,
            now,
            call_id=self.call_id,
            route=route,
            credentials=credentials,
            redirects=redirects,
        )

    def ring(self, body: bytes, now: float) -> list[Output]:
        """180, or 183 with a session description."""
        return self._acceptance.ring(body, now)

    def answer(self, body: bytes, now: float) -> list[Output]:
        """200 to the UPDATE that waits, else to the INVITE or re-INVITE."""
        if self._modification.waiting:
            return self._modification.answer(body, now)
        return self._acceptance.answer(body, now)

    def refuse(
        self, status: int, now: float, *, reason: str | None, headers: Fields
    ) -> list[Output]:
        """Refuse the UPDATE or re-INVITE, after which the call goes on, or the INVITE."""
        if self._modification.waiting:
            return self._modification.refuse(status, now, headers, reason=reason)
        outputs = self._acceptance.refuse(status, now, headers, reason=reason)
        if self._session.answered or not outputs:
            return outputs
        outputs += self._termination.close(now)
        return [*outputs, *self._session.end("us", "refused", status, reason or phrase(status))]

    def hang_up(
        self, now: float, *, reason: str | None = None, cause: str = "hang_up"
    ) -> list[Output]:
        """End the call, whatever its state. `cause`: of one that is answered."""
        return self._termination.hang_up(now, reason, cause)

    def send_owed_bye(self, now: float) -> list[Output]:
        """Do not wait for that ACK any longer."""
        return self._termination.send_bye(now)

    def reinvite(self, body: bytes, now: float) -> list[Output]:
        """Offer the peer another session by re-INVITE (§14.1)."""
        return self._offers.reinvite(body, now)

    def update(self, body: bytes, now: float) -> list[Output]:
        """Offer it by UPDATE (RFC 3311), also before the answer; by re-INVITE if need be."""
        return self._offers.update(body, now)

    def inform(self, kind: str, body: bytes, now: float) -> list[Output]:
        """INFO with a body of this content type (RFC 6086)."""
        session = self._session
        if session.ended or session.dialog is None:
            return []
        headers = [("User-Agent", session.agent.name), ("Content-Type", kind)]
        info = session.dialog.request("INFO", headers=headers, body=body)
        return session.request(info, session.dialog, now)[1]

    @property
    def referrals(self) -> Referrals | None:
        """REFER and NOTIFY within the call, from its answer to its end."""
        return self._session.referrals

    # what the peer does, as a client

    def is_named(self, wanted: Replaces) -> bool:
        """Is it this call, or a phone that rings for it, that another is to replace?"""
        dialog = self._session.dialog
        dialogs = [dialog] if dialog else [it.dialog for it in self._initiation.forks.values()]
        return any(wanted.names(it) for it in dialogs)

    def owns(self, request: Request) -> bool:
        """Is this request within our dialog, or an early one?"""
        return self._dialog_of(request) is not None

    def receive_request(self, server: Server, now: float) -> list[Output]:
        """Take a new request within a dialog (§12.2.2)."""
        request, session = server.request, self._session
        dialog = self._dialog_of(request)
        if dialog is None or (session.ended and request.method != "BYE"):
            return session.respond(server, 481, now)
        if not dialog.in_order(request):
            return session.respond(server, 500, now, reason="CSeq Out Of Order")
        if rejection := inspect(request) or inspect_interval(request):
            return session.respond(
                server, rejection.status, now, rejection.headers, reason=rejection.reason
            )
        session.follow(request, server.flow)
        match request.method:
            case "INVITE" | "UPDATE" if status := self._offers.against(request, dialog):
                busy = [("Retry-After", str(session.dice(11)))] if status == 500 else []
                return session.respond(server, status, now, busy)
            case "UPDATE":
                return self._modification.receive(server, dialog, now)
            case "INFO":
                return self._receive_info(server, now)
            case "OPTIONS":
                return session.respond(server, 200, now, capabilities())
            case _ if dialog is not session.dialog:
                return session.respond(server, 481, now)  # not of a phone that only rings
            case "INVITE":
                return self._receive_reinvite(server, now)
            case "BYE":
                return self._termination.receive_bye(server, now)
            case "PRACK":
                return self._receive_prack(server, dialog, now)
            case method:
                return self._receive_referral(server, method, now)

    def receive_ack(self, ack: Request, flow: Flow | None, now: float) -> list[Output]:
        """The ACK of our 2xx. `flow` None: it came with the INVITE's own branch."""
        if not self._acceptance.receive_ack(ack):
            return []
        if flow:
            self._session.follow(ack, flow)
        return self._confirm(ack.body if is_sdp(ack) else b"", now)

    def receive_cancel(self, server: Server, cancel: Request, now: float) -> list[Output]:
        """CANCEL of an INVITE: without effect once it has its final response (§9.2)."""
        return self._withdraw(reason_of(cancel), now) if server is self._acceptance.waiting else []

    def _withdraw(self, reason: str | None, now: float) -> list[Output]:
        """The peer wants no answer to its INVITE any more."""
        outputs = self._acceptance.refuse(487, now)
        if self._session.answered:
            return outputs  # a re-INVITE: the session stays as it was
        outputs += self._termination.close(now)
        return [*outputs, *self._session.end("peer", "cancelled", 487, reason)]

    def _receive_reinvite(self, server: Server, now: float) -> list[Output]:
        """§14.2. A peer that goes on has had our 2xx; only its ACK is lost (RFC 5407 §3.1.4)."""
        lost = self._acceptance.unacknowledged
        self._acceptance.forget()
        outputs = self._confirm(b"", now) if lost else []
        outputs += self._acceptance.begin(server, now)
        return [*outputs, Offered(self.call, server.request)]

    def _receive_prack(self, server: Server, dialog: Dialog, now: float) -> list[Output]:
        """RFC 3262 §3: 200 before all that it sets free; an answer, or even an offer, is in it."""
        prack, acceptance = server.request, self._acceptance
        answers = acceptance.offering
        freed = acceptance.receive_prack(prack, now)
        if freed is None:
            return self._session.respond(server, 481, now)
        if prack.body and not answers and self._offers.one_may_follow:
            return [*self._modification.receive(server, dialog, now), *freed]
        outputs = self._session.respond(server, 200, now)
        if answers and not acceptance.offering:
            outputs.append(Confirmed(self.call, prack.body))
        return [*outputs, *freed]

    def _receive_info(self, server: Server, now: float) -> list[Output]:
        session, request = self._session, server.request
        kind, _ = content_type(request.headers)
        if no := inspect_info(kind, request):
            return session.respond(server, no.status, now, no.headers)
        outputs = session.respond(server, 200, now)
        return [*outputs, Informed(self.call, kind, request.body)] if request.body else outputs

    def _receive_referral(self, server: Server, method: str, now: float) -> list[Output]:
        referrals = self.referrals
        if referrals and method == "REFER":
            return referrals.receive_refer(server, now)
        if referrals and method == "NOTIFY":
            return referrals.receive_notify(server, now)
        return self._session.respond(server, 603 if method == "REFER" else 481, now)

    # what the peer does, as a server

    def receive_response(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        """Take a response to a request of ours."""
        if response.status >= 200 and attempt.request.method == "INVITE":
            again = self._session.acknowledge_again(attempt, response)
            if again is not None:
                return again  # a copy, our ACK was lost, §13.2.2.4
        if self._initiation.owns(attempt):
            return self._receive_beginning(response, now)
        if response.status in GONE and self._is_vital(attempt, response.status):
            reason = text(response.reason)
            return self._termination.leave(now, "peer", "refused", response.status, reason)
        if self._modification.owns(attempt):
            return self._modification.receive_response(response, now)
        referrals = self._session.referrals
        return referrals.receive_response(attempt, response, now) if referrals else []

    def silence(self, attempt: Attempt, now: float) -> list[Output]:
        """No response came to a request of ours at all (timers B and F)."""
        if self._initiation.owns(attempt):
            return self._settle(self._initiation.silence(now), now)
        if self._is_vital(attempt, 408):
            return self._termination.leave(now, "network", "timeout", 408, None)
        if self._modification.owns(attempt):
            return self._modification.silence(now)
        referrals = self._session.referrals
        return referrals.time_out(attempt, now) if referrals else []

    def unreachable(self, attempt: Attempt, now: float) -> list[Output]:
        """It could not be sent."""
        if self._initiation.owns(attempt):
            return self._settle(self._initiation.unreachable(now), now)
        if self._modification.owns(attempt):
            return self._modification.unreachable(now)
        referrals = self._session.referrals
        return referrals.time_out(attempt, now) if referrals else []

    def _receive_beginning(self, response: Response, now: float) -> list[Output]:
        """A response to the INVITE that began the call."""
        match response.status // 100:
            case 1:
                return self._initiation.receive_progress(response, now)
            case 2:
                first = self._session.dialog is None
                outputs = self._initiation.receive_success(response, now)
                if first and self.ended:  # it crossed our CANCEL
                    return [*outputs, *self._termination.send_bye(now)]
                return [*outputs, *self._modification.keep_to(self._session.dialog, now)]
            case _:
                return self._settle(self._initiation.receive_failure(response, now), now)

    def _settle(self, outputs: list[Output], now: float) -> list[Output]:
        """Forget a call of ours that nobody will answer any more."""
        if not self._initiation.calling:
            outputs += self._termination.close(now)
        return outputs

    def _is_vital(self, attempt: Attempt, status: int) -> bool:
        """Does the call end if this is what comes of the request?

        A REFER that is passed over in silence is only not taken; 481 says more (RFC 5057 §5.1).
        """
        session, method = self._session, attempt.request.method
        asked = method in {"INVITE", "UPDATE", "INFO"} or (method, status) == ("REFER", 481)
        return asked and session.answered and not session.ended

    # time

    def handle_timer(self, now: float) -> list[Output]:
        termination, session = self._termination, self._session
        if termination.deadline is not None and termination.deadline <= now:
            return termination.close(now)
        if self._acceptance.has_expired(now):
            return self._withdraw(None, now)
        outputs = self._acceptance.handle_timer(now)
        if outputs is None:
            return termination.miss(now)
        if self._initiation.handle_timer(now) or self._modification.is_stuck(now):
            return [*outputs, *termination.give_up(now)]
        if session.ended:
            return outputs
        outputs += self._modification.try_again(now, blocked=self._offers.blocked)
        if session.referrals:
            outputs += session.referrals.handle_timer(now)
        match session.timer.handle_timer(now):
            case Due.REFRESH:
                outputs += self._offers.refresh(now)
            case Due.EXPIRED:
                outputs += termination.leave(now, "network", "session_expired", 200, None)
            case None:
                pass
        return outputs

    # pieces

    def _dialog_of(self, request: Request) -> Dialog | None:
        dialog = self._session.dialog
        if dialog is not None:
            return dialog if dialog.owns(request) else None
        fork = self._initiation.fork_of(request)
        return fork.dialog if fork else None

    def _confirm(self, body: bytes, now: float) -> list[Output]:
        if self.ended:
            return self._termination.send_bye(now)  # it waited for this ACK, §15
        return [Confirmed(self.call, body)]
