"""Offer and answer: RFC 3264, for one stream of speech and its telephone-events. Pure.

One `Negotiation` per call. It answers offers, makes them, and remembers what both sides must
keep over a call: the number and order of `m=` lines, the payload types, the version in `o=`. A
description that cannot be used raises SdpError and leaves the earlier session as it was.

The answer names one codec, ours by preference, with the payload type of the offer, and
telephone-event; endpoints that get several re-INVITE to settle on one. What the caller offered
and we can decode is accepted all the same, since some send it before the answer reaches them.
Our first offer names all our codecs; of an answer with several the first is sent.

An offer of ours that is refused (488, 491) needs no word: what was agreed before still is, and
its version is not given out a second time. Where one offer has several answers (an INVITE that
forked) each is taken for itself, and the session is the one that was taken last.

How the speech is encrypted is decided by security.py, within the same offers and answers.

Left out on purpose: ICE and bundling, which an answer declines by not naming them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .description import (
    INCOMPATIBLE_ADDRESS_FORMAT,
    INCOMPATIBLE_FORMAT,
    INCOMPATIBLE_NETWORK_PROTOCOL,
    INCOMPATIBLE_TRANSPORT,
    MEDIA_TYPE_NOT_AVAILABLE,
    MISCELLANEOUS,
    MULTICAST_NOT_AVAILABLE,
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SdpError,
    SessionDescription,
    parse,
)
from .formats import (
    CODECS,
    DEFAULT_NOISE,
    EVENTS,
    EVENTS_OFFERED,
    NO_WISHES,
    NOISE,
    Codec,
    Wishes,
    described,
    formats,
    wishes,
)
from .rtcp import NOWHERE, OFFERED, Control, answered, control
from .security import KEYING, PLAIN, PROFILES, Keyed, Keying, Security

Address = tuple[str, int]

PTIME = 20  # ms, RFC 3551 §4.2
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True)
class Media:
    """What was agreed, seen from us."""

    remote: Address | None  # where RTP goes; None: c=0.0.0.0, nowhere now
    codec: Codec  # the payload type that we send with
    accepted: Mapping[int, Codec]  # payload types that we may receive
    event_payload_type: int | None  # None: the peer does not know telephone-event
    event_clock_rate: int  # Hz
    sending: bool
    receiving: bool
    ptime: int  # ms, what the peer wants to receive: 10 to 60
    control: Control = NOWHERE
    # Payload types of all events that may come, and their clocks in Hz: a peer that changes to
    # another codec may change to the events of its clock.
    events: Mapping[int, int] = field(default_factory=dict)
    noise: frozenset[int] = frozenset({DEFAULT_NOISE})  # payload types of comfort noise
    security: Security = None  # how packets are protected; None: not at all
    wishes: Wishes = NO_WISHES  # for the codec that we send with

    @property
    def direction(self) -> str:
        """As our description has it."""
        return _direction(self.sending, self.receiving)


@dataclass(frozen=True, slots=True)
class Local:
    """Our end of the call."""

    address: Address  # as the peer shall see it
    codecs: Sequence[str]  # in order of preference; a name not in CODECS is passed over
    session_id: int  # of o=, unique among our calls


@dataclass(frozen=True, slots=True)
class _Lines:
    """Our m= lines, and which of them is the speech."""

    all: tuple[MediaDescription, ...]
    index: int
    host: str  # our address
    keyed: Keyed  # how the speech is

    @property
    def speech(self) -> MediaDescription:
        return self.all[self.index]


class Negotiation:
    """The offers and answers of one call, in their order.

    `keying` is the rule for its encryption; None: all is plain.
    """

    def __init__(self, keying: Keying | None = None) -> None:
        self._keying = keying or Keying("none", random=bytes)
        self._agreed: _Lines | None = None  # as they hold now
        self._offered: _Lines | None = None  # as we offered them last
        self._sent: SessionDescription | None = None  # what went out last

    def answer(self, offer: bytes, local: Local) -> tuple[bytes, Media]:
        """Answer an offer, the first or one in mid-call. RFC 3264 §6.

        Returns our description and what it means. Raises SdpError (488 with Warning).
        """
        theirs = parse(offer)
        index, media, keyed = self._choose(theirs, local)
        lines = [_refused(line) for line in theirs.media]
        speech = _speech(
            local.address[1],
            [media.codec, *_event(media)],
            _direction(media.sending, media.receiving),
            media.ptime,
            answered(theirs.media[index]),
        )
        lines[index] = _secured(speech, keyed)
        self._agreed = _Lines(tuple(lines), index, local.address[0], keyed)
        return self._describe(lines, local, theirs.time), media

    def offer(
        self,
        local: Local,
        direction: str = "sendrecv",
        *,
        anew: bool = False,
        dtls: bool = False,
    ) -> bytes:
        """Make an offer: the first of a call, or the next. RFC 3264 §5 and §8.

        The next one repeats what was agreed, with the address and direction of now, so a
        re-INVITE that changes nothing has the same version: RFC 4028 §7.4 asks for that.
        `anew` names the codecs of `local` again, for the peer to choose another. `dtls` has the
        first offer name DTLS-SRTP in place of SDES.
        """
        before = self._agreed
        keyed = self._keying.offer(before.keyed if before else None, dtls=dtls)
        if before is None:
            lines, index = [_proposal(local, direction, None)], 0
        else:
            lines, index = list(before.all), before.index
            attributes = (*before.speech.attributes[:-1], (direction, None))
            again = replace(before.speech, port=local.address[1], attributes=attributes)
            lines[index] = _proposal(local, direction, before.speech) if anew else again
        lines[index] = _secured(lines[index], keyed)
        self._offered = _Lines(tuple(lines), index, local.address[0], keyed)
        return self._describe(lines, local, self._sent.time if self._sent else (0, 0))

    def accept(self, answer: bytes) -> Media:
        """Take the answer to our offer. Raises SdpError where it refuses or cannot be used.

        ValueError when there was no offer.
        """
        offered = self._offered
        if offered is None:
            raise ValueError("an answer without an offer")
        theirs = parse(answer)
        if offered.index >= len(theirs.media):
            raise SdpError(MISCELLANEOUS, "the answer has fewer media than the offer")
        line = theirs.media[offered.index]
        offer = formats(offered.speech)
        ours = {n: codec for n, codec in offer.items() if codec.name in CODECS}
        known = [codec.name for codec in ours.values()]
        names = [codec.name for codec in formats(line).values() if codec.name in known]
        media = _agree(theirs, line, names or known, offered.host)  # their order: RFC 3264 §7
        keyed = self._keying.accept(
            theirs, line, offered.keyed, self._agreed.keyed if self._agreed else None
        )
        direction = _stated_direction(offered.speech.attributes)
        self._agreed = replace(offered, keyed=keyed)
        return replace(
            media,
            accepted={**media.accepted, **ours},  # they send by our numbers: RFC 3264 §6.1
            events={**media.events, **_events(offer)},
            sending=media.sending and direction in ("sendrecv", "sendonly"),
            receiving=media.receiving and direction in ("sendrecv", "recvonly"),
            control=control(line, media.remote, offered.speech.attributes),
            security=keyed.security,
        )

    def _choose(self, theirs: SessionDescription, local: Local) -> tuple[int, Media, Keyed]:
        """The first medium of an offer that can be the call; else the first reason why none can."""
        reasons: list[SdpError] = []
        names = [codec.name for codec in _known(local)]
        before = self._agreed.keyed if self._agreed else None
        for index, line in enumerate(theirs.media):
            if line.kind == "audio" and line.port:
                try:
                    media = _agree(theirs, line, names, local.address[0])
                    keyed = self._keying.answer(theirs, line, before)
                    return index, replace(media, security=keyed.security), keyed
                except SdpError as error:
                    reasons.append(error)
        raise reasons[0] if reasons else SdpError(MEDIA_TYPE_NOT_AVAILABLE, "no audio is offered")

    def _describe(
        self, lines: Sequence[MediaDescription], local: Local, time: tuple[int, int]
    ) -> bytes:
        """Our description; its version grows by one where anything else changed. RFC 3264 §8."""
        host = local.address[0]
        kind = "IP6" if ":" in host else "IP4"
        version = self._sent.origin.version if self._sent and self._sent.origin else 0
        origin = Origin(local.session_id, version, "IN", kind, host)
        body = SessionDescription(origin, Connection("IN", kind, host), time, media=tuple(lines))
        if body != self._sent:
            body = replace(body, origin=replace(origin, version=version + 1))
            self._sent = body
        return body.encode()


def _agree(
    session: SessionDescription, line: MediaDescription, names: Sequence[str], host: str
) -> Media:
    """What this medium of the peer's and we have in common; SdpError where that is no call."""
    if line.port == 0:
        raise SdpError(MEDIA_TYPE_NOT_AVAILABLE, "the audio was refused")
    if line.profile.upper() not in PROFILES:
        raise SdpError(INCOMPATIBLE_TRANSPORT, "neither RTP/AVP nor RTP/SAVP")
    remote = _remote(line.connection or session.connection, line.port, host)
    offered = formats(line)
    accepted = {n: codec for n, codec in offered.items() if codec.name in names}
    if not accepted:
        raise SdpError(INCOMPATIBLE_FORMAT, f"none of the codecs is {' or '.join(names)}")
    codec = min(accepted.values(), key=lambda codec: names.index(codec.name))
    events = [event for event in offered.values() if event.name == EVENTS]
    # RFC 4733 §2.1: at the clock of the audio; another is better than none.
    events.sort(key=lambda event: event.clock_rate != codec.clock_rate)
    direction = _stated_direction((*line.attributes, *session.attributes))
    return Media(
        remote=remote,
        codec=codec,
        accepted=accepted,
        event_payload_type=events[0].payload_type if events else None,
        event_clock_rate=events[0].clock_rate if events else codec.clock_rate,
        sending=direction in ("sendrecv", "recvonly") and remote is not None,
        receiving=direction in ("sendrecv", "sendonly"),
        ptime=_ptime(line),
        control=control(line, remote),
        events=_events(offered),
        noise=_noise(offered),
        wishes=wishes(line, codec.payload_type),
    )


def _known(local: Local) -> list[Codec]:
    return [CODECS[name.upper()] for name in local.codecs if name.upper() in CODECS]


def _event(media: Media) -> list[Codec]:
    """The telephone-event that our answer names."""
    number = media.event_payload_type
    return [] if number is None else [Codec(EVENTS, number, media.event_clock_rate)]


def _events(known: Mapping[int, Codec]) -> dict[int, int]:
    return {n: codec.clock_rate for n, codec in known.items() if codec.name == EVENTS}


def _noise(known: Mapping[int, Codec]) -> frozenset[int]:
    """As it was named, and 13 whoever named it not: unless that is something else here."""
    numbers = {n for n, codec in known.items() if codec.name == NOISE}
    return frozenset(numbers | ({DEFAULT_NOISE} - known.keys()))


def _remote(connection: Connection | None, port: int, host: str) -> Address | None:
    """Where the peer wants its media; None where it wants none now. RFC 3264 §8.4."""
    if connection is None:
        raise SdpError(MISCELLANEOUS, "no c= line")
    if connection.network != "IN":
        raise SdpError(INCOMPATIBLE_NETWORK_PROTOCOL, "only the network type IN is spoken")
    try:
        address = ipaddress.ip_address(connection.address)
    except ValueError:  # a name, a range of multicast groups, or nothing
        raise SdpError(INCOMPATIBLE_ADDRESS_FORMAT, "only literal addresses are taken") from None
    if address.is_multicast or str(address) == "255.255.255.255":
        raise SdpError(MULTICAST_NOT_AVAILABLE, "only unicast is spoken")
    if connection.address_type != f"IP{address.version}" or "%" in connection.address:
        raise SdpError(INCOMPATIBLE_ADDRESS_FORMAT, "c= contradicts itself")
    if address.is_unspecified:
        return None
    if (address.version == 6) != (":" in host):
        raise SdpError(INCOMPATIBLE_ADDRESS_FORMAT, "our media has the other IP version")
    return str(address), port


def _stated_direction(attributes: Sequence[Attribute]) -> str:
    """The first direction among these, else sendrecv. RFC 8866 §6.7."""
    stated = (name for name, value in attributes if name in DIRECTIONS and value is None)
    return next(stated, "sendrecv")


def _direction(sending: bool, receiving: bool) -> str:
    if sending:
        return "sendrecv" if receiving else "sendonly"
    return "recvonly" if receiving else "inactive"


def _ptime(line: MediaDescription) -> int:
    """What the peer wants in a packet, in ms: whole tens from 10 to 60. RFC 8866 §6.4."""
    asked = [
        int(value)
        for value in (line.value("ptime"), line.value("maxptime"))
        if value is not None and re.fullmatch(r"[0-9]{1,5}", value) and int(value)
    ]
    if line.value("ptime") is None:
        asked.append(PTIME)
    return min(60, max(10, min(asked, default=PTIME) // 10 * 10))


def _proposal(local: Local, direction: str, before: MediaDescription | None) -> MediaDescription:
    """All our codecs and telephone-event, for an offer.

    What has a number in the session keeps it, and a number its meaning: RFC 3264 §8.3.2.
    """
    mapped = formats(before) if before else {}
    kept = {(codec.name, codec.clock_rate): codec for codec in mapped.values()}
    codecs = _known(local)
    clocks = {codec.clock_rate for codec in codecs}
    wanted = codecs + [event for event in EVENTS_OFFERED if event.clock_rate in clocks]
    named = [kept.get((codec.name, codec.clock_rate), codec) for codec in wanted]
    return _speech(
        local.address[1],
        [codec for codec in named if mapped.get(codec.payload_type, codec) == codec],
        direction,
        PTIME,
        answered(before) if before else OFFERED,
    )


def _speech(
    port: int,
    codecs: Sequence[Codec],
    direction: str,
    ptime: int,
    rtcp: Sequence[Attribute],
) -> MediaDescription:
    """Our own m= line, not secured yet. The direction is its last attribute."""
    return MediaDescription(
        "audio",
        port,
        PLAIN[0],
        tuple(str(codec.payload_type) for codec in codecs),
        attributes=(
            *(attribute for codec in codecs for attribute in described(codec)),
            ("ptime", str(ptime)),
            *rtcp,
            (direction, None),
        ),
    )


def _secured(line: MediaDescription, keyed: Keyed) -> MediaDescription:
    """Our m= line as this keys it, in place of how it was keyed before."""
    *kept, direction = (it for it in line.attributes if it[0] not in KEYING)
    attributes = (*kept, *keyed.attributes, direction)
    return replace(line, profile=keyed.profile, attributes=attributes)


def _refused(line: MediaDescription) -> MediaDescription:
    """The same medium with port 0, and at least one format. RFC 3264 §6."""
    return MediaDescription(line.kind, 0, line.profile, line.formats or ("0",))
