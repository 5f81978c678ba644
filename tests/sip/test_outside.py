"""Requests outside of a dialog: what is served, what is refused, and what that costs (§8.2)."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.sip.agent import METHODS
from gateway.sip.endpoint import Endpoint, Incoming, Transmit

from .wire import ANSWER, FLOW, OFFER, Wire, called, request


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
            (request("MESSAGE"), "405 Method Not Allowed"),
            (request("REFER", headers=["Refer-To: <sip:a@x>"]), "603 Decline"),
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


class TestBadInput:
    """What cannot be read is answered where that is possible, and forgotten (§8.2.7)."""

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
