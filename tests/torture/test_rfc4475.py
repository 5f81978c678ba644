"""RFC 4475, section by section: what the parser reads of each message, and what a UA answers.

Here at the parser and at the endpoint alone; over sockets, with calls up, in test_rfc_live.py.
"""

from __future__ import annotations

import re
from itertools import count

import pytest

from gateway.sip.endpoint import Ended, Endpoint, Incoming, Locate, Output, Transmit
from gateway.sip.grammar import SipError
from gateway.sip.message import Request, Response, parse
from tests.sip.wire import FLOW

from .rfc4475 import CASES
from .verdict import OFFER, SILENCE, TAKEN, Case, View


def answer_to(endpoint: Endpoint, data: bytes) -> tuple[int, Response | None, list[Output]]:
    """Status, answer and all outputs."""
    outputs = endpoint.receive(data, FLOW, 0.0)
    sent = [readable(it.data) for it in outputs if isinstance(it, Transmit)]
    assert len(sent) <= 1
    answer = sent[0] if sent else None
    assert answer is None or isinstance(answer, Response)
    return (answer.status if answer else SILENCE), answer, outputs


def readable(data: bytes) -> Request | Response:
    """What we sent; a CSeq that is too large is said back as it was (§3.1.2.4)."""
    return parse(re.sub(rb"\r\nCSeq: [0-9]{11,} ", b"\r\nCSeq: 1 ", data))


def new_endpoint() -> Endpoint:
    numbers = count(1)
    return Endpoint(token=lambda: f"t{next(numbers)}")


def test_the_set_is_whole() -> None:
    """13 valid ones, 19 invalid ones, and 17 for the rest of a user agent."""
    sections = {case.section for case in CASES}
    expected = [f"3.1.1.{n}" for n in range(1, 14)]
    expected += [f"3.1.2.{n}" for n in range(1, 20)]
    expected += ["3.2.1", *(f"3.3.{n}" for n in range(1, 16)), "3.4.1"]
    assert sections == set(expected)
    assert len(expected) == 49


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parser(case: Case) -> None:
    """It reads what is there, and what it reads it writes again; or it names the status."""
    if case.read is None:
        with pytest.raises(SipError) as caught:
            parse(case.message)
        assert (caught.value.status or SILENCE) == case.answer
        return
    message = parse(case.message)
    view = View(message)
    assert {path: view[path] for path in case.read} == dict(case.read)
    assert parse(message.encode()) == message


@pytest.mark.parametrize("case", CASES, ids=str)
def test_user_agent(case: Case) -> None:
    """It serves it, says why not, or is silent, and then forgets it."""
    endpoint = new_endpoint()
    status, answer, outputs = answer_to(endpoint, case.message)
    incoming = [it for it in outputs if isinstance(it, Incoming)]

    assert status == case.answer
    assert len(incoming) == (case.answer == TAKEN)
    for name, value in case.says.items():
        assert answer
        assert answer.headers.get(name) == value
    for event in incoming:
        assert event.request.body == OFFER
        endpoint.refuse(event.call, 486, 0.0)
    while (deadline := endpoint.deadline) is not None:
        endpoint.handle_timer(deadline)
    assert endpoint.idle


def test_405_and_501_say_what_is_allowed() -> None:
    """§8.2.1 of RFC 3261."""
    for case in CASES:
        if case.answer in {405, 501}:
            _, answer, _ = answer_to(new_endpoint(), case.message)
            assert answer
            assert "INVITE" in answer.headers.elements("Allow")


def test_cookie_without_a_branch() -> None:
    """§3.2.1: two requests of such a peer are two, and a copy is a copy."""
    (case,) = [case for case in CASES if case.name == "badbranch"]
    other = case.message.replace(b"8 OPTIONS", b"9 OPTIONS")
    endpoint = new_endpoint()
    tags = [
        answer.headers.to.tag
        for data in (case.message, other, case.message)
        if (answer := answer_to(endpoint, data)[1])
    ]

    assert tags[0] == tags[2] != tags[1]


def test_peer_of_rfc_2543() -> None:
    """§3.4.1: its call is answered, confirmed and ended; our BYE goes where its From points."""
    (case,) = [case for case in CASES if case.name == "inv2543"]
    endpoint = new_endpoint()
    _, _, outputs = answer_to(endpoint, case.message)
    (incoming,) = [it for it in outputs if isinstance(it, Incoming)]
    (answered,) = endpoint.answer(incoming.call, OFFER, 0.0)
    assert isinstance(answered, Transmit)
    invite, ok = parse(case.message), parse(answered.data)
    assert isinstance(invite, Request)
    assert isinstance(ok, Response)
    assert ok.headers.all("Record-Route") == ["<sip:UserB@example.com;maddr=ss1.example.com>"]

    endpoint.receive(invite.ack(ok).encode(), FLOW, 0.1)
    sought, ended = endpoint.bye(incoming.call, 0.2)

    assert isinstance(ended, Ended)
    assert isinstance(sought, Locate)
    assert str(sought.hop) == "sip:UserB@example.com;maddr=ss1.example.com"
    (bye,) = endpoint.located(sought.key, [FLOW], 0.3)
    assert isinstance(bye, Transmit)
    request = parse(bye.data)
    assert isinstance(request, Request)
    assert request.uri == str(sought.hop)  # a strict router, §12.2.1.1
    assert request.headers.all("Route") == ["<sip:+15005550001@old.example.net;user=phone>"]
