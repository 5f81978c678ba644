"""Our binding with one registrar: REGISTER as a client (RFC 3261 §10.2).

Pure. One binding in one dialog-like sequence: the same Call-ID and From tag for as long as the
process lives, CSeq one higher each time (§10.2).

    start ──▶ asking ──2xx──▶ registered ──half of the time──▶ asking ──▶ …
                │  ▲
                │  ├── 423: at once, for as long as the registrar wants (§10.2.8)
                │  └── after 5 s, doubled up to 5 min; or 10 min, where waiting alone does not help
                └── any other end

A binding outlives a refresh that got no answer, until its time is over. 401 and 407 are answered by
uac.py. Left out on purpose: 3xx is a refusal (a registrar that moved is a matter for the operator);
Path (RFC 3327) is the proxies' own, we only say that we do not mind it; an old Contact after a
change of network is left to expire; GRUU and outbound (RFC 5626 §4.2).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from .address import NameAddr, Uri
from .agent import ALLOW, UserAgent
from .digest import Credentials
from .event import Flow, Output, Registered, Unregistered
from .grammar import SipError, hostport, param, text
from .message import Headers, Request, Response
from .schedule import Schedule
from .uac import Attempt, Outcome, Reply, Silence, Unreachable, UserAgentClient

FIRST_BACK_OFF: Final = 5.0  # s
LONGEST_BACK_OFF: Final = 300.0  # s
REFUSED_BACK_OFF: Final = 600.0  # s, after a wrong password and the like: nobody is to be annoyed
LONGEST_WAIT: Final = 3600.0  # s, of a Retry-After
FLEETING: Final = 10.0  # s; a connection that is lost within them after a registration is suspect
SHORTEST: Final = 10.0  # s, whatever a registrar grants
LONGEST: Final = 86_400  # s
JITTER: Final = 0.1  # of every wait, so that a hundred gateways do not come at once
MAX_ROUTES: Final = 8  # of a Service-Route

# The peer, or somebody on the way, is in trouble for now. Any other refusal stays one.
_TEMPORARY = {408, 429, 480, 486, 491}
_SECONDS = re.compile(r"([0-9]{1,10})(?:[ \t;(].*)?", re.DOTALL)


class Registration:
    """`aor`: the URI that we register, `registrar`: where; SipError (a ValueError) for neither.

    `credentials` answer its challenges; None where it asks for nothing. `expires` in s.
    """

    def __init__(
        self,
        name: str,
        registrar: str,
        uac: UserAgentClient,
        agent: UserAgent,
        *,
        aor: str,
        credentials: Credentials | None,
        expires: int,
    ) -> None:
        self.name = name
        self.key = f"registration {name}"  # no token has a blank, so no call has this handle
        self.service_route: tuple[str, ...] = ()  # for requests to this trunk, RFC 3608 §5
        self.hosts: frozenset[str] = frozenset()  # that the registrar has, as far as it was found
        self.flow: Flow | None = None  # the way that our binding was made by
        self.released = False
        self._uac = uac
        self._agent = agent
        self._registrar = Uri.parse(registrar)
        self._aor = Uri.parse(aor)
        self._credentials = credentials
        self._expires = expires
        self._tag, self._call_id = agent.token(), agent.token()
        self._cseq = 0
        self._asking: Attempt | None = None
        self._since = 0.0  # when it was made or refreshed
        self._until: float | None = None  # when our binding lapses
        self._stopping = False
        self._back_off = FIRST_BACK_OFF
        self._refresh_at: float | None = None

    def is_registered(self, now: float) -> bool:
        """Has the registrar a binding of ours?"""
        return self._until is not None and now < self._until and not self._stopping

    @property
    def deadline(self) -> float | None:
        return self._refresh_at

    # what its owner does

    def refresh(self, now: float) -> list[Output]:
        """Register now: at first, when it is due, or when our address or the way has changed."""
        if self._stopping:
            return []
        self._abandon()
        return self._ask(self._expires, now)

    def stop(self, now: float) -> list[Output]:
        """Remove our binding (§10.2.2), if there may be one."""
        if self._stopping:
            return []
        there_may_be_one = self._asking is not None or self.is_registered(now)
        self._abandon()
        self._stopping, self._refresh_at = True, None
        if not there_may_be_one:
            self.released = True
            return []
        return self._ask(0, now)

    def lose(self, flow: Flow, now: float) -> list[Output]:
        """The connection by which we are registered is gone: calls cannot come by it any more.

        It is lost once, and one that did not last is not made again at once: a registrar that
        closes each of them would have no rest from us. Of datagrams there is none: whoever forges
        ICMP must not make us register time and again.
        """
        lost = flow == self.flow and self.is_registered(now) and self._asking is None
        if not lost or flow.transport == "udp":
            return []
        self.flow = None
        if now - self._since >= FLEETING:
            return self.refresh(now)
        self._refresh_at = now + self._jittered(FIRST_BACK_OFF)
        return []

    # what comes of it

    def handle_timer(self, now: float) -> list[Output]:
        return self.refresh(now)

    def receive_response(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        """Take a response of the registrar."""
        if attempt is not self._asking or response.status < 200:
            return []
        self._asking = None
        if self._stopping:
            self.released = True
            return []
        if response.status < 300:
            return self._accepted(attempt, response, now)
        if response.status == 423 and self._lengthen(response):
            return self._ask(self._expires, now)
        return self._failed(response.status, text(response.reason), now, _retry_after(response))

    def time_out(self, attempt: Attempt, now: float) -> list[Output]:
        """No response came (§8.1.3.1: as a 408)."""
        return self._unheard(attempt, 408, "No Answer", now)

    def unreachable(self, attempt: Attempt, now: float) -> list[Output]:
        """No way leads there (§8.1.3.1: as a 503)."""
        if attempt is self._asking:
            self.flow = None
        return self._unheard(attempt, 503, "Unreachable", now)

    def _unheard(self, attempt: Attempt, status: int, reason: str, now: float) -> list[Output]:
        if attempt is not self._asking:
            return []
        self._asking = None
        self.released = self._stopping
        return [] if self._stopping else self._failed(status, reason, now, 0)

    def _accepted(self, attempt: Attempt, response: Response, now: float) -> list[Output]:
        granted = max(SHORTEST, min(self._granted(attempt, response), LONGEST))
        flows = [attempt.flow, *attempt.ways]
        self.hosts = frozenset(flow.remote[0] for flow in flows if isinstance(flow, Flow))
        self.flow = attempt.flow
        self.service_route = tuple(response.headers.elements("Service-Route")[:MAX_ROUTES])
        self._since, self._until = now, now + granted
        self._back_off = FIRST_BACK_OFF
        self._refresh_at = now + self._jittered(granted / 2)
        if self.flow and not self._is_bound(attempt, self.flow):
            self._refresh_at = now + self._jittered(FIRST_BACK_OFF)
        return [Registered(self.name, granted)]

    def _failed(self, status: int, reason: str, now: float, wait: float) -> list[Output]:
        if status >= 500 or status in _TEMPORARY:
            wait = max(wait, self._jittered(self._back_off))
            self._back_off = min(2 * self._back_off, LONGEST_BACK_OFF)
        else:
            self._until = None
            wait = max(wait, self._jittered(REFUSED_BACK_OFF))
        self._refresh_at = now + wait
        return [Unregistered(self.name, status, reason, wait)]

    def _lengthen(self, response: Response) -> bool:
        """Ask for as long as the registrar wants at least; False if that helps nothing."""
        least = _number(response.headers.get("Min-Expires"))
        if least is None or not self._expires < least <= LONGEST:
            return False
        self._expires = least
        return True

    def _granted(self, attempt: Attempt, response: Response) -> float:
        """For how long, by our own Contact among those of others (§10.2.4).

        A registrar that has written another address into ours, that of our NAT, leaves the user:
        then it is the one of them that lasts longest, since ours is the youngest.
        """
        mine = _contact(attempt.request.headers.get("Contact") or "")
        theirs = [
            (contact, _number(param(contact.params, "expires")))
            for value in response.headers.elements("Contact")
            if (contact := _contact(value)) and mine and contact.uri.user == mine.uri.user
        ]
        exact = [left for it, left in theirs if mine and _place(it.uri) == _place(mine.uri)]
        known = [left for left in exact or [left for _, left in theirs] if left is not None]
        said = _number(response.headers.get("Expires"))
        return max(known, default=self._expires if said is None else said)

    # pieces

    def _is_bound(self, attempt: Attempt, flow: Flow) -> bool:
        """Does our binding say where we are, as the registrar has just told (RFC 3581)?"""
        bound = _contact(attempt.request.headers.get("Contact") or "")
        ours = _contact(self._contact(flow, self._expires))
        return bound is None or ours is None or _place(bound.uri) == _place(ours.uri)

    def _abandon(self) -> None:
        if self._asking:
            self._uac.give_up(self._asking)
            self._asking = None

    def _ask(self, expires: int, now: float) -> list[Output]:
        """Send a REGISTER (§10.2)."""
        self._refresh_at = None
        fields = [
            ("Max-Forwards", "70"),
            ("From", f"<{self._aor}>;tag={self._tag}"),
            ("To", f"<{self._aor}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._next_cseq()} REGISTER"),
            ("Expires", str(expires)),
            ALLOW,
            ("Supported", "path"),
            ("User-Agent", self._agent.name),
        ]
        self._asking, outputs = self._uac.send(
            Request("REGISTER", str(self._domain), Headers(fields)),
            self._registrar,
            self.key,
            now,
            credentials=self._credentials,
            renumber=self._next_cseq,
            contact=lambda flow: self._contact(flow, expires),
        )
        return outputs

    @property
    def _domain(self) -> Uri:
        """The Request-URI: whose users the registrar knows, and no user (§10.2).

        That is the registrar's own URI, unless it is the way to another domain only.
        """
        where, whose = self._registrar, self._aor.host
        if where.host.lower() != whose.lower():
            return Uri(where.scheme, None, whose)
        return replace(where, user=None, headers="")

    def _contact(self, flow: Flow, expires: int) -> str:
        """Where calls for us go: our address as this way has it, and as whom (§10.2.1)."""
        return f"{self._agent.contact(flow, self._aor.user)};expires={expires}"

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def _jittered(self, seconds: float) -> float:
        dice = zlib.crc32(self._agent.token().encode()) / 2**32
        return seconds * (1 - JITTER * dice)


class Registrations:
    """All of one endpoint, by name."""

    def __init__(self, uac: UserAgentClient, agent: UserAgent) -> None:
        self._uac = uac
        self._agent = agent
        self._by_key: dict[str, Registration] = {}
        self._by_name: dict[str, Registration] = {}
        self._schedule: Schedule[Registration] = Schedule()

    @property
    def by_name(self) -> Mapping[str, Registration]:
        """Those that are not over."""
        return MappingProxyType(self._by_name)

    @property
    def deadline(self) -> float | None:
        return self._schedule.deadline

    def add(
        self,
        name: str,
        registrar: str,
        now: float,
        *,
        aor: str,
        credentials: Credentials | None,
        expires: int,
    ) -> list[Output]:
        """Begin one; ValueError for a name that is in use or a URI that is none (SipError)."""
        if name in self._by_name:
            raise ValueError(f"{name} is registered already")
        registration = Registration(
            name,
            registrar,
            self._uac,
            self._agent,
            aor=aor,
            credentials=credentials,
            expires=expires,
        )
        self._by_name[name] = self._by_key[registration.key] = registration
        return self._after(registration, registration.refresh(now))

    def remove(self, name: str, now: float) -> list[Output]:
        """Remove the binding; nothing if there is none of this name."""
        registration = self._by_name.get(name)
        return self._after(registration, registration.stop(now)) if registration else []

    def refresh(self, name: str, now: float) -> list[Output]:
        """Register now, because our address has changed."""
        registration = self._by_name.get(name)
        return self._after(registration, registration.refresh(now)) if registration else []

    def lose(self, flow: Flow, now: float) -> list[Output]:
        """A connection is gone."""
        all_of_them = list(self._by_name.values())
        return [out for it in all_of_them for out in self._after(it, it.lose(flow, now))]

    def receive(self, outcome: Outcome, now: float) -> list[Output] | None:
        """Take what came of a request; None if it is not one of these."""
        registration = self._by_key.get(outcome.attempt.call or "")
        if registration is None:
            return None
        match outcome:
            case Reply(attempt, response):
                outputs = registration.receive_response(attempt, response, now)
            case Silence(attempt):
                outputs = registration.time_out(attempt, now)
            case Unreachable(attempt):
                outputs = registration.unreachable(attempt, now)
        return self._after(registration, outputs)

    def handle_timer(self, now: float) -> list[Output]:
        due = list(self._schedule.pop_due(now))
        return [out for it in due for out in self._after(it, it.handle_timer(now))]

    def _after(self, registration: Registration, outputs: list[Output]) -> list[Output]:
        """Keep the tables and the schedule true after any move of one."""
        self._schedule.set(registration, registration.deadline)
        if registration.released:
            del self._by_key[registration.key], self._by_name[registration.name]
        return outputs


def _contact(value: str) -> NameAddr | None:
    try:
        return NameAddr.parse(value)
    except SipError:
        return None


def _place(uri: Uri) -> str:
    return hostport(uri.host.lower(), uri.port or 5060)


def _number(value: str | None) -> int | None:
    match = _SECONDS.fullmatch(value or "")
    return int(match[1]) if match else None


def _retry_after(response: Response) -> float:
    """§20.33, comment and parameters left out."""
    return min(_number(response.headers.get("Retry-After")) or 0, LONGEST_WAIT)
