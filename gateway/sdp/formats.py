"""Formats of a medium: payload types, their meaning (`rtpmap`) and what is wished (`fmtp`). Pure.

What the gateway can speak, with the numbers of RFC 3551 §6 or, where they are free to choose, those
that most others have: G.711, G.722 (its RTP clock is 8 kHz: RFC 3551 §4.5.2), Opus (RFC 7587),
telephone-event at the clock of each codec (RFC 4733 §2.1), and comfort noise (RFC 3389), which is
understood but never asked for: a model hears better what a caller's pauses really sound like.

Left out on purpose: parameters of telephone-event (who has it has the sixteen digits) and those
of Opus that only bind the one who says them (`sprop-…`) or that we do not follow (`usedtx`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .description import Attribute, MediaDescription

EVENTS = "telephone-event"
NOISE = "CN"
DEFAULT_NOISE = 13  # the payload type of CN at 8 kHz, RFC 3551 §6

_RTPMAP = re.compile(r"([0-9]{1,3}) +([!-.0-~]{1,64}) */ *([0-9]{1,6})(?: */ *([0-9]{1,3}))? *")
_FMTP = re.compile(r"([0-9]{1,3}) +(.*)")


@dataclass(frozen=True, slots=True)
class Codec:
    """What a payload type means: a codec, telephone-event or comfort noise."""

    name: str  # in capitals, as in RFC 3551; telephone-event in small letters
    payload_type: int
    clock_rate: int  # Hz, of RTP timestamps
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the peer wants of the Opus that we send. RFC 7587 §6.1."""

    playback_rate: int = 48000  # Hz: maxplaybackrate
    bit_rate: int | None = None  # bit/s: maxaveragebitrate
    fec: bool = False  # useinbandfec
    constant: bool = False  # cbr


NO_WISHES = Wishes()

CODECS = {
    codec.name: codec
    for codec in (
        Codec("PCMU", 0, 8000),
        Codec("PCMA", 8, 8000),
        Codec("G722", 9, 8000),
        Codec("OPUS", 111, 48000, 2),  # two channels whatever is in it: RFC 7587 §7
    )
}
EVENTS_OFFERED = (Codec(EVENTS, 101, 8000), Codec(EVENTS, 110, 48000))

_NOISE = Codec(NOISE, DEFAULT_NOISE, 8000)
_STATIC = {codec.payload_type: codec for codec in (*CODECS.values(), _NOISE)}
del _STATIC[CODECS["OPUS"].payload_type]

# As others write it, should they care.
_SPELLING = {"OPUS": "opus"}
# What we say of those that have something to be said: how we want to get them.
_PARAMETERS = {
    "OPUS": "maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0;useinbandfec=1",
    EVENTS: "0-15",
}


def formats(line: MediaDescription) -> dict[int, Codec]:
    """What we know of a medium's formats, in its order; the first mapping of a number wins."""
    mapped: dict[int, Codec] = {}
    for value in line.values("rtpmap"):
        if match := _RTPMAP.fullmatch(value):
            name, rate, channels = match[2], int(match[3]), int(match[4] or 1)
            mapped.setdefault(int(match[1]), Codec(_named(name), int(match[1]), rate, channels))
    known: dict[int, Codec] = {}
    for number in _payload_types(line):
        codec = mapped.get(number) or _STATIC.get(number)
        if codec and (usable := _usable(codec)):
            known[number] = usable
    return known


def wishes(line: MediaDescription, payload_type: int) -> Wishes:
    """What a medium says of a format with `fmtp`, where it is Opus; nonsense is passed over."""
    said = _said(line, payload_type)
    return Wishes(
        playback_rate=said.get("maxplaybackrate") or NO_WISHES.playback_rate,
        bit_rate=said.get("maxaveragebitrate") or None,
        fec=said.get("useinbandfec") == 1,
        constant=said.get("cbr") == 1,
    )


def described(codec: Codec) -> Iterator[Attribute]:
    """The attributes by which our medium tells of a format."""
    number, name = codec.payload_type, _SPELLING.get(codec.name, codec.name)
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    yield "rtpmap", f"{number} {name}/{codec.clock_rate}{channels}"
    if codec.name in _PARAMETERS:
        yield "fmtp", f"{number} {_PARAMETERS[codec.name]}"


def _named(name: str) -> str:
    return EVENTS if name.lower() == EVENTS else name.upper()


def _usable(codec: Codec) -> Codec | None:
    """As we have it in our list; None where we cannot speak it."""
    if codec.name == EVENTS:
        return codec if 8000 <= codec.clock_rate <= 96000 else None
    known = _NOISE if codec.name == NOISE else CODECS.get(codec.name)
    if known is None or known.clock_rate != codec.clock_rate:
        return None
    if not 1 <= codec.channels <= known.channels:  # some forget that Opus has two
        return None
    return replace(known, payload_type=codec.payload_type)


def _payload_types(line: MediaDescription) -> Iterator[int]:
    for name in line.formats:
        if re.fullmatch(r"[0-9]{1,3}", name) and int(name) < 128:
            yield int(name)


def _said(line: MediaDescription, payload_type: int) -> dict[str, int]:
    """The numbers among a format's parameters; the first `fmtp` counts. RFC 8866 §6.15."""
    for value in line.values("fmtp"):
        match = _FMTP.fullmatch(value)
        if match and int(match[1]) == payload_type:
            return dict(_numbers(match[2]))
    return {}


def _numbers(text: str) -> Iterator[tuple[str, int]]:
    for parameter in text.split(";"):
        name, _, value = parameter.partition("=")
        if re.fullmatch(r"[0-9]{1,9}", value.strip()):
            yield name.strip().lower(), int(value)
