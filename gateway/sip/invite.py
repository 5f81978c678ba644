"""One call: the INVITE usage of a dialog. RFC 3261 §9 CANCEL, §13 INVITE, §14 re-INVITE, §15 BYE.

Pure. Both roles in one class, because a call forgets who began it as soon as it is answered:

    we are called   early ──answer──▶ answered ──ACK──▶ confirmed ──BYE──▶ ended ──32 s──▶ released
    we call         early ──2xx, ACK─────────────────▶ confirmed
                    early ──CANCEL, refusal──▶ ended

`ended` is what the owner of the call is told, once; `released` is when nothing of it is left.
In between, crossing and repeated messages are still answered.

Left out on purpose, with their place: reliable provisional responses, UPDATE, session timers,
REFER (the methods in `receive_request`); retry after our own re-INVITE met the peer's (§14.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .address import NameAddr, Uri, Via
from .agent import ALLOW, SUPPORTED, UserAgent, capabilities, content, phrase
from .dialog import Dialog
from .digest import Credentials
from .event import (
    Answered,
    By,
    Confirmed,
    Ended,
    Flow,
    Offered,
    Output,
    Progress,
    Refused,
)
from .grammar import text
from .layer import Server, TransactionLayer
from .message import Headers, Request, Response
from .route import request_flow
from .transaction import T1, T2, TIMEOUT, State
from .uac import Acknowledgement, Attempt, UserAgentClient, Way
from .uas import inspect, is_sdp

RING_INTERVAL = 60.0  # s, a provisional response each minute keeps proxies patient, §13.3.1.1
TIMER_C = 180.0  # s, a call that rings longer without a word is given up, as proxies do, §16.8
MAX_FORKS = 16  # phones that may answer one INVITE of ours
CREDENTIALS = ("Authorization", "Proxy-Authorization")
MAX_REASON = 256  # characters of a Reason header

Fields = Sequence[tuple[str, str]]


@dataclass(slots=True)
class _Answer:
    """Our 2xx, resent until its ACK comes (§13.3.1.4)."""

    server: Server
    response: Response
    offered: bool  # the offer is in it, so the ACK has something to say
    interval: float = T1

    @property
    def cseq(self) -> int:
        return self.server.request.headers.cseq.number


class InviteUsage:
    def __init__(
        self,
        call: str,
        layer: TransactionLayer,
        uac: UserAgentClient,
        agent: UserAgent,
        flow: Flow | None,
    ) -> None:
        self.call = call  # our tag, too: one number finds the call from either side
        self.call_id = ""  # the header's
        self.ended = False
        self.released = False
        self._layer = layer
        self._uac = uac
        self._agent = agent
        self._flow = flow  # by which the peer's latest request came; or which led to the peer
        self._via: Via | None = None  # and what that request says of it
        self._dialog: Dialog | None = None
        self._answered = False  # a 2xx went, or came
        self._server: Server | None = None  # the INVITE that waits for our final response
        self._answer: _Answer | None = None
        self._inviting: Attempt | None = None  # our latest INVITE
        self._credentials: Credentials | None = None  # for the one whom we call
        self._acks: dict[tuple[Attempt, str], Acknowledgement] = {}  # INVITE, tag of a 2xx
        self._reason: str | None = None  # Reason of the BYE or CANCEL that is to follow
        self._cancelled = False
        self._timers: dict[str, float] = {}

    @property
    def flow(self) -> Flow | None:
        """By which the peer's latest request came, or which led to the peer."""
        return self._flow

    @property
    def deadline(self) -> float | None:
        return min(self._timers.values(), default=None)

    # what its owner does

    def accept(self, server: Server, now: float) -> list[Output]:
        """Begin as the one who is called: 100 at once."""
        self.call_id = server.request.headers.call_id
        self._dialog = Dialog.accept(server.request, self.call)
        self._via = server.request.headers.via
        self._server = server
        return self._respond(server, 100, now)

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
    ) -> list[Output]:
        """Begin as the one who calls (§13.2.1), by way of a proxy if there is a `route`."""
        caller, callee = NameAddr.parse(from_uri), Uri.parse(target)
        hop = Uri.parse(route) if route else callee
        self._credentials = credentials
        self.call_id = self._agent.token()
        fields = [
            *([("Route", f"<{_loose(hop)}>")] if route else []),
            ("Max-Forwards", "70"),
            ("From", f"{NameAddr(caller.display, caller.uri)};tag={self.call}"),
            ("To", f"<{callee}>"),
            ("Call-ID", self.call_id),
            ("CSeq", "1 INVITE"),
            *self._offer_headers(body),
            *headers,
        ]
        invite = Request("INVITE", str(callee), Headers(fields), body)
        return self._invite(invite, self._flow or hop, now)

    @property
    def owes_bye(self) -> bool:
        """It is over, and its BYE waits for the ACK of our 2xx (§15)."""
        return self.ended and self._answer is not None

    def ring(self, now: float) -> list[Output]:
        """180, and again each minute."""
        if self._server is None or self._answered:
            return []
        self._timers["ring"] = now + RING_INTERVAL
        return self._respond(self._server, 180, now, self._dialog_headers(self._server))

    def answer(self, body: bytes, now: float) -> list[Output]:
        """200 to the INVITE or re-INVITE that waits, resent until its ACK comes."""
        server, self._server = self._server, None
        if server is None or self._dialog is None:
            return []
        headers = [*self._dialog_headers(server), *content(body)]
        self._dialog.refresh(server.request)
        self._answered = True
        response = self._agent.respond(
            server.request, 200, tag=self.call, headers=headers, body=body
        )
        self._answer = _Answer(server, response, offered=not server.request.body)
        self._timers = {"resend": now + T1, "no_ack": now + TIMEOUT}
        return [*self._layer.respond(server, response, now)]

    def refuse(
        self, status: int, now: float, *, reason: str | None, headers: Fields
    ) -> list[Output]:
        """Refuse the INVITE, which ends the call, or the re-INVITE, which does not."""
        server, self._server = self._server, None
        if server is None:
            return []
        outputs = self._respond(server, status, now, headers, reason=reason)
        if self._answered:
            return outputs
        self._release()
        return [*outputs, *self._end("us", "refused", status, reason or phrase(status))]

    def hang_up(self, now: float, *, reason: str | None) -> list[Output]:
        """End the call, whatever its state."""
        if self.ended:
            return []
        self._reason = reason
        Headers(self._reason_header())  # a ValueError comes now, not with the BYE after an ACK
        if self._answered:
            return self._leave(now, "us", "hang_up", 200, reason)
        if self._server:
            outputs = self._respond(self._server, 480, now, self._reason_header())
            self._release()
            return [*outputs, *self._end("us", "refused", 480, reason)]
        return [*self._cancel(now), *self._end("us", "cancelled", 487, reason)]

    def send_owed_bye(self, now: float) -> list[Output]:
        """Do not wait for that ACK any longer."""
        self._answer = None
        return self._send_bye(now)

    def reinvite(self, body: bytes, now: float) -> list[Output]:
        """Offer the peer another session. One offer at a time (§14.1)."""
        if self.ended or not self._answered or self._dialog is None:
            return []
        if self._server or self._answer or self._is_inviting():
            return [Refused(self.call, 491, phrase(491))]
        request = self._dialog.request("INVITE", headers=self._offer_headers(body), body=body)
        return self._invite(request, self._way(self._dialog), now)

    # what the peer does, as a client

    def owns(self, request: Request) -> bool:
        """Is this request within our dialog?"""
        return self._dialog is not None and self._dialog.owns(request)

    def receive_request(self, server: Server, now: float) -> list[Output]:
        """Take a new request within the dialog (§12.2.2)."""
        request = server.request
        if self._dialog is None or (self.ended and request.method != "BYE"):
            return self._respond(server, 481, now)
        if not self._dialog.in_order(request):
            return self._respond(server, 500, now, reason="CSeq Out Of Order")
        if rejection := inspect(request):
            return self._respond(
                server, rejection.status, now, rejection.headers, reason=rejection.reason
            )
        self._flow, self._via = server.flow, request.headers.via
        match request.method:
            case "INVITE":
                return self._receive_reinvite(server, now)
            case "BYE":
                return self._receive_bye(server, now)
            case _:  # OPTIONS; ACK and CANCEL have their own ways in
                return self._respond(server, 200, now, capabilities())

    def receive_ack(self, ack: Request, flow: Flow | None, now: float) -> list[Output]:
        """The ACK of our 2xx. `flow` None: it came with the INVITE's own branch."""
        if self._answer is None or ack.headers.cseq.number != self._answer.cseq:
            return []
        if flow:
            self._flow, self._via = flow, ack.headers.via
        return self._confirm(ack.body if is_sdp(ack) else b"", now)

    def receive_cancel(self, server: Server, cancel: Request, now: float) -> list[Output]:
        """CANCEL of an INVITE: without effect once it has its final response (§9.2)."""
        if server is not self._server:
            return []
        self._server = None
        outputs = self._respond(server, 487, now)
        if self._answered:
            return outputs  # a re-INVITE: the session stays as it was
        self._release()
        return [*outputs, *self._end("peer", "cancelled", 487, _reason_of(cancel))]

    def _receive_reinvite(self, server: Server, now: float) -> list[Output]:
        if self._server:  # the first still waits, §14.2
            wait = zlib.crc32(self._agent.token().encode()) % 11
            return self._respond(server, 500, now, [("Retry-After", str(wait))])
        if self._is_inviting() or (self._answer and self._answer.offered):
            return self._respond(server, 491, now)
        # A peer that goes on has had our 2xx; only its ACK is lost (RFC 5407 §3.1.4)
        outputs = self._confirm(b"", now) if self._answer else []
        self._server = server
        outputs += self._respond(server, 100, now)
        return [*outputs, Offered(self.call, server.request)]

    def _receive_bye(self, server: Server, now: float) -> list[Output]:
        outputs = self._respond(server, 200, now)
        if self._server:  # what still waits is answered too, §15.1.2
            outputs += self._respond(self._server, 487, now)
            self._server = None
        self._answer = None
        self._timers = {"release": now + TIMEOUT}
        status = 200 if self._answered else 487
        return [*outputs, *self._end("peer", "hang_up", status, _reason_of(server.request))]

    # what the peer does, as a server

    def receive_response(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        """Take a response to our INVITE; those to a BYE change nothing any more."""
        if attempt.request.method != "INVITE":
            return []
        match response.status // 100:
            case 1:
                return self._receive_progress(attempt, response, now)
            case 2:
                return self._receive_success(attempt, response, now)
            case _:
                return self._receive_failure(response, now)

    def time_out(self, attempt: Attempt, now: float) -> list[Output]:
        """No response to our INVITE came at all (timer B)."""
        if attempt.request.method != "INVITE":
            return []
        if self._answered:
            return [] if self.ended else self._leave(now, "network", "timeout", 408, None)
        self._release()
        return self._end("network", "timeout", 408, None)

    def unreachable(self, attempt: Attempt) -> list[Output]:
        """Our INVITE could not be sent: as if 503 had come (§8.1.3.1)."""
        if attempt.request.method != "INVITE":
            return []
        if self._answered:
            return [] if self.ended else [Refused(self.call, 503, "No Way To The Peer")]
        self._release()
        return self._end("network", "unreachable", 503, None)

    def _receive_progress(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        self._flow = self._flow or attempt.flow
        if self.ended:
            return [] if self._answered or self._cancelled else self._send_cancel(attempt, now)
        self._timers["C"] = now + TIMER_C
        if self._answered or response.status == 100:
            return []
        return [Progress(self.call, response.status, response.body)]

    def _receive_success(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        if kept := self._acks.get((attempt, response.headers.to.tag or "")):
            return self._uac.acknowledge(kept)  # a copy, our ACK was lost, §13.2.2.4
        self._timers.pop("C", None)
        self._flow = self._flow or attempt.flow
        first = self._dialog is None
        if self._dialog is None:
            self._dialog, self._answered = Dialog.establish(attempt.request, response), True
        elif attempt.request.headers.to.tag is None:
            return self._drop_fork(attempt, Dialog.establish(attempt.request, response), now)
        else:
            self._dialog.refresh(response)
        outputs = self._send_ack(attempt, self._dialog, response.headers.to.tag)
        if not self.ended:
            return [*outputs, Answered(self.call, response.body)]
        # the 2xx crossed our CANCEL; or, a re-INVITE's, our BYE, which is under way
        return [*outputs, *self._send_bye(now)] if first else outputs

    def _receive_failure(self, response: Response, now: float) -> list[Output]:
        self._timers.pop("C", None)
        reason = text(response.reason)
        if not self._answered:
            self._release()
            return self._end("peer", "refused", response.status, reason)
        if self.ended:
            return []
        if response.status in {408, 481}:  # the peer has no such dialog any more, §12.2.1.2
            return self._leave(now, "peer", "refused", response.status, reason)
        return [Refused(self.call, response.status, reason)]

    def _drop_fork(self, attempt: Attempt, other: Dialog, now: float) -> list[Output]:
        """A second phone answered too: the first one has the call (§13.2.2.4)."""
        if len(self._acks) >= MAX_FORKS:
            return []
        outputs = self._send_ack(attempt, other, other.remote_tag)
        return [*outputs, *self._request(other.request("BYE"), other, now)]

    # time

    def handle_timer(self, now: float) -> list[Output]:
        due = {name for name, at in self._timers.items() if at <= now}
        for name in due:
            del self._timers[name]
        if "release" in due:
            self._release()
            return []
        if "no_ack" in due:  # §13.3.1.4
            self._answer = None
            return [*self._send_bye(now), *self._end("network", "no_ack", 200, None)]
        if "C" in due:
            return self._give_up(now)
        outputs: list[Output] = []
        if "resend" in due and self._answer:
            outputs += self._resend(self._answer, now)
        if "ring" in due:
            outputs += self.ring(now)
        return outputs

    def _resend(self, answer: _Answer, now: float) -> list[Output]:
        answer.interval = min(2 * answer.interval, T2)
        self._timers["resend"] = now + answer.interval
        return [*self._layer.respond(answer.server, answer.response, now)]

    def _give_up(self, now: float) -> list[Output]:
        if self._answered:
            return self._leave(now, "network", "timeout", 408, None)
        return [*self._cancel(now), *self._end("network", "timeout", 408, None)]

    # small pieces

    def _respond(
        self,
        server: Server,
        status: int,
        now: float,
        headers: Fields = (),
        *,
        reason: str | None = None,
    ) -> list[Output]:
        response = self._agent.respond(
            server.request, status, tag=self.call, reason=reason, headers=headers
        )
        return [*self._layer.respond(server, response, now)]

    def _way(self, dialog: Dialog) -> Way:
        """Where requests within a dialog go."""
        assert self._flow is not None  # a dialog has had a message of the peer's
        return request_flow(dialog.next_hop, self._flow, self._via)

    def _request(self, request: Request, dialog: Dialog, now: float) -> list[Output]:
        """Send a request within a dialog that is no INVITE."""
        _, outputs = self._uac.send(
            request,
            self._way(dialog),
            self.call,
            now,
            credentials=self._credentials,
            renumber=dialog.next_cseq,
        )
        return outputs

    def _invite(self, request: Request, way: Way, now: float) -> list[Output]:
        for attempt, tag in list(self._acks):
            if attempt.client is None or attempt.client.machine.state is State.TERMINATED:
                del self._acks[attempt, tag]
        self._inviting, outputs = self._uac.send(
            request,
            way,
            self.call,
            now,
            credentials=self._credentials,
            renumber=self._dialog.next_cseq if self._dialog else None,
        )
        return outputs

    def _is_inviting(self) -> bool:
        """Does an INVITE of ours wait for its final response?"""
        return self._inviting is not None and not self._inviting.over

    def _send_ack(self, attempt: Attempt, dialog: Dialog, tag: str | None) -> list[Output]:
        """The ACK of a 2xx, kept for as long as copies of the 2xx may come.

        It has the credentials of its INVITE (§22.1).
        """
        asked = attempt.request.headers
        headers = [(name, value) for name in CREDENTIALS for value in asked.all(name)]
        request = dialog.ack(asked.cseq.number, headers)
        ack = self._acks[attempt, tag or ""] = Acknowledgement(request, self._way(dialog))
        return self._uac.acknowledge(ack)

    def _send_bye(self, now: float) -> list[Output]:
        assert self._dialog is not None  # only what was answered ends by BYE
        self._timers = {"release": now + TIMEOUT}
        headers = [("User-Agent", self._agent.name), *self._reason_header()]
        return self._request(self._dialog.request("BYE", headers=headers), self._dialog, now)

    def _cancel(self, now: float) -> list[Output]:
        """CANCEL, at once or when the first provisional response comes (§9.1)."""
        self._timers = {"release": now + TIMEOUT}
        if self._inviting:
            self._uac.stay(self._inviting)
            if self._inviting.proceeding:
                return self._send_cancel(self._inviting, now)
            if self._inviting.client is None:  # the peer is still being looked for
                self._release()
        return []

    def _send_cancel(self, attempt: Attempt, now: float) -> list[Output]:
        self._cancelled = True
        self._timers = {"release": now + TIMEOUT}
        return self._uac.cancel(attempt, self._reason_header(), now)

    def _confirm(self, body: bytes, now: float) -> list[Output]:
        self._answer = None
        if self.ended:
            return self._send_bye(now)  # it waited for this ACK, §15
        for name in ("resend", "no_ack"):
            self._timers.pop(name, None)
        return [Confirmed(self.call, body)]

    def _leave(
        self, now: float, by: By, cause: str, status: int, reason: str | None
    ) -> list[Output]:
        """End an answered call from our side: BYE, but not before the ACK of our 2xx (§15)."""
        outputs: list[Output] = []
        if self._server:
            outputs += self._respond(self._server, 487, now)
            self._server = None
        if self._answer is None:
            outputs += self._send_bye(now)
        return [*outputs, *self._end(by, cause, status, reason)]

    def _end(self, by: By, cause: str, status: int, reason: str | None) -> list[Output]:
        if self.ended:
            return []
        self.ended = True
        return [Ended(self.call, by, cause, status, reason)]

    def _release(self) -> None:
        if self._inviting and self._is_inviting():
            self._uac.give_up(self._inviting)
        self._timers.clear()
        self.released = True

    def _dialog_headers(self, server: Server) -> list[tuple[str, str]]:
        """What 18x and 2xx carry; the first also the route set, in its order (§12.1.1)."""
        asked = server.request.headers
        routes = asked.all("Record-Route") if asked.to.tag is None else []
        return [
            *(("Record-Route", route) for route in routes),
            ("Contact", self._agent.contact(server.flow)),
            ALLOW,
            SUPPORTED,
        ]

    def _offer_headers(self, body: bytes) -> list[tuple[str, str]]:
        return [
            ALLOW,
            SUPPORTED,
            ("User-Agent", self._agent.name),
            *content(body),
        ]

    def _reason_header(self) -> list[tuple[str, str]]:
        return [("Reason", self._reason)] if self._reason else []


def _loose(hop: Uri) -> Uri:
    """A proxy as a loose route (§16.12): what it is told is in the Request-URI."""
    loose = hop.param("lr") is not None
    return hop if loose else replace(hop, params=(*hop.params, ("lr", None)))


def _reason_of(request: Request) -> str | None:
    value = request.headers.get("Reason")
    return text(value)[:MAX_REASON] if value else None
