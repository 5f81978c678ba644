"""Hostile datagrams at the SIP core: it answers as RFC 3261 says or is silent, and forgets them.

Here the endpoint alone, in each state of a call; whole gateways are in test_sip_live.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.endpoint import (
    Ended,
    Endpoint,
    Flow,
    Incoming,
    Locate,
    Offered,
    Output,
    Transmit,
)
from gateway.sip.event import CallEvent, Registered, Unregistered
from gateway.sip.grammar import SipError
from gateway.sip.message import Request, Response, parse
from tests.sip.wire import FLOW, PEER, US, calling, response, way_back

from .hostile import OFFER, all_datagrams, mutated, mutations, request

REFUSALS = {400, 405, 406, 415, 416, 420, 481, 482, 500, 501, 505, 603}
INVITE_COPIES = 1 + 10  # a final response and its copies in 32 s, RFC 3261 §17.2.1 timer G
FOREVER = 1000.0  # s, longer than any timer


class Owner:
    """An endpoint, its clock, and an owner that takes no call; checks all that leaves."""

    def __init__(self) -> None:
        numbers = count(1)
        self.endpoint = Endpoint(token=lambda: f"t{next(numbers)}")
        self.now = 0.0
        self.events: list[CallEvent] = []
        self.sent: list[bytes] = []

    def receive(self, data: bytes) -> list[Request | Response]:
        """Let a datagram come; returns what leaves at once."""
        return self.act(self.endpoint.receive(data, FLOW, self.now))

    def act(self, outputs: Iterable[Output]) -> list[Request | Response]:
        left: list[Request | Response] = []
        for output in outputs:
            if isinstance(output, Transmit):
                self.sent.append(output.data)
                left.append(sound(output.data))
                goes_back(left[-1], output.flow)
                continue
            self.note(output)
            match output:
                case Incoming(call=call):
                    left += self.act(self.endpoint.refuse(call, 404, self.now))
                case Offered(call=call):
                    left += self.act(self.endpoint.refuse(call, 488, self.now))
        return left

    def note(self, output: Output) -> CallEvent:
        """Keep an event; nothing that comes in makes an endpoint register, or look for a hop."""
        assert not isinstance(output, Transmit | Locate | Registered | Unregistered)
        self.events.append(output)
        return output

    def pass_time(self, seconds: float = FOREVER) -> None:
        until = self.now + seconds
        while (deadline := self.endpoint.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.act(self.endpoint.handle_timer(self.now))
        self.now = until

    def ends(self, call: str) -> int:
        """How often a call was said to be over."""
        return sum(isinstance(event, Ended) and event.call == call for event in self.events)

    def rest(self) -> None:
        """Every call is over, was told to be over once, and nothing is left."""
        for event in list(self.events):
            self.act(self.endpoint.bye(event.call, self.now))
        self.pass_time()
        assert self.endpoint.idle
        ended = [event.call for event in self.events if isinstance(event, Ended)]
        begun = {event.call for event in self.events}
        assert sorted(ended) == sorted(begun)


def sound(data: bytes) -> Request | Response:
    """What we send is SIP that another parser would read the same way."""
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
    assert b"\0" not in head
    echoed = re.sub(rb"\r\nCSeq: [0-9]{10,} ", b"\r\nCSeq: 1 ", data)  # RFC 4475 §3.1.2.4
    message = parse(echoed)
    assert message.body == body
    if isinstance(message, Response) and message.status > 100:
        assert message.headers.to.tag is not None or b'"' in head
    return message


def goes_back(message: Request | Response, flow: Flow) -> None:
    """
    Whatever a Via or Contact says, only the sender gets what we send; at another port only an
    answer, when the Via that it repeats names the sender's host and does not ask for rport.
    """
    to = way_back(message) if isinstance(message, Response) else PEER
    assert flow == Flow("udp", US, to)


def talk(endpoint: Endpoint) -> None:
    """A call is up: t1, of the Call-ID "hostile", so that what follows is of its dialog."""
    endpoint.receive(request(via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-call"), FLOW, 0.0)
    endpoint.answer("t1", OFFER, 0.0)
    ack = request(
        "ACK", via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-ack", to="<sip:7000@h>;tag=t1", body=b""
    )
    endpoint.receive(ack, FLOW, 0.0)


HAND_WRITTEN = all_datagrams()
MUTATED = mutations(
    [request(), request("OPTIONS", body=b""), request("BYE", body=b"")], 1500, seed=1
)


def test_each_alone() -> None:
    """
    At most one answer for one datagram, and of an INVITE its copies until the ACK (§17.2.1); each
    about as long as what was sent (lists get a space after each comma). Afterwards nothing is left.
    """
    for name, data in [*HAND_WRITTEN, *MUTATED]:
        owner = Owner()

        answers = owner.receive(data)
        finals = [it for it in answers if isinstance(it, Response) and it.status >= 200]
        assert len(finals) <= 1, name
        assert len(answers) <= 1 + (b"INVITE" in data), name
        assert all(len(sent) <= 1.5 * len(data) + 512 for sent in owner.sent), name
        assert {it.status for it in finals} <= {200, 404, *REFUSALS}, name
        owner.rest()
        assert len(owner.sent) <= 1 + INVITE_COPIES, name
        if not any(isinstance(event, Incoming) for event in owner.events):
            assert len(owner.sent) <= (INVITE_COPIES if b"INVITE" in data else 1), name


def test_all_at_one_endpoint() -> None:
    """One after the other, no stranger changes what the next one gets."""
    owner = Owner()
    dice = random.Random(5)
    datagrams = [*HAND_WRITTEN, *MUTATED]
    dice.shuffle(datagrams)
    for _, data in datagrams:
        owner.receive(data)
        owner.pass_time(dice.choice((0.0, 0.0, 0.1, 5.0)))
    options = request("OPTIONS", via="SIP/2.0/UDP h;branch=z9hG4bK-last", call_id="last", body=b"")
    (answer,) = owner.receive(options)

    assert isinstance(answer, Response)
    assert answer.status == 200
    owner.rest()


def test_within_a_dialog() -> None:
    """
    The same, but with the Call-ID and the tags of a call that is up: it ends by a good BYE or not
    at all.
    """
    within = [
        (name, data.replace(b"To: <sip:7000@192.0.2.1>\r\n", b"To: <sip:7000@h>;tag=t1\r\n"))
        for name, data in HAND_WRITTEN
    ]
    good = [
        request(method, to="<sip:7000@h>;tag=t1", cseq=f"{n} {method}", body=body)
        for n, method, body in [
            (2, "INVITE", OFFER), (1, "ACK", b""), (3, "BYE", b""), (4, "OPTIONS", b""),
            (1, "CANCEL", b""), (5, "INFO", b"x"),
        ]
    ]  # fmt: skip
    for name, data in [*within, *mutations(good, 1500, seed=2)]:
        owner = Owner()
        talk(owner.endpoint)

        owner.receive(data)
        if owner.ends("t1"):
            assert parse(data).method == "BYE", name  # type: ignore[union-attr]
        else:
            assert owner.endpoint.calls == 1, name
            owner.act(owner.endpoint.bye("t1", owner.now))
        owner.pass_time()
        assert owner.endpoint.idle, name


def test_while_a_call_waits() -> None:
    """Before its answer a call ends by its own CANCEL only (§9.2)."""
    for name, data in [*HAND_WRITTEN, *mutations([request("CANCEL", body=b"")], 500, seed=3)]:
        owner = Owner()
        via = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-hostile;rport"
        owner.endpoint.receive(request(via=via), FLOW, 0.0)

        owner.receive(data)
        if not owner.ends("t1"):
            assert [*owner.endpoint.answer("t1", OFFER, owner.now)], name
        owner.act(owner.endpoint.bye("t1", owner.now))
        owner.pass_time()
        assert owner.endpoint.idle, name


def test_answers_to_what_we_asked() -> None:
    """
    Responses to an INVITE and a BYE of ours, bent in every way: what cannot be read is as if it
    had not come, and the call ends once, at the latest by our timers.
    """
    dice = random.Random(6)
    routes = ["Record-Route: <sip:a;lr>, <sip:b>", "Record-Route: x", "Record-Route: <tel:1>,<>"]
    contacts = ["Contact: <sip:bob@192.0.2.9;x=%0d%0a>", "Contact: *", "Contact: <tel:1>", "X: y"]
    for n in range(1500):
        wire, invite = calling()
        status = dice.choice(
            ["180 Ringing", "183 X", "200 OK", "200 OK", "302 X", "404 X", "699 X"]
        )
        extra = [dice.choice(routes), dice.choice(contacts)]
        good = response(invite, status, headers=extra, body=dice.choice([b"", OFFER]))
        for data in (mutated(good, dice), good, mutated(good, dice)):
            wire.see(wire.endpoint.receive(data, FLOW, wire.now))
            wire.wait(wire.now + dice.choice((0.0, 1.0)))
        wire.see(wire.endpoint.bye("t1", wire.now))
        for sought in [it for it in wire.events if isinstance(it, Locate)]:
            wire.see(wire.endpoint.located(sought.key, dice.choice([[], [FLOW]]), wire.now))
        if isinstance(wire.last, Request) and wire.last.method in {"BYE", "CANCEL"}:
            answer = response(wire.last, dice.choice(["200 OK", "481 X", "100 X"]))
            wire.see(wire.endpoint.receive(mutated(answer, dice), FLOW, wire.now))
        wire.wait_until_idle()
        assert sum(isinstance(event, Ended) for event in wire.events) == 1, n


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(start="INVITE sip:7000@192.0.2.1 SIP/3.0"), 505),
        (request(hops="256"), 400),
        (request(hops="１２"), 400),
        (request(hops="+5"), 400),
        (request(hops="1_0"), 400),
        (request(cseq="2147483648 INVITE"), 400),
        (request(length="-1"), 400),
        (request(length="1_000"), 400),
        (request(length="+5"), 400),
        (request(length="9" * 33), 400),
        (request("MESSAGE", body=b""), 405),
        (request(uri="http://x/"), 416),
        (request(headers=["Contact: <sip:a@b>", "Require: foo"]), 420),
        (request().replace(b"application/sdp", b"text/plain"), 415),
        (request(headers=["Contact: <sip:a@b>", "Content-Encoding: gzip"]), 415),
        (request("BYE", body=b""), 481),
        (request("CANCEL", body=b""), 481),
        (request(headers=[]), 400),
        (request(headers=["Contact: <sip:a@b>", "no header"]), 400),
    ],
)
def test_the_rfc_names_the_answer(data: bytes, status: int) -> None:
    (answer,) = Owner().receive(data)

    assert isinstance(answer, Response)
    assert answer.status == status


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_no_line_begins_where_sip_has_none(end: str) -> None:
    """A header hidden behind another alphabet's line end stays part of the value."""
    hidden = f"x{end}To: <sip:other@h>;tag=t1"
    owner = Owner()
    owner.receive(request(headers=["Contact: <sip:a@b>", f"Subject: {hidden}"]))

    (incoming,) = [event for event in owner.events if isinstance(event, Incoming)]
    assert incoming.request.headers.get("Subject") == hidden
    assert len(incoming.request.headers.all("To")) == 1


@pytest.mark.parametrize("number", ["１２", "٣", "²", "1_000", "+5", "5\x0b", "-1", "9" * 5000])
def test_only_ascii_digits_are_numbers(number: str) -> None:
    """int() would take most of them."""
    for data in (
        request(cseq=f"{number} INVITE"),
        request(length=number),
        request(hops=number),
        request(uri=f"sip:7000@192.0.2.1:{number}"),
        request(headers=[f"Contact: <sip:a@b:{number}>"]),
        request(via=f"SIP/2.0/UDP h:{number};branch=z9hG4bK-1"),
    ):
        owner = Owner()
        answers = owner.receive(data)
        assert owner.events == []
        assert [it.status for it in answers if isinstance(it, Response)] in ([], [400])


def test_copies_of_what_is_broken() -> None:
    """Each costs one answer and no memory: the answers are the same."""
    owner = Owner()
    for _ in range(1000):
        owner.receive(request(length="-1"))

    assert len(set(owner.sent)) == 1
    assert owner.endpoint.idle
    assert owner.endpoint.counts == {"parse_error": 1000, "stateless": 1000}


def test_the_parser_is_linear() -> None:
    """
    No message takes long: the slowest of 65 kB are read many times in the time of a tick.
    """
    for _, data in HAND_WRITTEN:
        if len(data) > 20_000:
            try:
                message = parse(data)
            except SipError:
                continue
            assert parse(message.encode()) == message


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO"]),
            st.sampled_from(["", ";tag=t1", ";tag=t2", ";tag=x", ';tag="t1"']),
            st.sampled_from(["1", "2", "3", "2147483647", "0"]),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["hostile", "other"]),
            st.sampled_from([b"", OFFER]),
            st.sampled_from(["answer", "ring", "refuse", "bye", "wait", "pass", ""]),
        ),
        max_size=12,
    )
)
def test_any_order_of_good_messages(
    steps: list[tuple[str, str, str, str, str, bytes, str]],
) -> None:
    """Sense or not: nothing raises, each call ends once, and the endpoint comes to rest."""
    owner = Owner()
    calls: list[str] = []
    for method, tag, number, branch, call_id, body, command in steps:
        data = request(
            method,
            via=f"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-{branch}",
            to=f"<sip:7000@h>{tag}",
            cseq=f"{number} {method}",
            call_id=call_id,
            body=body,
        )
        outputs = owner.endpoint.receive(data, FLOW, owner.now)
        for output in outputs:
            if isinstance(output, Transmit):
                goes_back(sound(output.data), output.flow)
                continue
            calls.append(owner.note(output).call)
        for call in set(calls):
            match command:
                case "answer":
                    owner.act(owner.endpoint.answer(call, OFFER, owner.now))
                case "ring":
                    owner.act(owner.endpoint.ring(call, owner.now))
                case "refuse":
                    owner.act(owner.endpoint.refuse(call, 486, owner.now))
                case "bye":
                    owner.act(owner.endpoint.bye(call, owner.now))
                case "wait":
                    owner.pass_time(1.0)
                case "pass":
                    owner.pass_time(40.0)
    owner.rest()
