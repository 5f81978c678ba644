"""Ending: why a call is over, and how the caller is told, each in one value. Pure.

A call that was never answered ends by a final response (`Refusal`), any other by BYE with a Reason
(RFC 3326). The record and the log print the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from gateway.sdp.description import SdpError
from gateway.sip.event import Ended

from .record import EndedBy, Record

RETRY_AFTER = 5  # s, what a refused caller is told to wait
HANG_UP = "hang_up"
INTERNAL_ERROR = "internal_error"

# Q.850: 19 no answer, 31 normal, 41 temporary failure, 65 bearer capability not implemented,
# 102 recovery on the expiry of a timer
_Q850 = {
    "no_answer": 19,
    "shutdown": 31,
    "transferred": 31,
    "media_not_acceptable": 65,
    "rtp_timeout": 102,
    "max_duration": 102,
}

# What a final response to an INVITE of ours means to people; any other: the first digit says.
_WORDS = {
    401: "not_authorized", 403: "forbidden", 404: "not_found", 407: "not_authorized",
    408: "no_answer", 410: "not_found", 480: "unavailable", 484: "not_found", 485: "not_found",
    486: "busy", 487: "cancelled", 488: "media_not_acceptable", 600: "busy", 603: "declined",
    604: "not_found", 606: "media_not_acceptable", 607: "declined", 608: "declined",
}  # fmt: skip
_CLASSES = {3: "redirected", 5: "unavailable", 6: "declined"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response that takes no call."""

    status: int
    cause: str  # a word
    reason: str | None = None  # a sentence
    headers: tuple[tuple[str, str], ...] = ()
    told: bool = False  # of a call of ours: what SIP would have said, had anybody been asked


def unavailable(cause: str, reason: str, retry_after: float | None = None) -> Refusal:
    """503: not now, perhaps in a moment (s)."""
    wait = str(ceil(RETRY_AFTER if retry_after is None else retry_after))
    return Refusal(503, cause, reason, (("Retry-After", wait),))


def incompatible(error: SdpError) -> Refusal:
    """488 with the Warning of RFC 3261 §20.43."""
    warning = f'{error.warning} gateway "{error}"'
    return Refusal(488, "media_not_acceptable", str(error), (("Warning", warning),))


@dataclass(frozen=True, slots=True)
class Ending:
    """Who ended a call, and why."""

    by: EndedBy
    cause: str  # a word
    reason: str | None = None  # a sentence

    @property
    def refusal(self) -> Refusal:
        """What a call gets that was not answered yet."""
        if self.cause == INTERNAL_ERROR:
            return Refusal(500, self.cause)
        if self.cause == HANG_UP:
            return Refusal(480, self.cause)
        return unavailable(self.cause, self.reason or self.cause)

    @property
    def header(self) -> str | None:
        """The Reason of our BYE; None where it is a hang-up like any other."""
        if self.cause == HANG_UP:
            return None
        return f'Q.850;cause={_Q850.get(self.cause, 41)};text="{self.cause}"'


def ended_by_them(event: Ended, record: Record) -> Ending:
    """Why a call is over that we did not end."""
    outbound = record.direction == "outbound"
    by: EndedBy = "network"
    if event.by == "peer":
        by = "callee" if outbound else "caller"
    if outbound and event.cause == "refused" and record.answered_at is None:
        return Ending(by, refused_for(event.status))
    return Ending(by, event.cause)


def refused_for(status: int) -> str:
    """The word for a final response to an INVITE of ours, 300 or more."""
    return _WORDS.get(status) or _CLASSES.get(status // 100, "refused")
