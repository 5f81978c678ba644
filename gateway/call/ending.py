"""Ending: why a call is over, and how the caller is told, each in one value. Pure.

A call that was never answered ends by a final response (`Refusal`), any other by BYE with a Reason
(RFC 3326). The record and the log print the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from gateway.sdp.description import SdpError

from .record import EndedBy

RETRY_AFTER = 5  # s, what a refused caller is told to wait
INTERNAL_ERROR = "internal_error"

# Q.850: 31 normal, 41 temporary failure, 102 recovery on the expiry of a timer
_Q850 = {"shutdown": 31, "rtp_timeout": 102, "max_duration": 102}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response that takes no call."""

    status: int
    cause: str  # a word
    reason: str | None = None  # a sentence
    headers: tuple[tuple[str, str], ...] = ()


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
        return unavailable(self.cause, self.reason or self.cause)

    @property
    def header(self) -> str | None:
        """The Reason of our BYE; None where it is a hang-up like any other."""
        if self.cause == "hang_up":
            return None
        return f'Q.850;cause={_Q850.get(self.cause, 41)};text="{self.cause}"'
