"""Which line of the script comes next (pure).

In this order: text that the instructions ask for by "Say exactly: …"; the answer to a keypad
entry; the greeting, while nobody has said anything; the next turn of the script.
"""

from __future__ import annotations

import re

from .items import Item, Items
from .script import Script, Turn

EXACTLY = "Say exactly:"
THE_END = "I am only a simulator, and this is the end of my script."
ASIDE = "This answer is not part of the conversation."
STILL_THERE = "Are you still there?"


class Prompter:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._next = 0  # turn
        self._greeted = False

    @property
    def hears(self) -> str:
        """What the user is saying in the turn that comes next."""
        turns = self._script.turns
        return turns[self._next].hears if self._next < len(turns) else ""

    def turn(self) -> Turn:
        """The next turn of the script, to answer speech."""
        self._greeted = True
        if self._next == len(self._script.turns):
            return Turn(say=(THE_END,))
        self._next += 1
        return self._script.turns[self._next - 1]

    def answer(self, instructions: str, items: Items, prompt: Item | None) -> Turn:
        """To a response.create in the default conversation; `prompt` is its newest item."""
        exact = exactly(instructions)
        if exact:
            self._greeted = True
            return Turn(say=(exact,))
        entry = _keypad(prompt)
        if entry:
            return self._digits(entry)
        unheard = not any(item.role in ("user", "assistant") for item in items)
        if self._script.greeting and unheard and not self._greeted:
            self._greeted = True
            return Turn(say=(self._script.greeting,))
        return self.turn()

    def aside(self, instructions: str, prompt: Item | None) -> Turn:
        """To a response.create outside the conversation: the script does not move on."""
        exact = exactly(instructions)
        entry = _keypad(prompt)
        if entry and not exact:
            return self._digits(entry)
        return Turn(say=(exact or ASIDE,))

    def _digits(self, entry: str) -> Turn:
        digits = self._script.digits
        default = Turn(say=(f"You entered {', '.join(entry)}.",))
        return digits.get(entry, digits.get("*", default))


def exactly(instructions: str) -> str:
    """What is to be said word for word, or nothing."""
    _, marker, words = instructions.rpartition(EXACTLY)
    words = words.strip() if marker else ""
    if len(words) > 1 and words[0] == words[-1] == '"':
        words = words[1:-1].strip()
    return words


def _keypad(prompt: Item | None) -> str:
    """The digits of a user item "Keypad: 4711", or nothing."""
    if prompt is None or prompt.role != "user":
        return ""
    entry = re.fullmatch(r"Keypad: ([0-9A-D*#]+)", prompt.text)
    return entry[1] if entry else ""
