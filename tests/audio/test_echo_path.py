"""An echo is known by its levels, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.echo_path import FLOOR, EchoPath, levels
from gateway.audio.frame import Samples, silence

from .sounds import babble, echo


def told(sent: Samples, heard: Samples) -> EchoPath:
    path = EchoPath()
    near, far = levels(heard, 80), levels(sent, 80)
    for at in range(0, len(far), 2):
        path.push(near[at : at + 2], far[at : at + 2])
    return path


def speech(seconds: int) -> Samples:
    sound = babble(seconds, 30).astype(float)
    sound *= 6000 / np.sqrt(np.mean(sound**2))
    samples: Samples = np.rint(sound).clip(-32768, 32767).astype(np.int16)
    return samples


def test_levels_are_dbfs() -> None:
    loud = np.full(160, 16384, np.int16)
    assert levels(np.concatenate((loud, silence(80))), 80).tolist() == pytest.approx(
        [-6.02, -6.02, -100], abs=0.01
    )


@pytest.mark.parametrize("loss", [12, 30])
@pytest.mark.parametrize("delay", [0.02, 0.3, 0.9, 1.2])
def test_delay_and_gain(delay: float, loss: float) -> None:
    sent = speech(6)
    heard = np.rint(echo(sent, loss=loss, delay=delay, seed=4)).astype(np.int16)
    path = told(sent, heard)
    assert path.verdict == "found"
    assert abs(path.lag * 0.01 - delay) < 0.011
    assert path.gain == pytest.approx(-loss, abs=6)


def test_before_enough_was_said_nothing_is_known() -> None:
    assert told(speech(1)[:3200], silence(3200)).verdict == "learning"


def test_an_echo_moves_when_it_has_moved_for_long() -> None:
    """And not because somebody spoke for a moment."""
    sent = speech(20)
    first = np.rint(echo(sent, loss=20, delay=0.1)).astype(np.int16)
    second = np.rint(echo(sent, loss=20, delay=0.5)).astype(np.int16)
    moved = np.concatenate((first[:48000], second[48000:]))
    assert told(sent[:48000], moved[:48000]).lag in (10, 11)
    assert told(sent[:56000], moved[:56000]).lag in (10, 11)
    assert told(sent, moved).lag in (50, 51)


def test_the_loudest() -> None:
    path = EchoPath()
    path.push(np.full(2, FLOOR), np.array([-20.0, -30.0]))
    path.push(np.full(2, FLOOR), np.array([-40.0, -90.0]))
    assert [path.loudest(at, at) for at in range(4)] == [FLOOR, -40, -30, -20]
    assert path.loudest(-2, 2) == -30


def test_we_are_quiet_when_no_echo_can_come_any_more() -> None:
    path = EchoPath()
    assert path.quiet
    path.push(np.full(2, FLOOR), np.full(2, -20.0))
    assert not path.quiet
    path.rest(127)
    assert not path.quiet
    path.rest(1)
    assert path.quiet
