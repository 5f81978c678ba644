"""Addresses as values: Uri (RFC 3261 §19.1, tel of RFC 3966), NameAddr (§20.10), Via (§20.42).

Pure. Left out on purpose: URI comparison (§19.1.4), which only proxies and registrars need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from .grammar import Params, SipError, format_params, hostport, param, parse_params, text

_HOST: Final = r"\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.\-]{1,255}"
_SIP = re.compile(
    rf'(sips?):(?:([^@\x00-\x20\x7f<>"]+)@)?({_HOST})(?::([0-9]{{1,5}}))?'
    r'(;[^?\x00-\x20\x7f<>"]*)?(\?[^\x00-\x20\x7f<>"]*)?',
    re.IGNORECASE | re.ASCII,
)
_OTHER = re.compile(r'([A-Za-z][A-Za-z0-9+.\-]*):([^\x00-\x20\x7f<>"]+)')
_SENT_BY = re.compile(
    r"SIP[ \t]*/[ \t]*([0-9]{1,5}\.[0-9]{1,5})[ \t]*/"
    rf"[ \t]*([A-Za-z0-9\-]+)[ \t]+({_HOST})"
    r"(?:[ \t]*:[ \t]*([0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_TO_ESCAPE = re.compile(r'[\\"\0]')
_END_OF_USER = re.compile("[:;]")


def _port(digits: str | None) -> int | None:
    if digits is None:
        return None
    port = int(digits)  # the pattern let ASCII digits through, nothing else
    if not 1 <= port <= 65535:
        raise SipError(f"port {port}")
    return port


@dataclass(frozen=True, slots=True)
class Uri:
    """A sip:, sips: or tel: URI. Another scheme keeps all that follows it in `user`."""

    scheme: str  # in lower case
    user: str | None  # as written, escapes and all; the number of a tel: URI
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: str = ""  # what follows "?"

    @classmethod
    def parse(cls, value: str) -> Uri:
        """Raise SipError unless `value` is a URI."""
        if match := _SIP.fullmatch(value):
            scheme, user, host, port, params, headers = match.groups()
            return cls(
                scheme.lower(),
                user,
                host.replace(
                    ":::", "::"
                ),  # RFC 3261's grammar has a colon too many, RFC 5118 §4.10
                _port(port),
                parse_params(params) if params else (),
                headers[1:] if headers else "",
            )
        match = _OTHER.fullmatch(value)
        if match is None or match[1].lower() in {"sip", "sips"}:
            raise SipError("not a URI")
        if match[1].lower() == "tel":
            number, _, params = match[2].partition(";")
            return cls("tel", number, params=parse_params(params))
        return cls(match[1].lower(), match[2])

    @property
    def name(self) -> str:
        """The user for people and for routing, escapes resolved.

        Without password and without the user's own parameters: `100;phone-context=x` is 100
        (§19.1.6, and telephone-subscriber in §25.1).
        """
        return text(unquote(_END_OF_USER.split(self.user or "", maxsplit=1)[0], errors="replace"))

    def param(self, name: str) -> str | None:
        """Return a parameter: "" for one without a value, None for one that is absent."""
        return param(self.params, name)

    def __str__(self) -> str:
        user = self.user or ""
        if self.host:
            user = f"{user}@" if user else ""
            user += hostport(self.host, self.port)
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{format_params(self.params)}{headers}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """What From, To, Contact, Route and Record-Route hold: a name, a URI, and parameters."""

    display: str  # for people: quotes and escapes resolved
    uri: Uri
    params: Params = ()  # the header's own: without <> all that follows ";" (§20.10)

    @classmethod
    def parse(cls, value: str) -> NameAddr:
        """Raise SipError unless `value` is one name-addr or addr-spec with parameters."""
        value = value.strip(" \t")
        display = ""
        if value.startswith('"'):
            quoted = _QUOTED.match(value)
            if quoted is None:
                raise SipError("quote without end")
            display = _ESCAPE.sub(r"\1", quoted[1])
            blank, bracket, rest = value[quoted.end() :].partition("<")
            if blank.strip(" \t") or not bracket:
                raise SipError("no address after the name")
        else:
            display, bracket, rest = value.partition("<")
        if not bracket:
            uri, _, params = value.partition(";")
            return cls("", Uri.parse(uri.rstrip(" \t")), parse_params(params))
        uri, closed, params = rest.partition(">")
        params = params.lstrip(" \t")
        if not closed or (params and not params.startswith(";")):
            raise SipError("address without end")
        return cls(text(display.strip(" \t")), Uri.parse(uri.strip(" \t")), parse_params(params))

    @property
    def tag(self) -> str | None:
        return param(self.params, "tag")

    def __str__(self) -> str:
        escaped = _TO_ESCAPE.sub(r"\\\g<0>", self.display)
        display = f'"{escaped}" ' if escaped else ""
        return f"{display}<{self.uri}>{format_params(self.params)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a message's way (§20.42)."""

    transport: str  # in upper case
    host: str
    port: int | None = None
    params: Params = ()
    version: str = "2.0"  # of the hop; who speaks another one is told so in its own words (505)

    @classmethod
    def parse(cls, value: str) -> Via:
        """Raise SipError unless `value` is one Via element."""
        hop, _, params = value.partition(";")
        match = _SENT_BY.fullmatch(hop.strip(" \t"))
        if match is None:
            raise SipError("not a Via")
        version, transport, host, port = match.groups()
        return cls(transport.upper(), host, _port(port), parse_params(params), version)

    @property
    def branch(self) -> str:
        return param(self.params, "branch") or ""

    def param(self, name: str) -> str | None:
        """A parameter's value by its name in lower case; "" if it has none."""
        return param(self.params, name)

    @property
    def sent_by(self) -> str:
        """Host and port, as transactions are told apart by them (§17.2.3)."""
        return f"{self.host.lower()}:{self.port or 5060}"

    def seen_from(self, host: str, port: int) -> Via:
        """Note where the message really came from: received (§18.2.1) and rport (RFC 3581 §4)."""
        host = host.partition("%")[0]  # the interface here means nothing there
        wants_port = param(self.params, "rport") is not None
        if not wants_port and self.host.strip("[]").lower() == host.lower():
            return self
        kept = tuple(pair for pair in self.params if pair[0] not in {"received", "rport"})
        rport = (("rport", str(port)),) if wants_port else ()
        return replace(self, params=(*kept, ("received", host), *rport))

    def __str__(self) -> str:
        hop = hostport(self.host, self.port)
        return f"SIP/{self.version}/{self.transport} {hop}{format_params(self.params)}"
