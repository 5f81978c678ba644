"""Our own voice, returned by the caller's line: the model never hears it, and still the caller."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.audio.frame import Samples
from gateway.simulator.script import load
from tests.clock import Network, run

from .house import GATEWAY, MemoryModel, house, noise
from .returning import Monologue, Returning, caller

LOSSES, DELAYS = [12, 20, 30], [0.06, 0.2, 0.4, 0.6]
SCRIPT = {"turns": [{"say": "A long story."}, {"say": "Another one."}]}
STARTED = "input_audio_buffer.speech_started"


def now() -> float:
    return asyncio.get_running_loop().time()


class Told:
    """What became of a call."""

    def __init__(self, model: MemoryModel, record: dict[str, Any], began: float | None) -> None:
        self.barge_ins = record["barge_ins"]
        self.first, *self.more = [at for at, event in model.said if event["type"] == STARTED]
        self.began = began  # when the caller interrupted
        self.cancelled = [
            event
            for event in model.answers("response.done")
            if event["response"]["status"] == "cancelled"
        ]


def call(
    folder: Path,
    mode: str,
    line: dict[str, Any] | None,
    *,
    interrupts: Samples | None = None,
    at: float = 4.0,
) -> Told:
    """A call in which the model speaks for 7 s, and the caller may interrupt it after `at` s."""

    async def main() -> Told:
        network, began = Network(), None
        if line:
            Returning(network, **line)
        model = MemoryModel(load(SCRIPT), speech=Monologue(7.0))
        config = {"media": {"echo": mode}}
        async with (
            house(folder, config=config, network=network, model=model) as home,
            home.phone() as phone,
        ):
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            await asyncio.sleep(at)
            if interrupts is not None:
                began = now()
                await phone.say(interrupts)
            else:
                await asyncio.sleep(7.0 - at)
            await asyncio.sleep(0.5)
            phone.hang_up()
            return Told(model, await home.record(), began)

    return run(main())


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("loss", LOSSES)
class TestTheMatrix:
    def test_our_voice_interrupts_nobody(self, loss: float, delay: float, tmp_path: Path) -> None:
        told = call(tmp_path, "auto", {"loss": loss, "delay": delay})
        assert told.more == []
        assert told.barge_ins == []

    def test_a_caller_is_heard_within_300_ms(
        self, loss: float, delay: float, tmp_path: Path
    ) -> None:
        """By the model, the network included."""
        line = {"loss": loss, "delay": delay}
        told = call(tmp_path, "auto", line, interrupts=caller(1.0))
        assert told.began is not None
        assert told.began < told.more[0] < told.began + 0.3
        assert [it["trigger"] for it in told.barge_ins] == ["speech"]


@pytest.mark.parametrize("loss", [12, 20])
def test_without_the_canceller_it_does(loss: float, tmp_path: Path) -> None:
    told = call(tmp_path, "off", {"loss": loss, "delay": 0.2})
    assert told.more
    assert told.barge_ins


def test_without_its_library_calls_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at the start, once."""
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with capture_logs() as logs:
        told = call(tmp_path, "auto", None, interrupts=caller(1.0))
    assert [it["trigger"] for it in told.barge_ins] == ["speech"]
    (notice,) = [it for it in logs if it["event"] == "echo_missing"]
    assert "pywebrtc_audio" in notice["reason"]


@pytest.mark.parametrize("at", [1.8, 3.0, 5.0])
@pytest.mark.parametrize("level", [0.0, -8.0])
def test_on_a_line_that_returns_nothing(at: float, level: float, tmp_path: Path) -> None:
    """A caller is heard as soon as without it."""
    told = call(tmp_path, "auto", None, interrupts=caller(1.0, level=level), at=at)
    assert told.began is not None
    assert told.began < told.more[0] < told.began + 0.3
