"""Bridge: what one call does when the caller or the model does something. Pure.

Events in, actions out; call.py carries them out. The rules of barge-in are those of design §3
and of the Realtime API: the queue is dropped in the same tick, the item at the playhead is
truncated where the caller stopped hearing it, items that were not heard at all are deleted, late
deltas of the dead response are dropped, and a response is cancelled only where the server does
not do so itself. The place is counted by the playout, never timed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.audio.playout import Heard, Part
from gateway.realtime import events as ev

from .keypad import Begun, Entered, Keypad, KeypadEvent
from .line import Line
from .record import BargeIn, EndedBy, Record, ToolUse, Turn
from .tools import FunctionCall, HangUpAsked, outcome

CANCEL_AFTER = 2.0  # s in which a server that hears the caller must have ended its response
FAREWELL = 10.0  # s after which a call that the model ended is over, heard or not
APPENDS = 500  # appends of which the time is remembered (20 s at 40 ms), for the onset
JITTER_AND_FRAME = 0.02  # s, the frame in which the far end's sound began


@dataclass(frozen=True, slots=True)
class Send:
    """Say this to the model."""

    event: ev.ClientEvent


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""

    by: EndedBy
    cause: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the operator wants to see in the log."""

    name: str
    values: Mapping[str, Any]


Action = Send | HangUp | Note


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an agent answers the phone, as far as the bridge decides it."""

    instructions: str = ""
    greeting: str | None = None  # None: the caller speaks first
    interruptible: bool = True  # may the greeting be interrupted
    truncate_at: str = "sent"  # sent, onset (design §3)
    tools: Sequence[str] = ("hang_up",)
    builtin_tools: frozenset[str] = frozenset()  # the backend runs these itself: never answered
    keypad_interrupts: bool = True
    cancels_on_speech: bool = True  # the server stops its response when it hears the caller
    padding_ms: int = 300  # by which the server dates the caller's speech back
    loop_delay: float = 0.06  # s from us to the caller's ear and back, where nothing tells
    cumulative_transcripts: bool = False  # a transcript repeats those before it


@dataclass(slots=True)
class _Dead:
    """A response that the caller interrupted and whose end has not come yet."""

    known: set[str]  # items that were dealt with
    cancel_at: float | None  # when to cancel it after all; None: that was done
    late: list[str] = field(default_factory=list)  # items that showed only afterwards


class Bridge:
    """The decisions of one call.

    `wall` turns the monotonic `now` into seconds since 1970, for the record; `input_rate` is the
    rate in Hz at which audio is appended.
    """

    def __init__(
        self,
        line: Line,
        record: Record,
        keypad: Keypad,
        behaviour: Behaviour,
        *,
        input_rate: int,
        wall: Callable[[float], float],
    ) -> None:
        self._line = line
        self._record = record
        self._keypad = keypad
        self._how = behaviour
        self._input_rate = input_rate
        self._wall = wall
        self._response: str | None = None  # the one that is being generated
        self._dead: dict[str, _Dead] = {}
        self._calls: list[FunctionCall] = []
        self._greeting = False  # the greeting has not been heard to its end
        self._farewell: FunctionCall | None = None
        self._farewell_ends = 0.0
        self._turn: Turn | None = None
        self._turn_began = 0.0
        self._turn_response: str | None = None
        self._texts: dict[str, str] = {}  # what the assistant says, by item
        # for backends that repeat themselves: the item, all that was said with it, and before it
        self._last_transcript = ("", "", "")
        self._appends: deque[tuple[int, float]] = deque(maxlen=APPENDS)
        self._appended = 0  # samples
        self._retried = False

    # -- what happens

    def open(self, now: float) -> list[Action]:
        """The call is answered: greet, or let the caller begin."""
        if self._how.greeting is None:
            return []
        self._greeting = True
        self._line.deaf = not self._how.interruptible
        text = f"{self._how.instructions}\n\nSay exactly: {self._how.greeting}".lstrip()
        return [Send(ev.ResponseCreate(response={"instructions": text}))]

    def receive(self, event: ev.ServerEvent, now: float) -> list[Action]:
        """Take an event of the server."""
        match event:
            case ev.ResponseOutputAudioDelta():
                return self._speech(event, now)
            case ev.InputAudioBufferSpeechStarted(audio_start_ms=start):
                return self._barge_in("speech", now, start)
            case ev.InputAudioBufferSpeechStopped():
                self._turn = Turn(self._wall(now))
                self._turn_began, self._turn_response = now, None
                self._record.turns.append(self._turn)
                return []
            case ev.InputAudioBufferCommitted(item_id=item_id):
                self._record.say("caller", item_id, "")  # holds its place until it is written
                return []
            case ev.ResponseCreated(response=response):
                self._response = response.id
                if self._turn and self._turn_response is None:
                    self._turn_response = response.id
                    self._turn.response_created_ms = self._since_turn(now)
                return []
            case ev.ResponseOutputAudioDone(item_id=item_id):
                self._line.playout.finish(item_id)
                return []
            case ev.ResponseOutputItemDone():
                return self._item_done(event)
            case ev.ResponseDone(response=response):
                return self._response_done(response, now)
            case ev.ResponseOutputAudioTranscriptDelta() | ev.ResponseOutputTextDelta():
                text = self._texts.get(event.item_id, "") + event.delta
                return self._said(event.response_id, event.item_id, text)
            case ev.ResponseOutputAudioTranscriptDone(transcript=text):
                return self._said(event.response_id, event.item_id, text)
            case ev.ResponseOutputTextDone(text=text):
                return self._said(event.response_id, event.item_id, text)
            case ev.ConversationItemInputAudioTranscriptionCompleted():
                return self._caller_said(event.item_id, event.transcript)
            case ev.InputAudioBufferDtmfEventReceived(digit=digit):
                return self.press(digit, now)
            case ev.Error():
                self._greeting = self._line.deaf = False  # should it be the greeting: go on
                return []
            case _:
                return []  # what each of the others means: the table in the test of events.py

    def press(self, digit: str, now: float) -> list[Action]:
        """The caller pressed a key."""
        events = self._keypad.press(digit, now)
        return self._keys(events, now) if events else self._interrupt_again(now)

    def appended(self, samples: int, now: float) -> None:
        """So much of the caller's audio was given to the model, at its rate."""
        self._appended += samples
        self._appends.append((self._appended, now))

    def began(self, part: Part, now: float) -> None:
        """The first sample of a part left for the caller."""
        turn = self._turn
        if turn and turn.first_rtp_ms is None and part.response_id == self._turn_response:
            turn.first_rtp_ms = self._since_turn(now)

    def drained(self, now: float) -> None:
        """All that the model said so far has left for the caller."""
        self._end_greeting()
        if self._farewell:  # the far end's jitter buffer still plays what it holds
            self._farewell_ends = min(self._farewell_ends, now + self._how.loop_delay)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due at `deadline`."""
        if self._farewell and now >= self._farewell_ends:
            return [HangUp("model", "hang_up")]
        actions = self._keys(self._keypad.handle_timer(now), now)
        for response, dead in self._dead.items():
            if dead.cancel_at is not None and now >= dead.cancel_at:
                dead.cancel_at = None
                actions.append(Send(ev.ResponseCancel(response_id=response)))
        return actions

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        due = [dead.cancel_at for dead in self._dead.values()]
        due += [self._farewell_ends if self._farewell else None, self._keypad.deadline]
        return min((at for at in due if at is not None), default=None)

    @property
    def appended_s(self) -> float:
        """Seconds of the caller's audio that the model was given."""
        return self._appended / self._input_rate

    def close(self) -> None:
        """The call is over: keep of the transcript what was heard."""
        for heard in self._line.cut():
            self._keep_heard_text(heard)

    def _end_greeting(self) -> None:
        if self._greeting and self._response is None and not self._line.playout.speaking:
            self._greeting = self._line.deaf = False

    # -- the model speaks

    def _speech(self, event: ev.ResponseOutputAudioDelta, now: float) -> list[Action]:
        if dead := self._dead.get(event.response_id):
            if event.item_id not in dead.known:
                dead.known.add(event.item_id)
                dead.late.append(event.item_id)
            return []
        turn = self._turn
        if turn and turn.first_delta_ms is None and event.response_id == self._turn_response:
            turn.first_delta_ms = self._since_turn(now)
        part = Part(event.response_id, event.item_id, event.content_index)
        self._line.playout.push(part, event.delta)
        return []

    def _item_done(self, event: ev.ResponseOutputItemDone) -> list[Action]:
        item = event.item
        self._line.playout.finish(item.id or "")
        # a cancelled response leaves half a function call: its arguments may be cut short
        if item.type == "function_call" and item.status != "incomplete" and item.call_id:
            self._calls.append(FunctionCall(item.call_id, item.name or "", item.arguments or ""))
        return []

    def _response_done(self, response: ev.Response, now: float) -> list[Action]:
        if self._response == response.id:
            self._response = None
        self._line.playout.finish_response(response.id)
        self._end_greeting()
        calls, self._calls = self._calls, []
        if dead := self._dead.pop(response.id, None):
            return [Send(ev.ConversationItemDelete(item_id=item)) for item in dead.late]
        if response.status == "failed":
            return self._failed(response)
        actions: list[Action] = []
        if response.status == "completed":
            self._retried = False
            actions = self._run(calls, now)
        if self._line.playout.idle:
            self.drained(now)
        return actions

    def _failed(self, response: ev.Response) -> list[Action]:
        error = response.status_details.error if response.status_details else None
        code = (error.code or error.type or "unknown") if error else "unknown"
        message = error.message if error else ""
        note = Note("response_failed", {"code": code, "message": message})
        if code != "server_error" or self._retried:
            return [note]
        self._retried = True  # the server's own fault: once more, then leave it to the caller
        return [note, Send(ev.ResponseCreate())]

    def _run(self, calls: Sequence[FunctionCall], now: float) -> list[Action]:
        """Answer the function calls of one response; all outputs first, then one response."""
        actions: list[Action] = []
        for call in calls:
            if call.name in self._how.builtin_tools:
                continue
            result = outcome(call, self._how.tools)
            ok = isinstance(result, HangUpAsked)
            self._record.tools.append(ToolUse(call.name, 0, ok))
            if isinstance(result, HangUpAsked):
                self._farewell, self._farewell_ends = call, now + FAREWELL
            else:
                actions.append(Note("tool_refused", {"tool": call.name}))
                actions.append(Send(_output(call, result.text)))
        if actions and not self._farewell:
            actions.append(Send(ev.ResponseCreate()))
        return actions

    # -- the caller interrupts

    def _barge_in(self, trigger: str, now: float, start_ms: int | None) -> list[Action]:
        if self._line.deaf:
            return []  # this greeting may not be interrupted
        self._greeting = False
        actions: list[Action] = []
        if self._farewell:
            stays = '{"ended": false, "reason": "The caller interrupted: the call goes on."}'
            actions.append(Send(_output(self._farewell, stays)))
            self._farewell = None
        cut = self._line.cut()
        response, self._response = self._response, None
        if response is None and trigger == "digit":
            actions.append(Send(ev.ResponseCancel()))  # one may be asked for and not begun
        elif response:
            known = {heard.part.item_id for heard in cut}
            # a cancel beside the server's own may hit the next response (pydantic-ai #7870)
            wait = trigger == "speech" and self._how.cancels_on_speech
            self._dead[response] = _Dead(known, now + CANCEL_AFTER if wait else None)
            if not wait:
                actions.append(Send(ev.ResponseCancel(response_id=response)))
        onset = self._onset(start_ms)
        if cut:
            self._note_barge_in(cut[0], trigger, onset)
        return actions + self._forget_unheard(cut, onset)

    def _forget_unheard(self, cut: Sequence[Heard], onset: float | None) -> list[Action]:
        """Make the model's memory what the caller heard."""
        actions: list[Action] = []
        heard_items = {heard.part.item_id for heard in cut if heard.ms}
        deleted: set[str] = set()
        for heard in cut:
            part, ms = heard.part, heard.ms
            if self._how.truncate_at == "onset" and onset is not None:
                ms = min(ms, self._line.playout.heard_at(part, onset))
            if heard.ms and not ms:
                heard_items.discard(part.item_id)
            if part.item_id in heard_items:
                actions.append(Send(_truncate(part, ms)))
            elif part.item_id not in deleted:
                deleted.add(part.item_id)
                actions.append(Send(ev.ConversationItemDelete(item_id=part.item_id)))
            self._keep_heard_text(heard)
        return actions

    def _note_barge_in(self, heard: Heard, trigger: str, onset: float | None) -> None:
        part = heard.part
        at = None if onset is None else self._line.playout.heard_at(part, onset)
        onset_ms = None if at is None else min(at, heard.ms)
        self._record.barge_ins.append(
            BargeIn(part.item_id, part.content_index, heard.ms, onset_ms, trigger)
        )

    def _onset(self, start_ms: int | None) -> float | None:
        """When the sound left us that the caller heard as she began to speak (design §3)."""
        if start_ms is None:
            return None
        sample = (start_ms + self._how.padding_ms) * self._input_rate // 1000
        for total, at in self._appends:
            if total >= sample:
                arrived = at - (total - sample) / self._input_rate
                return arrived - self._how.loop_delay - JITTER_AND_FRAME
        return None

    # -- the keypad

    def _keys(self, events: Sequence[KeypadEvent], now: float) -> list[Action]:
        actions: list[Action] = []
        for event in events:
            match event:
                case Begun() if self._how.keypad_interrupts:
                    actions += self._barge_in("digit", now, None)
                case Begun():
                    pass
                case Entered(digits):
                    actions += self._interrupt_again(now)
                    self._record.digits.append(digits)
                    item = ev.user_text_item(f"Keypad: {digits}")
                    actions += [Send(ev.ConversationItemCreate(item=item))]
                    actions += [Send(ev.ResponseCreate())]
        return actions

    def _interrupt_again(self, now: float) -> list[Action]:
        """Stop what began to speak within an entry: who types right after a word is answered."""
        speaks = self._response is not None or self._line.playout.speaking
        return self._barge_in("digit", now, None) if speaks and self._how.keypad_interrupts else []

    # -- the transcript

    def _said(self, response_id: str, item_id: str, text: str) -> list[Action]:
        if response_id not in self._dead:
            self._texts[item_id] = text
            self._record.say("assistant", item_id, text)
        return []

    def _keep_heard_text(self, heard: Heard) -> None:
        text = self._texts.pop(heard.part.item_id, "")
        kept = text[: int(len(text) * heard.share)]
        if len(kept) < len(text) and not text[len(kept)].isspace():
            kept = kept.rpartition(" ")[0]  # the word at the cut was not heard whole
        self._record.say("assistant", heard.part.item_id, kept.rstrip())

    def _caller_said(self, item_id: str, transcript: str) -> list[Action]:
        text = transcript
        if self._how.cumulative_transcripts:
            last_item, last, before = self._last_transcript
            before = before if item_id == last_item else last
            self._last_transcript = (item_id, transcript, before)
            text = transcript.removeprefix(before)
        self._record.say("caller", item_id, text.strip())
        return []

    def _since_turn(self, now: float) -> int:
        return round((now - self._turn_began) * 1000)


def _truncate(part: Part, ms: int) -> ev.ClientEvent:
    return ev.ConversationItemTruncate(
        item_id=part.item_id, content_index=part.content_index, audio_end_ms=ms
    )


def _output(call: FunctionCall, text: str) -> ev.ClientEvent:
    return ev.ConversationItemCreate(item=ev.function_output_item(call.call_id, text))
