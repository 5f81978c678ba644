"""Two endpoints in any order of commands, messages and time: loss, copies, and what crosses.

A state machine of hypothesis plays both owners, the network and the clock. What holds at any time:
a call ends once and is not heard of afterwards, a request has one final response, and nothing
raises. In the end both owners hang up, time passes, and nothing is left on either side.

A command more is a line more in COMMANDS.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.sip.endpoint import Ended, Endpoint, Flow, Incoming, Locate, Output, Transmit
from gateway.sip.grammar import SipError
from gateway.sip.message import Response, parse
from gateway.sip.transaction import T4, TIMEOUT
from tests.torture.hostile import mutated

from .lossy import SIDES
from .wire import OFFER

Command = Callable[[Endpoint, str, float], list[Output]]

COMMANDS: dict[str, Command] = {
    "ring": lambda endpoint, call, now: endpoint.ring(call, now),
    "ring early": lambda endpoint, call, now: endpoint.ring(call, now, body=OFFER),
    "answer": lambda endpoint, call, now: endpoint.answer(call, OFFER, now),
    "refuse": lambda endpoint, call, now: endpoint.refuse(call, 486, now),
    "reinvite": lambda endpoint, call, now: endpoint.reinvite(call, OFFER, now),
    "reinvite without offer": lambda endpoint, call, now: endpoint.reinvite(call, b"", now),
    "update": lambda endpoint, call, now: endpoint.update(call, OFFER, now),
    "inform": lambda endpoint, call, now: endpoint.inform(call, "x/y", b"z", now),
    "refer": lambda endpoint, call, now: refer(endpoint, call, now, quiet=False),
    "refer quietly": lambda endpoint, call, now: refer(endpoint, call, now, quiet=True),
    "accept referral": lambda endpoint, call, now: endpoint.accept_referral(call, now),
    "refuse referral": lambda endpoint, call, now: endpoint.refuse_referral(call, 603, now),
    "report ringing": lambda endpoint, call, now: endpoint.report_referral(call, 180, "R", now),
    "report success": lambda endpoint, call, now: endpoint.report_referral(call, 200, "OK", now),
    "bye": lambda endpoint, call, now: endpoint.bye(call, now, reason="Q.850;cause=16"),
}


def refer(endpoint: Endpoint, call: str, now: float, *, quiet: bool) -> list[Output]:
    """One at a time."""
    try:
        return endpoint.refer(call, "sip:c@192.0.2.3", now, quiet=quiet)
    except ValueError:
        return []


MAX_ON_THE_WAY = 200
MAX_CALLS = 3
FOREVER = 700.0  # s; longer than any call that nobody ends


class Side:
    """One endpoint and what its owner was told."""

    def __init__(self, name: str, transport: str) -> None:
        other = "b" if name == "a" else "a"
        numbers = count(1)
        self.name, self.other = name, other
        self.flow = Flow(transport, SIDES[name], SIDES[other])
        self.endpoint = Endpoint(token=lambda: f"{name}{next(numbers)}")
        self.sought: list[str] = []  # keys of Locate
        self.calls: list[str] = []
        self.ended: set[str] = set()
        self.finals: dict[tuple[str, str], set[bytes]] = {}  # of a branch and method
        self.answered_at: dict[tuple[str, str], float] = {}

    def hear(self, event: Output) -> None:
        call = getattr(event, "call", None)
        assert call is None or call not in self.ended, event
        if isinstance(event, Locate):
            self.sought.append(event.key)
        if isinstance(event, Incoming):
            self.calls.append(event.call)
        if isinstance(event, Ended):
            self.ended.add(event.call)


class Pair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.sides: dict[str, Side] = {}
        self.on_the_way: list[tuple[str, bytes, float]] = []  # to whom, what, since when
        self.bending = False
        self.bent: set[tuple[str, str]] = set()  # what a damaged message has spoilt

    @initialize(transport=st.sampled_from(["udp", "udp", "udp", "tcp"]))
    def begin(self, transport: str) -> None:
        self.sides = {name: Side(name, transport) for name in SIDES}

    # the owners

    def has_room(self) -> bool:
        """Few at a time: more happens to each."""
        return all(side.endpoint.calls < MAX_CALLS for side in self.sides.values())

    @precondition(lambda self: self.has_room())
    @rule(
        name=st.sampled_from("ab"),
        body=st.sampled_from([OFFER, b""]),
        require=st.sampled_from([(), (("Require", "100rel"),)]),
        located=st.booleans(),
    )
    def invite(
        self,
        name: str,
        body: bytes,
        require: tuple[tuple[str, str], ...] = (),
        *,
        located: bool = False,
    ) -> None:
        """`located`: by its URI, which has to be found first."""
        side = self.sides[name]
        call, outputs = side.endpoint.invite(
            f"sip:{side.other}@{SIDES[side.other][0]}",
            None if located else side.flow,
            body,
            self.now,
            from_uri=f"sip:{name}@{SIDES[name][0]}",
            headers=require,
        )
        side.calls.append(call)
        self.act(side, outputs)

    @rule(
        name=st.sampled_from("ab"),
        command=st.sampled_from(sorted(COMMANDS)),
        nth=st.sampled_from([0, 0, 1, 2]),
        smooth=st.booleans(),
    )
    def command(self, name: str, command: str, nth: int, *, smooth: bool) -> None:
        """Of the latest calls any; also one that has ended, where it does nothing."""
        side = self.sides[name]
        if side.calls:
            call = side.calls[-1 - nth % len(side.calls)]
            outputs = COMMANDS[command](side.endpoint, call, self.now)
            assert call not in side.ended or outputs == []
            self.act(side, outputs)
            if smooth:
                self.all_arrive()

    @rule(name=st.sampled_from("ab"), command=st.sampled_from(["ring", "ring early", "answer"] * 2))
    def pick_up(self, name: str, command: str) -> None:
        """What is done most of the time with a call that comes."""
        self.all_arrive()
        self.command(name, command, 0, smooth=True)

    @precondition(lambda self: self.has_room())
    @rule(name=st.sampled_from("ab"))
    def talk(self, name: str) -> None:
        """A whole beginning, so that more than beginnings are tried."""
        other = self.sides[self.sides[name].other]
        self.invite(name, OFFER)
        self.all_arrive()
        if other.calls and other.calls[-1] not in other.ended:
            self.act(other, other.endpoint.answer(other.calls[-1], OFFER, self.now))
        self.all_arrive()

    # the network

    @rule()
    def all_arrive(self) -> None:
        """In their order, and what they lead to."""
        for _ in range(50):
            if self.on_the_way:
                self.arrive(0)

    @rule(nth=st.integers(0, 7), copies=st.sampled_from([0, 1, 1, 1, 2]))
    def one_arrives(self, nth: int, copies: int) -> None:
        """Before others, twice, or not at all."""
        if self.on_the_way:
            nth %= len(self.on_the_way)
            for _ in range(copies - 1):
                self.on_the_way.append(self.on_the_way[nth])
            if copies:
                self.arrive(nth)
            else:
                del self.on_the_way[nth]

    @rule(nth=st.integers(0, 7), seed=st.integers(0, 10_000))
    def one_is_bent(self, nth: int, seed: int) -> None:
        """A damaged copy comes first."""
        if self.on_the_way:
            target, data, _ = self.on_the_way[nth % len(self.on_the_way)]
            self.bending = True
            self.receive(target, mutated(data, random.Random(seed)))
            self.bending = False

    @rule(name=st.sampled_from("ab"), ways=st.integers(0, 2))
    def one_is_found(self, name: str, ways: int) -> None:
        """By none, one or two ways; the second is the same, and tried when the first fails."""
        side = self.sides[name]
        if side.sought:
            key = side.sought.pop()
            self.act(side, side.endpoint.located(key, [side.flow] * ways, self.now))

    @rule(name=st.sampled_from("ab"))
    def way_fails(self, name: str) -> None:
        side = self.sides[name]
        self.act(side, side.endpoint.failed(side.flow, self.now))

    # the clock

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 5.0, 33.0, 70.0, 1000.0]))
    def passes(self, seconds: float) -> None:
        """Nothing arrives meanwhile, and what was long on the way never does (§17.1.2.2, T4)."""
        until = self.now + seconds
        while (deadline := self.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            for side in self.sides.values():
                self.act(side, side.endpoint.handle_timer(self.now))
        self.now = until
        self.on_the_way = [it for it in self.on_the_way if it[2] >= until - T4]

    def deadline(self) -> float | None:
        times = (side.endpoint.deadline for side in self.sides.values())
        return min((at for at in times if at is not None), default=None)

    # what happens

    def arrive(self, nth: int) -> None:
        target, data, _ = self.on_the_way.pop(nth)
        self.receive(target, data)

    def receive(self, target: str, data: bytes) -> None:
        side = self.sides[target]
        self.act(side, side.endpoint.receive(data, side.flow, self.now))

    def act(self, side: Side, outputs: list[Output]) -> None:
        for output in outputs:
            if not isinstance(output, Transmit):
                side.hear(output)
                continue
            self.note(side, output.data)
            if len(self.on_the_way) < MAX_ON_THE_WAY:  # else it is lost
                self.on_the_way.append((side.other, output.data, self.now))

    def note(self, side: Side, data: bytes) -> None:
        """Keep each final response by its transaction."""
        try:
            message = parse(data)
        except SipError:  # it says back a CSeq that is out of range
            return
        if isinstance(message, Response) and message.status >= 200:
            headers = message.headers
            key = str(headers.via), headers.cseq.method
            if self.now - side.answered_at.setdefault(key, self.now) >= TIMEOUT:
                return  # a copy that comes when the transaction is forgotten (timer J)
            side.finals.setdefault(key, set()).add(data)
            if self.bending:
                self.bent.add(key)

    @invariant()
    def one_final_response(self) -> None:
        """The copies of a request have the same one; only what was damaged may differ."""
        for side in self.sides.values():
            for key, finals in side.finals.items():
                assert len(finals) == 1 or key in self.bent, key

    @invariant()
    def tables_are_bounded(self) -> None:
        for side in self.sides.values():
            assert side.endpoint.calls <= len(side.calls)
            assert len(side.ended) + side.endpoint.calls == len(side.calls)

    def teardown(self) -> None:
        """The network falls silent; both hang up whatever there is."""
        self.on_the_way.clear()
        for side in self.sides.values():
            for call in side.calls:
                self.act(side, side.endpoint.bye(call, self.now))
        self.all_arrive()
        self.passes(70.0)
        for side in self.sides.values():
            while side.sought:  # whoever is asked says something in the end
                self.act(side, side.endpoint.located(side.sought.pop(), [], self.now))
        self.passes(FOREVER)
        for side in self.sides.values():
            assert set(side.calls) == side.ended
            assert side.endpoint.idle
            assert side.endpoint.deadline is None


Pair.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPair = Pair.TestCase
