"""What an echo can be is held down, and what it cannot be is not."""

from __future__ import annotations

import numpy as np

from gateway.audio.echo_guard import EchoGuard
from gateway.audio.echo_path import EchoPath
from gateway.audio.frame import Samples


def level(dbfs: float) -> Samples:
    """20 ms of a square wave."""
    return np.tile(np.array([1, -1], np.int16), 80) * np.int16(round(32768 * 10 ** (dbfs / 20)))


def guard(lag: int | None = 5, gain: float = -20.0) -> tuple[EchoPath, EchoGuard]:
    """With an echo of us that is found, or none yet."""
    path = EchoPath()
    if lag is not None:
        path.verdict, path.lag, path.gain = "found", lag, gain
    return path, EchoGuard(path, 80)


def pushed(path: EchoPath, it: EchoGuard, plain: float, clean: float, times: int) -> Samples:
    """While we speak at -20 dBFS."""
    for _ in range(times):
        path._sent[:] = -20.0  # as after a long while of it
        sound = it.push(level(plain), level(clean))
    return sound


def test_an_echo_is_held_down_before_the_canceller_has_learnt() -> None:
    path, it = guard()
    assert np.abs(pushed(path, it, -40, -40, 5)).max() < 20


def test_a_loud_caller_goes_around_it_then() -> None:
    """The canceller would take her away, too."""
    path, it = guard()
    assert pushed(path, it, -20, -60, 5).tolist() == level(-20).tolist()


def test_afterwards_remains_are_held_down_and_callers_are_not() -> None:
    path, it = guard()
    pushed(path, it, -40, -70, 200)
    assert np.abs(pushed(path, it, -40, -48, 5)).max() < 10
    assert pushed(path, it, -38, -38, 5).tolist() == level(-38).tolist()


def test_it_learns_how_much_the_canceller_leaves() -> None:
    path, it = guard()
    pushed(path, it, -40, -41, 200)  # one that takes nothing away
    assert np.abs(pushed(path, it, -38, -39, 5)).max() < 20


def test_one_loud_block_is_no_caller() -> None:
    path, it = guard()
    click = np.concatenate((level(-20)[:80], level(-60)[:80]))
    pushed(path, it, -40, -70, 200)
    assert np.abs(it.push(click, click)).max() < 200


def test_while_nothing_is_known_only_what_is_nearly_as_loud_as_we_are() -> None:
    path, it = guard(None)
    assert np.abs(pushed(path, it, -32, -32, 5)).max() < 40
    path, it = guard(None)
    assert pushed(path, it, -22, -22, 5).tolist() == level(-22).tolist()


def test_where_there_is_no_echo_everything() -> None:
    path, it = guard()
    path.verdict = "none"
    assert pushed(path, it, -50, -50, 5).tolist() == level(-50).tolist()
