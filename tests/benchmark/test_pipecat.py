"""What is made of two measurements."""

from __future__ import annotations

from .pipecat import Window, compared


def test_the_figures() -> None:
    cpu, theirs, ours, calls = compared(18.5, 1.84, 40, 810.0)
    assert str(cpu) == "= CPU against pipecat, 40 calls: 10.05 times less (at least 10)"
    assert str(theirs) == "= calls on one core, pipecat: 40"
    assert str(ours) == "= calls on one core, gateway: 810"
    assert str(calls) == "= calls on one core against pipecat: 20.25 times (at least 20)"
    assert cpu.reached
    assert calls.reached


def test_a_core_that_carries_none() -> None:
    assert compared(18.4, 1.84, 0, 0.0)[-1].value == 0


def test_sound_is_lost_each_way() -> None:
    assert Window(40, 18.0, 0.7, heard=0.99, said=1.0).carried
    assert not Window(40, 18.0, 0.7, heard=0.96, said=1.0).carried
    assert not Window(40, 18.0, 0.7, heard=1.0, said=0.8).carried
