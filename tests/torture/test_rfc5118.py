"""RFC 5118, section by section: IPv6 in SIP, at the parser and at the endpoint alone."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.sdp.description import parse as parse_sdp
from gateway.sip.address import Uri
from gateway.sip.endpoint import Flow, Incoming, Transmit
from gateway.sip.grammar import SipError
from gateway.sip.message import Response, parse

from .rfc5118 import BOTH, CASES, OFFER_6
from .test_rfc4475 import new_endpoint
from .verdict import SILENCE, TAKEN, Case, View

FLOW_6 = Flow("udp", ("2001:db8::10", 5060), ("2001:db8::99", 5066))


def test_the_set_is_whole() -> None:
    """Ten sections, two of them with two messages."""
    assert {case.section for case in CASES} == {f"4.{n}" for n in range(1, 11)}
    assert len(CASES) == 12


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parser(case: Case) -> None:
    """It reads what is there, and what it reads it writes again."""
    assert case.read is not None
    message = parse(case.message)
    view = View(message)
    assert {path: view[path] for path in case.read} == dict(case.read)
    assert message.encode() == case.message


@pytest.mark.parametrize("case", CASES, ids=str)
def test_user_agent(case: Case) -> None:
    """It answers to where the message came from, over IPv6, and says from where that was."""
    endpoint = new_endpoint()
    outputs = endpoint.receive(case.message, FLOW_6, 0.0)
    answers = [it for it in outputs if isinstance(it, Transmit)]
    answer = parse(answers[0].data)
    incoming = [it for it in outputs if isinstance(it, Incoming)]

    assert isinstance(answer, Response)
    assert (answer.status if answers else SILENCE) == case.answer
    assert answers[0].flow == FLOW_6  # no Via here shows where it really came from
    assert "received=2001:db8::99" in answer.headers.elements("Via")[0]
    assert answer.headers.elements("Via")[0].count("received=") == 1
    assert len(incoming) == (case.answer == TAKEN)
    for event in incoming:
        endpoint.refuse(event.call, 486, 0.0)
    while (deadline := endpoint.deadline) is not None:
        endpoint.handle_timer(deadline)
    assert endpoint.idle


def test_no_brackets() -> None:
    """§4.2: nobody guesses where the address ends."""
    with pytest.raises(SipError):
        Uri.parse("sip:2001:db8::10")


def test_three_colons_are_two() -> None:
    """§4.10: the addresses are one."""
    two, three = (
        Uri.parse(f"sip:bob@[2001:db8{it}198.51.100.1]").host.strip("[]") for it in ("::", ":::")
    )
    assert ipaddress.ip_address(two) == ipaddress.ip_address(three)


def test_session_descriptions() -> None:
    """§4.6, §4.8: in SDP an address stands without brackets, for a session or for one stream."""
    session = parse_sdp(OFFER_6)
    assert session.connection
    assert session.connection.address == "2001:db8::20"
    audio, video = parse_sdp(BOTH).media
    assert audio.connection
    assert video.connection
    assert (audio.connection.address, video.connection.address) == ("2001:db8::20", "198.51.100.7")
