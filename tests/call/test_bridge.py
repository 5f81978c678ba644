"""What the gateway does when the caller or the model does something.

The numbers in brackets are those of the 23 mistakes that clients of the Realtime API make. After
n frames of a reply n * 20 - 2 ms were heard: the resampler is fed 2 ms ahead, which were silence.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.call.bridge import Action, HangUp, Note, Press, Send, Transfer
from gateway.call.digits import Digits
from gateway.call.errands import LONGEST_DIAL
from gateway.realtime import events as ev

from .talk import RATE, Talk


def truncate(item: str, ms: int, index: int = 0) -> Send:
    return Send(ev.ConversationItemTruncate(item_id=item, content_index=index, audio_end_ms=ms))


def delete(item: str) -> Send:
    return Send(ev.ConversationItemDelete(item_id=item))


def cancel(response: str | None) -> Send:
    return Send(ev.ResponseCancel(response_id=response))


CREATE = Send(ev.ResponseCreate())


# -- greeting


def test_the_greeting_is_said_exactly_with_the_agents_instructions() -> None:
    """[23] Instructions of a response replace the session's, so they are said again."""
    talk = Talk(instructions="You are a dentist.", greeting="Good day!")

    assert talk.bridge.open(talk.now) == [
        Send(
            ev.ResponseCreate(
                event_id="greeting",
                response={"instructions": "You are a dentist.\n\nSay exactly: Good day!"},
            )
        )
    ]


def test_without_a_greeting_the_caller_speaks_first() -> None:
    assert Talk().bridge.open(100.0) == []


def test_a_greeting_that_may_not_be_interrupted_is_heard_to_its_end() -> None:
    """The model hears silence meanwhile; then it hears the caller."""
    talk = Talk(greeting="Hello", interruptible=False)
    talk.bridge.open(talk.now)
    assert talk.line.uplink.deaf
    talk.create()
    talk.speak("item_1", 100)
    assert talk.interrupt() == []
    talk.finish("item_1")
    talk.done()
    assert talk.line.uplink.deaf

    talk.hear(8)

    assert not talk.line.uplink.deaf


def test_a_greeting_that_fails_leaves_nobody_deaf() -> None:
    talk = Talk(greeting="Hello", interruptible=False)
    talk.bridge.open(talk.now)
    talk.receive(ev.Error(error=ev.ErrorDetail(message="another's", event_id="event_1")))
    assert talk.line.uplink.deaf
    talk.receive(ev.Error(error=ev.ErrorDetail(message="no", event_id="greeting")))

    assert not talk.line.uplink.deaf


def test_a_greeting_that_fails_is_said_again() -> None:
    """[23] And not what the model makes of nothing."""
    talk = Talk(instructions="Be kind.", greeting="Hello")
    (create,) = talk.bridge.open(talk.now)
    talk.create()
    assert talk.receive(failed("server_error"))[1] == create


def test_a_greeting_without_sound_leaves_nobody_deaf() -> None:
    talk = Talk(greeting="Hello", interruptible=False)
    talk.bridge.open(talk.now)
    talk.create()
    talk.done(status="failed")

    assert not talk.line.uplink.deaf


# -- barge-in


def test_the_item_is_truncated_where_the_caller_stopped_hearing_it() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 2000)
    talk.hear(6)  # the first packet was prepared before the model spoke

    assert talk.interrupt() == [truncate("item_1", 98)]
    assert talk.record.barge_ins[0].heard_ms == 98
    assert talk.record.barge_ins[0].trigger == "speech"


def test_the_part_is_named_as_its_deltas_named_it() -> None:
    """[7] Yandex speaks in part 1."""
    talk = Talk()
    talk.create()
    talk.speak("item_1", 2000, index=1)
    talk.hear(3)

    assert talk.interrupt() == [truncate("item_1", 38, index=1)]


def test_what_was_heard_to_its_end_is_not_touched() -> None:
    """[3] The caller who answers after the reply interrupts nothing."""
    talk = Talk()
    talk.create()
    talk.speak("item_1", 60)
    talk.finish("item_1")
    talk.done()
    talk.hear(10)

    assert talk.interrupt() == []
    assert talk.record.barge_ins == []


def test_a_reply_that_is_generated_but_not_heard_yet_is_still_cut() -> None:
    """[9] response.done says that it was made, not that it was heard."""
    talk = Talk()
    talk.create()
    talk.speak("item_1", 5000)
    talk.finish("item_1")
    talk.done()
    talk.hear(11)

    assert talk.interrupt() == [truncate("item_1", 198)]


def test_nothing_is_truncated_before_the_first_delta() -> None:
    """[4] The server would say: only model output audio messages can be truncated."""
    talk = Talk()
    talk.create()
    talk.receive(ev.ResponseOutputItemAdded(response_id="resp_1", item=ev.Item("message")))

    assert talk.interrupt() == []


def test_an_item_of_which_nothing_was_heard_is_deleted() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 500)

    assert talk.interrupt() == [delete("item_1")]


def test_of_several_items_each_gets_what_it_deserves() -> None:
    """[2, 6] The first was heard, the second is at the playhead, the third was not reached."""
    talk = Talk()
    talk.create()
    talk.speak("item_1", 60)
    talk.finish("item_1")
    talk.speak("item_2", 1000)
    talk.finish("item_2")
    talk.speak("item_3", 1000)
    talk.hear(6)

    assert talk.interrupt() == [truncate("item_2", 38), delete("item_3")]


def test_an_item_in_two_parts_is_truncated_in_both_and_not_deleted() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 500, index=0)
    talk.speak("item_1", 500, index=1)
    talk.hear(3)

    assert talk.interrupt() == [truncate("item_1", 38, 0), truncate("item_1", 0, 1)]


def test_late_deltas_are_not_heard_and_their_items_deleted() -> None:
    """[8] Stragglers between the interruption and response.done."""
    talk = Talk()
    talk.create()
    talk.speak("item_1", 1000)
    talk.hear(3)
    talk.interrupt()
    talk.speak("item_1", 1000)
    talk.speak("item_2", 1000)
    talk.speak("item_2", 1000)
    assert talk.line.playout.idle

    assert talk.done(status="cancelled") == [delete("item_2")]


def test_the_next_response_is_heard() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 1000)
    talk.interrupt()
    talk.done(status="cancelled")
    talk.create("resp_2")
    talk.speak("item_2", 1000, "resp_2")
    talk.hear(3)

    assert talk.interrupt() == [truncate("item_2", 38)]


def test_a_second_speech_started_does_not_truncate_twice() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 1000)
    talk.hear(3)
    talk.interrupt()

    assert talk.interrupt() == []
    assert len(talk.record.barge_ins) == 1


def test_a_server_that_stops_by_itself_is_not_cancelled() -> None:
    """[13] The race would kill the next reply."""
    talk = Talk()
    talk.create()
    assert talk.interrupt() == []
    assert talk.bridge.deadline == pytest.approx(talk.now + 2.0)
    talk.done(status="cancelled")

    assert talk.bridge.deadline is None


def test_a_server_that_should_stop_and_does_not_is_cancelled_by_name() -> None:
    talk = Talk()
    talk.create()
    talk.interrupt()
    talk.now += 2.0

    assert talk.bridge.handle_timer(talk.now) == [cancel("resp_1")]
    assert talk.bridge.handle_timer(talk.now + 1) == []


def test_a_response_that_was_cancelled_before_it_began_is_not_heard() -> None:
    """[14] The session cancels on arrival; what came meanwhile is dropped and deleted."""
    talk = Talk(is_cancelled=lambda response_id: response_id == "resp_1")
    talk.create()
    talk.speak("item_1", 1000)
    assert talk.line.playout.idle

    assert talk.done(status="cancelled") == [delete("item_1")]


def test_late_deltas_of_a_response_that_was_never_announced_are_not_heard() -> None:
    """Some servers forget response.created."""
    talk = Talk()
    talk.speak("item_1", 1000)
    talk.hear(3)
    talk.interrupt()
    talk.speak("item_1", 1000)

    assert talk.line.playout.idle


def test_a_server_that_does_not_stop_by_itself_is_cancelled_at_once() -> None:
    talk = Talk(cancels_on_speech=False)
    talk.create()
    talk.speak("item_1", 1000)
    talk.hear(3)

    assert talk.interrupt() == [cancel("resp_1"), truncate("item_1", 38)]


def test_what_the_caller_had_heard_when_she_began_is_recorded() -> None:
    """She began 300 ms (padding) after the moment that the server names."""
    talk = Talk(playout_delay=0.08)
    talk.create()
    talk.speak("item_1", 5000)
    for _ in range(50):  # a second of both voices, appended every 20 ms
        talk.hear(1)
        talk.bridge.appended.add(RATE // 50, talk.now)

    talk.interrupt(start_ms=510)

    (barge_in,) = talk.record.barge_ins
    assert barge_in.heard_ms == 978
    assert barge_in.onset_ms == 678  # sent 100 ms before: the way there and back, and a frame


def test_truncation_at_the_onset_is_a_choice() -> None:
    talk = Talk(playout_delay=0.08, truncate_at="onset")
    talk.create()
    talk.speak("item_1", 5000)
    for _ in range(50):
        talk.hear(1)
        talk.bridge.appended.add(RATE // 50, talk.now)

    said = " ".join(["word"] * 100)
    talk.receive(
        ev.ResponseOutputAudioTranscriptDone(
            response_id="resp_1", item_id="item_1", transcript=said
        )
    )

    assert talk.interrupt(start_ms=510) == [truncate("item_1", 678)]
    (line,) = talk.record.transcript or []
    assert len(line.text) == pytest.approx(len(said) * 678 / 5000, abs=5)


def test_an_item_that_began_after_the_onset_is_deleted_there() -> None:
    talk = Talk(truncate_at="onset")
    for _ in range(50):
        talk.hear(1)
        talk.bridge.appended.add(RATE // 50, talk.now)
    talk.create()
    talk.speak("item_1", 5000)
    talk.hear(3)

    assert talk.interrupt(start_ms=100) == [delete("item_1")]


def test_an_onset_that_nobody_knows_leaves_the_sent_position() -> None:
    talk = Talk(truncate_at="onset")
    talk.create()
    talk.speak("item_1", 5000)
    talk.hear(3)

    assert talk.interrupt(start_ms=99999) == [truncate("item_1", 38)]
    assert talk.record.barge_ins[0].onset_ms is None


# -- the keypad


def test_a_digit_interrupts_and_cancels_by_name() -> None:
    """The server does not hear digits, so it does not stop by itself."""
    talk = Talk()
    talk.create()
    talk.speak("item_1", 1000)
    talk.hear(3)

    assert talk.bridge.press("4", talk.now) == [cancel("resp_1"), truncate("item_1", 38)]
    assert talk.record.barge_ins[0].trigger == "digit"
    assert talk.bridge.press("7", talk.now) == []


def test_an_entry_becomes_one_item_and_one_response() -> None:
    talk = Talk()
    talk.bridge.press("4", talk.now)
    talk.bridge.press("7", talk.now)
    actions = talk.bridge.press("#", talk.now)

    item = ev.user_text_item("Keypad: 47")
    assert actions == [Send(ev.ConversationItemCreate(item=item)), CREATE]
    assert talk.record.digits == ["47"]


def test_a_digit_stops_a_response_that_is_only_asked_for() -> None:
    """[14] The session knows what the cancel is for."""
    talk = Talk(greeting="Hello")
    talk.bridge.open(talk.now)

    assert talk.bridge.press("4", talk.now) == [cancel(None)]


def test_what_begins_to_speak_within_an_entry_is_stopped_too() -> None:
    """The caller says what will come and types it: the server answers the words meanwhile."""
    talk = Talk()
    talk.bridge.press("4", talk.now)
    talk.create()
    assert talk.bridge.press("7", talk.now) == [cancel("resp_1")]
    talk.done(status="cancelled")
    talk.create("resp_2")
    talk.speak("item_2", 500, "resp_2")
    talk.hear(6)

    assert talk.bridge.handle_timer(talk.now + 3) == [
        cancel("resp_2"),
        truncate("item_2", 98),
        Send(ev.ConversationItemCreate(item=ev.user_text_item("Keypad: 47"))),
        CREATE,
    ]


def test_digits_that_do_not_interrupt() -> None:
    talk = Talk(keypad_interrupts=False)
    talk.create()
    talk.speak("item_1", 1000)
    talk.hear(3)

    assert talk.bridge.press("4", talk.now) == []
    assert not talk.line.playout.idle


def test_an_entry_ends_by_a_pause() -> None:
    talk = Talk()
    talk.bridge.press("4", talk.now)
    assert talk.bridge.deadline == talk.now + 3.0

    assert talk.bridge.handle_timer(talk.now + 3.0)[-1] == CREATE


def test_a_digit_of_the_server_is_a_digit() -> None:
    talk = Talk()
    talk.receive(ev.InputAudioBufferDtmfEventReceived(digit="4"))
    talk.receive(ev.InputAudioBufferDtmfEventReceived(digit="#"))

    assert talk.record.digits == ["4"]


# -- tools


def test_hang_up_waits_until_the_farewell_was_heard() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 100)
    talk.finish("item_1")
    talk.call_function("hang_up")
    assert talk.done() == []

    talk.hear(6)
    assert talk.bridge.handle_timer(talk.now) == []
    talk.hear(1)
    assert talk.bridge.deadline == pytest.approx(talk.now + 0.06)
    assert talk.bridge.handle_timer(talk.now + 0.06) == [HangUp("model", "hang_up")]
    assert talk.record.tools[0].name == "hang_up"


def test_hang_up_in_silence_is_done_at_once() -> None:
    talk = Talk()
    talk.hear(1)
    talk.create()
    talk.call_function("hang_up")

    assert talk.done() == []
    assert talk.bridge.handle_timer(talk.now + 0.06) == [HangUp("model", "hang_up")]


def test_hang_up_does_not_wait_for_ever() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 60_000)
    talk.call_function("hang_up")
    talk.done()
    assert talk.bridge.deadline == talk.now + 10

    assert talk.bridge.handle_timer(talk.now + 10) == [HangUp("model", "hang_up")]


def test_a_caller_who_interrupts_the_farewell_keeps_the_line() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 1000)
    talk.finish("item_1")
    talk.call_function("hang_up")
    talk.done()
    talk.hear(3)
    actions = talk.interrupt()

    assert actions[1] == truncate("item_1", 38)
    assert [use.ok for use in talk.record.tools] == [False]
    (told,) = [action.event for action in actions[:1] if isinstance(action, Send)]
    assert isinstance(told, ev.ConversationItemCreate)
    assert json.loads(told.item.output or "")["ended"] is False
    assert talk.bridge.deadline is None
    talk.hear(100)
    assert talk.bridge.handle_timer(talk.now) == []


@pytest.mark.parametrize("name", ["transfer", "__import__"])
def test_a_function_that_is_not_ours_is_refused_once_the_response_is_done(name: str) -> None:
    """[15] All outputs first, then one response."""
    talk = Talk()
    talk.create()
    talk.call_function(name, call="call_1")
    talk.call_function(name, call="call_2")
    note, one, note_two, two, create = talk.done()

    assert note == note_two == Note("tool_refused", {"tool": name})
    for action in (one, two):
        assert isinstance(action, Send)
        assert isinstance(action.event, ev.ConversationItemCreate)
        assert "no function" in (action.event.item.output or "")
    assert create == CREATE
    assert not talk.record.tools[0].ok


ABLE: dict[str, Any] = {"tools": ("hang_up", "transfer", "send_digits"), "targets": ("sales",)}
SALES = '{"target": "sales"}'


def told(actions: list[Action]) -> list[object]:
    """The outputs of functions that the model is given."""
    events = [action.event for action in actions if isinstance(action, Send)]
    items = [event.item for event in events if isinstance(event, ev.ConversationItemCreate)]
    return [json.loads(item.output or "") for item in items]


def away() -> Talk:
    """A bridge that has asked for a transfer, in silence."""
    talk = Talk(**ABLE)
    talk.create()
    talk.call_function("transfer", arguments=SALES)
    talk.done()
    assert talk.bridge.handle_timer(talk.now + 0.06) == [Transfer("sales")]
    return talk


def test_a_transfer_begins_when_the_words_before_it_were_heard() -> None:
    """From then on the model neither hears nor says anything."""
    talk = Talk(**ABLE)
    talk.create()
    talk.speak("item_1", 100)
    talk.finish("item_1")
    talk.call_function("transfer", arguments=SALES)
    assert talk.done() == []
    talk.hear(7)
    assert not talk.line.uplink.deaf
    assert talk.bridge.handle_timer(talk.now + 0.06) == [Transfer("sales")]
    assert talk.line.uplink.deaf


def test_a_transfer_does_not_wait_for_ever() -> None:
    """What was not heard by then is not remembered either."""
    talk = Talk(**ABLE)
    talk.create()
    talk.speak("item_1", 60_000)
    talk.call_function("transfer", arguments=SALES)
    talk.done()
    talk.create("resp_2")
    actions = talk.bridge.handle_timer(talk.now + 10)
    assert actions == [cancel("resp_2"), delete("item_1"), Transfer("sales")]
    assert talk.line.playout.idle


def test_who_waits_for_somebody_else_is_left_alone() -> None:
    """Keys and the model's own ideas change nothing meanwhile."""
    talk = away()
    assert talk.bridge.press("1", talk.now) == []
    assert talk.interrupt() == []
    begun = talk.receive(ev.ResponseCreated(response=ev.Response(id="resp_2")))
    assert begun == [cancel("resp_2")]
    talk.speak("item_2", 100, "resp_2")
    talk.speak("item_3", 100, "resp_3")  # some servers forget response.created
    assert talk.line.playout.idle
    assert talk.done("resp_2") == [delete("item_2")]


def test_a_transfer_that_fails_gives_the_caller_back() -> None:
    talk = away()
    actions = talk.bridge.not_transferred({"error": "busy", "status": 486}, talk.now)
    assert told(actions) == [{"error": "busy", "status": 486}]
    assert actions[-1] == CREATE
    assert not talk.line.uplink.deaf
    assert not talk.record.tools[0].ok
    assert talk.bridge.press("#", talk.now) != []


def test_a_transfer_that_succeeds_is_told_to_nobody() -> None:
    talk = away()
    talk.bridge.transferred(talk.now + 5)
    assert (talk.record.tools[0].ok, talk.record.tools[0].ms) == (True, 5000)


def test_a_place_that_there_is_not_is_refused() -> None:
    talk = Talk(**ABLE)
    talk.create()
    talk.call_function("transfer", arguments='{"target": "+19005551234"}')
    (output,) = told(talk.done())
    assert output == {"error": "There is no place of this name. Places: sales."}


def test_keys_are_pressed_when_the_words_before_them_were_heard() -> None:
    talk = Talk(**ABLE)
    talk.create()
    talk.speak("item_1", 100)
    talk.finish("item_1")
    talk.call_function("send_digits", arguments='{"digits": "12#"}')
    assert talk.done() == []
    talk.hear(7)
    assert talk.bridge.handle_timer(talk.now) == [Press("12#")]
    actions = talk.bridge.dialled(talk.now + 1)
    assert told(actions) == [{"sent": "12#"}]
    assert actions[-1] == CREATE


def test_keys_that_do_not_leave_are_taken_back() -> None:
    talk = Talk(**ABLE)
    talk.create()
    talk.call_function("send_digits", arguments='{"digits": "1"}')
    talk.done()
    assert talk.bridge.handle_timer(talk.now) == [Press("1")]
    talk.line.downlink.keys = Digits("1", inform=False)
    actions = talk.bridge.handle_timer(talk.now + LONGEST_DIAL)
    assert told(actions) == [{"error": "The keys could not be sent."}]
    assert talk.line.downlink.keys is None


def test_one_response_follows_when_everything_was_done() -> None:
    """[15] A refused function beside one that takes its time."""
    talk = Talk(**ABLE)
    talk.create()
    talk.call_function("send_digits", arguments='{"digits": "1"}', call="call_1")
    talk.call_function("nothing", call="call_2")
    talk.call_function("hang_up", call="call_3")
    talk.call_function("hang_up", call="call_4")
    actions = talk.done()
    assert len(told(actions)) == 2
    assert CREATE not in actions
    assert talk.bridge.handle_timer(talk.now) == [Press("1")]
    assert CREATE not in talk.bridge.dialled(talk.now + 0.24)
    assert talk.bridge.handle_timer(talk.now + 0.3) == [HangUp("model", "hang_up")]


def test_a_function_of_the_backend_is_not_answered() -> None:
    """Yandex runs web_search itself."""
    talk = Talk(builtin_tools=frozenset({"web_search"}))
    talk.create()
    talk.call_function("web_search")

    assert talk.done() == []


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_a_function_of_a_response_that_did_not_end_well_is_not_run(status: str) -> None:
    """[16]"""
    talk = Talk()
    talk.create()
    talk.call_function("hang_up")

    assert HangUp("model", "hang_up") not in talk.done(status=status)


def test_half_a_function_call_is_not_run() -> None:
    talk = Talk()
    talk.create()
    talk.call_function("hang_up", status="incomplete")

    assert talk.done() == []


def test_a_function_call_that_is_repeated_is_not_run_again() -> None:
    """The call_id says which one it is: in the same response, and in a later one."""
    talk = Talk(**ABLE)
    for _ in range(2):
        talk.create()
        talk.call_function("send_digits", arguments='{"digits": "1"}', call="call_1")
        talk.call_function("send_digits", arguments='{"digits": "1"}', call="call_1")
        assert talk.done() == []
    assert talk.bridge.handle_timer(talk.now) == [Press("1")]
    assert told(talk.bridge.dialled(talk.now + 0.24)) == [{"sent": "1"}]
    assert talk.bridge.handle_timer(talk.now + 60) == []
    assert [use.name for use in talk.record.tools] == ["send_digits"]


# -- failures


def failed(code: str) -> ev.ResponseDone:
    details = ev.StatusDetails(error=ev.ErrorDetail(code=code, message="Sorry"))
    return ev.ResponseDone(
        response=ev.Response(id="resp_1", status="failed", status_details=details)
    )


def test_a_fault_of_the_server_is_tried_once_more() -> None:
    talk = Talk()
    note = Note("response_failed", {"code": "server_error", "message": "Sorry"})

    assert talk.receive(failed("server_error")) == [note, CREATE]
    assert talk.receive(failed("server_error")) == [note]


def test_a_failure_that_nothing_can_mend_ends_the_call() -> None:
    """No error event tells of it: the caller would hear nothing for ever."""
    talk = Talk()
    talk.create()
    _, hang_up = talk.receive(failed("insufficient_quota"))

    assert hang_up == HangUp("backend", "backend_error", "insufficient_quota: Sorry")


def test_another_failure_is_told_and_left_alone() -> None:
    talk = Talk()

    assert talk.receive(failed("rate_limit_exceeded")) == [
        Note("response_failed", {"code": "rate_limit_exceeded", "message": "Sorry"})
    ]
    assert talk.done(status="failed") == [
        Note("response_failed", {"code": "unknown", "message": ""})
    ]


# -- the record


def test_each_turn_is_measured() -> None:
    talk = Talk()
    talk.hear(1)
    talk.receive(ev.InputAudioBufferSpeechStopped(audio_end_ms=0, item_id="item_u"))
    talk.now += 0.03
    talk.create()
    talk.now += 0.4
    talk.speak("item_1", 100)
    talk.hear(2)

    (turn,) = talk.record.turns
    assert turn.speech_stopped_at == pytest.approx(1_800_000_000.02)
    assert (turn.response_created_ms, turn.first_delta_ms, turn.first_rtp_ms) == (30, 430, 470)


def test_the_transcript_is_cut_where_the_caller_stopped_hearing_it() -> None:
    """[18] The server wipes its own transcript; ours keeps what was heard, in whole words."""
    talk = Talk()
    talk.receive(ev.InputAudioBufferCommitted(item_id="item_u"))
    talk.create()
    talk.speak("item_1", 200)
    for delta in ("One two ", "three four"):
        talk.receive(
            ev.ResponseOutputAudioTranscriptDelta(
                response_id="resp_1", item_id="item_1", delta=delta
            )
        )
    talk.receive(
        ev.ConversationItemInputAudioTranscriptionCompleted(item_id="item_u", transcript="Hi. ")
    )
    talk.hear(6)  # 100 of 200 ms
    talk.interrupt()
    talk.receive(
        ev.ResponseOutputAudioTranscriptDone(
            response_id="resp_1", item_id="item_1", transcript="One two three four five"
        )
    )

    lines = [(line.role, line.text) for line in talk.record.transcript or []]
    assert lines == [("caller", "Hi."), ("assistant", "One two")]


def test_text_beside_the_sound_is_the_transcript_too() -> None:
    """Yandex writes output_text; both ends of it come, and it is kept once."""
    talk = Talk()
    talk.create()
    talk.receive(
        ev.ResponseOutputTextDelta(response_id="resp_1", item_id="item_1", delta="Good day")
    )
    talk.receive(ev.ResponseOutputTextDone(response_id="resp_1", item_id="item_1", text="Good day"))
    talk.done()

    assert [line.text for line in talk.record.transcript or []] == ["Good day"]


def test_the_end_of_the_call_cuts_the_transcript_too() -> None:
    talk = Talk()
    talk.create()
    talk.speak("item_1", 200)
    talk.receive(
        ev.ResponseOutputAudioTranscriptDone(
            response_id="resp_1", item_id="item_1", transcript="One two three"
        )
    )
    talk.hear(6)
    talk.bridge.close()

    assert [line.text for line in talk.record.transcript or []] == ["One"]


def test_cumulative_transcripts_are_taken_apart() -> None:
    """[21] Yandex repeats what was said before, and each line as it grows."""
    talk = Talk(cumulative_transcripts=True)
    for item, text in [
        ("item_1", "hello"),
        ("item_1", "hello there"),
        ("item_2", "hello there my"),
        ("item_2", "hello there my name"),
    ]:
        talk.receive(
            ev.ConversationItemInputAudioTranscriptionCompleted(item_id=item, transcript=text)
        )

    lines = [line.text for line in talk.record.transcript or []]
    assert lines == ["hello there", "my name"]


def test_seconds_of_sound_are_counted() -> None:
    talk = Talk()
    talk.bridge.appended.add(RATE * 2, 1.0)

    assert talk.bridge.appended.seconds == 2.0


def test_events_without_a_meaning_here_change_nothing() -> None:
    talk = Talk()

    assert talk.receive(ev.InputAudioBufferTimeoutTriggered(audio_start_ms=0, audio_end_ms=1)) == []
    assert talk.receive(ev.Unknown("response.surprise")) == []
