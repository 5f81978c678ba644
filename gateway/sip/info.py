"""Digits in INFO (RFC 6086; the use without a package, which everybody has): two body formats.

Pure. Nobody standardised them; this is what Cisco began and switches and phones send:

    application/dtmf-relay    Signal=5 and Duration=160 (ms), a line each; * and # also as 10 and 11
    application/dtmf          the digit alone, or its number

Left out on purpose: the duration of what came (a digit is a digit), hook flash (16).
"""

from __future__ import annotations

import re

from .message import Request
from .uas import Rejection

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"
DTMF_TYPES = (RELAY, PLAIN)
DURATION_MS = 160  # what most send
MAX_DIGITS = 32  # of one INFO

_SIGNAL = re.compile(rb"[ \t]*signal[ \t]*=[ \t]*([^ \t]{1,2})[ \t]*", re.IGNORECASE)
_ALONE = re.compile(rb"[ \t]*([^ \t]{1,2})[ \t]*")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENTS = "0123456789*#ABCD"  # by their numbers in RFC 4733
_DIGITS = {
    **{digit.encode(): digit for digit in _EVENTS},
    **{digit.lower().encode(): digit for digit in "ABCD"},
    **{str(number).encode(): digit for number, digit in enumerate(_EVENTS)},
}


def inspect_info(content_type: str, request: Request) -> Rejection | None:
    """Say why an INFO cannot be taken (RFC 6086 §4.2.2); one without a body always can."""
    if content_type in DTMF_TYPES or not (request.body or request.headers.get("Info-Package")):
        return None
    if request.headers.get("Info-Package"):
        return Rejection(469, (("Recv-Info", ""),))
    return Rejection(415, (("Accept", ", ".join(DTMF_TYPES)),))


def digits(content_type: str, body: bytes) -> list[str]:
    """Read the digits 0-9 * # A-D; none where the type is not one of ours, or the body no digit.

    `content_type` is in lower case, without parameters.
    """
    if content_type not in DTMF_TYPES:
        return []
    lines = _LINE_END.split(body)
    found = [match[1] for line in lines if (match := _SIGNAL.fullmatch(line))]
    if not found and content_type == PLAIN:
        found = [match[1] for line in lines[:1] if (match := _ALONE.fullmatch(line))]
    return [_DIGITS[signal] for signal in found[:MAX_DIGITS] if signal in _DIGITS]


def relay(digit: str, duration_ms: int = DURATION_MS) -> tuple[str, bytes]:
    """Write one digit as Cisco does: a content type and a body. ValueError for what is none."""
    return RELAY, f"Signal={_checked(digit)}\r\nDuration={duration_ms}\r\n".encode()


def plain(digit: str) -> tuple[str, bytes]:
    """Write one digit alone. ValueError for what is none."""
    return PLAIN, f"{_checked(digit)}\r\n".encode()


def _checked(digit: str) -> str:
    if len(digit) != 1 or digit not in _EVENTS:
        raise ValueError(f"not a digit: {digit!r}")
    return digit
