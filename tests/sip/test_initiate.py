"""RFC 3261 §9.1 and §13.2, RFC 3262 §4: a call of ours begins."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import (
    Answered,
    Ended,
    Flow,
    Locate,
    Offered,
    Progress,
    Transmit,
)
from gateway.sip.grammar import SipError
from gateway.sip.message import Request

from .wire import ANSWER, FLOW, OFFER, US, Wire, calling, request, response

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
        routes = ["Record-Route: <sip:192.0.2.31;lr>", "Record-Route: <sip:192.0.2.32;lr>"]
        ok = response(invite, "200 OK", headers=[CONTACT, *routes], body=ANSWER)
        assert wire.receive(ok) == ["ACK sip:bob@192.0.2.9:5070", Answered("t1", ANSWER, "peer")]
        ack = wire.last_request()
        assert ack.headers.via.branch != invite.headers.via.branch
        assert ack.headers.all("Route") == ["<sip:192.0.2.32;lr>", "<sip:192.0.2.31;lr>"]
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


def rings(rseq: int, *headers: str, contact: str = "sip:bob@192.0.2.9:5070") -> list[str]:
    """What makes a provisional response reliable."""
    return [f"Contact: <{contact}>", "Require: 100rel", f"RSeq: {rseq}", *headers]


class TestForks:
    """Each tag is an early dialog (§12.1.2, §13.2.2.4)."""

    def test_progress_tells_them_apart(self) -> None:
        wire, invite = calling()
        for tag, body in (("f1", b""), ("f2", ANSWER), ("f1", ANSWER)):
            ringing = response(invite, "183 Progress", tag=tag, headers=[CONTACT], body=body)
            assert wire.receive(ringing) == [Progress("t1", 183, body, tag)]

    def test_without_a_tag(self) -> None:
        """
        A peer of RFC 2543 has none; that is one, too.
        """
        wire, invite = calling()
        ringing = response(invite, "180 Ringing", tag=None, headers=rings(1))
        assert wire.receive(ringing) == [
            "PRACK sip:bob@192.0.2.9:5070",
            Progress("t1", 180, b"", ""),
        ]
        ok = response(invite, "200 OK", tag=None, headers=[CONTACT], body=ANSWER)
        assert wire.receive(ok)[-1] == Answered("t1", ANSWER, "")
        assert wire.see(wire.endpoint.bye("t1", 0.0))[0] == "BYE sip:bob@192.0.2.9:5070"
        assert wire.last.headers.get("CSeq") == "3 BYE"

    def test_the_route_of_the_2xx_counts(self) -> None:
        """
        That of the early dialog does not any more (§13.2.2.4); its CSeq goes on.
        """
        wire, invite = calling()
        early = rings(1, "Record-Route: <sip:192.0.2.31;lr>")
        wire.receive(response(invite, "180 Ringing", headers=early))
        assert wire.last.headers.all("Route") == ["<sip:192.0.2.31;lr>"]
        routes = [
            "Record-Route: <sip:192.0.2.32;lr>, <sip:192.0.2.33;lr>",
            "Contact: <sip:carol@192.0.2.7>",
        ]
        assert wire.receive(response(invite, "200 OK", headers=routes))[0] == (
            "ACK sip:carol@192.0.2.7"
        )
        assert wire.last.headers.all("Route") == ["<sip:192.0.2.33;lr>", "<sip:192.0.2.32;lr>"]
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.last.headers.get("CSeq") == "3 BYE"

    def test_after_the_answer(self) -> None:
        """
        Who still rings is not heard; who answers as well is hung up, by its own numbers.
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing", tag="other", headers=rings(1)))
        wire.receive(response(invite, "200 OK", headers=[CONTACT], body=ANSWER))
        late = response(invite, "180 Ringing", tag="other", headers=rings(2))
        assert wire.receive(late) == []
        other = response(invite, "200 OK", tag="other", headers=[CONTACT])
        assert wire.receive(other)[1] == "BYE sip:bob@192.0.2.9:5070"
        assert wire.last.headers.get("CSeq") == "3 BYE"

    def test_too_many(self) -> None:
        """
        Of more than sixteen that ring, the others are not kept.
        """
        wire, invite = calling()
        for n in range(20):
            wire.receive(response(invite, "180 Ringing", tag=f"phone{n}", headers=[CONTACT]))
        assert len(wire.events) == 16

    def test_requests_of_one_that_rings(self) -> None:
        """
        UPDATE and OPTIONS are answered; the others have no call yet (481).
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing", tag="f1", headers=rings(1), body=ANSWER))

        def asked(method: str, cseq: int, tag: str = "f1", body: bytes = b"") -> bytes:
            return request(
                method,
                cseq=cseq,
                branch=f"z9hG4bK-{tag}{cseq}",
                to_tag="t1",
                from_tag=tag,
                call_id="t2",
                body=body,
            )

        (offered,) = wire.receive(asked("UPDATE", 1, body=OFFER))
        assert isinstance(offered, Offered)
        assert wire.see(wire.endpoint.answer("t1", ANSWER, 0.0)) == ["SIP/2.0 200 OK"]
        assert wire.receive(asked("OPTIONS", 2)) == ["SIP/2.0 200 OK"]
        gone = ["SIP/2.0 481 Call/Transaction Does Not Exist"]
        assert wire.receive(asked("BYE", 3)) == gone
        assert wire.receive(asked("OPTIONS", 1, "f2")) == gone

        wire.receive(response(invite, "180 Ringing", tag="f2", headers=[CONTACT]))
        pending = ["SIP/2.0 491 Request Pending"]  # our offer has no answer from this one
        assert wire.receive(asked("UPDATE", 2, "f2", OFFER)) == pending


class TestReliable:
    """RFC 3262 §4."""

    def test_acknowledged(self) -> None:
        """
        PRACK in the early dialog: RAck, the next CSeq, the Contact, and no answer to a copy.
        """
        wire, invite = calling()
        ringing = response(invite, "180 Ringing", headers=rings(776))
        assert wire.receive(ringing) == [
            "PRACK sip:bob@192.0.2.9:5070",
            Progress("t1", 180, b"", "peer"),
        ]
        prack = wire.last_request()
        assert prack.headers.get("RAck") == "776 1 INVITE"
        assert prack.headers.get("CSeq") == "2 PRACK"
        assert prack.headers.to.tag == "peer"
        assert wire.receive(ringing) == []
        assert wire.receive(response(prack, "200 OK")) == []
        ok = response(invite, "200 OK", headers=[CONTACT], body=ANSWER)
        assert wire.receive(ok)[-1] == Answered("t1", ANSWER, "peer")

    def test_in_order(self) -> None:
        """
        One that came too early is not acknowledged, and so comes again.
        """
        wire, invite = calling()
        seen = [
            wire.receive(response(invite, "180 Ringing", headers=rings(n)))[:1]
            for n in (5, 7, 6, 7)
        ]
        prack = ["PRACK sip:bob@192.0.2.9:5070"]
        assert seen == [prack, [], prack, prack]

    def test_each_phone_counts_for_itself(self) -> None:
        wire, invite = calling()
        for tag, rseq in (("f1", 5), ("f2", 900), ("f1", 6), ("f2", 901)):
            wire.receive(response(invite, "180 Ringing", tag=tag, headers=rings(rseq)))
            assert wire.last.headers.get("RAck") == f"{rseq} 1 INVITE"

    def test_target(self) -> None:
        """
        A reliable response moves the target (§12.2.1.2 with RFC 3262).
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing", headers=rings(1)))
        moved = rings(2, contact="sip:bob@192.0.2.11")
        assert wire.receive(response(invite, "180 Ringing", headers=moved))[0] == (
            "PRACK sip:bob@192.0.2.11"
        )

    @pytest.mark.parametrize("status", ["481 Gone", "500 No"])
    def test_refused(self, status: str) -> None:
        """
        What the peer makes of a PRACK changes nothing: its INVITE has still to be answered.
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing", headers=rings(1)))
        assert wire.receive(response(wire.last_request(), status)) == []
        assert wire.endpoint.calls == 1

    def test_unanswered(self) -> None:
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing", headers=rings(1)))
        assert all(what == "PRACK sip:bob@192.0.2.9:5070" for _, what in wire.wait(60.0))
        assert wire.endpoint.calls == 1

    def test_answered_without_a_body(self) -> None:
        """
        The description was in the reliable response.
        """
        wire, invite = calling()
        progress = response(invite, "183 Progress", headers=rings(1), body=ANSWER)
        assert wire.receive(progress)[1] == Progress("t1", 183, ANSWER, "peer")
        assert wire.receive(response(invite, "200 OK", headers=[CONTACT]))[-1] == (
            Answered("t1", b"", "peer")
        )

    def test_another_body(self) -> None:
        """
        What is no session description is not told as one.
        """
        wire, invite = calling()
        for status, told in (
            ("183 Progress", Progress("t1", 183, b"", "peer")),
            ("200 OK", Answered("t1", b"", "peer")),
        ):
            data = response(invite, status, headers=[CONTACT], body=b"01 00")
            other = data.replace(b"application/sdp", b"application/isup")
            assert wire.receive(other)[-1] == told


class TestTooSmall:
    """422: the peer wants a longer session interval (RFC 4028 §7.3)."""

    def test_once_more(self) -> None:
        """
        The same Call-ID and tag, the next CSeq, and what the 422 asks for.
        """
        wire, invite = calling()
        refused = response(invite, "422 Session Interval Too Small", headers=["Min-SE: 3600"])
        assert wire.receive(refused) == ["ACK sip:bob@192.0.2.9", "INVITE sip:bob@192.0.2.9"]
        again = wire.last_request()
        assert again.headers.get("CSeq") == "2 INVITE"
        assert again.headers.get("Session-Expires") == "3600"
        assert again.headers.get("Min-SE") == "3600"
        for name in ("Call-ID", "From", "To", "Allow", "Supported", "Contact", "User-Agent"):
            assert again.headers.all(name) == invite.headers.all(name)
        assert again.body == OFFER
        assert wire.receive(refused) == ["ACK sip:bob@192.0.2.9"]
        assert wire.receive(response(again, "200 OK", body=ANSWER))[-1] == (
            Answered("t1", ANSWER, "peer")
        )
        assert wire.last.headers.get("CSeq") == "2 ACK"

    def test_senseless(self) -> None:
        wire, invite = calling()
        refused = response(invite, "422 Session Interval Too Small")
        assert wire.receive(refused)[-1] == (
            Ended("t1", "peer", "refused", 422, "Session Interval Too Small")
        )

    def test_after_the_cancel(self) -> None:
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing"))
        wire.see(wire.endpoint.bye("t1", 0.0))
        refused = response(invite, "422 Session Interval Too Small", headers=["Min-SE: 3600"])
        assert wire.receive(refused) == ["ACK sip:bob@192.0.2.9"]
        wire.wait_until_idle()


MOVED = ["Contact: <sip:a@192.0.2.21>;q=0.5, <sip:b@192.0.2.22>"]


class TestRedirected:
    """3xx (§8.1.3.4)."""

    def placed(self, *, redirects: bool = True) -> tuple[Wire, Request]:
        wire = Wire()
        _, outputs = wire.endpoint.invite(
            "sip:bob@192.0.2.9",
            FLOW,
            OFFER,
            0.0,
            from_uri="sip:gw@192.0.2.1",
            route="sip:proxy@192.0.2.9",
            redirects=redirects,
        )
        wire.see(outputs)
        return wire, wire.last_request()

    def find(self, wire: Wire, host: str) -> Request:
        """Answer the question where a target is."""
        locate = wire.events[-1]
        assert isinstance(locate, Locate)
        assert locate.hop.host == host
        wire.see(wire.endpoint.located(locate.key, [Flow("udp", US, (host, 5060))], wire.now))
        return wire.last_request()

    def test_not_followed_unless_that_is_wanted(self) -> None:
        wire, invite = self.placed(redirects=False)
        assert wire.receive(response(invite, "302 Moved", headers=MOVED))[-1] == (
            Ended("t1", "peer", "refused", 302, "Moved")
        )
        wire.wait_until_idle()

    def test_followed(self) -> None:
        """
        The best first; tags, To and Call-ID stay, CSeq goes on, the route is left.
        """
        wire, invite = self.placed()
        wire.receive(response(invite, "302 Moved", headers=MOVED))
        second = self.find(wire, "192.0.2.22")
        assert second.uri == "sip:b@192.0.2.22"
        assert second.headers.get("CSeq") == "2 INVITE"
        assert second.headers.get("Route") is None
        for name in ("Call-ID", "From", "To"):
            assert second.headers.get(name) == invite.headers.get(name)
        wire.receive(response(second, "486 Busy Here"))
        third = self.find(wire, "192.0.2.21")
        assert third.headers.get("CSeq") == "3 INVITE"
        ok = response(third, "200 OK", headers=["Contact: <sip:a@192.0.2.21>"], body=ANSWER)
        assert wire.receive(ok) == ["ACK sip:a@192.0.2.21", Answered("t1", ANSWER, "peer")]
        assert wire.ways[-1] == ("192.0.2.21", 5060)

    def test_nobody_answers(self) -> None:
        """
        The last refusal is the call's.
        """
        wire, invite = self.placed()
        wire.receive(response(invite, "302 Moved", headers=MOVED))
        wire.receive(response(self.find(wire, "192.0.2.22"), "302 Moved", headers=MOVED))
        third = self.find(wire, "192.0.2.21")
        assert wire.receive(response(third, "404 Not Found"))[-1] == (
            Ended("t1", "peer", "refused", 404, "Not Found")
        )
        wire.wait_until_idle()

    def test_a_refusal_with_a_reason(self) -> None:
        """
        RFC 6432: what the telephone network said is worth more than SIP's phrase.
        """
        wire, invite = calling()
        reason = 'Reason: Q.850;cause=17;text="User busy"'
        assert wire.receive(response(invite, "486 Busy Here", headers=[reason]))[-1] == (
            Ended("t1", "peer", "refused", 486, 'Q.850;cause=17;text="User busy"')
        )

    def test_a_refusal_for_everybody(self) -> None:
        """
        6xx: nobody else is asked (§21.6).
        """
        wire, invite = self.placed()
        wire.receive(response(invite, "302 Moved", headers=MOVED))
        second = self.find(wire, "192.0.2.22")
        assert wire.receive(response(second, "603 Decline"))[-1] == (
            Ended("t1", "peer", "refused", 603, "Decline")
        )

    def test_one_is_silent_and_one_is_not_there(self) -> None:
        wire, invite = self.placed()
        wire.receive(response(invite, "302 Moved", headers=MOVED))
        self.find(wire, "192.0.2.22")
        wire.wait(32.0)
        locate = wire.events[-1]
        assert isinstance(locate, Locate)
        assert wire.see(wire.endpoint.located(locate.key, [], 32.0)) == [
            Ended("t1", "network", "unreachable", 503, None)
        ]
        wire.wait_until_idle()

    def test_the_first_is_not_there(self) -> None:
        """
        Then nobody has said who else is.
        """
        wire, _ = self.placed()
        assert wire.see(wire.endpoint.failed(FLOW, 0.0)) == [
            Ended("t1", "network", "unreachable", 503, None)
        ]

    def test_cancelled(self) -> None:
        """
        Nobody else is asked after that.
        """
        wire, invite = self.placed()
        wire.receive(response(invite, "180 Ringing"))
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.receive(response(invite, "302 Moved", headers=MOVED)) == [
            "ACK sip:bob@192.0.2.9"
        ]
        wire.wait_until_idle()

    def test_cancelled_while_the_next_is_looked_for(self) -> None:
        wire, invite = self.placed()
        wire.receive(response(invite, "302 Moved", headers=MOVED))
        assert wire.see(wire.endpoint.bye("t1", 0.0)) == [Ended("t1", "us", "cancelled", 487, None)]
        locate = wire.events[-2]
        assert isinstance(locate, Locate)
        assert wire.endpoint.located(locate.key, [FLOW], 0.0) == []
        wire.wait_until_idle()
