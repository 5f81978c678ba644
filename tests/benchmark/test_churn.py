"""What counts as flat."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .churn import EVERY, Sample, growth, verdict


def run(seconds: float, memory: Callable[[float], float], tasks: int = 600) -> list[Sample]:
    return [
        Sample(at * EVERY, memory(at * EVERY), 900, tasks, 200)
        for at in range(round(seconds / EVERY))
    ]


def test_what_stays_is_flat() -> None:
    figures = verdict(run(1800, lambda at: 300.0))
    assert [it.value for it in figures] == [0, 0, 0]
    assert all(it.reached and it.wanted == 2.0 for it in figures)


def test_a_leak_is_not() -> None:
    """A kilobyte a call, of ten a second: 18 MB in half an hour."""
    memory, descriptors, tasks = verdict(run(1800, lambda at: 300 + at / 100))
    assert memory.value == pytest.approx(3.6, abs=0.2)
    assert not memory.reached
    assert descriptors.reached and tasks.reached


def test_the_warm_up_does_not_count() -> None:
    assert growth(run(1800, lambda at: min(300.0, 100 + 2 * at)), "memory") == 0


def test_a_peak_does_not_count() -> None:
    peak = run(1800, lambda at: 900.0 if 1700 < at < 1760 else 300.0)
    assert growth(peak, "memory") == 0


def test_a_short_run_is_not_judged() -> None:
    assert [it.wanted for it in verdict(run(60, lambda at: 100 + at))] == [None] * 3
