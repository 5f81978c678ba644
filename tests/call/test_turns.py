"""How long each answer took, from the end of the caller's turn."""

from __future__ import annotations

from gateway.call.record import Turn
from gateway.call.turns import Turns


def measured() -> tuple[Turns, list[Turn]]:
    turns: list[Turn] = []
    return Turns(turns, wall=lambda now: now + 1_800_000_000), turns


def test_each_step_of_an_answer() -> None:
    turns, kept = measured()
    turns.stopped(10.0)
    turns.created("resp_1", 10.03)
    turns.delta("resp_1", 10.43)
    turns.delta("resp_1", 10.6)
    turns.sent("resp_1", 10.45)
    turns.sent("resp_1", 11.0)

    assert kept == [Turn(1_800_000_010.0, 30, 430, 450)]


def test_another_response_is_not_the_answer() -> None:
    """One that was there before, or comes after."""
    turns, kept = measured()
    turns.created("resp_0", 9.0)
    turns.stopped(10.0)
    turns.delta("resp_0", 10.1)
    turns.created("resp_1", 10.2)
    turns.created("resp_2", 10.3)
    turns.sent("resp_2", 10.4)

    assert kept == [Turn(1_800_000_010.0, 200, None, None)]


def test_before_the_first_turn_nothing_is_measured() -> None:
    turns, kept = measured()
    turns.created("resp_1", 1.0)
    turns.delta("resp_1", 1.0)
    turns.sent("resp_1", 1.0)

    assert kept == []
