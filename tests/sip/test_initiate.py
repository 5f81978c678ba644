"""RFC 3261 §9 and §13 of the one who calls."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import (
    Answered,
    Ended,
    Progress,
    Transmit,
)
from gateway.sip.grammar import SipError

from .wire import ANSWER, FLOW, OFFER, Wire, calling, request, response

CONTACT = "Contact: <sip:bob@192.0.2.9:5070>"


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
            "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKt3",
            "Max-Forwards: 70",
            'From: "Gateway" <sip:gw@192.0.2.1>;tag=t1',
            "To: <sip:bob@192.0.2.9>",
            "Call-ID: t2",
            "CSeq: 1 INVITE",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY",
            "Supported: 100rel, timer, replaces, norefersub",
            "Session-Expires: 1800",
            "Min-SE: 90",
            "User-Agent: gateway",
            "Content-Type: application/sdp",
            "X-Trace: 1",
            "Contact: <sip:192.0.2.1:5060>",
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
        assert wire.receive(ringing) == [Progress("t1", 183, ANSWER, "peer")]
        routes = ["Record-Route: <sip:p1;lr>", "Record-Route: <sip:p2;lr>"]
        ok = response(invite, "200 OK", headers=[CONTACT, *routes], body=ANSWER)
        assert wire.receive(ok) == ["ACK sip:bob@192.0.2.9:5070", Answered("t1", ANSWER, "peer")]
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
        bye = request("BYE", call_id="t2", to_tag="t1").replace(b";tag=peer", b"")
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
