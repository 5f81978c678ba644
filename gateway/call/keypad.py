"""Keypad: single digits become entries. Pure.

An entry begins with its first digit and ends by its terminator, by its length, or when no digit
follows for `timeout` seconds. The terminator is not part of the entry; alone it is an entry of
its own. Where the digits come from (RFC 4733, INFO, tones, a server) does not matter here.
"""

from __future__ import annotations

from dataclasses import dataclass

DIGITS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class Begun:
    """The first digit of an entry was pressed."""


@dataclass(frozen=True, slots=True)
class Entered:
    """An entry is complete."""

    digits: str


KeypadEvent = Begun | Entered


class Keypad:
    """Collects the digits of one call; `timeout` in seconds."""

    def __init__(self, *, terminator: str | None, max_digits: int, timeout: float) -> None:
        self._terminator = terminator
        self._max_digits = max_digits
        self._timeout = timeout
        self._digits = ""
        self.deadline: float | None = None

    def press(self, digit: str, now: float) -> list[KeypadEvent]:
        """Take one digit. What is no digit of RFC 4733 (0-9 * # A-D) is passed over."""
        if len(digit) != 1 or digit not in DIGITS:
            return []
        events: list[KeypadEvent] = [] if self._digits else [Begun()]
        if digit == self._terminator:
            return [*events, self._end(self._digits or digit)]
        self._digits += digit
        if len(self._digits) >= self._max_digits:
            return [*events, self._end(self._digits)]
        self.deadline = now + self._timeout
        return events

    def handle_timer(self, now: float) -> list[KeypadEvent]:
        """End the entry when its pause is over."""
        if self.deadline is None or now < self.deadline:
            return []
        return [self._end(self._digits)]

    def _end(self, digits: str) -> Entered:
        self._digits = ""
        self.deadline = None
        return Entered(digits)
