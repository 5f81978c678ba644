"""RFC 3261 §15: a call ends, and what is left to do then."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import Ended

from .wire import ANSWER, called, request, response, talking

CONTACT = "Contact: <sip:bob@192.0.2.9:5070>"


class TestBeforeTheAck:
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


class TestBye:
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
