"""RFC 3261 §14: a session is changed, by either side. The rest in chapters: called, calling."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import (
    Answered,
    Confirmed,
    Ended,
    Offered,
    Refused,
)
from gateway.sip.message import Request

from .wire import ANSWER, OFFER, Wire, called, request, response, talking

HELD = b"v=0\r\no=held\r\n"


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
