"""RFC 3262: provisional responses that are acknowledged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.sip.message import Headers, Request, Response
from gateway.sip.provisional import (
    ReliableReceiver,
    ReliableSender,
    is_reliable,
    is_required,
    is_supported,
)

CSEQ = ("CSeq", "7 INVITE")
INVITE = Request("INVITE", "sip:x@192.0.2.1", Headers([CSEQ]))


def ringing(status: int = 180, body: bytes = b"") -> Response:
    return Response(status, "Ringing", Headers([CSEQ]), body)


def prack(rack: str) -> Request:
    return Request("PRACK", "sip:x@192.0.2.1", Headers([("CSeq", "8 PRACK"), ("RAck", rack)]))


def sender(first: int = 4711) -> ReliableSender:
    return ReliableSender(INVITE, lambda: first)


def rseq(response: Response) -> str | None:
    return response.headers.get("RSeq")


class TestExtension:
    """Option tags (§3)."""

    @pytest.mark.parametrize(
        ("headers", "supported", "required"),
        [
            ([("Supported", "timer, 100rel")], True, False),
            ([("k", "100REL")], True, False),
            ([("Require", "100rel")], True, True),
            ([("Supported", "timer")], False, False),
            ([], False, False),
        ],
    )
    def test_of_an_invite(
        self, headers: list[tuple[str, str]], supported: bool, required: bool
    ) -> None:
        invite = replace(INVITE, headers=Headers([CSEQ, *headers]))
        assert (is_supported(invite), is_required(invite)) == (supported, required)

    @pytest.mark.parametrize(
        ("status", "headers", "reliable"),
        [
            (183, [("Require", "100rel"), ("RSeq", "1")], True),
            (183, [("Require", "foo, 100rel"), ("RSeq", "1")], True),
            (183, [("RSeq", "1")], False),
            (183, [("Require", "100rel")], False),
            (100, [("Require", "100rel"), ("RSeq", "1")], False),
            (200, [("Require", "100rel"), ("RSeq", "1")], False),
        ],
    )
    def test_of_a_response(
        self, status: int, headers: list[tuple[str, str]], reliable: bool
    ) -> None:
        """§4: never a 100."""
        assert is_reliable(Response(status, "", Headers([CSEQ, *headers]))) is reliable


class TestSender:
    """We ring (§3)."""

    def test_numbered(self) -> None:
        [sent] = sender().send(ringing(), 0.0)
        assert (sent.headers.get("Require"), rseq(sent)) == ("100rel", "4711")

    def test_resent_until_given_up(self) -> None:
        """After 0.5, 1, 2, ... s, twice as long each time; after 32 s the INVITE is refused."""
        ours = sender()
        [first] = ours.send(ringing(), 0.0)
        sent = []
        while (copies := ours.handle_timer(now := ours.deadline or 0.0)) is not None:
            assert copies == [first]
            sent.append(now)
        assert sent == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert now == 32.0
        assert ours.deadline is None

    def test_nothing_is_due(self) -> None:
        ours = sender()
        assert ours.handle_timer(0.0) == []
        ours.send(ringing(), 0.0)
        assert ours.handle_timer(0.1) == []

    def test_acknowledged(self) -> None:
        """By the numbers of the response, of the INVITE, and its method."""
        ours = sender()
        ours.send(ringing(), 0.0)
        assert ours.acknowledge(prack("4711 7 INVITE"), 0.1) == []
        assert ours.deadline is None

    @pytest.mark.parametrize(
        "rack",
        ["4712 7 INVITE", "4711 8 INVITE", "4711 7 invite", "4711 7", "", "４７１１ 7 INVITE"],
    )
    def test_another_prack(self, rack: str) -> None:
        """None: 481."""
        ours = sender()
        assert ours.acknowledge(prack(rack), 0.0) is None
        ours.send(ringing(), 0.0)
        assert ours.acknowledge(prack(rack), 0.1) is None
        assert ours.deadline == 0.5

    def test_the_same_prack_twice(self) -> None:
        """What is acknowledged is not there to be acknowledged any more."""
        ours = sender()
        ours.send(ringing(), 0.0)
        ours.acknowledge(prack("4711 7 INVITE"), 0.1)
        assert ours.acknowledge(prack("4711 7 INVITE"), 0.2) is None

    def test_one_at_a_time(self) -> None:
        """Later ones wait in their order, each with the next number and times of its own."""
        ours = sender(2**31 - 1)
        ours.send(ringing(180), 0.0)
        assert ours.send(ringing(183, b"sdp"), 0.1) == []
        assert ours.send(ringing(181), 0.2) == []

        [second] = ours.acknowledge(prack("2147483647 7 INVITE"), 10.0) or []
        assert (second.status, rseq(second), ours.deadline) == (183, "2147483648", 10.5)
        [third] = ours.acknowledge(prack("2147483648 7 INVITE"), 11.0) or []
        assert (third.status, rseq(third)) == (181, "2147483649")

    def test_a_session_waits(self) -> None:
        """A 2xx may not overtake a description that the peer may not have."""
        ours = sender()
        assert not ours.holds_session
        ours.send(ringing(), 0.0)
        assert not ours.holds_session
        ours.send(ringing(183, b"sdp"), 0.0)
        assert ours.holds_session
        ours.acknowledge(prack("4711 7 INVITE"), 0.1)
        assert ours.holds_session
        ours.acknowledge(prack("4712 7 INVITE"), 0.2)
        assert not ours.holds_session

    def test_a_final_response(self) -> None:
        """No copies after it, nothing of what waited; but a PRACK on its way is known."""
        ours = sender()
        ours.send(ringing(), 0.0)
        ours.send(ringing(181), 0.0)
        ours.finish()
        assert ours.deadline is None
        assert ours.handle_timer(40.0) == []
        assert ours.acknowledge(prack("4711 7 INVITE"), 0.1) == []
        assert ours.send(ringing(), 0.2) == []


class TestReceiver:
    """It rings (§4)."""

    def numbered(self, rseq: str) -> Response:
        return replace(ringing(), headers=Headers([CSEQ, ("RSeq", rseq)]))

    def test_in_order(self) -> None:
        """The first may have any number, each next one the next."""
        ours = ReliableReceiver()
        taken = [ours.take(self.numbered(n)) for n in ("900", "900", "902", "901", "902", "901")]
        assert taken == ["900 7 INVITE", None, None, "901 7 INVITE", "902 7 INVITE", None]

    @pytest.mark.parametrize("number", ["", "0", "-1", "4294967296", "x", "１"])
    def test_no_number(self, number: str) -> None:
        assert ReliableReceiver().take(self.numbered(number)) is None
