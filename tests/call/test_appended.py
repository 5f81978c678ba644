"""The server's milliseconds become moments."""

from __future__ import annotations

import pytest

from gateway.call.appended import MEMORY, Appended


def test_when_a_sound_arrived() -> None:
    appended = Appended(24000)
    for number in range(1, 11):
        appended.add(960, 100 + number * 0.04)  # 40 ms each

    assert appended.seconds == pytest.approx(0.4)
    assert appended.arrived(40) == pytest.approx(100.04)
    assert appended.arrived(60) == pytest.approx(100.06)
    assert appended.arrived(400) == pytest.approx(100.4)


def test_a_pause_is_no_time_of_the_session() -> None:
    appended = Appended(24000)
    appended.add(24000, 1.0)
    appended.add(24000, 11.0)

    assert appended.arrived(1500) == pytest.approx(10.5)


def test_what_has_not_come_is_not_known() -> None:
    assert Appended(24000).arrived(0) is None


def test_what_is_long_ago_is_placed_no_earlier_than_what_is_remembered() -> None:
    appended = Appended(8000)
    for number in range(MEMORY + 100):
        appended.add(80, float(number))
    oldest = appended.arrived(0)

    assert oldest is not None
    assert oldest < 100
