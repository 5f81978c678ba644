"""RFC 3261 §14 and RFC 3311: a session is changed, by either side."""

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

from .wire import ANSWER, OFFER, Wire, called, calling, request, response, talking

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

    def test_twice_while_it_waits(self) -> None:
        """
        A change that was refused for the peer's waits for its turn: it is not over (§14.1).
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wire.receive(response(wire.last_request(), "491 Request Pending"))
        assert wire.endpoint.reinvite("t1", HELD, 0.0) == REFUSED


REFUSED = [Refused("t1", 491, "Request Pending")]
ALLOWS = ["Contact: <sip:alice@192.0.2.9>", "Allow: INVITE, ACK, CANCEL, BYE, UPDATE"]


class TestGlare:
    """Both sides offer at once (§14.1)."""

    def refused(self, wire: Wire) -> tuple[float, list[object]]:
        """491 to the offer that left last. When it leaves again, and what happens then."""
        begun = wire.now
        assert wire.receive(response(wire.last_request(), "491 Request Pending"))[1:] == []
        again = wire.wait(begun + 10.0)
        return (again[0][0] - begun if again else 0.0), [what for _, what in again[:1]]

    def placed(self) -> Wire:
        wire, invite = calling()
        wire.receive(response(invite, "200 OK", body=ANSWER))
        return wire

    def test_the_one_who_was_called(self) -> None:
        """
        Who does not own the Call-ID waits for 0 to 2 s, in units of 10 ms; the next CSeq.
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wait, seen = self.refused(wire)

        assert 0 <= wait <= 2.0
        assert round(wait * 100) == pytest.approx(wait * 100)
        assert seen == ["INVITE sip:alice@192.0.2.9"]
        again = next(m for m in wire.sent if m.headers.get("CSeq") == "2 INVITE")
        assert isinstance(again, Request)
        assert again.body == HELD

    def test_the_one_who_called(self) -> None:
        """
        Who owns it waits for 2.1 to 4 s: it comes second.
        """
        wire = self.placed()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wait, seen = self.refused(wire)

        assert 2.1 <= wait <= 4.0
        assert seen == ["INVITE sip:bob@192.0.2.9"]

    def test_three_times(self) -> None:
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        for _ in range(3):
            wire.receive(response(wire.last_request(), "491 Request Pending"))
            wire.wait(wire.now + 2.0)
            while wire.last_request().method == "ACK":
                wire.sent.pop()
        assert wire.receive(response(wire.last_request(), "491 Request Pending"))[1:] == REFUSED
        assert wire.wait(wire.now + 10.0) == []

    def test_the_peer_goes_first(self) -> None:
        """
        Its offer is answered while ours waits; then ours leaves as it was.
        """
        wire = self.placed()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        invite = wire.last_request()
        theirs = request(
            "INVITE", cseq=1, branch="z9hG4bK-t", to_tag="t1", call_id="t2", body=OFFER
        )
        assert wire.receive(theirs) == ["SIP/2.0 491 Request Pending"]
        wire.receive(response(invite, "491 Request Pending"))
        wire.now = 1.0
        again = theirs.replace(b"z9hG4bK-t", b"z9hG4bK-u").replace(b"CSeq: 1", b"CSeq: 2")
        assert wire.receive(again)[0] == "SIP/2.0 100 Trying"
        wire.see(wire.endpoint.answer("t1", ANSWER, 1.0))
        ack = request("ACK", cseq=2, branch="z9hG4bK-v", to_tag="t1", call_id="t2")
        assert wire.receive(ack) == [Confirmed("t1", b"")]
        assert "INVITE sip:alice@192.0.2.9" in [what for _, what in wire.wait(4.1)]

    def test_the_peer_never_ends(self) -> None:
        """
        As long as its offer waits for us, ours is not sent.
        """
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wire.receive(response(wire.last_request(), "491 Request Pending"))
        wire.receive(request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=HELD))
        assert [what for _, what in wire.wait(10.0)] == REFUSED

    @pytest.mark.parametrize("by", ["us", "peer"])
    def test_the_call_ends_meanwhile(self, by: str) -> None:
        wire = talking()
        wire.see(wire.endpoint.reinvite("t1", HELD, 0.0))
        wire.receive(response(wire.last_request(), "491 Request Pending"))
        if by == "us":
            wire.see(wire.endpoint.bye("t1", 0.0))
        else:
            wire.receive(request("BYE", cseq=2, branch="z9hG4bK-2", to_tag="t1"))
        wire.wait_until_idle()
        assert isinstance(wire.events[-1], Ended)
        methods = [m.method for m in wire.sent if isinstance(m, Request)]
        assert methods.count("INVITE") == 1


class TestUpdate:
    """The peer changes the session by UPDATE (RFC 3311 §5.2)."""

    def update(self, cseq: int = 2, *, body: bytes = HELD, headers: str = "X: y") -> bytes:
        return request(
            "UPDATE",
            cseq=cseq,
            branch=f"z9hG4bK-u{cseq}",
            to_tag="t1",
            headers=["Contact: <sip:alice@192.0.2.10>", headers],
            body=body,
        )

    def test_answered(self) -> None:
        """
        200 with the answer and our Contact; the peer's is the target from now on (§5.1).
        """
        wire = talking()
        (offered,) = wire.receive(self.update())
        assert isinstance(offered, Offered)
        assert offered.request.method == "UPDATE"
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.0)) == ["SIP/2.0 200 OK"]
        assert wire.last_response().body == ANSWER
        assert wire.last.headers.get("Contact") == "<sip:192.0.2.1:5060>"
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.10"

    def test_refused(self) -> None:
        """
        The session stays as it was, and so does the target.
        """
        wire = talking()
        wire.receive(self.update())
        refusal = wire.endpoint.refuse("t1", 488, 0.0, headers=[("Warning", '304 gw "no"')])
        assert wire.see(refusal) == ["SIP/2.0 488 Not Acceptable Here"]
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.9"

    def test_without_an_offer(self) -> None:
        """
        Answered at once: it moves the target, or refreshes the session.
        """
        wire = talking()
        assert wire.receive(self.update(body=b"")) == ["SIP/2.0 200 OK"]
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.10"

    def test_with_something_else(self) -> None:
        wire = talking()
        other = self.update().replace(b"application/sdp", b"application/xml")
        assert wire.receive(other) == ["SIP/2.0 415 Unsupported Media Type"]

    def test_too_small_an_interval(self) -> None:
        wire = talking()
        update = self.update(body=b"", headers="Supported: timer\r\nSession-Expires: 30")
        assert wire.receive(update) == ["SIP/2.0 422 Session Interval Too Small"]

    def test_we_hang_up_while_it_waits(self) -> None:
        wire = talking()
        wire.receive(self.update())
        assert wire.see(wire.endpoint.bye("t1", 0.0))[:2] == [
            "SIP/2.0 487 Request Terminated",
            "BYE sip:alice@192.0.2.9",
        ]
        wire.wait_until_idle()

    def test_peer_hangs_up_while_it_waits(self) -> None:
        wire = talking()
        wire.receive(self.update())
        bye = request("BYE", cseq=3, branch="z9hG4bK-3", to_tag="t1")
        assert wire.receive(bye)[:2] == ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
        assert wire.endpoint.answer("t1", ANSWER, 0.0) == []

    def test_early(self) -> None:
        """
        While we ring, once the first offer has its answer, and that its PRACK (§5.1).
        """
        wire = Wire()
        willing = ["Contact: <sip:alice@192.0.2.9>", "Supported: 100rel"]
        wire.receive(request("INVITE", headers=willing, body=OFFER))
        wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
        rack = [f"RAck: {wire.last.headers.get('RSeq')} 1 INVITE"]
        wire.receive(request("PRACK", cseq=2, branch="z9hG4bK-p", to_tag="t1", headers=rack))

        update = self.update(3, headers="Supported: timer\r\nSession-Expires: 600")
        (offered,) = wire.receive(update)
        assert isinstance(offered, Offered)
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.0)) == ["SIP/2.0 200 OK"]
        assert wire.last.headers.get("Session-Expires") is None  # it is the INVITE's to agree on
        assert wire.last.headers.cseq.method == "UPDATE"
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.0)) == ["SIP/2.0 200 OK"]
        assert wire.last.headers.cseq.method == "INVITE"

    def test_cancelled_with_the_invite(self) -> None:
        wire = Wire()
        willing = ["Contact: <sip:alice@192.0.2.9>", "Supported: 100rel"]
        for end in ("refuse", "cancel", "bye"):
            wire = Wire()
            wire.receive(request("INVITE", headers=willing, body=OFFER))
            wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
            rack = [f"RAck: {wire.last.headers.get('RSeq')} 1 INVITE"]
            wire.receive(request("PRACK", cseq=2, branch="z9hG4bK-p", to_tag="t1", headers=rack))
            wire.receive(self.update(3))
            match end:
                case "refuse":
                    wire.see(wire.endpoint.refuse("t1", 488, 0.0))
                    assert wire.last.headers.cseq.method == "UPDATE"
                    seen = wire.see(wire.endpoint.refuse("t1", 486, 0.0))
                    assert seen[0] == "SIP/2.0 486 Busy Here"
                case "cancel":
                    seen = wire.receive(request("CANCEL"))
                    assert seen[1:3] == ["SIP/2.0 487 Request Terminated"] * 2
                case _:
                    seen = wire.see(wire.endpoint.bye("t1", 0.0))
                    assert seen[:2] == [
                        "SIP/2.0 480 Temporarily Unavailable",
                        "SIP/2.0 487 Request Terminated",
                    ]
            assert isinstance(seen[-1], Ended)
            wire.receive(request("ACK", to_tag="t1"))
            wire.wait_until_idle()


class TestOurUpdate:
    def talking(self) -> Wire:
        return talking(headers=ALLOWS)

    def test_answered(self) -> None:
        """
        2xx, and the Contact in it is the target from now on (§5.1).
        """
        wire = self.talking()
        assert wire.see(wire.endpoint.update("t1", HELD, 0.0)) == ["UPDATE sip:alice@192.0.2.9"]
        update = wire.last_request()
        assert (update.body, update.headers.get("Contact")) == (HELD, "<sip:192.0.2.1:5060>")
        assert wire.receive(response(update, "100 Trying")) == []
        ok = response(update, "200 OK", headers=["m: <sip:alice@192.0.2.10>"], body=ANSWER)
        assert wire.receive(ok) == [Answered("t1", ANSWER)]
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:alice@192.0.2.10"

    def test_a_peer_that_has_none(self) -> None:
        """
        By re-INVITE, where the peer has not said that it allows UPDATE (§4).
        """
        wire = talking()
        assert wire.see(wire.endpoint.update("t1", HELD, 0.0)) == ["INVITE sip:alice@192.0.2.9"]

    @pytest.mark.parametrize("status", ["405 Method Not Allowed", "501 Not Implemented"])
    def test_a_peer_that_has_none_in_truth(self, status: str) -> None:
        """
        Then by re-INVITE, at once and in future.
        """
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        seen = wire.receive(response(wire.last_request(), status))
        assert seen == ["INVITE sip:alice@192.0.2.9"]
        assert wire.last_request().body == HELD
        assert not wire.endpoint.allows("t1", "UPDATE")
        assert wire.endpoint.allows("t1", "BYE")

    def test_refused(self) -> None:
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        no = response(wire.last_request(), "488 Not Acceptable Here")
        assert wire.receive(no) == [Refused("t1", 488, "Not Acceptable Here")]
        assert wire.endpoint.calls == 1

    def test_meets_the_peers(self) -> None:
        """
        As with re-INVITEs: 491 to both, and ours again after a while.
        """
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        update = wire.last_request()
        theirs = request("UPDATE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=HELD)
        assert wire.receive(theirs) == ["SIP/2.0 491 Request Pending"]
        assert wire.receive(response(update, "491 Request Pending")) == []
        assert wire.wait(2.0)[0][1] == "UPDATE sip:alice@192.0.2.9"

    @pytest.mark.parametrize("status", [408, 481])
    def test_the_peer_knows_nothing_of_it(self, status: int) -> None:
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        assert wire.receive(response(wire.last_request(), f"{status} Gone")) == [
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "peer", "refused", status, "Gone"),
        ]

    def test_silent_peer(self) -> None:
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        assert wire.wait(32.0)[-1] == (32.0, Ended("t1", "network", "timeout", 408, None))
        wire.wait_until_idle()

    def test_no_way(self) -> None:
        """
        What cannot be sent changes nothing.
        """
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        assert wire.lose() == [Refused("t1", 503, "No Way To The Peer")]

    def test_we_hang_up_meanwhile(self) -> None:
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        update = wire.last_request()
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.receive(response(update, "491 Request Pending")) == []
        wire.wait_until_idle()

    def test_one_offer_at_a_time(self) -> None:
        wire = self.talking()
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        assert wire.endpoint.update("t1", HELD, 0.0) == REFUSED
        assert wire.endpoint.reinvite("t1", HELD, 0.0) == REFUSED

    def test_after_the_end(self) -> None:
        wire = self.talking()
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.endpoint.update("t1", HELD, 0.0) == []

    def test_early_when_we_are_called(self) -> None:
        """
        Not before the peer has our answer, and we know it (§5.1).
        """
        wire = Wire()
        wire.receive(request("INVITE", headers=[*ALLOWS, "Supported: 100rel"], body=OFFER))
        assert wire.endpoint.update("t1", HELD, 0.0) == REFUSED
        wire.see(wire.endpoint.ring("t1", 0.0, body=ANSWER))
        assert wire.endpoint.update("t1", HELD, 0.0) == REFUSED
        rack = [f"RAck: {wire.last.headers.get('RSeq')} 1 INVITE"]
        wire.receive(request("PRACK", cseq=2, branch="z9hG4bK-p", to_tag="t1", headers=rack))
        assert wire.see(wire.endpoint.update("t1", HELD, 0.0)) == ["UPDATE sip:alice@192.0.2.9"]
        ok = response(wire.last_request(), "200 OK", body=ANSWER)
        assert wire.receive(ok) == [Answered("t1", ANSWER, "peer")]

    def test_early_when_we_call(self) -> None:
        """
        To the phone that has answered our offer; what it says of that is its own.
        """
        wire, invite = calling()
        assert wire.endpoint.update("t1", HELD, 0.0) == REFUSED
        rings = [*ALLOWS, "Require: 100rel", "RSeq: 1"]
        wire.receive(response(invite, "183 Progress", headers=rings, tag="f1", body=ANSWER))
        prack = wire.last_request()
        wire.receive(response(prack, "200 OK"))
        assert wire.see(wire.endpoint.update("t1", HELD, 0.0)) == ["UPDATE sip:alice@192.0.2.9"]
        update = wire.last_request()
        assert wire.endpoint.update("t1", HELD, 0.0) == REFUSED
        assert update.headers.to.tag == "f1"
        assert update.headers.get("CSeq") == "3 UPDATE"
        ok = response(update, "200 OK", body=ANSWER)
        assert wire.receive(ok) == [Answered("t1", ANSWER, "f1")]

        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        gone = response(wire.last_request(), "481 Gone")
        assert wire.receive(gone) == [Refused("t1", 481, "Gone")]
        wire.see(wire.endpoint.update("t1", HELD, 0.0))
        assert Refused("t1", 408, "Request Timeout") in [what for _, what in wire.wait(33.0)]
        wire.see(wire.endpoint.update("t1", HELD, 33.0))
        refused = response(wire.last_request(), "405 Method Not Allowed")
        assert wire.receive(refused) == [Refused("t1", 405, "Method Not Allowed")]
