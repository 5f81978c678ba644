"""G.711 against the tables of the Recommendation, written out here from their rules.

Tables 1a and 2a of ITU-T G.711 list, for positive values, the decision values between which a
sample gets the character signal n, and the value n is decoded to: the middle of the interval.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.g711 import codec

EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
EVERY_CODE = bytes(range(256))


def ulaw_decisions() -> list[int]:
    """Table 2a: one step of 1, 15 of 2, then 16 each of 4, 8, ... 256; full scale is 8,159."""
    steps = [1] + [2] * 15 + [2 << segment for segment in range(1, 8) for _ in range(16)]
    return list(accumulate(steps, initial=0))


def alaw_decisions() -> list[int]:
    """Table 1a: 32 steps of 2, then 16 each of 4, 8, ... 128; full scale is 4,096."""
    steps = [2] * 32 + [2 << segment for segment in range(1, 7) for _ in range(16)]
    return list(accumulate(steps, initial=0))


def quantised(decisions: list[int], scale: int) -> list[int]:
    """The middle of each interval; the first one of mu-law begins at -1, so its middle is 0."""
    low = [-1 if decisions[1] == 1 else 0, *decisions[1:-1]]
    return [(a + b) * scale // 2 for a, b in zip(low, decisions[1:], strict=True)]


def intervals(decisions: list[int], scale: int) -> list[int]:
    """n of every sample; one that lies on a decision value belongs to the interval above it."""
    edges = np.array(decisions[1:-1]) * scale
    samples = EVERY_SAMPLE.astype(np.int64)
    up = np.searchsorted(edges, samples, side="right")
    down = np.searchsorted(edges, -samples, side="left")
    return [int(n) for n in np.where(samples >= 0, up, down)]


def ulaw_signal(n: int, negative: bool) -> int:
    """Table 2: all ones for the smallest positive value, counting down; the sign is the top bit."""
    return (0x7F if negative else 0xFF) - n


def alaw_signal(n: int, negative: bool) -> int:
    """Table 1: counting up, with every even bit inverted for the line (note 2)."""
    return ((0 if negative else 0x80) + n) ^ 0x55


CASES = [
    ("PCMU", ulaw_decisions(), 4, ulaw_signal),
    ("PCMA", alaw_decisions(), 8, alaw_signal),
]


def test_the_tables_are_the_recommendations() -> None:
    """Both have 128 intervals and end at the full scale that the Recommendation prints."""
    assert (len(ulaw_decisions()), ulaw_decisions()[-1]) == (129, 8159)
    assert (len(alaw_decisions()), alaw_decisions()[-1]) == (129, 4096)


class TestItuG711:
    """ITU-T G.711, every code and every sample."""

    @pytest.mark.parametrize(("name", "decisions", "scale", "signal"), CASES)
    def test_decodes_every_code(
        self, name: str, decisions: list[int], scale: int, signal: Callable[[int, bool], int]
    ) -> None:
        """A code is the middle of its interval."""
        values = quantised(decisions, scale)
        samples = codec(name).decode(EVERY_CODE)
        for n, value in enumerate(values):
            assert samples[signal(n, False)] == value
            assert samples[signal(n, True)] == -value

    @pytest.mark.parametrize(("name", "decisions", "scale", "signal"), CASES)
    def test_encodes_every_sample(
        self, name: str, decisions: list[int], scale: int, signal: Callable[[int, bool], int]
    ) -> None:
        """A sample is the code of the interval that it lies in."""
        expected = bytes(
            signal(n, sample < 0)
            for n, sample in zip(intervals(decisions, scale), EVERY_SAMPLE.tolist(), strict=True)
        )
        assert codec(name).encode(EVERY_SAMPLE) == expected

    @pytest.mark.parametrize("name", ["PCMU", "PCMA"])
    def test_a_second_passage_changes_nothing(self, name: str) -> None:
        """What was decoded is encoded to the same sound: G.711 in tandem is lossless."""
        law = codec(name)
        once = law.decode(EVERY_CODE)
        assert law.decode(law.encode(once)).tolist() == once.tolist()

    def test_known_codes(self) -> None:
        """Zero and the two ends, as any packet capture shows them."""
        ends = np.array([0, 32767, -32768], np.int16)
        assert codec("PCMU").encode(ends) == b"\xff\x80\x00"
        assert codec("PCMA").encode(ends) == b"\xd5\xaa\x2a"
        assert codec("PCMU").decode(b"\xff\x7f\x80\x00").tolist() == [0, 0, 32124, -32124]
        assert codec("PCMA").decode(b"\xd5\x55\xaa\x2a").tolist() == [8, -8, 32256, -32256]


@pytest.mark.parametrize(("name", "zero"), [("PCMU", b"\xff"), ("PCMA", b"\xd5")])
def test_silence_is_the_code_of_zero(name: str, zero: bytes) -> None:
    """A packet of silence carries the code of the sample 0."""
    assert codec(name).silence(160) == zero * 160
    assert codec(name).silence(0) == b""


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
def test_takes_any_part_of_a_longer_run(name: str) -> None:
    """Slices and every other sample are as good as a run of their own."""
    law = codec(name)
    assert law.encode(EVERY_SAMPLE[5:25]) == law.encode(EVERY_SAMPLE)[5:25]
    assert law.encode(EVERY_SAMPLE[::2]) == law.encode(EVERY_SAMPLE)[::2]


@given(st.binary(max_size=400))
def test_any_bytes_are_sound(data: bytes) -> None:
    """A payload may have any length and content: one sample a byte."""
    for name in ("PCMU", "PCMA"):
        samples = codec(name).decode(data)
        assert samples.dtype == np.int16
        assert len(samples) == len(data)


def test_a_codec_knows_itself() -> None:
    """One object serves every call."""
    assert codec("PCMU") is codec("PCMU")
    assert (codec("PCMA").name, codec("PCMA").rate) == ("PCMA", 8000)


def test_an_unknown_codec_is_our_mistake() -> None:
    """SDP negotiates only what we have, so another name is a bug: ValueError."""
    with pytest.raises(ValueError, match="no codec named 'G729'"):
        codec("G729")
