"""A response's events: their order (openai and yandex), their times, and how it is ended."""

from __future__ import annotations

import base64
from typing import Any

from gateway.simulator.dialect import OPENAI, YANDEX, Dialect
from gateway.simulator.formats import AudioFormat
from gateway.simulator.items import Items
from gateway.simulator.responses import Event, Pace, Request, Response
from gateway.simulator.script import Call, Turn
from tests.simulator.client import audio_of, counter, types

PCM = AudioFormat("audio/pcm", 24000)
SECOND = bytes(range(240)) * 200  # of audio


class Sink:
    """One response, played on virtual time from 0."""

    def __init__(
        self,
        turn: Turn,
        *,
        dialect: Dialect = OPENAI,
        modality: str = "audio",
        aside: bool = False,
        **pace: Any,
    ) -> None:
        self.items = Items()
        self.response = Response(
            Request("resp_1", None if aside else "conv_1", modality, PCM, "alloy"),
            turn,
            0.0,
            dialect=dialect,
            pace=Pace(**{"speed": 1.0, "latency": 0.5, "chunk_ms": 200} | pace),
            say=lambda text: SECOND,
            token=counter(),
            items=None if aside else self.items,
        )

    def all(self) -> list[Event]:
        return self.response.run(1e9)


def test_the_order_of_an_audio_reply() -> None:
    """created, output_item.added, item.added, content_part.added, deltas, the done events."""
    assert [event["type"] for event in Sink(Turn(say=("One two.",)), chunk_ms=500).all()] == [
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]


def test_the_order_of_yandex() -> None:
    """The transcript as text at content_index 0, audio at 1, item.created empty and filled."""
    events = Sink(Turn(say=("One two.",)), dialect=YANDEX, chunk_ms=1000).all()
    assert [(event["type"], event.get("content_index")) for event in events] == [
        ("response.created", None),
        ("response.output_item.added", None),
        ("conversation.item.created", None),
        ("response.content_part.added", 0),
        ("response.content_part.added", 1),
        ("response.output_text.delta", 0),
        ("response.output_audio.delta", 1),
        ("response.output_audio.done", 1),
        ("response.output_text.done", 0),
        ("response.output_audio_transcript.done", 1),
        ("response.content_part.done", 0),
        ("response.content_part.done", 1),
        ("response.output_item.done", None),
        ("conversation.item.created", None),
        ("response.done", None),
    ]
    created = [event["item"] for event in events if event["type"] == "conversation.item.created"]
    assert [len(item["content"]) for item in created] == [0, 2]
    assert events[0]["response"]["audio"]["output"]["format"]["rate"] is None


def test_text_alone() -> None:
    events = Sink(Turn(say=("One two.",)), modality="text").all()
    assert [event["type"] for event in events[4:9]] == [
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
    ]
    assert events[7] == {
        "type": "response.output_text.done",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "text": "One two.",
    }
    done = events[-1]["response"]
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "One two."}]
    assert done["output_modalities"] == ["text"]
    assert done["usage"]["output_token_details"] == {"audio_tokens": 0, "text_tokens": 2}


def test_text_alone_of_yandex_has_one_part() -> None:
    events = Sink(Turn(say=("One.",)), modality="text", dialect=YANDEX).all()
    assert len([event for event in events if event["type"] == "response.content_part.done"]) == 1


def test_the_audio_is_all_there_and_goes_with_its_words() -> None:
    events = Sink(Turn(say=("  One two\nthree four five six. ",))).all()
    assert audio_of(events) == SECOND
    words = [e["delta"] for e in events if e["type"] == "response.output_audio_transcript.delta"]
    assert "".join(words) == "  One two\nthree four five six. "
    assert len(words) == 5
    (done,) = (e for e in events if e["type"] == "response.output_audio_transcript.done")
    assert done["transcript"] == "  One two\nthree four five six. "


def test_deltas_come_at_the_speed_asked_for() -> None:
    sink = Sink(Turn(say=("One",)), speed=4.0)
    times: list[tuple[float, int]] = []
    while not sink.response.done:
        assert sink.response.deadline is not None
        now = sink.response.deadline
        deltas = [e for e in sink.response.run(now) if e["type"] == "response.output_audio.delta"]
        times.append((round(now, 6), len(deltas)))
    assert times == [(0.0, 0), (0.5, 1), (0.55, 1), (0.6, 1), (0.65, 1), (0.7, 1), (0.75, 0)]
    assert round(sink.response.ended_at, 6) == 0.75
    assert sink.response.spoken_ms == 1000


def test_several_items_in_one_response() -> None:
    events = Sink(Turn(say=("One.", "Two."))).all()
    done = events[-1]["response"]
    assert [item["content"][0]["transcript"] for item in done["output"]] == ["One.", "Two."]
    added = [e for e in events if e["type"] == "response.output_item.added"]
    assert [(e["output_index"], e["item"]["id"]) for e in added] == [(0, "item_1"), (1, "item_2")]
    assert audio_of(events, "item_2") == SECOND
    previous = [e["previous_item_id"] for e in events if e["type"] == "conversation.item.done"]
    assert previous == [None, "item_1"]


def test_a_function_call_after_what_was_said() -> None:
    call = Call("find", '{"phone": "+74951234567"}')
    events = Sink(Turn(say=("A moment.",), call=call)).all()
    assert types(events)[-6:] == [
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    deltas = [e for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(e["delta"] for e in deltas) == call.arguments
    assert len(deltas) == 3
    (done,) = (e for e in events if e["type"] == "response.function_call_arguments.done")
    assert done == {
        "type": "response.function_call_arguments.done",
        "response_id": "resp_1",
        "item_id": "item_3",
        "output_index": 1,
        "call_id": "call_2",
        "name": "find",
        "arguments": call.arguments,
    }
    assert [item["type"] for item in events[-1]["response"]["output"]] == [
        "message",
        "function_call",
    ]


def test_a_response_outside_the_conversation_leaves_no_items() -> None:
    sink = Sink(Turn(say=("One.",)), aside=True)
    events = sink.all()
    assert not [e for e in events if e["type"].startswith("conversation.")]
    assert sink.items.last is None
    assert events[-1]["response"]["conversation_id"] is None


def test_cancel_closes_what_is_open() -> None:
    """audio.done, transcript.done, content_part.done, output_item.done (incomplete), and
    response.done (cancelled): always the last."""
    sink = Sink(Turn(say=("One two three four five.",)))
    sink.response.run(0.95)
    events = sink.response.cancel("turn_detected", 1.0)
    assert types(events) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    assert events[1]["transcript"] == "One two three"
    assert events[3]["item"]["status"] == "incomplete"
    done = events[-1]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["usage"]["output_token_details"]["audio_tokens"] == 12
    assert sink.response.done
    assert sink.response.run(1e9) == []
    assert sink.response.ended_at == 1.0


def test_cancel_before_anything_was_said() -> None:
    sink = Sink(Turn(say=("One",)))
    sink.response.run(0.0)
    events = sink.response.cancel("client_cancelled", 0.1)
    assert types(events) == ["response.done"]
    assert events[0]["response"]["output"] == []


def test_cancel_between_two_items_has_nothing_open() -> None:
    sink = Sink(Turn(say=("One",), call=Call("f", "{" + " " * 30 + "}")))
    sink.response.run(1.5)
    events = sink.response.cancel("client_cancelled", 1.5)
    assert types(events) == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.done",
    ]
    assert len(events[0]["arguments"]) == 12


def test_what_is_generated_after_a_truncate_is_not_remembered() -> None:
    sink = Sink(Turn(say=("One two three four five.",)))
    sink.response.run(0.95)
    item = sink.items.last
    assert item is not None
    item.truncate(0, 500)
    events = sink.all()
    assert audio_of(events) == SECOND[28800:]
    assert item.content[0].ms == 500
    assert item.content[0].text == ""
    assert events[-1]["response"]["status"] == "completed"


def test_a_failure_is_told_in_response_done_alone() -> None:
    done = Sink(Turn(fail="inference_rate_limit_exceeded")).all()[-1]["response"]
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["code"] == "inference_rate_limit_exceeded"


def test_g711_goes_out_in_its_own_bytes() -> None:
    response = Response(
        Request("r", "c", "audio", AudioFormat("audio/pcmu", 8000), "alloy"),
        Turn(say=("One",)),
        0.0,
        dialect=OPENAI,
        pace=Pace(chunk_ms=20),
        say=lambda text: b"\xff" * 330,
        token=counter(),
        items=None,
    )
    deltas = [e["delta"] for e in response.run(9.0) if e["type"] == "response.output_audio.delta"]
    assert [len(base64.b64decode(delta)) for delta in deltas] == [160, 160, 10]
