"""How many calls a core carries, and what is wanted of them."""

from __future__ import annotations

import pytest

from .verdict import LATE, PLAIN, Figures, Way, enough, most_of, reached, rival

GOOD = Figures(0.7, 0.5, (0.05, 0.9, 3.0), 1.0, 0.999, 0.3, disturbed=False)
LATER = Figures(0.7, 0.5, (0.05, LATE, 9.0), 1.0, 0.999, 0.3, disturbed=False)
UNHEARD = Figures(0.7, 0.5, (0.05, 0.9, 3.0), 0.99, 1.0, 0.3, disturbed=False)
LOST = Figures(0.7, 0.5, (0.05, 0.9, 3.0), 1.0, 0.99, 0.3, disturbed=False)


def test_a_window_is_good_in_time_and_without_loss() -> None:
    assert [it.good for it in (GOOD, LATER, UNHEARD, LOST)] == [True, False, False, False]


def test_one_bad_window_of_three_is_an_accident() -> None:
    assert enough([GOOD, LATER, GOOD])
    assert not enough([LOST, GOOD, LATER])
    assert enough([GOOD])
    assert not enough([LATER])


@pytest.mark.parametrize("start", [100, 500, 700, 800, 1200])
def test_the_most_is_the_same_from_wherever_it_is_sought(start: int) -> None:
    assert most_of(start, lambda calls: calls <= 750) == 700


def test_nothing_may_be_carried_at_all() -> None:
    tried: list[int] = []

    def carries(calls: int) -> bool:
        tried.append(calls)
        return False

    assert most_of(300, carries) == 0
    assert tried == [300, 200, 100]


def test_what_is_wanted() -> None:
    """Each way has its rival, and its limits."""
    wanted = {
        (way, it.name.split(",")[0]): it.wanted
        for way in (PLAIN, Way(srtp=True), Way(straight=True))
        for it in reached(500, [GOOD], [1.0], way)
    }
    assert wanted[PLAIN, "CPU against a C program"] == 1.6
    assert wanted[Way(srtp=True), "CPU against plain RTP"] is None
    assert wanted[Way(straight=True), "CPU against PCM 24 kHz"] == 0.7
    assert wanted[Way(srtp=True), "pacing p99"] == 1.0
    assert reached(600, [GOOD], [1.0], Way(srtp=True))[1].wanted == LATE
    assert rival(Way(straight=True, srtp=True))[1] == Way(srtp=True)
