"""The cases of RFC 4475 and RFC 5118 at a running gateway, with calls up that do not notice."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.app import World, running
from gateway.config import Config
from gateway.simulator.phone import Phone
from gateway.sip.message import parse
from tests.calls.house import GATEWAY, house
from tests.clock import run

from . import rfc4475, rfc5118
from .stranger import Stranger, tcp, udp
from .verdict import SILENCE, TAKEN, Case
from .watch import nothing_breaks

CASES = [*rfc4475.CASES, *rfc5118.CASES]
TAKEABLE = [case for case in CASES if case.answer == TAKEN]
STRANGER = ("10.0.9.9", 5060)
CALLS = 5
ANSWERED = 200
NO_IPV6 = 488  # this gateway's sound is on IPv4


def config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "sip": {"listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]},
            "media": {"listen": "127.0.0.1", "ports": "44000-44998"},
            "backends": {"simulator": {"provider": "simulator", "speed": 5.0}},
            "agents": {"reception": {"backend": "simulator", "greeting": "Hello there."}},
            "records": {"calls": str(folder / "calls.jsonl")},
        }
    )


@asynccontextmanager
async def calls_up(address: tuple[str, int]) -> AsyncIterator[list[Phone]]:
    """Phones that talk and do not notice: each packet of theirs follows the last."""
    async with AsyncExitStack() as stack:
        phones = []
        for n in range(CALLS):
            phone = await Phone.open()
            stack.push_async_callback(phone.close)
            await phone.dial(f"10{n}", address)
            phones.append(phone)
        yield phones
        await asyncio.sleep(0.1)
        for phone in phones:
            assert not phone.ended.is_set()
            sequences = [it.packet.sequence for it in phone.heard]
            steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)}
            assert steps == {1}


Enter = Callable[[tuple[str, int]], AbstractAsyncContextManager[Stranger]]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def attack(
    address: tuple[str, int], enter: Enter, expected: Callable[[Case], list[int]]
) -> None:
    """Each case, one after the other, and OPTIONS behind each."""
    for case in CASES:
        async with enter(address) as stranger:
            if enter is tcp and case.over_tcp == SILENCE:
                assert await stranger.hears_nothing(case.message)
                continue
            answers = await stranger.ask(case.message)
            assert [answer.status for answer in answers] == expected(case), case
            for name, value in case.says.items():
                assert answers[0].headers.get(name) == value
            for answer in answers:
                await stranger.settle(case.message, answer)
        async with enter(address) as another:
            assert await another.ask(b"\r\n") == []  # but its OPTIONS is answered


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_live(transport: str, tmp_path: Path) -> None:
    """Each gets its verdict, each OPTIONS its 200; five calls go on, and no port is kept."""

    async def main() -> None:
        with nothing_breaks():
            async with running(config(tmp_path), World(http=False)) as gateway:
                addresses = {it.transport: (it.host, it.port) for it in gateway.transport.listening}
                async with calls_up(addresses["udp"]):
                    before = descriptors(), len(asyncio.all_tasks())
                    enter, expected = (udp, over_udp) if transport == "udp" else (tcp, over_tcp)
                    await attack(addresses[transport], enter, expected)
                    async with asyncio.timeout(5.0):
                        while gateway.calls > CALLS or gateway.transport.connections:  # noqa: ASYNC110
                            await asyncio.sleep(0.02)
                    await asyncio.sleep(0.2)
                    assert len(asyncio.all_tasks()) == before[1]
                    # a port that was announced is kept for a while, so that no other call gets it
                    assert descriptors() <= before[0] + 2 * len(TAKEABLE) + 1
                await gateway.written()
        lines = (tmp_path / "calls.jsonl").read_bytes().split(b"\n")
        ids = [json.loads(line)["sip_call_id"] for line in lines if line]
        assert len(ids) == len(set(ids))

    asyncio.run(main())


def over_udp(case: Case) -> list[int]:
    """A call that can be taken is answered; where there is no way for its sound, it is refused."""
    if case.answer == TAKEN:
        return [NO_IPV6 if b"c=IN IP6" in case.message else ANSWERED]
    return [] if case.answer == SILENCE else [case.answer]


def over_tcp(case: Case) -> list[int]:
    """The same, but where bytes of a stream are another message, or none yet."""
    if case.name == "dblreq":
        return [405, ANSWERED]
    if case.over_tcp is not None:
        return [] if case.over_tcp == SILENCE else [case.over_tcp]
    return over_udp(case)


def test_in_memory(tmp_path: Path) -> None:
    """All within a second, and nobody ACKs anything: 100 s later nothing of them is left.

    Each INVITE that could be taken has its one record, and nothing else has any.
    """

    async def main() -> None:
        with nothing_breaks():
            async with house(tmp_path) as home, AsyncExitStack() as stack:
                phones = [await stack.enter_async_context(home.phone()) for _ in range(CALLS)]
                for n, phone in enumerate(phones):
                    await phone.dial(f"10{n}", GATEWAY)
                for case in CASES:
                    home.network.send(case.message, STRANGER, GATEWAY)
                    await asyncio.sleep(1.0 / len(CASES))
                await asyncio.sleep(20.0)
                assert [phone.ended.is_set() for phone in phones] == [False] * CALLS
                for phone in phones:
                    phone.hang_up()
                await asyncio.sleep(100.0)
                assert home.gateway.endpoint.idle
                assert home.holds_nothing()
                records = await home.records()
        ids = sorted(record["sip_call_id"] for record in records if record["to"][:2] != "10")
        assert ids == sorted(parse(case.message).headers.call_id for case in TAKEABLE)
        for phone in phones:
            sequences = [it.packet.sequence for it in phone.heard]
            steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)}
            assert steps == {1}

    run(main())
