"""RFC 3261 §8.1.1 and §8.2.6: what we write into messages."""

from itertools import count

import pytest

from gateway.sip.address import Via
from gateway.sip.agent import UserAgent, capabilities, phrase
from gateway.sip.endpoint import Flow
from gateway.sip.message import Headers, Request, parse

from .wire import FLOW, request


def agent(public_address: str | None = None) -> UserAgent:
    numbers = count(1)
    return UserAgent(token=lambda: f"t{next(numbers)}", name="gw/1", public_address=public_address)


def asked(*headers: str, to_tag: str | None = None) -> Request:
    message = parse(request("OPTIONS", headers=headers, to_tag=to_tag))
    assert isinstance(message, Request)
    return message


def test_via_and_contact() -> None:
    """
    They name the address that faces the peer; each Via has a branch of its own (§8.1.1.7), and
    asks for rport (RFC 3581 §3).
    """
    ours = agent()

    assert ours.via(FLOW) == "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKt1"
    assert ours.via(FLOW) == "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKt2"
    assert ours.contact(FLOW) == "<sip:192.0.2.1:5060>"


def test_public_address() -> None:
    """
    Behind NAT they name what the operator says, with the listening port; to a peer of the other
    family that is of no use.
    """
    flow = Flow("udp", ("10.0.0.1", 5080), ("192.0.2.9", 5060))
    flow6 = Flow("udp", ("fd00::1", 5080), ("2001:db8::9", 5060))

    assert agent("203.0.113.5").contact(flow) == "<sip:203.0.113.5:5080>"
    assert agent("203.0.113.5").contact(flow6) == "<sip:[fd00::1]:5080>"
    assert agent("2001:db8::1").contact(flow) == "<sip:10.0.0.1:5080>"
    assert (
        agent("2001:db8::1").via(flow6) == "SIP/2.0/UDP [2001:db8::1]:5080;rport;branch=z9hG4bKt1"
    )
    assert agent("gw.example").contact(flow) == "<sip:gw.example:5080>"
    assert agent("gw.example").contact(flow6) == "<sip:gw.example:5080>"


class TestMapped:
    """RFC 3581: the response of a public peer says where our NAT has put us."""

    HIDDEN = Flow("udp", ("10.0.0.1", 5060), ("192.0.2.9", 5060))
    SENT = "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKt1"

    def learnt(self, via: str, public_address: str | None = None, flow: Flow = HIDDEN) -> str:
        """What a Contact is after a response with this Via."""
        ours = agent(public_address)
        ours.learn(flow, Via.parse(via))
        assert ours.host(flow) in ours.contact(flow) or public_address
        return ours.contact(flow)

    def test_by_received_and_rport(self) -> None:
        seen = f"{self.SENT};received=203.0.113.5;rport=40001"
        assert self.learnt(seen) == "<sip:203.0.113.5:40001>"

    def test_the_port_may_be_kept(self) -> None:
        assert self.learnt(f"{self.SENT};received=203.0.113.5") == "<sip:203.0.113.5:5060>"

    def test_it_moves(self) -> None:
        """What we name already is not said again in `received`."""
        ours = agent()
        ours.learn(self.HIDDEN, Via.parse(f"{self.SENT};received=203.0.113.5;rport=40001"))
        named = "SIP/2.0/UDP 203.0.113.5:40001;branch=z9hG4bKt2"
        ours.learn(self.HIDDEN, Via.parse(f"{named};rport=40002"))
        assert ours.contact(self.HIDDEN) == "<sip:203.0.113.5:40002>"
        other = Flow("udp", ("10.0.0.1", 5060), ("192.0.2.8", 5060))
        assert ours.contact(other) == "<sip:10.0.0.1:5060>"  # has not told us yet

    @pytest.mark.parametrize(
        "params",
        [
            "",
            ";rport",
            ";received=10.0.0.9;rport=40001",
            ";received=127.0.0.1",
            ";received=nat.example",
        ],
    )
    def test_what_tells_nothing(self, params: str) -> None:
        assert self.learnt(f"{self.SENT}{params}") == "<sip:10.0.0.1:5060>"

    @pytest.mark.parametrize("port", ["0", "65536", "999999", "x"])
    def test_no_port(self, port: str) -> None:
        seen = f"{self.SENT};received=203.0.113.5;rport={port}"
        assert self.learnt(seen) == "<sip:203.0.113.5:5060>"

    def test_the_configuration_knows_better(self) -> None:
        seen = f"{self.SENT};received=203.0.113.5;rport=40001"
        assert self.learnt(seen, "203.0.113.77") == "<sip:203.0.113.77:5060>"

    def test_a_neighbour_reaches_us_as_we_are(self) -> None:
        near = Flow("udp", ("10.0.0.1", 5060), ("10.0.0.9", 5060))
        seen = f"{self.SENT};received=203.0.113.5;rport=40001"
        assert self.learnt(seen, flow=near) == "<sip:10.0.0.1:5060>"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_transport(transport: str) -> None:
    """
    The Contact names the transport of the flow, with the public address too (§8.1.1.8): a request
    within the dialog comes back over it, and so may others.
    """
    flow = Flow(transport, ("10.0.0.1", 5061), ("192.0.2.9", 40000))

    assert agent().contact(flow) == f"<sip:10.0.0.1:5061;transport={transport}>"
    assert agent("203.0.113.5").contact(flow) == f"<sip:203.0.113.5:5061;transport={transport}>"
    assert ";alias;" in agent().via(flow)  # RFC 5923 §5
    assert ";alias" not in agent().via(FLOW)


def test_response() -> None:
    """
    Via, From, To, Call-ID and CSeq are the request's, and To gets our tag (§8.2.6.2).
    """
    answer = agent().respond(asked("Via: SIP/2.0/UDP p"), 486, tag="ours", headers=[("X", "y")])

    assert (answer.status, answer.reason) == (486, "Busy Here")
    assert answer.headers == Headers(
        [
            ("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1;rport"),
            ("Via", "SIP/2.0/UDP p"),
            ("From", '"Alice" <sip:alice@example.com>;tag=peer'),
            ("To", "<sip:7000@192.0.2.1>;tag=ours"),
            ("Call-ID", "c1"),
            ("CSeq", "1 OPTIONS"),
            ("Server", "gw/1"),
            ("X", "y"),
        ]
    )


def test_to_tag() -> None:
    """
    A tag that is there stays; a 100 gets none, but the Timestamp (§8.2.6.1).
    """
    ours = agent()

    within = ours.respond(asked(to_tag="old"), 200, tag="ours")
    assert within.headers.to.tag == "old"
    trying = ours.respond(asked("Timestamp: 54"), 100, tag="ours")
    assert (trying.headers.to.tag, trying.headers.get("Timestamp")) == (None, "54")
    assert ours.respond(asked("Timestamp: 54"), 200, tag="ours").headers.get("Timestamp") is None


def test_stateless() -> None:
    """
    Every copy of a request gets the same response (§8.2.7), another request another tag.
    """
    ours = agent()

    first = ours.respond_stateless(asked(), 503)
    other = ours.respond_stateless(asked(to_tag="x").cancel(), 503)

    assert first == ours.respond_stateless(asked(), 503)
    assert len(first.headers.to.tag or "") == 8
    assert other.headers.to.tag == "x"


def test_phrases() -> None:
    assert (phrase(481), phrase(499)) == ("Call/Transaction Does Not Exist", "Unknown")


def test_capabilities() -> None:
    """
    What OPTIONS is told (§11.2).
    """
    assert capabilities() == [
        ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY"),
        ("Accept", "application/sdp"),
        ("Supported", "100rel, timer, replaces, norefersub"),
    ]
