"""Half an hour of a call, both ways: 90,000 packets, of which 65,536 have numbers of their own.

RFC 3550 §5.1: sequence and timestamp are modular. A gateway that forgets it falls silent after
18.5 to 21.8 minutes; one that forgets it in its reports tells of losses that were none.
"""

from __future__ import annotations

import base64

import numpy as np
import pytest

from gateway.audio.playout import Part, Playout
from gateway.call.downlink import Start
from gateway.call.line import Line
from gateway.rtp import rtcp
from gateway.rtp.packet import Packet, encode, parse
from gateway.rtp.reports import Reports
from gateway.rtp.source import SourceRule
from gateway.sdp.rtcp import Control

from .talk import PHONE, media

FRAME = 160  # samples of 20 ms
TICKS = 90_000
OURS, HERS = 7, 0xCAFE
WALL = 1_800_000_000.0
TALK = Part("r", "i", 0)


def line(start: Start) -> Line:
    return Line(
        media(control=Control(mux=True)),
        Playout(8000),
        model_rate=8000,
        source=SourceRule("sdp", PHONE),
        start=start,
        now=100.0,
        reports=Reports(OURS, "call@gateway", 8000, lambda: 0.5, 100.0),
        epoch=WALL,
    )


def test_half_an_hour() -> None:
    """Ours go on by one and by 160, hers are heard without a gap, the reports count the cycles."""
    sequence, timestamp = 65_500, 2**32 - 800
    subject = line(Start(OURS, sequence, timestamp))
    heard, sent, reports = 0, 0, 0
    said = base64.b64encode(np.full(FRAME * 50, 1000, "<i2").tobytes()).decode()
    subject.downlink.prepare()
    for n in range(TICKS):
        now = 100.0 + n * 0.02
        if n % 50 == 0:
            subject.playout.push(TALK, said)
            subject.playout.decode_one()
        for data in subject.downlink.packets:
            header = int.from_bytes(data[2:8], "big")
            place = (sequence + sent) & 0xFFFF, (timestamp + (sent + 1) * FRAME) & 0xFFFFFFFF
            assert header == place[0] << 32 | place[1]
            sent += 1
        subject.downlink.sent(now)
        hers = (sequence + n) & 0xFFFF, (timestamp + n * FRAME) & 0xFFFFFFFF
        subject.receive(encode(Packet(0, *hers, HERS, PAYLOAD)), PHONE, now)
        if n % 2:
            heard += len(subject.hear(now))
            if told := subject.report(now):
                reports += check(told, subject, sent, n + 1, sequence)
        subject.downlink.prepare()
    assert (heard, sent) == (TICKS * FRAME, TICKS)
    assert reports == pytest.approx(TICKS * 0.02 / 5, abs=3)
    counts = subject.counts()
    assert (counts.received, counts.lost, counts.late) == (TICKS, 0, 0)
    assert counts.mos
    assert counts.mos > 4.3
    last = parse(subject.downlink.packets[0])
    assert last.sequence == (sequence + TICKS) & 0xFFFF
    assert last.payload != bytes([0xFF]) * FRAME  # it still speaks


PAYLOAD = bytes(range(128, 208)) * 2


def check(told: bytes, subject: Line, sent: int, received: int, first: int) -> int:
    """A report of ours: what was sent, and how far hers has come."""
    report = rtcp.parse(told)[0]
    assert isinstance(report, rtcp.Report)
    assert report.sender
    assert report.sender.packets == sent
    assert report.sender.timestamp == subject.downlink.stand().timestamp
    (block,) = report.blocks
    assert (block.fraction, block.lost) == (0, 0)
    assert block.highest == first + received - 1  # its cycles are above the 16 bits
    return 1
