"""CANCEL, 200, ACK, BYE and re-INVITE in every order (RFC 3261 §9, §13, §14, §15; RFC 5407).

Six things happen to one call, in each of their 720 orders; then the network is left alone, and all
must come to rest: each call ended exactly once on each side, nothing said of it afterwards, one
final answer for each request, and no transaction, dialog or timer left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, permutations

import pytest

from gateway.sip.endpoint import Ended, Endpoint, Event, Flow, Incoming, Offered, Output, Transmit
from gateway.sip.event import Locate, ReferralProgress
from gateway.sip.message import Request, Response, parse

from .wire import OFFER, Wire, called, calling, request, response

SDP = b"v=0\r\n"
ADDRESSES = {"a": ("192.0.2.1", 5060), "b": ("192.0.2.2", 5060)}
OTHER = {"a": "b", "b": "a"}


def kind(data: bytes) -> str:
    """`BYE`, or `200 BYE` for the answer to it."""
    message = parse(data)
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.headers.cseq.method}"


def finals(sent: Sequence[Request | Response]) -> dict[tuple[str, str], set[int]]:
    """The final answers of one side, by transaction."""
    found: dict[tuple[str, str], set[int]] = {}
    for message in sent:
        if isinstance(message, Response) and message.status >= 200:
            key = message.headers.via.branch, message.headers.cseq.method
            found.setdefault(key, set()).add(message.status)
    return found


def check(endpoint: Endpoint, events: Sequence[object], label: str) -> None:
    """One call, over once and for all."""
    assert endpoint.idle, label
    assert endpoint.counts["parse_error"] == 0, label
    assert sum(isinstance(event, Ended) for event in events) == 1, label
    assert isinstance(events[-1], Ended), label


class Pair:
    """`a` calls `b`. What one sends is held until somebody lets it through.

    The first datagram of the kind `lost` is lost, all of that kind if `always`; each comes
    `copies` times, and the last one first if `reverse`.
    """

    def __init__(
        self, *, lost: str = "", always: bool = False, copies: int = 1, reverse: bool = False
    ) -> None:
        self.now = 0.0
        self.endpoints = {name: Endpoint(token=tokens(name)) for name in ADDRESSES}
        self.calls = dict.fromkeys(ADDRESSES, "")
        self.events: dict[str, list[Event]] = {name: [] for name in ADDRESSES}
        self.sent: dict[str, list[Request | Response]] = {name: [] for name in ADDRESSES}
        self._held: dict[str, list[bytes]] = {name: [] for name in ADDRESSES}  # by receiver
        self._lost, self._always = lost, always
        self._copies, self._reverse = copies, reverse
        self.calls["a"], outputs = self.endpoints["a"].invite(
            "sip:bob@192.0.2.2", self.flow("a"), SDP, 0.0, from_uri="sip:alice@192.0.2.1"
        )
        self.act("a", outputs)

    def flow(self, name: str) -> Flow:
        return Flow("udp", ADDRESSES[name], ADDRESSES[OTHER[name]])

    def act(self, name: str, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._send(name, output.data)
                continue
            assert not isinstance(output, Locate)
            self.events[name].append(output)
            match output:
                case Incoming(call):
                    assert not self.calls[name], "a copy is no second call"
                    self.calls[name] = call
                case Offered(call):
                    self.act(name, self.endpoints[name].answer(call, SDP, self.now))

    def _send(self, name: str, data: bytes) -> None:
        self.sent[name].append(parse(data))
        if self._lost and kind(data) == self._lost:
            if not self._always:
                self._lost = ""
            return
        self._held[OTHER[name]] += [data] * self._copies

    # the six things

    def ring(self) -> None:
        self.act("b", self.endpoints["b"].ring(self.calls["b"], self.now))

    def answer(self) -> None:
        self.act("b", self.endpoints["b"].answer(self.calls["b"], SDP, self.now))

    def hang_up(self, name: str) -> None:
        self.act(name, self.endpoints[name].bye(self.calls[name], self.now))

    def offer(self, name: str) -> None:
        self.act(name, self.endpoints[name].reinvite(self.calls[name], SDP, self.now))

    def refer(self) -> None:
        self.act("a", self.endpoints["a"].refer(self.calls["a"], "sip:c@192.0.2.3", self.now))

    def accept_referral(self) -> None:
        self.act("b", self.endpoints["b"].accept_referral(self.calls["b"], self.now))

    def report_referral(self) -> None:
        outputs = self.endpoints["b"].report_referral(self.calls["b"], 200, "OK", self.now)
        self.act("b", outputs)

    def deliver(self, name: str) -> None:
        """Let all that is held for one side through."""
        held, self._held[name] = self._held[name], []
        for data in reversed(held) if self._reverse else held:
            self.act(name, self.endpoints[name].receive(data, self.flow(name), self.now))

    def wait(self, seconds: float) -> None:
        """Let time pass: what is held is sent again."""
        self.now += seconds
        for name, endpoint in self.endpoints.items():
            self.act(name, endpoint.handle_timer(self.now))

    def settle(self) -> None:
        """Leave them alone until nobody waits for anything."""
        for _ in range(500):
            if any(self._held.values()):
                self.now += 0.01
                self.deliver("a")
                self.deliver("b")
            due = [it.deadline for it in self.endpoints.values() if it.deadline is not None]
            if not due and not any(self._held.values()):
                return
            if not any(self._held.values()):
                self.wait(max(0.0, min(due) - self.now))
        pytest.fail("it does not come to rest")


SOON = 40.0  # s: the transactions' own 32, and no more


def tokens(name: str) -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{name}{next(numbers)}"


Move = Callable[[Pair], None]
MOVES: dict[str, Move] = {
    "answer": Pair.answer,
    "a hangs up": lambda pair: pair.hang_up("a"),
    "b hangs up": lambda pair: pair.hang_up("b"),
    "a offers": lambda pair: pair.offer("a"),
    "b offers": lambda pair: pair.offer("b"),
    "to a": lambda pair: pair.deliver("a"),
    "to b": lambda pair: pair.deliver("b"),
    "time": lambda pair: pair.wait(0.5),
    "a refers": Pair.refer,
    "b accepts": Pair.accept_referral,
    "b reports": Pair.report_referral,
}
BOTH_HANG_UP = ("answer", "a hangs up", "b hangs up", "a offers", "to a", "to b")
CALLER_HANGS_UP = ("answer", "a hangs up", "a offers", "b offers", "to a", "to b")
CALLED_HANGS_UP = ("answer", "b hangs up", "b offers", "to a", "to b", "time")
CALLER_LEAVES_EARLY = ("answer", "a hangs up", "time", "to b", "to a", "b offers")


def orders(moves: Sequence[str], *, of_each: int = 1) -> Iterator[tuple[str, ...]]:
    """Every order of the moves, or one of so many, spread over all."""
    return (order for at, order in enumerate(permutations(moves)) if at % of_each == 0)


def play(
    order: Sequence[str],
    *,
    ringing: bool = True,
    lost: str = "",
    always: bool = False,
    copies: int = 1,
    reverse: bool = False,
) -> Pair:
    pair = Pair(lost=lost, always=always, copies=copies, reverse=reverse)
    if ringing:
        pair.deliver("b")
        pair.ring()
        pair.deliver("a")
    for move in order:
        MOVES[move](pair)
    pair.settle()
    return pair


def assert_at_rest(pair: Pair, label: str, *, within: float = 100.0) -> None:
    assert pair.now < within, label
    for name, endpoint in pair.endpoints.items():
        if pair.events[name]:  # the INVITE may be lost
            check(endpoint, pair.events[name], f"{name}: {label}")
        assert endpoint.idle
        for key, statuses in finals(pair.sent[name]).items():
            assert len(statuses) == 1, f"{name}: {label}: {key} {statuses}"
    assert pair.events["a"]


REFERRED = ("b accepts", "b reports", "to a", "to b", "a hangs up", "b hangs up")
REFERRING = ("a refers", "b accepts", "b reports", "to a", "to b", "b hangs up")


class TestTwoEndpoints:
    """Both ends are ours, and hold each other to the rules."""

    def test_every_order(self) -> None:
        for order in orders(BOTH_HANG_UP):
            assert_at_rest(play(order), " ".join(order), within=SOON)

    @pytest.mark.parametrize("moves", [CALLER_HANGS_UP, CALLED_HANGS_UP])
    def test_one_side_hangs_up(self, moves: Sequence[str]) -> None:
        for order in orders(moves, of_each=7):
            assert_at_rest(play(order), " ".join(order), within=SOON)

    def test_before_anybody_has_heard_of_the_call(self) -> None:
        """CANCEL waits for the first provisional response (§9.1)."""
        for order in orders(CALLER_LEAVES_EARLY, of_each=3):
            assert_at_rest(play(order, ringing=False), " ".join(order))

    @pytest.mark.parametrize("reverse", [False, True])
    def test_copies_and_the_last_one_first(self, reverse: bool) -> None:
        for order in orders(BOTH_HANG_UP, of_each=7):
            assert_at_rest(play(order, copies=2, reverse=reverse), " ".join(order))

    @pytest.mark.parametrize("always", [False, True])
    @pytest.mark.parametrize(
        "lost",
        ["CANCEL", "200 INVITE", "ACK", "BYE", "INVITE", "200 BYE", "200 CANCEL", "487 INVITE"],
    )
    def test_one_kind_is_lost(self, lost: str, always: bool) -> None:
        """Once, and then each time: everybody gives up in his own time."""
        for order in orders(BOTH_HANG_UP, of_each=29):
            pair = play(order, lost=lost, always=always)
            assert_at_rest(pair, f"{lost}: {' '.join(order)}", within=200.0)

    @pytest.mark.parametrize("copies", [1, 2])
    @pytest.mark.parametrize("referred", [True, False])
    def test_the_call_ends_while_it_is_transferred(self, referred: bool, copies: int) -> None:
        """Whatever is known of the referral by then, it has one end at most."""
        for order in orders(REFERRED if referred else REFERRING, of_each=copies * 3):
            before = ["to b", "answer", "to a", "to b", *(["a refers", "to b"] if referred else [])]
            pair = play([*before, *order], ringing=False, copies=copies)
            assert_at_rest(pair, " ".join(order), within=SOON)
            told = [it for it in pair.events["a"] if isinstance(it, ReferralProgress)]
            assert not any(it.final for it in told[:-1]), order


def hear(wire: Wire, data: bytes) -> None:
    """Let a datagram of the peer's come in; the owner of the call accepts each offer at once."""
    for happened in wire.receive(data):
        if isinstance(happened, Offered):
            wire.see(wire.endpoint.answer(happened.call, SDP, wire.now))


def rest(wire: Wire, label: str, *, answering: bool) -> None:
    """Let time pass. The peer answers each of our requests, or is gone."""
    answered = 0
    while (at := wire.endpoint.deadline) is not None or answered < len(wire.sent):
        for message in wire.sent[answered:]:
            if answering and isinstance(message, Request) and message.method in {"BYE", "CANCEL"}:
                hear(wire, response(message, "200 OK"))
        answered = len(wire.sent)
        if at is not None:
            wire.wait(at)
    check(wire.endpoint, wire.events, label)
    for key, statuses in finals(wire.sent).items():
        assert len(statuses) == 1, f"{label}: {key} {statuses}"


def ask(method: str, cseq: int, body: bytes = b"") -> bytes:
    """A request of the peer's within the call that it has begun."""
    return request(method, cseq=cseq, branch=f"z9hG4bK-{cseq}", to_tag="t1", body=body)


TO_US: dict[str, Callable[[Wire], object]] = {
    "answer": lambda wire: wire.see(wire.endpoint.answer("t1", SDP, wire.now)),
    "hang up": lambda wire: wire.see(wire.endpoint.bye("t1", wire.now)),
    "INVITE again": lambda wire: hear(wire, request("INVITE", body=OFFER)),
    "ACK": lambda wire: hear(wire, request("ACK", branch="z9hG4bK-ack", to_tag="t1")),
    "CANCEL": lambda wire: hear(wire, request("CANCEL")),
    "re-INVITE": lambda wire: hear(wire, ask("INVITE", 2, OFFER)),
    "BYE": lambda wire: hear(wire, ask("BYE", 3)),
}

REQUESTS = {
    ("z9hG4bK-1", "CANCEL"): "CANCEL",
    ("z9hG4bK-2", "INVITE"): "re-INVITE",
    ("z9hG4bK-3", "BYE"): "BYE",
}
VERDICTS = {"answer": 200, "hang up": 480, "CANCEL": 487, "BYE": 487}  # on the INVITE


class TestWeAreCalled:
    """By a peer that sends what it wants when it wants, and keeps none of the rules."""

    @pytest.mark.parametrize("answering", [True, False])
    @pytest.mark.parametrize("without", TO_US)
    def test_every_order(self, without: str, answering: bool) -> None:
        """Of six of these seven: all where everything is the peer's doing, else a few."""
        of_each = 1 if without == "hang up" and not answering else 23
        for order in orders([move for move in TO_US if move != without], of_each=of_each):
            label = " ".join(order)
            wire = called()
            for move in order:
                TO_US[move](wire)
            rest(wire, label, answering=answering)
            told = finals(wire.sent)
            first = next(move for move in order if move in VERDICTS)
            assert told["z9hG4bK-1", "INVITE"] == {VERDICTS[first]}, label
            for key, move in REQUESTS.items():
                assert key in told or move not in order, f"{label}: no answer to {move}"


class OurCall:
    """The peer that we call; one other phone rings there, too."""

    def __init__(self) -> None:
        self.wire, self.invite = calling()
        self.call_id = self.invite.headers.call_id

    def answer(self, status: str, tag: str = "peer") -> None:
        contact = [f"Contact: <sip:{tag}@192.0.2.9>"]
        body = SDP if status.startswith("200") else b""
        hear(self.wire, response(self.invite, status, tag=tag, headers=contact, body=body))

    def ask(self, method: str, cseq: int, body: bytes = b"") -> None:
        branch = f"z9hG4bK-{cseq}"
        hear(
            self.wire,
            request(method, cseq=cseq, branch=branch, to_tag="t1", call_id=self.call_id, body=body),
        )

    def hang_up(self) -> None:
        self.wire.see(self.wire.endpoint.bye("t1", self.wire.now))

    def offer(self) -> None:
        self.wire.see(self.wire.endpoint.reinvite("t1", SDP, self.wire.now))


BY_US: dict[str, Callable[[OurCall], None]] = {
    "180": lambda call: call.answer("180 Ringing"),
    "200": lambda call: call.answer("200 OK"),
    "200 again": lambda call: call.answer("200 OK"),
    "200 of another": lambda call: call.answer("200 OK", "other"),
    "487": lambda call: call.answer("487 Request Terminated"),
    "re-INVITE": lambda call: call.ask("INVITE", 1, OFFER),
    "BYE": lambda call: call.ask("BYE", 2),
    "hang up": OurCall.hang_up,
    "offer": OurCall.offer,
}
FORKED = ("180", "200", "200 again", "200 of another", "BYE", "hang up")
CANCELLED = ("180", "200", "487", "re-INVITE", "BYE", "hang up")
TALKING = ("180", "200", "200 again", "re-INVITE", "offer", "hang up")


class TestWeCall:
    """A peer that keeps none of the rules either."""

    @pytest.mark.parametrize("answering", [True, False])
    @pytest.mark.parametrize("moves", [FORKED, CANCELLED, TALKING])
    def test_every_order(self, moves: Sequence[str], answering: bool) -> None:
        """Each 2xx has its ACK, each copy of it again, and each phone that answered its BYE."""
        for order in orders(moves, of_each=3 if moves == FORKED else 7):
            call = OurCall()
            for move in order:
                BY_US[move](call)
            label = " ".join(order)
            rest(call.wire, label, answering=answering)
            sent = [message for message in call.wire.sent if isinstance(message, Request)]
            acks = [it for it in sent if it.method == "ACK" and it.headers.cseq.number == 1]
            if "487" not in order:
                assert len(acks) == sum(move.startswith("200") for move in order), label
            if moves == FORKED:
                left = {it.headers.to.tag for it in sent if it.method == "BYE"}
                told = finals(call.wire.sent).get(("z9hG4bK-2", "BYE"))
                assert left == {"peer", "other"} or (told == {200} and "other" in left), label
