"""Introduction: what an INVITE says of who calls, and how much of it is believed. Pure.

From, the display name and User-Agent are anybody's words: they are shown, and decide nothing. What
the network asserts (RFC 3325), where the call was diverted on its way (RFC 5806, RFC 7044) and the
trunk's own X- headers are taken only from a trunk that is trusted; from any other they are not even
kept. Names of headers have one form since sip/message.py read them, so that none of them slips past
by a blank before its colon, a fold or another case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.sip.identity import asserted
from gateway.sip.message import Headers
from gateway.text import CALLER_ID, cleaned

MAX_HEADERS = 32  # that a record keeps
KEPT = frozenset({"p-asserted-identity", "privacy", "diversion", "history-info", "user-to-user"})


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who calls, as far as it may be used."""

    from_: str | None  # the user of From, for people
    number: str | None  # of who calls, for the agent: what the network asserts, else From's user
    headers: dict[str, str] = field(default_factory=dict)  # for the record, for people
    header: Callable[[str], str | None] = lambda name: None  # for the agent's variables, as it came


def introduce(headers: Headers, *, trusted: bool) -> Introduction:
    """Read an INVITE's headers; `trusted`: its trunk is."""
    user = headers.from_.uri.name
    from_ = cleaned(user, CALLER_ID) or None
    if not trusted:
        return Introduction(from_, user or None)
    known = asserted(headers)
    number = user if known.private else known.number or user
    return Introduction(from_, number or None, _kept(headers), headers.get)


def _kept(headers: Headers) -> dict[str, str]:
    """Those of the network and X-: each once, as it is spelt first, its values in their order."""
    spelling: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in headers:
        key = name.lower()
        if key in KEPT or key.startswith("x-"):
            if key not in values and len(values) == MAX_HEADERS:
                continue
            spelling.setdefault(key, cleaned(name, CALLER_ID))
            values.setdefault(key, []).append(value)
    return {spelling[key]: cleaned(", ".join(it)) for key, it in values.items()}
