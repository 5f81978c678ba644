"""Where RTCP goes: RFC 5761 (mux), RFC 3605 (`a=rtcp`), RFC 5506 (reduced size)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.description import Attribute, MediaDescription, SdpError, parse
from gateway.sdp.negotiation import Local, Negotiation
from gateway.sdp.rtcp import OFFERED, Control, answered, control

REMOTE = ("203.0.113.5", 4000)
MUX: Attribute = ("rtcp-mux", None)
REDUCED: Attribute = ("rtcp-rsize", None)


def medium(*attributes: Attribute) -> MediaDescription:
    return MediaDescription("audio", 4000, "RTP/AVP", ("0",), attributes=attributes)


class TestMux:
    def test_both_say_so(self) -> None:
        """RFC 5761 §5.1.1."""
        assert control(medium(MUX), REMOTE) == Control(REMOTE, mux=True)
        assert answered(medium(("ptime", "20"), REDUCED, MUX)) == (MUX, REDUCED)

    def test_one_says_nothing(self) -> None:
        """§5.1.1: it must not be used then; and an answer does not bring it up."""
        assert control(medium(), REMOTE) == Control(("203.0.113.5", 4001))
        assert control(medium(MUX), REMOTE, ()) == Control(("203.0.113.5", 4001))
        assert answered(medium()) == ()

    def test_it_makes_the_other_port_needless(self) -> None:
        assert control(medium(("rtcp", "5000"), MUX), REMOTE) == Control(REMOTE, mux=True)

    def test_a_flag_has_no_value(self) -> None:
        assert answered(medium(("rtcp-mux", "yes"))) == ()


def test_reduced_size() -> None:
    """RFC 5506 §5: each side for itself says that it takes it; used where both do."""
    assert control(medium(REDUCED), REMOTE).reduced
    assert not control(medium(REDUCED), REMOTE, (MUX,)).reduced
    assert not control(medium(), REMOTE).reduced


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("53020", ("203.0.113.5", 53020)),
        ("53020 IN IP4 198.51.100.7", ("198.51.100.7", 53020)),
        ("53020  in  ip4  198.51.100.7 ", ("198.51.100.7", 53020)),
        # what makes no sense leaves what the rest says
        ("53020 IN IP4 0.0.0.0", ("203.0.113.5", 53020)),
        ("53020 IN IP4 224.1.1.1", ("203.0.113.5", 53020)),
        ("53020 IN IP4 255.255.255.255", ("203.0.113.5", 53020)),
        ("53020 IN IP4 host.example.com", ("203.0.113.5", 53020)),
        ("53020 IN IP6 2001:db8::7", ("203.0.113.5", 53020)),
        ("0", ("203.0.113.5", 4001)),
        ("65536", ("203.0.113.5", 4001)),
        ("1_0", ("203.0.113.5", 4001)),
        ("５３０２０", ("203.0.113.5", 4001)),
        ("", ("203.0.113.5", 4001)),
    ],
)
def test_the_port_that_is_named(value: str, where: tuple[str, int]) -> None:
    """RFC 3605 §2.1."""
    assert control(medium(("rtcp", value)), REMOTE).remote == where


def test_of_the_other_ip_version() -> None:
    remote = ("2001:db8::5", 4000)
    assert control(medium(("rtcp", "5000 IN IP6 2001:DB8::7")), remote).remote == (
        "2001:db8::7",
        5000,
    )
    assert control(medium(("rtcp", "5000 IN IP6 fe80::1%eth0")), remote).remote == (remote[0], 5000)


def test_there_is_no_port_behind_the_last() -> None:
    assert control(medium(), ("203.0.113.5", 65535)).remote is None


@pytest.mark.parametrize("attributes", [(), (MUX,)])
def test_nowhere_while_rtp_goes_nowhere(attributes: tuple[Attribute, ...]) -> None:
    """RFC 3264 §8.4: c=0.0.0.0."""
    assert control(medium(*attributes), None).remote is None


@given(st.text(max_size=60))
def test_whatever_is_named_is_an_address(value: str) -> None:
    remote = control(medium(("rtcp", value)), REMOTE).remote
    assert remote is not None
    assert 0 < remote[1] <= 65535


LOCAL = Local(("192.0.2.1", 20000), ("PCMU",), 7)
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 203.0.113.5\r\ns=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\n"
)


class TestNegotiation:
    """As the offers and answers of a call have it."""

    @pytest.mark.parametrize(
        ("said", "agreed"),
        [
            ("", Control(("203.0.113.5", 4001))),
            ("a=rtcp:4500\r\n", Control(("203.0.113.5", 4500))),
            ("a=rtcp-mux\r\na=rtcp-rsize\r\n", Control(REMOTE, mux=True, reduced=True)),
        ],
    )
    def test_we_answer(self, said: str, agreed: Control) -> None:
        answer, media = Negotiation().answer((OFFER + said).encode(), LOCAL)
        assert media.control == agreed
        said_by_us = set(parse(answer).media[0].attributes) & set(OFFERED)
        assert said_by_us == {name for name in OFFERED if f"a={name[0]}\r\n" in said}

    @pytest.mark.parametrize(
        ("said", "agreed"),
        [
            ("", Control(("203.0.113.5", 4001))),
            ("a=rtcp-mux\r\n", Control(REMOTE, mux=True)),
        ],
    )
    def test_we_offer(self, said: str, agreed: Control) -> None:
        negotiation = Negotiation()
        assert set(OFFERED) < set(parse(negotiation.offer(LOCAL)).media[0].attributes)
        assert negotiation.accept((OFFER + said).encode()).control == agreed

    def test_an_answer_may_not_bring_it_up(self) -> None:
        """RFC 5761 §5.1.1: a session without it is repeated without it."""
        negotiation = Negotiation()
        negotiation.answer(OFFER.encode(), LOCAL)
        assert b"rtcp-mux" not in negotiation.offer(LOCAL)
        media = negotiation.accept((OFFER + "a=rtcp-mux\r\n").encode())
        assert media.control == Control(("203.0.113.5", 4001))

    def test_it_is_repeated_as_it_was_agreed(self) -> None:
        negotiation = Negotiation()
        answer, _ = negotiation.answer((OFFER + "a=rtcp-mux\r\n").encode(), LOCAL)
        assert negotiation.offer(LOCAL) == answer
        assert b"a=rtcp-mux\r\n" in negotiation.offer(LOCAL, "sendonly")

    def test_on_hold(self) -> None:
        _, media = Negotiation().answer(
            OFFER.replace("c=IN IP4 203.0.113.5", "c=IN IP4 0.0.0.0").encode(), LOCAL
        )
        assert media.control.remote is None

    @given(st.binary(max_size=40))
    def test_whatever_is_said_is_an_answer_or_refused(self, noise: bytes) -> None:
        try:
            Negotiation().answer(OFFER.encode() + b"a=rtcp:" + noise + b"\r\n", LOCAL)
        except SdpError:
            pass
