"""Bridge: what one call does when the caller or the model does something. Pure.

Events in, actions out; call.py carries them out. What is in memory only (the line's queue, the
record) the bridge changes itself, so that a barge-in is one step: the queue is dropped, the item at
the playhead truncated where the caller stopped hearing it, items that were not heard at all
deleted, late deltas of a dead response dropped, and a response cancelled only where the server
does not do so itself. The place is counted by the playout, never timed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.audio.playout import Heard, Part
from gateway.realtime import events as ev
from gateway.realtime.session import is_fatal

from .appended import Appended
from .behaviour import Behaviour
from .errands import Errands
from .keypad import Begun, Entered, Keypad, KeypadEvent
from .line import Line
from .record import BargeIn, EndedBy, Record, ToolUse
from .tools import DigitsAsked, FunctionCall, HangUpAsked, Output, TransferAsked, outcome
from .transcript import Transcript
from .turns import Turns

CANCEL_AFTER = 2.0  # s in which a server that hears the caller must have ended its response
FRAME = 0.02  # s, the frame in which the far end's sound began
GREETING = "greeting"  # the event_id of the greeting's response.create, by which errors name it

Trigger = Literal["speech", "digit"]


@dataclass(frozen=True, slots=True)
class Send:
    """Say this to the model."""

    event: ev.ClientEvent


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""

    by: EndedBy
    cause: str
    reason: str | None = None  # a sentence for the record


@dataclass(frozen=True, slots=True)
class Transfer:
    """Connect the caller with somebody else: a place of the agent's, by its name."""

    target: str


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys: 0-9 * # A-D, and w for a pause."""

    keys: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the operator wants to see in the log."""

    name: str
    values: Mapping[str, Any]


Action = Send | HangUp | Transfer | Press | Note


@dataclass(slots=True)
class _Dead:
    """A response that the caller interrupted and whose end has not come yet."""

    known: set[str]  # items that were dealt with
    cancel_at: float | None  # when to cancel it after all; None: that was done
    late: list[str] = field(default_factory=list)  # items that showed only afterwards


class Bridge:
    """The decisions of one call.

    `wall` turns the monotonic `now` into seconds since 1970, for the record; `input_rate` is the
    rate in Hz at which audio is appended. `is_cancelled` tells of a response that begins whether
    it was cancelled before it did.
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
        is_cancelled: Callable[[str], bool] = lambda response_id: False,
    ) -> None:
        self.appended = Appended(input_rate)
        self._line = line
        self._record = record
        self._keypad = keypad
        self._how = behaviour
        self._is_cancelled = is_cancelled
        self._turns = Turns(record.turns, wall)
        self._transcript = Transcript(
            record.transcript, cumulative=behaviour.cumulative_transcripts
        )
        self._live: dict[str, None] = {}  # responses that are being generated, oldest first
        self._dead: dict[str, _Dead] = {}
        self._calls: list[FunctionCall] = []
        self._run_before: set[str] = set()  # call_ids: nothing is done twice that is said twice
        self._greeting: ev.ResponseCreate | None = None  # until it was heard to its end
        self._errands = Errands(behaviour.playout_delay)
        self._retried = False

    # -- what happens

    def open(self, now: float) -> list[Action]:
        """The call is answered: greet, or let the caller begin."""
        if self._how.greeting is None:
            return []
        text = f"{self._how.instructions}\n\nSay exactly: {self._how.greeting}".lstrip()
        self._greeting = ev.ResponseCreate(event_id=GREETING, response={"instructions": text})
        self._line.uplink.deaf = not self._how.interruptible
        return [Send(self._greeting)]

    def receive(self, event: ev.ServerEvent, now: float) -> list[Action]:
        """Take an event of the server."""
        match event:
            case ev.ResponseOutputAudioDelta():
                self._speech(event, now)
            case ev.InputAudioBufferSpeechStarted(audio_start_ms=start):
                return self._barge_in("speech", now, start)
            case ev.InputAudioBufferSpeechStopped():
                self._turns.stopped(now)
            case ev.InputAudioBufferCommitted(item_id=item_id):
                self._transcript.expect(item_id)
            case ev.ResponseCreated(response=response):
                return self._begin(response.id, now)
            case ev.ResponseOutputAudioDone(item_id=item_id):
                self._line.playout.finish(item_id)
            case ev.ResponseOutputItemDone():
                self._item_done(event)
            case ev.ResponseDone(response=response):
                return self._response_done(response, now)
            case ev.ResponseOutputAudioTranscriptDelta() | ev.ResponseOutputTextDelta():
                if event.response_id not in self._dead:
                    self._transcript.assistant(event.item_id, event.delta, more=True)
            case ev.ResponseOutputAudioTranscriptDone(transcript=text):
                if event.response_id not in self._dead:
                    self._transcript.assistant(event.item_id, text)
            case ev.ResponseOutputTextDone(text=text):
                if event.response_id not in self._dead:
                    self._transcript.assistant(event.item_id, text)
            case ev.ConversationItemInputAudioTranscriptionCompleted():
                self._transcript.caller(event.item_id, event.transcript)
            case ev.InputAudioBufferDtmfEventReceived(digit=digit):
                return self.press(digit, now)
            case ev.Error(error=error) if error.event_id == GREETING:
                self._greet_no_more()
            case _:
                pass  # what each of the others means: the table in the test of events.py
        return []

    def press(self, digit: str, now: float) -> list[Action]:
        """The caller pressed a key; while she waits for somebody else it means nothing."""
        if self._errands.away:
            return []
        events = self._keypad.press(digit, now)
        return self._keys(events, now) if events else self._interrupt_again(now)

    def began(self, part: Part, now: float) -> None:
        """The first sample of a part left for the caller."""
        self._turns.sent(part.response_id, now)

    def drained(self, now: float) -> None:
        """All that the model said so far has left for the caller."""
        self._end_greeting()
        self._errands.heard(now)

    def dialled(self, now: float) -> list[Action]:
        """The keys of a `Press` have left."""
        return [Send(event) for event in self._errands.pressed(now)]

    def transferred(self, now: float) -> None:
        """Somebody else answered the caller: the model's part is over."""
        self._errands.transferred(now)

    def not_transferred(self, error: Mapping[str, Any], now: float) -> list[Action]:
        """A `Transfer` came to nothing; `error` tells the model why, and it goes on."""
        actions = [Send(event) for event in self._errands.not_transferred(error, now)]
        self._line.uplink.deaf = False
        return [*actions]

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due at `deadline`."""
        actions = self._keys(self._keypad.handle_timer(now), now)
        for response, dead in self._dead.items():
            if dead.cancel_at is not None and now >= dead.cancel_at:
                dead.cancel_at = None
                actions.append(Send(ev.ResponseCancel(response_id=response)))
        return actions + self._run_errands(now)

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        due = [dead.cancel_at for dead in self._dead.values()]
        due += [self._errands.deadline, self._keypad.deadline]
        return min((at for at in due if at is not None), default=None)

    def close(self) -> None:
        """The call is over: keep of the transcript what was heard."""
        self._errands.close()
        cut = self._line.downlink.cut()
        self._cut_transcript(cut, {heard.part: heard.ms for heard in cut})

    # -- the model speaks

    def _begin(self, response_id: str, now: float) -> list[Action]:
        cancelled = self._is_cancelled(response_id)
        if cancelled or self._errands.away:  # nobody would hear it
            self._dead[response_id] = _Dead(set(), None)
            return [] if cancelled else [Send(ev.ResponseCancel(response_id=response_id))]
        self._live[response_id] = None
        self._turns.created(response_id, now)
        return []

    def _speech(self, event: ev.ResponseOutputAudioDelta, now: float) -> None:
        if self._errands.away:
            self._dead.setdefault(event.response_id, _Dead(set(), None))
        if dead := self._dead.get(event.response_id):
            if event.item_id not in dead.known:
                dead.known.add(event.item_id)
                dead.late.append(event.item_id)
            return
        self._live[event.response_id] = None  # some servers forget response.created
        self._turns.delta(event.response_id, now)
        part = Part(event.response_id, event.item_id, event.content_index)
        self._line.playout.push(part, event.delta)

    def _item_done(self, event: ev.ResponseOutputItemDone) -> None:
        item = event.item
        self._line.playout.finish(item.id or "")
        # a cancelled response leaves half a function call: its arguments may be cut short
        if item.type == "function_call" and item.status != "incomplete" and item.call_id:
            self._calls.append(FunctionCall(item.call_id, item.name or "", item.arguments or ""))

    def _response_done(self, response: ev.Response, now: float) -> list[Action]:
        self._live.pop(response.id, None)
        self._line.playout.finish_response(response.id)
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
        """A failed response tells so only here, and nobody hears anything of it."""
        details = response.status_details
        error = details.error if details and details.error else ev.ErrorDetail()
        code = error.code or error.type or "unknown"
        note = Note("response_failed", {"code": code, "message": error.message})
        if is_fatal(error):
            return [note, HangUp("backend", "backend_error", f"{code}: {error.message}")]
        if code == "server_error" and not self._retried:
            self._retried = True  # the server's own fault: once more, then leave it to the caller
            return [note, Send(self._greeting or ev.ResponseCreate())]
        self._end_greeting()
        return [note]

    def _end_greeting(self) -> None:
        if not self._live and not self._line.playout.speaking:
            self._greet_no_more()

    def _greet_no_more(self) -> None:
        if self._greeting:
            self._greeting, self._line.uplink.deaf = None, False

    # -- what the model asks for

    def _run(self, calls: Sequence[FunctionCall], now: float) -> list[Action]:
        """Answer the function calls of one response; all outputs first, then one response."""
        actions: list[Action] = []
        for call in calls:
            if call.name in self._how.builtin_tools or call.call_id in self._run_before:
                continue
            self._run_before.add(call.call_id)
            result = outcome(call, self._how.tools, self._how.targets)
            use = ToolUse(call.name, 0, not isinstance(result, Output) or result.ok)
            self._record.tools.append(use)
            if not isinstance(result, Output):
                reason = self._errands.ask(call, use, result, now)
                if reason is None:
                    continue
                use.ok, result = False, Output(json.dumps({"error": reason}), ok=False)
            actions.append(Note("tool_refused", {"tool": call.name}))
            actions.append(Send(_output(call, result.text)))
        if actions and not self._errands:
            actions.append(Send(ev.ResponseCreate()))
        return actions

    def _run_errands(self, now: float) -> list[Action]:
        """Begin what is due of it, and give up what does not come to an end."""
        match self._errands.take_due(now):
            case HangUpAsked():
                return [HangUp("model", "hang_up")]
            case TransferAsked(target):
                return [*self._step_aside(), Transfer(target)]
            case DigitsAsked(digits):
                return [Press(digits)]
            case None:
                stuck = self._errands.take_stuck(now)
                if stuck:
                    self._line.downlink.keys = None
                return [Send(event) for event in stuck]

    def _step_aside(self) -> list[Action]:
        """Neither hear nor say anything, until the caller comes back."""
        self._greet_no_more()
        cut = self._line.downlink.cut()
        live, self._live = list(self._live), {}
        known = {heard.part.item_id for heard in cut}
        self._dead.update({response: _Dead(set(known), None) for response in live})
        self._line.uplink.deaf = True
        cancels: list[Action] = [Send(ev.ResponseCancel(response_id=it)) for it in live]
        return cancels + self._forget_unheard(cut, None)

    # -- the caller interrupts

    def _barge_in(self, trigger: Trigger, now: float, start_ms: int | None) -> list[Action]:
        if self._line.uplink.deaf:
            return []  # this greeting may not be interrupted
        self._greet_no_more()
        actions: list[Action] = [Send(event) for event in self._errands.interrupted(now)]
        cut = self._line.downlink.cut()
        actions += self._end_responses(trigger, {heard.part.item_id for heard in cut}, now)
        onset = self._onset(start_ms)
        if cut:
            self._note_barge_in(cut[0], trigger, onset)
        return actions + self._forget_unheard(cut, onset)

    def _end_responses(self, trigger: Trigger, known: set[str], now: float) -> list[Action]:
        """Let nothing more be heard of what is being generated, and have it stopped."""
        live, self._live = list(self._live), {}
        # a cancel beside the server's own may hit the next response (pydantic-ai #7870)
        waits = trigger == "speech" and self._how.cancels_on_speech
        for response in live:
            self._dead[response] = _Dead(set(known), now + CANCEL_AFTER if waits else None)
        if not live and trigger == "digit":
            return [Send(ev.ResponseCancel())]  # of one that is asked for and has not begun
        return [] if waits else [Send(ev.ResponseCancel(response_id=response)) for response in live]

    def _forget_unheard(self, cut: Sequence[Heard], onset: float | None) -> list[Action]:
        """Make the model's memory what the caller heard, and the transcript too."""
        heard_ms = {heard.part: self._kept_ms(heard, onset) for heard in cut}
        heard_items = {part.item_id for part, ms in heard_ms.items() if ms}
        actions: list[Action] = []
        for heard in cut:
            part, ms = heard.part, heard_ms[heard.part]
            if part.item_id in heard_items:
                actions.append(Send(_truncate(part, ms)))
            else:
                delete = Send(ev.ConversationItemDelete(item_id=part.item_id))
                actions += [delete] if delete not in actions else []
        self._cut_transcript(cut, heard_ms)
        return actions

    def _cut_transcript(self, cut: Sequence[Heard], kept_ms: Mapping[Part, int]) -> None:
        shares: dict[str, list[float]] = {}
        for heard in cut:
            share = heard.share * kept_ms[heard.part] / heard.ms if heard.ms else 0.0
            shares.setdefault(heard.part.item_id, []).append(share)
        for item_id, of_parts in shares.items():
            self._transcript.cut(item_id, sum(of_parts) / len(of_parts))

    def _kept_ms(self, heard: Heard, onset: float | None) -> int:
        """How much of a part the model shall remember."""
        if self._how.truncate_at == "sent" or onset is None:
            return heard.ms
        return min(heard.ms, self._line.playout.heard_at(heard.part, onset))

    def _note_barge_in(self, heard: Heard, trigger: Trigger, onset: float | None) -> None:
        part = heard.part
        at = None if onset is None else self._line.playout.heard_at(part, onset)
        onset_ms = None if at is None else min(at, heard.ms)
        self._record.barge_ins.append(
            BargeIn(part.item_id, part.content_index, heard.ms, onset_ms, trigger)
        )

    def _onset(self, start_ms: int | None) -> float | None:
        """When the sound left us that the caller heard as she began to speak."""
        if start_ms is None:
            return None
        arrived = self.appended.arrived(start_ms + self._how.padding_ms)
        if arrived is None:
            return None
        return arrived - self._line.loop_delay(self._how.playout_delay) - FRAME

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
        speaks = bool(self._live) or self._line.playout.speaking
        return self._barge_in("digit", now, None) if speaks and self._how.keypad_interrupts else []


def _truncate(part: Part, ms: int) -> ev.ClientEvent:
    return ev.ConversationItemTruncate(
        item_id=part.item_id, content_index=part.content_index, audio_end_ms=ms
    )


def _output(call: FunctionCall, text: str) -> ev.ClientEvent:
    return ev.ConversationItemCreate(item=ev.function_output_item(call.call_id, text))
