"""A gap sounds like the frame before it, fading, and then like nothing."""

from __future__ import annotations

import numpy as np

from gateway.audio.conceal import Concealer
from gateway.audio.frame import silence

LOUD = np.full(160, 1000, np.int16)


def test_the_first_frame_of_a_gap_is_the_last_one_heard() -> None:
    """One lost packet is hardly heard: the frame before it is played again."""
    concealer = Concealer(8000)
    frame = np.arange(160, dtype=np.int16)
    concealer.good(frame)
    assert concealer.fill(160).tolist() == frame.tolist()


def test_it_fades_by_35_percent_a_frame_and_ends_after_60_ms() -> None:
    """A frame three times repeated is a buzz, so it goes away."""
    concealer = Concealer(8000)
    concealer.good(LOUD)
    assert [concealer.fill(160).tolist() for _ in range(4)] == [
        [1000] * 160,
        [650] * 160,
        [422] * 160,
        [0] * 160,
    ]


def test_a_gap_may_come_in_one_piece_or_in_many() -> None:
    """How the line cuts a gap changes nothing."""
    whole, pieces = Concealer(8000), Concealer(8000)
    frame = np.arange(-80, 80, dtype=np.int16) * 100
    whole.good(frame)
    pieces.good(frame)
    parts = [pieces.fill(n) for n in (1, 159, 100, 0, 240, 60, 40)]
    assert whole.fill(600).tolist() == np.concatenate(parts).tolist()


def test_sound_ends_the_gap() -> None:
    """The next gap begins at full strength again, with what was heard since."""
    concealer = Concealer(8000)
    concealer.good(LOUD)
    concealer.fill(480)
    concealer.good(LOUD // 2)
    assert concealer.fill(160).tolist() == [500] * 160


def test_before_any_sound_there_is_silence() -> None:
    """Nothing was heard yet, so nothing is repeated."""
    assert Concealer(8000).fill(160).tolist() == [0] * 160


def test_packets_of_10_and_30_ms_are_remembered_as_20_ms() -> None:
    """The frame repeated is 20 ms, whatever the packets are."""
    short, long = Concealer(8000), Concealer(8000)
    sound = np.arange(240, dtype=np.int16)
    long.good(sound)
    assert long.fill(160).tolist() == sound[80:].tolist()
    short.good(sound[80:160])
    short.good(sound[160:])
    assert short.fill(160).tolist() == sound[80:].tolist()


def test_an_empty_payload_is_no_sound() -> None:
    """A packet without samples keeps what was heard before it."""
    concealer = Concealer(8000)
    concealer.good(LOUD)
    concealer.good(silence(0))
    assert concealer.fill(160).tolist() == LOUD.tolist()
