"""RFC 3264 §4: one offer at a time; what meets what, and what is answered to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.sip.endpoint import Offered, Refused
from gateway.sip.message import Request

from .wire import ANSWER, OFFER, Wire, called, calling, request, response, talking

CONTACT = "Contact: <sip:alice@192.0.2.9>"
ALLOWS = [CONTACT, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"]
REFUSED = [Refused("t1", 491, "Request Pending")]
PENDING, BUSY = "SIP/2.0 491 Request Pending", "SIP/2.0 500 Server Internal Error"


def idle() -> Wire:
    return talking(headers=ALLOWS)


def our_reinvite() -> Wire:
    wire = idle()
    wire.see(wire.endpoint.reinvite("t1", OFFER, 0.0))
    return wire


def our_update() -> Wire:
    wire = idle()
    wire.see(wire.endpoint.update("t1", OFFER, 0.0))
    return wire


def our_refresh() -> Wire:
    """An UPDATE without an offer is in nobody's way."""
    timer = [*ALLOWS, "Supported: timer", "Session-Expires: 90"]
    wire = talking(headers=timer)
    wire.wait(45.0)
    assert wire.last_request().method == "UPDATE"
    return wire


def our_offer_in_a_2xx() -> Wire:
    wire = Wire()
    wire.receive(request("INVITE", headers=ALLOWS))
    wire.see(wire.endpoint.answer("t1", OFFER, 0.0))
    return wire


def our_offer_in_a_18x() -> Wire:
    wire = Wire()
    wire.receive(request("INVITE", headers=[*ALLOWS, "Supported: 100rel"]))
    wire.see(wire.endpoint.ring("t1", 0.0, body=OFFER))
    return wire


def their_invite() -> Wire:
    return called(headers=ALLOWS)


def their_reinvite() -> Wire:
    wire = idle()
    wire.receive(request("INVITE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=OFFER))
    return wire


def their_update() -> Wire:
    wire = idle()
    wire.receive(request("UPDATE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=OFFER))
    return wire


def their_ack_is_due() -> Wire:
    wire = called(headers=ALLOWS)
    wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
    return wire


Case = Callable[[], Wire]


@pytest.mark.parametrize(
    ("open_", "reinvite", "update", "empty_update"),
    [
        (idle, None, None, "SIP/2.0 200 OK"),
        (our_reinvite, PENDING, PENDING, "SIP/2.0 200 OK"),
        (our_update, PENDING, PENDING, "SIP/2.0 200 OK"),
        (our_refresh, None, None, "SIP/2.0 200 OK"),
        (our_offer_in_a_2xx, PENDING, PENDING, "SIP/2.0 200 OK"),
        (our_offer_in_a_18x, BUSY, PENDING, "SIP/2.0 200 OK"),
        (their_invite, BUSY, BUSY, "SIP/2.0 200 OK"),
        (their_reinvite, BUSY, BUSY, "SIP/2.0 200 OK"),
        (their_update, BUSY, BUSY, BUSY),
        (their_ack_is_due, None, None, "SIP/2.0 200 OK"),
    ],
)
def test_the_peer_offers(
    open_: Case, reinvite: str | None, update: str | None, empty_update: str
) -> None:
    """
    491 while ours is open, 500 with Retry-After while the peer's own is (RFC 3261 §14.2, RFC
    3311 §5.2); an UPDATE without an offer only waits for another UPDATE. None: it is taken.
    """
    asked = (("INVITE", OFFER, reinvite), ("UPDATE", OFFER, update), ("UPDATE", b"", empty_update))
    for method, body, answer in asked:
        wire = open_()
        seen = wire.receive(request(method, cseq=9, branch="z9hG4bK-9", to_tag="t1", body=body))
        assert any(isinstance(it, Offered) for it in seen) is (answer is None), method
        assert answer is None or seen == [answer], method
        if answer == BUSY:
            assert 0 <= int(wire.last.headers.get("Retry-After") or "x") <= 10


@pytest.mark.parametrize(
    ("open_", "reinvite", "update"),
    [
        (idle, "INVITE", "UPDATE"),
        (our_reinvite, REFUSED, REFUSED),
        (our_update, REFUSED, REFUSED),
        (our_refresh, REFUSED, REFUSED),
        (our_offer_in_a_2xx, REFUSED, REFUSED),
        (our_offer_in_a_18x, [], REFUSED),
        (their_invite, [], REFUSED),
        (their_reinvite, REFUSED, REFUSED),
        (their_update, REFUSED, REFUSED),
        (their_ack_is_due, REFUSED, REFUSED),
    ],
)
def test_we_offer(open_: Case, reinvite: str | list[Refused], update: str | list[Refused]) -> None:
    """
    While anything is open we do not even ask (§14.1); before the answer there is no re-INVITE.
    """
    for method, outcome in (("reinvite", reinvite), ("update", update)):
        wire = open_()
        outputs = getattr(wire.endpoint, method)("t1", OFFER, wire.now)
        if isinstance(outcome, str):
            assert wire.see(outputs) == [f"{outcome} sip:alice@192.0.2.9"]
        else:
            assert outputs == outcome


def test_our_first_offer_is_open() -> None:
    """
    Until a phone has answered it reliably, that one may not offer anything else (RFC 3311 §5.1).
    """
    wire, invite = calling()
    wire.receive(response(invite, "183 Progress", headers=[CONTACT], body=ANSWER))

    def update(cseq: int) -> bytes:
        branch = f"z9hG4bK-{cseq}"
        return request("UPDATE", cseq=cseq, branch=branch, to_tag="t1", call_id="t2", body=OFFER)

    assert wire.receive(update(1)) == [PENDING]
    rings = [CONTACT, "Require: 100rel", "RSeq: 1"]
    wire.receive(response(invite, "183 Progress", headers=rings, body=ANSWER))
    assert isinstance(wire.last, Request)
    (offered,) = wire.receive(update(2))
    assert isinstance(offered, Offered)


def test_a_held_offer_is_answered_later() -> None:
    """
    A change of ours that waits for its turn does not keep the peer from changing anything.
    """
    wire = our_update()
    wire.receive(response(wire.last_request(), "491 Request Pending"))
    (offered,) = wire.receive(
        request("UPDATE", cseq=2, branch="z9hG4bK-2", to_tag="t1", body=OFFER)
    )
    assert isinstance(offered, Offered)
