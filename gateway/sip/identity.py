"""Who is behind a request, in the words of a peer that is trusted to know: values of headers.

RFC 3325 P-Asserted-Identity, RFC 3323 Privacy, RFC 5806 Diversion, RFC 7044 (and 4244)
History-Info, RFC 7433 User-to-User. Pure, and tolerant: what cannot be read is left out, what is
too much is cut off, nothing raises. Nothing here is proof: whether the peer may say such things at
all is the caller's to decide, before it asks. Left out on purpose: P-Preferred-Identity, a wish of
a phone to its own proxy (RFC 3325 §9.2), and writing these headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from .address import NameAddr, Uri
from .grammar import SipError, param, parse_params, text
from .message import Headers

MAX_ENTRIES: Final = 32  # of one header that are looked at
MAX_LENGTH: Final = 1024  # characters of an entry

_SEPARATORS = re.compile(r"[-.() ]")  # RFC 3966 §5.1.1, for people's eyes
_NUMBER = re.compile(r"\+?[0-9*#]+")
_INDEX = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){0,31}")
_CAUSE = re.compile(r"[1-6][0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,3}")
_WITHHELD: Final = frozenset({"id", "user"})  # RFC 3325 §9.3, RFC 3323 §4.2


@dataclass(frozen=True, slots=True)
class Diversion:
    """A number that the call was for, and why it is not any more (RFC 5806 §4)."""

    uri: Uri
    display: str
    reason: str  # in lower case: user-busy, no-answer, unconditional, ...; unknown
    counter: int  # diversions that this entry stands for
    private: bool


@dataclass(frozen=True, slots=True)
class Retarget:
    """One step of a call on its way (RFC 7044 §5)."""

    index: str  # "1.1.2": its place in the tree of steps; "" where it has none
    uri: Uri
    display: str
    cause: int | None  # the SIP status for which the one before it was given up (RFC 4458 too)


@dataclass(frozen=True, slots=True)
class Asserted:
    """What the headers of one request say."""

    identities: tuple[NameAddr, ...] = ()  # of P-Asserted-Identity: one sip or sips, one tel
    privacy: frozenset[str] = frozenset()  # in lower case
    diversions: tuple[Diversion, ...] = ()  # the latest one first
    history: tuple[Retarget, ...] = ()
    user_to_user: str | None = None

    @property
    def number(self) -> str | None:
        """The number or name of who calls; that of the tel: URI where there are two."""
        by_scheme = sorted(self.identities, key=lambda it: it.uri.scheme != "tel")
        return _plain(by_scheme[0].uri) if by_scheme else None

    @property
    def private(self) -> bool:
        """Whoever calls wants to be known to the network only, not to whom she calls."""
        return bool(self.privacy & _WITHHELD)


def asserted(headers: Headers) -> Asserted:
    """Read them all."""
    return Asserted(
        identities=_identities(headers),
        privacy=_privacy(headers),
        diversions=_diversions(headers),
        history=_history(headers),
        user_to_user=text(", ".join(headers.all("User-to-User")))[:MAX_LENGTH] or None,
    )


def _identities(headers: Headers) -> tuple[NameAddr, ...]:
    """The first of each kind; a second one of a kind is not allowed (RFC 3325 §9.1)."""
    found: dict[bool, NameAddr] = {}
    for address in _addresses(headers, "P-Asserted-Identity"):
        if address.uri.scheme in {"sip", "sips", "tel"}:
            found.setdefault(address.uri.scheme == "tel", address)
    return tuple(found.values())


def _privacy(headers: Headers) -> frozenset[str]:
    values = [word for value in headers.all("Privacy") for word in re.split("[;, \t]", value)]
    return frozenset(word.lower() for word in values[:MAX_ENTRIES] if word)


def _diversions(headers: Headers) -> tuple[Diversion, ...]:
    return tuple(
        Diversion(
            address.uri,
            text(address.display),
            _word(address, "reason") or "unknown",
            int(count) if _COUNT.fullmatch(count := _word(address, "counter")) else 1,
            _word(address, "privacy") not in {"", "off"},
        )
        for address in _addresses(headers, "Diversion")
    )


def _history(headers: Headers) -> tuple[Retarget, ...]:
    return tuple(
        Retarget(
            index if _INDEX.fullmatch(index := _word(address, "index")) else "",
            address.uri,
            text(address.display),
            _cause(address.uri),
        )
        for address in _addresses(headers, "History-Info")
    )


def _cause(uri: Uri) -> int | None:
    """From the Reason that the URI carries as a header, else its cause parameter (RFC 4458)."""
    for header in uri.headers.split("&"):
        name, _, value = header.partition("=")
        if name.lower() == "reason":
            protocol, _, rest = unquote(value, errors="replace").partition(";")
            cause = param(parse_params(rest), "cause") or ""
            if protocol.strip().upper() == "SIP" and _CAUSE.fullmatch(cause):
                return int(cause)
    cause = uri.param("cause") or ""
    return int(cause) if _CAUSE.fullmatch(cause) else None


def _addresses(headers: Headers, name: str) -> list[NameAddr]:
    found = []
    for element in headers.elements(name)[:MAX_ENTRIES]:
        try:
            found.append(NameAddr.parse(element[:MAX_LENGTH]))
        except SipError:
            continue
    return found


def _word(address: NameAddr, name: str) -> str:
    return (param(address.params, name) or "").strip('"').lower()


def _plain(uri: Uri) -> str:
    """A number without what is for the eyes only; any other name as it is."""
    bare = _SEPARATORS.sub("", uri.name)
    return bare if _NUMBER.fullmatch(bare) else uri.name
