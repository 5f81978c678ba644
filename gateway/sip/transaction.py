"""The four transaction machines: RFC 3261 §17, with the Accepted state of RFC 6026.

Pure: no socket, no clock. Inputs carry `now` (seconds) and return the actions to perform, in
order; `deadline` is when `handle_timer` is next due. A move that the figures do not have changes
nothing when the peer makes it, and raises ValueError when we do.

INVITE client (§17.1.1, RFC 6026 §7.2)         INVITE server (§17.2.1, RFC 6026 §7.1)

              1xx            2xx                              2xx
  CALLING ────────▶ PROCEEDING ────▶ ACCEPTED    PROCEEDING ────────▶ ACCEPTED ──L──▶ TERMINATED
     │ A: resend        │ 300-699      │ M            │ 300-699
     │ B: timed out     ▼              ▼              ▼           ACK
     └───────────▶ COMPLETED ──D──▶ TERMINATED    COMPLETED ────────▶ CONFIRMED ──I──▶ TERMINATED
                                                   G: resend   H: no ACK came ─────────────▲

other client (§17.1.2)                         other server (§17.2.2)

          1xx             200-699                          1xx             200-699
  TRYING ─────▶ PROCEEDING ─────▶ COMPLETED      TRYING ─────▶ PROCEEDING ─────▶ COMPLETED
     E: resend  F: timed out         │ K                                             │ J
                                     ▼                                               ▼
                                 TERMINATED                                      TERMINATED

Timer C is a proxy's; invite.py keeps one like it for calls that ring for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from .message import Request, Response

T1 = 0.5  # s, round-trip estimate, §17.1.1.1
T2 = 4.0  # s, longest interval between copies, §17.1.2.2
T4 = 5.0  # s, longest life of a message in the network, §17.1.2.2
TIMEOUT = 64 * T1  # s, timers B, F, H, J, L, M
TIMER_D = 32.0  # s, repeated failure responses are absorbed, §17.1.1.2


class State(Enum):
    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


@dataclass(frozen=True, slots=True)
class Send:
    message: Request | Response


@dataclass(frozen=True, slots=True)
class Deliver:
    """For the transaction user: a response, or the ACK of a 2xx."""

    message: Request | Response


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No final response came in time (B, F), or no ACK (H)."""


Action = Send | Deliver | TimedOut


class InviteClient:
    def __init__(self, invite: Request, *, reliable: bool) -> None:
        self.state = State.CALLING
        self._invite = invite
        self._ack: Request | None = None
        self._reliable = reliable  # TCP or TLS: the transport resends, not us
        self._interval = T1
        self._timers: dict[str, float] = {}  # RFC letter -> when it fires

    @property
    def deadline(self) -> float | None:
        return min(self._timers.values(), default=None)

    def start(self, now: float) -> list[Action]:
        self._timers = {"B": now + TIMEOUT}
        if not self._reliable:
            self._timers["A"] = now + self._interval
        return [Send(self._invite)]

    def receive(self, response: Response, now: float) -> list[Action]:
        match self.state, response.status // 100:
            case ((State.CALLING | State.PROCEEDING), 1):
                self._enter(State.PROCEEDING)
                return [Deliver(response)]
            case ((State.CALLING | State.PROCEEDING), 2):
                self._enter(State.ACCEPTED, M=now + TIMEOUT)
                return [Deliver(response)]
            case ((State.CALLING | State.PROCEEDING), _):
                self._ack = self._invite.ack(response)
                self._enter(State.COMPLETED, D=now if self._reliable else now + TIMER_D)
                return [Send(self._ack), Deliver(response)]
            case State.ACCEPTED, 2:
                return [Deliver(response)]  # the dialog answers with its ACK again
            case State.COMPLETED, (3 | 4 | 5 | 6) if self._ack:
                return [Send(self._ack)]
            case _:
                return []  # stray: the figure has no such arrow

    def handle_timer(self, now: float) -> list[Action]:
        due = {letter for letter, at in self._timers.items() if at <= now}
        if "B" in due:
            self._enter(State.TERMINATED)
            return [TimedOut()]
        if due & {"D", "M"}:
            self._enter(State.TERMINATED)
        elif "A" in due:
            self._interval *= 2
            self._timers["A"] = now + self._interval
            return [Send(self._invite)]
        return []

    def abandon(self) -> None:
        """Give up: no final response came in 64*T1 after the CANCEL (§9.1)."""
        self._enter(State.TERMINATED)

    def _enter(self, state: State, **timers: float) -> None:
        self.state = state
        self._timers = timers


class NonInviteClient:
    def __init__(self, request: Request, *, reliable: bool) -> None:
        self.state = State.TRYING
        self._request = request
        self._reliable = reliable
        self._interval = T1
        self._timers: dict[str, float] = {}

    @property
    def deadline(self) -> float | None:
        return min(self._timers.values(), default=None)

    def start(self, now: float) -> list[Action]:
        self._timers = {"F": now + TIMEOUT}
        if not self._reliable:
            self._timers["E"] = now + self._interval
        return [Send(self._request)]

    def receive(self, response: Response, now: float) -> list[Action]:
        match self.state, response.status // 100:
            case ((State.TRYING | State.PROCEEDING), 1):
                self.state = State.PROCEEDING  # E and F run on
                return [Deliver(response)]
            case ((State.TRYING | State.PROCEEDING), _):
                self._enter(State.COMPLETED, K=now if self._reliable else now + T4)
                return [Deliver(response)]
            case _:
                return []

    def handle_timer(self, now: float) -> list[Action]:
        due = {letter for letter, at in self._timers.items() if at <= now}
        if "F" in due:
            self._enter(State.TERMINATED)
            return [TimedOut()]
        if "K" in due:
            self._enter(State.TERMINATED)
        elif "E" in due:
            slow = self.state is State.PROCEEDING  # the peer has it: every T2, §17.1.2.2
            self._interval = T2 if slow else min(2 * self._interval, T2)
            self._timers["E"] = now + self._interval
            return [Send(self._request)]
        return []

    def abandon(self) -> None:
        """Give up: the way is no way (§17.1.4)."""
        self._enter(State.TERMINATED)

    def _enter(self, state: State, **timers: float) -> None:
        self.state = state
        self._timers = timers


class InviteServer:
    def __init__(self, *, reliable: bool) -> None:
        self.state = State.PROCEEDING
        self._last: Response | None = None
        self._reliable = reliable
        self._interval = T1
        self._timers: dict[str, float] = {}

    @property
    def deadline(self) -> float | None:
        return min(self._timers.values(), default=None)

    def receive(self, request: Request, now: float) -> list[Action]:
        """Take a copy of the INVITE, or an ACK with its branch."""
        match self.state, request.method:
            case ((State.PROCEEDING | State.COMPLETED), "INVITE") if self._last:
                return [Send(self._last)]
            case State.COMPLETED, "ACK":
                self._enter(State.CONFIRMED, I=now if self._reliable else now + T4)
                return []
            case State.ACCEPTED, "ACK":
                return [Deliver(request)]  # a 2xx's ACK belongs to the dialog, RFC 6026 §7.1
            case _:
                return []

    def respond(self, response: Response, now: float) -> list[Action]:
        match self.state, response.status // 100:
            case State.PROCEEDING, 1:
                self._last = response
            case State.PROCEEDING, 2:
                self._enter(State.ACCEPTED, L=now + TIMEOUT)
            case State.ACCEPTED, 2:
                pass  # the user resends it until the ACK comes, §13.3.1.4
            case State.PROCEEDING, _:
                self._last = response
                self._enter(State.COMPLETED, H=now + TIMEOUT)
                if not self._reliable:
                    self._timers["G"] = now + self._interval
            case _:
                raise ValueError(f"{response.status} in {self.state.name}")
        return [Send(response)]

    def handle_timer(self, now: float) -> list[Action]:
        due = {letter for letter, at in self._timers.items() if at <= now}
        if "H" in due:
            self._enter(State.TERMINATED)
            return [TimedOut()]
        if due & {"I", "L"}:
            self._enter(State.TERMINATED)
        elif "G" in due and self._last:
            self._interval = min(2 * self._interval, T2)
            self._timers["G"] = now + self._interval
            return [Send(self._last)]
        return []

    def _enter(self, state: State, **timers: float) -> None:
        self.state = state
        self._timers = timers


class NonInviteServer:
    def __init__(self, *, reliable: bool) -> None:
        self.state = State.TRYING
        self._last: Response | None = None
        self._reliable = reliable
        self.deadline: float | None = None  # timer J

    def receive(self, request: Request, now: float) -> list[Action]:
        """Take a copy of the request."""
        if self._last and self.state is not State.TERMINATED:
            return [Send(self._last)]
        return []

    def respond(self, response: Response, now: float) -> list[Action]:
        if self.state not in {State.TRYING, State.PROCEEDING}:
            raise ValueError(f"{response.status} in {self.state.name}")
        self._last = response
        if response.status < 200:
            self.state = State.PROCEEDING
        else:
            self.state = State.COMPLETED
            self.deadline = now if self._reliable else now + TIMEOUT
        return [Send(response)]

    def handle_timer(self, now: float) -> list[Action]:
        if self.deadline is not None and self.deadline <= now:
            self.state = State.TERMINATED
            self.deadline = None
        return []
