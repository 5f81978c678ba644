"""What this user agent writes into its messages: RFC 3261 §8.1.1 and §8.2.6.

Pure; randomness is handed in as `token`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable

from .address import Via
from .event import Address, Flow
from .grammar import hostport
from .layer import MAGIC_COOKIE
from .message import Headers, Request, Response
from .scope import is_hidden, parse_ip

METHODS = (
    "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY",
)  # fmt: skip
ALLOW = ("Allow", ", ".join(METHODS))
EXTENSIONS = ("100rel", "timer", "replaces", "norefersub")  # RFC 3262, 4028, 3891, 4488
SUPPORTED = ("Supported", ", ".join(EXTENSIONS))
SDP = "application/sdp"
ACCEPT = ("Accept", SDP)

_PHRASES = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted",
    302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout",
    410: "Gone",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    422: "Session Interval Too Small", 469: "Bad Info Package",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
    500: "Server Internal Error", 501: "Not Implemented", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported",
    600: "Busy Everywhere", 603: "Decline", 606: "Not Acceptable",
}  # fmt: skip

Fields = Iterable[tuple[str, str]]

_Route = tuple[str, Address, str]  # transport, our address, the peer's host
_MAX_MAPPED = 1000
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def phrase(status: int) -> str:
    """Return the reason phrase of a status (§21)."""
    return _PHRASES.get(status, "Unknown")


def capabilities() -> list[tuple[str, str]]:
    """What we can do, as the answer to OPTIONS tells it (§11.2)."""
    return [ALLOW, ACCEPT, SUPPORTED]


def content(body: bytes) -> list[tuple[str, str]]:
    """The header of a session description, if there is one."""
    return [("Content-Type", SDP)] if body else []


class UserAgent:
    def __init__(
        self,
        *,
        token: Callable[[], str],
        name: str,
        public_address: str | None = None,
        session_expires: int = 0,
    ) -> None:
        self.token = token
        self.name = name
        self.session_expires = session_expires  # s, of session_timer.py
        self._public_address = public_address  # a host; the port is the listening one
        public = parse_ip(public_address or "")
        # of use to peers of its family only: whether that is IPv6; None for a name
        self._public_family = None if public is None else public.version == 6
        self._mapped: dict[_Route, Address] = {}

    def sent_by(self, flow: Flow) -> str:
        """Where peers reach us: as told by configuration, else as this one sees us."""
        host, port = self._address(flow)
        return hostport(self._public(flow) or host, port)

    def host(self, flow: Flow) -> str:
        """Our host as this peer sees it, as far as we know."""
        return self._address(flow)[0]

    def learn(self, flow: Flow, via: Via) -> None:
        """Note where a peer saw a request of ours come from, by its response (RFC 3581).

        Behind NAT that is another address than ours. A public peer that cannot reach ours is told
        that one from now on, unless the configuration names one.
        """
        received, rport = via.param("received"), via.param("rport") or ""
        port = int(rport) if _PORT.fullmatch(rport) and int(rport) < 65536 else None
        host = received or via.host  # what we named well is not said again
        if self._public(flow) or not is_hidden(flow.local[0], flow.remote[0]):
            return
        if not (received or port) or is_hidden(host, flow.remote[0]) or parse_ip(host) is None:
            return
        if len(self._mapped) >= _MAX_MAPPED:
            self._mapped.clear()
        self._mapped[_route(flow)] = (host, port or flow.local[1])

    def _address(self, flow: Flow) -> Address:
        return self._mapped.get(_route(flow), flow.local)

    def _public(self, flow: Flow) -> str | None:
        return self._public_address if self._public_family in (None, ":" in flow.local[0]) else None

    def via(self, flow: Flow) -> str:
        """A new Via, and with it a new transaction (§8.1.1.7)."""
        transport, branch = flow.transport.upper(), MAGIC_COOKIE + self.token()
        alias = "" if flow.transport == "udp" else ";alias"  # RFC 5923: it may come back by this
        return f"SIP/2.0/{transport} {self.sent_by(flow)};rport{alias};branch={branch}"

    def contact(self, flow: Flow, user: str | None = None) -> str:
        """Where requests within our dialogs reach us: over what they come by now (§8.1.1.8).

        With a `user`: where calls for that user of ours do, which a registrar is told.
        """
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"<sip:{f'{user}@' if user else ''}{self.sent_by(flow)}{transport}>"

    def respond(
        self,
        request: Request,
        status: int,
        *,
        tag: str,
        reason: str | None = None,
        headers: Fields = (),
        body: bytes = b"",
    ) -> Response:
        """Build a response (§8.2.6.2). `tag` goes into a To that has none, except in a 100."""
        asked = request.headers
        to = asked.get("To") or ""
        if status > 100 and asked.to.tag is None:
            to = f"{to};tag={tag}"
        fields = [
            *(("Via", via) for via in asked.all("Via")),
            ("From", asked.get("From") or ""),
            ("To", to),
            ("Call-ID", asked.call_id),
            ("CSeq", asked.get("CSeq") or ""),
            ("Server", self.name),
        ]
        if status == 100 and (timestamp := asked.get("Timestamp")):
            fields.append(("Timestamp", timestamp))  # §8.2.6.1
        return Response(status, reason or phrase(status), Headers([*fields, *headers]), body)

    def respond_stateless(
        self, request: Request, status: int, *, reason: str | None = None, headers: Fields = ()
    ) -> Response:
        """Build a response that is the same for every copy of the request (§8.2.7)."""
        asked = request.headers
        copied = f"{asked.call_id} {asked.get('From')} {asked.get('CSeq')} {asked.get('Via')}"
        tag = f"{zlib.crc32(copied.encode('utf-8', 'surrogateescape')):08x}"
        return self.respond(request, status, tag=tag, reason=reason, headers=headers)


def _route(flow: Flow) -> _Route:
    return flow.transport, flow.local, flow.remote[0]
