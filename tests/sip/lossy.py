"""Two endpoints and the network between them, in virtual time: loss, copies, and any order.

Everything comes from one seeded dice, so a seed that fails once fails always.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random

from gateway.sip.endpoint import Endpoint, Event, Flow, Locate, Output, Transmit

SIDES = {"a": ("192.0.2.1", 5060), "b": ("192.0.2.2", 5060)}


class Side:
    """One endpoint, the events that it gave, and what its owner does about them."""

    def __init__(self, name: str, session_expires: int) -> None:
        numbers = count(1)
        self.name = name
        self.endpoint = Endpoint(
            token=lambda: f"{name}{next(numbers)}", session_expires=session_expires
        )
        self.events: list[tuple[float, Event]] = []
        self.on_event: Callable[[Event], None] = lambda event: None


class Lossy:
    """`loss` and `copies` are shares of all datagrams; each travels 1 to `delay_ms` ms."""

    def __init__(
        self,
        seed: int,
        *,
        loss: float,
        copies: float = 0.1,
        delay_ms: int = 300,
        session_expires: int = 1800,
    ) -> None:
        self.dice = Random(seed)
        self.now = 0.0
        self.sides = {name: Side(name, session_expires) for name in SIDES}
        self.loss, self._copies, self._delay_ms = loss, copies, delay_ms
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Put something on the agenda."""
        heapq.heappush(self._agenda, (when, next(self._order), action))

    def flow(self, name: str) -> Flow:
        """The way from one side to the other."""
        other = "b" if name == "a" else "a"
        return Flow("udp", SIDES[name], SIDES[other])

    def act(self, name: str, outputs: list[Output]) -> None:
        """Perform what an endpoint said."""
        side = self.sides[name]
        for output in outputs:
            if isinstance(output, Transmit):
                assert output.flow == self.flow(name)
                self._carry(name, output.data)
            else:
                assert not isinstance(output, Locate)  # every way is known
                side.events.append((self.now, output))
                side.on_event(output)

    def run(self, until: float = float("inf")) -> None:
        """Go from moment to moment until nobody waits for anything."""
        while (when := self._next()) is not None and when <= until:
            self.now = max(self.now, when)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            for name, side in self.sides.items():
                self.act(name, side.endpoint.handle_timer(self.now))

    def _next(self) -> float | None:
        times = [side.endpoint.deadline for side in self.sides.values()]
        times += [entry[0] for entry in self._agenda[:1]]
        return min((when for when in times if when is not None), default=None)

    def _carry(self, source: str, data: bytes) -> None:
        target = "b" if source == "a" else "a"
        for _ in range(2 if self.dice.random() < self._copies else 1):
            if self.dice.random() >= self.loss:
                delay = self.dice.randint(1, self._delay_ms) / 1000
                self.at(self.now + delay, lambda: self._arrive(target, data))

    def _arrive(self, target: str, data: bytes) -> None:
        endpoint = self.sides[target].endpoint
        self.act(target, endpoint.receive(data, self.flow(target), self.now))
