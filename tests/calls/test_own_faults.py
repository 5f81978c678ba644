"""Our own mistakes: whatever raises in one call, that call ends properly and the others go on.

A fault is put into every method that the world can reach, once, in the middle of
two calls that do all that a call can do.
"""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.simulator.phone import Phone
from tests.clock import run

from .house import GATEWAY, house, noise

SCRIPT = {
    "turns": [
        {"hears": "Hello", "say": "Good day to you, and a long story."},
        {"hears": "Stop", "say": "I stopped."},
        {"hears": "And then", "say": "Nothing."},
    ]
}

ANYWHERE = [  # module, class, method
    ("gateway.call.bridge", "Bridge", "open"),
    ("gateway.call.bridge", "Bridge", "receive"),
    ("gateway.call.bridge", "Bridge", "press"),
    ("gateway.call.appended", "Appended", "add"),
    ("gateway.call.transcript", "Transcript", "assistant"),
    ("gateway.call.turns", "Turns", "stopped"),
    ("gateway.call.bridge", "Bridge", "began"),
    ("gateway.call.bridge", "Bridge", "drained"),
    ("gateway.call.bridge", "Bridge", "handle_timer"),
    ("gateway.call.bridge", "Bridge", "close"),
    ("gateway.call.bridge", "Bridge", "__init__"),
    ("gateway.call.engine", "Engine", "add"),
    ("gateway.call.talk", "Talk", "renegotiate"),
    ("gateway.call.talk", "Talk", "complete"),
    ("gateway.rtp.source", "SourceRule", "accept"),
    ("gateway.rtp.reorder", "Reorder", "push"),
    ("gateway.audio.resample", "Resampler", "push"),
    ("gateway.call.line", "Line", "receive"),
    ("gateway.call.line", "Line", "hear"),
    ("gateway.call.downlink", "Downlink", "prepare"),
    ("gateway.call.downlink", "Downlink", "sent"),
    ("gateway.call.downlink", "Downlink", "cut"),
    ("gateway.call.line", "Line", "renegotiate"),
    ("gateway.call.line", "Line", "counts"),
    ("gateway.audio.playout", "Playout", "push"),
    ("gateway.audio.playout", "Playout", "decode_one"),
    ("gateway.call.model", "Model", "open"),
    ("gateway.call.model", "Model", "append"),
    ("gateway.call.model", "Model", "send"),
    ("gateway.realtime.session", "Session", "receive"),
    ("gateway.realtime.session", "Session", "send"),
    ("gateway.realtime.session", "Session", "handle_timer"),
    ("gateway.sdp.negotiation", "Negotiation", "answer"),
    ("gateway.call.recording", "Recording", "caller"),
    ("gateway.call.recorder", "Recorder", "recording"),
    ("gateway.call.recorder", "Recorder", "begin"),
    ("gateway.call.recorder", "Recorder", "finish"),
]


class Fault:
    """Makes one method raise once, at its `at`-th call."""

    def __init__(self, place: tuple[str, str, str], at: int) -> None:
        self.happened = False
        self._left = at
        module, owner, self._name = place
        self._owner = getattr(importlib.import_module(module), owner)
        self._method = getattr(self._owner, self._name)

    def __enter__(self) -> Fault:
        method = self._method

        def faulty(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.happened = True
                raise RuntimeError("a mistake of ours")
            return method(*arguments, **named)

        setattr(self._owner, self._name, faulty)
        return self

    def __exit__(self, *error: object) -> None:
        setattr(self._owner, self._name, self._method)


async def all_that_a_call_can_do(phone: Phone) -> None:
    """A turn, a barge-in, an entry, a hold; over early where the call is."""
    try:
        await phone.dial("100", GATEWAY)
    except Exception:
        return
    await phone.until_sound()
    await phone.until_silence()
    await phone.say(noise(0.4))
    await phone.until_sound()
    await asyncio.sleep(0.5)
    await phone.say(noise(0.4))
    await phone.until_sound()
    await phone.until_silence()
    await phone.press("47")
    await asyncio.sleep(4)
    if not phone.ended.is_set():
        await phone.hold()
        await asyncio.sleep(1)
    if not phone.ended.is_set():
        await phone.resume()
    phone.hang_up()


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("place", ANYWHERE, ids=lambda place: ".".join(place[1:]))
def test_a_fault_of_ours_ends_one_call_only(
    place: tuple[str, str, str], at: int, tmp_path: Path
) -> None:
    async def main() -> None:
        config = {"records": {"audio": str(tmp_path)}}
        async with (
            house(tmp_path, SCRIPT, agent={"greeting": "Hello!"}, config=config) as home,
            home.phone() as one,
            home.phone() as two,
        ):
            with capture_logs() as logs, Fault(place, at) as fault:
                await asyncio.gather(all_that_a_call_can_do(one), all_that_a_call_can_do(two))
                records = await home.records()
            assert fault.happened
            assert home.holds_nothing()
            async with home.phone() as three:
                await three.dial("100", GATEWAY)  # the service goes on

        assert len(records) == 2
        good = [record for record in records if record["cause"] == "hang_up"]
        broken = [record for record in records if record["cause"] == "internal_error"]
        assert len(good) >= 1
        assert len(good) + len(broken) == 2
        for record in broken:
            assert record["ended_by"] == "gateway"
            assert record["ended_at"] is not None
        told = [line for line in logs if line["event"] == "call_failed"]
        assert len(told) == 1
        assert "a mistake of ours" in str(told[0]["exc_info"])

    run(main())
