"""A session is modified: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311); refreshed (RFC 4028).

Pure. One change at a time in each direction; who may begin one, and what to answer where both do,
is invite.py's, since an INVITE of either side counts too.

    ours    idle ──▶ asking ──2xx──▶ idle         theirs  UPDATE ──▶ waiting ──answer, refuse──▶
               ▲        │ 491
               │        ▼
            refused ◀── waiting for its turn, at most 3 times (§14.1)

A re-INVITE of the peer is answered by accept.py. Left out on purpose: an UPDATE of ours to several
forks at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .agent import phrase
from .dialog import Dialog
from .event import Answered, Offered, Output, RefreshDue, Refused
from .grammar import text
from .layer import Server
from .message import Response
from .session import Fields, Session
from .uac import Attempt
from .uas import is_sdp

MAX_RETRIES = 3  # of a change that meets the peer's
PATIENCE = 180.0  # s that a re-INVITE is worked on without a word


@dataclass(slots=True)
class _Change:
    """What we want of the peer. Without a body: only that the session goes on."""

    method: str
    body: bytes
    dialog: Dialog
    attempt: Attempt | None = None  # None: it waits for its turn
    again: float | None = None  # when that is
    retries: int = 0
    give_up: float | None = None


class Modification:
    def __init__(self, session: Session) -> None:
        self.waiting: Server | None = None  # the peer's UPDATE, or its PRACK with an offer
        self._dialog: Dialog | None = None  # that it is in
        self._session = session
        self._change: _Change | None = None

    @property
    def changing(self) -> bool:
        """Is there a change of ours that is not decided?"""
        return self._change is not None

    @property
    def ours_is_open(self) -> bool:
        """Is an offer of ours unanswered, or a re-INVITE?"""
        change = self._change
        if change is None or change.attempt is None:
            return False
        return change.method == "INVITE" or bool(change.body)

    @property
    def deadline(self) -> float | None:
        change = self._change
        due = (change.again, change.give_up) if change else ()
        return min((at for at in due if at is not None), default=None)

    # we do it

    def reinvite(self, dialog: Dialog, body: bytes, now: float) -> list[Output]:
        """Offer another session by re-INVITE."""
        return self._ask(_Change("INVITE", body, dialog), now)

    def update(self, dialog: Dialog, body: bytes, now: float) -> list[Output]:
        """Offer another session by UPDATE; without a body only refresh it (RFC 4028 §7.4)."""
        return self._ask(_Change("UPDATE", body, dialog), now)

    def owns(self, attempt: Attempt) -> bool:
        return self._change is not None and attempt is self._change.attempt

    def receive_response(self, response: Response, now: float) -> list[Output]:
        """Take a response to our re-INVITE or UPDATE."""
        change = self._change
        assert change is not None
        if response.status < 200:
            change.give_up = now + PATIENCE if change.method == "INVITE" else None
            return []
        change.give_up = None
        if response.status < 300:
            return self._succeed(change, response, now)
        if self._session.ended:
            self._change = None
            return []
        outputs = self._try_otherwise(change, response, now)
        if outputs is None:
            return self._fail(change, response.status, text(response.reason), now)
        return outputs

    def unreachable(self, now: float) -> list[Output]:
        """It could not be sent."""
        assert self._change is not None
        return self._fail(self._change, 503, "No Way To The Peer", now)

    def silence(self, now: float) -> list[Output]:
        """No response came, in an early dialog; of a confirmed one that is the end."""
        assert self._change is not None
        return self._fail(self._change, 408, phrase(408), now)

    def try_again(self, now: float, *, blocked: bool) -> list[Output]:
        """It may be our turn; if something else is open (`blocked`), later or not at all."""
        change = self._change
        if change is None or change.again is None or change.again > now:
            return []
        if not blocked:
            return self._ask(change, now)
        return [] if self._wait(change, now) else self._fail(change, 491, phrase(491), now)

    def is_stuck(self, now: float) -> bool:
        """Has the peer worked on our re-INVITE for too long?"""
        return (
            self._change is not None
            and self._change.give_up is not None
            and self._change.give_up <= now
        )

    def stop(self) -> None:
        """The call ends: nothing is tried again; a 2xx that comes yet gets its ACK."""
        if self._change and self._change.attempt is None:
            self._change = None
        elif self._change:
            self._change.give_up = None

    def keep_to(self, dialog: Dialog | None, now: float) -> list[Output]:
        """This phone has the call: what was begun with another is over."""
        if self._change and self._change.dialog is not dialog:
            self.abandon()
        return self.refuse(487, now) if self._dialog is not dialog else []

    def abandon(self) -> None:
        """Wait for nothing any more."""
        if self._change and self._change.attempt:
            self._session.uac.give_up(self._change.attempt)
        self._change = None

    # the peer does it

    def receive(self, server: Server, dialog: Dialog, now: float) -> list[Output]:
        """Take an UPDATE, or a PRACK with an offer. What offers nothing is answered at once."""
        self.waiting, self._dialog = server, dialog
        if server.request.body:
            return [Offered(self._session.call, server.request)]
        return self.answer(b"", now)

    def answer(self, body: bytes, now: float) -> list[Output]:
        """200, with the answer to an offer (RFC 3311 §5.2)."""
        server, dialog = self._take()
        if server is None or dialog is None:
            return []
        session = self._session
        headers: list[tuple[str, str]] = []
        if server.request.method == "UPDATE":
            dialog.refresh(server.request)
            headers += session.dialog_headers(server)
            if session.answered:
                headers += session.timer.answer(server.request, now)
        return session.respond(server, 200, now, headers, body=body)

    def refuse(
        self, status: int, now: float, headers: Fields = (), *, reason: str | None = None
    ) -> list[Output]:
        """Refuse it: the session stays as it was."""
        server, _ = self._take()
        return self._session.respond(server, status, now, headers, reason=reason) if server else []

    def _take(self) -> tuple[Server | None, Dialog | None]:
        taken = self.waiting, self._dialog
        self.waiting = self._dialog = None
        return taken

    # pieces

    def _ask(self, change: _Change, now: float) -> list[Output]:
        self._change = change
        change.again = None
        headers = self._session.offer_headers(change.body)
        request = change.dialog.request(change.method, headers=headers, body=change.body)
        change.attempt, outputs = self._session.request(request, change.dialog, now)
        return outputs

    def _wait(self, change: _Change, now: float) -> bool:
        """Wait for our turn, in steps of 10 ms (§14.1); False: often enough."""
        if change.retries == MAX_RETRIES:
            return False
        session = self._session
        delay = 210 + session.dice(191) if session.owner else session.dice(201)
        change.retries += 1
        change.attempt, change.again = None, now + delay / 100
        return True

    def _succeed(self, change: _Change, response: Response, now: float) -> list[Output]:
        session, attempt = self._session, change.attempt
        assert attempt is not None
        self._change = None
        change.dialog.refresh(response)
        session.note(response)
        invited = change.method == "INVITE"
        outputs = session.acknowledge(attempt, change.dialog) if invited else []
        if session.ended:
            return outputs
        if session.answered:
            session.timer.agree(response, now)
        if not change.body:
            return outputs
        body = response.body if is_sdp(response) else b""
        fork = "" if session.answered else change.dialog.remote_tag
        return [*outputs, Answered(session.call, body, fork)]

    def _try_otherwise(
        self, change: _Change, response: Response, now: float
    ) -> list[Output] | None:
        """What may help against a refusal. None: nothing does."""
        session, attempt = self._session, change.attempt
        assert attempt is not None
        match response.status:
            case 491 if self._wait(change, now):
                return []
            case 422 if session.timer.is_too_small(response, attempt.request):
                return self._ask(change, now)
            case 405 | 501 if change.method == "UPDATE" and session.answered:
                session.forbid("UPDATE")
                if change.body:
                    change.method = "INVITE"
                    return self._ask(change, now)
                self._change = None
                return [RefreshDue(session.call)]
            case _:
                return None

    def _fail(self, change: _Change, status: int, reason: str, now: float) -> list[Output]:
        self._change = None
        self._session.timer.fail(now)
        silent = self._session.ended or not change.body
        return [] if silent else [Refused(self._session.call, status, reason)]
