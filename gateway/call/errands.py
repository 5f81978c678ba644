"""Errands: what the model asked for and is not done yet, one after the other. Pure.

To press keys, to transfer the caller, to end the call: each begins when what the model said before
it was heard, at most 10 s later.

    waiting ── heard, or 10 s ──▶ pressing ──▶ done: the model is told, and goes on
       │                     └──▶ transferring ── failed ──▶ the model is told, and goes on
       │                     │                └── answered ──▶ nobody is left to be told
       │                     └──▶ the call ends
       └── the caller interrupts: who is about to leave stays, and the model is told; keys are
           pressed all the same, since a menu talks on while it waits for them

How the keys leave is the line's, how a transfer goes is transfer.py's work.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.realtime import events as ev

from .record import ToolUse
from .tools import DigitsAsked, FunctionCall, HangUpAsked, TransferAsked

LONGEST_WAIT = 10.0  # s after which what was asked for begins, heard or not
LONGEST_DIAL = 30.0  # s in which all keys have left, or it is given up: the call may be on hold
MOST_TRANSFERS = 3  # in one call

Asked = HangUpAsked | TransferAsked | DigitsAsked


@dataclass(slots=True)
class _Errand:
    call: FunctionCall
    use: ToolUse
    asked: Asked
    since: float
    due: float  # begins then; of keys that are being pressed: given up then
    begun: bool = False

    @property
    def leaves(self) -> bool:
        """The model and the caller part."""
        return not isinstance(self.asked, DigitsAsked)


class Errands:
    """Those of one call. `playout_delay` in s: how long the far end still plays what was sent."""

    def __init__(self, playout_delay: float) -> None:
        self._playout_delay = playout_delay
        self._waiting: deque[_Errand] = deque()  # the first one may have begun
        self._transfers = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def away(self) -> bool:
        """The caller is being transferred: the model neither hears nor says anything."""
        first = self._first
        return bool(first and first.begun and isinstance(first.asked, TransferAsked))

    @property
    def deadline(self) -> float | None:
        """When the first one is due; None: there is none, or it ends by itself."""
        return None if self.away or not self._waiting else self._waiting[0].due

    def ask(self, call: FunctionCall, use: ToolUse, asked: Asked, now: float) -> str | None:
        """Take one more; else a reason that the model can act on."""
        errand = _Errand(call, use, asked, now, now + LONGEST_WAIT)
        if errand.leaves and any(it.leaves for it in self._waiting):
            return "The call is being ended or transferred already."
        if isinstance(asked, TransferAsked):
            if self._transfers >= MOST_TRANSFERS:
                return "Too many transfers in this call. Do not try again."
            self._transfers += 1
        self._waiting.append(errand)
        return None

    def heard(self, now: float) -> None:
        """All that the model said so far has left for the caller."""
        first = self._first
        if first and not first.begun:
            delay = self._playout_delay if first.leaves else 0.0
            first.due = min(first.due, now + delay)

    def take_due(self, now: float) -> Asked | None:
        """What is to begin now: its time has come."""
        first = self._first
        if first is None or first.begun or now < first.due:
            return None
        first.begun = True
        first.due = now + LONGEST_DIAL
        return first.asked

    def take_stuck(self, now: float) -> list[ev.ClientEvent]:
        """Give up keys that do not leave."""
        first = self._first
        if first is None or first.leaves or not first.begun or now < first.due:
            return []
        return self._end(first, {"error": "The keys could not be sent."}, now, ok=False)

    def interrupted(self, now: float) -> list[ev.ClientEvent]:
        """The caller speaks: whoever is about to leave stays."""
        out: list[ev.ClientEvent] = []
        for errand in [it for it in self._waiting if it.leaves and not it.begun]:
            self._waiting.remove(errand)
            done = "ended" if isinstance(errand.asked, HangUpAsked) else "transferred"
            said = {done: False, "reason": "The caller interrupted: the call goes on."}
            out.append(_output(errand, said, now, ok=False))
        self.heard(now)
        return out

    def pressed(self, now: float) -> list[ev.ClientEvent]:
        """All keys have left."""
        first = self._first
        if first is None or not first.begun or not isinstance(first.asked, DigitsAsked):
            return []
        return self._end(first, {"sent": first.asked.digits}, now, ok=True)

    def transferred(self, now: float) -> None:
        """Somebody else answered: the caller is in other hands."""
        if self.away:
            errand = self._waiting.popleft()
            errand.use.ms = round((now - errand.since) * 1000)

    def not_transferred(self, error: Mapping[str, Any], now: float) -> list[ev.ClientEvent]:
        """Nobody answered: the conversation goes on. `error` is what the model is told."""
        first = self._first
        return self._end(first, error, now, ok=False) if first and self.away else []

    def close(self) -> None:
        """The call is over: what was not done by then was not done."""
        for errand in self._waiting:
            ends = errand.begun and isinstance(errand.asked, HangUpAsked)
            errand.use.ok = errand.use.ok and ends

    @property
    def _first(self) -> _Errand | None:
        return self._waiting[0] if self._waiting else None

    def _end(
        self, errand: _Errand, said: Mapping[str, Any], now: float, *, ok: bool
    ) -> list[ev.ClientEvent]:
        """Tell the model; it goes on when nothing else is to be done."""
        self._waiting.popleft()
        out: list[ev.ClientEvent] = [_output(errand, said, now, ok=ok)]
        if not self._waiting:
            return [*out, ev.ResponseCreate()]
        self.heard(now)
        return out


def _output(errand: _Errand, said: Mapping[str, Any], now: float, *, ok: bool) -> ev.ClientEvent:
    errand.use.ok, errand.use.ms = ok, round((now - errand.since) * 1000)
    item = ev.function_output_item(errand.call.call_id, json.dumps(said))
    return ev.ConversationItemCreate(item=item)
