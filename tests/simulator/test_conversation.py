"""Whole sessions on virtual time: turns, barge-in, errors, and the ordering rules."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.prompter import STILL_THERE, THE_END
from gateway.simulator.speech import Noise
from tests.simulator.client import Client, Event, audio_of, silence, types, voice

HOURS: Event = {
    "greeting": "Welcome to the clinic.",
    "turns": [
        {"hears": "What are your hours?", "say": "We are open from nine to five on weekdays."},
        {"hears": "Thank you.", "say": "Goodbye.", "call": {"name": "hang_up"}},
    ],
    "digits": {"4711": "That is right.", "*": "That is wrong."},
}
REPLY = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]
TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "rate_limits.updated",
]


def detection(**fields: Any) -> Event:
    return {"input": {"turn_detection": {"type": "server_vad", **fields}}}


def text_item(text: str, **fields: Any) -> Event:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content, **fields}


def said(response: Event) -> str:
    """The transcript of all its items."""
    parts = [part for item in response["output"] for part in item.get("content", [])]
    return " ".join(part.get("transcript", part.get("text")) for part in parts)


class TestSession:
    def test_session_created_comes_first_with_the_model_of_the_url(self) -> None:
        client = Client(model="gpt-realtime", update=False)
        (created,) = client.events
        assert created["type"] == "session.created"
        assert created["session"]["model"] == "gpt-realtime"
        assert created["event_id"] == "event_000001"

    def test_an_update_is_answered_with_the_whole_session(self) -> None:
        (updated,) = Client().update(instructions="Be brief.")
        assert updated["session"]["instructions"] == "Be brief."
        assert updated["session"]["audio"]["input"]["format"]["rate"] == 24000

    def test_yandex_answers_twice_without_a_rate(self) -> None:
        events = Client(dialect="yandex").send("session.update", session={})
        assert types(events) == ["session.updated", "session.updated"]
        assert events[0]["session"]["audio"]["output"]["format"]["rate"] is None

    def test_the_voice_cannot_change_once_it_was_heard(self) -> None:
        client = Client(HOURS)
        client.response()
        session = {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
        assert client.error("session.update", session=session)["code"] == "cannot_update_voice"

    def test_an_error_names_its_event_and_the_session_goes_on(self) -> None:
        client = Client()
        error = client.error("session.update", session={"type": "realtime", "x": 1}, event_id="e7")
        assert error == {
            "type": "invalid_request_error",
            "code": "unknown_parameter",
            "message": "Unknown parameter: 'session.x'.",
            "param": "session.x",
            "event_id": "e7",
        }
        assert types(client.update()) == ["session.updated"]
        assert client.error("what", event_id=5)["event_id"] is None

    @pytest.mark.parametrize("text", ["", "{", "[]", b"\xff", '"\ud800"'])
    def test_garbage_is_an_error_and_the_session_goes_on(self, text: str | bytes) -> None:
        client = Client()
        (error,) = client.text(text)
        assert error["error"]["code"] == "invalid_json"
        assert types(client.update()) == ["session.updated"]

    def test_an_update_in_mid_speech_disturbs_no_turn(self) -> None:
        client = Client(HOURS)
        client.say(voice(0.5))
        client.update(instructions="Be brief.")
        assert types(client.say(voice(0.5) + silence(0.6))) == TURN[1:]


class TestTurn:
    def test_a_spoken_turn_is_answered(self) -> None:
        """Reference order: speech_started, speech_stopped, committed, item, response.created."""
        client = Client(HOURS)
        events = client.turn()
        assert types(events) == TURN
        started, stopped, committed, added, done, created, _ = events
        user = started["item_id"]
        assert stopped["item_id"] == committed["item_id"] == added["item"]["id"] == user
        assert (started["audio_start_ms"], stopped["audio_end_ms"]) == (0, 1500)
        assert committed["previous_item_id"] is None
        assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
        assert done["item"] == added["item"]
        assert created["response"]["status"] == "in_progress"
        events = client.wait()
        assert types(events) == REPLY
        assert said(events[-1]["response"]) == "We are open from nine to five on weekdays."
        assert len(audio_of(events)) > 48000

    def test_tokens_are_told(self) -> None:
        client = Client(HOURS)
        client.turn()
        usage = client.wait()[-1]["response"]["usage"]
        assert usage["input_token_details"]["audio_tokens"] == 15
        assert usage["output_tokens"] > 20
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]

    def test_the_turns_follow_each_other_to_the_end(self) -> None:
        client = Client(HOURS)
        lines = []
        for _ in range(3):
            client.turn()
            lines.append(said(client.wait()[-1]["response"]))
        assert lines == ["We are open from nine to five on weekdays.", "Goodbye.", THE_END]

    def test_a_response_comes_at_its_speed(self) -> None:
        client = Client(HOURS, speech=Noise(), speed=20.0, latency=0.1)
        client.turn()
        before = client.now
        client.wait(0.09)
        assert not audio_of(client.events)
        client.wait()
        seconds = len("We are open from nine to five on weekdays.") * 0.065
        assert len(audio_of(client.events)) == pytest.approx(seconds * 48000, abs=4)
        assert client.now > before + 0.1 + seconds / 20

    def test_without_create_response_the_client_asks(self) -> None:
        client = Client(HOURS)
        client.update(audio=detection(create_response=False))
        assert types(client.turn()) == TURN[:-2]
        assert client.wait() == []
        assert said(client.response()) == "We are open from nine to five on weekdays."

    def test_g711_in_and_out(self) -> None:
        client = Client(HOURS)
        pcmu = {"type": "audio/pcmu"}
        client.update(audio={"input": {"format": pcmu}, "output": {"format": pcmu}})
        loud = base64.b64decode(base64.b64encode(b"\x10\x90" * 4000))
        assert types(client.say(loud + b"\xff" * 8000, chunk=160)) == TURN
        audio = audio_of(client.wait())
        assert 8000 < len(audio) < 80000

    @pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
    def test_other_rates_for_those_who_take_them(self, rate: int) -> None:
        client = Client(HOURS, dialect="compatible", speech=Noise())
        pcm = {"type": "audio/pcm", "rate": rate}
        client.update(audio={"input": {"format": pcm}, "output": {"format": pcm}})
        events = client.say(voice(1.0, rate) + silence(1.0, rate), chunk=rate // 25 * 2)
        assert types(events) == TURN
        assert 1490 <= events[1]["audio_end_ms"] <= 1510
        seconds = len("We are open from nine to five on weekdays.") * 0.065
        assert len(audio_of(client.wait())) == pytest.approx(seconds * rate * 2, abs=4)

    def test_a_wrong_append_is_refused_and_not_heard(self) -> None:
        client = Client()
        error = client.error("input_audio_buffer.append", audio="A?")
        assert (error["code"], error["param"]) == ("invalid_value", "audio")


class TestTranscription:
    def transcripts(self, events: list[Event]) -> list[str]:
        kind = "conversation.item.input_audio_transcription."
        return [
            str(event.get("transcript", event.get("delta")))
            for event in events
            if event["type"].startswith(kind)
        ]

    def test_it_is_off_until_asked_for(self) -> None:
        client = Client(HOURS)
        client.turn()
        assert self.transcripts(client.wait()) == []

    def test_it_comes_beside_the_response(self) -> None:
        client = Client(HOURS)
        client.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        user = client.turn()[0]["item_id"]
        events = client.wait()
        assert self.transcripts(events) == [
            "What",
            " are",
            " your",
            " hours?",
            "What are your hours?",
        ]
        completed = next(event for event in events if event["type"].endswith("n.completed"))
        assert completed["item_id"] == user
        assert completed["usage"] == {"type": "duration", "seconds": 1.5}
        (shown,) = client.send("conversation.item.retrieve", item_id=user)
        assert shown["item"]["content"][0]["transcript"] == "What are your hours?"

    def test_that_of_yandex_grows_over_the_whole_session(self) -> None:
        client = Client(HOURS, dialect="yandex")
        first = client.turn()
        assert types(first)[2:6] == [
            "input_audio_buffer.committed",
            "conversation.item.input_audio_transcription.completed",
            "conversation.item.input_audio_transcription.completed",
            "conversation.item.created",
        ]
        assert self.transcripts(first) == ["What are", "What are your hours?"]
        client.wait()
        assert self.transcripts(client.turn()) == [
            "What are your hours? Thank",
            "What are your hours? Thank you.",
        ]


class TestBargeIn:
    def test_a_voice_cancels_the_response(self) -> None:
        """Reference order: speech_started, then the done events of what is cut, then the turn."""
        client = Client(HOURS, speed=1.0)
        client.turn()
        client.wait(1.0)
        events = client.say(voice(0.2))
        assert types(events) == [
            "input_audio_buffer.speech_started",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        response = events[-1]["response"]
        assert response["status"] == "cancelled"
        assert response["status_details"]["reason"] == "turn_detected"
        assert types(client.say(voice(0.5) + silence(0.6))) == TURN[1:]
        assert said(client.wait()[-1]["response"]) == "Goodbye."

    def test_a_finished_response_is_only_truncated(self) -> None:
        client = Client(HOURS)
        client.turn()
        events = client.wait()
        (item,) = events[-1]["response"]["output"]
        ms = len(audio_of(events)) // 48
        assert types(client.say(voice(0.2))) == ["input_audio_buffer.speech_started"]
        place = {"item_id": item["id"], "content_index": 0}
        error = client.error("conversation.item.truncate", **place, audio_end_ms=ms + 1)
        assert error["message"] == f"Audio content of {ms}ms is already shorter than {ms + 1}ms"
        (truncated,) = client.send("conversation.item.truncate", **place, audio_end_ms=700)
        assert truncated["type"] == "conversation.item.truncated"
        assert truncated["audio_end_ms"] == 700
        (shown,) = client.send("conversation.item.retrieve", item_id=item["id"])
        (part,) = shown["item"]["content"]
        assert part["transcript"] == ""
        assert base64.b64decode(part["audio"]) == audio_of(events)[: 700 * 48]

    def test_what_is_not_generated_yet_cannot_be_truncated(self) -> None:
        client = Client(HOURS, speed=1.0, latency=0.2)
        client.turn()
        events = client.wait(1.1)
        item_id = events[0]["item"]["id"]
        place = {"item_id": item_id, "content_index": 0}
        error = client.error("conversation.item.truncate", **place, audio_end_ms=1001)
        assert error["message"] == "Audio content of 1000ms is already shorter than 1001ms"
        client.send("conversation.item.truncate", **place, audio_end_ms=1000)

    def test_without_interrupt_response_nothing_is_cut(self) -> None:
        """ "it may fail to create if one is running"."""
        client = Client(HOURS, speed=1.0)
        client.update(audio=detection(interrupt_response=False))
        client.turn()
        client.wait(0.5)
        events = client.turn()
        assert types(events)[:-1] == TURN[:-2]
        assert events[-1]["error"]["code"] == "conversation_already_has_active_response"
        assert client.wait()[-1]["response"]["status"] == "completed"

    def test_a_response_outside_the_conversation_is_not_interrupted(self) -> None:
        client = Client(speed=1.0)
        client.send("response.create", response={"conversation": "none"})
        client.wait(0.5)
        assert types(client.turn())[:2] == TURN[:2]
        done = [e for e in client.wait() if e["type"] == "response.done"]
        assert [event["response"]["status"] for event in done] == ["completed", "completed"]

    def test_an_unheard_item_is_deleted(self) -> None:
        client = Client({"turns": [{"say": ["One.", "Two."]}]})
        first, second = client.response()["output"]
        (deleted,) = client.send("conversation.item.delete", item_id=second["id"])
        assert deleted["type"] == "conversation.item.deleted"
        error = client.error("conversation.item.delete", item_id=second["id"])
        assert error["code"] == "item_delete_invalid_item_id"
        client.send("conversation.item.truncate", item_id=first["id"], content_index=0,
                    audio_end_ms=0)  # fmt: skip

    def test_the_audio_of_yandex_is_at_content_index_1(self) -> None:
        client = Client(HOURS, dialect="yandex")
        (item,) = client.response()["output"]
        place = {"item_id": item["id"], "audio_end_ms": 100}
        error = client.error("conversation.item.truncate", content_index=0, **place)
        assert error["code"] == "unsupported_content_type"
        (truncated,) = client.send("conversation.item.truncate", content_index=1, **place)
        assert truncated["content_index"] == 1


class TestManualTurns:
    def client(self) -> Client:
        client = Client(HOURS)
        client.update(audio={"input": {"turn_detection": None}})
        return client

    def test_the_client_commits_and_asks(self) -> None:
        client = self.client()
        assert client.say(voice(1.0)) == []
        events = client.send("input_audio_buffer.commit")
        assert types(events) == TURN[2:5]
        (shown,) = client.send("conversation.item.retrieve", item_id=events[0]["item_id"])
        assert base64.b64decode(shown["item"]["content"][0]["audio"]) == voice(1.0)
        assert said(client.response()) == "We are open from nine to five on weekdays."

    def test_nothing_to_commit(self) -> None:
        assert self.client().error("input_audio_buffer.commit")["code"] == (
            "input_audio_buffer_commit_empty"
        )

    def test_clear(self) -> None:
        client = self.client()
        client.say(voice(1.0))
        assert types(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
        client.error("input_audio_buffer.commit")

    def test_a_commit_in_the_middle_of_a_detected_turn_keeps_its_item(self) -> None:
        client = Client(HOURS)
        (started,) = client.say(voice(1.0))
        events = client.send("input_audio_buffer.commit")
        assert events[0]["item_id"] == started["item_id"]
        assert client.say(silence(2.0)) == []

    def test_yandex_has_no_clear_and_nobody_has_an_output_buffer(self) -> None:
        client = Client(dialect="yandex")
        assert client.error("input_audio_buffer.clear")["param"] == "type"
        assert Client().error("output_audio_buffer.clear")["param"] == "type"


class TestItems:
    def test_a_text_item_is_added_and_done(self) -> None:
        client = Client()
        events = client.send("conversation.item.create", item=text_item("hi", id="item_mine"))
        assert types(events) == ["conversation.item.added", "conversation.item.done"]
        item = events[0]["item"]
        assert item["id"] == "item_mine"
        assert item["status"] == "completed"
        error = client.error("conversation.item.create", item=text_item("hi", id="item_mine"))
        assert error["code"] == "item_create_duplicate_item_id"
        events = client.send(
            "conversation.item.create", item=text_item("first"), previous_item_id="root"
        )
        assert events[0]["previous_item_id"] is None
        assert events[0]["item"]["id"].startswith("item_")

    def test_yandex_creates_it_and_refuses_the_assistants(self) -> None:
        client = Client(dialect="yandex")
        events = client.send("conversation.item.create", item=text_item("hi"))
        assert types(events) == ["conversation.item.created"]
        content = [{"type": "output_text", "text": "hello"}]
        item = {"type": "message", "role": "assistant", "content": content}
        error = client.error("conversation.item.create", item=item)
        assert error["message"] == "MessageContentItemOutputText is not supported yet"

    def test_unknown_items(self) -> None:
        client = Client()
        error = client.error("conversation.item.retrieve", item_id="x")
        assert error["code"] == "item_retrieve_invalid_item_id"
        place = {"item_id": "x", "content_index": 0, "audio_end_ms": 0}
        error = client.error("conversation.item.truncate", **place)
        assert error["code"] == "item_truncate_invalid_item_id"

    def test_keypad_entries(self) -> None:
        client = Client(HOURS)
        client.response()
        for entry, line in (("4711", "That is right."), ("12", "That is wrong.")):
            client.send("conversation.item.create", item=text_item(f"Keypad: {entry}"))
            assert said(client.response()) == line


class TestResponses:
    def test_the_greeting(self) -> None:
        client = Client(HOURS)
        assert said(client.response()) == "Welcome to the clinic."
        exact = client.response(instructions="Be polite. Say exactly: Good day to you!")
        assert said(exact) == "Good day to you!"

    def test_only_one_response_writes_to_the_conversation(self) -> None:
        client = Client(HOURS)
        events = client.send("response.create")
        error = client.error("response.create")
        assert error["code"] == "conversation_already_has_active_response"
        assert events[0]["response"]["id"] in error["message"]
        client.wait()
        assert said(client.response()) == "We are open from nine to five on weekdays."

    def test_what_was_asked_is_echoed(self) -> None:
        response = Client(HOURS).response(
            metadata={"topic": "t"},
            max_output_tokens=100,
            output_modalities=["text"],
            audio={"output": {"voice": {"id": "voice_1"}, "format": {"type": "audio/pcmu"}}},
        )
        assert response["metadata"] == {"topic": "t"}
        assert response["max_output_tokens"] == 100
        assert response["output_modalities"] == ["text"]
        assert response["audio"] == {
            "output": {"voice": "voice_1", "format": {"type": "audio/pcmu"}}
        }
        assert response["output"][0]["content"] == [
            {"type": "output_text", "text": "Welcome to the clinic."}
        ]

    def test_one_outside_the_conversation_runs_beside(self) -> None:
        client = Client(HOURS)
        client.send("response.create")
        client.send("response.create", response={"conversation": "none", "metadata": {"a": "b"}})
        done = [e["response"] for e in client.wait() if e["type"] == "response.done"]
        by_conversation = {response["conversation_id"]: response for response in done}
        assert len(by_conversation) == 2
        assert by_conversation[None]["metadata"] == {"a": "b"}
        (item,) = by_conversation[None]["output"]
        assert client.error("conversation.item.retrieve", item_id=item["id"])["code"] == (
            "item_retrieve_invalid_item_id"
        )

    def test_its_own_input(self) -> None:
        client = Client(HOURS)
        client.send("conversation.item.create", item=text_item("Keypad: 4711", id="entry"))
        answer = client.response(input=[text_item("Keypad: 12")])
        assert said(answer) == "That is wrong."
        answer = client.response(
            input=[{"type": "item_reference", "id": "entry"}], conversation="none"
        )
        assert said(answer) == "That is right."
        error = client.error(
            "response.create", response={"input": [{"type": "item_reference", "id": "x"}]}
        )
        assert error["param"] == "response.input[0].id"
        assert client.response(input=[], conversation="none")["usage"]["input_tokens"] == 0

    def test_cancel(self) -> None:
        client = Client(HOURS, speed=1.0)
        assert client.error("response.cancel")["code"] == "response_cancel_not_active"
        response_id = client.send("response.create")[0]["response"]["id"]
        client.wait(0.5)
        other = client.error("response.cancel", response_id="resp_x")
        assert other["code"] == "response_cancel_not_active"
        done = client.send("response.cancel", response_id=response_id)[-1]["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert client.wait() == []
        assert client.error("response.cancel")["code"] == "response_cancel_not_active"

    def test_cancel_names_one_outside_the_conversation(self) -> None:
        client = Client()
        aside = client.send("response.create", response={"conversation": "none"})
        client.error("response.cancel")
        events = client.send("response.cancel", response_id=aside[0]["response"]["id"])
        assert types(events) == ["response.done"]

    def test_a_function_call_and_its_output(self) -> None:
        script = {
            "turns": [
                {"hears": "Find me.", "call": {"name": "find", "arguments": {"n": 1}}},
                {"say": "I found you."},
            ]
        }
        client = Client(script)
        client.turn()
        (call,) = client.wait()[-1]["response"]["output"]
        assert (call["name"], call["arguments"]) == ("find", '{"n": 1}')
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "yes"}
        events = client.send("conversation.item.create", item=output)
        assert types(events) == ["conversation.item.added", "conversation.item.done"]
        assert said(client.response()) == "I found you."
        error = client.error("conversation.item.create", item=output | {"call_id": "x"})
        assert error["param"] == "item.call_id"

    def test_a_farewell_with_its_call(self) -> None:
        client = Client(HOURS)
        client.turn()
        client.wait()
        client.turn()
        kinds = [item["type"] for item in client.wait()[-1]["response"]["output"]]
        assert kinds == ["message", "function_call"]


class TestIdle:
    def client(self) -> Client:
        client = Client(HOURS, speed=10.0)
        client.update(audio=detection(idle_timeout_ms=5000))
        client.say(silence(1.0))
        return client

    def test_a_silent_user_is_asked_after_the_playback(self) -> None:
        """The timer starts at response.done + the duration of its audio."""
        client = self.client()
        client.send("response.create")
        played = len(audio_of(client.wait(3.0))) / 48000
        client.say(silence(5.0))
        assert client.wait(played + 1.0) == []
        events = client.wait(2.0)
        assert types(events)[:4] == [
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert (events[0]["audio_start_ms"], events[0]["audio_end_ms"]) == (1000, 6000)
        events += client.wait(1.0)
        assert said(events[-1]["response"]) == STILL_THERE

    def test_who_speaks_is_not_asked(self) -> None:
        client = self.client()
        client.send("response.create")
        client.wait(3.0)
        client.say(voice(0.5))
        assert client.wait(60.0) == []

    def test_an_update_can_end_it(self) -> None:
        client = self.client()
        client.send("response.create")
        client.wait(3.0)
        client.update(audio=detection(idle_timeout_ms=None))
        assert client.wait(60.0) == []

    def test_a_caller_in_mid_turn_is_not_asked(self) -> None:
        client = self.client()
        client.update(audio=detection(idle_timeout_ms=5000, interrupt_response=False))
        client.send("response.create")
        client.wait(0.3)
        client.say(voice(0.5))
        assert types(client.wait(60.0))[-1] == "response.done"


class TestFaults:
    def test_silence(self) -> None:
        client = Client({"faults": {"silent": True}})
        assert client.events == []
        assert client.wait() == []

    def test_a_close_in_mid_call(self) -> None:
        client = Client({**HOURS, "faults": {"close_after_s": 1.0, "close_code": 1011}}, speed=1.0)
        client.send("response.create")
        client.wait(0.9)
        assert client.conversation.close is None
        client.wait(0.2)
        assert client.conversation.close == (1011, "As the script says.")
        assert client.conversation.deadline is None
        assert client.update() == []

    def test_broken_and_unknown_events(self) -> None:
        client = Client(update=False)
        broken = Client({"faults": {"broken_json": True, "unknown_event": True}}, update=False)
        assert client.events[0] == broken.events[0]
        texts = broken.conversation.receive(
            '{"type": "session.update", "session": {"type": "realtime"}}', broken.now
        )
        assert len(texts) == 3
        assert '"session.something_new"' in texts[1]
        assert texts[2] == '{"type": "response.done", "response": {"id": '


ITEMS = st.sampled_from(["item_4", "item_5", "item_7", "mine", "nobody"])
STEPS = st.one_of(
    st.floats(0, 2).map(lambda seconds: ("wait", {"seconds": seconds})),
    st.sampled_from(
        [
            ("turn", {}),
            ("input_audio_buffer.commit", {}),
            ("input_audio_buffer.clear", {}),
            ("response.create", {}),
            ("response.create", {"response": {"conversation": "none"}}),
            ("response.create", {"response": {"output_modalities": ["text"]}}),
            ("response.cancel", {}),
            ("session.update", {"session": {"type": "realtime", "audio": detection()}}),
            (
                "session.update",
                {"session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}},
            ),
            ("conversation.item.create", {"item": text_item("hi", id="mine")}),
        ]
    ),
    st.builds(lambda item: ("conversation.item.delete", {"item_id": item}), ITEMS),
    st.builds(lambda item: ("conversation.item.retrieve", {"item_id": item}), ITEMS),
    st.builds(
        lambda item, index, ms: (
            "conversation.item.truncate",
            {"item_id": item, "content_index": index, "audio_end_ms": ms},
        ),
        ITEMS,
        st.integers(0, 1),
        st.integers(0, 3000),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12), st.sampled_from(["openai", "yandex"]))
def test_in_any_order_each_response_ends_once_and_nothing_follows(
    steps: list[tuple[str, Event]], dialect: str
) -> None:
    """Reference: response.done is always the last event of a response."""
    client = Client(HOURS, dialect=dialect, speed=2.0)
    for kind, fields in steps:
        if kind == "wait":
            client.wait(**fields)
        elif kind == "turn":
            client.say(voice(0.2) + silence(0.6), chunk=9600)
        else:
            client.send(kind, **fields)
    client.wait()
    active, ended = set(), set()
    for event in client.events:
        response_id = event.get("response_id") or event.get("response", {}).get("id")
        assert response_id not in ended
        if event["type"] == "response.created":
            active.add(response_id)
        elif event["type"] == "response.done":
            ended.add(response_id)
        assert response_id is None or response_id in active
    assert active == ended
