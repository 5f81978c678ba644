"""A dialog: tags, CSeq, route set, remote target (RFC 3261 §12).

Pure. A call that we place has one early dialog for each tag that rings (`establish`), of which one
is confirmed. Left out on purpose: the sips rule of §12.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .address import NameAddr, Uri
from .grammar import SipError
from .message import Headers, Request, Response


class Dialog:
    def __init__(
        self,
        *,
        call_id: str,
        local: str,
        remote: str,
        target: str,
        route_set: list[str],
        local_cseq: int,
        remote_cseq: int | None,
    ) -> None:
        self.call_id = call_id
        self.local, self.remote = local, remote  # From and To of what we send, tags and all
        self.remote_tag = NameAddr.parse(remote).tag or ""  # null of RFC 2543 peers, §12.1.1
        self.target = target
        self.route_set = route_set
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq

    @classmethod
    def accept(cls, request: Request, tag: str) -> Dialog:
        """The dialog that our answer to this request makes (§12.1.1)."""
        headers = request.headers
        return cls(
            call_id=headers.call_id,
            local=f"{headers.get('To')};tag={tag}",
            remote=headers.get("From") or "",
            target=contact_of(request) or _sip(headers.from_.uri) or request.uri,  # RFC 2543 §6.13
            route_set=headers.elements("Record-Route"),
            local_cseq=0,
            remote_cseq=headers.cseq.number,
        )

    @classmethod
    def establish(cls, request: Request, response: Response) -> Dialog:
        """The dialog that this answer to our request makes (§12.1.2)."""
        return cls(
            call_id=request.headers.call_id,
            local=request.headers.get("From") or "",
            remote=response.headers.get("To") or "",
            target=contact_of(response) or request.uri,
            route_set=response.headers.elements("Record-Route")[::-1],
            local_cseq=request.headers.cseq.number,
            remote_cseq=None,
        )

    def confirm(self, response: Response) -> None:
        """The 2xx to our INVITE came: only its route set counts from now on (§13.2.2.4)."""
        self.route_set = response.headers.elements("Record-Route")[::-1]
        self.refresh(response)

    def owns(self, request: Request) -> bool:
        """Is this request the peer's, within this dialog (§12.2.2)? Our own tag is known."""
        headers = request.headers
        return headers.call_id == self.call_id and (headers.from_.tag or "") == self.remote_tag

    def in_order(self, request: Request) -> bool:
        """Note the peer's CSeq; False if it does not go up (§12.2.2). Gaps are legal."""
        number = request.headers.cseq.number
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh(self, message: Request | Response) -> None:
        """Follow the peer to a new Contact (§12.2.1.2, §12.2.2); the route set stays."""
        self.target = contact_of(message) or self.target

    @property
    def next_hop(self) -> Uri | None:
        """Whom our requests go to: the first route, strict or loose, else the target (§8.1.2).

        None if that is no address: a route of the peer's that nobody could follow.
        """
        try:
            first = NameAddr.parse(self.route_set[0]).uri if self.route_set else None
            return first or Uri.parse(self.target)
        except SipError:
            return None

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """Build the next request of this dialog, still without Via (§12.2.1.1)."""
        return self._build(method, self.next_cseq(), headers, body)

    def next_cseq(self) -> int:
        """Take the number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def ack(self, cseq: int, headers: Iterable[tuple[str, str]] = ()) -> Request:
        """Build the ACK of a 2xx to our INVITE number `cseq`, without Via (§13.2.2.4)."""
        return self._build("ACK", cseq, headers, b"")

    def _build(
        self, method: str, cseq: int, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Request:
        uri, routes = self._way()
        fields = [
            *(("Route", route) for route in routes),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        return Request(method, uri, Headers([*fields, *headers]), body)

    def _way(self) -> tuple[str, list[str]]:
        """Request-URI and Route."""
        if not self.route_set:
            return self.target, []
        try:
            first = NameAddr.parse(self.route_set[0]).uri
        except SipError:
            return self.target, self.route_set  # the peer's own mistake goes back to it
        if first.param("lr") is not None:
            return self.target, self.route_set
        strict = str(Uri(first.scheme, first.user, first.host, first.port, first.params))
        return strict, [*self.route_set[1:], f"<{self.target}>"]


def contact_of(message: Request | Response) -> str | None:
    """Return the URI of the first Contact, or None if there is none that is a SIP URI."""
    try:
        uri = NameAddr.parse("".join(message.headers.elements("Contact")[:1])).uri
    except SipError:
        return None
    return _sip(uri)


def _sip(uri: Uri) -> str | None:
    return str(replace(uri, headers="")) if uri.scheme in {"sip", "sips"} else None
