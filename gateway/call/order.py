"""Order: a call that a program wants made: its JSON checked, and whom it means. Pure.

Destinations are reached through a trunk of the configuration only, and what an order brings is
taken for what it says and nothing more: a number is a number, a URI has no headers, an own header
is an X- header on one line. Every mistake names its field and what to write there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from gateway.config_values import GIVEN
from gateway.sip.address import Uri
from gateway.sip.grammar import SipError
from gateway.text import cleaned

from .carrier import SAFE, Carrier, same
from .exchange import Destination

RING = 60.0  # s that it rings, where the order does not say
LONGEST_RING = 300.0  # s; proxies give up after 180 without a word
MOST = 32  # variables, or headers
DIALLING = "gateway"  # who calls, where nobody says it

_NEEDED = "outbound, register or users are needed"
_SEPARATORS = re.compile(r"[ ().\-/]")
_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_FROM = re.compile(r"\+?[0-9]{1,20}")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_HEADER = re.compile(r"[Xx]-[A-Za-z0-9!%*+._~-]{1,60}")
_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,?/%]{1,128}")  # of a URI: no password, no parameters


class OrderError(Exception):
    """An order that cannot be carried out: which field is wrong, and why."""

    def __init__(self, param: str | None, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.message = message
        self.status = status  # HTTP's


@dataclass(frozen=True, slots=True)
class Order:
    """A call that is to be made."""

    to: str  # a number, or a tel: or sip: URI
    agent: str
    trunk: str | None = None  # None: the only one that can dial `to`
    from_: str | None = None  # the number that the callee shall see
    variables: Mapping[str, str] = field(default_factory=dict)  # for the agent's instructions
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = RING  # s


def read(body: Any) -> Order:
    """An order out of JSON; raises OrderError."""
    if not isinstance(body, dict):
        raise OrderError(None, "expected a JSON object")
    known = ("to", "agent", "trunk", "from", "variables", "headers", "timeout", "wait")
    for name in body:
        if name not in known:
            raise OrderError(cleaned(str(name), 64), f"unknown field; known: {', '.join(known)}")
    given = {name: value for name, value in body.items() if value is not None}
    return Order(
        to=_text(given, "to", "the number to call, or a tel: or sip: URI"),
        agent=_text(given, "agent", "the name of an agent"),
        trunk=_text(given, "trunk", "the name of a trunk") if "trunk" in given else None,
        from_=_from(given),
        variables=_variables(given.get("variables", {})),
        headers=_headers(given.get("headers", {})),
        timeout=_timeout(given.get("timeout", RING)),
    )


def choose(order: Order, carriers: Mapping[str, Carrier]) -> Carrier:
    """The trunk of an order: as named, or the only one for whom it is to; raises OrderError."""
    able = ", ".join(sorted(carriers)) or "none"
    if order.trunk is not None:
        if carrier := carriers.get(order.trunk):
            return carrier
        message = f"no trunk of this name can dial ({_NEEDED}); can: {able}"
        raise OrderError("trunk", message, status=404)
    if not carriers:
        raise OrderError("trunk", f"no trunk can dial: {_NEEDED}")
    fitting = [it for it in carriers.values() if it.uri or _user(order.to, it)]
    if len(fitting) == 1:
        return fitting[0]
    if len(carriers) == 1:
        return next(iter(carriers.values()))
    raise OrderError("trunk", f"which trunk? these can dial: {able}")


def destination(order: Order, carrier: Carrier) -> Destination:
    """Whom it calls, and how; raises OrderError."""
    from_user = quote(order.from_ or carrier.user or DIALLING, safe=SAFE)
    if user := _user(order.to, carrier):
        made = carrier.to_phone(user, from_user, order.headers)
        return replace(made, timeout=order.timeout)
    if carrier.uri is None:
        there = ", ".join(sorted(carrier.users))
        message = f"{carrier.name} has no user of this name; there are: {there}"
        raise OrderError("to", message, status=404)
    target, route = _target(order.to, carrier)
    return Destination(
        target=str(target),
        route=str(route) if route else None,
        from_user=from_user,
        from_host=carrier.host,
        headers=order.headers,
        credentials=carrier.credentials,
        timeout=order.timeout,
    )


def _user(to: str, carrier: Carrier) -> str | None:
    """The user of the trunk who is meant, whose phone registers with us."""
    if ":" not in to:
        return next((it for it in (to, _SEPARATORS.sub("", to)) if it in carrier.users), None)
    try:
        uri = Uri.parse(to)
    except SipError:
        return None
    return None if uri.params or uri.headers else carrier.user_of(uri)


def _target(to: str, carrier: Carrier) -> tuple[Uri, Uri | None]:
    """The Request-URI, and the proxy on the way where that does not say it."""
    if to.lower().startswith(("sip:", "sips:")):
        return _sip(to, carrier)
    if to.lower().startswith("tel:"):
        number, _, params = to[4:].partition(";")
        if params and not params.lower().startswith("phone-context="):
            raise OrderError("to", "expected a tel: URI without parameters")
    else:
        number = to
    number = _SEPARATORS.sub("", number)
    if not _NUMBER.fullmatch(number):
        raise OrderError("to", "expected a number (+, digits, * and #), or a tel: or sip: URI")
    return carrier.number(quote(number, safe="+*"))


def _sip(to: str, carrier: Carrier) -> tuple[Uri, Uri | None]:
    way = carrier.proxy
    try:
        uri = Uri.parse(to)
    except SipError:
        raise OrderError("to", "expected a sip: URI like sip:100@pbx.example") from None
    if not uri.user or not _USER.fullmatch(uri.user):
        raise OrderError("to", "expected a sip: URI with a user, without password or parameters")
    if uri.headers or uri.params:
        raise OrderError("to", "expected a sip: URI without parameters and headers")
    if same(uri, way):
        return Uri(uri.scheme, uri.user, way.host, way.port, way.params), None
    return uri, way


def _text(given: Mapping[str, Any], name: str, what: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > 256:
        raise OrderError(name, f"expected {what}")
    return value.strip()


def _from(given: Mapping[str, Any]) -> str | None:
    if "from" not in given:
        return None
    number = _SEPARATORS.sub("", _text(given, "from", "a number"))
    if not _FROM.fullmatch(number):
        raise OrderError("from", "expected a number: + and at most 20 digits")
    return number


def _pairs(name: str, value: Any, pattern: re.Pattern[str], what: str) -> dict[str, str]:
    """A small object of texts; each value on one line, without what does not show."""
    if not isinstance(value, dict) or len(value) > MOST:
        raise OrderError(name, f"expected an object of at most {MOST} texts")
    for key, text in value.items():
        if not pattern.fullmatch(key):
            raise OrderError(name, f"expected {what}, not {cleaned(key, 64)!r}")
        if not isinstance(text, str):
            raise OrderError(f"{name}.{key}", "expected a text")
    return {key: cleaned(text).strip() for key, text in value.items()}


def _variables(value: Any) -> Mapping[str, str]:
    pairs = _pairs("variables", value, _WORD, "names of letters, digits, _ and -")
    for key in pairs:
        if key in GIVEN:
            raise OrderError(f"variables.{key}", "expected another name: it is there already")
    return pairs


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = _pairs("headers", value, _HEADER, "names that begin with X-")
    return tuple((key, text) for key, text in pairs.items() if text)


def _timeout(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 1 <= value <= LONGEST_RING:
        raise OrderError("timeout", f"expected seconds, from 1 to {LONGEST_RING:.0f}")
    return float(value)
