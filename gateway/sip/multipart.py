"""Bodies of several parts: RFC 2046 §5.1 as SIP has it (RFC 3261 §7.4.1, RFC 5621).

Pure. Only one part is ever wanted, the session description; a peer may have put something of
another kind beside it (ISUP, a location, a subject's picture). Left out on purpose: multiparts
within multiparts, which are parts of another kind, and encodings other than binary (§7.4).
"""

from __future__ import annotations

import re
from dataclasses import replace

from .agent import SDP
from .grammar import Params, SipError, param, parse_params
from .message import Headers, Request, Response

MAX_PARTS = 8

_KINDS = frozenset({"multipart/mixed", "multipart/alternative", "multipart/related"})
_BOUNDARY = re.compile(
    r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]"
)  # RFC 2046 §5.1.1
_PLAIN = frozenset({"", "identity", "binary", "7bit", "8bit"})


def content_type(headers: Headers) -> tuple[str, Params]:
    """Return the type in lower case, "" if none is told, and its parameters."""
    kind, _, params = (headers.get("Content-Type") or "").partition(";")
    return kind.strip(" \t").lower(), parse_params(params)


def unwrapped(message: Request | Response) -> Request | Response:
    """Return the message with its session description as the body, if that was one of its parts.

    Any other message is returned as it is.
    """
    kind, _ = content_type(message.headers)
    if kind not in _KINDS:
        return message
    sdp = session_description(message.headers, message.body)
    if sdp is None:
        return message
    message.headers.set("Content-Type", SDP)
    return replace(message, body=sdp)


def session_description(headers: Headers, body: bytes) -> bytes | None:
    """Return the SDP of a message or of a part: its body, or the first fitting part of it.

    None if there is none, if there are more than 8 parts, if they are not closed, or if the peer
    requires that a part of another kind be understood (`handling=required`, RFC 3261 §20.11).
    """
    kind, params = content_type(headers)
    if kind == SDP:
        return body
    boundary = (param(params, "boundary") or "").strip('"')
    if kind not in _KINDS or not _BOUNDARY.fullmatch(boundary):
        return None
    try:
        parts = _parts(body, boundary.encode("ascii"))
    except SipError:
        return None
    found = [content for fields, content in parts if _is_session(fields)]
    others = [fields for fields, _ in parts if not _is_session(fields)]
    return found[0] if found and not any(map(_is_required, others)) else None


def _parts(body: bytes, boundary: bytes) -> list[tuple[Headers, bytes]]:
    """Cut at the boundary's lines. What is before the first and after the last is no part."""
    line = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    parts: list[tuple[Headers, bytes]] = []
    begin: int | None = None
    for mark in line.finditer(body):
        if begin is not None:
            parts.append(_part(body[begin : mark.start()]))
        if mark[1]:
            return parts
        if len(parts) == MAX_PARTS:
            raise SipError("too many parts")
        begin = mark.end()
    raise SipError("parts without end")


def _part(data: bytes) -> tuple[Headers, bytes]:
    """Headers and content. `data` begins with the line end of the boundary's own line."""
    blank = re.search(rb"\r?\n\r?\n", data)
    if blank is None:
        raise SipError("a part without content")
    head = data[: blank.start()].decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    lines = re.sub(r"\n[ \t]+", " ", head).split("\n")[1:]
    return Headers.parse(lines)[0], data[blank.end() :]


def _is_session(fields: Headers) -> bool:
    disposition = (fields.get("Content-Disposition") or "session").partition(";")[0]
    return (
        content_type(fields)[0] == SDP
        and disposition.strip(" \t").lower() == "session"
        and all(
            (fields.get(name) or "").strip(" \t").lower() in _PLAIN
            for name in ("Content-Encoding", "Content-Transfer-Encoding")
        )
    )


def _is_required(fields: Headers) -> bool:
    """Said explicitly; left out it would mean the same (RFC 3261 §20.11), and no peer means it."""
    params = parse_params((fields.get("Content-Disposition") or "").partition(";")[2])
    return (param(params, "handling") or "").lower() == "required"
