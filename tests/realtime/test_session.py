"""A session: what is sent when, and what of the server's events is passed on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.realtime.events import (
    ConversationItemCreate,
    Error,
    ErrorDetail,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    Item,
    Malformed,
    OutputAudioBufferClear,
    Part,
    ResponseCancel,
    ResponseCreate,
    ResponseDone,
    SessionUpdate,
    SessionUpdated,
    TokenDetails,
    Unknown,
    Usage,
    user_text_item,
)
from gateway.realtime.profile import Profile, compatible, openai, yandex
from gateway.realtime.responses import CREATED_WITHIN
from gateway.realtime.session import Session, Settings, configuration, is_benign, is_fatal

from .oracle import refused_by_openai

OPENAI = openai(api_key="k", model="gpt-realtime-2.1")
YANDEX = yandex(folder="f", model="m", api_key="k")
MANUAL = Settings(extra={"audio": {"input": {"turn_detection": None}}})

CREATED = '{"type": "session.created", "session": {"id": "sess_1", "model": "gpt-x"}}'
UPDATED = '{"type": "session.updated", "session": {}}'
SPEECH_STARTED = '{"type": "input_audio_buffer.speech_started", "item_id": "u1"}'
SPEECH_STOPPED = '{"type": "input_audio_buffer.speech_stopped", "item_id": "u1"}'
COMMITTED = '{"type": "input_audio_buffer.committed", "item_id": "u1"}'


def tokens() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"event_{next(numbers)}"


def new(profile: Profile = OPENAI, settings: Settings | None = None) -> Session:
    return Session(profile, settings or Settings(), token=tokens())


def ready(profile: Profile = OPENAI, settings: Settings | None = None) -> Session:
    """A session whose settings are in force; its session.update was event_1."""
    session = new(profile, settings)
    session.receive(CREATED, 0.0)
    session.outgoing()
    session.receive(UPDATED, 0.1)
    return session


def sent(session: Session) -> list[dict[str, Any]]:
    return [json.loads(text) for text in session.outgoing()]


def types(session: Session) -> list[str]:
    return [event["type"] for event in sent(session)]


def created(response_id: str) -> str:
    return json.dumps({"type": "response.created", "response": {"id": response_id}})


def done(response_id: str, **fields: object) -> str:
    return json.dumps({"type": "response.done", "response": {"id": response_id, **fields}})


def error(code: str, event_id: str | None = None) -> str:
    return json.dumps({"type": "error", "error": {"code": code, "event_id": event_id}})


class TestConfiguration:
    """The `session` of session.update."""

    def test_of_openai(self) -> None:
        """Everything an agent says, in the current shape."""
        settings = Settings(
            instructions="Be kind.",
            voice="marin",
            language="ru-RU",
            tools=[{"type": "function", "name": "hang_up", "parameters": {"type": "object"}}],
            transcription=True,
        )
        assert configuration(OPENAI, settings) == {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "Be kind.",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "silence_duration_ms": 500,
                        "create_response": True,
                        "interrupt_response": True,
                    },
                    "transcription": {"model": "gpt-transcribe", "language": "ru"},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
            "tools": [{"type": "function", "name": "hang_up", "parameters": {"type": "object"}}],
        }

    def test_of_yandex(self) -> None:
        """A list of languages; transcription is always on there and not configured."""
        settings = Settings(voice="marina", language="ru-RU", transcription=True)
        assert configuration(YANDEX, settings) == {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "silence_duration_ms": 400,
                    },
                    "languages": ["ru-RU"],
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marina"},
            },
        }

    def test_of_an_agent_who_wants_nothing(self) -> None:
        """What is not said is left to the server, except formats and turns."""
        session = configuration(compatible(url="ws://host", model="m"), Settings(language="en"))
        assert set(session) == {"type", "output_modalities", "audio"}
        assert set(session["audio"]["input"]) == {"format", "turn_detection"}
        assert set(session["audio"]["output"]) == {"format"}

    def test_agents_turn_detection_replaces_the_profiles(self) -> None:
        """It is taken whole."""
        settings = Settings(turn_detection={"type": "semantic_vad", "eagerness": "low"})
        session = configuration(OPENAI, settings)
        assert session["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "low",
        }

    def test_extra_is_merged_last(self) -> None:
        """Mappings are merged, lists and values replaced, null says null."""
        settings = Settings(
            voice="marina",
            tools=[{"name": "a"}],
            extra={
                "audio": {"output": {"role": "friendly"}, "input": {"turn_detection": None}},
                "tools": [],
                "tracing": {"group": {"id": 1}},
            },
        )
        session = configuration(YANDEX, settings)
        assert session["audio"]["output"]["voice"] == "marina"
        assert session["audio"]["output"]["role"] == "friendly"
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["tools"] == []
        assert session["tracing"] == {"group": {"id": 1}}

    @pytest.mark.parametrize("audio", [None, 5, {"input": {"format": {"type": "audio/pcmu"}}}])
    def test_formats_are_the_profiles(self, audio: object) -> None:
        """The line was built for them: nothing an operator adds changes them."""
        session = configuration(YANDEX, Settings(extra={"audio": audio}))
        assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}

    @pytest.mark.parametrize(
        ("profile", "exempt"),
        [
            (OPENAI, []),
            (compatible(url="ws://host", model="m"), []),
            # what Yandex has and OpenAI has not
            (YANDEX, ["session.audio.input.languages", "session.audio.output.role"]),
        ],
    )
    def test_is_what_openai_takes(self, profile: Profile, exempt: list[str]) -> None:
        """The first event of a session is valid to the field, Yandex's own fields aside."""
        settings = Settings(
            instructions="Be kind.",
            voice="marin",
            language="ru-RU",
            tools=[{"type": "function", "name": "hang_up", "parameters": {"type": "object"}}],
            transcription=True,
            extra={"audio": {"output": {"role": "friendly"}}} if exempt else {},
        )
        session = new(profile, settings)
        session.receive(CREATED, 0.0)
        (text,) = session.outgoing()
        assert refused_by_openai(text) == exempt


class TestBeginning:
    """session.created, session.update, session.updated, and then the rest."""

    def test_nothing_before_session_created(self) -> None:
        """The server speaks first."""
        session = new()
        session.send(ResponseCreate(), 0.0)
        session.append(b"\0\0")
        assert session.outgoing() == []

    def test_session_update_answers_session_created(self) -> None:
        """It is the first event, and carries an id of ours."""
        session = new(OPENAI, Settings(instructions="Be kind."))
        session.receive(CREATED, 0.0)
        (update,) = sent(session)
        assert (update["type"], update["event_id"]) == ("session.update", "event_1")
        assert update["session"]["instructions"] == "Be kind."
        assert (session.session_id, session.model) == ("sess_1", "gpt-x")
        assert not session.ready

    def test_nothing_else_before_session_updated(self) -> None:
        """What was asked for meanwhile follows in its order; sound is lost, not held."""
        session = new()
        session.receive(CREATED, 0.0)
        session.send(ConversationItemCreate(user_text_item("Keypad: 1")), 0.0)
        session.send(ResponseCreate(), 0.0)
        session.append(b"\0\0")
        assert types(session) == ["session.update"]
        (event,) = session.receive(UPDATED, 0.5)
        assert isinstance(event, SessionUpdated)
        assert session.ready
        assert types(session) == ["conversation.item.create", "response.create"]
        assert session.counts == {"append_early": 1}

    def test_session_updated_twice(self) -> None:
        """Yandex says it twice: the second one is not passed on, or we would greet twice."""
        session = ready()
        assert session.receive(UPDATED, 0.2) == []
        assert session.counts == {"repeated": 1}

    def test_session_created_twice(self) -> None:
        """The settings are sent once."""
        session = ready()
        assert session.receive(CREATED, 0.2) == []
        assert session.outgoing() == []

    def test_session_created_without_an_id(self) -> None:
        """An id and a model are not needed, nor believed to be text."""
        session = new()
        session.receive('{"type": "session.created", "session": {"id": 5, "model": null}}', 0.0)
        assert (session.session_id, session.model) == ("", "gpt-realtime-2.1")
        assert types(session) == ["session.update"]

    def test_settings_refused(self) -> None:
        """The server's reason is known at once, not by a timeout."""
        session = new()
        session.receive(CREATED, 0.0)
        session.receive(error("invalid_value", "event_1"), 0.1)
        session.receive(error("another"), 0.2)
        assert session.refusal == ErrorDetail(code="invalid_value", event_id="event_1")
        assert not session.ready
        session.receive(UPDATED, 0.3)
        assert session.refusal is None

    def test_later_session_update(self) -> None:
        """Whoever controls the call may change the settings; VAD is followed, and its answer."""
        session = ready()
        session.send(SessionUpdate({"audio": {"input": {"turn_detection": None}}}), 1.0)
        assert types(session) == ["session.update"]
        assert session.turn_detection is None
        assert len(session.receive(UPDATED, 1.1)) == 1


class TestOutgoing:
    """What may be sent."""

    def test_sound(self) -> None:
        """As base64, without an id."""
        session = ready()
        session.append(b"\x00\x01\x02\x03")
        session.send(InputAudioBufferAppend("AAECAw=="), 1.0)
        append = b'{"type":"input_audio_buffer.append","audio":"AAECAw=="}'
        assert session.outgoing() == [append, append]
        assert session.outgoing() == []

    def test_each_event_has_an_id(self) -> None:
        """An error gives it back: so it is known which event it answers."""
        session = ready()
        session.send(ConversationItemCreate(user_text_item("1")), 1.0)
        session.send(ResponseCreate(event_id="mine"), 1.0)
        assert [event["event_id"] for event in sent(session)] == ["event_2", "mine"]
        item = ConversationItemCreate(user_text_item("1"), event_id="event_2")
        assert session.asked("event_2") == item
        assert session.asked("mine") == ResponseCreate(event_id="mine")
        assert session.asked("event_9") is None
        assert session.asked(None) is None

    def test_only_the_last_ids_are_kept(self) -> None:
        """A call may last for hours."""
        session = ready()
        for _ in range(300):
            session.send(ConversationItemCreate(user_text_item("1")), 1.0)
        assert session.asked("event_2") is None
        assert session.asked("event_301") is not None

    def test_no_commit_under_server_vad(self) -> None:
        """The server commits: ours would be input_audio_buffer_commit_empty (mistake 20)."""
        session = ready()
        session.send(InputAudioBufferCommit(), 1.0)
        assert session.outgoing() == []
        assert session.counts == {"commit_under_vad": 1}

    def test_commit_without_server_vad(self) -> None:
        """Turns of our own are committed."""
        session = ready(OPENAI, MANUAL)
        session.send(InputAudioBufferCommit(), 1.0)
        assert types(session) == ["input_audio_buffer.commit"]

    def test_what_the_provider_refuses(self) -> None:
        """No clear events, and on Yandex nothing that the assistant said."""
        session = ready(YANDEX)
        said = Item("message", role="assistant", content=[Part("output_text", text="Hello.")])
        session.send(InputAudioBufferClear(), 1.0)
        session.send(OutputAudioBufferClear(), 1.0)
        session.send(ConversationItemCreate(said), 1.0)
        session.send(ConversationItemCreate(user_text_item("1")), 1.0)
        assert types(session) == ["conversation.item.create"]
        assert session.counts == {"refused_by_profile": 3}
        session = ready(OPENAI)
        session.send(InputAudioBufferClear(), 1.0)
        session.send(OutputAudioBufferClear(), 1.0)
        session.send(ConversationItemCreate(said), 1.0)
        assert types(session) == ["input_audio_buffer.clear", "conversation.item.create"]


class TestResponses:
    """The gate, as events and errors move it; its own rules are in test_responses.py."""

    def test_one_at_a_time(self) -> None:
        """A create waits for the response.done of whatever is active (mistake 10)."""
        session = ready()
        session.receive(created("r1"), 1.0)
        session.send(ResponseCreate(), 1.1)
        assert session.active_response == "r1"
        assert session.outgoing() == []
        session.receive(done("r1"), 2.0)
        assert types(session) == ["response.create"]

    def test_collision(self) -> None:
        """The error names our event; the create follows the response that was in the way."""
        session = ready()
        session.send(ResponseCreate(event_id="mine"), 1.0)
        session.outgoing()
        session.receive(created("r1"), 1.1)
        refusal = error("conversation_already_has_active_response", "mine")
        assert len(session.receive(refusal, 1.2)) == 1
        assert session.outgoing() == []
        session.receive(done("r1"), 2.0)
        assert sent(session) == [{"type": "response.create", "event_id": "mine"}]

    def test_collision_without_our_id(self) -> None:
        """Where the error does not say which create, it is the one in flight."""
        session = ready()
        session.send(ResponseCreate(event_id="mine"), 1.0)
        session.outgoing()
        session.receive(error("conversation_already_has_active_response"), 1.1)
        assert session.deadline == 1.6
        session.handle_timer(1.6)
        assert sent(session) == [{"type": "response.create", "event_id": "mine"}]

    def test_create_that_is_wrong(self) -> None:
        """Another error of a create makes room for the next one."""
        session = ready()
        session.send(ResponseCreate({"instructions": 5}, event_id="wrong"), 1.0)
        session.send(ResponseCreate(event_id="right"), 1.0)
        session.outgoing()
        session.receive(error("invalid_value", "wrong"), 1.1)
        assert sent(session) == [{"type": "response.create", "event_id": "right"}]

    def test_unanswered(self) -> None:
        """deadline says when it is given up."""
        session = ready()
        assert session.deadline is None
        session.send(ResponseCreate(), 1.0)
        session.send(ResponseCreate(), 1.0)
        assert session.deadline == 1.0 + CREATED_WITHIN
        session.outgoing()
        session.handle_timer(1.0 + CREATED_WITHIN)
        assert types(session) == ["response.create"]

    def test_cancel_always_has_a_name(self) -> None:
        """And waits for response.created where there is none yet (mistakes 13, 14)."""
        session = ready()
        session.send(ResponseCreate(), 1.0)
        session.send(ResponseCancel(), 1.0)
        assert types(session) == ["response.create"]
        session.receive(created("r1"), 1.1)
        assert sent(session) == [
            {"type": "response.cancel", "response_id": "r1", "event_id": "event_3"}
        ]

    def test_cancel_of_what_was_not_active(self) -> None:
        """The error sets us right (mistake 12)."""
        session = ready()
        session.receive(created("r1"), 1.0)
        session.send(ResponseCancel("r1", event_id="mine"), 1.1)
        session.send(ResponseCreate(), 1.1)
        session.outgoing()
        session.receive(error("response_cancel_not_active", "mine"), 1.2)
        assert types(session) == ["response.create"]

    def test_error_of_something_else(self) -> None:
        """It moves nothing."""
        session = ready()
        session.receive(created("r1"), 1.0)
        session.send(ConversationItemCreate(user_text_item("1"), event_id="item"), 1.1)
        session.outgoing()
        assert len(session.receive(error("invalid_value", "item"), 1.2)) == 1
        assert session.active_response == "r1"

    @pytest.mark.parametrize("end", [SPEECH_STOPPED, COMMITTED])
    def test_the_server_answers_turns(self, end: str) -> None:
        """After the caller's turn ours waits for the server's own response."""
        session = ready()
        session.receive(end, 1.0)
        session.send(ResponseCreate({"instructions": "Go on."}), 1.1)
        assert session.outgoing() == []
        session.receive(created("r1"), 1.2)
        session.receive(done("r1"), 2.0)
        assert types(session) == ["response.create"]

    def test_ours_does_not_talk_over_the_caller(self) -> None:
        """While she speaks nothing is started."""
        session = ready()
        session.receive(SPEECH_STARTED, 1.0)
        session.send(ResponseCreate(), 1.1)
        assert session.outgoing() == []

    @pytest.mark.parametrize(
        "settings",
        [MANUAL, Settings(turn_detection={"type": "server_vad", "create_response": False})],
    )
    def test_the_server_does_not_answer_turns(self, settings: Settings) -> None:
        """Where it creates no responses there is nothing to wait for."""
        session = ready(OPENAI, settings)
        for event in (SPEECH_STARTED, SPEECH_STOPPED, COMMITTED):
            session.receive(event, 1.0)
        session.send(ResponseCreate(), 1.1)
        assert types(session) == ["response.create"]


class TestCancelsOnSpeech:
    """Whether a client may leave the cancelling to the server."""

    @pytest.mark.parametrize(
        ("settings", "cancels"),
        [
            (Settings(), True),
            (Settings(turn_detection={"type": "semantic_vad"}), True),
            (Settings(turn_detection={"type": "server_vad", "interrupt_response": True}), True),
            (Settings(turn_detection={"type": "server_vad", "interrupt_response": False}), False),
            (MANUAL, False),
        ],
    )
    def test_server_vad_that_interrupts(self, settings: Settings, cancels: bool) -> None:
        """Server VAD does, unless it was told not to."""
        assert new(OPENAI, settings).cancels_on_speech is cancels
        assert new(YANDEX, settings).cancels_on_speech is cancels


class TestIncoming:
    """What of the server's events is passed on."""

    def test_nothing_of_a_response_that_is_done(self) -> None:
        """Stragglers after response.done are dropped and counted (mistake 8)."""
        session = ready()
        session.receive(created("r1"), 1.0)
        delta = '{"type": "response.output_audio.delta", "response_id": "r1", "delta": "AAAA"}'
        item = '{"type": "response.output_item.done", "response_id": "r1", "item": {}}'
        assert len(session.receive(delta, 1.1)) == 1
        session.receive(done("r1"), 1.2)
        for late in (delta, item, done("r1"), created("r1")):
            assert session.receive(late, 1.3) == []
        assert session.counts == {"after_done": 4}
        assert session.active_response is None

    def test_playing_ends_after_response_done(self) -> None:
        """output_audio_buffer.stopped belongs after it, and the call of a tool has no response."""
        session = ready()
        session.receive(done("r1"), 1.0)
        for text in (
            '{"type": "output_audio_buffer.stopped", "response_id": "r1"}',
            '{"type": "response.mcp_call.completed", "item_id": "i1"}',
        ):
            assert len(session.receive(text, 1.1)) == 1

    def test_response_created_twice(self) -> None:
        """The second says nothing new."""
        session = ready()
        session.receive(created("r1"), 1.0)
        assert session.receive(created("r1"), 1.1) == []

    def test_items_that_are_repeated(self) -> None:
        """Yandex says item.created for the empty item and again for the filled one."""
        session = ready(YANDEX)
        empty = {"type": "conversation.item.created", "item": {"id": "a", "role": "assistant"}}
        filled = {
            "type": "conversation.item.created",
            "item": {"id": "a", "role": "assistant", "content": [{"type": "output_audio"}]},
        }
        added = empty | {"type": "conversation.item.added"}
        passed = [
            len(session.receive(json.dumps(event), 1.0)) for event in (empty, added, filled, filled)
        ]
        assert passed == [1, 0, 1, 0]
        nameless = '{"type": "conversation.item.created", "item": {}}'
        assert [len(session.receive(nameless, 1.0)) for _ in range(2)] == [1, 1]

    def test_transcripts_that_are_repeated(self) -> None:
        """Yandex repeats a transcript, longer or the same (mistake 21)."""
        session = ready(YANDEX)
        name = "conversation.item.input_audio_transcription.completed"
        passed = [
            len(session.receive(json.dumps({"type": name, "item_id": i, "transcript": t}), 1.0))
            for i, t in [("u1", "I"), ("u1", "I want"), ("u1", "I want"), ("u2", "I want")]
        ]
        assert passed == [1, 1, 0, 1]

    def test_of_an_unknown_type(self) -> None:
        """It is passed on by name, for the log."""
        assert ready().receive('{"type": "ping"}', 1.0) == [Unknown("ping")]

    @pytest.mark.parametrize("text", ['{"type": "error"', b'{"type": "error"'])
    def test_broken(self, text: str | bytes) -> None:
        """It is passed on as Malformed, and the session lives on."""
        (event,) = ready().receive(text, 1.0)
        assert isinstance(event, Malformed)
        assert event.text == '{"type": "error"'

    def test_broken_and_long(self) -> None:
        """Only its beginning is kept, whatever its bytes are."""
        (event,) = ready().receive(b"\xff" * 1000, 1.0)
        assert event == Malformed(
            "not JSON: JSON is malformed: invalid character (byte 0)", "�" * 200
        )

    @given(st.lists(st.binary(max_size=50) | st.sampled_from([CREATED, UPDATED, COMMITTED])))
    def test_of_noise(self, texts: list[bytes | str]) -> None:
        """Nothing that a server sends raises."""
        session = new()
        for text in texts:
            session.receive(text, 0.0)


class TestUsage:
    """Tokens are summed over the responses."""

    def test_is_summed(self) -> None:
        """Missing and empty usage is none."""
        session = ready()
        usage = {
            "total_tokens": 30,
            "input_tokens": 20,
            "output_tokens": 10,
            "input_token_details": {"text_tokens": 15, "audio_tokens": 5, "cached_tokens": 4},
            "output_token_details": {"text_tokens": 3, "audio_tokens": 7},
        }
        session.receive(done("r1", usage=usage), 1.0)
        session.receive(done("r2", usage=usage), 2.0)
        session.receive(done("r2", usage=usage), 2.1)
        session.receive(done("r3", usage={}), 3.0)
        session.receive(done("r4"), 4.0)
        assert session.usage == Usage(60, 40, 20, TokenDetails(30, 10, 8), TokenDetails(6, 14, 0))


class TestErrors:
    """Which errors are nothing, and which are the end."""

    @pytest.mark.parametrize(
        "detail",
        [
            ErrorDetail(code="conversation_already_has_active_response"),
            ErrorDetail(code="response_cancel_not_active"),
            ErrorDetail(code="input_audio_buffer_commit_empty"),
            ErrorDetail("Cancellation failed: no active response found"),
        ],
    )
    def test_benign(self, detail: ErrorDetail) -> None:
        """Races that the session has dealt with (mistakes 11, 12, 20)."""
        assert is_benign(detail)
        assert not is_fatal(detail)

    @pytest.mark.parametrize(
        "detail",
        [
            ErrorDetail(code="invalid_api_key"),
            ErrorDetail(type="insufficient_quota"),
            ErrorDetail(code="insufficient_quota", type="invalid_request_error"),
            ErrorDetail("Invalid model URI"),
        ],
    )
    def test_fatal(self, detail: ErrorDetail) -> None:
        """By code or by type: trying again would go on for ever."""
        assert is_fatal(detail)
        assert not is_benign(detail)

    @pytest.mark.parametrize(
        "detail",
        [
            ErrorDetail("The server had an error", "server_error"),
            ErrorDetail("Audio content of 2450ms is already shorter", code="invalid_value"),
            ErrorDetail(code="session_expired"),
            ErrorDetail(code="rate_limit_exceeded"),
        ],
    )
    def test_neither(self, detail: ErrorDetail) -> None:
        """The rest is logged, and the session lives on or is dialled again."""
        assert not is_benign(detail)
        assert not is_fatal(detail)


class TestSecrets:
    """Some servers quote the key back; what they say goes into logs and records."""

    def test_no_error_holds_a_secret_or_a_second_line(self) -> None:
        session = Session(openai(api_key="sk-SECRET", model="m"), Settings(), token=lambda: "t")
        said = "Incorrect API key sk-SECRET\nprovided " + "x" * 500
        error = {"type": "invalid_request_error", "code": "no sk-SECRET", "message": said}
        failed = {"id": "resp_1", "status": "failed", "status_details": {"error": error}}
        (one,) = session.receive(json.dumps({"type": "error", "error": error}), 0.0)
        (two,) = session.receive(json.dumps({"type": "response.done", "response": failed}), 0.0)

        assert isinstance(one, Error)
        assert isinstance(two, ResponseDone)
        assert two.response.status_details
        assert one.error == two.response.status_details.error
        assert one.error.message.startswith("Incorrect API key *** provided xxx")
        assert len(one.error.message) == 200
        assert one.error.code == "no ***"
