"""Reliable provisional responses: RFC 3262, the 100rel extension.

Pure. Two machines: `ReliableSender`, one for each INVITE that we answer (§3), `ReliableReceiver`,
one for each early dialog of an INVITE that we sent (§4).

    called   send ──▶ [RSeq n, resent T1, 2*T1, ...] ──PRACK n──▶ the next one, RSeq n+1
                          └── 64*T1 without PRACK ──▶ given up: 5xx to the INVITE
    calling  RSeq n ──▶ PRACK with RAck n; a copy of it, or one out of order ──▶ nothing

One is under way at a time, later ones wait for its PRACK. Left out on purpose: keeping a response
that came out of order until the ones before it come (§4 allows either; it is sent again anyhow).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .message import Request, Response
from .transaction import T1, TIMEOUT

OPTION = "100rel"  # §7.1
MAX_RSEQ = 2**32 - 1  # §7.1
MAX_WAITING = 8  # responses that wait for the PRACK of an earlier one

_RSEQ = re.compile(r"[0-9]{1,10}")
_RACK = re.compile(r"([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]+(\S+)")


def is_supported(request: Request) -> bool:
    """May provisional responses to this INVITE be reliable (§3)?"""
    headers = request.headers
    tags = [*headers.elements("Supported"), *headers.elements("Require")]
    return any(tag.lower() == OPTION for tag in tags)


def is_required(request: Request) -> bool:
    """Must they be (§3)?"""
    return any(tag.lower() == OPTION for tag in request.headers.elements("Require"))


@dataclass(slots=True)
class _Outstanding:
    """A response that was sent and is not yet acknowledged."""

    response: Response
    rseq: int
    resend: float
    give_up: float
    interval: float = T1


class ReliableSender:
    """`number` gives the first RSeq, 1 to 2**31 - 1, when the first response is sent (§3)."""

    def __init__(self, invite: Request, number: Callable[[], int]) -> None:
        self._cseq = invite.headers.cseq
        self._number = number
        self._last: int | None = None  # RSeq
        self._outstanding: _Outstanding | None = None
        self._waiting: deque[Response] = deque(maxlen=MAX_WAITING)
        self._silent = False  # a final response went: nothing is resent any more

    @property
    def deadline(self) -> float | None:
        out = self._outstanding
        return None if out is None or self._silent else min(out.resend, out.give_up)

    @property
    def holds_session(self) -> bool:
        """Is a session description unacknowledged? Then a 2xx has to wait (§3)."""
        out = self._outstanding
        mine = [*([out.response] if out else []), *self._waiting]
        return any(response.body for response in mine)

    def send(self, response: Response, now: float) -> list[Response]:
        """Take a provisional response over 100; what is to be sent of it now, if anything."""
        self._waiting.append(response)
        return self._send_next(now)

    def acknowledge(self, prack: Request, now: float) -> list[Response] | None:
        """Take a PRACK: what may be sent now. None: it matches nothing, 481 (§3)."""
        out = self._outstanding
        match = _RACK.fullmatch(prack.headers.get("RAck") or "")
        if out is None or match is None:
            return None
        if (int(match[1]), int(match[2]), match[3]) != (out.rseq, *self._cseq):
            return None
        self._outstanding = None
        return self._send_next(now)

    def finish(self) -> None:
        """A final response goes: no more copies, but a PRACK that is under way is still known."""
        self._silent = True
        self._waiting.clear()

    def handle_timer(self, now: float) -> list[Response] | None:
        """Copies that are due. None: no PRACK came in 64*T1, the INVITE is to be refused (§3)."""
        out = self._outstanding
        if out is None or self._silent:
            return []
        if out.give_up <= now:
            self.finish()
            return None
        if out.resend > now:
            return []
        out.interval *= 2  # without an end, unlike a 2xx's
        out.resend = now + out.interval
        return [out.response]

    def _send_next(self, now: float) -> list[Response]:
        if self._outstanding or self._silent or not self._waiting:
            return []
        response = self._waiting.popleft()
        self._last = self._number() if self._last is None else self._last + 1
        response.headers.add("Require", OPTION)
        response.headers.add("RSeq", str(self._last))
        self._outstanding = _Outstanding(response, self._last, now + T1, now + TIMEOUT)
        return [response]


class ReliableReceiver:
    """The reliable responses within one early dialog."""

    def __init__(self) -> None:
        self._last: int | None = None  # RSeq

    def take(self, response: Response) -> str | None:
        """Return the RAck that acknowledges a reliable response; None: it is to be ignored.

        A copy was acknowledged already, and one that is not the next is not acknowledged (§4).
        """
        rseq = response.headers.get("RSeq") or ""
        if not _RSEQ.fullmatch(rseq) or not 1 <= int(rseq) <= MAX_RSEQ:
            return None
        if self._last is not None and int(rseq) != self._last + 1:
            return None
        self._last = int(rseq)
        cseq = response.headers.cseq
        return f"{self._last} {cseq.number} {cseq.method}"


def is_reliable(response: Response) -> bool:
    """Does this response ask for a PRACK (§4)? A 100 never does."""
    tags = response.headers.elements("Require")
    reliable = 100 < response.status < 200 and response.headers.get("RSeq") is not None
    return reliable and any(tag.lower() == OPTION for tag in tags)
