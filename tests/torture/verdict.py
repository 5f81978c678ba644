"""A hostile or strange message with its verdict: how the tables of RFC 4475 and 5118 are written.

A user agent has three ways with a message: it serves it, it says why not, or it is silent. Each
case names one, and what a parser has to have read where it could read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from textwrap import dedent

from gateway.sip.address import NameAddr, Uri, Via
from gateway.sip.message import CSeq, Headers, Request, Response

TAKEN = 100  # an INVITE that becomes a call: 100 at once, the rest is its owner's
SILENCE = 0

OFFER = (
    b"v=0\r\no=- 11 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0 8\r\nm=video 40002 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
)


@dataclass(frozen=True)
class Case:
    """`read` None: the parser refuses it. `answer`: a status, TAKEN or SILENCE.

    `says`: headers of the answer, whole. `over_tcp`: what is answered there, where that differs.
    """

    section: str
    name: str
    message: bytes
    answer: int
    read: Mapping[str, object] | None = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    over_tcp: int | None = None

    def __str__(self) -> str:
        return f"{self.section}-{self.name}"


class View:
    """What was read of a message, by the names that the tables use."""

    def __init__(self, message: Request | Response) -> None:
        self.message = message
        self.headers: Headers = message.headers

    def __getitem__(self, path: str) -> object:
        """`to.tag`, `contacts`, `contact.uri.params`; with a capital: the values of a header."""
        return self.headers.all(path) if path[0].isupper() else attrgetter(path)(self)

    @property
    def method(self) -> str:
        assert isinstance(self.message, Request)
        return self.message.method

    @property
    def uri(self) -> Uri:
        assert isinstance(self.message, Request)
        return Uri.parse(self.message.uri)

    @property
    def status(self) -> int:
        assert isinstance(self.message, Response)
        return self.message.status

    @property
    def reason(self) -> str:
        assert isinstance(self.message, Response)
        return self.message.reason

    @property
    def body(self) -> bytes:
        return self.message.body

    @property
    def to(self) -> NameAddr:
        return self.headers.to

    @property
    def sender(self) -> NameAddr:
        return self.headers.from_

    @property
    def via(self) -> Via:
        return self.headers.via

    @property
    def vias(self) -> list[str]:
        return [str(Via.parse(via)) for via in self.headers.elements("Via")]

    @property
    def cseq(self) -> CSeq:
        return self.headers.cseq

    @property
    def contact(self) -> NameAddr:
        return NameAddr.parse(self.headers.elements("Contact")[0])

    @property
    def contacts(self) -> list[str]:
        return [str(NameAddr.parse(contact)) for contact in self.headers.elements("Contact")]


def sip(head: str, body: bytes = b"") -> bytes:
    """A message from its lines; `{length}` is the body's."""
    lines = dedent(head).lstrip("\n").rstrip("\n").replace("{length}", str(len(body)))
    return lines.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
