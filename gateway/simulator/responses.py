"""One response: its events, in their order and at their times (pure).

A response is a plan that was made when it was created, and is played out by `run`: faster than
real time, audio and transcript interleaved. What was not yet played does not exist: neither
`cancel` nor a truncate of its items sees it.

    response.created  rate_limits.updated
      per item:  output_item.added  item.added  content_part.added
                 deltas …  audio.done  transcript.done  content_part.done
                 output_item.done  item.done
    response.done                                   always, and always last
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pybase64

from .dialect import Dialect
from .formats import AudioFormat
from .items import Item, Items, Part, text_tokens
from .script import Call, Turn

Event = dict[str, Any]
ARGUMENT_PIECE = 12  # characters of function call arguments in a delta
_RATE_LIMITS = [
    {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 0.06},
    {"name": "tokens", "limit": 400000, "remaining": 395000, "reset_seconds": 0.75},
]


@dataclass(frozen=True, slots=True)
class Pace:
    speed: float = 5.0  # times real time
    latency: float = 0.2  # s from a response's creation to its first item
    chunk_ms: int = 200  # of audio in a delta


@dataclass(frozen=True, slots=True)
class Request:
    """What a response was asked to be."""

    id: str
    conversation_id: str | None  # None: out of band
    modality: str  # "audio" or "text"
    format: AudioFormat
    voice: str
    max_output_tokens: int | str = "inf"
    metadata: dict[str, str] | None = None
    input_audio_tokens: int = 0
    input_text_tokens: int = 0


class Response:
    """`say` gives a text as audio in the request's format; `items` is where its items go."""

    def __init__(
        self,
        request: Request,
        turn: Turn,
        now: float,
        *,
        dialect: Dialect,
        pace: Pace,
        say: Callable[[str], bytes],
        token: Callable[[], str],
        items: Items | None,
    ) -> None:
        self.request = request
        self.deadline: float | None = now
        self.ended_at = now  # s, the time of response.done once it has come
        self.spoken_ms = 0  # of audio in all its deltas
        self._dialect = dialect
        self._pace = pace
        self._say = say
        self._token = token
        self._items = items
        self._output: list[Item] = []
        self._open: Item | None = None  # the item that is being generated
        self._plan = self._play(turn)

    @property
    def done(self) -> bool:
        return self.deadline is None

    def run(self, now: float) -> list[Event]:
        """The events that are due."""
        events = []
        while self.deadline is not None and self.deadline <= now:
            step = next(self._plan, None)
            if step is None:
                self.ended_at, self.deadline = self.deadline, None
            elif isinstance(step, float):
                self.deadline += step
            else:
                events.append(step)
        return events

    def cancel(self, reason: str, now: float) -> list[Event]:
        """End it now: turn_detected or client_cancelled."""
        self.ended_at, self.deadline = now, None
        events = list(self._close("incomplete"))
        return [*events, self._end("cancelled", {"type": "cancelled", "reason": reason})]

    def _play(self, turn: Turn) -> Iterator[Event | float]:
        """Events, and between them seconds to wait."""
        yield {"type": "response.created", "response": self._wire("in_progress")}
        if self._dialect.rate_limits:
            yield {"type": "rate_limits.updated", "rate_limits": _RATE_LIMITS}
        yield float(self._pace.latency)
        for text in turn.say:
            yield from self._message(text)
        if turn.call:
            yield from self._function_call(turn.call)
        if turn.fail:
            error = {"type": "server_error", "code": turn.fail, "message": "As the script says."}
            yield self._end("failed", {"type": "failed", "error": error})
        else:
            yield self._end("completed")

    def _message(self, text: str) -> Iterator[Event | float]:
        item = Item(f"item_{self._token()}", "message", "assistant", status="in_progress")
        yield from self._begin(item)
        kinds = ["output_text"] if self._text_first else []
        kinds += ["output_audio"] if self.request.modality == "audio" else []
        for index, kind in enumerate(kinds):
            item.content.append(Part(kind, "", format=self.request.format))
            part = self._part_wire(item.content[index], added=True)
            yield self._of_part("response.content_part.added", index, part=part)
        if self.request.modality == "audio":
            yield from self._speak(text, item)
        else:
            for word in words_of(text):
                yield self._write(item, word)
        yield from self._close("completed")

    @property
    def _text_first(self) -> bool:
        return self._dialect.text_part or self.request.modality == "text"

    def _speak(self, text: str, item: Item) -> Iterator[Event | float]:
        audio, words, written = self._say(text), words_of(text), 0
        part = item.content[-1]
        size = part.format.size(self._pace.chunk_ms)
        for start in range(0, len(audio), size):
            piece = audio[start : start + size]
            due = -(-len(words) * min(start + size, len(audio)) // len(audio))
            if due > written:
                yield self._write(item, "".join(words[written:due]))
                written = due
            self.spoken_ms += part.format.ms(len(piece))
            if not part.cut:
                part.audio += piece
            delta = pybase64.b64encode(piece).decode()
            yield self._of_part("response.output_audio.delta", len(item.content) - 1, delta=delta)
            yield part.format.ms(len(piece)) / 1000 / self._pace.speed

    def _write(self, item: Item, delta: str) -> Event:
        """More of the text, or of the transcript, in every part that shows it."""
        for part in item.content:
            part.text = (part.text or "") + ("" if item.content[-1].cut else delta)
        name = "output_text" if self._text_first else "output_audio_transcript"
        return self._of_part(f"response.{name}.delta", 0, delta=delta)

    def _function_call(self, call: Call) -> Iterator[Event | float]:
        fields = {"call_id": f"call_{self._token()}", "name": call.name, "arguments": ""}
        item = Item(f"item_{self._token()}", "function_call", status="in_progress", fields=fields)
        yield from self._begin(item)
        for start in range(0, len(call.arguments), ARGUMENT_PIECE):
            delta = call.arguments[start : start + ARGUMENT_PIECE]
            fields["arguments"] += delta
            yield self._of_item(
                "response.function_call_arguments.delta", call_id=fields["call_id"], delta=delta
            )
            yield 0.05 / self._pace.speed
        yield from self._close("completed")

    def _begin(self, item: Item) -> Iterator[Event]:
        self._open = item
        self._output.append(item)
        yield self._of_output("response.output_item.added", item)
        if self._items is not None:
            self._items.append(item)
            added = "created" if self._dialect.beta_item_events else "added"
            yield item_event(added, item, self._items)

    def _close(self, status: str) -> Iterator[Event]:
        """All the done events of the item in progress, if there is one.

        conversation.item.done comes only for an item that was completed."""
        item = self._open
        if item is None:
            return
        if item.type == "function_call":
            yield self._of_item("response.function_call_arguments.done", **item.fields)
        else:
            yield from self._close_parts(item)
        item.status = status
        yield self._of_output("response.output_item.done", item)
        if self._items is not None and status == "completed":
            done = "created" if self._dialect.beta_item_events else "done"
            yield item_event(done, item, self._items)
        self._open = None

    def _close_parts(self, item: Item) -> Iterator[Event]:
        audio = len(item.content) - 1
        spoken = bool(item.content) and item.content[audio].spoken
        text = (item.content[0].text or "") if item.content else ""
        if spoken:
            yield self._of_part("response.output_audio.done", audio)
        if self._text_first and item.content:
            yield self._of_part("response.output_text.done", 0, text=text)
        if spoken:
            name = "response.output_audio_transcript.done"
            yield self._of_part(name, audio, transcript=text)
        for index, part in enumerate(item.content):
            wire = self._part_wire(part)
            yield self._of_part("response.content_part.done", index, part=wire)

    def _part_wire(self, part: Part, *, added: bool = False) -> Event:
        kind, field = ("audio", "transcript") if part.spoken else ("text", "text")
        name = f"output_{kind}" if self._dialect.text_part else kind
        return {"type": name, field: "" if added else part.text}

    def _end(self, status: str, details: Event | None = None) -> Event:
        return {"type": "response.done", "response": self._wire(status, details, ended=True)}

    def _wire(self, status: str, details: Event | None = None, *, ended: bool = False) -> Event:
        request = self.request
        format = self._dialect.echo(request.format.wire())
        return {
            "object": "realtime.response",
            "id": request.id,
            "status": status,
            "status_details": details,
            "output": [item.wire() for item in self._output],
            "conversation_id": request.conversation_id,
            "output_modalities": self._dialect.modalities(request.modality),
            "max_output_tokens": request.max_output_tokens,
            "audio": {"output": {"format": format, "voice": request.voice}},
            "usage": self._usage() if ended else None,
            "metadata": request.metadata,
        }

    def _usage(self) -> Event:
        request = self.request
        parts = [part for item in self._output for part in item.content]
        arguments = "".join(item.fields.get("arguments", "") for item in self._output)
        audio = sum(part.tokens for part in parts if part.spoken)
        text = sum(text_tokens(part.text or "") for part in parts) + text_tokens(arguments)
        given = request.input_audio_tokens + request.input_text_tokens
        return {
            "total_tokens": given + audio + text,
            "input_tokens": given,
            "output_tokens": audio + text,
            "input_token_details": {
                "audio_tokens": request.input_audio_tokens,
                "text_tokens": request.input_text_tokens,
                "cached_tokens": 0,
            },
            "output_token_details": {"audio_tokens": audio, "text_tokens": text},
        }

    def _of_output(self, kind: str, item: Item) -> Event:
        index = len(self._output) - 1
        return {
            "type": kind,
            "response_id": self.request.id,
            "output_index": index,
            "item": item.wire(),
        }

    def _of_item(self, kind: str, **fields: Any) -> Event:
        return {
            "type": kind,
            "response_id": self.request.id,
            "item_id": self._output[-1].id,
            "output_index": len(self._output) - 1,
            **fields,
        }

    def _of_part(self, kind: str, content_index: int, **fields: Any) -> Event:
        return self._of_item(kind, content_index=content_index, **fields)


def item_event(verb: str, item: Item, items: Items) -> Event:
    """conversation.item.added, .done or .created."""
    return {
        "type": f"conversation.item.{verb}",
        "previous_item_id": items.before(item),
        "item": item.wire(),
    }


def words_of(text: str) -> list[str]:
    """Pieces that together are the text."""
    return re.findall(r"\s*\S+\s*$|\s*\S+", text)
