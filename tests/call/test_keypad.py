"""Digits become entries."""

from __future__ import annotations

from gateway.call.keypad import Begun, Entered, Keypad, KeypadEvent


def keypad(terminator: str | None = "#", max_digits: int = 20) -> Keypad:
    return Keypad(terminator=terminator, max_digits=max_digits, timeout=3.0)


def press(pad: Keypad, digits: str) -> list[KeypadEvent]:
    return [event for digit in digits for event in pad.press(digit, 0.0)]


def test_the_terminator_ends_an_entry_and_is_no_part_of_it() -> None:
    pad = keypad()
    assert press(pad, "4711#") == [Begun(), Entered("4711")]
    assert pad.deadline is None


def test_a_lone_terminator_is_an_entry() -> None:
    assert press(keypad(), "#") == [Begun(), Entered("#")]


def test_an_entry_ends_when_it_is_full() -> None:
    assert press(keypad(max_digits=3), "12345") == [Begun(), Entered("123"), Begun()]


def test_an_entry_ends_by_a_pause() -> None:
    pad = keypad()
    pad.press("1", 10.0)
    pad.press("2", 12.0)

    assert pad.deadline == 15.0
    assert pad.handle_timer(14.9) == []
    assert pad.handle_timer(15.0) == [Entered("12")]
    assert pad.handle_timer(99.0) == []


def test_without_a_terminator_each_key_is_a_digit() -> None:
    pad = keypad(terminator=None)
    press(pad, "1#")
    assert pad.handle_timer(3.0) == [Entered("1#")]


def test_what_is_no_digit_is_passed_over() -> None:
    """A server may send anything as a digit."""
    pad = keypad()
    assert press(pad, "x ²") == []
    assert pad.press("12", 0.0) == []
    assert pad.press("", 0.0) == []
    assert pad.deadline is None
