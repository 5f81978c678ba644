"""The rules of RFC 3261 §25 that several files share: lists, parameters, tokens; and `SipError`.

Pure. Everything here is linear in its input: these functions see bytes of strangers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .message import Request

Params = tuple[tuple[str, str | None], ...]

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_MARKS = re.compile(r'["\\<>,;]')


class SipError(ValueError):
    """The peer's mistake.

    `status` is what to answer, with `request` to answer to; None where only silence fits
    (a response, an ACK, a message whose Via, From, To, Call-ID or CSeq cannot be read).
    """

    def __init__(
        self, reason: str, *, status: int | None = None, request: Request | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.request = request


def split(value: str, separator: str) -> list[str]:
    """Split at `separator` (a comma or a semicolon) outside of quotes and angle brackets.

    Empty elements are dropped, white space around the others too (§7.3.1).
    """
    if separator not in value:
        pieces = [value]
    elif '"' not in value and "<" not in value:
        pieces = value.split(separator)
    else:
        pieces = _split_quoted(value, separator)
    return [stripped for piece in pieces if (stripped := piece.strip(" \t"))]


def _split_quoted(value: str, separator: str) -> list[str]:
    pieces: list[str] = []
    begin, escaped, quoted, bracketed = 0, -1, False, False
    for mark in _MARKS.finditer(value):
        at, char = mark.start(), mark[0]
        if at == escaped:
            continue
        if char == "\\" and quoted:
            escaped = at + 1
        elif char == '"' and not bracketed:
            quoted = not quoted
        elif char in "<>" and not quoted:
            bracketed = char == "<"
        elif char == separator and not quoted and not bracketed:
            pieces.append(value[begin:at])
            begin = at + 1
    return [*pieces, value[begin:]]


def parse_params(text: str) -> Params:
    """Read `;name=value;name` as pairs: names in lower case, values as written."""
    return tuple(_param(piece) for piece in split(text, ";"))


def _param(piece: str) -> tuple[str, str | None]:
    name, equals, value = piece.partition("=")
    return name.rstrip(" \t").lower(), value.lstrip(" \t") if equals else None


def format_params(params: Params) -> str:
    """Write pairs as `;name=value;name`."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def param(params: Params, name: str) -> str | None:
    """Return the value of a parameter: "" for one without a value, None for one that is absent."""
    for key, value in params:
        if key == name:
            return value or ""
    return None


def text(value: str) -> str:
    """Make a value fit for people and logs: bytes that no text has become U+FFFD.

    A message keeps such bytes as surrogates, so that what we echo is what we were sent.
    """
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def hostport(host: str, port: int | None) -> str:
    """Write a host, an IPv6 address in brackets, with its port if there is one.

    The interface of a link-local address means something on its own machine only (RFC 4007 §11.2).
    """
    host = host.partition("%")[0]
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"
