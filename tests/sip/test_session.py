"""What the parts of a call share: what the peer allows, ACKs, ways, a little randomness."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.sip.agent import METHODS, UserAgent
from gateway.sip.digest import Credentials
from gateway.sip.endpoint import Ended
from gateway.sip.layer import TransactionLayer
from gateway.sip.message import Headers, Request
from gateway.sip.session import Session
from gateway.sip.uac import UserAgentClient

from .wire import ANSWER, FLOW, OFFER, Wire, response


def session() -> Session:
    numbers = count(1)
    agent = UserAgent(token=lambda: f"t{next(numbers)}", name="gw/1")
    layer = TransactionLayer()
    return Session("t0", layer, UserAgentClient(layer, agent), agent, FLOW)


def allowing(*values: str) -> Request:
    return Request("OPTIONS", "sip:x@192.0.2.1", Headers([("Allow", it) for it in values]))


class TestAllow:
    """§20.5."""

    def test_nothing_is_said(self) -> None:
        """
        Then it is for who asks to decide: most things are tried, UPDATE is not (RFC 3311 §4).
        """
        ours = session()
        ours.note(Request("OPTIONS", "sip:x@192.0.2.1"))
        assert ours.allows("INFO")
        assert not ours.allows("UPDATE", unknown=False)

    @pytest.mark.parametrize(
        ("values", "allowed"),
        [
            (["INVITE, INFO"], {"INVITE", "INFO"}),
            (["INVITE", "update, UPDATE"], {"INVITE", "UPDATE"}),
            (["WHATEVER"], set()),
            ([""], set()),
        ],
    )
    def test_what_is_said(self, values: list[str], allowed: set[str]) -> None:
        ours = session()
        ours.note(allowing(*values))
        assert {method for method in METHODS if ours.allows(method)} == allowed

    def test_the_latest_counts(self) -> None:
        ours = session()
        ours.note(allowing("INFO"))
        ours.note(Request("OPTIONS", "sip:x@192.0.2.1"))
        assert ours.allows("INFO")
        ours.note(allowing("UPDATE"))
        assert not ours.allows("INFO")

    def test_refused_whatever_it_says(self) -> None:
        ours = session()
        ours.forbid("UPDATE")
        assert not ours.allows("UPDATE")
        assert ours.allows("INFO")
        ours.note(allowing(""))
        ours.forbid("UPDATE")
        assert not ours.allows("INFO")


def test_dice() -> None:
    """
    Each side comes up, and no other.
    """
    ours = session()
    assert {ours.dice(11) for _ in range(500)} == set(range(11))


def test_the_end_is_told_once() -> None:
    ours = session()
    assert ours.end("us", "hang_up", 200, None) == [Ended("t0", "us", "hang_up", 200, None)]
    assert ours.end("peer", "hang_up", 200, None) == []


def test_the_ack_has_the_credentials_of_the_invite() -> None:
    """
    Proxies may ask for them again (§22.1), and have answered the INVITE with its number.
    """
    wire = Wire()
    _, outputs = wire.endpoint.invite(
        "sip:bob@192.0.2.9",
        FLOW,
        OFFER,
        0.0,
        from_uri="sip:gw@192.0.2.1",
        credentials=Credentials("gw", "secret", token=lambda: "cnonce"),
    )
    wire.see(outputs)
    challenge = 'Proxy-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"'
    wire.receive(
        response(wire.last_request(), "407 Proxy Authentication Required", headers=[challenge])
    )
    invite = wire.last_request()
    assert invite.headers.get("CSeq") == "2 INVITE"
    wire.receive(response(invite, "200 OK", headers=["m: <sip:bob@192.0.2.9>"], body=ANSWER))
    ack = wire.last_request()
    assert ack.headers.get("CSeq") == "2 ACK"
    proof = invite.headers.get("Proxy-Authorization")
    assert proof
    assert ack.headers.get("Proxy-Authorization") == proof
