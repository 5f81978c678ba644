"""The short way is the long way, shorter: whatever comes, both count the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.packet import Packet, encode
from gateway.rtp.reception import Reception
from gateway.rtp.reorder import Reorder
from gateway.rtp.source import SourceRule
from gateway.rtp.succession import Succession

FRAME = 160
PHONE = ("192.0.2.7", 4000)
FIRST = Packet(0, 65533, 0xFFFFFF00, 7, bytes(FRAME))


def after(n: int, **changes: Any) -> Packet:
    """The nth packet behind the first."""
    sequence, timestamp = FIRST.sequence + n, FIRST.timestamp + n * FRAME
    packet = FIRST._replace(sequence=sequence & 0xFFFF, timestamp=timestamp & 0xFFFFFFFF)
    return packet._replace(**changes)


def begun(now: float = 1.0) -> Succession:
    return Succession(FIRST, FRAME, 8000, 0.0, now)


def test_the_next_ones_pass() -> None:
    """Sequence and timestamp wrap; payloads come out as they are."""
    following = begun()
    for n in range(1, 6):
        payload = bytes([n]) * FRAME
        assert following.take(encode(after(n, payload=payload)), 1 + 0.02 * n) == payload
    settled = following.settle()
    assert settled is not None
    assert (settled.packets, settled.samples) == (5, 5 * FRAME)
    assert settled.arrival == pytest.approx(1.1)
    assert settled.jitter == pytest.approx(0, abs=1e-6)
    assert following.settle() is None


@pytest.mark.parametrize(
    "packet",
    [
        after(2),
        after(0),
        after(1, payload_type=8),
        after(1, ssrc=8),
        after(1, marker=True),
        after(1, timestamp=after(2).timestamp),
        after(1, payload=bytes(80)),
        after(1, payload=bytes(161)),
    ],
    ids=["lost", "twice", "codec", "ssrc", "marker", "timestamp", "short", "long"],
)
def test_others_do_not(packet: Packet) -> None:
    """And change nothing: the next one still does."""
    following = begun()
    assert following.take(encode(packet), 1.02) is None
    assert following.settle() is None
    assert following.take(encode(after(1)), 1.02) is not None


@pytest.mark.parametrize("head", [b"\x90", b"\xa0", b"\x81", b"\x40"])
def test_a_header_with_more_in_it_does_not(head: bytes) -> None:
    """Extension, padding, CSRC, another version: parse() knows them."""
    assert begun().take(head + encode(after(1))[1:], 1.02) is None


def test_after_a_second_without_packets_the_clocks_are_judged_anew() -> None:
    assert begun().take(encode(after(1)), 2.1) is None


class Judges:
    """Source, reception and reorder, as a line has them."""

    def __init__(self, *, short: bool) -> None:
        self.source = SourceRule("sdp", PHONE)
        self.reception = Reception(8000)
        self.reorder = Reorder(8000)
        self.passed: list[object] = []
        self._short = short
        self._following: Succession | None = None

    def receive(self, packet: Packet, now: float) -> None:
        if self._following and self._following.take(encode(packet), now) is not None:
            self.passed.append(packet)
            return
        self.settle()
        self._following = None
        if not self.source.accept(packet, PHONE, now):
            return
        self.reception.receive(packet, FRAME, now)
        self.passed += self.reorder.push(packet, FRAME, now)
        if (
            self._short
            and self.source.is_at(packet)
            and self.reception.is_at(packet)
            and self.reorder.is_at(packet, FRAME)
        ):
            self._following = Succession(packet, FRAME, 8000, self.reception.jitter, now)

    def settle(self) -> None:
        settled = self._following.settle() if self._following else None
        if settled:
            self.source.settle(settled.packets)
            self.reception.settle(settled)
            self.reorder.settle(settled)

    def told(self) -> object:
        self.settle()
        reception, reorder = self.reception, self.reorder
        return (
            self.passed,
            (reception.received, reception.lost, reception.expected, reception.stream),
            (reorder.lost, reorder.late, reorder.bursts, reorder.duplicates, reorder.deadline),
            (self.source.implausible, self.source.rejected),
        )


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 1, 1, 1, 2, 3, -1, -2, 200]),  # how far the sequence goes
        st.sampled_from([0.0, 0.02, 0.02, 0.02, 0.02, 0.05, 0.3, 1.5]),  # s until it comes
        st.sampled_from([7, 7, 7, 7, 7, 7, 8]),  # SSRC
    ),
    max_size=60,
)


@given(STEPS)
def test_both_ways_are_one(steps: list[tuple[int, float, int]]) -> None:
    """The same packets pass, and the same is counted of them."""
    short, long = Judges(short=True), Judges(short=False)
    place, now = 0, 1.0
    for ahead, wait, ssrc in steps:
        place, now = place + ahead, now + wait
        for judges in (short, long):
            judges.receive(after(place, ssrc=ssrc), now)
            judges.passed += judges.reorder.handle_timer(now)
    assert short.told() == long.told()
