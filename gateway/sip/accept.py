"""An INVITE is answered: RFC 3261 §13.3, §14.2; its CANCEL §9.2; reliably ringing RFC 3262 §3.

Pure. The first INVITE of a call or a later one, one at a time:

    begin ──▶ waiting ──ring──▶ waiting ──answer──▶ 2xx, resent ──ACK──▶ done
                 │                  │   └─PRACK is owed─▶ held ──PRACK──▶ 2xx
                 └──refuse, CANCEL, Expires, BYE, 64*T1 without PRACK──▶ done

What that means for the call is invite.py's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .event import Output
from .layer import Server
from .message import Request, Response
from .provisional import ReliableSender, is_required, is_supported
from .session import Fields, Session
from .transaction import T1, T2, TIMEOUT

RING_INTERVAL = 60.0  # s, a provisional response each minute keeps proxies patient, §13.3.1.1

_SECONDS = re.compile(r"[0-9]{1,10}")


@dataclass(slots=True)
class _Answer:
    """Our 2xx, resent until its ACK comes (§13.3.1.4)."""

    server: Server
    response: Response
    offers: bool  # the offer is in it, so the ACK has something to say
    resend: float
    give_up: float
    interval: float = T1


class Acceptance:
    def __init__(self, session: Session) -> None:
        self.waiting: Server | None = None  # the INVITE that waits for our final response
        self.agreed = False  # ... although its offer has an answer already, in a reliable 18x
        self.offering = False  # our offer is in a reliable 18x, its answer comes by PRACK
        self._session = session
        self._answer: _Answer | None = None
        self._reliable: ReliableSender | None = None  # provisional responses to the latest INVITE
        self._held: bytes | None = None  # the body of a 2xx that waits for a PRACK
        self._ring: float | None = None  # when to ring again
        self._expires: float | None = None  # until when the peer wants an answer, §13.3.1
        self._ringing = (180, b"")

    # states

    @property
    def unacknowledged(self) -> bool:
        """Does our 2xx wait for its ACK?"""
        return self._answer is not None

    @property
    def ours_is_open(self) -> bool:
        """Is an offer of ours unanswered?"""
        return self.offering or (self._answer is not None and self._answer.offers)

    @property
    def theirs_is_open(self) -> bool:
        """Has the INVITE that waits still to agree on a session?"""
        return self.waiting is not None and not self.agreed

    @property
    def settled(self) -> bool:
        """Has an early session been agreed on, and the peer's word for it come?"""
        return self.agreed and not (self._reliable and self._reliable.holds_session)

    @property
    def deadline(self) -> float | None:
        due = [self._ring, self._expires, self._reliable.deadline if self._reliable else None]
        if self._answer:
            due += [self._answer.resend, self._answer.give_up]
        return min((at for at in due if at is not None), default=None)

    # what we do

    def begin(self, server: Server, now: float) -> list[Output]:
        """Take an INVITE: 100 at once."""
        self.waiting = server
        self.agreed = self.offering = False
        self._reliable = None
        seconds = server.request.headers.get("Expires") or ""
        self._expires = now + int(seconds) if _SECONDS.fullmatch(seconds) else None
        return self._session.respond(server, 100, now)

    def ring(self, body: bytes, now: float) -> list[Output]:
        """180, or 183 with a body, and again each minute; reliable if it must be, or is worth it.

        Nothing, if the peer has made no offer and takes no unreliable response: what comes first
        has to be our own offer then (§13.2.1).
        """
        if self.waiting is None or self._session.answered:
            return []
        invite = self.waiting.request
        reliable = is_required(invite) or (is_supported(invite) and bool(body))
        if body and not invite.body and not reliable:
            body = b""  # an offer may not be lost
        if is_required(invite) and not (body or invite.body or self.agreed or self.offering):
            return []
        status = 183 if body else 180
        if reliable and (self.agreed or self.offering):
            body = b""  # the peer has one, and needs no other (§13.2.1)
        self._ringing = status, b"" if reliable else body
        self._ring = now + RING_INTERVAL
        return self._send_ringing(self.waiting, status, body, reliable, now)

    def answer(self, body: bytes, now: float) -> list[Output]:
        """200, resent until its ACK comes; after the PRACK of a session description (RFC 3262 §3).

        The 200 has no body where the session was agreed on before (§13.2.1).
        """
        session, server = self._session, self.waiting
        if server is None or session.dialog is None:
            return []
        if self._reliable and self._reliable.holds_session:
            self._held = body
            return []
        offers = not (server.request.body or self.agreed)
        body = b"" if self.agreed else body
        self._close()
        session.dialog.refresh(server.request)
        session.answered = True
        timer = session.timer.answer(server.request, now)
        headers = [*session.dialog_headers(server), *timer]
        response = session.compose(server, 200, headers, body=body)
        self._answer = _Answer(server, response, offers, now + T1, now + TIMEOUT)
        return [*session.layer.respond(server, response, now)]

    def refuse(
        self, status: int, now: float, headers: Fields = (), *, reason: str | None = None
    ) -> list[Output]:
        """A final response that is none of success, to what waits."""
        if self.waiting is None:
            return []
        server = self.waiting
        self._close()
        return self._session.respond(server, status, now, headers, reason=reason)

    def forget(self) -> None:
        """Wait for no ACK and no PRACK any longer."""
        self._close()
        self._answer = None

    # what the peer does

    def receive_ack(self, ack: Request) -> bool:
        """The ACK of our 2xx? Anything else is passed over (§13.2.2.4)."""
        if self._answer is None:
            return False
        if ack.headers.cseq.number != self._answer.server.request.headers.cseq.number:
            return False
        self._answer = None
        return True

    def receive_prack(self, prack: Request, now: float) -> list[Output] | None:
        """What a PRACK sets free: the next 18x, or the 2xx. None: it is for nothing of ours."""
        sender = self._reliable
        next_ = sender.acknowledge(prack, now) if sender else None
        if next_ is None:
            return None
        outputs = self._transmit(next_, now)
        if self.offering and not (sender and sender.holds_session):
            self.agreed, self.offering = True, False
        if self._held is not None:
            held, self._held = self._held, None
            outputs += self.answer(held, now)
        return outputs

    # time

    def has_expired(self, now: float) -> bool:
        """Does an INVITE wait that the peer does not want to be answered any more?"""
        return self._expires is not None and self._expires <= now

    def handle_timer(self, now: float) -> list[Output] | None:
        """Send what is due again. None: the peer owes an ACK or a PRACK for too long."""
        answer = self._answer
        if answer and answer.give_up <= now:
            return None
        outputs: list[Output] = []
        if answer and answer.resend <= now:
            answer.interval = min(2 * answer.interval, T2)
            answer.resend = now + answer.interval
            outputs += self._session.layer.respond(answer.server, answer.response, now)
        if self._reliable:
            copies = self._reliable.handle_timer(now)
            if copies is None:
                return None
            outputs += self._transmit(copies, now)
        if self._ring is not None and self._ring <= now and self.waiting:
            self._ring = now + RING_INTERVAL
            required = is_required(self.waiting.request)
            outputs += self._send_ringing(self.waiting, *self._ringing, required, now)
        return outputs

    # pieces

    def _send_ringing(
        self, server: Server, status: int, body: bytes, reliable: bool, now: float
    ) -> list[Output]:
        headers = self._session.dialog_headers(server)
        response = self._session.compose(server, status, headers, body=body)
        if not reliable:
            return [*self._session.layer.respond(server, response, now)]
        if body:
            self.agreed, self.offering = bool(server.request.body), not server.request.body
        self._reliable = self._reliable or ReliableSender(
            server.request, lambda: 1 + self._session.dice(2**31 - 1)
        )
        return self._transmit(self._reliable.send(response, now), now)

    def _transmit(self, responses: list[Response], now: float) -> list[Output]:
        if self.waiting is None:
            return []
        layer, server = self._session.layer, self.waiting
        return [sent for response in responses for sent in layer.respond(server, response, now)]

    def _close(self) -> None:
        """A final response goes, or will never go."""
        self.waiting = self._ring = self._expires = self._held = None
        if self._reliable:
            self._reliable.finish()
