"""RFC 3261 §9, §13, §14, §15: each test is one way of a call."""

import pytest

from gateway.sip.endpoint import (
    Answered,
    Confirmed,
    Ended,
    Flow,
    Incoming,
    Offered,
    Progress,
    Refused,
    Transmit,
)
from gateway.sip.grammar import SipError
from gateway.sip.message import Request, Response, parse

from .wire import ANSWER, FLOW, OFFER, US, Wire, called, calling, request, response, talking

HELD = b"v=0\r\no=held\r\n"
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
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS",
            "Supported: ",
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

    def test_cancelled_too_late(self) -> None:
        """
        After the final response a CANCEL is answered and does nothing (§9.2).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert wire.receive(request("CANCEL")) == ["SIP/2.0 200 OK"]
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"))
        assert wire.endpoint.calls == 1

    def test_bye_before_the_answer(self) -> None:
        """
        A caller may end an early dialog by BYE, too (§15): 200, and 487 to the INVITE.
        """
        wire = called()
        wire.see(wire.endpoint.ring("t1", 0.0))

        assert wire.receive(request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1")) == [
            "SIP/2.0 200 OK",
            "SIP/2.0 487 Request Terminated",
            Ended("t1", "peer", "hang_up", 487, None),
        ]
        wire.receive(request("ACK", to_tag="t1"))
        wire.wait_until_idle()

    def test_bye_before_the_ack(self) -> None:
        """
        The ACK is lost and the peer has hung up: the 200 is not resent any more.
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert wire.receive(request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1")) == [
            "SIP/2.0 200 OK",
            Ended("t1", "peer", "hang_up", 200, None),
        ]
        assert wire.wait(31.0) == []
        assert wire.receive(request("ACK", branch="z9hG4bK-3", to_tag="t1")) == []
        wire.wait_until_idle()

    def test_we_end_it_early(self) -> None:
        """
        480 to an INVITE that still waits.
        """
        wire = called()
        outputs = wire.endpoint.bye("t1", 0.0, reason="Q.850;cause=16")

        assert wire.see(outputs) == [
            "SIP/2.0 480 Temporarily Unavailable",
            Ended("t1", "us", "refused", 480, "Q.850;cause=16"),
        ]
        assert wire.last.headers.get("Reason") == "Q.850;cause=16"
        wire.receive(request("ACK", to_tag="t1"))
        wire.wait_until_idle()

    def test_we_end_it_before_the_ack(self) -> None:
        """
        The called side sends no BYE before the ACK has come (§15); the owner need not wait.
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        ended = Ended("t1", "us", "hang_up", 200, "Q.850;cause=16")

        assert wire.see(wire.endpoint.bye("t1", 0.0, reason="Q.850;cause=16")) == [ended]
        assert wire.endpoint.bye("t1", 0.0) == []
        assert wire.wait(0.5) == [(0.5, "SIP/2.0 200 OK")]
        ack = request("ACK", branch="z9hG4bK-2", to_tag="t1")
        assert wire.receive(ack) == ["BYE sip:alice@192.0.2.9"]
        assert wire.last.headers.get("Reason") == "Q.850;cause=16"
        assert wire.receive(ack) == []
        wire.receive(response(wire.last_request(), "200 OK"))
        wire.wait_until_idle()

    def test_we_end_it_and_no_ack_comes(self) -> None:
        """
        ... or until its time is over (§15).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.see(wire.endpoint.bye("t1", 0.0))

        assert wire.wait(32.0)[-1] == (32.0, "BYE sip:alice@192.0.2.9")
        wire.wait_until_idle()
        assert len([event for event in wire.events if isinstance(event, Ended)]) == 1

    def test_reason_of_many_lines(self) -> None:
        """
        A Reason that would not stay one line is refused when it is given, not when it is sent.
        """
        wire = talking()

        with pytest.raises(ValueError, match="not a header"):
            wire.endpoint.bye("t1", 0.0, reason="a\r\nb: c")


class TestTalking:
    def test_peer_hangs_up(self) -> None:
        """
        200 to the BYE, and to its copies; the Reason is told, without half characters (§15.1.2).
        """
        wire = talking()
        reason = ['Reason: Q.850;text="X"']
        bye = request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=reason)
        bye = bye.replace(b"X", b"\xff")

        assert wire.receive(bye) == [
            "SIP/2.0 200 OK",
            Ended("t1", "peer", "hang_up", 200, 'Q.850;text="\ufffd"'),
        ]
        assert wire.receive(bye) == ["SIP/2.0 200 OK"]
        assert wire.endpoint.calls == 0
        wire.wait_until_idle()

    def test_we_hang_up(self) -> None:
        """
        BYE, resent until its response (§15.1.1); the owner is told at once.
        """
        wire = talking()
        assert wire.see(wire.endpoint.bye("t1", 0.0)) == [
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "us", "hang_up", 200, None),
        ]
        bye = wire.last_request()
        assert wire.wait(0.5) == [(0.5, "BYE sip:alice@192.0.2.9")]
        assert wire.receive(response(bye, "200 OK")) == []
        wire.wait_until_idle()

    def test_nobody_answers_our_bye(self) -> None:
        """
        11 copies in 32 s (E, F), and nothing is left.
        """
        wire = talking()
        wire.see(wire.endpoint.bye("t1", 0.0))

        assert len(wire.wait(100.0)) == 10
        assert wire.endpoint.idle

    def test_both_hang_up(self) -> None:
        """
        BYEs that cross are both answered 200, and the call has ended once.
        """
        wire = talking()
        wire.see(wire.endpoint.bye("t1", 0.0))

        bye = request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1")
        assert wire.receive(bye) == ["SIP/2.0 200 OK"]
        wire.wait_until_idle()

    def test_after_the_end(self) -> None:
        """
        Any other request gets 481 (§12.2.2).
        """
        wire = talking()
        wire.see(wire.endpoint.bye("t1", 0.0))

        again = request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=OFFER)
        assert wire.receive(again) == ["SIP/2.0 481 Call/Transaction Does Not Exist"]
        wire.wait_until_idle()

    def test_old_cseq(self) -> None:
        """
        A CSeq that does not go up: 500, and nothing happens (§12.2.2).
        """
        wire = talking(cseq=10)
        wire.receive(request("ACK", cseq=10, branch="z9hG4bK-ack", to_tag="t1"))

        for number, branch in ((9, "z9hG4bK-2"), (10, "z9hG4bK-3")):
            bye = request("BYE", cseq=number, branch=branch, to_tag="t1")
            assert wire.receive(bye) == ["SIP/2.0 500 CSeq Out Of Order"]
        assert wire.endpoint.calls == 1

    def test_options(self) -> None:
        """
        Within a dialog OPTIONS is answered as outside (§11.2).
        """
        wire = talking()
        wire.endpoint.draining = True

        options = request("OPTIONS", cseq=2, branch="z9hG4bK-2", to_tag="t1")
        assert wire.receive(options) == ["SIP/2.0 200 OK"]
        assert wire.last.headers.get("Accept") == "application/sdp"

    @pytest.mark.parametrize("method", ["INFO", "UPDATE", "REFER", "PRACK", "NOTIFY"])
    def test_other_methods(self, method: str) -> None:
        wire = talking()

        seen = wire.receive(request(method, cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        assert seen == ["SIP/2.0 405 Method Not Allowed"]
        assert wire.last.headers.get("Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS"

    def test_requests_follow_the_peer(self) -> None:
        """
        What we send goes where the peer's latest request came from: behind NAT no other way leads
        there, and no Contact is a target of ours.
        """
        moved = Flow("udp", US, ("198.51.100.7", 1024))
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"), moved)

        bye, _ = wire.endpoint.bye("t1", 0.0)
        assert isinstance(bye, Transmit)
        assert bye.flow == moved

    def test_no_way_for_strangers(self) -> None:
        """
        A request with a foreign tag is not the dialog's: 481, and our way stays.
        """
        wire = talking()
        elsewhere = Flow("udp", US, ("198.51.100.7", 1024))
        bye = request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1", from_tag="stranger")

        assert wire.receive(bye, elsewhere) == ["SIP/2.0 481 Call/Transaction Does Not Exist"]
        (transmit, _) = wire.endpoint.bye("t1", 0.0)
        assert isinstance(transmit, Transmit)
        assert transmit.flow == FLOW


class TestReinvite:
    """The peer changes the session (§14.2)."""

    def reinvited(self) -> Wire:
        wire = talking()
        seen = wire.receive(self.offer(2))
        assert seen[0] == "SIP/2.0 100 Trying"
        assert isinstance(seen[1], Offered)
        return wire

    def offer(self, cseq: int, *, body: bytes = HELD) -> bytes:
        return request(
            "INVITE",
            cseq=cseq,
            branch=f"z9hG4bK-{cseq}",
            to_tag="t1",
            headers=["Contact: <sip:alice@192.0.2.10>", "Record-Route: <sip:ignored;lr>"],
            body=body,
        )

    def ack(self, cseq: int, body: bytes = b"") -> bytes:
        return request("ACK", cseq=cseq, branch=f"z9hG4bK-a{cseq}", to_tag="t1", body=body)

    def test_answered(self) -> None:
        """
        200, ACK, and the peer's new Contact is the target from now on (§12.2.2).
        """
        wire = self.reinvited()

        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.0)) == ["SIP/2.0 200 OK"]
        assert wire.last.headers.all("Record-Route") == []
        assert wire.last.headers.to.tag == "t1"
        assert wire.receive(self.ack(2)) == [Confirmed("t1", b"")]
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.10"

    def test_refused(self) -> None:
        """
        The session stays as it was, and so does the target (§14.2).
        """
        wire = self.reinvited()

        outputs = wire.endpoint.refuse("t1", 488, 0.0, headers=[("Warning", '304 gw "no"')])
        assert wire.see(outputs) == ["SIP/2.0 488 Not Acceptable Here"]
        wire.receive(request("ACK", cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.9"

    def test_withdrawn(self) -> None:
        """
        A CANCEL takes the offer back; the call goes on (§14.2).
        """
        wire = self.reinvited()

        assert wire.receive(request("CANCEL", cseq=2, branch="z9hG4bK-2", to_tag="t1")) == [
            "SIP/2.0 200 OK",
            "SIP/2.0 487 Request Terminated",
        ]
        assert wire.endpoint.answer("t1", ANSWER, 0.0) == []
        assert wire.endpoint.refuse("t1", 488, 0.0) == []
        assert wire.endpoint.calls == 1

    def test_a_second_one_while_the_first_waits(self) -> None:
        """
        500 with Retry-After of 0 to 10 s (§14.2); so before the first answer, too.
        """
        for wire in (self.reinvited(), called()):
            seen = wire.receive(self.offer(3))
            assert seen == ["SIP/2.0 500 Server Internal Error"]
            assert 0 <= int(wire.last.headers.get("Retry-After") or "x") <= 10

    def test_while_ours_waits(self) -> None:
        """
        Both sides offer at once: 491 (§14.2).
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))

        assert wire.receive(self.offer(2)) == ["SIP/2.0 491 Request Pending"]

    def test_ack_of_the_answer_was_lost(self) -> None:
        """
        A peer that offers again has had our 200 (RFC 5407 §3.1.4).
        """
        wire = called()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        seen = wire.receive(self.offer(2))
        assert seen[:2] == [Confirmed("t1", b""), "SIP/2.0 100 Trying"]
        assert isinstance(seen[2], Offered)
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert wire.receive(self.ack(1)) == []
        assert wire.receive(self.ack(2)) == [Confirmed("t1", b"")]

    def test_while_our_offer_waits_for_its_ack(self) -> None:
        """
        The answer to the offer in our 200 is still to come: 491.
        """
        wire = Wire()
        wire.receive(request("INVITE"))
        wire.see(wire.endpoint.answer("t1", OFFER, 0.0))

        assert wire.receive(self.offer(2)) == ["SIP/2.0 491 Request Pending"]
        assert wire.receive(self.ack(1, ANSWER)) == [Confirmed("t1", ANSWER)]

    def test_no_ack(self) -> None:
        """
        A 200 to a re-INVITE without ACK ends the call as well (§14.2).
        """
        wire = self.reinvited()
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))

        assert wire.wait(32.0)[-1] == (32.0, Ended("t1", "network", "no_ack", 200, None))

    def test_we_hang_up_while_it_waits(self) -> None:
        """
        487 to what waits, then BYE.
        """
        wire = self.reinvited()

        assert wire.see(wire.endpoint.bye("t1", 0.0)) == [
            "SIP/2.0 487 Request Terminated",
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "us", "hang_up", 200, None),
        ]
        wire.receive(request("ACK", cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        wire.wait_until_idle()

    def test_peer_hangs_up_while_it_waits(self) -> None:
        """
        What waits is answered, too (§15.1.2).
        """
        wire = self.reinvited()

        assert wire.receive(request("BYE", cseq=3, branch="z9hG4bK-3", to_tag="t1")) == [
            "SIP/2.0 200 OK",
            "SIP/2.0 487 Request Terminated",
            Ended("t1", "peer", "hang_up", 200, None),
        ]

    def test_unknown_extension(self) -> None:
        wire = talking()
        offer = self.offer(2).replace(b"Record-Route: <sip:ignored;lr>", b"Require: foo")

        assert wire.receive(offer) == ["SIP/2.0 420 Bad Extension"]

    def test_ringing_is_for_calls(self) -> None:
        assert self.reinvited().endpoint.ring("t1", 0.0) == []


class TestCalling:
    def test_bytes_of_the_invite(self) -> None:
        """
        The INVITE as it goes out (§8.1.1, §13.2.1).
        """
        wire = Wire()
        _, (transmit,) = wire.endpoint.invite(
            "sip:bob@192.0.2.9",
            FLOW,
            OFFER,
            0.0,
            from_uri='"Gateway" <sip:gw@192.0.2.1>;tag=ignored',
            headers=[("X-Trace", "1")],
        )

        assert isinstance(transmit, Transmit)
        assert transmit.flow == FLOW
        assert transmit.data.decode().split("\r\n") == [
            "INVITE sip:bob@192.0.2.9 SIP/2.0",
            "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKt2",
            "Max-Forwards: 70",
            'From: "Gateway" <sip:gw@192.0.2.1>;tag=t1',
            "To: <sip:bob@192.0.2.9>",
            "Call-ID: t3",
            "CSeq: 1 INVITE",
            "Contact: <sip:192.0.2.1:5060>",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS",
            "Supported: ",
            "User-Agent: gateway",
            "Content-Type: application/sdp",
            "X-Trace: 1",
            "Content-Length: 14",
            "",
            "v=0",
            "o=offer",
            "",
        ]

    def test_bad_address(self) -> None:
        """
        What is no address is refused before anything is kept.
        """
        wire = Wire()
        for target, own in (("bob", "sip:a@x"), ("sip:b@x\r\nX: y", "sip:a@x"), ("sip:b@x", "me")):
            with pytest.raises(SipError):
                wire.endpoint.invite(target, FLOW, OFFER, 0.0, from_uri=own)
        assert wire.endpoint.idle

    def test_answered(self) -> None:
        """
        100, 180, 200: the ACK has its own branch, and the Contact as Request-URI (§13.2.2.4).
        """
        wire, invite = calling()

        assert wire.receive(response(invite, "100 Trying", tag=None)) == []
        ringing = response(invite, "183 Session Progress", headers=[CONTACT], body=ANSWER)
        assert wire.receive(ringing) == [Progress("t1", 183, ANSWER)]
        routes = ["Record-Route: <sip:p1;lr>", "Record-Route: <sip:p2;lr>"]
        ok = response(invite, "200 OK", headers=[CONTACT, *routes], body=ANSWER)
        assert wire.receive(ok) == ["ACK sip:bob@192.0.2.9:5070", Answered("t1", ANSWER)]
        ack = wire.last_request()
        assert ack.headers.via.branch != invite.headers.via.branch
        assert ack.headers.all("Route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
        assert ack.headers.get("CSeq") == "1 ACK"
        assert wire.endpoint.calls == 1

    def test_ack_is_lost(self) -> None:
        """
        Each copy of the 2xx gets the same ACK again, for 64*T1 (§13.2.2.4).
        """
        wire, invite = calling()
        ok = response(invite, "200 OK", headers=[CONTACT], body=ANSWER)
        wire.receive(ok)
        first = wire.last

        assert wire.receive(ok) == ["ACK sip:bob@192.0.2.9:5070"]
        assert wire.last == first
        wire.wait(32.0)
        assert wire.receive(ok) == []

    def test_no_tag_and_no_contact(self) -> None:
        """
        A 2xx of an old or careless peer still makes a call.
        """
        wire, invite = calling()

        seen = wire.receive(response(invite, "200 OK", tag=None, body=ANSWER))
        assert seen == ["ACK sip:bob@192.0.2.9", Answered("t1", ANSWER)]
        bye = request("BYE", call_id="t3", to_tag="t1").replace(b";tag=peer", b"")
        assert wire.receive(bye)[0] == "SIP/2.0 200 OK"

    def test_busy(self) -> None:
        """
        The transaction acknowledges a refusal (§17.1.1.3); nothing is left after timer D.
        """
        wire, invite = calling()
        busy = response(invite, "486 Busy Here")

        assert wire.receive(busy) == [
            "ACK sip:bob@192.0.2.9",
            Ended("t1", "peer", "refused", 486, "Busy Here"),
        ]
        assert wire.last.headers.via.branch == invite.headers.via.branch
        assert wire.receive(busy) == ["ACK sip:bob@192.0.2.9"]
        wire.wait_until_idle()
        assert wire.now == 32.0

    def test_nobody_there(self) -> None:
        """
        Timer B: as if 408 had come (§8.1.3.1).
        """
        wire, _ = calling()

        assert wire.wait(40.0)[-1] == (32.0, Ended("t1", "network", "timeout", 408, None))
        assert wire.endpoint.idle

    def test_rings_for_ever(self) -> None:
        """
        Three minutes after the last word of the peer the call is cancelled and given up.
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing"))
        wire.wait(100.0)
        wire.receive(response(invite, "180 Ringing"))

        seen = wire.wait(280.0)
        assert seen == [
            (280.0, "CANCEL sip:bob@192.0.2.9"),
            (280.0, Ended("t1", "network", "timeout", 408, None)),
        ]
        wire.wait_until_idle()

    def test_cancel(self) -> None:
        """
        CANCEL, 200 to it, 487 to the INVITE, ACK (§9.1).
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing"))

        assert wire.see(wire.endpoint.bye("t1", 0.0, reason="SIP;cause=200")) == [
            "CANCEL sip:bob@192.0.2.9",
            Ended("t1", "us", "cancelled", 487, "SIP;cause=200"),
        ]
        cancel = wire.last_request()
        assert cancel.headers.via.branch == invite.headers.via.branch
        assert cancel.headers.get("Reason") == "SIP;cause=200"
        assert wire.receive(response(cancel, "200 OK")) == []
        assert wire.receive(response(invite, "180 Ringing")) == []
        assert wire.receive(response(invite, "487 Request Terminated")) == ["ACK sip:bob@192.0.2.9"]
        wire.wait_until_idle()

    def test_cancel_waits_for_a_word_of_the_peer(self) -> None:
        """
        Not before the first provisional response (§9.1).
        """
        wire, invite = calling()

        assert wire.see(wire.endpoint.bye("t1", 0.0)) == [Ended("t1", "us", "cancelled", 487, None)]
        trying = response(invite, "100 Trying", tag=None)
        assert wire.receive(trying) == ["CANCEL sip:bob@192.0.2.9"]
        assert wire.receive(trying) == []
        wire.receive(response(invite, "487 Request Terminated"))
        wire.wait_until_idle()

    def test_cancel_without_a_word(self) -> None:
        wire, _ = calling()
        wire.see(wire.endpoint.bye("t1", 0.0))
        wire.wait_until_idle()

        assert wire.now == 32.0
        assert len(wire.events) == 1

    def test_nothing_follows_the_cancel(self) -> None:
        """
        64*T1 after the CANCEL the INVITE is given up (§9.1).
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing"))
        wire.see(wire.endpoint.bye("t1", 0.0))
        wire.receive(response(wire.last_request(), "200 OK"))
        wire.wait_until_idle()

        assert wire.now == 32.0

    def test_answer_crosses_the_cancel(self) -> None:
        """
        The 200 was faster: ACK and BYE (§9.1), and the owner hears nothing more.
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing"))
        wire.see(wire.endpoint.bye("t1", 0.0))
        ok = response(invite, "200 OK", headers=[CONTACT], body=ANSWER)

        assert wire.receive(ok) == ["ACK sip:bob@192.0.2.9:5070", "BYE sip:bob@192.0.2.9:5070"]
        assert wire.receive(ok) == ["ACK sip:bob@192.0.2.9:5070"]
        wire.wait_until_idle()
        assert len([event for event in wire.events if isinstance(event, Ended)]) == 1

    def test_two_phones_answer(self) -> None:
        """
        The first 2xx has the call; a later one is acknowledged and hung up (§13.2.2.4).
        """
        wire, invite = calling()
        wire.receive(response(invite, "200 OK", headers=[CONTACT], body=ANSWER))
        other = response(invite, "200 OK", tag="other", headers=["m: <sip:c@192.0.2.8>"])

        assert wire.receive(other) == ["ACK sip:c@192.0.2.8", "BYE sip:c@192.0.2.8"]
        assert wire.last.headers.to.tag == "other"
        assert wire.receive(other) == ["ACK sip:c@192.0.2.8"]
        assert wire.endpoint.calls == 1

    def test_too_many_phones_answer(self) -> None:
        """
        Sixteen are enough; the call with the first goes on, its 2xx is still acknowledged.
        """
        wire, invite = calling()
        seen = [
            wire.receive(response(invite, "200 OK", tag=f"phone{n}", headers=[CONTACT]))
            for n in range(20)
        ]

        assert [len(each) for each in seen] == [2] * 16 + [0] * 4
        first = response(invite, "200 OK", tag="phone0", headers=[CONTACT])
        assert wire.receive(first) == ["ACK sip:bob@192.0.2.9:5070"]


class TestOurReinvite:
    def test_answered(self) -> None:
        """
        2xx, ACK, and the Contact in it is the target from now on (§12.2.1.2).
        """
        wire = talking()
        assert wire.see(wire.endpoint.reinvite("t1", HELD, 0.0)) == ["INVITE sip:alice@192.0.2.9"]
        invite = wire.last_request()
        assert (invite.body, invite.headers.get("CSeq")) == (HELD, "1 INVITE")
        wire.receive(response(invite, "180 Ringing"))
        ok = response(invite, "200 OK", headers=["m: <sip:alice@192.0.2.10>"], body=ANSWER)

        assert wire.receive(ok) == ["ACK sip:alice@192.0.2.10", Answered("t1", ANSWER)]
        assert wire.receive(ok) == ["ACK sip:alice@192.0.2.10"]

    def test_one_after_the_other(self) -> None:
        """
        Copies of each 2xx get the ACK of their own INVITE.
        """
        wire = talking()
        answers = []
        for _ in range(4):
            wire.see(wire.endpoint.reinvite("t1", HELD, wire.now))
            answers.append(response(wire.last_request(), "200 OK", body=ANSWER))
            wire.receive(answers[-1])
            wire.wait(wire.now + 12.0)

        assert wire.receive(answers[0]) == wire.receive(answers[1]) == []
        for answer, cseq in ((answers[2], "3 ACK"), (answers[3], "4 ACK")):
            assert wire.receive(answer) == ["ACK sip:alice@192.0.2.9"]
            assert wire.last.headers.get("CSeq") == cseq

    def test_refused(self) -> None:
        """
        The call goes on as it was (§14.1).
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))

        assert wire.receive(response(wire.last_request(), "488 Not Acceptable Here")) == [
            "ACK sip:alice@192.0.2.9",
            Refused("t1", 488, "Not Acceptable Here"),
        ]
        assert wire.endpoint.calls == 1

    @pytest.mark.parametrize("status", [408, 481])
    def test_the_peer_knows_nothing_of_it(self, status: int) -> None:
        """
        481 and 408 end the dialog (§12.2.1.2).
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))

        assert wire.receive(response(wire.last_request(), f"{status} Gone")) == [
            "ACK sip:alice@192.0.2.9",
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "peer", "refused", status, "Gone"),
        ]
        wire.wait_until_idle()

    def test_silent_peer(self) -> None:
        """
        No response at all ends the dialog, too (§12.2.1.2).
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))

        assert wire.wait(32.0)[-2:] == [
            (32.0, "BYE sip:alice@192.0.2.9"),
            (32.0, Ended("t1", "network", "timeout", 408, None)),
        ]
        wire.wait_until_idle()

    def test_unfinished(self) -> None:
        """
        A re-INVITE that is worked on for ever ends the call, and is given up.
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wire.receive(response(wire.last_request(), "100 Trying"))

        assert wire.wait(180.0)[-1] == (180.0, Ended("t1", "network", "timeout", 408, None))
        wire.wait_until_idle()

    def test_one_offer_at_a_time(self) -> None:
        """
        Not while another INVITE of either side is open (§14.1).
        """
        refused = [Refused("t1", 491, "Request Pending")]
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        assert wire.endpoint.reinvite("t1", HELD, 0.0) == refused

        wire = called()
        assert wire.endpoint.reinvite("t1", HELD, 0.0) == []
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert wire.endpoint.reinvite("t1", HELD, 0.0) == refused

        wire = talking()
        wire.receive(request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=HELD))
        assert wire.endpoint.reinvite("t1", HELD, 0.0) == refused

    @pytest.mark.parametrize("status", ["200 OK", "487 Request Terminated", "100 Trying"])
    def test_we_hang_up_meanwhile(self, status: str) -> None:
        """
        BYE at once; whatever the INVITE comes to, nothing more is told and nothing is left.
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        invite = wire.last_request()
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.9"

        seen = wire.receive(response(invite, status))
        assert seen == ([] if status == "100 Trying" else ["ACK sip:alice@192.0.2.9"])
        wire.wait_until_idle()
        assert isinstance(wire.events[-1], Ended)

    def test_we_hang_up_and_the_peer_is_silent(self) -> None:
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wire.see(wire.endpoint.bye("t1", 0.0))
        wire.wait_until_idle()

        byes = [m for m in wire.sent if isinstance(m, Request) and m.method == "BYE"]
        assert len({bye.headers.via.branch for bye in byes}) == 1

    def test_peer_hangs_up_meanwhile(self) -> None:
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        invite = wire.last_request()

        bye = request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1")
        assert wire.receive(bye)[0] == "SIP/2.0 200 OK"
        wire.receive(response(invite, "487 Request Terminated"))
        wire.wait_until_idle()


def test_our_messages_parse() -> None:
    """
    Everything that a whole call makes us send can be read again.
    """
    wire = talking()
    wire.see(wire.endpoint.bye("t1", 0.0))

    assert all(isinstance(m, Request | Response) and parse(m.encode()) == m for m in wire.sent)
