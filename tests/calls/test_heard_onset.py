"""What the caller had heard when she began to speak: by RTCP, over a network of any length.

The phone plays what it gets after a jitter buffer, and its user answers at a certain word: so much
of the reply had been heard by then. The gateway sees none of this but the sound that comes back,
and reports: of the round trip, and of the buffer where the phone tells of it.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.audio.g711 import codec
from gateway.rtp.rtcp import Report, ReportBlock, encode, parse
from gateway.simulator.phone import Phone
from tests.clock import Network, run

from .house import GATEWAY, house, noise

HERS = 0x22222222
SPEECH = {"turns": [{"say": letter * 200} for letter in "abcdef"]}
TURNS = 3
FRAME = 0.02  # s, which a telephone records before it sends it
LOUD = 200  # of 32767; the noise is far above, silence in A-law is 8


class Reporter:
    """Answers each sender report after `keeps` s (RFC 3550 §6.4.1); `buffer` (ms) by XR."""

    def __init__(self, phone: Phone, keeps: float, buffer: int | None) -> None:
        self.answered = 0
        self._phone, self._keeps, self._buffer = phone, keeps, buffer
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        handset = self._phone.handset
        while True:
            await asyncio.sleep(0.02)
            told, handset.reports = handset.reports, []
            for report in (it for data in told for it in parse(data) if isinstance(it, Report)):
                if report.sender:
                    came = report.sender.ntp >> 16 & 0xFFFFFFFF
                    await asyncio.sleep(self._keeps)
                    handset.report(self._answer(report.ssrc, came))
                    self.answered += 1

    def _answer(self, ssrc: int, came: int) -> bytes:
        block = ReportBlock(ssrc, 0, 0, 0, 0, came, int(self._keeps * 65536))
        report = encode([Report(HERS, (block,))])
        if self._buffer is None:
            return report
        # RFC 3611 §4.7, of which the end system delay is told and the rest is not known
        metrics = struct.pack("!BBHI8xHH16x", 7, 0, 8, ssrc, 0, self._buffer)
        return report + struct.pack("!BBHI", 0x80, 207, 1 + len(metrics) // 4, HERS) + metrics


def played(phone: Phone, buffer: float) -> int:
    """ms of the present reply that have been played by now; before it there was silence."""
    now = asyncio.get_running_loop().time()
    law = codec("PCMA")
    frames = 0
    later = now
    for it in reversed([it for it in phone.heard if it.at <= now - buffer]):
        if np.abs(law.decode(it.packet.payload)).max() > LOUD:
            frames, later = frames + 1, it.at
        elif later - it.at > 0.2:
            break
    return 20 * frames


async def answer_after(phone: Phone, seconds: float, buffer: float) -> int:
    """Listen for so long, then speak; returns how much of the reply was heard by then."""
    await phone.until_sound()
    await asyncio.sleep(seconds)
    heard = played(phone, buffer)
    await asyncio.sleep(FRAME)
    await phone.say(noise(0.5))
    await phone.until_silence()
    return heard


async def conversation(
    folder: Path,
    *,
    delay: float,
    reports: bool = True,
    keeps: float = 0.0,
    buffer: int = 60,
    tells: bool = False,
    truncate_at: str = "sent",
) -> tuple[list[int], list[dict[str, Any]], list[int]]:
    """What was heard of each reply, the record's barge-ins, and what the model was told."""
    agent = {"truncate_at": truncate_at}
    network = Network(delay=delay)
    async with house(folder, SPEECH, agent=agent, network=network) as home, home.phone() as phone:
        await phone.dial("100", GATEWAY)
        reporter = Reporter(phone, keeps, buffer if tells else None) if reports else None
        await asyncio.sleep(9)
        await phone.say(noise(0.4))
        heard = []
        for turn in range(TURNS):
            heard.append(await answer_after(phone, 2.0 + turn / 3, buffer / 1000))
        if reporter:
            assert reporter.answered >= 2
            reporter.close()
        phone.hang_up()
        record = await home.record()
        told = [it["audio_end_ms"] for it in home.model.events("conversation.item.truncate")]
    return heard, record["barge_ins"], told


@pytest.mark.parametrize("delay", [0.005, 0.08, 0.25])
def test_the_round_trip_counts(delay: float, tmp_path: Path) -> None:
    """Whatever the telephone keeps a report for."""
    heard, barge_ins, told = run(conversation(tmp_path, delay=delay, keeps=0.3))
    assert [it["onset_ms"] for it in barge_ins] == pytest.approx(heard, abs=30)
    assert [it["heard_ms"] for it in barge_ins] == told  # all that was sent: the default


def test_the_buffer_counts_where_it_is_told(tmp_path: Path) -> None:
    heard, barge_ins, _ = run(conversation(tmp_path, delay=0.08, buffer=240, tells=True))
    assert [it["onset_ms"] for it in barge_ins] == pytest.approx(heard, abs=30)


def test_without_reports_the_round_trip_is_not_known(tmp_path: Path) -> None:
    heard, barge_ins, _ = run(conversation(tmp_path, delay=0.25, reports=False))
    late = [it["onset_ms"] - truth for it, truth in zip(barge_ins, heard, strict=True)]
    assert late == pytest.approx([500] * TURNS, abs=30)


def test_the_model_is_told_the_onset_where_that_is_wanted(tmp_path: Path) -> None:
    heard, barge_ins, told = run(conversation(tmp_path, delay=0.08, truncate_at="onset"))
    assert told == [it["onset_ms"] for it in barge_ins]
    assert told == pytest.approx(heard, abs=30)
