"""One call: requests within its dialog, its session timer, and the parts together."""

from __future__ import annotations

import pytest

from gateway.sip.endpoint import Flow, Transmit
from gateway.sip.message import Request, Response, parse

from .wire import ANSWER, FLOW, OFFER, US, called, request, talking


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


def test_our_messages_parse() -> None:
    """
    Everything that a whole call makes us send can be read again.
    """
    wire = talking()
    wire.see(wire.endpoint.bye("t1", 0.0))

    assert all(isinstance(m, Request | Response) and parse(m.encode()) == m for m in wire.sent)
