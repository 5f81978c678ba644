"""Transfers by REFER: RFC 3515, its subscription (RFC 6665) and sipfrag (RFC 3420), both roles.

Pure. One object a call, which belongs to the call's INVITE usage and lives in its dialog:

    we ask      REFER ──▶ 202, NOTIFY 100, 180, ... ──▶ NOTIFY 200-699: the end, told once
                      └─▶ 300-699, silence, 180 s ────────────────────▶ the end, told once
    we are      REFER ──▶ Referred ──accept──▶ 202, NOTIFY 100 ──report──▶ NOTIFY, the last one
    asked                          └─refuse──▶ 300-699                     terminated;noresource

One referral at a time in each direction. Of a sipfrag only the status line is read, and of ours
there is no more. Without a subscription (RFC 4488, `Refer-Sub: false`) nothing is told.

Left out on purpose: REFER out of a dialog, SUBSCRIBE to refresh or end what REFER began, several
referrals at once (RFC 5368), the signed token of RFC 3892, other methods than INVITE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .address import NameAddr, Uri
from .agent import UserAgent, phrase
from .dialog import Dialog
from .digest import Credentials
from .event import Output, ReferralProgress, Referred
from .grammar import Params, SipError, param, parse_params, text
from .layer import Server
from .message import Request, Response
from .replaces import Replaces
from .uac import Attempt, UserAgentClient, Way

LIFETIME = 60.0  # s that a subscription lasts without a word, ours and, untold, the peer's
PATIENCE = 180.0  # s after which a referral has failed: ours undecided, the peer's without a word
MAX_REASON = 256  # characters

_STATUS_LINE = re.compile(
    rb"SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]([^\r\n]*)|[\r\n]|$)", re.IGNORECASE
)
_SECONDS = re.compile(r"[0-9]{1,9}")
_BREAKS = re.compile(r"[\r\n\0]+")
_SIPFRAG = ("Content-Type", "message/sipfrag;version=2.0")
_SILENT = ("Refer-Sub", "false")

Fields = Sequence[tuple[str, str]]
Respond = Callable[[Server, int, float, Fields], list[Output]]


@dataclass(slots=True)
class _Asked:
    """Our REFER, and the last word of the call that the peer makes."""

    attempt: Attempt
    latest: float  # when it has failed, however often the peer says that it tries
    status: int = 408  # as long as there is none
    reason: str = phrase(408)
    until: float | None = None  # when we stop waiting; None: the REFER itself has no answer yet

    @property
    def id(self) -> str:
        """What a NOTIFY names it by (RFC 3515 §2.4.6): after a challenge another number."""
        return str(self.attempt.request.headers.cseq.number)


@dataclass(slots=True)
class _Taken:
    """The peer's REFER, and the last word of the call that we make."""

    server: Server
    quiet: bool  # nobody listens
    accepted: bool = False
    word: str = "100 Trying"
    said: float = 0.0  # when there was the last word
    until: float | None = None  # when the subscription is to be renewed
    notify: Attempt | None = None  # the latest

    @property
    def id(self) -> str:
        return str(self.server.request.headers.cseq.number)


class Referrals:
    """The referrals of one call, from its answer to its end.

    `way` tells by which way requests of the dialog go, `respond` answers a request.
    """

    def __init__(
        self,
        call: str,
        dialog: Dialog,
        uac: UserAgentClient,
        agent: UserAgent,
        *,
        way: Callable[[], Way],
        respond: Respond,
        credentials: Credentials | None = None,
    ) -> None:
        self._call = call
        self._dialog = dialog
        self._uac = uac
        self._agent = agent
        self._way = way
        self._respond = respond
        self._credentials = credentials  # None: no challenge is answered
        self._asked: _Asked | None = None
        self._told: str | None = None  # id of a REFER whose end we know, and the peer goes on
        self._taken: _Taken | None = None

    @property
    def deadline(self) -> float | None:
        due = (it.until for it in (self._asked, self._taken) if it and it.until is not None)
        return min(due, default=None)

    # we ask

    def refer(
        self,
        target: str,
        now: float,
        *,
        referred_by: str | None = None,
        replaces: Replaces | None = None,
        quiet: bool = False,
    ) -> list[Output]:
        """Ask the peer to call `target`, a URI, in the place of the dialog `replaces`.

        `quiet`: without being told what becomes of it, if the peer knows how (RFC 4488).
        ValueError for what is no URI, and while another REFER of ours is on its way.
        """
        if self._asked:
            raise ValueError("one referral at a time")
        self._told = None
        uri = Uri.parse(target)
        headers = [
            ("User-Agent", self._agent.name),
            ("Refer-To", f"<{replaces.in_target(uri) if replaces else uri}>"),
        ]
        if referred_by:
            headers.append(("Referred-By", str(NameAddr.parse(referred_by))))
        if quiet:
            headers += [_SILENT, ("Supported", "norefersub")]
        attempt, outputs = self._send("REFER", headers, b"", now)
        self._asked = _Asked(attempt, now + PATIENCE)
        return outputs

    def receive_notify(self, server: Server, now: float) -> list[Output]:
        """Take a NOTIFY: one that is of our REFER; it may come before the REFER's answer."""
        event, params = _with_params(server.request.headers.get("Event"))
        if event != "refer":  # RFC 6665 §4.1.3
            return self._respond(server, 489, now, [("Allow-Events", "refer")])
        named = param(params, "id")
        asked = self._asked
        if asked and named in {None, asked.id}:
            outputs = self._respond(server, 200, now, ())
            return [*outputs, *self._hear(asked, server.request, now)]
        known = self._told is not None and named in {None, self._told}
        return self._respond(server, 200 if known else 481, now, ())

    def _hear(self, asked: _Asked, notify: Request, now: float) -> list[Output]:
        word = _status_of(notify.body)
        if word:
            asked.status, asked.reason = word
        state, params = _with_params(notify.headers.get("Subscription-State"))
        if state == "terminated":
            return self._conclude(asked)
        if asked.status >= 200 and word:
            self._told = asked.id
            return self._conclude(asked)
        expires = param(params, "expires") or ""
        lifetime = float(expires) if _SECONDS.fullmatch(expires) else LIFETIME
        asked.until = min(now + lifetime, asked.latest)
        return [self._progress(asked, final=False)] if word else []

    def _conclude(self, asked: _Asked) -> list[Output]:
        self._asked = None
        return [self._progress(asked, final=True)]

    def _progress(self, asked: _Asked, *, final: bool) -> ReferralProgress:
        return ReferralProgress(self._call, asked.status, asked.reason, final)

    def _refer_answered(self, asked: _Asked, response: Response, now: float) -> list[Output]:
        if response.status >= 300:
            asked.status, asked.reason = response.status, text(response.reason)[:MAX_REASON]
            return self._conclude(asked)
        if _wants_silence(response):  # RFC 4488 §4: there will be no NOTIFY
            asked.status, asked.reason = 202, phrase(202)
            return self._conclude(asked)
        if asked.until is not None:  # a NOTIFY was faster
            return []
        asked.until = now + LIFETIME
        return [ReferralProgress(self._call, response.status, phrase(response.status), False)]

    # we are asked

    def receive_refer(self, server: Server, now: float) -> list[Output]:
        """Take a REFER: Referred if its owner is to decide, else an answer."""
        request = server.request
        if self._taken:  # §21.4.27 of RFC 3261: one that is like it is pending
            return self._respond(server, 491, now, ())
        try:
            target = _target_of(request)
        except SipError as error:
            return self._respond(server, error.status or 400, now, ())
        self._taken = _Taken(server, quiet=_wants_silence(request))
        return [Referred(self._call, target, _referrer_of(request))]

    def accept(self, now: float) -> list[Output]:
        """202 to the REFER that waits, and the first NOTIFY at once (RFC 3515 §2.4.4)."""
        taken = self._taken
        if taken is None or taken.accepted:
            return []
        taken.accepted, taken.said = True, now
        headers = [("Contact", self._agent.contact(taken.server.flow))]
        if taken.quiet:
            headers += [_SILENT, ("Supported", "norefersub")]
        outputs = self._respond(taken.server, 202, now, headers)
        return [*outputs, *self._renew(taken, now)]

    def refuse(self, status: int, now: float) -> list[Output]:
        """Refuse the REFER that waits."""
        taken = self._taken
        if taken is None or taken.accepted:
            return []
        self._taken = None
        return self._respond(taken.server, status, now, ())

    def report(self, status: int, reason: str, now: float) -> list[Output]:
        """Tell the peer how the call goes that it asked for; from 200 on it is the last word."""
        taken = self._taken
        if taken is None or not taken.accepted:
            return []
        taken.word, taken.said = f"{status} {_BREAKS.sub(' ', reason)}", now
        if status >= 200:
            self._taken = None
            return self._notify(taken, "terminated;reason=noresource", now)
        return self._renew(taken, now)

    def _renew(self, taken: _Taken, now: float) -> list[Output]:
        taken.until = now + LIFETIME
        return self._notify(taken, f"active;expires={LIFETIME:.0f}", now)

    def _notify(self, taken: _Taken, state: str, now: float) -> list[Output]:
        if taken.quiet:
            return []
        headers = [
            ("User-Agent", self._agent.name),
            ("Event", f"refer;id={taken.id}"),
            ("Subscription-State", state),
            _SIPFRAG,
        ]
        body = f"SIP/2.0 {taken.word}\r\n".encode("utf-8", "surrogateescape")
        taken.notify, outputs = self._send("NOTIFY", headers, body, now)
        return outputs

    # both

    def receive_response(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        """Take a response to a REFER or a NOTIFY of ours."""
        if response.status < 200:
            return []
        if self._asked and attempt is self._asked.attempt:
            return self._refer_answered(self._asked, response, now)
        if response.status >= 300:
            self._forget(attempt)
        return []

    def time_out(self, attempt: Attempt, now: float) -> list[Output]:
        """No response came to a REFER or a NOTIFY of ours, or it could not be sent."""
        if self._asked and attempt is self._asked.attempt:
            self._asked.status, self._asked.reason = 408, phrase(408)
            return self._conclude(self._asked)
        self._forget(attempt)
        return []

    def handle_timer(self, now: float) -> list[Output]:
        """Go on without a word that does not come."""
        outputs: list[Output] = []
        asked, taken = self._asked, self._taken
        if asked and asked.until is not None and asked.until <= now:
            outputs += self._conclude(asked)
        if taken and taken.until is not None and taken.until <= now:
            outputs += self._remind(taken, now)
        return outputs

    def _remind(self, taken: _Taken, now: float) -> list[Output]:
        if now < taken.said + PATIENCE:
            return self._renew(taken, now)
        self._taken = None
        return self._notify(taken, "terminated;reason=timeout", now)

    def close(self, now: float) -> list[Output]:
        """The call ends: what waits is answered (RFC 3261 §15.1.2), and nothing more is told."""
        taken, self._taken, self._asked, self._told = self._taken, None, None, None
        if taken and not taken.accepted:
            return self._respond(taken.server, 487, now, ())
        return []

    def _forget(self, attempt: Attempt) -> None:
        """A NOTIFY failed, and with it the subscription (RFC 6665 §4.2.2).

        Not if a later one followed: that the peer refused the one that came too late means nothing.
        """
        if self._taken and attempt is self._taken.notify:
            self._taken.quiet = True

    def _send(
        self, method: str, headers: Fields, body: bytes, now: float
    ) -> tuple[Attempt, list[Output]]:
        return self._uac.send(
            self._dialog.request(method, headers=headers, body=body),
            self._way(),
            self._call,
            now,
            credentials=self._credentials,
            renumber=self._dialog.next_cseq,
        )


def _target_of(refer: Request) -> str:
    """Whom we are to call. SipError with the status to answer (RFC 3515 §2.4.2)."""
    targets = refer.headers.elements("Refer-To")
    if len(targets) != 1 or not targets[0].isascii():
        raise SipError("Bad Refer-To", status=400)
    uri = NameAddr.parse(targets[0]).uri
    if uri.scheme not in {"sip", "sips", "tel"}:
        raise SipError("Unsupported URI Scheme", status=416)
    if (uri.param("method") or "INVITE").upper() != "INVITE":
        raise SipError("Only INVITE", status=603)
    kept = tuple(pair for pair in uri.params if pair[0] != "method")  # none of a Request-URI's
    return str(replace(uri, params=kept))


def _referrer_of(refer: Request) -> str | None:
    """The Referred-By as it is to go into the new request (RFC 3892 §2.2), if it is sound."""
    value = "".join(refer.headers.elements("Referred-By")[:1])
    try:
        NameAddr.parse(value)
    except SipError:
        return None
    return text(value)


def _wants_silence(message: Request | Response) -> bool:
    return _with_params(message.headers.get("Refer-Sub"))[0] == "false"


def _with_params(value: str | None) -> tuple[str, Params]:
    """A token in lower case, and what follows it."""
    token, _, params = (value or "").partition(";")
    return token.strip(" \t").lower(), parse_params(params)


def _status_of(sipfrag: bytes) -> tuple[int, str] | None:
    match = _STATUS_LINE.match(sipfrag.lstrip(b"\r\n \t"))
    if match is None:
        return None
    return int(match[1]), (match[2] or b"").decode("utf-8", "replace").strip()[:MAX_REASON]
