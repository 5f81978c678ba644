"""Session descriptions: RFC 8866 read tolerantly, written exactly. Pure.

Phones and switches bend the grammar, so whatever does not matter to a call is passed
over: unknown lines, attributes without a value, several spaces, a lone LF at the end of a line.
What would make the rest mean something else is refused (a broken `m=`, `c=` or `v=`), and so is
what only an attacker sends: more than the limits below, NUL or a lone CR inside a line.

Left out on purpose: `b=`, `k=`, `r=`, `z=`, `i=`, `u=`, `e=`, `p=` are read past and not kept;
nothing here knows what an attribute means, see negotiation.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BYTES = 16 * 1024
MAX_LINES = 64  # of the session part, and of each medium
MAX_MEDIA = 8
MAX_FORMATS = 32  # payload types of one medium

# Warning codes, RFC 3261 §20.43
INCOMPATIBLE_NETWORK_PROTOCOL = 300
INCOMPATIBLE_ADDRESS_FORMAT = 301
INCOMPATIBLE_TRANSPORT = 302
MEDIA_TYPE_NOT_AVAILABLE = 304
INCOMPATIBLE_FORMAT = 305
MULTICAST_NOT_AVAILABLE = 330
MISCELLANEOUS = 399

Attribute = tuple[str, str | None]  # name in lower case, value; None where there is no colon

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+"
_MEDIA = re.compile(
    rf"({_TOKEN}) +([0-9]{{1,5}})(?:/([0-9]{{1,5}}))? +({_TOKEN}(?:/{_TOKEN})*)((?: +{_TOKEN})*) *"
)
_CONNECTION = re.compile(r"([A-Za-z0-9]{1,16}) +([A-Za-z0-9]{1,16}) +([!-~]{1,255}) *")
_ORIGIN = re.compile(r"[^ ]+ +([0-9]{1,20}) +([0-9]{1,20}) +([!-~]+) +([!-~]+) +([!-~]+) *")
_TIME = re.compile(r"([0-9]{1,20}) +([0-9]{1,20}) *")


class SdpError(ValueError):
    """The peer's description cannot be used; the answer is 488 with this warning.

    `warning` is the code of RFC 3261 §20.43; the text is free of the peer's words.
    """

    def __init__(self, warning: int, text: str) -> None:
        super().__init__(text)
        self.warning = warning
        self.text = text


@dataclass(frozen=True, slots=True)
class Origin:
    """`o=` without the user name: who wrote this, and which version of it. RFC 8866 §5.2."""

    session_id: int
    version: int
    network: str
    address_type: str
    address: str


@dataclass(frozen=True, slots=True)
class Connection:
    """`c=`: where media goes, as written; negotiation.py judges it. RFC 8866 §5.7."""

    network: str  # "IN"
    address_type: str  # "IP4" or "IP6"
    address: str


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` line and what follows it. RFC 8866 §5.14."""

    kind: str  # "audio"
    port: int  # 0: refused or switched off
    profile: str  # "RTP/AVP"
    formats: tuple[str, ...]  # payload types where the profile is RTP's
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()

    def value(self, name: str) -> str | None:
        """The first value of an attribute; None where it is missing or has no value."""
        return next(self.values(name), None)

    def values(self, name: str) -> Iterator[str]:
        return (value for key, value in self.attributes if key == name and value is not None)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    origin: Origin | None = None
    connection: Connection | None = None
    time: tuple[int, int] = (0, 0)  # `t=`, which an answer repeats: RFC 3264 §6
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()

    def encode(self) -> bytes:
        """Serialise, in the order of RFC 8866 §5.

        Raises ValueError where a value holds a line break or NUL: our own mistake.
        """
        lines = ["v=0"]
        if self.origin is not None:
            o = self.origin
            who = f"gateway {o.session_id} {o.version}"
            lines.append(f"o={who} {o.network} {o.address_type} {o.address}")
        lines.append("s=-")
        lines += _connection_lines(self.connection)
        lines.append(f"t={self.time[0]} {self.time[1]}")
        lines += _attribute_lines(self.attributes)
        for media in self.media:
            words = (media.kind, str(media.port), media.profile, *media.formats)
            lines.append(f"m={' '.join(words)}")
            lines += _connection_lines(media.connection)
            lines += _attribute_lines(media.attributes)
        if any(re.search(r"[\r\n\0]", line) for line in lines):
            raise ValueError("a line break or NUL inside a line of SDP")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _connection_lines(connection: Connection | None) -> list[str]:
    if connection is None:
        return []
    return [f"c={connection.network} {connection.address_type} {connection.address}"]


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]


def parse(data: bytes) -> SessionDescription:
    """Read a description. Raises SdpError, and nothing else, on what cannot be one."""
    session, *sections = _sections(data)
    if len(sections) > MAX_MEDIA:
        raise SdpError(MISCELLANEOUS, "more than 8 media")
    if session[:1] != ["v=0"]:
        raise SdpError(MISCELLANEOUS, "does not begin with v=0")
    return SessionDescription(
        origin=_origin(_first(session, "o=")),
        connection=_connection(_first(session, "c=")),
        time=_time(_first(session, "t=")),
        attributes=_attributes(session),
        media=tuple(map(_media, sections)),
    )


def _sections(data: bytes) -> list[list[str]]:
    """The lines of the session, then of each medium; each within its limit."""
    if len(data) > MAX_BYTES:
        raise SdpError(MISCELLANEOUS, "longer than 16 KiB")
    sections: list[list[str]] = [[]]
    for raw in data.split(b"\n"):
        line = raw.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if not line:
            continue
        if "\r" in line or "\0" in line:
            raise SdpError(MISCELLANEOUS, "a control character inside a line")
        if line.startswith("m="):
            sections.append([])
        if len(sections[-1]) == MAX_LINES:
            raise SdpError(MISCELLANEOUS, "more than 64 lines in one part")
        sections[-1].append(line)
    return sections


def _first(lines: list[str], prefix: str) -> str | None:
    return next((line[2:] for line in lines if line.startswith(prefix)), None)


def _origin(value: str | None) -> Origin | None:
    """Nothing depends on the peer's o=, so a broken one is as good as none."""
    if value is None or not (match := _ORIGIN.fullmatch(value)):
        return None
    session_id, version, network, address_type, address = match.groups()
    return Origin(int(session_id), int(version), network, address_type, address)


def _time(value: str | None) -> tuple[int, int]:
    if value is None or not (match := _TIME.fullmatch(value)):
        return 0, 0
    return int(match[1]), int(match[2])


def _connection(value: str | None) -> Connection | None:
    if value is None:
        return None
    match = _CONNECTION.fullmatch(value)
    if not match:
        raise SdpError(MISCELLANEOUS, "a broken c= line")
    return Connection(match[1].upper(), match[2].upper(), match[3])


def _attributes(lines: list[str]) -> tuple[Attribute, ...]:
    return tuple(_attribute(line[2:]) for line in lines if line.startswith("a="))


def _attribute(text: str) -> Attribute:
    name, colon, value = text.partition(":")
    return name.strip(" ").lower(), value.strip(" ") if colon else None


def _media(lines: list[str]) -> MediaDescription:
    match = _MEDIA.fullmatch(lines[0][2:])
    if not match:
        raise SdpError(MISCELLANEOUS, "a broken m= line")
    kind, port, _count, profile, formats = match.groups()  # of a range of ports the first is ours
    if int(port) > 65535:
        raise SdpError(MISCELLANEOUS, "a port above 65535")
    names = tuple(formats.split())
    if len(names) > MAX_FORMATS:
        raise SdpError(MISCELLANEOUS, "more than 32 formats in one medium")
    return MediaDescription(
        kind=kind.lower(),
        port=int(port),
        profile=profile.upper() if profile.lower().startswith("rtp/") else profile,
        formats=names,
        connection=_connection(_first(lines, "c=")),
        attributes=_attributes(lines),
    )
