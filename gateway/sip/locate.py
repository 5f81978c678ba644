"""Where a URI is: RFC 3263 as decisions, from NAPTR, SRV, A and AAAA to an ordered list of targets.

Pure. `find` is a generator: it yields the questions that are to be asked now, all at once, takes
their answers in the same order, and returns the targets in the order in which they are to be tried
(§4.3). Whoever drives it (resolver.py) owns the network, the time and what is remembered.

    the URI has                 asked, in turn (§4.1, §4.2)
    an IP address               nothing
    a port                      A and AAAA
    a transport                 SRV of that transport, else A and AAAA
    none of them                NAPTR, else SRV of each transport of ours, else A and AAAA

A question without an answer counts as one that has none: a name server that chokes on NAPTR does
not end the search. What answers say is never followed in circles: each step is taken once, and
every list has its limit. Left out on purpose: tel: URIs, which say whom and not where (their way
is the trunk's); NAPTR's other flags and regular expressions, which §4.1 does not use; SCTP.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, zip_longest
from typing import Final, Literal

from .address import Uri
from .scope import is_nowhere, parse_ip

Kind = Literal["NAPTR", "SRV", "A", "AAAA"]

MAX_TARGETS: Final = 16
MAX_RECORDS: Final = 32  # of one answer, that are looked at
MAX_SERVICES: Final = 8  # that NAPTR may lead to

_DEFAULT_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}  # §19.1.2 of RFC 3261
_SRV_LABELS: Final = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_NAPTR_SERVICES: Final = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}


@dataclass(frozen=True, slots=True)
class Target:
    """One way to try."""

    transport: str  # "udp", "tcp", "tls"
    host: str  # an IP address, IPv6 without brackets
    port: int
    name: str  # the host of the URI: whom a TLS certificate has to show (RFC 5922 §4)


@dataclass(frozen=True, slots=True)
class Question:
    name: str  # in lower case, without a dot at its end
    kind: Kind


@dataclass(frozen=True, slots=True)
class Naptr:
    """RFC 3403."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """RFC 2782. A target "." or "" says that the service is not available."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str  # A and AAAA: the address
Answer = Sequence[Record]
Search = Generator[tuple[Question, ...], Sequence[Answer], list[Target]]
Pick = Callable[[int], int]  # a random whole number from 0 to its argument, both of them included


@dataclass(frozen=True, slots=True)
class Means:
    """What we have to reach others with."""

    transports: frozenset[str] = frozenset({"udp", "tcp", "tls"})
    families: tuple[Literal[4, 6], ...] = (4, 6)  # of our addresses, the preferred one first


ALL: Final = Means()


@dataclass(frozen=True, slots=True)
class _Hop:
    """What a URI says of where it is (§4)."""

    host: str
    port: int | None
    transports: tuple[str, ...]  # that may be chosen from; the first one where nothing chooses
    chosen: bool  # the URI names its transport
    name: str

    @property
    def default(self) -> str:
        return self.transports[0]


@dataclass(frozen=True, slots=True)
class _Place:
    transport: str
    host: str
    port: int


def literal(uri: Uri) -> list[Target]:
    """The one target of a URI with an IP address, which no server need be asked for.

    [] for a name, for tel:, for a transport that there is not.
    """
    hop = _hop(uri, ALL)
    return _at_address(hop) if hop else []


def find(uri: Uri, pick: Pick, means: Means = ALL) -> Search:
    """Find the targets of a URI; none where nobody is there, or by no means of ours."""
    hop = _hop(uri, means)
    if hop is None:
        return []
    if parse_ip(hop.host):
        return _at_address(hop)
    places = yield from _places(hop, pick)
    return (yield from _addresses(places[:MAX_TARGETS], hop.name, means))


def _hop(uri: Uri, means: Means) -> _Hop | None:
    """None for a URI that leads nowhere by itself, or by no means of ours."""
    if uri.scheme not in {"sip", "sips"}:
        return None
    asked = (uri.param("transport") or "").lower()
    if uri.scheme == "sips":  # TLS only; "transport=tcp" is TLS over TCP (RFC 3261 §26.2.2)
        possible = ["tls"] if asked in {"", "tcp", "tls"} else []
    elif asked:  # "transport=tls" is the older form of saying so, and the usual one
        possible = [asked]
    else:
        possible = list(_DEFAULT_PORTS)  # UDP comes first, §4.1
    transports = tuple(it for it in possible if it in _DEFAULT_PORTS and it in means.transports)
    host = _bare(uri.param("maddr") or uri.host)
    if not transports or not host:
        return None
    return _Hop(host, uri.port, transports, bool(asked), _bare(uri.host))


def _bare(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _at_address(hop: _Hop) -> list[Target]:
    ip = parse_ip(hop.host)
    if ip is None or is_nowhere(ip):
        return []
    return [Target(hop.default, str(ip), hop.port or _DEFAULT_PORTS[hop.default], hop.name)]


# which transport, host and port: §4.1 and §4.2


def _places(
    hop: _Hop, pick: Pick
) -> Generator[tuple[Question, ...], Sequence[Answer], list[_Place]]:
    if hop.port is not None:
        return [_Place(hop.default, hop.host, hop.port)]
    services = yield from _services(hop)
    answers = yield tuple(Question(name, "SRV") for _, name in services)
    places: list[_Place] = []
    closed: set[str] = set()  # the transports that the domain says it does not have
    for (transport, _), answer in zip(services, answers, strict=True):
        records = [record for record in answer if isinstance(record, Srv)]
        offered = [record for record in records if _bare(record.target)]
        if records and not offered:
            closed.add(transport)
        places += _ranked_places(transport, offered, pick)
    if places or hop.default in closed:
        return places
    return [_Place(hop.default, hop.host, _DEFAULT_PORTS[hop.default])]


def _services(
    hop: _Hop,
) -> Generator[tuple[Question, ...], Sequence[Answer], list[tuple[str, str]]]:
    """The transports to ask SRV for, each with its name, in the order of preference."""
    if not hop.chosen:
        (answer,) = yield (Question(hop.host, "NAPTR"),)
        naptrs = [record for record in answer if isinstance(record, Naptr)][:MAX_RECORDS]
        naptrs.sort(key=lambda it: (it.order, it.preference))
        found = [service for naptr in naptrs for service in _service(naptr, hop)]
        if found:
            return list(dict.fromkeys(found))[:MAX_SERVICES]
    return [(transport, f"{_SRV_LABELS[transport]}.{hop.host}") for transport in hop.transports]


def _service(naptr: Naptr, hop: _Hop) -> Iterator[tuple[str, str]]:
    """What a NAPTR record leads to, if we can go there (§4.1)."""
    transport, name = _NAPTR_SERVICES.get(naptr.service.upper()), _bare(naptr.replacement)
    if transport in hop.transports and naptr.flags.lower() == "s" and not naptr.regexp and name:
        yield transport, name


def _ranked_places(transport: str, records: list[Srv], pick: Pick) -> list[_Place]:
    return [
        _Place(transport, _bare(record.target), record.port)
        for record in ranked(records, pick)
        if record.port
    ]


def ranked(records: Iterable[Srv], pick: Pick) -> list[Srv]:
    """SRV records in the order in which they are to be tried: RFC 2782, "Usage rules"."""
    first = sorted(records, key=lambda it: it.priority)[:MAX_RECORDS]
    groups = groupby(first, key=lambda it: it.priority)
    return [record for _, group in groups for record in _drawn(group, pick)]


def _drawn(group: Iterable[Srv], pick: Pick) -> Iterator[Srv]:
    """Those of one priority, drawn by weight; those of weight 0 stand at the beginning."""
    rest = sorted(group, key=lambda it: it.weight > 0)
    while rest:
        left = pick(sum(it.weight for it in rest))
        for at, record in enumerate(rest):  # noqa: B007 - the last one, if it was none before
            left -= record.weight
            if left <= 0:
                break
        yield rest.pop(at)


# at which addresses


def _addresses(
    places: list[_Place], name: str, means: Means
) -> Generator[tuple[Question, ...], Sequence[Answer], list[Target]]:
    """Each place's addresses, the families by turns; a place never comes before one above it."""
    asked = list(dict.fromkeys(place.host for place in places if parse_ip(place.host) is None))
    questions = [Question(host, _kind(family)) for host in asked for family in means.families]
    answers = (yield tuple(questions)) if questions else ()
    known = dict(zip(questions, answers, strict=True))
    targets: list[Target] = []
    for place in places:
        hosts = _hosts(place.host, known, means)
        targets += (Target(place.transport, host, place.port, name) for host in hosts)
    return list(dict.fromkeys(targets))[:MAX_TARGETS]


def _kind(family: Literal[4, 6]) -> Kind:
    return "A" if family == 4 else "AAAA"


def _hosts(host: str, known: dict[Question, Answer], means: Means) -> list[str]:
    if ip := parse_ip(host):
        return [] if is_nowhere(ip) else [str(ip)]  # no SRV record may say so, and some do
    families = [
        [it for it in known[Question(host, _kind(family))] if _is_address(it, family)]
        for family in means.families
    ]
    by_turns = chain.from_iterable(zip_longest(*families))
    return [str(found) for found in by_turns if found is not None][:MAX_TARGETS]


def _is_address(record: Record, family: int) -> bool:
    ip = parse_ip(record) if isinstance(record, str) else None
    return ip is not None and ip.version == family and not is_nowhere(ip)
