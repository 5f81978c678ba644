"""RFC 3261 §17.1.3 and §17.2.3: which message belongs to which transaction."""

import pytest

from gateway.sip.endpoint import Transmit
from gateway.sip.layer import Acknowledged, Received, TransactionLayer, Unanswered, Unsent
from gateway.sip.message import Headers, Request, Response, parse

from .wire import FLOW, request, response


def read(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def answer(to: Request, status: str) -> Response:
    message = parse(response(to, status))
    assert isinstance(message, Response)
    return message


class TestServer:
    def test_match(self) -> None:
        """
        Branch, sent-by and method, where an ACK counts as its INVITE.
        """
        layer = TransactionLayer()
        server = layer.accept(read(request("INVITE")), FLOW, "call")

        assert layer.find(read(request("INVITE")), "INVITE") is server
        assert layer.find(read(request("ACK")), "INVITE") is server
        assert layer.find(read(request("CANCEL")), "CANCEL") is None
        assert layer.find(read(request("INVITE", branch="z9hG4bK-2")), "INVITE") is None
        other = request("INVITE").replace(b"UDP 192.0.2.9", b"UDP 192.0.2.8")
        assert layer.find(read(other), "INVITE") is None

    @pytest.mark.parametrize(
        "other",
        [
            request("INVITE", branch="1", uri="sip:8000@192.0.2.1"),
            request("INVITE", branch="1", from_tag="x"),
            request("INVITE", branch="1", call_id="x"),
            request("INVITE", branch="1", cseq=2),
            request("INVITE", branch="2"),
        ],
    )
    def test_match_of_an_old_peer(self, other: bytes) -> None:
        """
        Without the magic cookie: Request-URI, From tag, Call-ID, CSeq and the topmost Via.
        """
        layer = TransactionLayer()
        server = layer.accept(read(request("INVITE", branch="1")), FLOW, "call")

        assert layer.find(read(request("ACK", branch="1", to_tag="us")), "INVITE") is server
        assert layer.find(read(other), "INVITE") is None

    def test_match_of_a_cookie_alone(self) -> None:
        """
        It tells no two requests apart (RFC 4475 §3.2.1).
        """
        layer = TransactionLayer()
        server = layer.accept(read(request("OPTIONS", branch="z9hG4bK")), FLOW, None)

        assert layer.find(read(request("OPTIONS", branch="z9hG4bK")), "OPTIONS") is server
        other = request("OPTIONS", branch="z9hG4bK", cseq=2)
        assert layer.find(read(other), "OPTIONS") is None

    def test_merged(self) -> None:
        """
        Two copies over two ways: the first one's end makes room for neither, the table forgets
        the first only.
        """
        layer = TransactionLayer()
        first = layer.accept(read(request("OPTIONS")), FLOW, None)
        second = layer.accept(read(request("OPTIONS", branch="z9hG4bK-2")), FLOW, None)
        layer.respond(second, Response(200, "OK"), 0.0)
        layer.handle_timer(32.0)

        assert layer.is_merged(read(request("OPTIONS", branch="z9hG4bK-3")))
        layer.respond(first, Response(200, "OK"), 32.0)
        layer.handle_timer(64.0)
        assert not layer.is_merged(read(request("OPTIONS", branch="z9hG4bK-3")))
        assert len(layer) == 0

    def test_after_the_end(self) -> None:
        """
        A transaction that is over sends nothing.
        """
        layer = TransactionLayer()
        server = layer.accept(read(request("INVITE")), FLOW, "call")
        layer.respond(server, Response(200, "OK"), 0.0)
        assert layer.handle_timer(32.0) == []

        assert layer.respond(server, Response(200, "OK"), 32.0) == []

    def test_ack_of_a_2xx(self) -> None:
        layer = TransactionLayer()
        server = layer.accept(read(request("INVITE")), FLOW, "call")
        layer.respond(server, Response(200, "OK"), 0.0)
        ack = read(request("ACK"))

        assert layer.receive_copy(server, ack, 0.0) == [Acknowledged("call", ack)]

    def test_no_ack_of_a_refusal(self) -> None:
        """
        Timer H: the call is over already, nobody is told.
        """
        layer = TransactionLayer()
        server = layer.accept(read(request("INVITE")), FLOW, "call")
        layer.respond(server, Response(486, "Busy Here"), 0.0)
        while (deadline := layer.deadline) is not None:
            results = layer.handle_timer(deadline)

        assert results == []
        assert len(layer) == 0


class TestClient:
    def test_match(self) -> None:
        """
        Branch and CSeq method: the response to a CANCEL is not the INVITE's (§17.1.3).
        """
        layer = TransactionLayer()
        invite = read(request("INVITE"))
        client, sent = layer.request(invite, FLOW, "call", 0.0)
        assert sent == [Transmit(invite.encode(), FLOW)]
        ringing = answer(invite, "180 Ringing")

        assert layer.receive_response(ringing, 0.0) == [Received(client, ringing)]
        assert layer.receive_response(answer(invite.cancel(), "200 OK"), 0.0) is None
        other = answer(read(request("INVITE", branch="z9hG4bK-2")), "200 OK")
        assert layer.receive_response(other, 0.0) is None

    def test_copies(self) -> None:
        """
        The response to a BYE ends its copies.
        """
        layer = TransactionLayer()
        bye = read(request("BYE"))
        client, _ = layer.request(bye, FLOW, None, 0.0)
        ok = answer(bye, "200 OK")

        assert layer.receive_response(ok, 0.0) == [Received(client, ok)]
        assert layer.receive_response(ok, 0.0) == []
        assert layer.handle_timer(5.0) == []
        assert len(layer) == 0

    def test_time_out(self) -> None:
        layer = TransactionLayer()
        client, _ = layer.request(read(request("INVITE")), FLOW, "call", 0.0)
        layer.handle_timer(31.0)

        assert layer.handle_timer(32.0) == [Unanswered(client)]

    def test_way_that_is_none(self) -> None:
        """
        What has not been answered at all is given up (§17.1.4); what the peer works on is not,
        nor what went by another way.
        """
        layer = TransactionLayer()
        lost, _ = layer.request(read(request("INVITE", branch="z9hG4bK-1")), FLOW, 1, 0.0)
        bye, _ = layer.request(read(request("BYE", branch="z9hG4bK-2")), FLOW, 2, 0.0)
        other = type(FLOW)("tcp", FLOW.local, FLOW.remote)
        layer.request(read(request("BYE", branch="z9hG4bK-3")), other, 3, 0.0)
        rings = read(request("INVITE", branch="z9hG4bK-4"))
        layer.request(rings, FLOW, 4, 0.0)
        layer.receive_response(answer(rings, "180 Ringing"), 0.0)

        assert layer.fail(FLOW) == [Unsent(lost), Unsent(bye)]
        assert layer.fail(FLOW) == []
        assert len(layer) == 2

    def test_reliable(self) -> None:
        """
        Over TCP and TLS the transport resends.
        """
        layer = TransactionLayer()
        flow = type(FLOW)("tcp", FLOW.local, FLOW.remote)
        layer.request(read(request("INVITE")), flow, "call", 0.0)
        layer.request(read(request("BYE")), flow, None, 0.0)
        server = layer.accept(read(request("OPTIONS")), flow, None)
        layer.respond(server, Response(200, "OK", Headers()), 0.0)
        layer.accept(read(request("INVITE", call_id="c2")), flow, None)

        assert layer.handle_timer(0.0) == []
        assert layer.deadline == 32.0
