"""SIP messages as values (RFC 3261 §7): bytes to message, message to bytes.

Pure. Lean: a message is cut into lines and names once, and a header is understood only when it
is asked for. Text is kept byte for byte (what is not UTF-8 as surrogates), so what we echo is
what we were sent. Compact names are expanded (§7.3.3), folded lines joined (§7.3.1), a lone LF
ends a line too. Content-Length is arithmetic, not content: checked on the way in, written on
the way out, never among the headers. Bodies of several parts are multipart.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from .address import NameAddr, Via
from .grammar import TOKEN, SipError, split

MAX_SIZE = 65_536  # bytes
MAX_HEADERS = 128
MAX_CSEQ = 2**31  # §8.1.1.5

_T = TypeVar("_T")

_COMPACT = {
    "v": "via", "f": "from", "t": "to", "m": "contact", "i": "call-id", "l": "content-length",
    "c": "content-type", "k": "supported", "s": "subject", "e": "content-encoding",
    "o": "event", "r": "refer-to", "b": "referred-by", "j": "reject-contact",
    "x": "session-expires", "u": "allow-events", "d": "request-disposition",
    "y": "identity", "a": "accept-contact", "n": "identity-info",
}  # fmt: skip
_NAMES = (
    "Via", "From", "To", "Contact", "Call-ID", "CSeq", "Max-Forwards", "Content-Length",
    "Content-Type", "Supported", "Subject", "Content-Encoding", "Event", "Refer-To",
    "Referred-By", "Reject-Contact", "Session-Expires", "Allow-Events", "Request-Disposition",
    "Identity", "Accept-Contact", "Identity-Info", "Allow", "Accept", "User-Agent", "Server",
    "Record-Route", "Route", "Require", "Unsupported", "Reason", "Date", "Expires",
    "P-Asserted-Identity", "Retry-After", "Warning", "Min-SE", "Diversion", "Privacy",
)  # fmt: skip
_SPELLING = {name.lower(): name for name in _NAMES}
# a name as most peers write it -> (key, spelling); others take the slow way once
_KNOWN = {
    **{spelling: (key, spelling) for key, spelling in _SPELLING.items()},
    **{short: (key, _SPELLING[key]) for short, key in _COMPACT.items()},
}
_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-type")

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\n[ \t]+")
# NUL is legal in a quoted string behind a backslash (quoted-pair, §25.1), and nowhere else
_FORBIDDEN = re.compile(r"[\r\n]|(?<!\\)(?:\\\\)*\0")
_VERSION = re.compile(r"SIP/[0-9]{1,5}\.[0-9]{1,5}", re.IGNORECASE | re.ASCII)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.ASCII)
_CSEQ = re.compile(r"([0-9]{1,32})[ \t]+(\S+)")
_NUMBER = re.compile(r"[0-9]{1,10}")


class CSeq(NamedTuple):
    number: int
    method: str

    @classmethod
    def parse(cls, value: str) -> CSeq:
        """Raise SipError unless `value` is a number and a method; the range is not judged."""
        match = _CSEQ.fullmatch(value)
        if match is None or not TOKEN.fullmatch(match[2]):
            raise SipError("not a CSeq")
        return cls(int(match[1]), match[2])


def _key(name: str) -> str:
    lower = name.lower()
    return _COMPACT.get(lower, lower)


class Headers:
    """Header fields in their order; names compare without regard to case or compact form.

    `add` and `set` raise ValueError for what would not stay one header line. The typed readers
    (`via`, `from_`, `to`, `cseq`, `call_id`) raise SipError; on a message from `parse`, never.
    """

    __slots__ = ("_fields", "_typed")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[tuple[str, str, str]] = []  # key, name, value
        self._typed: dict[str, Any] = {}
        for name, value in fields:
            self.add(name, value)

    @classmethod
    def parse(cls, lines: Iterable[str]) -> tuple[Headers, bool]:
        """Read unfolded lines, without those that are no header; tell whether all were."""
        headers, sound = cls(), True
        fields = headers._fields
        for line in lines:
            name, colon, value = line.partition(":")
            known = _KNOWN.get(name)
            if known is None:
                name = name.rstrip(" \t")  # "TO :" is legal, §7.3.1
                colon = colon if TOKEN.fullmatch(name) else ""
                key = _key(name)
                known = key, _SPELLING.get(key, name)
            if colon:
                fields.append((*known, value.strip(" \t")))
            else:
                sound = False
        return headers, sound

    def get(self, name: str) -> str | None:
        """Return the first value, or None."""
        key = _key(name)
        for other, _, value in self._fields:
            if other == key:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Return the value of every field of this name, one a header line."""
        key = _key(name)
        return [value for other, _, value in self._fields if other == key]

    def elements(self, name: str) -> list[str]:
        """Return the elements of a comma-separated header, over all its lines (§7.3.1)."""
        return [element for value in self.all(name) for element in split(value, ",")]

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        if not TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            raise ValueError(f"not a header: {name!r}: {value!r}")
        key = _key(name)
        self._fields.append((key, _SPELLING.get(key, name), value.strip(" \t")))
        self._typed.pop(key, None)

    def set(self, name: str, value: str) -> None:
        """Replace every field of this name by one at the end."""
        self.remove(name)
        self.add(name, value)

    def remove(self, name: str) -> None:
        """Drop every field of this name."""
        key = _key(name)
        self._fields = [item for item in self._fields if item[0] != key]
        self._typed.pop(key, None)

    def set_top_via(self, via: Via) -> None:
        """Replace the first Via element; the others keep their lines and order."""
        at = next(at for at, item in enumerate(self._fields) if item[0] == "via")
        below = split(self._fields[at][2], ",")[1:]
        self._fields[at] = ("via", "Via", ", ".join([str(via), *below]))
        self._typed["via"] = via

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self._once("via", lambda value: Via.parse("".join(split(value, ",")[:1])))

    @property
    def from_(self) -> NameAddr:
        return self._once("from", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        return self._once("to", NameAddr.parse)

    @property
    def cseq(self) -> CSeq:
        return self._once("cseq", CSeq.parse)

    @property
    def call_id(self) -> str:
        return self._once("call-id", str)

    def _once(self, key: str, parse: Callable[[str], _T]) -> _T:
        if key not in self._typed:
            value = self.get(key)
            if not value:
                raise SipError(f"no {_SPELLING[key]}")
            self._typed[key] = parse(value)
        typed: _T = self._typed[key]
        return typed

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


@dataclass(frozen=True, slots=True)
class Request:
    """ValueError for a method or URI that would not stay one line."""

    method: str  # case matters, §7.1
    uri: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def __post_init__(self) -> None:
        _check_line(f"{self.method} {self.uri}")

    def ack(self, response: Response) -> Request:
        """Build the ACK of a failure response to this INVITE (§17.1.1.3)."""
        return self._companion("ACK", response.headers.get("To") or "")

    def cancel(self) -> Request:
        """Build the CANCEL of this request (§9.1)."""
        return self._companion("CANCEL", self.headers.get("To") or "")

    def _companion(self, method: str, to: str) -> Request:
        """Same branch, same Request-URI, one Via, the Route of the INVITE."""
        mine = self.headers
        headers = Headers(
            [
                ("Via", str(mine.via)),
                *(("Route", route) for route in mine.all("Route")),
                ("Max-Forwards", "70"),
                ("From", mine.get("From") or ""),
                ("To", to),
                ("Call-ID", mine.call_id),
                ("CSeq", f"{mine.cseq.number} {method}"),
            ]
        )
        return Request(method, self.uri, headers)

    def encode(self) -> bytes:
        """Write the message, with its Content-Length."""
        return _encode(f"{self.method} {self.uri} SIP/2.0", self.headers, self.body)

    __bytes__ = encode


@dataclass(frozen=True, slots=True)
class Response:
    """ValueError for a reason that would not stay one line."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def __post_init__(self) -> None:
        _check_line(self.reason)

    def encode(self) -> bytes:
        """Write the message, with its Content-Length."""
        return _encode(f"SIP/2.0 {self.status} {self.reason}", self.headers, self.body)

    __bytes__ = encode


def _check_line(start: str) -> None:
    if _FORBIDDEN.search(start):
        raise ValueError(f"not a start line: {start!r}")


def _encode(start: str, headers: Headers, body: bytes) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def parse(data: bytes) -> Request | Response:
    """Read one datagram (§18.3: what follows the body is dropped).

    Whatever the bytes, this returns a message whose Via, From, To, Call-ID and CSeq can be
    read, or raises SipError.
    """
    if len(data) > MAX_SIZE:
        raise SipError("too large")
    data = data.lstrip(b"\r\n")  # §7.5
    end = _BLANK_LINE.search(data)
    if end is None:
        raise SipError("no end of headers")
    head = data[: end.start()].decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    if "\r" in head or ("\0" in head and _FORBIDDEN.search(head.replace("\n", " "))):
        raise SipError("CR or NUL in a header")  # nothing that we could echo
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
    start, *lines = head.split("\n")
    headers, sound = Headers.parse(lines[:MAX_HEADERS])
    sound = sound and len(lines) <= MAX_HEADERS
    if start[:4].upper() == "SIP/":
        return _response(start, headers, data[end.end() :], sound)
    return _request(start, headers, data[end.end() :], sound)


def _response(start: str, headers: Headers, body: bytes, sound: bool) -> Response:
    match = _STATUS_LINE.fullmatch(start)
    if match is None or not sound:
        raise SipError("not a response")
    _check_headers(headers)
    body = _body(headers, body)
    return Response(int(match[1]), match[2] or "", headers, body)


def _request(start: str, headers: Headers, body: bytes, sound: bool) -> Request:
    method, _, rest = start.rstrip(" \t").partition(" ")  # RFC 4475 §3.1.2.10
    uri, _, version = rest.rpartition(" ")
    if not _VERSION.fullmatch(version):
        raise SipError("not SIP")
    request = Request(method, uri, headers, body)
    try:
        if version.upper() != "SIP/2.0":
            raise SipError("Version Not Supported", status=505)
        if not TOKEN.fullmatch(method) or not uri or any(char in uri for char in " \t<>"):
            raise SipError("Bad Request Line")
        if not sound:
            raise SipError("Bad Header")
        _check_headers(headers)
        if headers.cseq.method != method:
            raise SipError("CSeq Method Differs")
        return Request(method, uri, headers, _body(headers, body))
    except SipError as error:
        status = (error.status or 400) if _answerable(request) else None
        raise SipError(error.reason, status=status, request=request) from None


def _check_headers(headers: Headers) -> None:
    """What every message must have (§8.1.1), once each and in range."""
    keys = [key for key, _, _ in headers._fields]
    for key in _SINGLE:
        if keys.count(key) > 1:
            raise SipError(f"Several {_SPELLING[key]}")
    _read_mandatory(headers)
    _read_vias(headers)
    if headers.cseq.number >= MAX_CSEQ:
        raise SipError("CSeq Out Of Range")


def _read_mandatory(headers: Headers) -> None:
    _ = headers.via, headers.from_, headers.to, headers.call_id, headers.cseq


def _read_vias(headers: Headers) -> None:
    """Each of several in one line has to be one; what is none is not for saying back."""
    bad = False
    for at, (key, name, value) in enumerate(headers._fields):
        if key == "via" and "," in value:
            vias = split(value, ",")
            good = [via for via in vias if _is_via(via)]
            if len(good) < len(vias):
                headers._fields[at], bad = (key, name, ", ".join(good)), True
    if bad:
        raise SipError("Bad Via")


def _is_via(value: str) -> bool:
    try:
        Via.parse(value)
    except SipError:
        return False
    return True


def _answerable(request: Request) -> bool:
    """Can a stateless answer be built, and may there be one (§17.1.1.3: never to an ACK)?"""
    try:
        _read_mandatory(request.headers)
    except SipError:
        return False
    return "ACK" not in {request.method, request.headers.cseq.method}


def _body(headers: Headers, body: bytes) -> bytes:
    lengths = set(headers.all("Content-Length"))
    if not lengths:
        return body  # allowed over UDP, §18.3
    value = lengths.pop()
    if lengths or not _NUMBER.fullmatch(value):
        raise SipError("Bad Content-Length")
    headers.remove("Content-Length")
    if int(value) > len(body):
        raise SipError("Body Is Shorter Than Content-Length")
    return body[: int(value)]
