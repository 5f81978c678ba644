"""The SIP core as a whole: what is served, what is refused, what is only counted."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.agent import METHODS
from gateway.sip.endpoint import Confirmed, Endpoint, Flow, Incoming, Transmit
from gateway.sip.message import Response, parse

from .wire import (
    ANSWER,
    FLOW,
    OFFER,
    US,
    Wire,
    called,
    calling,
    request,
    response,
    talking,
    way_back,
)


def endpoint(max_transactions: int = 10_000) -> Endpoint:
    numbers = count(1)
    return Endpoint(token=lambda: f"t{next(numbers)}", max_transactions=max_transactions)


class TestOutOfDialogs:
    def test_options(self) -> None:
        """
        What we can do, with a tag of ours, and the same again for a copy (§11.2, §17.2.2).
        """
        wire = Wire()

        for _ in range(2):
            assert wire.receive(request("OPTIONS")) == ["SIP/2.0 200 OK"]
        assert wire.sent[0] == wire.sent[1]
        headers = wire.last.headers
        assert headers.get("Allow") == ", ".join(METHODS)
        assert headers.get("Accept") == "application/sdp"
        assert headers.to.tag == "t1"
        wire.wait_until_idle()
        assert wire.now == 32.0

    def test_draining(self) -> None:
        """
        While the process stops OPTIONS says so; calls are their owner's to refuse.
        """
        wire = Wire()
        wire.endpoint.draining = True

        assert wire.receive(request("OPTIONS")) == ["SIP/2.0 503 Service Unavailable"]
        assert wire.last.headers.get("Retry-After") == "5"
        _, incoming = wire.receive(request("INVITE", branch="z9hG4bK-2"))
        assert isinstance(incoming, Incoming)

    @pytest.mark.parametrize(
        ("data", "line"),
        [
            (request("REGISTER"), "405 Method Not Allowed"),
            (request("SUBSCRIBE"), "405 Method Not Allowed"),
            (request("BYE"), "481 Call/Transaction Does Not Exist"),
            (request("CANCEL"), "481 Call/Transaction Does Not Exist"),
            (request("BYE", to_tag="gone"), "481 Call/Transaction Does Not Exist"),
            (request("INFO", to_tag="gone"), "481 Call/Transaction Does Not Exist"),
            (request("OPTIONS", to_tag="gone"), "481 Call/Transaction Does Not Exist"),
            (request("INVITE", uri="urn:x:y"), "416 Unsupported URI Scheme"),
            (request("INVITE", headers=["Contact: sip:a@x", "Require: x"]), "420 Bad Extension"),
        ],
    )
    def test_refused(self, data: bytes, line: str) -> None:
        """
        Each refusal has a tag, no call comes of it, and nothing is left of it.
        """
        wire = Wire()

        assert wire.receive(data) == [f"SIP/2.0 {line}"]
        assert wire.last.headers.to.tag in {"t1", "gone"}
        wire.wait_until_idle()
        assert wire.events == []

    def test_refused_invite_is_resent(self) -> None:
        """
        A refused INVITE is a transaction as any other: resent until its ACK (§17.2.1).
        """
        wire = Wire()
        wire.receive(request("INVITE", uri="urn:x:y"))

        assert wire.wait(1.0) == [(0.5, "SIP/2.0 416 Unsupported URI Scheme")]
        assert wire.receive(request("ACK", uri="urn:x:y", to_tag="t1")) == []
        assert wire.wait(50.0) == []

    def test_cancel_of_a_refused_invite(self) -> None:
        """
        It is answered, and without effect (§9.2).
        """
        wire = Wire()
        wire.receive(request("INVITE", uri="urn:x:y"))

        assert wire.receive(request("CANCEL", uri="urn:x:y")) == ["SIP/2.0 200 OK"]

    def test_merged(self) -> None:
        """
        The same INVITE by another way, forked before us: 482 (§8.2.2.2).
        """
        wire = called()

        seen = wire.receive(request("INVITE", branch="z9hG4bK-other", body=OFFER))
        assert seen == ["SIP/2.0 482 Loop Detected"]
        assert wire.endpoint.calls == 1

    def test_merged_no_more(self) -> None:
        """
        When nothing of the first is left the same numbers make a new call.
        """
        wire = called()
        wire.see(wire.endpoint.refuse("t1", 486, 0.0))
        wire.wait_until_idle()

        assert wire.receive(request("INVITE", body=OFFER))[0] == "SIP/2.0 100 Trying"

    def test_old_peer(self) -> None:
        """
        Without the magic cookie most of the message makes the transaction (§17.2.3).
        """
        wire = called(branch="1")

        assert wire.receive(request("INVITE", branch="1", body=OFFER)) == ["SIP/2.0 100 Trying"]
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        assert wire.receive(request("ACK", branch="1", to_tag="t1")) == [Confirmed("t1", b"")]
        assert wire.receive(request("CANCEL", branch="1")) == ["SIP/2.0 200 OK"]

    def test_stray(self) -> None:
        """
        Responses and ACKs that belong to nothing are counted; never is one answered.
        """
        wire, invite = calling()

        assert wire.receive(request("ACK")) == []
        assert wire.receive(response(invite.cancel(), "200 OK")) == []
        two = response(invite, "200 OK").replace(b"From:", b"Via: SIP/2.0/UDP other\r\nFrom:")
        assert wire.receive(two) == []
        assert wire.endpoint.counts == {"stray_ack": 1, "stray_response": 2}

    def test_commands_without_a_call(self) -> None:
        """
        On a call that is over, or never was, nothing happens.
        """
        ours = endpoint()

        assert ours.ring("x", 0.0) == ours.answer("x", b"", 0.0) == ours.bye("x", 0.0) == []
        assert ours.refuse("x", 486, 0.0) == ours.reinvite("x", b"", 0.0) == []
        with pytest.raises(ValueError, match="200 does not refuse"):
            ours.refuse("x", 200, 0.0)
        assert (ours.calls, ours.idle, ours.deadline) == (0, True, None)


class TestWay:
    """Answers go to where the request came from, and nowhere else (§18.2.2, RFC 3581 §4)."""

    @pytest.mark.parametrize(
        "via",
        [
            b"192.0.2.9;branch=z9hG4bK-1;rport",
            b"192.0.2.9:9999;branch=z9hG4bK-1",
            b"victim.example;branch=z9hG4bK-1",
            b"203.0.113.1;branch=z9hG4bK-1;received=203.0.113.2;rport=53",
            b"203.0.113.1;branch=z9hG4bK-1;maddr=203.0.113.3",
        ],
    )
    def test_no_via_is_a_target(self, via: bytes) -> None:
        flow = Flow("udp", US, ("198.51.100.7", 40000))
        invite = request("INVITE").replace(b"192.0.2.9;branch=z9hG4bK-1;rport", via)
        ours = endpoint()

        outputs = ours.receive(invite, flow, 0.0)
        outputs += ours.ring("t1", 0.0) + ours.refuse("t1", 486, 0.0)
        outputs += ours.receive(invite.replace(b"INVITE", b"\xff"), flow, 0.0)
        while (deadline := ours.deadline) is not None:
            outputs += ours.handle_timer(deadline)
        sent = [output for output in outputs if isinstance(output, Transmit)]
        assert len(sent) > 10
        assert {transmit.flow for transmit in sent} == {flow}

    def test_received(self) -> None:
        """
        The topmost Via of the response says where the request came from.
        """
        wire = Wire()
        wire.receive(request("OPTIONS"), Flow("udp", US, ("198.51.100.7", 40000)))

        assert wire.last.headers.get("Via") == (
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1;received=198.51.100.7;rport=40000"
        )

    def test_public_address(self) -> None:
        """
        Behind NAT Contact and Via show the address that the world knows.
        """
        ours = Endpoint(token=lambda: "t", public_address="203.0.113.5", user_agent="gw/1")
        ours.receive(request("INVITE"), FLOW, 0.0)
        (transmit,) = ours.answer("t", ANSWER, 0.0)

        assert isinstance(transmit, Transmit)
        assert b"\r\nContact: <sip:203.0.113.5:5060>\r\n" in transmit.data
        assert b"\r\nServer: gw/1\r\n" in transmit.data


class TestBadInput:
    @pytest.mark.parametrize(
        "data",
        [b"", b"\r\n\r\n", b"\r\n", b"\0", b"\0\0\0\0", b"  \r\n"],
    )
    def test_keepalive(self, data: bytes) -> None:
        """
        What only keeps a NAT open is counted and not answered (RFC 5626 §4.4).
        """
        wire = Wire()

        assert wire.receive(data) == []
        assert wire.endpoint.counts == {"keepalive": 1}

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(range(12)),  # STUN binding request
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            request("INVITE", body=OFFER)[:150],
            request("INVITE").replace(b"CSeq", b"X"),
            request("ACK").replace(b"1 ACK", b"1 INVITE"),
            b"\xff" * 65_507,
            (b"INVITE sip:x SIP/2.0\r\n" + b"A: b\r\n" * 10_000)[:65_000] + b"\r\n\r\n",
        ],
    )
    def test_silence(self, data: bytes) -> None:
        wire = Wire()

        assert wire.receive(data) == []
        assert wire.endpoint.counts == {"parse_error": 1}
        assert wire.endpoint.idle

    @pytest.mark.parametrize(
        ("old", "new", "line"),
        [
            (b"1 INVITE", b"1 OPTIONS", "400 CSeq Method Differs"),
            (b" SIP/2.0", b" SIP/3.0", "505 Version Not Supported"),
            (b"Length: 14", b"Length: 9999999999", "400 Body Is Shorter Than Content-Length"),
            (b"Contact", b"X: y\r\n" * 130 + b"Contact", "400 Bad Header"),
        ],
    )
    def test_answer_without_state(self, old: bytes, new: bytes, line: str) -> None:
        """
        One answer for one datagram, the same for each copy; nothing is kept (§8.2.7).
        """
        wire = Wire()
        data = request("INVITE", body=OFFER).replace(old, new, 1)

        for _ in range(2):
            assert wire.receive(data) == [f"SIP/2.0 {line}"]
        assert wire.sent[0] == wire.sent[1]
        assert wire.endpoint.idle
        assert wire.endpoint.counts == {"parse_error": 2, "stateless": 2}

    def test_cseq_out_of_range(self) -> None:
        """
        The answer repeats the number, so that its sender knows it (RFC 4475 §3.1.2.4).
        """
        huge = request("INVITE").replace(b"1 INVITE", b"36893488147419103232 INVITE")
        (transmit,) = endpoint().receive(huge, FLOW, 0.0)

        assert isinstance(transmit, Transmit)
        assert transmit.data.startswith(b"SIP/2.0 400 CSeq Out Of Range\r\n")
        assert b"\r\nCSeq: 36893488147419103232 INVITE\r\n" in transmit.data

    def test_broken_answer_is_no_larger(self) -> None:
        """
        Nobody is hit harder through us than directly.
        """
        ours = endpoint()
        data = request("INVITE", body=OFFER).replace(b"1 INVITE", b"1 OPTIONS", 1)
        (transmit,) = ours.receive(data, FLOW, 0.0)

        assert isinstance(transmit, Transmit)
        assert len(transmit.data) <= len(data)

    def test_bytes_that_no_text_has(self) -> None:
        """
        They are echoed as they came.
        """
        ours = endpoint()
        data = request("OPTIONS").replace(b'"Alice"', b'"\xe9\xff"')
        (transmit,) = ours.receive(data, FLOW, 0.0)

        assert isinstance(transmit, Transmit)
        assert b'\r\nFrom: "\xe9\xff" <sip:alice@example.com>;tag=peer\r\n' in transmit.data


class TestBounds:
    def test_new_requests_when_full(self) -> None:
        """
        Beyond its cap the endpoint keeps nothing for a stranger: 503 without state.
        """
        ours = endpoint(max_transactions=2)
        wire = Wire(ours)
        for number in range(2):
            wire.receive(request("OPTIONS", branch=f"z9hG4bK-{number}", call_id=f"c{number}"))

        for method in ("OPTIONS", "INVITE"):
            assert wire.receive(request(method, branch="z9hG4bK-x", call_id="x")) == [
                "SIP/2.0 503 Service Unavailable"
            ]
            assert wire.last.headers.get("Retry-After") == "5"
        bye = request("BYE", branch="z9hG4bK-y", to_tag="gone")
        assert wire.receive(bye) == ["SIP/2.0 481 Call/Transaction Does Not Exist"]
        assert ours.counts == {"stateless": 3}
        wire.wait_until_idle()

    def test_calls_in_progress_when_full(self) -> None:
        """
        They are served up to twice the cap; so is the BYE that makes room.
        """
        wire = Wire(endpoint(max_transactions=2))
        wire.receive(request("INVITE", body=OFFER))
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.receive(request("ACK", branch="z9hG4bK-a", to_tag="t1"))

        seen = [
            wire.receive(request("OPTIONS", cseq=n, branch=f"z9hG4bK-{n}", to_tag="t1"))[0]
            for n in range(2, 7)
        ]
        assert seen == ["SIP/2.0 200 OK"] * 3 + ["SIP/2.0 503 Service Unavailable"] * 2

    def test_nothing_is_left(self) -> None:
        """
        Two hundred calls, ended in each way, leave nothing behind.
        """
        ours = endpoint()
        wire = Wire(ours)
        for number in range(200):
            names = {"branch": f"z9hG4bK-{number}", "call_id": f"c{number}"}
            incoming = wire.receive(request("INVITE", **names))[-1]  # type: ignore[arg-type]
            assert isinstance(incoming, Incoming)
            match number % 4:
                case 0:
                    wire.receive(request("CANCEL", **names))  # type: ignore[arg-type]
                case 1:
                    wire.see(ours.refuse(incoming.call, 486, wire.now))
                case 2:
                    wire.see(ours.bye(incoming.call, wire.now))
                case 3:
                    wire.see(ours.answer(incoming.call, ANSWER, wire.now))
            wire.sent.clear()
        wire.wait_until_idle()

        assert (ours.calls, ours.counts) == (0, {})
        assert not ours._layer._seen
        assert not ours._schedule._heap


@given(st.binary(max_size=4), st.integers(0, 420), st.integers(0, 6), st.booleans())
def test_damaged_requests(piece: bytes, at: int, cut: int, within: bool) -> None:
    """
    Whatever comes, nothing is raised, calls in progress do not notice, and each answer goes back
    to its sender.
    """
    wire = talking()
    data = request(
        "INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1" if within else None, body=OFFER
    )

    outputs = wire.endpoint.receive(data[:at] + piece + data[at + cut :], FLOW, 0.0)

    for output in outputs:
        if isinstance(output, Transmit):
            answer = parse(output.data)
            assert isinstance(answer, Response)
            assert output.flow.remote == way_back(answer)
    assert wire.endpoint.calls >= 1


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
