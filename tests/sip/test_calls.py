"""All calls of one endpoint: which a message belongs to, and which one takes another's place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from gateway.sip.address import Via
from gateway.sip.authentication import Screen
from gateway.sip.digest import Credentials
from gateway.sip.endpoint import Ended, Endpoint, Flow, Identity, Incoming
from gateway.sip.message import Request
from gateway.sip.registrar import Binding

from .wire import ANSWER, FLOW, OFFER, US, Wire, called, calling, request, response, talking

SDP = b"v=0\r\n"


class TestFinding:
    """A request is within a call by our tag, its tag and the Call-ID (RFC 3261 §12.2.2)."""

    @pytest.mark.parametrize(
        "names",
        [
            {"to_tag": "t9"},
            {"to_tag": "t1", "from_tag": "other"},
            {"to_tag": "t1", "call_id": "c9"},
        ],
    )
    def test_all_three_have_to_fit(self, names: dict[str, str]) -> None:
        wire = talking()
        assert wire.receive(request("BYE", cseq=2, branch="z9hG4bK-2", **names)) == [  # type: ignore[arg-type]
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]
        assert wire.endpoint.calls == 1

    def test_told_from_the_first_bytes(self) -> None:
        """Before anything of it is read: for those whom nobody answers otherwise."""
        wire = talking()
        endpoint = wire.endpoint
        assert endpoint.awaits(request("BYE", to_tag="t1"), "203.0.113.7")
        assert endpoint.awaits(request("BYE", to_tag="t1").replace(b"To:", b"t :"), "203.0.113.7")
        assert not endpoint.awaits(request("BYE", to_tag="t9"), "203.0.113.7")
        assert not endpoint.awaits(request("INVITE"), "203.0.113.7")

    def test_the_way_to_its_peer_is_in_use(self) -> None:
        wire = talking()
        assert wire.endpoint.uses(FLOW)
        assert not wire.endpoint.uses(Flow("udp", US, ("192.0.2.8", 5060)))


class TestUnanswered:
    """Whoever closes the sockets waits until the last BYE was answered."""

    def test_a_bye_waits_for_its_answer(self) -> None:
        wire = talking()
        assert not wire.endpoint.unanswered
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.endpoint.unanswered

        wire.receive(response(wire.last_request(), "200 OK"))
        assert not wire.endpoint.unanswered

    def test_a_bye_that_waits_for_an_ack_is_owed(self) -> None:
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert not wire.endpoint.unanswered
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.endpoint.unanswered

        wire.wait(until=200.0)
        assert not wire.endpoint.unanswered

    def test_a_bye_that_is_owed_need_not_wait(self) -> None:
        """
        Before its sockets close a process sends them at once, once; an ACK that still comes, and
        the time without it, change nothing.
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert wire.endpoint.send_owed_byes(0.0) == []
        wire.see(wire.endpoint.bye("t1", 0.0, reason="Q.850;cause=16"))

        assert wire.see(wire.endpoint.send_owed_byes(0.0)) == ["BYE sip:alice@192.0.2.9"]
        bye = wire.last_request()
        assert bye.headers.get("Reason") == "Q.850;cause=16"
        assert wire.ways[-1] == ("192.0.2.9", 5060)
        assert wire.endpoint.send_owed_byes(0.0) == []
        assert wire.endpoint.unanswered
        assert wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1")) == []
        assert wire.wait(0.5) == [(0.5, "BYE sip:alice@192.0.2.9")]
        assert wire.receive(response(bye, "200 OK")) == []
        assert not wire.endpoint.unanswered
        wire.wait_until_idle()
        assert [type(event).__name__ for event in wire.events] == ["Incoming", "Ended"]


class TestReplacesIn:
    """RFC 3891 §3: an INVITE that is to take the place of a call."""

    REPLACES = "Replaces: c1;to-tag=t1;from-tag=peer"

    def invite(self, *headers: str) -> bytes:
        contact = "Contact: <sip:carol@192.0.2.9>"
        return request(
            "INVITE",
            call_id="c2",
            from_tag="carol",
            branch="z9hG4bK-c2",
            headers=[contact, *headers],
            body=OFFER,
        )

    def replaced(self, wire: Wire) -> str | None:
        """The call that the last Incoming is to replace."""
        incoming = [event for event in wire.events if isinstance(event, Incoming)][-1]
        return incoming.replaces

    def test_a_confirmed_call(self) -> None:
        wire = talking()
        wire.receive(self.invite(self.REPLACES))
        assert self.replaced(wire) == "t1"

    def test_the_old_call_ends_when_the_new_one_is_answered(self) -> None:
        wire = talking()
        wire.receive(self.invite(self.REPLACES))
        new = wire.events[-1].call  # type: ignore[union-attr]
        wire.see(wire.endpoint.ring(new, wire.now))
        assert wire.see(wire.endpoint.answer(new, SDP, wire.now)) == [
            "SIP/2.0 200 OK",
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "us", "replaced", 200, None),
        ]
        assert wire.see(wire.endpoint.answer(new, SDP, wire.now)) == []

    def test_a_refused_one_changes_nothing(self) -> None:
        wire = talking()
        wire.receive(self.invite(self.REPLACES))
        new = wire.events[-1].call  # type: ignore[union-attr]
        wire.see(wire.endpoint.refuse(new, 603, wire.now))
        assert wire.endpoint.calls == 1

    def test_the_old_call_ends_first(self) -> None:
        wire = talking()
        wire.receive(self.invite(self.REPLACES))
        new = wire.events[-1].call  # type: ignore[union-attr]
        wire.receive(request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        assert wire.see(wire.endpoint.answer(new, SDP, wire.now)) == ["SIP/2.0 200 OK"]

    def test_a_reinvite_of_the_new_call_replaces_nothing_more(self) -> None:
        """Only the answer to the INVITE with the header does."""
        wire = talking()
        wire.receive(self.invite(self.REPLACES))
        new = wire.events[-1].call  # type: ignore[union-attr]
        assert wire.see(wire.endpoint.bye(new, wire.now))[0] == (
            "SIP/2.0 480 Temporarily Unavailable"
        )
        assert wire.endpoint.calls == 1

    @pytest.mark.parametrize(
        "header",
        [
            "c9;to-tag=t1;from-tag=peer",
            "c1;to-tag=t9;from-tag=peer",
            "c1;to-tag=t1;from-tag=other",
            "c1;to-tag=peer;from-tag=t1",
            "c1;to-tag=t1;from-tag=0",
        ],
    )
    def test_481_for_a_call_that_is_not_there(self, header: str) -> None:
        wire = talking()
        assert wire.receive(self.invite(f"Replaces: {header}")) == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]

    def test_486_for_an_answered_one_where_only_an_early_one_was_meant(self) -> None:
        wire = talking()
        assert wire.receive(self.invite(f"{self.REPLACES};early-only")) == ["SIP/2.0 486 Busy Here"]

    def test_603_for_one_that_has_ended(self) -> None:
        wire = talking()
        wire.receive(request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        assert wire.receive(self.invite(self.REPLACES)) == ["SIP/2.0 603 Decline"]

    def test_481_for_one_that_rings_here(self) -> None:
        """An early call is replaced at its caller's only."""
        wire = called()
        assert wire.receive(self.invite(self.REPLACES)) == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]

    @pytest.mark.parametrize("flag", ["", ";early-only"])
    def test_one_that_we_placed_and_that_rings_there(self, flag: str) -> None:
        """Our INVITE is cancelled when the new call is answered."""
        wire, invite = calling()
        contact = ["Contact: <sip:bob@192.0.2.9>"]
        wire.receive(response(invite, "180 Ringing", tag="bob", headers=contact))
        header = f"Replaces: {invite.headers.call_id};to-tag=t1;from-tag=bob{flag}"
        wire.receive(self.invite(header))
        assert self.replaced(wire) == "t1"
        new = wire.events[-1].call  # type: ignore[union-attr]
        seen = wire.see(wire.endpoint.answer(new, SDP, wire.now))
        assert seen[:2] == ["SIP/2.0 200 OK", "CANCEL sip:bob@192.0.2.9"]
        assert Ended("t1", "us", "cancelled", 487, None) in seen

    @pytest.mark.parametrize(
        "headers",
        [
            (REPLACES, REPLACES),
            ("Replaces: c1",),
            ("Replaces: c1;to-tag=t1;to-tag=t1;from-tag=peer",),
            (f"{REPLACES}, c1;to-tag=t1;from-tag=peer",),
        ],
    )
    def test_400_for_a_bad_header(self, headers: Sequence[str]) -> None:
        wire = talking()
        assert wire.receive(self.invite(*headers)) == ["SIP/2.0 400 Bad Replaces"]

    def test_400_in_another_request(self) -> None:
        wire = talking()
        assert wire.receive(request("OPTIONS", headers=[self.REPLACES])) == [
            "SIP/2.0 400 Bad Replaces"
        ]


class TestChallenges:
    """Who calls us may ask who we are, for what we ask of him within the call (§22)."""

    def wire(self, identity: Identity) -> Wire:
        numbers = count(1)
        screen = Screen(knows=lambda host: identity, accounts={}, key=bytes(32))
        own = {"pbx": Credentials("us", "secret", token=lambda: "c")}
        return Wire(Endpoint(token=lambda: f"t{next(numbers)}", screen=screen, credentials=own))

    def bye(self, identity: Identity) -> list[str]:
        """What follows the 407 to a BYE of ours."""
        wire = self.wire(identity)
        wire.receive(request("INVITE", body=OFFER))
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.receive(request("ACK", to_tag="t1"))
        wire.see(wire.endpoint.bye("t1", 0.0))
        challenge = 'Proxy-Authenticate: Digest realm="pbx", nonce="n", qop="auth", algorithm=MD5'
        seen = wire.receive(response(wire.last_request(), "407 No", headers=[challenge]))
        wire.wait(until=100.0)
        return [line for line in seen if isinstance(line, str)]

    def test_of_a_trunk_that_knows_us(self) -> None:
        (again,) = self.bye(Identity("pbx"))
        assert again.startswith("BYE ")

    @pytest.mark.parametrize("identity", [Identity("other"), Identity("pbx", "alice")])
    def test_of_anybody_else(self, identity: Identity) -> None:
        """A password is for its own trunk, and not for its users."""
        assert self.bye(identity) == []


class TestPhones:
    """A phone that registered is called by the way of its REGISTER (RFC 5626 §5.3).

    So goes all that follows, whatever its Contact says of where it is: a NAT or a connection that
    only the phone can open may be between.
    """

    @pytest.mark.parametrize(
        ("transport", "source", "host"),
        [
            ("udp", ("203.0.113.7", 31000), "10.0.0.5"),  # behind NAT
            ("udp", ("192.168.7.1", 31000), "10.0.0.5"),  # behind one of its own, near us
            ("tcp", ("203.0.113.7", 40000), "10.0.0.5"),
            ("tcp", ("203.0.113.7", 40000), "203.0.113.7"),  # its own end of the connection
            ("tls", ("203.0.113.7", 40000), "203.0.113.7"),
        ],
    )
    def test_by_its_own_way(self, transport: str, source: tuple[str, int], host: str) -> None:
        wire = Wire()
        contact = f"sip:alice@{host}:5062;transport={transport}"
        via = Via.parse(f"SIP/2.0/{transport.upper()} {host}:5062;rport;branch=z9hG4bK-1")
        flow = Flow(transport, US, source)
        binding = Binding(contact, flow, via, 300.0, "r1", 1)
        call, outputs = wire.endpoint.invite(contact, binding, OFFER, 0.0, from_uri="sip:us@h")
        assert wire.see(outputs) == [f"INVITE {contact}"]
        ok = response(wire.last_request(), "200 OK", headers=[f"Contact: <{contact}>"], body=ANSWER)
        wire.receive(ok, flow)
        wire.see(wire.endpoint.bye(call, 1.0))
        assert [it.method for it in wire.sent if isinstance(it, Request)] == [
            "INVITE",
            "ACK",
            "BYE",
        ]
        assert wire.ways == [source] * 3

    def test_a_connection_that_is_lost(self) -> None:
        """Nobody can be called by it, and nothing else is tried (RFC 5626 §5.3)."""
        wire = Wire()
        flow = Flow("tcp", US, ("203.0.113.7", 40000))
        via = Via.parse("SIP/2.0/TCP 10.0.0.5:5062;branch=z9hG4bK-1")
        binding = Binding("sip:alice@10.0.0.5", flow, via, 300.0, "r1", 1)
        target = binding.contact
        call, outputs = wire.endpoint.invite(target, binding, OFFER, 0.0, from_uri="sip:us@h")
        wire.see(outputs)
        ended = wire.see(wire.endpoint.failed(flow, 0.0))
        assert ended == [Ended(call, "network", "unreachable", 503, None)]
