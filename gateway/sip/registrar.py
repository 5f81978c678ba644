"""Where our users' phones are: the registrar's side of REGISTER (RFC 3261 §10.3).

Pure. Many phones call nobody before they are registered, and a call or a transfer to one of them
has to find it. In the simplest honest form: one binding a user, the latest; it goes over the flow
that the REGISTER came by, which is the only way to a phone behind NAT (RFC 5626). The endpoint has
authenticated the user already (authentication.py), so there are no more bindings than users.

Left out on purpose: several phones of one user, q, Path, GRUU, and the registrations of others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from .address import NameAddr, Via
from .event import Flow, Identity
from .grammar import SipError, param
from .message import Request
from .schedule import Schedule
from .uas import Rejection

MIN_EXPIRES: Final = 60  # s; a phone that would come more often is told so (423)
MAX_EXPIRES: Final = 3600  # s; also what is given where nothing is asked for (§10.2)
MAX_CONTACT: Final = 512  # characters

_Key = tuple[str | None, str | None]  # trunk and user, as an Identity has them
_DIGITS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a user's phone is."""

    contact: str  # the Request-URI for it
    flow: Flow  # and the way to it
    via: Via  # and what its REGISTER says of that (route.py)
    expires_at: float
    call_id: str
    cseq: int


class Registrar:
    """The bindings of all users of all trunks."""

    def __init__(self) -> None:
        self._bindings: dict[_Key, Binding] = {}
        self._schedule: Schedule[_Key] = Schedule()

    @property
    def deadline(self) -> float | None:
        return self._schedule.deadline

    def handle_timer(self, now: float) -> None:
        """Forget bindings that have expired."""
        for key in self._schedule.pop_due(now):
            del self._bindings[key]

    def find(self, trunk: str, user: str, now: float) -> Binding | None:
        """Where this user's phone is, if it is registered."""
        binding = self._bindings.get((trunk, user))
        return binding if binding and binding.expires_at > now else None

    def uses(self, flow: Flow) -> bool:
        """Is this the way to a phone?"""
        return any(binding.flow == flow for binding in self._bindings.values())

    def receive(self, request: Request, identity: Identity, flow: Flow, now: float) -> Rejection:
        """The answer, with the binding as it is then (§10.3); 200 or a refusal."""
        try:
            return self._receive(request, identity, flow, now)
        except SipError as error:
            return Rejection(error.status or 400, reason=error.reason)

    def _receive(self, request: Request, identity: Identity, flow: Flow, now: float) -> Rejection:
        headers, key = request.headers, (identity.trunk, identity.user)
        if headers.to.uri.name != identity.user:
            return Rejection(403)  # of somebody else, §10.3 step 4
        old = self._bindings.get(key)
        cseq = headers.cseq.number
        if old and old.call_id == headers.call_id and cseq <= old.cseq:
            return Rejection(500, reason="CSeq Out Of Order")  # step 7
        contacts = _contacts(request)
        if any(0 < expires < MIN_EXPIRES for _, expires in contacts):
            return Rejection(423, (("Min-Expires", str(MIN_EXPIRES)),))
        for contact, expires in contacts:
            if expires == 0:
                if old and contact in {"*", old.contact}:
                    self._bindings.pop(key, None)
                    self._schedule.set(key, None)
            else:
                until = now + min(expires, MAX_EXPIRES)
                self._bindings[key] = Binding(
                    contact, flow, headers.via, until, headers.call_id, cseq
                )
                self._schedule.set(key, until)
        return self._answer(key, now)

    def _answer(self, key: _Key, now: float) -> Rejection:
        binding = self._bindings.get(key)
        if binding is None or binding.expires_at <= now:
            return Rejection(200)
        left = round(binding.expires_at - now)
        return Rejection(200, (("Contact", f"<{binding.contact}>;expires={left}"),))


def _contacts(request: Request) -> list[tuple[str, int]]:
    """Each Contact with how long it is to last, in seconds; those that end first.

    A phone that moved names its old address and its new one in one request.
    """
    given = request.headers.elements("Contact")
    default = _seconds(request.headers.get("Expires"))
    if given == ["*"]:
        if default != 0:
            raise SipError("Bad Contact")  # §10.2.2: `*` removes and does nothing else
        return [("*", 0)]
    found = [_contact(value, default) for value in given]
    return sorted(found, key=lambda pair: pair[1] > 0)


def _contact(value: str, default: int) -> tuple[str, int]:
    address = NameAddr.parse(value)
    uri = str(replace(address.uri, headers=""))
    if address.uri.scheme not in {"sip", "sips"} or len(uri) > MAX_CONTACT:
        raise SipError("Bad Contact")
    own = param(address.params, "expires")
    return uri, default if own is None else _seconds(own)


def _seconds(value: str | None) -> int:
    """What is no number is as if nothing was asked for (§20.10)."""
    return int(value) if value and _DIGITS.fullmatch(value) else MAX_EXPIRES
