"""Transfer: one attempt to connect the caller with somebody else, as decisions. Pure.

    refer      asking ── 2xx ──▶ leaving ── the caller's BYE, or ours after 2 s ──▶ over
                 │  └── failed, or not decided in time ──▶ over: the model is told, and goes on
                 └── not taken: 405, no answer, ... ──▶ bridge
    bridge     dialling ── 2xx ──▶ joined ── BYE of either ──▶ over
                 └── refused, or no answer in 45 s ──▶ over: the model is told, and goes on
    attended   as bridge, until joined ──▶ attending ── 2xx ──▶ leaving ──▶ over
                                              └── refused ──▶ joined

RFC 3515 for what the peer does with our REFER, RFC 3891 for Replaces. What happens comes in by a
method, and each returns what to do, in order; handover.py does it. The attempt is written into its
entry of the record as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .ending import HANG_UP, Ending, refused_for
from .record import Transfer as Entry
from .record import TransferBy

RINGING = 45.0  # s that a target may ring
GRACE = 2.0  # s that the peer has for its BYE when the transfer succeeded
# The answers to a REFER that mean "not like this", rather than something about the target; 408:
# there was none.
NO_REFER = frozenset({400, 401, 403, 405, 407, 408, 420, 488, 501, 603, 606})

State = Literal["begun", "asking", "dialling", "joined", "attending", "leaving", "over"]


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask the caller's peer to call the target; `replacing`: in the place of our call of it."""

    replacing: bool = False


@dataclass(frozen=True, slots=True)
class Dial:
    """Call the target ourselves."""


@dataclass(frozen=True, slots=True)
class RingBack:
    """Let the caller hear that it rings."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Join them with the first sound of the target: early media (RFC 3960 §3.2)."""


@dataclass(frozen=True, slots=True)
class Join:
    """Let caller and target hear each other."""


@dataclass(frozen=True, slots=True)
class Release:
    """The model is no longer needed."""


@dataclass(frozen=True, slots=True)
class Drop:
    """End the call of the target: CANCEL or BYE."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End the caller's call."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class GoOn:
    """Give the caller back to the model, and tell it why."""

    error: Mapping[str, Any]


Step = Refer | Dial | RingBack | Listen | Join | Release | Drop | Leave | GoOn

TRANSFERRED = Ending("model", "transferred")


class Transfer:
    """One attempt; `refers`: the peer takes REFER, as far as it said."""

    def __init__(
        self,
        entry: Entry,
        by: TransferBy,
        *,
        refers: bool,
        wall: Callable[[float], float],
    ) -> None:
        self.state: State = "begun"
        self.deadline: float | None = None  # when `handle_timer` is next due
        self.ending: Ending | None = None  # of the caller's call, should it end now
        self._entry = entry
        self._by: TransferBy = by if refers else "bridge"
        self._wall = wall
        self._taken = False  # the peer took our REFER: what it says now is of the target
        self._target_gone = False

    @property
    def over(self) -> bool:
        """Nothing follows."""
        return self.state == "over"

    def begin(self, now: float) -> list[Step]:
        """What the model said was heard: try."""
        if self._by == "refer":
            self._entry.by = "refer"
            self.state = "asking"
            return [Refer()]
        return self._dial(now)

    # -- our REFER

    def referred(self, status: int, *, final: bool, now: float) -> list[Step]:
        """The peer told how far it is, or that it does not take our REFER (ReferralProgress)."""
        match self.state:
            case "asking":
                return self._asked(status, final=final, now=now)
            case "attending":
                return self._attended(status, final=final, now=now)
            case _:
                return []

    def _asked(self, status: int, *, final: bool, now: float) -> list[Step]:
        if not final:
            self._taken, self.ending = True, TRANSFERRED  # it may say BYE before it says 200
            if status < 200:  # else it is of the REFER
                self._entry.status = status
            return [RingBack()] if status in (180, 183) else []
        if 200 <= status < 300:
            self._entry.status, self._entry.answered_at = status, self._wall(now)
            return [Release(), *self._succeed(now)]
        self.ending = None
        if not self._taken and status in NO_REFER:
            return self._dial(now)
        return self._fail(status if status >= 300 else 408, now)  # it never came to an end

    def _attended(self, status: int, *, final: bool, now: float) -> list[Step]:
        if not final:
            self._taken = True
            return []
        if 200 <= status < 300:
            self._entry.by = "attended"
            return self._succeed(now)
        self.state, self.ending = "joined", None  # as good, only that we stay between
        return self.target_ended(status, now) if self._target_gone else []

    def _succeed(self, now: float) -> list[Step]:
        self.state, self.ending = "leaving", TRANSFERRED
        self.deadline = now + GRACE
        return []

    # -- our call of the target

    def _dial(self, now: float) -> list[Step]:
        self._entry.by = "bridge"
        self.state = "dialling"
        self.deadline = now + RINGING
        return [RingBack(), Dial()]

    def rings(self, status: int, *, early: bool) -> list[Step]:
        """The target is being reached; `early`: it may be heard already."""
        if self.state != "dialling":
            return []
        self._entry.status = status
        return [Listen()] if early else []

    def answered(self, now: float) -> list[Step]:
        """The target picked up."""
        if self.state != "dialling":
            return [Drop()]  # the 200 crossed our CANCEL
        self._entry.status, self._entry.answered_at = 200, self._wall(now)
        self.deadline = None
        steps: list[Step] = [Release(), Join()]
        if self._by != "attended":
            self.state = "joined"
            return steps
        self.state = "attending"
        return [*steps, Refer(replacing=True)]

    def unreachable(self, status: int, now: float) -> list[Step]:
        """The target refused, or there is no way to it."""
        return self._fail(status, now) if self.state == "dialling" else []

    # -- the ends

    def target_ended(self, status: int, now: float) -> list[Step]:
        """The target's call is over, and not by us."""
        self._target_gone = True
        match self.state:
            case "dialling":
                return self._fail(status, now)
            case "joined":
                self._finish(now)
                return [Leave(Ending("target", HANG_UP))]
            case "attending":  # replaced by the caller's, of which the peer has yet to tell
                self.ending = TRANSFERRED
                return []
            case _:
                return []

    def caller_ended(self, now: float) -> list[Step]:
        """The caller's call is over; the attempt may still have to live for a moment."""
        if self.state == "attending" and self._taken and not self._target_gone:
            self._entry.by = "attended"  # it replaces our call of the target, later than it left us
            return self._succeed(now)
        steps: list[Step] = []
        if self.state == "asking" and self.ending:  # it took the REFER: she is in its hands
            steps.append(Release())
        if self.state in ("dialling", "joined", "attending", "leaving") and not self._target_gone:
            steps.append(Drop())
        self._finish(now)
        return steps

    def handle_timer(self, now: float) -> list[Step]:
        """Do what is due."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        match self.state:
            case "dialling":
                return [Drop(), *self._fail(408, now)]
            case "leaving":
                self._finish(now)
                return [Drop(), Leave(TRANSFERRED)]
            case _:
                return []

    def _fail(self, status: int, now: float) -> list[Step]:
        self._entry.status = status
        self._finish(now)
        return [GoOn({"error": refused_for(status), "status": status})]

    def _finish(self, now: float) -> None:
        self.state, self.deadline = "over", None
        if self._entry.ended_at is None:
            self._entry.ended_at = self._wall(now)
