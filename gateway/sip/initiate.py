"""A call of ours begins: RFC 3261 §13.2, CANCEL §9.1, forks, reliable ringing (RFC 3262 §4).

Pure. One INVITE, perhaps several times over (422: a longer session interval; 3xx: somebody else, if
that is wanted; challenges and fail-over are uac.py's), until one answer has the call:

    place ──▶ calling ──18x──▶ an early dialog for each tag ──2xx──▶ the call's dialog
                 │                                         └─2xx of another──▶ ACK, BYE
                 ├──300-699, silence, no way──▶ the next target, or the end
                 └──cancel──▶ CANCEL as soon as the peer has spoken ──2xx──▶ ACK, BYE
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .address import NameAddr, Uri
from .dialog import Dialog
from .digest import Credentials
from .event import Answered, By, Output, Progress
from .grammar import text
from .message import Headers, Request, Response
from .provisional import ReliableReceiver, is_reliable
from .redirect import REDIRECTIONS, Redirects
from .session import MAX_FORKS, Fields, Session, reason_of
from .transaction import TIMEOUT
from .uac import Attempt, Way
from .uas import is_sdp

TIMER_C = 180.0  # s, a call that rings longer without a word is given up, as proxies do, §16.8


@dataclass(slots=True)
class Fork:
    """One of the phones that ring: an early dialog (§12.1.2)."""

    dialog: Dialog
    receiver: ReliableReceiver = field(default_factory=ReliableReceiver)
    agreed: bool = False  # our offer has its answer, reliably

    @property
    def tag(self) -> str:
        return self.dialog.remote_tag


class Initiation:
    def __init__(self, session: Session) -> None:
        self.forks: dict[str, Fork] = {}
        self._session = session
        self._attempt: Attempt | None = None
        self._redirects: Redirects | None = None  # None: not followed
        self._give_up: float | None = None  # timer C; after a CANCEL when to wait no longer
        self._leaving = False  # the call is over for us, its INVITE is not
        self._cancelled = False
        self._reason: Fields = ()

    @property
    def calling(self) -> bool:
        """Does the INVITE wait for its final response?"""
        return self._attempt is not None and not self._attempt.over

    @property
    def deadline(self) -> float | None:
        return self._give_up

    # what we do

    def place(
        self,
        target: str,
        from_uri: str,
        headers: Fields,
        body: bytes,
        now: float,
        *,
        call_id: str,
        route: str | None,
        credentials: Credentials | None,
        redirects: bool,
    ) -> list[Output]:
        """Send the INVITE (§13.2.1), by way of a proxy if there is a `route`."""
        session = self._session
        caller, callee = NameAddr.parse(from_uri), Uri.parse(target)
        hop = Uri.parse(route) if route else callee
        session.credentials, session.owner = credentials, True
        self._redirects = Redirects(target) if redirects else None
        fields = [
            *([("Route", f"<{_loose(hop)}>")] if route else []),
            ("Max-Forwards", "70"),
            ("From", f"{NameAddr(caller.display, caller.uri)};tag={session.call}"),
            ("To", f"<{callee}>"),
            ("Call-ID", call_id),
            ("CSeq", "1 INVITE"),
            *session.offer_headers(body),
            *headers,
        ]
        invite = Request("INVITE", str(callee), Headers(fields), body)
        return self._send(invite, session.flow or hop, now)

    def cancel(self, reason: Fields, now: float) -> list[Output]:
        """CANCEL, at once or when the first provisional response comes (§9.1)."""
        attempt = self._attempt
        assert attempt is not None  # a call of ours begins with it
        self._leaving, self._reason, self._redirects = True, reason, None
        self._give_up = now + TIMEOUT
        self._session.uac.stay(attempt)
        if attempt.client is None:  # the peer is still being looked for
            self.abandon()
        return self._send_cancel(attempt, now) if attempt.proceeding else []

    def abandon(self) -> None:
        """Wait for nothing any more."""
        if self._attempt and self.calling:
            self._session.uac.give_up(self._attempt)
        self._give_up = None

    def handle_timer(self, now: float) -> bool:
        """Has the peer been silent for too long?"""
        if self._give_up is None or self._give_up > now:
            return False
        self._give_up = None
        return True

    # what the peer does

    def fork_of(self, request: Request) -> Fork | None:
        """The early dialog that this request is in."""
        return next((fork for fork in self.forks.values() if fork.dialog.owns(request)), None)

    def owns(self, attempt: Attempt) -> bool:
        return attempt is self._attempt

    def receive_progress(self, response: Response, now: float) -> list[Output]:
        """Take a provisional response (§13.2.2.1); a reliable one gets its PRACK (RFC 3262 §4)."""
        session, attempt = self._session, self._attempt
        assert attempt is not None
        session.flow = session.flow or attempt.flow
        if self._leaving:
            return [] if self._cancelled else self._send_cancel(attempt, now)
        self._give_up = now + TIMER_C
        if session.answered or response.status == 100:
            return []
        fork = self._fork(response)
        if fork is None:
            return []
        session.note(response)
        body = response.body if is_sdp(response) else b""
        outputs: list[Output] = []
        if is_reliable(response):
            rack = fork.receiver.take(response)
            if rack is None:
                return []
            fork.dialog.refresh(response)
            fork.agreed = fork.agreed or bool(body)
            prack = fork.dialog.request("PRACK", headers=[("RAck", rack)])
            outputs = session.request(prack, fork.dialog, now)[1]
        return [*outputs, Progress(session.call, response.status, body, fork.tag)]

    def receive_success(self, response: Response, now: float) -> list[Output]:
        """Take a 2xx: the first has the call; another phone's is hung up (§13.2.2.4)."""
        session, attempt = self._session, self._attempt
        assert attempt is not None
        session.flow = session.flow or attempt.flow
        if session.dialog is not None and session.answers >= MAX_FORKS:
            return []
        dialog = self._confirmed(attempt, response)
        if session.dialog is not None:
            outputs = session.acknowledge(attempt, dialog)
            return [*outputs, *session.request(dialog.request("BYE"), dialog, now)[1]]
        session.dialog, session.answered = dialog, True
        self._give_up = None
        session.note(response)
        session.timer.agree(response, now)
        outputs = session.acknowledge(attempt, dialog)
        if session.ended:
            return outputs
        body = response.body if is_sdp(response) else b""
        return [*outputs, Answered(session.call, body, dialog.remote_tag)]

    def receive_failure(self, response: Response, now: float) -> list[Output]:
        """Take a refusal: try otherwise or elsewhere, or end the call."""
        attempt, session = self._attempt, self._session
        assert attempt is not None
        timed = response.status == 422 and session.timer.is_too_small(response, attempt.request)
        if timed and not self._leaving:
            assert attempt.flow is not None  # it was answered
            return self._send(self._again(attempt), attempt.flow, now)
        if self._redirects and response.status in REDIRECTIONS:
            self._redirects.add(response)
        if response.status < 600 and (outputs := self._redirect(attempt, now)):
            return outputs
        reason = reason_of(response) or text(response.reason)
        return self._fail("peer", "refused", response.status, reason)

    def silence(self, now: float) -> list[Output]:
        """No final response came (timer B)."""
        assert self._attempt is not None
        found = self._redirect(self._attempt, now)
        return found or self._fail("network", "timeout", 408, None)

    def unreachable(self, now: float) -> list[Output]:
        """It could not be sent: as if 503 had come (§8.1.3.1)."""
        assert self._attempt is not None
        found = self._redirect(self._attempt, now)
        return found or self._fail("network", "unreachable", 503, None)

    # pieces

    def _send(self, invite: Request, way: Way, now: float) -> list[Output]:
        session = self._session
        self.forks.clear()
        self._give_up = None
        self._attempt, outputs = session.uac.send(
            invite, way, session.call, now, credentials=session.credentials
        )
        return outputs

    def _again(self, attempt: Attempt) -> Request:
        """The INVITE once more: with the next CSeq, and the session interval of now."""
        headers = Headers(attempt.bare.headers)
        headers.set("CSeq", f"{headers.cseq.number + 1} INVITE")
        for name, value in self._session.timer.ask():
            headers.set(name, value)
        return replace(attempt.bare, headers=headers)

    def _redirect(self, attempt: Attempt, now: float) -> list[Output] | None:
        """Ask the next target, if there is one: To stays, the route and the password do not."""
        target = self._redirects.next() if self._redirects else None
        if target is None:
            return None
        self._session.flow = self._session.credentials = None
        invite = replace(self._again(attempt), uri=str(target))
        invite.headers.remove("Route")
        return self._send(invite, target, now)

    def _fail(self, by: By, cause: str, status: int, reason: str | None) -> list[Output]:
        self._give_up = None
        return self._session.end(by, cause, status, reason)

    def _fork(self, response: Response) -> Fork | None:
        """The early dialog of a provisional response, a new one for a new tag."""
        assert self._attempt is not None
        tag = response.headers.to.tag or ""
        if tag not in self.forks and len(self.forks) < MAX_FORKS:
            self.forks[tag] = Fork(Dialog.establish(self._attempt.request, response))
        return self.forks.get(tag)

    def _confirmed(self, attempt: Attempt, response: Response) -> Dialog:
        """The dialog of a 2xx, which may have been an early one."""
        fork = self.forks.get(response.headers.to.tag or "")
        if fork is None:
            return Dialog.establish(attempt.request, response)
        fork.dialog.confirm(response)
        return fork.dialog

    def _send_cancel(self, attempt: Attempt, now: float) -> list[Output]:
        self._cancelled = True
        self._give_up = now + TIMEOUT
        return self._session.uac.cancel(attempt, self._reason, now)


def _loose(hop: Uri) -> Uri:
    """A proxy as a loose route (§16.12): what it is told is in the Request-URI."""
    loose = hop.param("lr") is not None
    return hop if loose else replace(hop, params=(*hop.params, ("lr", None)))
