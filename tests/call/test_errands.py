"""What the model asked for: when each begins, and what the model is told of its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.call.errands import LONGEST_DIAL, LONGEST_WAIT, MOST_TRANSFERS, Asked, Errands
from gateway.call.record import ToolUse
from gateway.call.tools import DigitsAsked, FunctionCall, HangUpAsked, TransferAsked
from gateway.realtime import events as ev

END, SALES, KEYS = HangUpAsked(), TransferAsked("sales"), DigitsAsked("12#")
DELAY = 0.06  # s


class Desk:
    def __init__(self) -> None:
        self.now = 100.0
        self.errands = Errands(DELAY)
        self.uses: list[ToolUse] = []

    def ask(self, asked: Asked) -> str | None:
        self.uses.append(ToolUse("f", 0, True))
        call = FunctionCall(f"call_{len(self.uses)}", "f", "{}")
        return self.errands.ask(call, self.uses[-1], asked, self.now)

    def due(self, now: float) -> Asked | None:
        self.now = now
        return self.errands.take_due(now)


def told(events: Sequence[ev.ClientEvent]) -> list[Any]:
    """Outputs of functions as (call, output), and other events as they are."""
    out: list[Any] = []
    for event in events:
        if isinstance(event, ev.ConversationItemCreate):
            out.append((event.item.call_id, json.loads(event.item.output or "")))
        else:
            out.append(event)
    return out


class TestWaiting:
    """Each begins when what was said before it was heard, or after ten seconds."""

    def test_nothing_is_due_where_nothing_was_asked(self) -> None:
        desk = Desk()
        assert not desk.errands
        assert desk.errands.deadline is None
        assert desk.due(200) is None

    @pytest.mark.parametrize("asked", [END, SALES])
    def test_who_leaves_waits_for_the_far_ends_jitter_buffer(self, asked: Asked) -> None:
        desk = Desk()
        desk.ask(asked)
        desk.errands.heard(101)
        assert desk.errands.deadline == 101 + DELAY
        assert desk.due(101) is None
        assert desk.due(101 + DELAY) == asked
        assert desk.due(101 + DELAY) is None  # it has begun

    def test_keys_follow_at_once(self) -> None:
        desk = Desk()
        desk.ask(KEYS)
        desk.errands.heard(101)
        assert desk.due(101) == KEYS

    @pytest.mark.parametrize("asked", [END, SALES, KEYS])
    def test_nobody_waits_for_ever(self, asked: Asked) -> None:
        desk = Desk()
        desk.ask(asked)
        assert desk.errands.deadline == 100 + LONGEST_WAIT
        assert desk.due(100 + LONGEST_WAIT) == asked

    def test_a_second_silence_postpones_nothing(self) -> None:
        desk = Desk()
        desk.ask(END)
        desk.errands.heard(101)
        desk.errands.heard(101.03)
        assert desk.errands.deadline == 101 + DELAY


class TestKeys:
    def test_the_model_is_told_when_they_have_left(self) -> None:
        desk = Desk()
        desk.ask(KEYS)
        desk.errands.heard(100)
        desk.due(100)
        assert told(desk.errands.pressed(101.5)) == [
            ("call_1", {"sent": "12#"}),
            ev.ResponseCreate(),
        ]
        assert (desk.uses[0].ms, desk.uses[0].ok) == (1500, True)
        assert not desk.errands

    def test_keys_that_do_not_leave_are_given_up(self) -> None:
        """The call may be on hold."""
        desk = Desk()
        desk.ask(KEYS)
        desk.errands.heard(100)
        desk.due(100)
        assert desk.errands.deadline == 100 + LONGEST_DIAL
        assert desk.errands.take_stuck(101) == []
        (error, _) = told(desk.errands.take_stuck(100 + LONGEST_DIAL))
        assert error == ("call_1", {"error": "The keys could not be sent."})
        assert not desk.uses[0].ok
        assert desk.errands.pressed(140) == []

    def test_one_after_the_other_and_then_one_response(self) -> None:
        """Keys, more keys, and the end of the call when the last of them have left."""
        desk = Desk()
        desk.ask(KEYS)
        desk.ask(DigitsAsked("5"))
        desk.ask(END)
        desk.errands.heard(100)
        assert desk.due(100) == KEYS
        assert told(desk.errands.pressed(101)) == [("call_1", {"sent": "12#"})]
        assert desk.due(101) == DigitsAsked("5")
        assert told(desk.errands.pressed(102)) == [("call_2", {"sent": "5"})]
        assert desk.due(102) is None
        assert desk.due(102 + DELAY) == END

    def test_keys_that_nobody_pressed_are_not_told(self) -> None:
        desk = Desk()
        assert desk.errands.pressed(100) == []
        desk.ask(KEYS)
        assert desk.errands.pressed(100) == []


class TestInterruption:
    @pytest.mark.parametrize(("asked", "word"), [(END, "ended"), (SALES, "transferred")])
    def test_who_is_about_to_leave_stays(self, asked: Asked, word: str) -> None:
        desk = Desk()
        desk.ask(asked)
        ((call, output),) = told(desk.errands.interrupted(101))
        assert (call, output[word]) == ("call_1", False)
        assert not desk.uses[0].ok
        assert not desk.errands

    def test_keys_are_pressed_all_the_same(self) -> None:
        """A menu talks on while it waits for them; what was said before was cut short."""
        desk = Desk()
        desk.ask(KEYS)
        assert desk.errands.interrupted(101) == []
        assert desk.due(101) == KEYS

    def test_what_has_begun_goes_on(self) -> None:
        desk = Desk()
        desk.ask(SALES)
        desk.due(100 + LONGEST_WAIT)
        assert desk.errands.interrupted(111) == []
        assert desk.errands.away


class TestTransfer:
    def begin(self, desk: Desk) -> None:
        assert desk.ask(SALES) is None
        desk.errands.heard(desk.now)
        assert desk.due(desk.now + DELAY) == SALES

    def test_it_ends_by_itself(self) -> None:
        desk = Desk()
        self.begin(desk)
        assert desk.errands.away
        assert desk.errands.deadline is None
        desk.errands.transferred(desk.now + 5)
        assert not desk.errands.away
        assert desk.uses[0] == ToolUse("f", 5060, True)

    def test_or_the_model_is_told_why_not(self) -> None:
        desk = Desk()
        self.begin(desk)
        busy = {"error": "busy", "status": 486}
        assert told(desk.errands.not_transferred(busy, desk.now)) == [
            ("call_1", busy),
            ev.ResponseCreate(),
        ]
        assert not desk.uses[0].ok

    def test_nothing_is_told_of_none(self) -> None:
        desk = Desk()
        desk.errands.transferred(100)
        assert desk.errands.not_transferred({}, 100) == []
        desk.ask(SALES)
        assert desk.errands.not_transferred({}, 100) == []

    def test_one_at_a_time(self) -> None:
        desk = Desk()
        desk.ask(SALES)
        assert desk.ask(SALES) == "The call is being ended or transferred already."
        assert desk.ask(END) == "The call is being ended or transferred already."
        assert desk.ask(KEYS) is None

    def test_three_in_a_call(self) -> None:
        desk = Desk()
        for _ in range(MOST_TRANSFERS):
            self.begin(desk)
            desk.errands.not_transferred({"error": "busy"}, desk.now)
        assert desk.ask(SALES) == "Too many transfers in this call. Do not try again."
        assert desk.ask(END) is None


class TestEnd:
    """The call is over: the record says what came of each."""

    @pytest.mark.parametrize(
        ("asked", "begun", "ok"),
        [(END, True, True), (END, False, False), (SALES, True, False), (KEYS, True, False)],
    )
    def test_what_was_not_done_by_then_was_not_done(
        self, asked: Asked, begun: bool, ok: bool
    ) -> None:
        desk = Desk()
        desk.ask(asked)
        if begun:
            assert desk.due(200) == asked
        desk.errands.close()
        assert desk.uses[0].ok is ok
