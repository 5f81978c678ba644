"""RFC 3261 §9.2, §13.3 and RFC 3262 §3: an INVITE of the peer's is answered."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import (
    Confirmed,
    Ended,
    Incoming,
    Offered,
    Transmit,
)

from .wire import ANSWER, FLOW, OFFER, Wire, called, request, talking

CONTACT = "Contact: <sip:bob@192.0.2.9:5070>"


class TestCalled:
    def test_answered(self) -> None:
        """
        100 at once, 180, 200; then the ACK (§13.3.1).
        """
        wire = Wire()
        invite = request("INVITE", body=OFFER)

        trying, incoming = wire.receive(invite)
        assert trying == "SIP/2.0 100 Trying"
        assert isinstance(incoming, Incoming)
        assert (incoming.call, incoming.request.body, incoming.flow) == ("t1", OFFER, FLOW)
        assert wire.endpoint.calls == 1
        assert wire.see(wire.endpoint.ring("t1", 0.0)) == ["SIP/2.0 180 Ringing"]
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.0)) == ["SIP/2.0 200 OK"]
        assert wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1")) == [
            Confirmed("t1", b"")
        ]
        assert wire.endpoint.deadline == 32.0  # only the transaction, which absorbs copies (L)
        assert wire.wait(100.0) == []
        assert wire.endpoint.calls == 1

    def test_bytes_of_the_answer(self) -> None:
        """
        The 200 as it goes out: To with our tag, Record-Route copied in order, Contact, Allow,
        Supported (§12.1.1, §13.3.1.4).
        """
        wire = Wire()
        routes = ["Record-Route: <sip:p1;lr>", "Record-Route: <sip:p2;lr>, <sip:p3>"]
        wire.receive(request("INVITE", headers=[*routes, CONTACT]))
        (transmit,) = wire.endpoint.answer("t1", ANSWER, 0.0)

        assert isinstance(transmit, Transmit)
        assert transmit.flow == FLOW
        assert transmit.data.decode().split("\r\n") == [
            "SIP/2.0 200 OK",
            "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1;received=192.0.2.9;rport=5060",
            'From: "Alice" <sip:alice@example.com>;tag=peer',
            "To: <sip:7000@192.0.2.1>;tag=t1",
            "Call-ID: c1",
            "CSeq: 1 INVITE",
            "Server: gateway",
            "Record-Route: <sip:p1;lr>",
            "Record-Route: <sip:p2;lr>, <sip:p3>",
            "Contact: <sip:192.0.2.1:5060>",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY",
            "Supported: 100rel, timer, replaces, norefersub",
            "Content-Type: application/sdp",
            "Content-Length: 15",
            "",
            "v=0",
            "o=answer",
            "",
        ]

    def test_copies_of_the_invite(self) -> None:
        """
        A repeated INVITE gets the last response, and is never a second call (§17.2.1).
        """
        wire = called()
        invite = request("INVITE", body=OFFER)

        assert wire.receive(invite) == ["SIP/2.0 100 Trying"]
        wire.see(wire.endpoint.ring("t1", 0.0))
        assert wire.receive(invite) == ["SIP/2.0 180 Ringing"]
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert wire.receive(invite) == []
        assert wire.endpoint.calls == 1

    def test_ringing_is_repeated(self) -> None:
        """
        A provisional response each minute keeps proxies patient (§13.3.1.1).
        """
        wire = called()
        wire.see(wire.endpoint.ring("t1", 0.0))

        ringing = "SIP/2.0 180 Ringing"
        assert wire.wait(130.0) == [(60.0, ringing), (120.0, ringing)]
        wire.see(wire.endpoint.answer("t1", ANSWER, 130.0))
        assert wire.endpoint.ring("t1", 130.0) == []

    def test_ack_is_lost(self) -> None:
        """
        The 200 is resent from T1 to T2, until the ACK (§13.3.1.4).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert [at for at, _ in wire.wait(8.0)] == [0.5, 1.5, 3.5, 7.5]
        assert wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1")) == [
            Confirmed("t1", b"")
        ]
        assert wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1")) == []
        assert wire.wait(40.0) == []

    def test_no_ack_at_all(self) -> None:
        """
        After 64*T1 the call is over: BYE (§13.3.1.4).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        seen = wire.wait(32.0)

        assert [at for at, what in seen if what == "SIP/2.0 200 OK"] == [
            0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5,
        ]  # fmt: skip
        assert seen[-2:] == [
            (32.0, "BYE sip:alice@192.0.2.9"),
            (32.0, Ended("t1", "network", "no_ack", 200, None)),
        ]
        assert wire.last.headers.get("Reason") == 'Q.850;cause=102;text="no_ack"'
        wire.wait_until_idle()
        assert len(wire.events) == 2

    def test_ack_of_another_invite(self) -> None:
        """
        Only the ACK with the INVITE's CSeq counts (§13.2.2.4).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert wire.receive(request("ACK", cseq=2, branch="z9hG4bK-2", to_tag="t1")) == []

    def test_ack_with_the_branch_of_the_invite(self) -> None:
        """
        Some peers keep the branch: the transaction hands the ACK on (RFC 6026 §7.1).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert wire.receive(request("ACK", to_tag="t1")) == [Confirmed("t1", b"")]

    def test_late_offer(self) -> None:
        """
        An INVITE without offer: ours is in the 200, the answer comes with the ACK (§13.2.1).
        """
        wire = Wire()
        wire.receive(request("INVITE"))
        wire.see(wire.endpoint.answer("t1", OFFER, 0.0))
        ack = request("ACK", branch="z9hG4bK-2", to_tag="t1", body=ANSWER)

        assert wire.receive(ack) == [Confirmed("t1", ANSWER)]

    def test_ack_with_something_else(self) -> None:
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        ack = request("ACK", branch="z9hG4bK-2", to_tag="t1", body=b"<xml>")

        assert wire.receive(ack.replace(b"application/sdp", b"application/xml")) == [
            Confirmed("t1", b"")
        ]

    def test_refused(self) -> None:
        """
        A refusal is resent until its ACK; the call is over at once (§13.3.1.3).
        """
        wire = called()
        outputs = wire.endpoint.refuse("t1", 503, 0.0, headers=[("Retry-After", "5")])

        assert wire.see(outputs) == [
            "SIP/2.0 503 Service Unavailable",
            Ended("t1", "us", "refused", 503, "Service Unavailable"),
        ]
        assert wire.last.headers.get("Retry-After") == "5"
        assert wire.endpoint.calls == 0
        assert [at for at, _ in wire.wait(2.0)] == [0.5, 1.5]
        assert wire.receive(request("ACK", to_tag="t1")) == []
        assert wire.wait(100.0) == []
        assert wire.endpoint.idle

    def test_refused_in_other_words(self) -> None:
        wire = called()

        assert wire.see(wire.endpoint.refuse("t1", 488, 0.0, reason="No Codec")) == [
            "SIP/2.0 488 No Codec",
            Ended("t1", "us", "refused", 488, "No Codec"),
        ]
        wire.wait_until_idle()

    def test_cancelled(self) -> None:
        """
        200 to the CANCEL, 487 to the INVITE (§9.2).
        """
        wire = called()
        wire.see(wire.endpoint.ring("t1", 0.0))
        cancel = request("CANCEL", headers=["Reason: SIP;cause=200"])

        assert wire.receive(cancel) == [
            "SIP/2.0 200 OK",
            "SIP/2.0 487 Request Terminated",
            Ended("t1", "peer", "cancelled", 487, "SIP;cause=200"),
        ]
        assert wire.sent[-1].headers.to.tag == wire.sent[-2].headers.to.tag == "t1"
        assert wire.receive(cancel) == ["SIP/2.0 200 OK"]
        assert wire.receive(request("ACK", to_tag="t1")) == []
        for command in (wire.endpoint.ring("t1", 0.0), wire.endpoint.answer("t1", b"", 0.0)):
            assert command == []
        wire.wait_until_idle()

    def test_expired(self) -> None:
        """
        The caller wants an answer within that time, or none (§13.3.1).
        """
        contact = "Contact: <sip:alice@192.0.2.9>"
        wire = called(headers=[contact, "Expires: 20"])
        wire.see(wire.endpoint.ring("t1", 0.0))

        assert wire.wait(20.0) == [
            (20.0, "SIP/2.0 487 Request Terminated"),
            (20.0, Ended("t1", "peer", "cancelled", 487, None)),
        ]
        wire.receive(request("ACK", to_tag="t1"))
        wire.wait_until_idle()

    @pytest.mark.parametrize("expires", ["soon", "-1", ""])
    def test_expires_says_nothing(self, expires: str) -> None:
        contact = "Contact: <sip:alice@192.0.2.9>"
        wire = called(headers=[contact, f"Expires: {expires}"])
        assert wire.wait(200.0) == []

    def test_answered_before_it_expires(self) -> None:
        contact = "Contact: <sip:alice@192.0.2.9>"
        wire = called(headers=[contact, "Expires: 20"])
        wire.see(wire.endpoint.answer("t1", ANSWER, 19.0))
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"))
        wire.wait(100.0)
        assert wire.endpoint.calls == 1

    def test_a_reinvite_expires(self) -> None:
        """
        The call goes on as it was.
        """
        wire = talking()
        headers = ["Contact: <sip:alice@192.0.2.9>", "Expires: 5"]
        wire.receive(
            request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=headers, body=OFFER)
        )
        assert wire.wait(5.0) == [(5.0, "SIP/2.0 487 Request Terminated")]
        assert wire.endpoint.calls == 1

    def test_cancelled_too_late(self) -> None:
        """
        After the final response a CANCEL is answered and does nothing (§9.2).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert wire.receive(request("CANCEL")) == ["SIP/2.0 200 OK"]
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"))
        assert wire.endpoint.calls == 1


RELIABLE = ["Contact: <sip:alice@192.0.2.9>", "Require: 100rel"]
WILLING = ["Contact: <sip:alice@192.0.2.9>", "Supported: 100rel, timer"]
RINGING, PROGRESS, OK = "SIP/2.0 180 Ringing", "SIP/2.0 183 Session Progress", "SIP/2.0 200 OK"


class TestReliable:
    """RFC 3262 §3."""

    def invited(self, *, headers: list[str], body: bytes = OFFER) -> Wire:
        wire = Wire()
        wire.receive(request("INVITE", headers=headers, body=body))
        return wire

    def prack(self, wire: Wire, *, cseq: int = 2, body: bytes = b"", rack: str = "") -> bytes:
        """Acknowledge the latest response."""
        rack = rack or f"{wire.last.headers.get('RSeq')} 1 INVITE"
        headers = [f"RAck: {rack}"]
        return request(
            "PRACK", cseq=cseq, branch=f"z9hG4bK-p{cseq}", to_tag="t1", headers=headers, body=body
        )

    def test_required(self) -> None:
        """
        Ringing has a number, is resent until its PRACK, and that is answered.
        """
        wire = self.invited(headers=RELIABLE)
        assert wire.see(wire.endpoint.ring("t1", 0.0)) == [RINGING]
        ringing = wire.last
        assert ringing.headers.get("Require") == "100rel"
        assert 1 <= int(ringing.headers.get("RSeq") or 0) < 2**31
        assert ringing.headers.to.tag == "t1"

        assert wire.wait(2.0) == [(0.5, RINGING), (1.5, RINGING)]
        assert wire.last == ringing
        prack = self.prack(wire)
        assert wire.receive(prack) == [OK]
        assert wire.receive(prack) == [OK]
        assert wire.wait(10.0) == []
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 10.0)) == [OK]
        assert wire.last_response().body == ANSWER

    def test_supported(self) -> None:
        """
        Where it is only supported, a session description is worth it, and ringing is not.
        """
        wire = self.invited(headers=WILLING)
        wire.see(wire.endpoint.ring("t1", 0.0))
        assert wire.last.headers.get("RSeq") is None
        assert wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER)) == [PROGRESS]
        assert wire.last.headers.get("RSeq")
        assert wire.last_response().body == ANSWER

    def test_neither(self) -> None:
        """
        Early media of a peer that knows nothing of it, each minute again.
        """
        wire = self.invited(headers=["Contact: <sip:alice@192.0.2.9>"])
        assert wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER)) == [PROGRESS]
        assert wire.last.headers.get("RSeq") is None
        assert wire.wait(60.0) == [(60.0, PROGRESS)]
        assert wire.last_response().body == ANSWER

    def test_again_each_minute(self) -> None:
        """
        Reliable where it must be, with the next number, and without a second description.
        """
        wire = self.invited(headers=RELIABLE)
        wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
        first = int(wire.last.headers.get("RSeq") or 0)
        wire.receive(self.prack(wire))
        assert wire.wait(60.0) == [(60.0, PROGRESS)]
        assert int(wire.last.headers.get("RSeq") or 0) == first + 1
        assert wire.last_response().body == b""

    def test_the_second_waits_for_the_first(self) -> None:
        wire = self.invited(headers=RELIABLE)
        wire.see(wire.endpoint.ring("t1", 0.0))
        assert wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER)) == []
        assert wire.receive(self.prack(wire)) == [OK, PROGRESS]

    def test_the_answer_waits_for_the_prack(self) -> None:
        """
        A 2xx may not overtake a session description; it has none then (RFC 3261 §13.2.1).
        """
        wire = self.invited(headers=WILLING)
        wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
        assert wire.endpoint.answer("t1", ANSWER, 0.1) == []
        assert wire.receive(self.prack(wire)) == [OK, OK]
        assert [m.headers.cseq.method for m in wire.sent[-2:]] == ["PRACK", "INVITE"]
        assert wire.last_response().body == b""
        assert wire.receive(request("ACK", branch="z9hG4bK-a", to_tag="t1")) == [
            Confirmed("t1", b"")
        ]

    def test_the_answer_does_not_wait_for_that_of_mere_ringing(self) -> None:
        """
        Its copies end, and a PRACK that is under way is still answered.
        """
        wire = self.invited(headers=RELIABLE)
        wire.see(wire.endpoint.ring("t1", 0.0))
        prack = self.prack(wire)
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.1)) == [OK]
        assert wire.receive(prack) == [OK]
        wire.receive(request("ACK", branch="z9hG4bK-a", to_tag="t1"))
        assert wire.wait(30.0) == []

    @pytest.mark.parametrize("rack", ["1 1 INVITE", "x", "0 1 INVITE"])
    def test_a_prack_of_something_else(self, rack: str) -> None:
        wire = self.invited(headers=RELIABLE)
        gone = ["SIP/2.0 481 Call/Transaction Does Not Exist"]
        assert wire.receive(self.prack(wire, cseq=2, rack=rack)) == gone
        wire.see(wire.endpoint.ring("t1", 0.0))
        assert wire.receive(self.prack(wire, cseq=3, rack=rack)) == gone

    def test_no_prack_at_all(self) -> None:
        """
        After 64*T1 the INVITE is refused with a 5xx.
        """
        for body in (b"", ANSWER):
            wire = self.invited(headers=RELIABLE)
            wire.see(wire.endpoint.ring("t1", 0.0, body=body))
            wire.endpoint.answer("t1", ANSWER, 0.0) if body else None
            assert wire.wait(32.0)[-2:] == [
                (32.0, "SIP/2.0 504 Server Time-out"),
                (32.0, Ended("t1", "network", "timeout", 504, None)),
            ]
            wire.wait_until_idle()

    def test_our_offer(self) -> None:
        """
        Of an INVITE without one it may go in a reliable 18x; the answer is in the PRACK.
        """
        wire = self.invited(headers=WILLING, body=b"")
        assert wire.see(wire.endpoint.ring("t1", 0.0, body=OFFER)) == [PROGRESS]
        assert wire.endpoint.answer("t1", OFFER, 0.1) == []
        assert wire.receive(self.prack(wire, body=ANSWER)) == [OK, Confirmed("t1", ANSWER), OK]
        assert wire.last_response().body == b""

    def test_our_offer_may_not_be_lost(self) -> None:
        """
        Not in a response that nobody acknowledges.
        """
        wire = self.invited(headers=["Contact: <sip:alice@192.0.2.9>"], body=b"")
        assert wire.see(wire.endpoint.ring("t1", 0.0, body=OFFER)) == [RINGING]
        assert wire.last_response().body == b""

    def test_required_and_no_offer(self) -> None:
        """
        What is first acknowledged has to hold our offer (RFC 3261 §13.2.1): no ringing before.
        """
        wire = self.invited(headers=RELIABLE, body=b"")
        assert wire.endpoint.ring("t1", 0.0) == []
        assert wire.see(wire.endpoint.ring("t1", 0.0, body=OFFER)) == [PROGRESS]
        wire.receive(self.prack(wire, body=ANSWER))
        assert wire.see(wire.endpoint.ring("t1", 1.0)) == [RINGING]
        assert wire.receive(self.prack(wire, cseq=3)) == [OK]
        assert wire.see(wire.endpoint.answer("t1", OFFER, 2.0)) == [OK]

    def test_an_offer_in_the_prack(self) -> None:
        """
        Once the first one has its answer (§5): it is answered in the 200 to the PRACK.
        """
        wire = self.invited(headers=WILLING)
        wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
        prack = self.prack(wire, body=OFFER)
        (offered,) = wire.receive(prack)
        assert isinstance(offered, Offered)
        assert offered.request.method == "PRACK"
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.1)) == [OK]
        assert wire.last.headers.cseq.method == "PRACK"
        assert wire.last_response().body == ANSWER
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.2)) == [OK]
        assert wire.last.headers.cseq.method == "INVITE"

    def test_an_offer_in_the_prack_while_the_first_is_open(self) -> None:
        """
        There is none (RFC 3264 §4, RFC 3262 §5): the PRACK is for the 180, the answer in the 200.
        """
        wire = self.invited(headers=RELIABLE)
        wire.see(wire.endpoint.ring("t1", 0.0))
        assert wire.receive(self.prack(wire, body=OFFER)) == [OK]
        assert wire.last_response().body == b""
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.2)) == [OK]
        assert wire.last_response().body == ANSWER

    def test_cancelled(self) -> None:
        """
        Nothing of it is left.
        """
        wire = self.invited(headers=RELIABLE)
        wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
        assert wire.receive(request("CANCEL"))[:2] == [OK, "SIP/2.0 487 Request Terminated"]
        wire.receive(request("ACK", to_tag="t1"))
        wire.wait_until_idle()


class TestTimed:
    """The session interval in our 2xx (RFC 4028 §9)."""

    def test_answered(self) -> None:
        wire = Wire()
        wire.receive(request("INVITE", headers=[*WILLING, "Session-Expires: 600"], body=OFFER))
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert wire.last.headers.get("Session-Expires") == "600;refresher=uas"
        assert wire.last.headers.get("Require") == "timer"

    def test_too_small(self) -> None:
        """
        422, before there is a call.
        """
        wire = Wire()
        data = request("INVITE", headers=[*WILLING, "Session-Expires: 60"], body=OFFER)
        assert wire.receive(data) == ["SIP/2.0 422 Session Interval Too Small"]
        assert wire.last.headers.get("Min-SE") == "90"
        assert wire.events == []
