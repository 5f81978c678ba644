"""RFC 3263 §4, RFC 2782: from records to targets, in the order in which they are to be tried."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.address import Uri
from gateway.sip.locate import (
    Answer,
    Means,
    Naptr,
    Pick,
    Question,
    Record,
    Search,
    Srv,
    Target,
    find,
    literal,
    ranked,
)

Zone = dict[str, list[Record]]  # "A pbx.example" -> records

BOTH = Means()
IPV4 = Means(families=(4,))
UDP = Means(frozenset({"udp"}), (4,))


def least(highest: int) -> int:
    return 0


def ask(zone: Zone, question: Question) -> Answer:
    return zone.get(f"{question.kind} {question.name}", [])


def drive(search: Search, zone: Zone) -> tuple[list[Target], list[list[str]]]:
    """Targets, and what was asked in each turn."""
    asked: list[list[str]] = []
    try:
        questions = next(search)
        while True:
            asked.append([f"{it.kind} {it.name}" for it in questions])
            questions = search.send([ask(zone, it) for it in questions])
    except StopIteration as found:
        return found.value, asked


def located(
    uri: str, zone: Zone | None = None, means: Means = IPV4, pick: Pick = least
) -> list[str]:
    """The targets as transport:host:port."""
    targets, _ = drive(find(Uri.parse(uri), pick, means), zone or {})
    return [f"{it.transport}:{it.host}:{it.port}" for it in targets]


def turns(uri: str, zone: Zone | None = None, means: Means = IPV4) -> list[list[str]]:
    return drive(find(Uri.parse(uri), least, means), zone or {})[1]


def naptr(order: int, preference: int, service: str, replacement: str, flags: str = "s") -> Naptr:
    return Naptr(order, preference, flags, service, "", replacement)


class TestAddress:
    """§4.1, §4.2: an IP address is asked nobody for."""

    @pytest.mark.parametrize(
        ("uri", "target"),
        [
            ("sip:a@192.0.2.1", "udp:192.0.2.1:5060"),
            ("sip:192.0.2.1:5080", "udp:192.0.2.1:5080"),
            ("sip:192.0.2.1;transport=TCP", "tcp:192.0.2.1:5060"),
            ("sip:192.0.2.1;transport=tls", "tls:192.0.2.1:5061"),
            ("sip:192.0.2.1:5060;transport=tls", "tls:192.0.2.1:5060"),
            ("sips:192.0.2.1", "tls:192.0.2.1:5061"),
            ("sips:192.0.2.1;transport=tcp", "tls:192.0.2.1:5061"),
            ("sip:[2001:DB8::1]:5080", "udp:2001:db8::1:5080"),
            ("sip:[::ffff:192.0.2.1]", "udp:192.0.2.1:5060"),
            ("sip:a@proxy.example;maddr=192.0.2.9", "udp:192.0.2.9:5060"),
            ("sip:a@192.0.2.1;maddr=192.0.2.9;transport=tcp", "tcp:192.0.2.9:5060"),
        ],
    )
    def test_target(self, uri: str, target: str) -> None:
        """
        UDP and 5060, or TLS and 5061, where the URI does not say otherwise; maddr counts.
        """
        assert [f"{it.transport}:{it.host}:{it.port}" for it in literal(Uri.parse(uri))] == [target]
        assert located(uri, means=BOTH) == [target]
        assert turns(uri) == []

    @pytest.mark.parametrize(
        "uri",
        [
            "tel:+74951234567", "urn:service:sos", "sip:192.0.2.1;transport=sctp",
            "sips:192.0.2.1;transport=udp", "sip:192.0.2.1;transport=ws", "sip:0.0.0.0",
            "sip:224.0.1.75", "sip:a@pbx.example;maddr=239.255.255.1", "sip:[ff02::1]",
        ],
    )  # fmt: skip
    def test_none(self, uri: str) -> None:
        """
        No target: a number, a transport that there is not, an address that is nobody's.
        """
        assert literal(Uri.parse(uri)) == []
        assert located(uri) == []
        assert turns(uri) == []

    def test_name(self) -> None:
        """
        A name is not found without records, and is whom a TLS certificate has to show, also
        where maddr says another way (RFC 5922 §4).
        """
        assert literal(Uri.parse("sip:pbx.example")) == []
        [target] = literal(Uri.parse("sips:PBX.example.;maddr=192.0.2.1"))
        assert target == Target("tls", "192.0.2.1", 5061, "pbx.example")

    def test_means(self) -> None:
        """
        A transport that we do not have is no way.
        """
        assert located("sip:192.0.2.1;transport=tcp", means=UDP) == []
        assert located("sips:192.0.2.1", means=UDP) == []
        tls = Means(frozenset({"tls"}), (4,))
        assert located("sip:192.0.2.1", means=tls) == ["tls:192.0.2.1:5061"]


class TestPort:
    """§4.2: a URI with a port needs addresses only."""

    def test_addresses(self) -> None:
        zone: Zone = {"A pbx.example": ["192.0.2.1", "192.0.2.2"]}
        assert located("sip:PBX.Example.:5070", zone) == [
            "udp:192.0.2.1:5070",
            "udp:192.0.2.2:5070",
        ]
        assert turns("sip:PBX.Example.:5070", zone) == [["A pbx.example"]]

    def test_transport(self) -> None:
        zone: Zone = {"A pbx.example": ["192.0.2.1"]}
        assert located("sip:pbx.example:5070;transport=tcp", zone) == ["tcp:192.0.2.1:5070"]
        assert located("sips:pbx.example:5070", zone) == ["tls:192.0.2.1:5070"]

    def test_families(self) -> None:
        """
        Those that we listen on, the preferred one first, by turns.
        """
        zone: Zone = {
            "A pbx.example": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
            "AAAA pbx.example": ["2001:db8::1"],
        }
        uri = "sip:pbx.example:5060"
        assert located(uri, zone, Means(families=(6, 4))) == [
            "udp:2001:db8::1:5060", "udp:192.0.2.1:5060", "udp:192.0.2.2:5060",
            "udp:192.0.2.3:5060",
        ]  # fmt: skip
        assert located(uri, zone, BOTH)[:2] == ["udp:192.0.2.1:5060", "udp:2001:db8::1:5060"]
        assert located(uri, zone, Means(families=(6,))) == ["udp:2001:db8::1:5060"]
        assert turns(uri, zone, BOTH) == [["A pbx.example", "AAAA pbx.example"]]
        assert turns(uri, zone) == [["A pbx.example"]]

    def test_nobody(self) -> None:
        assert located("sip:pbx.example:5060") == []


class TestTransport:
    """§4.2: a URI with a transport and no port: SRV of that one."""

    @pytest.mark.parametrize(
        ("uri", "service", "transport"),
        [
            ("sip:pbx.example;transport=udp", "_sip._udp", "udp"),
            ("sip:pbx.example;transport=tcp", "_sip._tcp", "tcp"),
            ("sip:pbx.example;transport=tls", "_sips._tcp", "tls"),
            ("sips:pbx.example;transport=tcp", "_sips._tcp", "tls"),
        ],
    )
    def test_srv(self, uri: str, service: str, transport: str) -> None:
        zone: Zone = {
            f"SRV {service}.pbx.example": [Srv(10, 0, 5090, "edge.example.")],
            "A edge.example": ["192.0.2.5"],
        }
        assert located(uri, zone) == [f"{transport}:192.0.2.5:5090"]
        assert turns(uri, zone) == [[f"SRV {service}.pbx.example"], ["A edge.example"]]

    def test_no_srv(self) -> None:
        """
        Then the addresses of the name, and the transport's own port.
        """
        zone: Zone = {"A pbx.example": ["192.0.2.1"]}
        assert located("sip:pbx.example;transport=tcp", zone) == ["tcp:192.0.2.1:5060"]
        assert located("sip:pbx.example;transport=tls", zone) == ["tls:192.0.2.1:5061"]
        assert turns("sip:pbx.example;transport=tcp", zone) == [
            ["SRV _sip._tcp.pbx.example"],
            ["A pbx.example"],
        ]


class TestNaptr:
    """§4.1: the domain says which transports it likes."""

    ZONE: Zone = {  # noqa: RUF012 - read only
        "NAPTR example.com": [
            naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com."),
            naptr(50, 50, "SIPS+D2T", "_sips._tcp.Other.example."),
            naptr(90, 10, "sip+d2u", "_sip._udp.example.com", "S"),
        ],
        "SRV _sip._udp.example.com": [Srv(0, 0, 5060, "u.example.com")],
        "SRV _sip._tcp.example.com": [Srv(0, 0, 5062, "t.example.com")],
        "SRV _sips._tcp.other.example": [Srv(0, 0, 5061, "s.example.com")],
        "A u.example.com": ["192.0.2.1"],
        "A t.example.com": ["192.0.2.2"],
        "A s.example.com": ["192.0.2.3"],
    }

    def test_order(self) -> None:
        """
        By order, then by preference (RFC 3403 §4.1); names in other domains are followed.
        """
        assert located("sip:a@example.com", self.ZONE) == [
            "tls:192.0.2.3:5061", "udp:192.0.2.1:5060", "tcp:192.0.2.2:5062",
        ]  # fmt: skip
        assert turns("sip:a@example.com", self.ZONE)[0] == ["NAPTR example.com"]

    def test_certificate(self) -> None:
        """
        The certificate is that of the domain that was asked for, not of where DNS led.
        """
        targets, _ = drive(find(Uri.parse("sip:example.com"), least, IPV4), self.ZONE)
        assert {target.name for target in targets} == {"example.com"}

    def test_sips(self) -> None:
        """
        §4.1: a sips: URI discards what is not SIPS.
        """
        assert located("sips:a@example.com", self.ZONE) == ["tls:192.0.2.3:5061"]

    def test_means(self) -> None:
        """
        §4.1: what we do not speak is discarded.
        """
        assert located("sip:a@example.com", self.ZONE, UDP) == ["udp:192.0.2.1:5060"]

    @pytest.mark.parametrize(
        "record",
        [
            naptr(1, 1, "SIP+D2U", "x.example.com", "u"),
            naptr(1, 1, "SIP+D2U", "x.example.com", ""),
            naptr(1, 1, "SIP+D2S", "x.example.com"),
            naptr(1, 1, "E2U+sip", "x.example.com"),
            naptr(1, 1, "SIP+D2U", "."),
            Naptr(1, 1, "s", "SIP+D2U", "!^.*$!sip:evil@example.com!", "."),
            Naptr(1, 1, "s", "SIP+D2U", "!^.*$!sip:evil@example.com!", "x.example.com"),
            "192.0.2.66",
        ],
    )
    def test_unusable(self, record: Record) -> None:
        """
        Other flags, services and regular expressions are passed over: as if there were none.
        """
        zone: Zone = {**self.ZONE, "NAPTR example.com": [record]}
        assert turns("sip:a@example.com", zone)[1] == [
            "SRV _sip._udp.example.com", "SRV _sip._tcp.example.com", "SRV _sips._tcp.example.com",
        ]  # fmt: skip

    def test_circle(self) -> None:
        """
        A record that leads back to where it stands ends the search like any other.
        """
        zone: Zone = {
            "NAPTR example.com": [naptr(1, 1, "SIP+D2U", "example.com")],
            "SRV example.com": [Srv(0, 0, 5060, "example.com")],
        }
        assert located("sip:example.com", zone) == []
        assert len(turns("sip:example.com", zone)) == 3


class TestSrv:
    """§4.1 without NAPTR: SRV for each transport; RFC 2782."""

    def test_transports(self) -> None:
        """
        UDP, TCP, TLS; all that there is, for fail-over (§4.3).
        """
        zone: Zone = {
            "SRV _sips._tcp.example.com": [Srv(0, 0, 5061, "a.example.com")],
            "SRV _sip._udp.example.com": [Srv(0, 0, 5060, "a.example.com")],
            "A a.example.com": ["192.0.2.1"],
        }
        assert located("sip:example.com", zone) == ["udp:192.0.2.1:5060", "tls:192.0.2.1:5061"]
        assert located("sips:example.com", zone) == ["tls:192.0.2.1:5061"]

    def test_none(self) -> None:
        """
        §4.2: no SRV at all: the addresses, with UDP and 5060; of sips: TLS and 5061.
        """
        zone: Zone = {"A example.com": ["192.0.2.1"]}
        assert located("sip:example.com", zone) == ["udp:192.0.2.1:5060"]
        assert located("sips:example.com", zone) == ["tls:192.0.2.1:5061"]
        assert turns("sips:example.com", zone) == [
            ["NAPTR example.com"], ["SRV _sips._tcp.example.com"], ["A example.com"],
        ]  # fmt: skip

    @pytest.mark.parametrize("target", [".", ""])
    def test_not_available(self, target: str) -> None:
        """
        RFC 2782: a target "." says that the service is decidedly not available.
        """
        closed: Zone = {
            "SRV _sip._udp.example.com": [Srv(0, 0, 0, target)],
            "A example.com": ["192.0.2.1"],
        }
        assert located("sip:example.com", closed) == []
        assert located("sip:example.com;transport=udp", closed) == []
        assert located("sip:example.com;transport=tcp", closed) == ["tcp:192.0.2.1:5060"]
        tcp: Zone = {
            **closed,
            "SRV _sip._tcp.example.com": [Srv(0, 0, 5060, "example.com")],
        }
        assert located("sip:example.com", tcp) == ["tcp:192.0.2.1:5060"]

    def test_several_addresses(self) -> None:
        """
        All addresses of a target come before the next target.
        """
        zone: Zone = {
            "SRV _sip._udp.example.com": [
                Srv(20, 0, 5062, "b.example.com"), Srv(10, 0, 5061, "a.example.com"),
            ],
            "A a.example.com": ["192.0.2.1", "192.0.2.2"],
            "AAAA a.example.com": ["2001:db8::1"],
            "A b.example.com": ["192.0.2.3"],
        }  # fmt: skip
        assert located("sip:example.com;transport=udp", zone, BOTH) == [
            "udp:192.0.2.1:5061", "udp:2001:db8::1:5061", "udp:192.0.2.2:5061",
            "udp:192.0.2.3:5062",
        ]  # fmt: skip

    def test_addresses_as_targets(self) -> None:
        """
        Illegal, and met: an address in the place of a name is taken for what it is.
        """
        zone: Zone = {
            "SRV _sip._udp.example.com": [Srv(0, 0, 5060, "192.0.2.1."), Srv(1, 0, 5060, "0.0.0.0")]
        }
        assert located("sip:example.com;transport=udp", zone) == ["udp:192.0.2.1:5060"]

    def test_silly(self) -> None:
        """
        Records of another kind, addresses of another family or of nobody, port 0, and text.
        """
        zone: Zone = {
            "SRV _sip._udp.example.com": [
                "192.0.2.7", Srv(0, 0, 0, "a.example.com"), Srv(0, 0, 5060, "a.example.com"),
            ],
            "A a.example.com": [
                "2001:db8::1", "not an address", "224.0.0.1", Srv(0, 0, 1, "x"), "192.0.2.1",
                "192.0.2.1",
            ],
        }  # fmt: skip
        assert located("sip:example.com;transport=udp", zone) == ["udp:192.0.2.1:5060"]

    def test_bounds(self) -> None:
        """
        However much there is: 16 targets, and not more than 32 questions in a turn.
        """
        many = [naptr(1, n, "SIP+D2U", f"s{n}.example") for n in range(50)]
        zone: Zone = {"NAPTR example.com": [*many]}
        for n in range(50):
            zone[f"SRV s{n}.example"] = [Srv(m, 0, 5060, f"h{n}-{m}.example") for m in range(100)]
        for m in range(100):
            zone[f"A h0-{m}.example"] = [f"192.0.2.{m % 250}"]
        search = find(Uri.parse("sip:example.com"), least, BOTH)
        targets, asked = drive(search, zone)
        assert len(targets) == 16
        assert max(map(len, asked)) <= 32
        zone = {"A big.example": [f"192.0.{n // 250}.{n % 250}" for n in range(10_000)]}
        assert len(located("sip:big.example:5060", zone)) == 16


class TestRanked:
    """RFC 2782: priorities, and weights as shares."""

    def test_priority(self) -> None:
        records = [Srv(20, 0, 1, "c"), Srv(10, 0, 1, "a"), Srv(15, 99, 1, "b")]
        assert [it.target for it in ranked(records, least)] == ["a", "b", "c"]

    def test_weight(self) -> None:
        """
        The number drawn lies between 0 and the sum, both included; the first record whose running
        sum reaches it is taken.
        """
        records = [Srv(1, 10, 1, "ten"), Srv(1, 30, 1, "thirty"), Srv(1, 0, 1, "none")]
        asked: list[int] = []

        def draw(*numbers: int) -> list[str]:
            asked.clear()
            left = list(numbers)

            def pick(highest: int) -> int:
                asked.append(highest)
                return left.pop(0)

            return [it.target for it in ranked(records, pick)]

        assert draw(0, 0, 0) == ["none", "ten", "thirty"]
        assert draw(10, 0, 0) == ["ten", "none", "thirty"]
        assert draw(11, 10, 0) == ["thirty", "ten", "none"]
        assert draw(40, 1, 0) == ["thirty", "ten", "none"]
        assert asked == [40, 10, 0]

    def test_shares(self) -> None:
        dice = random.Random(7)
        records = [Srv(1, 60, 1, "big"), Srv(1, 20, 1, "x"), Srv(1, 20, 1, "y")]
        first = Counter(
            ranked(records, lambda n: dice.randint(0, n))[0].target for _ in range(2000)
        )
        assert 1100 < first["big"] < 1300
        assert 330 < first["x"] < 470

    @given(
        st.lists(st.builds(Srv, *[st.integers(0, 65535)] * 3, st.just("x.example")), max_size=40),
        st.randoms(use_true_random=False),
    )
    def test_any(self, records: list[Srv], dice: random.Random) -> None:
        """
        Each record once, lower priorities first, at most 32.
        """
        out = ranked(records, lambda n: dice.randint(0, n))
        assert len(out) == min(len(records), 32)
        assert [it.priority for it in out] == sorted(it.priority for it in out)
        assert Counter(out) <= Counter(records)


RECORDS = st.lists(
    st.one_of(
        st.ip_addresses().map(str),
        st.text(max_size=5),
        st.builds(
            Srv,
            st.integers(0, 3),
            st.integers(0, 3),
            st.integers(0, 65535),
            st.sampled_from(["a.example", "b.example", "", ".", "192.0.2.1"]),
        ),
        st.builds(
            Naptr,
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from(["s", "S", "a", "u"]),
            st.sampled_from(["SIP+D2U", "SIP+D2T", "SIPS+D2T", "x"]),
            st.sampled_from(["", "!a!b!"]),
            st.sampled_from(["a.example", "_sip._udp.b.example", "."]),
        ),
    ),
    max_size=12,
)
PARAMS = ["", ";transport=udp", ";transport=tls", ";maddr=b.example", ":5070"]


@given(st.sampled_from(["sip:", "sips:"]), st.sampled_from(PARAMS), st.data())
def test_any_answers(scheme: str, params: str, data: st.DataObject) -> None:
    """
    Whatever is answered: an end after three turns, and targets that are targets.
    """
    search = find(Uri.parse(f"{scheme}a.example{params}"), least, BOTH)
    try:
        questions = next(search)
        for _ in range(3):
            questions = search.send([data.draw(RECORDS) for _ in questions])
        raise AssertionError(f"asks on: {questions}")
    except StopIteration as found:
        targets: list[Target] = found.value
    assert len(targets) == len(set(targets)) <= 16
    for target in targets:
        ip = Uri("sip", None, target.host)
        assert literal(ip)
        assert 1 <= target.port <= 65535
        assert target.transport == "tls" or scheme == "sip:"
