"""One call: requests within its dialog, its session timer, and the parts together."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import (
    Answered,
    Ended,
    Flow,
    Informed,
    ReferralProgress,
    RefreshDue,
    Transmit,
)
from gateway.sip.message import Request, Response, parse

from .wire import ANSWER, FLOW, OFFER, US, Wire, called, calling, request, response, talking

CONTACT_OF_BOB = "Contact: <sip:bob@192.0.2.9>"


class TestWithin:
    """Requests within a dialog (RFC 3261 §12.2.2)."""

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


class TestInfo:
    """Digits by INFO (RFC 6086)."""

    def info(self, cseq: int, kind: str, body: bytes, *headers: str) -> bytes:
        data = request(
            "INFO",
            cseq=cseq,
            branch=f"z9hG4bK-{cseq}",
            to_tag="t1",
            headers=headers or ["X: y"],
            body=body,
        )
        return data.replace(b"application/sdp", kind.encode())

    def test_digits(self) -> None:
        """
        200, and told; the type as people write it.
        """
        wire = talking()
        body = b"Signal=5\r\nDuration=160\r\n"
        assert wire.receive(self.info(2, "Application/DTMF-Relay ;x=y", body)) == [
            "SIP/2.0 200 OK",
            Informed("t1", "application/dtmf-relay", body),
        ]
        assert wire.receive(self.info(3, "application/dtmf", b"5", "Info-Package: dtmf")) == [
            "SIP/2.0 200 OK",
            Informed("t1", "application/dtmf", b"5"),
        ]

    def test_something_else(self) -> None:
        """
        415 says what would do, 469 that we know no package; without a body it is a question
        whether we are there.
        """
        wire = talking()
        seen = wire.receive(self.info(2, "application/media_control+xml", b"<x/>"))
        assert seen == ["SIP/2.0 415 Unsupported Media Type"]
        assert wire.last.headers.get("Accept") == "application/dtmf-relay, application/dtmf"
        seen = wire.receive(self.info(3, "text/plain", b"x", "Info-Package: foo"))
        assert seen == ["SIP/2.0 469 Bad Info Package"]
        assert wire.last.headers.get("Recv-Info") == ""
        assert wire.receive(self.info(4, "", b"")) == ["SIP/2.0 200 OK"]
        assert wire.endpoint.calls == 1

    def test_ours(self) -> None:
        wire = talking()
        seen = wire.see(wire.endpoint.inform("t1", "application/dtmf", b"5", 0.0))
        assert seen == ["INFO sip:alice@192.0.2.9"]
        info = wire.last_request()
        assert info.headers.get("Content-Type") == "application/dtmf"
        assert (info.body, info.headers.get("CSeq")) == (b"5", "1 INFO")
        assert wire.receive(response(info, "415 No")) == []

    def test_no_call(self) -> None:
        """
        Not before there is a dialog, nor after the end.
        """
        wire, _ = calling()
        assert wire.endpoint.inform("t1", "application/dtmf", b"5", 0.0) == []
        wire = talking()
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.endpoint.inform("t1", "application/dtmf", b"5", 0.0) == []

    def test_the_peer_knows_nothing_of_the_call(self) -> None:
        """
        481 ends it, whatever it answers (§12.2.1.2).
        """
        wire = talking()
        wire.see(wire.endpoint.inform("t1", "application/dtmf", b"5", 0.0))
        assert wire.receive(response(wire.last_request(), "481 Gone")) == [
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "peer", "refused", 481, "Gone"),
        ]


class TestReferral:
    """REFER and NOTIFY find the referrals of the call; without one they are refused."""

    def test_before_the_answer(self) -> None:
        for method, status in (
            ("REFER", "603 Decline"),
            ("NOTIFY", "481 Call/Transaction Does Not Exist"),
        ):
            wire = called()
            within = request(method, cseq=2, branch="z9hG4bK-2", to_tag="t1")
            assert wire.receive(within) == [f"SIP/2.0 {status}"]

    def test_a_notify_without_a_subscription(self) -> None:
        wire = talking()
        notify = request(
            "NOTIFY", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=["Event: refer"]
        )
        assert wire.receive(notify) == ["SIP/2.0 481 Call/Transaction Does Not Exist"]

    def test_our_refer_is_silent_or_stays_here(self) -> None:
        """
        It is over with that, the call is not.
        """
        for fails in (True, False):
            wire = talking()
            wire.see(wire.endpoint.refer("t1", "sip:carol@example.com", 0.0))
            if fails:
                wire.lose()
            else:
                wire.wait(32.0)
            end = wire.events[-1]
            assert end == ReferralProgress("t1", 408, "Request Timeout", True)
            assert wire.endpoint.calls == 1

    def test_our_refer_is_for_a_call_that_the_peer_has_not(self) -> None:
        """
        481: the call is over with it (RFC 5057 §5.1).
        """
        wire = talking()
        wire.see(wire.endpoint.refer("t1", "sip:carol@example.com", 0.0))
        assert wire.receive(response(wire.last_request(), "481 Gone")) == [
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "peer", "refused", 481, "Gone"),
        ]


class TestSessionTimer:
    """RFC 4028 in a call."""

    UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
    CONTACT = "Contact: <sip:alice@192.0.2.9>"

    def talking(self, *headers: str, expires: str = "600") -> Wire:
        """The peer asked for an interval; we refresh unless it says otherwise."""
        timer = ["Supported: timer", f"Session-Expires: {expires}"]
        return talking(headers=[self.CONTACT, *timer, *headers])

    def test_refreshed_by_update(self) -> None:
        """
        At half of the interval, without a description (§7.4); and once again after its 2xx.
        """
        wire = self.talking(self.UPDATES)
        assert wire.wait(300.0)[-1] == (300.0, "UPDATE sip:alice@192.0.2.9")
        update = wire.last_request()
        assert update.body == b""
        assert update.headers.get("Session-Expires") == "600;refresher=uac"
        assert update.headers.get("Supported") == "100rel, timer, replaces, norefersub"
        ok = response(update, "200 OK", headers=["Session-Expires: 600;refresher=uac"])
        assert wire.receive(ok) == []
        assert wire.wait(600.0)[-1] == (600.0, "UPDATE sip:alice@192.0.2.9")

    def test_refreshed_by_reinvite(self) -> None:
        """
        A peer that does not allow UPDATE: the call's owner is asked for its session.
        """
        wire = self.talking()
        assert wire.wait(300.0)[-1] == (300.0, RefreshDue("t1"))
        wire.see(wire.endpoint.reinvite("t1", OFFER, 300.0))
        invite = wire.last_request()
        assert invite.headers.get("Session-Expires") == "600;refresher=uac"
        ok = response(invite, "200 OK", headers=["Session-Expires: 600;refresher=uac"], body=ANSWER)
        assert wire.receive(ok)[-1] == Answered("t1", ANSWER)
        assert wire.wait(600.0)[-1] == (600.0, RefreshDue("t1"))

    def test_update_is_not_known_after_all(self) -> None:
        wire = self.talking(self.UPDATES)
        wire.wait(300.0)
        assert wire.receive(response(wire.last_request(), "405 No")) == [RefreshDue("t1")]

    def test_expired(self) -> None:
        """
        Nobody refreshes: BYE a little before the interval is over (§10).
        """
        for wire in (self.talking(), self.talking(expires="600;refresher=uac")):
            assert wire.wait(568.0)[-2:] == [
                (568.0, "BYE sip:alice@192.0.2.9"),
                (568.0, Ended("t1", "network", "session_expired", 200, None)),
            ]
            assert wire.last.headers.get("Reason") == 'Q.850;cause=102;text="session_expired"'
            wire.wait_until_idle()

    def test_the_peer_refreshes(self) -> None:
        """
        By either request; the end moves.
        """
        wire = self.talking(expires="600;refresher=uac")
        wire.now = 300.0
        timer = ["Supported: timer", "Session-Expires: 600;refresher=uac", self.CONTACT]
        update = request("UPDATE", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=timer)
        assert wire.receive(update) == ["SIP/2.0 200 OK"]
        assert wire.last.headers.get("Session-Expires") == "600;refresher=uac"
        assert wire.last.headers.get("Require") == "timer"
        assert wire.wait(600.0) == []
        invite = request(
            "INVITE", cseq=3, branch="z9hG4bK-3", to_tag="t1", headers=timer, body=OFFER
        )
        wire.receive(invite)
        wire.see(wire.endpoint.answer("t1", ANSWER, 600.0))
        assert wire.last.headers.get("Session-Expires") == "600;refresher=uac"
        wire.receive(request("ACK", cseq=3, branch="z9hG4bK-4", to_tag="t1"))
        assert wire.wait(1167.9) == []
        assert isinstance(wire.wait(1168.0)[-1][1], Ended)

    def test_refused(self) -> None:
        """
        The session is as old as it was, and is refreshed at half of what is left (§7.4).
        """
        wire = self.talking(self.UPDATES)
        wire.wait(300.0)
        assert wire.receive(response(wire.last_request(), "500 No")) == []
        assert [at for at, _ in wire.wait(434.0)] == [434.0]

    def test_something_else_is_open(self) -> None:
        """
        What changes the session anyhow goes first.
        """
        wire = self.talking(self.UPDATES)
        wire.receive(request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=OFFER))
        assert wire.wait(433.0) == []

    def test_too_small_for_the_peer(self) -> None:
        """
        422 to a refresh: again, with what it asks for (§7.3).
        """
        wire = self.talking(self.UPDATES, expires="90")
        wire.wait(45.0)
        refused = response(wire.last_request(), "422 Too Small", headers=["Min-SE: 120"])
        assert wire.receive(refused) == ["UPDATE sip:alice@192.0.2.9"]
        assert wire.last.headers.get("Session-Expires") == "120;refresher=uac"

    @pytest.mark.parametrize("status", [408, 481])
    def test_the_peer_knows_nothing_of_the_call(self, status: int) -> None:
        wire = self.talking(self.UPDATES)
        wire.wait(300.0)
        assert wire.receive(response(wire.last_request(), f"{status} Gone")) == [
            "BYE sip:alice@192.0.2.9",
            Ended("t1", "peer", "refused", status, "Gone"),
        ]

    def test_when_we_call(self) -> None:
        """
        What the 2xx says holds (§7.2).
        """
        wire, invite = calling()
        timer = ["Session-Expires: 1800;refresher=uas", "Contact: <sip:bob@192.0.2.9>"]
        wire.receive(response(invite, "200 OK", headers=timer, body=ANSWER))
        assert [what for _, what in wire.wait(1768.0)][-2:] == [
            "BYE sip:bob@192.0.2.9",
            Ended("t1", "network", "session_expired", 200, None),
        ]

    def test_after_the_end(self) -> None:
        """
        While our BYE waits for the ACK of our 2xx nothing is refreshed.
        """
        timer = ["Supported: timer", "Session-Expires: 90", self.CONTACT]
        wire = called(headers=timer)
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.see(wire.endpoint.bye("t1", 0.0))
        wire.wait_until_idle()


def test_we_hang_up_while_a_change_waits_for_its_turn() -> None:
    """
    Ours was refused for the peer's, which we have answered; its ACK is still to come.
    """
    wire = talking()
    wire.see(wire.endpoint.reinvite("t1", OFFER, 0.0))
    wire.receive(response(wire.last_request(), "491 Request Pending"))
    wire.receive(request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=OFFER))
    wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
    assert wire.see(wire.endpoint.bye("t1", 0.0)) == [Ended("t1", "us", "hang_up", 200, None)]
    wire.wait_until_idle()
    assert [m.method for m in wire.sent if isinstance(m, Request)].count("INVITE") == 1


def test_the_phone_that_we_were_agreeing_with_loses() -> None:
    """
    Another one answers: what was begun with the first, by either side, is over.
    """
    wire, invite = calling()
    rings = ["Contact: <sip:f1@192.0.2.9>", "Require: 100rel", "RSeq: 1", "Allow: UPDATE"]
    wire.receive(response(invite, "183 Progress", tag="f1", headers=rings, body=ANSWER))
    wire.see(wire.endpoint.update("t1", OFFER, 0.0))
    update = wire.last_request()
    wire.receive(response(invite, "200 OK", tag="f2", headers=[CONTACT_OF_BOB], body=ANSWER))
    assert wire.receive(response(update, "481 Gone")) == []
    assert wire.see(wire.endpoint.reinvite("t1", OFFER, 0.0)) == ["INVITE sip:bob@192.0.2.9"]

    wire, invite = calling()
    wire.receive(response(invite, "183 Progress", tag="f1", headers=rings, body=ANSWER))
    theirs = request("UPDATE", to_tag="t1", from_tag="f1", call_id="t2", body=OFFER)
    wire.receive(theirs)
    seen = wire.receive(response(invite, "200 OK", tag="f2", headers=[CONTACT_OF_BOB], body=ANSWER))
    assert seen == [
        "ACK sip:bob@192.0.2.9",
        Answered("t1", ANSWER, "f2"),
        "SIP/2.0 487 Request Terminated",
    ]


def test_what_the_peer_allows() -> None:
    """
    Its latest Allow counts (§20.5); as long as there is none, it may take anything.
    """
    wire = called()
    assert wire.endpoint.allows("t1", "INFO")
    assert not wire.endpoint.allows("t9", "INFO")
    wire = called(headers=["Contact: <sip:alice@192.0.2.9>", "Allow: INVITE, UPDATE, X"])
    assert wire.endpoint.allows("t1", "UPDATE")
    assert not wire.endpoint.allows("t1", "INFO")
    options = request(
        "OPTIONS", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=["Allow: INVITE", "Allow: INFO"]
    )
    wire.receive(options)
    assert wire.endpoint.allows("t1", "INFO")
    assert not wire.endpoint.allows("t1", "UPDATE")


def test_our_messages_parse() -> None:
    """
    Everything that a whole call makes us send can be read again.
    """
    wire = talking()
    wire.see(wire.endpoint.bye("t1", 0.0))

    assert all(isinstance(m, Request | Response) and parse(m.encode()) == m for m in wire.sent)
