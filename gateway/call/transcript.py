"""Transcript: who said what, as the record keeps it. Pure.

The assistant's words come beside its sound and say nothing of when each is spoken, so a reply that
was interrupted is cut at the share of its sound that was heard, back to a whole word. The server
wipes its own transcript of a truncated item; this one is ours. The caller's words come late, from
a recogniser of their own, so their line is kept free for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["caller", "assistant"]


@dataclass(slots=True)
class Utterance:
    """What one item says; empty while it is not known, or where nothing of it was heard."""

    role: Role
    text: str
    item_id: str


class Transcript:
    """Writes `lines` in the order of speaking; None keeps nothing.

    `cumulative`: the caller's transcripts repeat all those before them (Yandex).
    """

    def __init__(self, lines: list[Utterance] | None, *, cumulative: bool = False) -> None:
        self._lines = lines
        self._cumulative = cumulative
        # of a cumulative transcript: the item, all that was said with it, and before it
        self._last = ("", "", "")

    def expect(self, item_id: str) -> None:
        """The caller's turn is here; its words come later."""
        self._line("caller", item_id)

    def caller(self, item_id: str, transcript: str) -> None:
        """What the caller said, all of the item."""
        text = transcript
        if self._cumulative:
            last_item, last, before = self._last
            before = before if item_id == last_item else last
            self._last = (item_id, transcript, before)
            text = transcript.removeprefix(before)
        if line := self._line("caller", item_id):
            line.text = text.strip()

    def assistant(self, item_id: str, text: str, *, more: bool = False) -> None:
        """What the assistant says: all of the item, or more of it."""
        if line := self._line("assistant", item_id):
            line.text = line.text + text if more else text

    def cut(self, item_id: str, share: float) -> None:
        """Only so much of the item (0 to 1) was heard."""
        if line := self._line("assistant", item_id):
            text = line.text
            kept = text[: int(len(text) * share)]
            if len(kept) < len(text) and not text[len(kept)].isspace():
                kept = kept.rpartition(" ")[0]  # the word at the cut was not heard whole
            line.text = kept.rstrip()

    def _line(self, role: Role, item_id: str) -> Utterance | None:
        if self._lines is None:
            return None
        for line in reversed(self._lines):
            if line.item_id == item_id:
                return line
        self._lines.append(Utterance(role, "", item_id))
        return self._lines[-1]
