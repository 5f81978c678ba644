"""Lateness is measured against an even row, and too much of it is told; with hysteresis."""

from __future__ import annotations

import timeit

import pytest

from gateway.call.lateness import BOUNDS, TICK, WINDOW, Histogram, Lateness

LIMIT = 0.02


class Ticks:
    """An even row of ticks from any moment on, of which some begin late."""

    def __init__(self, limit: float = LIMIT, first: float = 1000.0) -> None:
        self.lateness = Lateness(limit)
        self._due = first

    def run(self, count: int, late: float = 0.0, work: float = 0.001, missed: int = 0) -> None:
        for _ in range(count):
            self._due += missed * TICK
            self.lateness.note(self._due + late, missed, work)
            self._due += TICK


def test_a_value_is_counted_at_the_first_bound_that_it_does_not_exceed() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        histogram.add(value)
    assert histogram.cumulated == [2, 3, 4]
    assert histogram.total == 10.0


def test_ticks_in_time_are_not_late() -> None:
    ticks = Ticks()
    ticks.run(WINDOW)
    late = ticks.lateness.late
    assert late.cumulated == [WINDOW] * (len(BOUNDS) + 1)
    assert ticks.lateness.p99 == pytest.approx(0, abs=1e-9)
    assert ticks.lateness.missed == 0
    assert not ticks.lateness.overloaded


def test_the_row_is_where_the_earliest_tick_is() -> None:
    """The first tick of a process is a late one: nothing is warm yet."""
    ticks = Ticks()
    ticks.run(1, late=0.015)
    ticks.run(1)
    ticks.run(WINDOW, late=0.003)
    assert ticks.lateness.p99 == pytest.approx(0.003, abs=1e-9)


def test_ticks_that_were_left_out_were_due() -> None:
    ticks = Ticks()
    ticks.run(10)
    ticks.run(1, missed=7)
    ticks.run(WINDOW)
    assert ticks.lateness.missed == 7
    assert ticks.lateness.late.cumulated[0] == WINDOW + 11


def test_an_hour_does_not_move_the_row() -> None:
    ticks = Ticks()
    ticks.run(180_000)
    assert ticks.lateness.late.total < 1e-3
    assert ticks.lateness.p99 < 1e-6


class TestOverload:
    """More than one tick in a hundred is late by more than the limit, or there is no time left."""

    def test_one_tick_in_a_hundred_may_be_late(self) -> None:
        ticks = Ticks()
        ticks.run(200)
        ticks.run(2, late=0.5)
        ticks.run(48)
        assert not ticks.lateness.overloaded
        assert ticks.lateness.p99 < LIMIT

    def test_three_of_five_seconds_are_too_many(self) -> None:
        ticks = Ticks()
        ticks.run(200)
        for _ in range(3):
            ticks.run(1, late=0.021)
            ticks.run(10)
        ticks.run(17)
        assert ticks.lateness.overloaded
        assert ticks.lateness.p99 == pytest.approx(0.021)

    def test_the_limit_itself_is_none(self) -> None:
        ticks = Ticks()
        ticks.run(1)
        ticks.run(WINDOW - 1, late=0.0199)
        assert not ticks.lateness.overloaded

    def test_nothing_is_judged_before_five_seconds_have_passed(self) -> None:
        ticks = Ticks()
        ticks.run(1)
        ticks.run(WINDOW - 2, late=1.0)
        assert not ticks.lateness.overloaded
        ticks.run(1, late=1.0)
        assert ticks.lateness.overloaded

    def test_a_pause_is_none_however_long(self) -> None:
        """A pause of 1 s: 50 ticks are due, two of them run, and 48 are left out."""
        ticks = Ticks()
        ticks.run(WINDOW)
        ticks.run(1, missed=48, late=TICK)
        ticks.run(WINDOW)
        assert not ticks.lateness.overloaded
        assert ticks.lateness.missed == 48

    def test_ticks_that_take_most_of_the_time(self) -> None:
        ticks = Ticks()
        ticks.run(WINDOW, work=0.0159)
        assert not ticks.lateness.overloaded
        ticks.run(WINDOW, work=0.0161)
        assert ticks.lateness.overloaded
        assert ticks.lateness.busy == pytest.approx(0.805)

    def test_it_is_over_when_all_is_well_below_the_limits(self) -> None:
        ticks = Ticks()
        ticks.run(1)
        ticks.run(WINDOW - 1, late=0.025)
        assert ticks.lateness.overloaded
        ticks.run(2 * WINDOW, late=0.012)
        assert ticks.lateness.overloaded
        ticks.run(WINDOW, late=0.009, work=0.013)
        assert ticks.lateness.overloaded
        ticks.run(WINDOW, late=0.009, work=0.011)
        assert not ticks.lateness.overloaded

    def test_without_a_limit_nothing_is_too_late(self) -> None:
        ticks = Ticks(limit=0.0)
        ticks.run(1)
        ticks.run(2 * WINDOW, late=3.0, work=0.02)
        assert not ticks.lateness.overloaded
        assert ticks.lateness.p99 == pytest.approx(3.0)


def test_it_costs_next_to_nothing() -> None:
    """Once a tick, however many calls there are: 20 us would be a thousandth of it."""
    ticks = Ticks()
    assert min(timeit.repeat(lambda: ticks.run(1000), number=1, repeat=5)) / 1000 < 20e-6
