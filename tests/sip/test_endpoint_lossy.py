"""Two endpoints against each other: whatever the network does, both come to rest.

The owners do what owners do, at any moment: ring, with and without early media, answer, refuse,
hang up, cancel, offer again by re-INVITE and by UPDATE, press keys, refresh (BYE, CANCEL, ACK,
PRACK and 2xx that cross or are lost).
"""

from __future__ import annotations

from functools import partial

import pytest

from gateway.sip.endpoint import (
    Answered,
    Confirmed,
    Ended,
    Event,
    Incoming,
    Offered,
    Progress,
    RefreshDue,
    Registered,
    Unregistered,
)
from gateway.sip.info import PLAIN

from .lossy import Lossy

SDP = b"v=0\r\n"
LIMIT = 60.0  # s, at which an owner ends any call


class Owner:
    """Whoever owns the calls of one side. It rolls dice about each of its moves."""

    def __init__(
        self, network: Lossy, name: str, *, limit: float = LIMIT, patient: bool = False
    ) -> None:
        self.network, self.name = network, name
        self._limit = limit  # s, of a call
        self._patient = patient  # answers every call, and waits for the limit
        self.side = network.sides[name]
        self.endpoint = self.side.endpoint
        self.side.on_event = self.on_event

    def on_event(self, event: Event) -> None:
        dice, endpoint = self.network.dice, self.endpoint
        match event:
            case Incoming(call):
                body = dice.choice([b"", SDP])
                self.later(0.1, lambda now: endpoint.ring(call, now, body=body))
                move = 0.0 if self._patient else dice.random()
                if move < 0.8:
                    self.later(2.0, lambda now: endpoint.answer(call, SDP, now))
                elif move < 0.9:
                    self.later(2.0, lambda now: endpoint.refuse(call, 486, now))
                self.live(call)
            case Offered(call):
                if dice.random() < 0.7:
                    self.later(0.5, lambda now: endpoint.answer(call, SDP, now))
                else:
                    self.later(0.5, lambda now: endpoint.refuse(call, 488, now))
            case Answered(call) | Confirmed(call) if dice.random() < 0.5:
                change = dice.choice([endpoint.reinvite, endpoint.update])
                self.later(3.0, lambda now: change(call, SDP, now))
                self.later(3.0, lambda now: endpoint.inform(call, PLAIN, b"5", now))
            case Progress(call, 183) if dice.random() < 0.5:
                self.later(1.0, lambda now: endpoint.update(call, SDP, now))
            case RefreshDue(call):
                self.network.act(self.name, endpoint.reinvite(call, SDP, self.network.now))
            case _:
                pass

    def call(self) -> None:
        call, outputs = self.endpoint.invite(
            "sip:bob@192.0.2.2",
            self.network.flow(self.name),
            SDP,
            self.network.now,
            from_uri="sip:alice@192.0.2.1",
            headers=self.network.dice.choice([[], [("Require", "100rel")]]),
        )
        self.network.act(self.name, outputs)
        self.live(call)

    def live(self, call: str) -> None:
        """Hang up at some moment, perhaps a very early one; at the latest at the limit."""
        if not self._patient and self.network.dice.random() < 0.7:
            span = self.network.dice.choice([0.5, 3.0, 30.0])
            self.later(span, lambda now: self.endpoint.bye(call, now))
        self.network.at(
            self.network.now + self._limit,
            lambda: self.network.act(self.name, self.endpoint.bye(call, self.network.now)),
        )

    def later(self, within: float, command: object) -> None:
        when = self.network.now + self.network.dice.uniform(0, within)
        self.network.at(when, partial(self._do, command))

    def _do(self, command: object) -> None:
        assert callable(command)
        self.network.act(self.name, command(self.network.now))


def calls_of(events: list[tuple[float, Event]]) -> dict[str, list[Event]]:
    calls: dict[str, list[Event]] = {}
    for _, event in events:
        assert not isinstance(event, Registered | Unregistered)
        calls.setdefault(event.call, []).append(event)
    return calls


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3, 0.6, 0.95])
def test_both_come_to_rest(loss: float) -> None:
    """
    Each call ends exactly once on each side, nothing is said of it afterwards, and no
    transaction, dialog or timer is left.
    """
    answered = 0
    for seed in range(25):
        network = Lossy(seed, loss=loss)
        owners = {name: Owner(network, name) for name in network.sides}
        for at in (0.0, 0.0, 1.0):
            network.at(at, owners["a"].call)
        network.run()

        for name, side in network.sides.items():
            label = f"seed {seed}, side {name}"
            assert side.endpoint.idle, label
            assert side.endpoint.counts["parse_error"] == 0, label
            for events in calls_of(side.events).values():
                ends = [event for event in events if isinstance(event, Ended)]
                assert len(ends) == 1, label
                assert isinstance(events[-1], Ended), label
                answered += isinstance(events[0], Incoming) and ends[0].status == 200
        assert len(calls_of(network.sides["a"].events)) == 3
        assert len(calls_of(network.sides["b"].events)) <= 3  # never a second one of a copy
        assert network.now < LIMIT + 2 * 60
    assert answered or loss > 0.9


@pytest.mark.parametrize("seed", range(10))
def test_the_network_dies(seed: int) -> None:
    """
    From some moment on nothing arrives: both sides are through with it in their own time.
    """
    network = Lossy(seed, loss=0.0)
    owners = {name: Owner(network, name) for name in network.sides}
    network.at(0.0, owners["a"].call)
    network.at(seed / 3, lambda: setattr(network, "loss", 1.0))
    network.run()

    for side in network.sides.values():
        assert side.endpoint.idle
        for events in calls_of(side.events).values():
            assert [isinstance(event, Ended) for event in events].count(True) == 1


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_long_calls(loss: float) -> None:
    """
    Sessions of 90 s are refreshed for ten minutes, by whoever has to; none of them expires, and
    each call ends as its owner wants.
    """
    for seed in range(5):
        network = Lossy(seed, loss=loss, session_expires=90)
        a, b = network.sides["a"], network.sides["b"]
        owner = Owner(network, "a", limit=600.0, patient=True)
        Owner(network, "b", limit=660.0, patient=True)
        network.at(0.0, owner.call)
        network.run()

        assert a.endpoint.idle
        assert b.endpoint.idle
        ((call, events),) = calls_of(a.events).items()
        assert events[-1] == Ended(call, "us", "hang_up", 200, None), seed
        assert network.now > 600.0


@pytest.mark.parametrize("seed", range(5))
def test_a_side_that_vanishes(seed: int) -> None:
    """
    The other one finds out by its session timer, also if nobody ever hangs up.
    """
    network = Lossy(seed, loss=0.0, session_expires=90)
    owner = Owner(network, "a", limit=3600.0, patient=True)
    Owner(network, "b", limit=3600.0, patient=True)
    network.at(0.0, owner.call)
    network.at(200.0, lambda: setattr(network, "loss", 1.0))
    network.run(until=400.0)

    for side in network.sides.values():
        (events,) = calls_of(side.events).values()
        assert isinstance(events[-1], Ended)
        assert events[-1].by == "network"


def test_quiet_network() -> None:
    """
    Without loss two calls at once are answered, talk and end as their owners want.
    """
    network = Lossy(7, loss=0.0, copies=0.0)
    a, b = network.sides["a"], network.sides["b"]

    def on_event(event: Event) -> None:
        if isinstance(event, Incoming):
            network.act("b", b.endpoint.answer(event.call, SDP, network.now))

    b.on_event = on_event
    for _ in range(2):
        network.at(0.0, Owner(network, "a", patient=True).call)
    a.on_event = lambda event: None
    network.run()

    for call, events in calls_of(b.events).items():
        kinds = [type(event).__name__ for event in events]
        assert kinds == ["Incoming", "Confirmed", "Ended"]
        assert events[-1] == Ended(call, "peer", "hang_up", 200, None)
