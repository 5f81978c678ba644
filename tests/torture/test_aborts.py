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
from gateway.sip.message import Response, parse
from tests.calls.house import GATEWAY, House, house
from tests.clock import run

from .hostile import OFFER
from .quitter import STAGES, Attempt, Quitters
from .watch import nothing_breaks

QUITTER = ("10.0.3.1", 5060)
OVER = 110.0  # s: 32 without an ACK, 32 of a BYE's copies, and again as much
LIMITS: dict[str, Any] = {
    "sip": {"max_calls": 10_000, "max_calls_per_second": 10_000},
    "routes": [{"to": "7000", "agent": "reception"}],
    "media": {"rtp_timeout": 60.0},
}
CALLS = 1_200  # over a whole gateway
BROKEN = 100  # over streams
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
    quitters.attempts.clear()
    forget(home)


def check(records: list[dict[str, Any]], quitters: Quitters) -> None:
    """One record for each call, and each says what became of it."""
    assert sorted(it["sip_call_id"] for it in records) == sorted(quitters.attempts)
    for record in records:
        stage = quitters.attempts[record["sip_call_id"]].stage
        end = (record["ended_by"], record["cause"], record["sip_status"])
        assert end == stage.end, stage.name


def forget(home: House) -> None:
    """What the house itself keeps of calls that are over."""
    for model in home.models.values():
        model.said.clear()
        model.heard.clear()
        model.links.clear()


class Leaver(asyncio.Protocol):
    """A caller over a stream that resets it when the gateway has said a certain thing.

    `leaves`: the status of an answer, and of which method; or how much of the INVITE has left.
    """

    def __init__(self, number: int, leaves: tuple[int, str] | int) -> None:
        self.attempt = Attempt(number, STAGES[0], QUITTER[0])
        self._leaves = leaves
        self._stream: asyncio.Transport
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream = transport
        invite = self.attempt.invite()
        if isinstance(self._leaves, int):
            self._stream.write(invite[: self._leaves])
            self._stream.abort()
        else:
            self._stream.write(invite)

    def data_received(self, data: bytes) -> None:
        response = parse(data)
        if not isinstance(response, Response):
            return
        self.attempt.tag = response.headers.to.tag
        said = response.status, response.headers.cseq.method
        if said == (200, "INVITE"):
            if self._leaves == (200, "INVITE"):
                self._stream.abort()
            self._stream.write(self.attempt.ack())
            if self._leaves == (200, "ACK"):
                self._stream.abort()
            self._stream.write(self.attempt.next("BYE"))
            if self._leaves == (200, "BYE sent"):
                self._stream.abort()
        if said == self._leaves:
            self._stream.abort()


LEAVES: tuple[tuple[int, str] | int, ...] = (
    *(0, 100, 100_000),
    *((100, "INVITE"), (180, "INVITE"), (200, "INVITE"), (200, "ACK"), (200, "BYE sent")),
    (200, "BYE"),
)


def test_streams_that_break(tmp_path: Path) -> None:
    """Of each that sent an INVITE there is one record, whatever it heard of its answer."""

    async def main() -> None:
        with nothing_breaks() as log:
            listening = {"sip": {**LIMITS["sip"], "listen": ["tcp:10.0.0.1:5060"]}}
            async with house(tmp_path, config={**LIMITS, **listening}) as home:
                begun = 0
                for part in range(2):
                    for n in range(BROKEN // 2):
                        begun += 1
                        await home.network.connect(
                            partial(Leaver, begun, LEAVES[n % len(LEAVES)]),
                            GATEWAY,
                            (QUITTER[0], 0),
                        )
                    await asyncio.sleep(OVER)
                    assert home.gateway.endpoint.idle
                    assert home.holds_nothing()
                    assert not home.gateway.transport.connections
                    await home.gateway.written()
                    forget(home)
                    log.clear()
                    if part == 0:
                        before = objects()
                # of each connection that is gone we know which it was; 4,096 of them
                assert objects() - before < 2 * BROKEN
                ids = [record["sip_call_id"] for record in home.written()]
        whole = [n for n in range(BROKEN // 2) if n % len(LEAVES) >= 2]
        assert len(ids) == len(set(ids)) == 2 * len(whole)

    run(main())


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
