"""A Realtime server's side of one session: texts and `now` in, texts out (pure).

It validates what the client sends, hears turns in the audio, keeps the conversation and plays
responses; ordering and semantics are those of OpenAI's Realtime API over a WebSocket. What it
says comes from a script, what it sounds like from a `Speech`.

`close` is set when it wants the socket closed. Left out: what belongs to other transports
(output_audio_buffer, DTMF events), MCP, and the token limit of a response.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .dialect import dialect as dialect_of
from .input_audio import InputAudio
from .items import Item, Items, Part, text_tokens
from .prompter import STILL_THERE, Prompter
from .responses import Event, Pace, Request, Response, item_event, words_of
from .schema import Refusal
from .script import Script, Turn
from .session import Session
from .speech import Speech, language_of
from .vad import SpeechStarted
from .validation import Validator, parse

TRANSCRIPTION_LATENCY = 0.3  # s after the commit, independent of the response


class Conversation:
    """`speed` is of the deltas, times real time; `latency` (s) comes before them."""

    def __init__(
        self,
        script: Script,
        *,
        speech: Speech,
        token: Callable[[], str],
        dialect: str = "openai",
        model: str = "simulator",
        speed: float = 5.0,
        latency: float = 0.2,
        chunk_ms: int = 200,
    ) -> None:
        self.close: tuple[int, str] | None = None  # code and reason
        self._script = script
        self._dialect = dialect_of(dialect)
        self._pace = Pace(speed, latency, chunk_ms)
        self._speech = speech
        self._token = token
        self._validator = Validator(self._dialect)
        self._session = Session(self._dialect, f"sess_{token()}", model)
        self._conversation_id = f"conv_{token()}"
        self._items = Items()
        self._input = InputAudio(self._session.input_format, self._session.vad)
        self._prompter = Prompter(script)
        self._response: Response | None = None  # the one of the default conversation
        self._asides: list[Response] = []  # those out of band
        self._later: list[tuple[float, list[Event]]] = []
        self._idle_at: float | None = None
        self._close_at: float | None = None
        self._turn: tuple[str, int] | None = None  # item id and start (ms) of a turn being heard
        self._spoken = False
        self._transcripts: list[str] = []  # all words the user ever said
        self._events = 0  # sent

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        if self.close:
            return None
        times = [response.deadline for response in self._responses()]
        times += [self._idle_at, self._close_at, *(due for due, _ in self._later)]
        return min((time for time in times if time is not None), default=None)

    def open(self, now: float) -> list[str]:
        """The socket is open."""
        faults = self._script.faults
        if faults.close_after_s is not None:
            self._close_at = now + faults.close_after_s
        if faults.silent:
            return []
        return self._texts([{"type": "session.created", "session": self._session.wire()}])

    def receive(self, message: str | bytes, now: float) -> list[str]:
        """One message of the client."""
        texts = self.handle_timer(now)
        if self.close or self._script.faults.silent:
            return texts
        event_id = None
        try:
            event = parse(message)
            event_id = event.get("event_id")
            self._validator.check(event)
            answer = self._act(event, now)
        except Refusal as refusal:
            answer = [_error(refusal, event_id if isinstance(event_id, str) else None)]
        return texts + self._texts(answer)

    def handle_timer(self, now: float) -> list[str]:
        """Whatever is due."""
        if self._close_at is not None and now >= self._close_at and not self.close:
            self.close = (self._script.faults.close_code, "As the script says.")
        if self.close:
            return []
        events = []
        for response in self._responses():
            events += response.run(now)
            self._ended(response)
        for due, later in list(self._later):
            if due <= now:
                self._later.remove((due, later))
                events += later
        if self._idle_at is not None and now >= self._idle_at:
            events += self._time_out(now)
        return self._texts(events)

    def _responses(self) -> list[Response]:
        return [*([self._response] if self._response else []), *self._asides]

    def _ended(self, response: Response) -> None:
        """Forget a response that is done; the time to say something then begins."""
        self._spoken = self._spoken or response.spoken_ms > 0
        if not response.done:
            return
        if response is not self._response:
            self._asides.remove(response)
            return
        self._response = None
        timeout = self._session.idle_timeout
        if timeout is not None and not self._turn:
            self._idle_at = response.ended_at + response.spoken_ms / 1000 + timeout

    # What a client can ask

    def _act(self, event: Mapping[str, Any], now: float) -> list[Event]:
        match event["type"]:
            case "session.update":
                return self._update(event["session"])
            case "input_audio_buffer.append":
                return self._append(event["audio"], now)
            case "input_audio_buffer.commit":
                return self._commit_by_client(now)
            case "input_audio_buffer.clear":
                return self._clear()
            case "conversation.item.create":
                return self._create_item(event["item"], event.get("previous_item_id"))
            case "conversation.item.retrieve":
                item = self._items.get(event["item_id"], "retrieve", "retrieving")
                wire = item.wire(with_audio=True)
                return [{"type": "conversation.item.retrieved", "item": wire}]
            case "conversation.item.truncate":
                return self._truncate(event)
            case "conversation.item.delete":
                item = self._items.get(event["item_id"], "delete", "deleting")
                self._items.remove(item)
                return [{"type": "conversation.item.deleted", "item_id": item.id}]
            case "response.create":
                return self._create_response(event.get("response") or {}, now)
            case "response.cancel":
                return self._cancel(event.get("response_id"), now)
            case _:
                raise _unsupported("output_audio_buffer.clear", "over a WebSocket")

    def _update(self, patch: Mapping[str, Any]) -> list[Event]:
        self._session.update(patch, spoken=self._spoken)
        self._input.configure(self._session.input_format, self._session.vad)
        if self._session.idle_timeout is None:
            self._idle_at = None
        updated = {"type": "session.updated", "session": self._session.wire()}
        events = [updated] * (2 if self._dialect.updates_twice else 1)
        if self._script.faults.unknown_event:
            events.append({"type": "session.something_new", "detail": {"answer": 42}})
        if self._script.faults.broken_json:
            events.append(_BROKEN)
        return events

    def _append(self, audio: str, now: float) -> list[Event]:
        events = []
        for activity in self._input.append(audio):
            if isinstance(activity, SpeechStarted):
                events += self._speech_started(activity.audio_start_ms, now)
            else:
                events += self._speech_stopped(activity.audio_end_ms, now)
        return events

    def _speech_started(self, start_ms: int, now: float) -> list[Event]:
        item_id = self._item_id()
        self._turn = (item_id, start_ms)
        kind = "input_audio_buffer.speech_started"
        events = [{"type": kind, "audio_start_ms": start_ms, "item_id": item_id}]
        if self._response and self._session.interrupts:
            events += self._stop(self._response, "turn_detected", now)
        self._idle_at = None
        return events

    def _speech_stopped(self, end_ms: int, now: float) -> list[Event]:
        assert self._turn is not None  # the VAD never stops what it has not started
        item_id, start_ms = self._turn
        audio = self._input.take(start_ms, end_ms)
        kind = "input_audio_buffer.speech_stopped"
        events = [{"type": kind, "audio_end_ms": end_ms, "item_id": item_id}]
        events += self._commit(item_id, audio, self._prompter.hears, now)
        if self._session.creates_responses:
            events += self._answer_turn(now)
        return events

    def _answer_turn(self, now: float) -> list[Event]:
        """The response that the server makes by itself, after a turn."""
        if self._response:
            return [_error(_already_active(self._response), None)]
        return self._respond({}, self._prompter.turn(), now)

    def _time_out(self, now: float) -> list[Event]:
        """Nobody spoke for idle_timeout_ms: the silence is a turn."""
        timeout, clock, item_id = self._session.idle_timeout, self._input.clock_ms, self._item_id()
        self._idle_at = None
        start_ms = max(clock - round((timeout or 0) * 1000), 0)
        triggered = {
            "type": "input_audio_buffer.timeout_triggered",
            "audio_start_ms": start_ms,
            "audio_end_ms": clock,
            "item_id": item_id,
        }
        events = [triggered, *self._commit(item_id, self._input.take(start_ms, clock), "", now)]
        return events + self._respond({}, Turn(say=(STILL_THERE,)), now)

    def _commit_by_client(self, now: float) -> list[Event]:
        audio = self._input.commit()
        item_id = self._turn[0] if self._turn else self._item_id()
        return self._commit(item_id, audio, self._prompter.hears, now)

    def _commit(self, item_id: str, audio: bytes, hears: str, now: float) -> list[Event]:
        """A user's turn enters the conversation."""
        self._turn = None
        part = Part("input_audio", audio=bytearray(audio), format=self._input.format)
        item = Item(item_id, "message", "user", [part])
        self._items.append(item)
        before = self._items.before(item)
        committed = {"type": "input_audio_buffer.committed", "item_id": item_id}
        events: list[Event] = [committed | {"previous_item_id": before}]
        if self._dialect.always_transcribes:
            events += self._transcribe_growing(item, hears)
        events += self._item_events(item)
        if self._session.transcribes and not self._dialect.always_transcribes:
            self._later.append((now + TRANSCRIPTION_LATENCY, _transcription(item, hears)))
            part.text = hears
        return events

    def _transcribe_growing(self, item: Item, hears: str) -> list[Event]:
        """All that the user ever said, and again as more of it is understood."""
        words = hears.split()
        item.content[0].text = hears
        half = [*self._transcripts, *words[: len(words) // 2]]
        self._transcripts += words
        return [_transcribed(item, " ".join(text)) for text in (half, self._transcripts)]

    def _clear(self) -> list[Event]:
        if not self._dialect.clears:
            raise _unsupported("input_audio_buffer.clear", "yet")
        self._input.clear()
        self._turn = None
        return [{"type": "input_audio_buffer.cleared"}]

    def _create_item(self, given: Mapping[str, Any], after: str | None) -> list[Event]:
        item = Item.created(given, given.get("id") or self._item_id(), self._input.format)
        self._items.insert(item, after)
        return self._item_events(item)

    def _item_events(self, item: Item) -> list[Event]:
        verbs = ["created"] if self._dialect.beta_item_events else ["added", "done"]
        return [item_event(verb, item, self._items) for verb in verbs]

    def _truncate(self, event: Mapping[str, Any]) -> list[Event]:
        item = self._items.get(event["item_id"], "truncate", "truncating")
        item.truncate(event["content_index"], event["audio_end_ms"])
        place = ("item_id", "content_index", "audio_end_ms")
        truncated = {"type": "conversation.item.truncated"}
        return [truncated | {name: event[name] for name in place}]

    def _create_response(self, asked: Mapping[str, Any], now: float) -> list[Event]:
        aside = asked.get("conversation") == "none"
        if self._response and not aside:
            raise _already_active(self._response)
        context = self._context(asked)
        prompt = context[-1] if context else None
        instructions = asked.get("instructions", "")
        if aside:
            turn = self._prompter.aside(instructions, prompt)
        else:
            turn = self._prompter.answer(instructions, self._items, prompt)
        return self._respond(asked, turn, now)

    def _context(self, asked: Mapping[str, Any]) -> list[Item]:
        """The items that a response answers: its own input, or the conversation."""
        if "input" not in asked:
            return list(self._items)
        known = {item.id: item for item in self._items}
        context = []
        for index, given in enumerate(asked["input"]):
            if given["type"] != "item_reference":
                context.append(Item.created(given, "", self._input.format))
            elif given["id"] in known:
                context.append(known[given["id"]])
            else:
                raise Refusal(
                    f"Item with id '{given['id']}' not found.",
                    code="invalid_value",
                    param=f"response.input[{index}].id",
                )
        return context

    def _respond(self, asked: Mapping[str, Any], turn: Turn, now: float) -> list[Event]:
        aside = asked.get("conversation") == "none"
        request = self._request(asked, None if aside else self._conversation_id)
        response = Response(
            request,
            turn,
            now,
            dialect=self._dialect,
            pace=self._pace,
            say=lambda text: request.format.encode(
                self._speech.say(text, request.format.rate, language_of(text))
            ),
            token=self._token,
            items=None if aside else self._items,
        )
        if aside:
            self._asides.append(response)
        else:
            self._response, self._idle_at = response, None
        events = response.run(now)
        self._ended(response)
        return events

    def _request(self, asked: Mapping[str, Any], conversation_id: str | None) -> Request:
        session = self._session
        output = asked.get("audio", {}).get("output", {})
        voice = output.get("voice", session.voice)
        parts = [part for item in self._context(asked) for part in item.content]
        instructions = asked.get("instructions", session.instructions)
        text = sum(part.tokens for part in parts if not part.spoken)
        return Request(
            id=f"resp_{self._token()}",
            conversation_id=conversation_id,
            modality=asked.get("output_modalities", [session.modality])[0],
            format=session.format_of(output),
            voice=voice["id"] if isinstance(voice, dict) else voice,
            max_output_tokens=asked.get("max_output_tokens", session.max_output_tokens),
            metadata=asked.get("metadata"),
            input_audio_tokens=sum(part.tokens for part in parts if part.spoken),
            input_text_tokens=text + text_tokens(instructions),
        )

    def _cancel(self, response_id: str | None, now: float) -> list[Event]:
        active = {response.request.id: response for response in self._responses()}
        response = self._response if response_id is None else active.get(response_id)
        if response is None:
            raise Refusal(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        return self._stop(response, "client_cancelled", now)

    def _stop(self, response: Response, reason: str, now: float) -> list[Event]:
        events = response.cancel(reason, now)
        self._ended(response)
        return events

    def _item_id(self) -> str:
        return f"item_{self._token()}"

    def _texts(self, events: list[Event]) -> list[str]:
        return [_BROKEN_TEXT if event is _BROKEN else self._text(event) for event in events]

    def _text(self, event: Event) -> str:
        self._events += 1
        return json.dumps(event | {"event_id": f"event_{self._events:06}"})


_BROKEN: Event = {"type": "a fault of the script"}
_BROKEN_TEXT = '{"type": "response.done", "response": {"id": '


def _error(refusal: Refusal, event_id: str | None) -> Event:
    error = {
        "type": "invalid_request_error",
        "code": refusal.code,
        "message": refusal.message,
        "param": refusal.param,
        "event_id": event_id,
    }
    return {"type": "error", "error": error}


def _already_active(response: Response) -> Refusal:
    return Refusal(
        f"Conversation already has an active response in progress: {response.request.id}. "
        "Wait until the response is finished before creating a new one.",
        code="conversation_already_has_active_response",
    )


def _unsupported(event: str, where: str) -> Refusal:
    return Refusal(f"{event} is not supported {where}.", code="invalid_value", param="type")


def _transcription(item: Item, hears: str) -> list[Event]:
    """The events of the separate speech recognition of one turn."""
    kind = "conversation.item.input_audio_transcription.delta"
    place = {"item_id": item.id, "content_index": 0}
    events: list[Event] = [{"type": kind, **place, "delta": word} for word in words_of(hears)]
    usage = {"type": "duration", "seconds": item.content[0].ms / 1000}
    return [*events, _transcribed(item, hears) | {"usage": usage}]


def _transcribed(item: Item, text: str) -> Event:
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": item.id, "content_index": 0, "transcript": text}
