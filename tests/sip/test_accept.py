"""RFC 3261 §9, §13, §15 of the one who is called, and of any call in progress."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import (
    Confirmed,
    Ended,
    Flow,
    Incoming,
    Transmit,
)
from gateway.sip.message import Request, Response, parse

from .wire import ANSWER, FLOW, OFFER, US, Wire, called, request, response, talking

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

    def test_several_reasons(self) -> None:
        """
        One for each protocol (RFC 3326 §2): none is lost.
        """
        reasons = ["Reason: SIP;cause=480", "Reason: Q.850;cause=19"]
        bye = request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=reasons)

        [_, ended] = talking().receive(bye)
        assert ended == Ended("t1", "peer", "hang_up", 200, "SIP;cause=480, Q.850;cause=19")

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

    @pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "PUBLISH", "REGISTER"])
    def test_other_methods(self, method: str) -> None:
        """
        405 says what is taken (§8.2.1).
        """
        wire = talking()

        seen = wire.receive(request(method, cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        assert seen == ["SIP/2.0 405 Method Not Allowed"]
        assert "INVITE, ACK" in (wire.last.headers.get("Allow") or "")

    def test_requests_follow_the_peer(self) -> None:
        """
        Behind NAT what we send goes where the peer's latest request came from: no other way leads
        there.
        """
        moved = Flow("udp", US, ("198.51.100.7", 1024))
        wire = called(headers=["Contact: <sip:alice@10.0.0.5>"])
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


def test_our_messages_parse() -> None:
    """
    Everything that a whole call makes us send can be read again.
    """
    wire = talking()
    wire.see(wire.endpoint.bye("t1", 0.0))

    assert all(isinstance(m, Request | Response) and parse(m.encode()) == m for m in wire.sent)
