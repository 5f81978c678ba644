"""One session of a model: its settings, its events in order, what it used.

Pure: texts in, typed events out; events in, texts out; time is a number that callers pass.
The rules of the wire are kept here, so that nobody above can break them:

    connected ── session.created ──▶ session.update sent ── session.updated ──▶ ready

* Nothing is sent before session.created, and only session.update before session.updated.
* One response at a time, cancelled by its name: responses.py.
* No commit while the server's VAD commits; nothing that the provider refuses.
* After response.done nothing of that response is passed on; what a server repeats is passed
  on once.

What breaks a rule is dropped, and counted in `counts`. Left out on purpose: what to say and
when (whoever holds the session knows), instructions of a single response (they replace the
session's: compose them before), and reconnecting.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemInputAudioTranscriptionCompleted,
    Error,
    ErrorDetail,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    KnownEvent,
    Malformed,
    RealtimeError,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TokenDetails,
    Unknown,
    Usage,
    encode,
    encode_append,
    parse_server,
    type_of,
)
from .profile import Profile
from .responses import Responses

REMEMBERED = 256  # client events whose error may still come; items that may be repeated
MALFORMED_CHARACTERS = 200  # of a broken message that are kept

ALREADY_ACTIVE = "conversation_already_has_active_response"
CANCEL_NOT_ACTIVE = "response_cancel_not_active"

BENIGN = frozenset({ALREADY_ACTIVE, CANCEL_NOT_ACTIVE, "input_audio_buffer_commit_empty"})
FATAL = frozenset(
    {
        "invalid_api_key",
        "authentication_error",
        "model_not_found",
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "account_deactivated",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
    }
)


def is_benign(error: ErrorDetail) -> bool:
    """A race that the session has already dealt with: nothing to do, little to log."""
    return error.code in BENIGN or error.message.startswith("Cancellation failed")


def is_fatal(error: ErrorDetail) -> bool:
    """Trying again at this backend cannot help: the key, the model or the money is wrong."""
    named = {error.code, error.type} & FATAL
    return bool(named) or error.message.startswith("Invalid model URI")


@dataclass(frozen=True, slots=True)
class Settings:
    """What one agent wants of the model."""

    instructions: str = ""  # empty: the server's own
    voice: str | None = None  # None: the server's own
    language: str | None = None  # such as ru-RU
    turn_detection: Mapping[str, Any] | None = None  # None: the profile's
    tools: Sequence[Mapping[str, Any]] = ()
    transcription: bool = False  # of the caller
    extra: Mapping[str, Any] = field(default_factory=dict)  # merged over all but the formats


def configuration(profile: Profile, settings: Settings) -> dict[str, Any]:
    """The `session` of session.update. Formats are always said, and are the profile's."""
    vad = settings.turn_detection or profile.turn_detection
    heard: dict[str, Any] = {"turn_detection": dict(vad)}
    spoken: dict[str, Any] = {}
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {"input": heard, "output": spoken},
    }
    if settings.instructions:
        session["instructions"] = settings.instructions
    if settings.voice:
        spoken["voice"] = settings.voice
    if settings.tools:
        session["tools"] = [dict(tool) for tool in settings.tools]
    if settings.transcription and profile.transcription:
        heard["transcription"] = dict(profile.transcription)
    if settings.language and profile.language_as == "languages":
        heard["languages"] = [settings.language]
    elif settings.language and "transcription" in heard:
        heard["transcription"]["language"] = settings.language.partition("-")[0]  # ISO 639-1
    formats = {
        "input": {"format": profile.input.settings()},
        "output": {"format": profile.output.settings()},
    }
    # another format than the line was built for would be noise in the caller's ear
    return _merged(_merged(session, settings.extra), {"audio": formats})


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = _merged(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


class Session:
    """One session, from the open socket to its end."""

    def __init__(self, profile: Profile, settings: Settings, *, token: Callable[[], str]) -> None:
        self.profile = profile
        self.ready = False  # the settings are in force: the model hears and answers
        self.session_id: str | None = None
        self.model: str = profile.model  # as the server calls it, if it does
        self.refusal: ErrorDetail | None = None  # why the session does not become ready
        self.usage = Usage()  # of all responses
        self.counts: Counter[str] = Counter()  # what was dropped, by reason
        self._token = token
        self._configuration = configuration(profile, settings)
        self._responses = Responses(self.counts)
        self._outgoing: list[bytes] = []
        self._held: list[ClientEvent] = []  # until ready
        self._asked: OrderedDict[str, ClientEvent] = OrderedDict()
        self._updates = 0  # session.update without its session.updated
        self._seen: OrderedDict[tuple[str, str], object] = OrderedDict()  # what may be repeated

    @property
    def active_response(self) -> str | None:
        """The id of the response that the model is making; not what the caller hears."""
        return self._responses.active

    def is_cancelled(self, response_id: str) -> bool:
        """Whether this response is active and we have asked the server to stop it."""
        return self._responses.is_cancelled(response_id)

    @property
    def turn_detection(self) -> Mapping[str, Any] | None:
        """The server VAD's settings as we asked for them; None: turns are committed by us."""
        match self._configuration:
            case {"audio": {"input": {"turn_detection": dict() as settings}}}:
                return settings
            case _:
                return None

    @property
    def cancels_on_speech(self) -> bool:
        """Whether the server stops its response by itself when it hears the caller."""
        vad = self.turn_detection
        interrupts = vad is not None and vad.get("interrupt_response") is not False
        return interrupts and self.profile.cancels_on_speech

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        return self._responses.deadline

    def asked(self, event_id: str | None) -> ClientEvent | None:
        """The event of ours that an error answers."""
        return self._asked.get(event_id or "")

    def outgoing(self) -> list[bytes]:
        """Take what is to be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def append(self, pcm: bytes) -> None:
        """Send the caller's sound, in the profile's input format."""
        if self.ready:
            self._outgoing.append(encode_append(pcm))
        else:
            self.counts["append_early"] += 1  # the server does not know the format yet

    def send(self, event: ClientEvent, now: float) -> None:
        """Send an event as soon as the rules allow it."""
        if not self.ready:
            self._held.append(event)
            return
        if reason := self._forbidden(event):
            self.counts[reason] += 1
            return
        if event.event_id is None and not isinstance(event, InputAudioBufferAppend):
            event = msgspec.structs.replace(event, event_id=self._token())
        match event:
            case ResponseCreate():
                self._put(self._responses.create(event, now))
            case ResponseCancel():
                self._put(self._responses.cancel(event, now))
            case _:
                self._put([event])

    def receive(self, text: str | bytes, now: float) -> list[ServerEvent]:
        """Read one message; what comes back is typed, in order, and nothing twice."""
        try:
            event = parse_server(text)
        except RealtimeError as error:
            head = text[:MALFORMED_CHARACTERS]
            head = head.decode(errors="replace") if isinstance(head, bytes) else head
            return [Malformed(str(error), head)]
        event = self._cleaned(event)
        if not isinstance(event, Unknown | Malformed):
            if reason := self._stale(event):
                self.counts[reason] += 1
                return []
            self._follow(event, now)
        return [event]

    def _cleaned(self, event: ServerEvent) -> ServerEvent:
        """Errors with their words made fit for logs and records: some servers quote the key."""
        match event:
            case Error(error=error):
                return msgspec.structs.replace(event, error=self._cleaned_error(error))
            case ResponseDone(response=response) if response.status_details:
                details = response.status_details
                if details.error:
                    error = self._cleaned_error(details.error)
                    details = msgspec.structs.replace(details, error=error)
                response = msgspec.structs.replace(response, status_details=details)
                return msgspec.structs.replace(event, response=response)
            case _:
                return event

    def _cleaned_error(self, error: ErrorDetail) -> ErrorDetail:
        cleaned = self.profile.cleaned
        return msgspec.structs.replace(
            error,
            message=cleaned(error.message),
            type=error.type and cleaned(error.type),
            code=error.code and cleaned(error.code),
        )

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._put(self._responses.handle_timer(now))

    def _put(self, events: Sequence[ClientEvent]) -> None:
        for event in events:
            if event.event_id is not None:
                _remember(self._asked, event.event_id, event)
            if isinstance(event, SessionUpdate):
                self._updates += 1
                self._configuration = _merged(self._configuration, event.session)
            self._outgoing.append(encode(event))

    def _forbidden(self, event: ClientEvent) -> str | None:
        """Why this event must not be sent."""
        if type_of(event) in self.profile.refuses:
            return "refused_by_profile"
        match event:
            case InputAudioBufferCommit() if self.turn_detection is not None:
                return "commit_under_vad"
            case ConversationItemCreate(item=item):
                if item.role == "assistant" and not self.profile.assistant_items:
                    return "refused_by_profile"
        return None

    def _stale(self, event: KnownEvent) -> str | None:
        """Why this event says nothing new."""
        match event:
            case SessionCreated():
                return "repeated" if self.session_id is not None else None
            case SessionUpdated():
                return "repeated" if self._updates == 0 else None
            case ConversationItemAdded(item=item) | ConversationItemCreated(item=item):
                return self._repeated("item", item.id, item)
            case ConversationItemInputAudioTranscriptionCompleted(item_id=item_id):
                return self._repeated("transcript", item_id, event.transcript)
            case ResponseCreated(response=response) if response.id == self.active_response:
                return "repeated"
            case ResponseCreated(response=response) | ResponseDone(response=response):
                return "after_done" if self._responses.is_done(response.id) else None
        if not type_of(event).startswith("response."):
            return None  # output_audio_buffer.stopped comes after response.done
        response_id = getattr(event, "response_id", "")
        return "after_done" if self._responses.is_done(response_id) else None

    def _repeated(self, kind: str, item_id: str | None, value: object) -> str | None:
        if not item_id:
            return None
        if self._seen.get((kind, item_id)) == value:
            return "repeated"
        _remember(self._seen, (kind, item_id), value)
        return None

    def _follow(self, event: KnownEvent, now: float) -> None:
        """Do what the rules of the wire want after this event."""
        match event:
            case SessionCreated(session=session):
                self._begin(session)
            case SessionUpdated():
                self._updates -= 1
                self._become_ready(now)
            case Error(error=error):
                self._put(self._after_error(error, now))
            case ResponseCreated(response=response):
                self._put(self._responses.created(response.id, now))
            case ResponseDone(response=response):
                if response.usage is not None:
                    self.usage = _sum(self.usage, response.usage)
                self._put(self._responses.done(response.id, now))
            case InputAudioBufferSpeechStarted() if self._answers_turns:
                self._responses.caller_speaks(now, interrupts=self.cancels_on_speech)
            case InputAudioBufferSpeechStopped() | InputAudioBufferCommitted():
                if self._answers_turns:
                    self._responses.caller_stopped(now)

    @property
    def _answers_turns(self) -> bool:
        vad = self.turn_detection
        return vad is not None and vad.get("create_response") is not False

    def _begin(self, session: Mapping[str, Any]) -> None:
        session_id, model = session.get("id"), session.get("model")
        self.session_id = session_id if isinstance(session_id, str) else ""
        if isinstance(model, str):
            self.model = model
        self._put([SessionUpdate(self._configuration, event_id=self._token())])

    def _become_ready(self, now: float) -> None:
        self.ready, self.refusal = True, None
        held, self._held = self._held, []
        for event in held:
            self.send(event, now)

    def _after_error(self, error: ErrorDetail, now: float) -> list[ClientEvent]:
        if not self.ready and self.refusal is None:
            self.refusal = error  # we have asked for nothing but the settings
        match self.asked(error.event_id):
            case ResponseCreate() as create if error.code != ALREADY_ACTIVE:
                return self._responses.failed(create, now)
            case ResponseCreate() as create:
                return self._responses.refused(create, now)
            case ResponseCancel(response_id=response_id) if error.code == CANCEL_NOT_ACTIVE:
                return self._responses.not_active(response_id, now)
            case None if error.code == ALREADY_ACTIVE:
                return self._responses.refused(None, now)
            case _:
                return []


def _remember(memory: OrderedDict[Any, Any], key: object, value: object) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        total_tokens=one.total_tokens + other.total_tokens,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        input_token_details=_sum_details(one.input_token_details, other.input_token_details),
        output_token_details=_sum_details(one.output_token_details, other.output_token_details),
    )


def _sum_details(one: TokenDetails, other: TokenDetails) -> TokenDetails:
    return TokenDetails(
        text_tokens=one.text_tokens + other.text_tokens,
        audio_tokens=one.audio_tokens + other.audio_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
    )
