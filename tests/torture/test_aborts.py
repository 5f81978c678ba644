"""Calls that are given up at every stage: each has its one record, and nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import heapq
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from gateway.sip.endpoint import Ended, Endpoint, Flow, Incoming, Offered, Output, Transmit
from tests.calls.house import GATEWAY, House, house
from tests.clock import run

from .hostile import OFFER
from .quitter import STAGES, Quitters
from .watch import nothing_breaks

QUITTER = ("10.0.3.1", 5060)
OVER = 110.0  # s: 32 without an ACK, 32 of a BYE's copies, and again as much
LIMITS = {
    "sip": {"max_calls": 10_000, "max_calls_per_second": 10_000},
    "routes": [{"to": "7000", "agent": "reception"}],
    "media": {"rtp_timeout": 60.0},
}
CALLS = 1_200  # over a whole gateway
AT_THE_ENDPOINT = 10_000


def objects() -> int:
    """What lives, garbage aside."""
    gc.collect()
    return len(gc.get_objects())


def test_whole_gateway(tmp_path: Path) -> None:
    """In memory: model, ports, ticks and records. Those who vanish are few, for they take long."""

    async def main() -> None:
        with nothing_breaks() as log:
            async with house(tmp_path, config=LIMITS) as home:
                loop = asyncio.get_running_loop()
                quitters = Quitters(
                    lambda data: home.network.send(data, QUITTER, GATEWAY),
                    loop.call_later,
                    QUITTER[0],
                )
                home.network.open(QUITTER, lambda data, source: quitters.arrived(data))
                await give_up(home, quitters, 2 * len(STAGES), vanishing=2)
                log.clear()
                before = objects()
                await give_up(home, quitters, CALLS, vanishing=3)
                log.clear()
                assert objects() - before < CALLS // 4  # else one at least for each call

    run(main())


async def give_up(home: House, quitters: Quitters, calls: int, *, vanishing: int) -> None:
    """So many calls, each in its own way; then all is over, and each has its record."""
    before = len(home.written())
    begun: Counter[str] = Counter()
    while begun.total() < calls:
        for stage in STAGES:
            if begun.total() < calls and not (stage.vanishes and begun[stage.name] >= vanishing):
                quitters.begin(stage)
                begun[stage.name] += 1
        await asyncio.sleep(0.05)
    await asyncio.sleep(OVER)
    assert home.gateway.endpoint.idle
    assert home.holds_nothing()
    check((await home.records())[before:], quitters)
    forget(home, quitters)


def check(records: list[dict[str, Any]], quitters: Quitters) -> None:
    """One record for each call, and each says what became of it."""
    assert sorted(it["sip_call_id"] for it in records) == sorted(quitters.attempts)
    for record in records:
        stage = quitters.attempts[record["sip_call_id"]].stage
        end = (record["ended_by"], record["cause"], record["sip_status"])
        assert end == stage.end, stage.name


def forget(home: House, quitters: Quitters) -> None:
    """What the house itself keeps of calls that are over."""
    quitters.attempts.clear()
    for model in home.models.values():
        model.said.clear()
        model.heard.clear()
        model.links.clear()


class Owner:
    """An endpoint alone, whose owner rings at once and answers a little later."""

    def __init__(self) -> None:
        numbers = count(1)
        self.endpoint = Endpoint(token=lambda: f"t{next(numbers)}", max_transactions=100_000)
        self.quitters = Quitters(self.arrives, self.later, QUITTER[0])
        self.now = 0.0
        self.ends: Counter[str] = Counter()
        self.said: set[bytes] = set()
        self._flow = Flow("udp", GATEWAY, QUITTER)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), action))

    def arrives(self, data: bytes) -> None:
        """On the wire, so that nothing is answered before it is said."""
        self.later(0.005, partial(self.receive, data))

    def receive(self, data: bytes) -> None:
        self.act(self.endpoint.receive(data, self._flow, self.now))

    def act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(data) if data not in self.said:  # a copy says nothing new
                    self.said.add(data)
                    self.later(0.005, partial(self.quitters.arrived, data))
                case Incoming(call, request):
                    self.act(self.endpoint.ring(call, self.now))
                    status = 404 if "nobody" in request.uri else 488
                    if status == 404 or (request.body and request.body != OFFER):
                        self.act(self.endpoint.refuse(call, status, self.now))
                    else:
                        self.later(0.05, partial(self.answer, call))
                case Offered(call):
                    self.later(0.05, partial(self.answer, call))
                case Ended(call):
                    self.ends[call] += 1

    def answer(self, call: str) -> None:
        self.act(self.endpoint.answer(call, OFFER, self.now))

    def run(self, until: float) -> None:
        """Do what is due, in its order."""
        while True:
            due = self._agenda[0][0] if self._agenda else until
            deadline = self.endpoint.deadline
            if min(due, until if deadline is None else deadline) >= until:
                break
            if deadline is not None and deadline <= due:
                self.now = max(self.now, deadline)
                self.act(self.endpoint.handle_timer(self.now))
            else:
                self.now = max(self.now, due)
                heapq.heappop(self._agenda)[2]()
        self.now = until


def test_endpoint_alone() -> None:
    """10,000 calls: each ends once, and the memory is as before."""
    owner = Owner()
    ended = 0
    before = 0
    for part in range(4):
        stages = [stage for stage in STAGES if part == 0 or not stage.vanishes]
        for n in range(AT_THE_ENDPOINT // 4):
            owner.quitters.begin(stages[n % len(stages)])
            if n % 50 == 49:
                owner.run(owner.now + 0.1)
        owner.run(owner.now + OVER)
        for call in list(owner.quitters.attempts.values()):
            if call.stage.name.startswith("late offer"):
                owner.act(owner.endpoint.bye(call.tag or "", owner.now))
        owner.run(owner.now + OVER)
        assert owner.endpoint.idle
        assert owner.endpoint.deadline is None
        assert set(owner.ends.values()) == {1}
        ended += len(owner.ends)
        owner.ends.clear()
        owner.said.clear()
        owner.quitters.attempts.clear()
        before = before or objects()
    assert ended == AT_THE_ENDPOINT
    assert objects() - before < 100
