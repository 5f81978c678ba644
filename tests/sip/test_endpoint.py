"""The SIP core as a whole: what a message belongs to, where answers go, what is only counted."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


class TestMatching:
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


class TestBounds:
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
        assert not ours._calls._schedule._heap


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
