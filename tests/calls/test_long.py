"""What only a long call shows: a hold of half an hour, numbers that wrap, clocks that differ."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.call.talk import HOLD_TIMEOUT
from gateway.sip.message import Request
from tests.clock import LoopTicker, Network, run
from tests.torture.caller import calling, quiet
from tests.torture.watch import nothing_breaks

from .house import Sip, house

HOLDS = {
    "sendonly": ["a=sendonly"],
    "inactive": ["a=inactive"],
    "nowhere": ["c=IN IP4 0.0.0.0"],  # RFC 2543's, still in use
}


@pytest.mark.parametrize("hold", HOLDS)
def test_half_an_hour_on_hold(hold: str, tmp_path: Path) -> None:
    """No packet comes and none is missed; after that nobody will come back, and the call ends."""

    async def main() -> None:
        network, ticker = Network(), LoopTicker()
        sip = Sip(network)
        with nothing_breaks():
            async with (
                house(tmp_path, {}, network=network, world={"ticker": ticker}) as home,
                calling(network) as caller,
            ):
                assert (await caller.dial()).status == 200
                for _ in range(50):
                    await caller.say(quiet())
                assert (await caller.renegotiate(caller.offer(*HOLDS[hold]))).status == 200
                held = asyncio.get_running_loop().time()
                await asyncio.sleep(0.1)
                ticker.missed = 49  # a tick a second will do
                before = len(caller.heard)
                await asyncio.sleep(HOLD_TIMEOUT - 5)
                assert home.gateway.calls == 1
                assert len(caller.heard) == before
                await caller.ended.wait()
                took = asyncio.get_running_loop().time() - held
                record = await home.record()
        assert took == pytest.approx(HOLD_TIMEOUT, abs=2)
        assert (record["ended_by"], record["cause"]) == ("network", "rtp_timeout")
        (bye,) = [it for it in sip.requests("BYE") if isinstance(it, Request)]
        assert bye.headers.get("Reason") == 'Q.850;cause=102;text="rtp_timeout"'
        assert record["usage"]["audio_in_s"] < 5  # a hold is not for the model to pay

    run(main())


def test_taken_back_from_a_long_hold(tmp_path: Path) -> None:
    """The same patience as before begins anew, and sound goes both ways at once."""

    async def main() -> None:
        network, ticker = Network(), LoopTicker()
        with nothing_breaks():
            async with (
                house(tmp_path, {}, network=network, world={"ticker": ticker}) as home,
                calling(network) as caller,
            ):
                assert (await caller.dial()).status == 200
                await caller.say(quiet())
                await caller.renegotiate(caller.offer("a=inactive"))
                ticker.missed = 49
                await asyncio.sleep(HOLD_TIMEOUT - 60)
                ticker.missed = 0
                await asyncio.sleep(1)
                assert (await caller.renegotiate(caller.offer())).status == 200
                before = len(caller.heard)
                for _ in range(100):
                    await caller.say(quiet())
                assert len(caller.heard) - before >= 98
                silent = asyncio.get_running_loop().time()
                await caller.ended.wait()
                took = asyncio.get_running_loop().time() - silent
                assert took == pytest.approx(30, abs=0.5)
                assert (await home.record())["cause"] == "rtp_timeout"

    run(main())
