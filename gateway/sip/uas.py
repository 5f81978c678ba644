"""Inspection of a request before anything is done for it: RFC 3261 §8.2.1 to §8.2.3.

Pure. Left out on purpose, because they are for proxies: Proxy-Require (§20.29), and 483 for a
Max-Forwards of 0 (§16.3): a request may end its way here at its last hop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .address import NameAddr, Uri
from .agent import ACCEPT, ALLOW, EXTENSIONS, METHODS, SDP
from .grammar import SipError
from .message import Request, Response
from .replaces import replaced_by

_HOPS = re.compile(r"0{0,32}[0-9]{1,3}")
# of RFC 3261, 3262, 3311, 3428, 3515, 3903, 6086 and 6665
_ELSEWHERE = frozenset(
    {"INFO", "MESSAGE", "NOTIFY", "PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"}
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """What to answer instead of serving the request."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None


def inspect(request: Request, *, registrar: bool = False) -> Rejection | None:
    """Say why a request cannot be served, or None. Neither for ACK nor for CANCEL (§8.2.2.3).

    `registrar`: REGISTER is served, which we do not tell everybody.
    """
    return (
        (None if registrar and request.method == "REGISTER" else _inspect_method(request))
        or _inspect_uri(request)
        or _inspect_hops(request)
        or _inspect_extensions(request)
        or _inspect_replaces(request)
        or (_inspect_invite(request) if request.method == "INVITE" else None)
        or (_inspect_content(request) if request.method in {"PRACK", "UPDATE"} else None)
    )


def _inspect_method(request: Request) -> Rejection | None:
    """405 to one that is known and not served here (§8.2.1), 501 to any other (§21.5.2)."""
    if request.method in METHODS:
        return None
    return Rejection(405 if request.method in _ELSEWHERE else 501, (ALLOW,))


def _inspect_uri(request: Request) -> Rejection | None:
    try:
        uri = Uri.parse(request.uri)
    except SipError:
        return Rejection(400, reason="Bad Request-URI")
    return None if uri.scheme in {"sip", "sips", "tel"} else Rejection(416)


def _inspect_hops(request: Request) -> Rejection | None:
    value = request.headers.get("Max-Forwards")
    if value is None:
        return None  # RFC 2543 did not have it
    sound = _HOPS.fullmatch(value) and int(value) <= 255  # §20.22
    return None if sound else Rejection(400, reason="Bad Max-Forwards")


def _inspect_extensions(request: Request) -> Rejection | None:
    required = request.headers.elements("Require")
    unknown = [tag for tag in required if tag.lower() not in EXTENSIONS]
    return Rejection(420, (("Unsupported", ", ".join(unknown)),)) if unknown else None


def _inspect_replaces(request: Request) -> Rejection | None:
    try:
        replaced_by(request)
    except SipError as error:
        return Rejection(400, reason=error.reason)
    return None


def _inspect_invite(request: Request) -> Rejection | None:
    return _inspect_contact(request) or _inspect_content(request) or _inspect_accept(request)


def _inspect_accept(request: Request) -> Rejection | None:
    """Our answer is a session description, or there is none (RFC 4475 §3.3.15)."""
    if request.headers.get("Accept") is None:
        return None  # the same as application/sdp, §20.1
    ranges = (tag.partition(";")[0] for tag in request.headers.elements("Accept"))
    fit = any(it.strip(" \t").lower() in {SDP, "application/*", "*/*"} for it in ranges)
    return None if fit else Rejection(406)


def _inspect_contact(request: Request) -> Rejection | None:
    """An INVITE says where the dialog's requests go (§8.1.1.8).

    One of RFC 2543, which has no branch to know it by, need not: they go to its From (§6.13 there).
    """
    if request.headers.get("Contact") is None and not request.headers.via.branch:
        return None
    try:
        contact = NameAddr.parse("".join(request.headers.elements("Contact")[:1]))
    except SipError:
        return Rejection(400, reason="Bad Contact")
    sip = contact.uri.scheme in {"sip", "sips"}
    return None if sip else Rejection(400, reason="Bad Contact")


def _inspect_content(request: Request) -> Rejection | None:
    if not request.body:
        return None
    headers = request.headers
    if is_sdp(request):
        encoding = (headers.get("Content-Encoding") or "identity").lower()
        return (
            None if encoding == "identity" else Rejection(415, (("Accept-Encoding", "identity"),))
        )
    return Rejection(415, (ACCEPT,))


def is_sdp(message: Request | Response) -> bool:
    """Is the body declared to be a session description?"""
    content = (message.headers.get("Content-Type") or "").partition(";")[0]
    return content.strip(" \t").lower() == SDP
