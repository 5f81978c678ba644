"""The E-model: values of ITU-T G.107 and G.113, and what must hold whatever is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.quality import (
    CODECS,
    CONCEALED,
    UNCONCEALED,
    Codec,
    burst_ratio,
    mos,
    one_way,
    rating,
)


@pytest.mark.parametrize(
    ("r", "score"),
    [(0, 1.0), (5, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.02), (90, 4.34), (93.2, 4.41),
     (100, 4.5), (-3, 1.0), (120, 4.5)],
)  # fmt: skip
def test_the_score_of_a_rating(r: float, score: float) -> None:
    """G.107 Annex B, table B.1."""
    assert mos(r) == pytest.approx(score, abs=0.005)


@pytest.mark.parametrize("codec", CODECS.values())
def test_a_clean_call(codec: Codec) -> None:
    """93.2: what G.107's defaults give, 4.41."""
    assert rating(codec, 0.0) == pytest.approx(93.2)


@pytest.mark.parametrize(
    ("codec", "loss", "r"),
    [
        (CONCEALED, 0.01, 89.56),
        (CONCEALED, 0.05, 77.42),
        (CONCEALED, 0.20, 51.07),
        (UNCONCEALED, 0.01, 75.28),
        (UNCONCEALED, 0.05, 42.13),
        (Codec(11, 19.0), 0.02, 74.20),  # G.729A with VAD
        (CONCEALED, 1.0, 17.26),
    ],
)
def test_loss(codec: Codec, loss: float, r: float) -> None:
    """G.107 §7.5: Ie,eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl)."""
    assert rating(codec, loss) == pytest.approx(r, abs=0.01)


def test_bursts_are_worse() -> None:
    """5 % in bursts twice as long as chance has them."""
    assert rating(CONCEALED, 0.05, burst_ratio=2) == pytest.approx(93.2 - 95 * 5 / 27.6)


@pytest.mark.parametrize(
    ("delay", "r"), [(0.1, 90.8), (0.15, 89.6), (0.1773, 88.94), (0.4, 59.10), (5.0, 0.0)]
)
def test_delay(delay: float, r: float) -> None:
    """Hardly heard up to 177 ms; G.114 calls 400 ms the limit."""
    assert rating(CONCEALED, 0.0, delay=delay) == pytest.approx(r, abs=0.01)


@pytest.mark.parametrize(
    ("sent", "lost", "bursts", "ratio"),
    [
        (1000, 0, 0, 1.0),
        (1000, 50, 48, 1.0),  # chance
        (1000, 50, 10, 4.75),  # five at a time
        (1000, 1000, 1, 1.0),  # nothing to compare with
        (0, 0, 0, 1.0),
        (10, -3, 1, 1.0),  # duplicates
        (10, 3, 0, 1.0),
    ],
)
def test_burst_ratio(sent: int, lost: int, bursts: int, ratio: float) -> None:
    """G.107 §7.5: the mean length of bursts over the mean that chance gives, 1 / (1 - loss)."""
    assert burst_ratio(sent, lost, bursts) == pytest.approx(ratio)


def test_one_way_delay() -> None:
    assert one_way(0.1, 0.04) == pytest.approx(0.09)
    assert one_way(None) == pytest.approx(0.06)


ANY = st.floats(-10, 10)


@given(ANY, ANY, ANY)
def test_whatever_is_counted_the_score_is_one(loss: float, ratio: float, delay: float) -> None:
    for codec in CODECS.values():
        r = rating(codec, loss, burst_ratio=ratio, delay=delay)
        assert 0 <= r <= 93.2
        assert 1.0 <= mos(r) <= 4.5


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100))
def test_more_loss_is_never_better(one: float, other: float, r: float) -> None:
    less, more = sorted((one, other))
    assert rating(CONCEALED, less) >= rating(CONCEALED, more)
    assert mos(r) <= mos(min(100.0, r + 1)) + 1e-9
