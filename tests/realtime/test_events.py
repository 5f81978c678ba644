"""Every event of the Realtime API: what the gateway does with it, how it is read and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from gateway.realtime import events
from gateway.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    Error,
    ErrorDetail,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferDtmfEventReceived,
    InputAudioBufferSpeechStarted,
    Item,
    KnownEvent,
    OutputAudioBufferClear,
    RealtimeError,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputItemAdded,
    ResponseOutputTextDelta,
    SessionUpdate,
    TokenDetails,
    Unknown,
    Usage,
    encode,
    encode_append,
    function_output_item,
    parse_client,
    parse_server,
    type_of,
    user_text_item,
)

from .oracle import refused_by_openai
from .published import FULL, MINIMAL

# What the gateway does with each event.
#
#   sends       a client event that the gateway sends, and when
#   never sent  a client event that it does not send, and why
#   acts        a server event that changes what it does next
#   records     one whose content goes into the call's record
#   logs        one that an operator may look for at debug; nothing else happens
#   ignores     one that says nothing which another does not say
Category = Literal["sends", "never sent", "acts", "records", "logs", "ignores"]

TABLE: list[tuple[str, Category, str]] = [
    ("session.update", "sends", "once, after session.created: the agent and the formats"),
    ("input_audio_buffer.append", "sends", "the caller's sound, every 40 ms from the 200 on"),
    ("input_audio_buffer.commit", "never sent", "the server's VAD ends the turns"),
    ("input_audio_buffer.clear", "never sent", "what the caller said was said; Yandex refuses it"),
    ("conversation.item.create", "sends", "keypad entries and outputs of functions"),
    ("conversation.item.retrieve", "never sent", "nothing of an item is asked back"),
    ("conversation.item.truncate", "sends", "a barge-in: what of the item was heard"),
    ("conversation.item.delete", "sends", "a barge-in: items of which nothing was heard"),
    ("response.create", "sends", "greeting, keypad entry, outputs of functions; one at a time"),
    ("response.cancel", "sends", "a barge-in that the server does not see, by response_id"),
    ("output_audio_buffer.clear", "never sent", "on a WebSocket: the gateway owns the line"),
    ("error", "acts", "the gate of responses follows it; fatal ones end the call; logged"),
    ("session.created", "acts", "session.update is sent; the id goes into the record"),
    ("session.updated", "acts", "the session is ready: the call is answered"),
    ("conversation.created", "ignores", "a leftover of the beta"),
    ("conversation.item.added", "logs", "once for each item"),
    ("conversation.item.done", "ignores", "what counts came with the events of the response"),
    ("conversation.item.created", "logs", "as added; what Yandex repeats is passed on once"),
    ("conversation.item.deleted", "logs", "our delete was done"),
    ("conversation.item.retrieved", "ignores", "never asked for"),
    ("conversation.item.truncated", "logs", "our truncate was done"),
    (
        "conversation.item.input_audio_transcription.delta",
        "ignores",
        "the completed transcript says it all",
    ),
    (
        "conversation.item.input_audio_transcription.completed",
        "records",
        "what the caller said, the last one of each item",
    ),
    (
        "conversation.item.input_audio_transcription.failed",
        "logs",
        "the turn is valid without its words",
    ),
    (
        "conversation.item.input_audio_transcription.segment",
        "ignores",
        "there is one speaker on the line",
    ),
    ("input_audio_buffer.committed", "acts", "the server is about to answer: ours waits"),
    ("input_audio_buffer.cleared", "ignores", "never asked for"),
    ("input_audio_buffer.speech_started", "acts", "barge-in by the caller's voice"),
    ("input_audio_buffer.speech_stopped", "acts", "a turn begins to be measured; our create waits"),
    ("input_audio_buffer.timeout_triggered", "logs", "nobody spoke; the server answers that"),
    ("input_audio_buffer.dtmf_event_received", "acts", "a digit, as if the line had heard it"),
    ("output_audio_buffer.started", "logs", "no server says it on a WebSocket"),
    ("output_audio_buffer.stopped", "logs", "no server says it on a WebSocket"),
    ("output_audio_buffer.cleared", "logs", "no server says it on a WebSocket"),
    ("response.created", "acts", "the active response; a cancel that waited for it goes out"),
    ("rate_limits.updated", "logs", "what is left of the quota"),
    ("response.output_item.added", "ignores", "its deltas and its end say what counts"),
    ("response.content_part.added", "ignores", "indices are taken from the deltas"),
    ("response.output_text.delta", "records", "the words of the speech, on Yandex"),
    ("response.output_text.done", "records", "all of them"),
    ("response.output_audio_transcript.delta", "records", "the words of the speech"),
    ("response.output_audio_transcript.done", "records", "all of them"),
    ("response.output_audio.delta", "acts", "sound for the playout; dropped after a barge-in"),
    ("response.output_audio.done", "acts", "the item's length is known"),
    ("response.content_part.done", "ignores", "the events of its content say it"),
    ("response.output_item.done", "acts", "a completed function call is run"),
    ("response.function_call_arguments.delta", "ignores", "the finished item has them whole"),
    ("response.function_call_arguments.done", "ignores", "the finished item has them whole"),
    ("response.mcp_call_arguments.delta", "ignores", "the server calls the tool itself"),
    ("response.mcp_call_arguments.done", "ignores", "the server calls the tool itself"),
    ("response.mcp_call.in_progress", "logs", "why the model is silent for a while"),
    ("response.mcp_call.completed", "logs", "the tool answered"),
    ("response.mcp_call.failed", "logs", "the tool failed; the model says so"),
    ("mcp_list_tools.in_progress", "logs", "the server asks for the tools"),
    ("mcp_list_tools.completed", "logs", "the tools are known"),
    ("mcp_list_tools.failed", "logs", "the model has no such tools"),
    ("response.done", "acts", "tokens are summed; the next response.create may go out"),
]


class TestTable:
    """Eleven client events and forty-six server events, none forgotten."""

    def test_names_each_type_once(self) -> None:
        """The table and the types agree."""
        types = [type_of(event) for event in (*get_args(ClientEvent), *get_args(KnownEvent))]
        assert sorted(name for name, _, _ in TABLE) == sorted(types)
        assert (len(get_args(ClientEvent)), len(get_args(KnownEvent))) == (11, 46)

    def test_says_something_of_each(self) -> None:
        """Client events are sent or not, server events are not sent."""
        client = {type_of(event) for event in get_args(ClientEvent)}
        for name, category, sentence in TABLE:
            assert (category in ("sends", "never sent")) == (name in client)
            assert len(sentence) > 10

    def test_types_are_named_after_the_wire(self) -> None:
        """response.output_audio.delta is ResponseOutputAudioDelta; error is Error."""
        for event in (*get_args(ClientEvent), *get_args(KnownEvent)):
            words = type_of(event).replace(".", "_").split("_")
            assert event.__name__ == "".join(word.capitalize() for word in words)
            assert getattr(events, event.__name__) is event


def kept(event: object, published: Any) -> bool:
    """Whether all that the event holds is what was published, defaults aside."""
    if isinstance(event, dict) and isinstance(published, dict):
        return all(kept(event[key], published[key]) for key in event.keys() & published.keys())
    if isinstance(event, list) and isinstance(published, list):
        pairs = zip(event, published, strict=True)
        return all(kept(mine, theirs) for mine, theirs in pairs)
    return bool(event == published)


class TestServerEvents:
    """Tolerant in."""

    @pytest.mark.parametrize("name", FULL)
    def test_published_form_is_the_published_one(self, name: str) -> None:
        """The literals of this test are what the openai package takes for server events."""
        TypeAdapter[Any](RealtimeServerEvent).validate_python(FULL[name])

    @pytest.mark.parametrize("name", FULL)
    def test_reads_the_published_form(self, name: str) -> None:
        """Each server event with all its fields becomes its type, and nothing is lost on us."""
        event = parse_server(json.dumps(FULL[name]))
        assert isinstance(event, get_args(KnownEvent))
        assert type_of(event) == name
        assert kept(msgspec.to_builtins(event), FULL[name])

    @pytest.mark.parametrize("name", MINIMAL)
    def test_reads_the_least_that_makes_sense(self, name: str) -> None:
        """What servers leave out has a default."""
        event = parse_server(json.dumps(MINIMAL[name]).encode())
        assert isinstance(event, get_args(KnownEvent))
        assert type_of(event) == name

    @pytest.mark.parametrize("name", FULL)
    def test_reads_null_for_missing(self, name: str) -> None:
        """A field of null is one that is not there, at any depth."""
        nulls = {key: FULL[name][key] if key in MINIMAL[name] else None for key in FULL[name]}
        nulls |= {"type": name, "digit": "1"}
        event = parse_server(json.dumps(nulls))
        assert isinstance(event, get_args(KnownEvent))
        assert type_of(event) == name

    def test_of_audio_keeps_the_base64_text(self) -> None:
        """A delta is decoded by the playout, when its turn comes."""
        text = b"""{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i",
            "content_index": 1, "delta": "AAECAw=="}"""
        assert parse_server(text) == ResponseOutputAudioDelta(
            "AAECAw==", response_id="r", item_id="i", content_index=1
        )

    def test_with_a_null_rate(self) -> None:
        """Yandex echoes the rate as null; an echo is never used."""
        event = parse_server(
            """{"type": "session.updated",
            "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": null}}}}}"""
        )
        assert event == events.SessionUpdated(
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": None}}}}
        )

    @pytest.mark.parametrize(
        ("alias", "name"),
        [
            ("response.text.delta", "response.output_text.delta"),
            ("response.text.done", "response.output_text.done"),
            ("response.audio.delta", "response.output_audio.delta"),
            ("response.audio.done", "response.output_audio.done"),
            ("response.audio_transcript.delta", "response.output_audio_transcript.delta"),
            ("response.audio_transcript.done", "response.output_audio_transcript.done"),
            ("input_audio_buffer.commit", "input_audio_buffer.committed"),
        ],
    )
    def test_by_an_older_name(self, alias: str, name: str) -> None:
        """Preview releases and clones say the beta's names."""
        assert parse_server(json.dumps(FULL[name] | {"type": alias})) == parse_server(
            json.dumps(FULL[name])
        )

    @pytest.mark.parametrize(
        ("text", "event"),
        [
            (
                """{"type": "input_audio_buffer.dtmf_event_received", "event": "*",
                "received_at": 7}""",
                InputAudioBufferDtmfEventReceived("*", received_at=7),
            ),
            (
                """{"type": "input_audio_buffer.dtmf_event_received", "event_id": "e",
                "digit": "4", "timestamp_ms": 1200}""",
                InputAudioBufferDtmfEventReceived("4", timestamp_ms=1200, event_id="e"),
            ),
            (
                '{"type": "input_audio_buffer.committed", "item_id": null}',
                InputAudioBufferCommitted(),
            ),
            (
                '{"type": "input_audio_buffer.speech_started", "audio_start_ms": 1250.7}',
                InputAudioBufferSpeechStarted(1250),
            ),
            (
                '{"type": "response.output_text.delta", "delta": "Hi", "content_index": "1"}',
                ResponseOutputTextDelta("Hi", content_index=1),
            ),
            ('{"type": "error", "error": "broken"}', Error(ErrorDetail("broken"))),
            (
                '{"type": "error", "event_id": "e", "message": "broken", "code": 16}',
                Error(ErrorDetail("broken", code="16"), event_id="e"),
            ),
            (
                '{"type": "error", "error": {"message": "broken", "code": 3, "param": null}}',
                Error(ErrorDetail("broken", code="3")),
            ),
            (
                '{"type": "response.done", "response": {"id": "r", "usage": {}}}',
                ResponseDone(events.Response("r", usage=Usage())),
            ),
            (
                """{"type": "response.done", "response": {"id": "r", "status": "cancelled",
                "status_details": "turn_detected", "output": null, "usage": {"input_tokens": 5,
                "input_token_details": {"text_tokens": null, "audio_tokens": 5.0}}}}""",
                ResponseDone(
                    events.Response(
                        "r",
                        "cancelled",
                        events.StatusDetails(reason="turn_detected"),
                        usage=Usage(
                            input_tokens=5, input_token_details=TokenDetails(audio_tokens=5)
                        ),
                    )
                ),
            ),
            (
                """{"type": "response.output_item.added", "item": {"type": "message",
                "role": "assistant", "content": [null, {"type": "output_audio", "text": null}]}}""",
                ResponseOutputItemAdded(
                    Item("message", role="assistant", content=[events.Part("output_audio")])
                ),
            ),
            (
                '{"type": "response.created", "response": {"id": "r", "metadata": {"a": null}}}',
                ResponseCreated(events.Response("r", metadata={"a": None})),
            ),
        ],
    )
    def test_as_servers_were_seen_to_write_them(self, text: str, event: KnownEvent) -> None:
        """Both shapes of a digit, fractions, numbers as text, bare texts, nulls inside."""
        assert parse_server(text) == event

    def test_of_an_unknown_type(self) -> None:
        """What nobody published is passed over by its name, and a name is not long."""
        assert parse_server('{"type": "ping", "at": 7}') == Unknown("ping")
        assert parse_server(json.dumps({"type": "x" * 1000})) == Unknown("x" * 100)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "null",
            "[]",
            "{}",
            '{"type": null}',
            '{"type": ["error"]}',
            '{"type": "error"',
            b'{"type": "error", "error": {"message": "\xff"}}',
            '{"type": "error", "error": {"message": "\ud800"}}',
            '{"type": "error", "error": {"message": "\\ud800"}}',
            '{"type": "error", "error": 5}',
            '{"type": "response.output_audio.delta"}',
            '{"type": "response.output_audio.delta", "delta": 5}',
            '{"type": "response.done"}',
            '{"type": "response.output_item.done", "item": "item_1"}',
            '{"type": "response.output_text.delta", "output_index": 1e999}',
            b'{"type": "session.created", "session": ' + b"[" * 100_000,
            '{"type": "response.output_item.done", "output_index": null, "item": '
            + '{"item": ' * 700
            + "1"
            + "}" * 701,
        ],
    )
    def test_broken(self, text: str | bytes) -> None:
        """A broken message is one error, which holds nothing of the message's content."""
        with pytest.raises(RealtimeError) as caught:
            parse_server(text)
        assert "message" not in str(caught.value)

    @pytest.mark.parametrize("encoding", [str, str.encode])
    def test_too_long_to_be_put_right(self, encoding: Callable[[str], str | bytes]) -> None:
        """What fits at once may be long; putting right takes time that calls do not have."""
        members = "1," * 10_001 + "1"
        assert parse_server(
            encoding(f'{{"type": "response.done", "response": {{}}, "x": [{members}]}}')
        )
        with pytest.raises(RealtimeError, match="too long to be put right"):
            parse_server(
                encoding(f'{{"type": "response.done", "response": {{"id": [{members}]}}}}')
            )

    @given(st.binary(max_size=200) | st.text(max_size=200))
    def test_of_noise(self, text: bytes | str) -> None:
        """Whatever comes, there is an event or a RealtimeError."""
        try:
            parse_server(text)
        except RealtimeError:
            pass

    @given(
        st.sampled_from(sorted(FULL)),
        st.dictionaries(
            st.sampled_from(sorted({key for event in FULL.values() for key in event} - {"type"})),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(
                            ["type", "id", "content", "usage", "code", "status_details"]
                        )
                        | st.text(max_size=5),
                        inner,
                        max_size=3,
                    )
                ),
                max_leaves=5,
            ),
        ),
    )
    def test_of_any_content(self, name: str, changes: dict[str, object]) -> None:
        """Whatever a field holds, there is an event of that type or a RealtimeError."""
        try:
            event = parse_server(json.dumps(FULL[name] | changes))
        except RealtimeError:
            return
        assert isinstance(event, get_args(KnownEvent))
        assert type_of(event) == name


CLIENT_EVENTS: list[tuple[ClientEvent, bytes]] = [
    (
        SessionUpdate({"type": "realtime", "instructions": "Be kind."}, event_id="e"),
        b'{"type":"session.update","session":{"type":"realtime","instructions":"Be kind."},'
        b'"event_id":"e"}',
    ),
    (
        InputAudioBufferAppend("AAECAw=="),
        b'{"type":"input_audio_buffer.append","audio":"AAECAw=="}',
    ),
    (InputAudioBufferCommit(event_id="e"), b'{"type":"input_audio_buffer.commit","event_id":"e"}'),
    (InputAudioBufferClear(), b'{"type":"input_audio_buffer.clear"}'),
    (
        ConversationItemCreate(user_text_item("Keypad: 4711")),
        b'{"type":"conversation.item.create","item":{"type":"message","role":"user",'
        b'"content":[{"type":"input_text","text":"Keypad: 4711"}]}}',
    ),
    (
        ConversationItemCreate(user_text_item("", "item_7"), previous_item_id="root"),
        b'{"type":"conversation.item.create","item":{"type":"message","id":"item_7","role":"user",'
        b'"content":[{"type":"input_text","text":""}]},"previous_item_id":"root"}',
    ),
    (
        ConversationItemCreate(function_output_item("call_1", '{"ok":true}')),
        b'{"type":"conversation.item.create","item":{"type":"function_call_output",'
        b'"call_id":"call_1","output":"{\\"ok\\":true}"}}',
    ),
    (
        ConversationItemRetrieve("item_1"),
        b'{"type":"conversation.item.retrieve","item_id":"item_1"}',
    ),
    (
        ConversationItemTruncate("item_1", 0, 0),
        b'{"type":"conversation.item.truncate","item_id":"item_1","content_index":0,'
        b'"audio_end_ms":0}',
    ),
    (
        ConversationItemDelete("item_1", event_id="e"),
        b'{"type":"conversation.item.delete","item_id":"item_1","event_id":"e"}',
    ),
    (ResponseCreate(), b'{"type":"response.create"}'),
    (
        ResponseCreate({"instructions": "Say hello."}),
        b'{"type":"response.create","response":{"instructions":"Say hello."}}',
    ),
    (ResponseCancel("resp_1"), b'{"type":"response.cancel","response_id":"resp_1"}'),
    (ResponseCancel(), b'{"type":"response.cancel"}'),
    (OutputAudioBufferClear(), b'{"type":"output_audio_buffer.clear"}'),
]


class TestClientEvents:
    """Exact out."""

    def test_all_are_tried(self) -> None:
        """No client event is missing below."""
        assert {type(event) for event, _ in CLIENT_EVENTS} == set(get_args(ClientEvent))

    @pytest.mark.parametrize(("event", "text"), CLIENT_EVENTS)
    def test_written(self, event: ClientEvent, text: bytes) -> None:
        """What is not said is not sent, and what is 0 or empty but said is."""
        assert encode(event) == text

    @pytest.mark.parametrize(("event", "text"), CLIENT_EVENTS)
    def test_is_what_openai_takes(self, event: ClientEvent, text: bytes) -> None:
        """All that we send is, to the field, a client event of the openai package."""
        assert refused_by_openai(text) == []

    @pytest.mark.parametrize(("event", "text"), CLIENT_EVENTS)
    def test_read(self, event: ClientEvent, text: bytes) -> None:
        """The simulator reads what we write."""
        assert parse_client(text) == event

    def test_append_of_raw_sound(self) -> None:
        """The fast way of writing an append writes the same."""
        pcm = bytes(range(256)) * 7
        audio = pybase64.b64encode(pcm).decode()
        assert encode_append(pcm) == encode(InputAudioBufferAppend(audio))
        assert refused_by_openai(encode_append(pcm)) == []

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "5",
            "{}",
            '{"type": "response.done"}',
            '{"type": "conversation.item.truncate"}',
            '{"type": "session.update", "session": []}',
            b'{"type": "response.cancel", "response_id": "\xff"}',
        ],
    )
    def test_broken(self, text: str | bytes) -> None:
        """A client event that is none is a RealtimeError."""
        with pytest.raises(RealtimeError):
            parse_client(text)

    def test_server_events_are_written_too(self) -> None:
        """The gateway makes some itself, for whoever controls a call."""
        event = InputAudioBufferDtmfEventReceived("4", timestamp_ms=1200, event_id="e")
        assert json.loads(encode(event)) == {
            "type": "input_audio_buffer.dtmf_event_received",
            "event_id": "e",
            "digit": "4",
            "timestamp_ms": 1200,
            "received_at": None,
        }
