"""One response at a time: when response.create and response.cancel may go out.

Pure. Each method takes what happened and returns the events to send now, in order.

    waiting ──▶ creating ── response.created ──▶ active ── response.done ──▶ (next)
       ▲            │
       └── refused ─┘   conversation_already_has_active_response: at most 3 times more

A create waits while a response is creating or active, whoever made it, and while the server
will answer the caller's turn by itself: from speech_started until that response.created,
or until it is clear that none comes. A plain create (no settings of its own) asks the model
to go on from what it knows; two of them that wait are one, and one that waited before the
caller's turn ended is answered by the response to that turn.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque

import msgspec

from .events import ClientEvent, ResponseCancel, ResponseCreate

RETRIES = 3
RETRY_DELAY = 0.5  # s, doubled each time; where we do not know which response is in the way
CREATED_WITHIN = 10.0  # s, from response.create to response.created; then it is given up
SPEECH = 10.0  # s, the longest that a caller's speech holds a create back: it may be noise
TURN = 3.0  # s, from the end of her speech to the server's response.created
REMEMBERED = 64  # responses that are known to be done


class Responses:
    """The responses of one session. `counts` says what was dropped, and why."""

    def __init__(self, counts: Counter[str]) -> None:
        self.active: str | None = None  # id of the response that the model is making
        self._counts = counts
        self._waiting: deque[ResponseCreate] = deque()
        self._covered: int | None = None  # waiting since before the caller's turn ended
        self._creating: ResponseCreate | None = None
        self._give_up_at = 0.0  # what is creating
        self._refusals = 0  # in a row
        self._hold_until: float | None = None
        self._early_cancel: ResponseCancel | None = None  # of what is about to be created
        self._cancelled = False  # response.cancel of the active one went out
        self._done: OrderedDict[str, None] = OrderedDict()

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        if self._creating:
            return self._give_up_at
        waits = self._early_cancel or (self._waiting and self.active is None)
        return self._hold_until if waits else None

    def is_done(self, response_id: str) -> bool:
        """Whether this response has ended, so that nothing of it counts any more."""
        return response_id in self._done

    def create(self, event: ResponseCreate, now: float) -> list[ClientEvent]:
        """We want a response."""
        if self._has_plain(event):
            self._counts["create_merged"] += 1
        else:
            self._waiting.append(event)
        return self._next(now)

    def cancel(self, event: ResponseCancel, now: float) -> list[ClientEvent]:
        """We want a response stopped: the one named, or else whichever is next to be heard."""
        if event.response_id is None and self.active is None:
            self._waiting.clear()  # never sent, so nothing to stop
            if self._creating or self._answer_is_due(now):
                self._early_cancel = event
            return []
        if event.response_id not in (None, self.active) or not self.active or self._cancelled:
            self._counts["cancel_dropped"] += 1
            return []
        self._cancelled = True
        return [msgspec.structs.replace(event, response_id=self.active)]

    def created(self, response_id: str, now: float) -> list[ClientEvent]:
        """The server began a response: the one we asked for, if we did."""
        cancel = self._early_cancel if self._creating or self._answer_is_due(now) else None
        if self._creating is None:
            self._forget_answered()
        self._creating = self._early_cancel = self._hold_until = self._covered = None
        self.active, self._cancelled = response_id, False
        return self.cancel(cancel, now) if cancel else []

    def done(self, response_id: str, now: float) -> list[ClientEvent]:
        """The server ended a response."""
        if response_id:
            self._done[response_id] = None
            if len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
        if self.active is None:  # some servers skip response.created when they fail at once
            self._creating = self._early_cancel = None
        elif response_id == self.active:
            self.active = None
            self._refusals = 0
        return self._next(now)

    def refused(self, event: ResponseCreate | None, now: float) -> list[ClientEvent]:
        """The server says that a response is active. None: it does not say to which create."""
        event = event or self._creating
        if event is None:
            return []
        self._refusals += 1
        unwanted = self._creating == event and self._early_cancel is not None
        if self._creating == event:
            self._creating = self._early_cancel = None
        if unwanted or self._refusals > RETRIES:
            self._counts["create_given_up"] += not unwanted
            self._refusals = 0
        elif not self._has_plain(event):
            self._waiting.appendleft(event)
            if self.active is None:  # it has ended already, or was never announced
                self._hold_until = now + RETRY_DELAY * 2 ** (self._refusals - 1)
        return self._next(now)

    def failed(self, event: ResponseCreate, now: float) -> list[ClientEvent]:
        """The server refused our create for another reason; it is not tried again."""
        if self._creating == event:
            self._creating = self._early_cancel = None
        return self._next(now)

    def not_active(self, response_id: str | None, now: float) -> list[ClientEvent]:
        """The server says that the response we cancelled is not active."""
        if response_id == self.active:
            self.active = None
        return self._next(now)

    def is_cancelled(self, response_id: str) -> bool:
        """Whether this response is active and we have asked the server to stop it."""
        return self._cancelled and response_id == self.active

    def caller_speaks(self, now: float, *, interrupts: bool) -> None:
        """The caller's turn begins; the server will answer it.

        `interrupts`: what is being created would be heard over her, so it is cancelled as it
        begins; the server stops only what was active when she began.
        """
        self._hold_until = now + SPEECH
        self._covered = None
        if interrupts and self._creating:
            self._early_cancel = ResponseCancel()

    def caller_stopped(self, now: float) -> None:
        """The caller's turn ended; the server is about to answer it."""
        self._hold_until = now + TURN
        self._covered = len(self._waiting)

    def handle_timer(self, now: float) -> list[ClientEvent]:
        """What was waited for has not come."""
        if self._creating and now >= self._give_up_at:
            self._counts["create_unanswered"] += 1
            self._creating = self._early_cancel = None
        elif not self._creating and not self._answer_is_due(now):
            self._early_cancel = None
        return self._next(now)

    def _held(self, now: float) -> bool:
        return self._hold_until is not None and now < self._hold_until

    def _next(self, now: float) -> list[ClientEvent]:
        if self.active is not None or self._creating or not self._waiting or self._held(now):
            return []
        self._hold_until = self._covered = None
        self._creating = self._waiting.popleft()
        self._give_up_at = now + CREATED_WITHIN
        return [self._creating]

    def _answer_is_due(self, now: float) -> bool:
        """The caller has spoken, and the server will make a response by itself."""
        return self._covered is not None and self._held(now)

    def _has_plain(self, event: ResponseCreate) -> bool:
        return event.response is None and any(w.response is None for w in self._waiting)

    def _forget_answered(self) -> None:
        """The server's own response says what these were to make it say."""
        for event in list(self._waiting)[: self._covered or 0]:
            if event.response is None:
                self._waiting.remove(event)
                self._counts["create_answered"] += 1
