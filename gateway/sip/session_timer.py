"""Session timers: RFC 4028. A session that nobody refreshes ends, on both sides.

Pure. One machine a call; each INVITE and UPDATE with its 2xx agrees anew on the interval and on
who refreshes, whichever side asked (§7, §9). Of the interval, measured from the last 2xx:

    0 ──────────────── 1/2 ─────────────────────────── end - min(32 s, 1/3) ─────── end
                   the refresher                          either side:
                   refreshes (§10)                        BYE (§10)

A refresh that fails leaves the end where it was, and is tried again at half of what is left; 408,
481 and silence end the dialog, which invite.py knows by itself. Left out on purpose: refreshing
a session for a peer that neither knows session timers nor was asked to by a proxy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from .grammar import SipError, parse_params
from .grammar import param as parameter
from .message import Headers, Request, Response
from .uas import Rejection

MIN_SE = 90  # s, the least interval that anybody may ask for, §4
INTERVAL = 1800  # s, recommended in §4
LONGEST = 24 * 3600  # s, nobody's Min-SE takes us beyond
OPTION = "timer"  # §6
MARGIN = 32.0  # s before the end, or a third of the interval, §10
LAST_TRY = 5.0  # s before the BYE, no refresh is begun any more

_SECONDS = re.compile(r"[0-9]{1,10}")
Role = Literal["uac", "uas"]  # of the one who sent the request, and of the one who answered it


class Due(Enum):
    REFRESH = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The header of that name (§4)."""

    interval: int  # s
    refresher: Role | None = None

    @classmethod
    def parse(cls, value: str) -> SessionExpires:
        """Raise SipError unless `value` is a number of seconds with parameters."""
        seconds, _, params = value.partition(";")
        refresher = (parameter(parse_params(params), "refresher") or "").lower()
        role: Role | None = None
        if refresher in {"uac", "uas"}:
            role = "uac" if refresher == "uac" else "uas"
        return cls(_seconds(seconds), role)

    def __str__(self) -> str:
        return (
            f"{self.interval};refresher={self.refresher}" if self.refresher else f"{self.interval}"
        )


class SessionTimer:
    """`interval` is what we ask for, in s, at least 90; 0: we ask for nothing.

    What the peer asks for is kept in either case.
    """

    def __init__(self, interval: int = INTERVAL) -> None:
        if interval and interval < MIN_SE:
            raise ValueError(f"a session interval of {interval} s")
        self._wanted = interval
        self._least = MIN_SE  # the largest Min-SE that a 422 told, §7.4
        self._agreed: int | None = None  # s; None: off
        self._refreshing = False  # are we the one who refreshes?
        self._refresh: float | None = None  # when
        self._end: float | None = None  # when to say BYE

    @property
    def running(self) -> bool:
        return self._agreed is not None

    @property
    def deadline(self) -> float | None:
        return self._end if self._refresh is None else self._refresh

    # as the client of an INVITE or UPDATE

    def ask(self) -> list[tuple[str, str]]:
        """The headers of our request: the first, or within a session (§7.1, §7.4)."""
        if self._agreed is None and not self._wanted:
            return []
        refresher: Role | None = None
        if self._agreed is not None:
            refresher = "uac" if self._refreshing else "uas"  # as it is now
        interval = max(self._agreed or self._wanted, self._least)
        return [
            ("Session-Expires", str(SessionExpires(interval, refresher))),
            ("Min-SE", str(self._least)),
        ]

    def agree(self, response: Response, now: float) -> None:
        """Take the 2xx to our request: without the header there is no timer (§7.2)."""
        told = _told(response.headers)
        if told is None:
            self.stop()
        else:
            self._start(max(told.interval, MIN_SE), told.refresher != "uas", now)

    def is_too_small(self, response: Response, request: Request) -> bool:
        """Take a 422 to our request: is it worth another try, by `ask()` (§7.3)?"""
        least, asked = _min_se(response.headers), _told(request.headers)
        if asked is None or not asked.interval < least <= LONGEST:
            return False
        self._least = max(self._least, least)
        return True

    def fail(self, now: float) -> None:
        """Our refresh was refused: the session stays as it was (§7.4), and we try again."""
        if self._refreshing and self._end is not None and self._refresh is None:
            left = self._end - now
            self._refresh = now + left / 2 if left > LAST_TRY else None

    # as the server

    def answer(self, request: Request, now: float) -> list[tuple[str, str]]:
        """The headers of our 2xx, which is sent now: the table of §9, both columns.

        Who refreshes is said by the request; else we do, who know whether we are alive. An
        interval of the peer's may become shorter, not longer, and not less than its Min-SE.
        """
        asked, knows = _told(request.headers), _knows(request)
        kept = (
            self._agreed if self._refreshing else 0
        )  # goes on, though the peer is silent about it
        wanted = asked.interval if asked else (self._wanted if knows else 0) or kept
        if not wanted:
            self.stop()
            return []
        least = max(_min_se(request.headers), MIN_SE)
        interval = max(min(wanted, self._wanted or wanted), least)
        refresher: Role = "uac" if knows and asked and asked.refresher == "uac" else "uas"
        self._start(interval, refresher == "uas", now)
        expires = ("Session-Expires", str(SessionExpires(interval, refresher)))
        return [("Require", OPTION), expires] if knows else [expires]

    # time

    def handle_timer(self, now: float) -> Due | None:
        """Say what is due. A refresh that is due is not due again before it has failed."""
        if self._end is not None and self._end <= now:
            self.stop()
            return Due.EXPIRED
        if self._refresh is not None and self._refresh <= now:
            self._refresh = None
            return Due.REFRESH
        return None

    def _start(self, interval: int, refreshing: bool, now: float) -> None:
        self._agreed, self._refreshing = interval, refreshing
        self._end = now + interval - min(MARGIN, interval / 3)
        self._refresh = now + interval / 2 if refreshing else None

    def stop(self) -> None:
        """The session is not timed, or over."""
        self._agreed = self._refresh = self._end = None
        self._refreshing = False


def inspect_interval(request: Request) -> Rejection | None:
    """Refuse an interval that is too small, of a peer that can ask for another (§9)."""
    asked = _told(request.headers) if request.method in {"INVITE", "UPDATE"} else None
    if asked is None or asked.interval >= MIN_SE or not _knows(request):
        return None
    return Rejection(422, (("Min-SE", str(MIN_SE)),))


def _told(headers: Headers) -> SessionExpires | None:
    """What Session-Expires says; one that nobody can read says nothing."""
    try:
        return SessionExpires.parse(headers.get("Session-Expires") or "")
    except SipError:
        return None


def _min_se(headers: Headers) -> int:
    try:
        return _seconds((headers.get("Min-SE") or "").partition(";")[0])
    except SipError:
        return 0


def _seconds(value: str) -> int:
    value = value.strip(" \t")
    if not _SECONDS.fullmatch(value):
        raise SipError("not a number of seconds")
    return int(value)


def _knows(request: Request) -> bool:
    """Who requires it of us knows it, too, even where only that is said."""
    headers = request.headers
    tags = [*headers.elements("Supported"), *headers.elements("Require")]
    return any(tag.lower() == OPTION for tag in tags)
