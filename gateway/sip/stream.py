"""Messages out of a byte stream (RFC 3261 §18.3), and how long a connection may live.

Pure. `StreamFramer` cuts at Content-Length, whatever the chunks are; what has once been looked at
is not looked at again, so a peer that sends byte by byte costs no more than its bytes. Lengths are
judged before anything is waited for: nobody makes us hold more than one message. Beside messages
there is the keep-alive of RFC 5626 §4.4.1: CR LF CR LF asks, CR LF answers.

`Upkeep` says when a connection is to be asked, and when it is given up:

    a message that is begun and not ended      5 s, from either side
    asked, not answered                       10 s, of a peer that has answered before
    no message, no ping of the peer's        120 s, unless somebody needs it

Left out on purpose: keep-alive by STUN, which streams do not have (RFC 5626 §3.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

from .grammar import SipError
from .message import Request, parse

MAX_HEAD: Final = 32_768  # bytes, the blank line included
MAX_BODY: Final = 32_768  # bytes

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"

PARTIAL: Final = 5.0  # s
IDLE: Final = 120.0  # s
ASK_EACH: Final = 30.0  # s
ANSWER_WITHIN: Final = 10.0  # s, RFC 5626 §4.4.1

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_LINE_ENDS = re.compile(rb"[\r\n]*")
_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.I | re.M)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_NUMBER = re.compile(rb"[0-9]{1,10}")


class Signal(Enum):
    """What is no message, but a sign of life."""

    PING = "ping"  # to be answered with PONG
    PONG = "pong"


class StreamFramer:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # no head ends before here
        self._size: int | None = None  # of the message whose head is complete
        self._asked = False  # a CR LF came that may be the first half of a ping
        self._broken = False

    @property
    def partial(self) -> bool:
        """Has a message begun that has not ended?"""
        return bool(self._buffer) and self._buffer != b"\r"

    def receive(self, data: bytes) -> list[bytes | Signal | SipError]:
        """Take what came; return what is complete, each message as it was sent.

        However many pings a chunk holds, one is told: what is answered is that we live.
        A SipError is the end: where the next message begins cannot be told, so the connection is to
        be closed, and first answered with the error's status where it has one.
        """
        if self._broken:
            return []
        self._buffer += data
        results: list[bytes | Signal | SipError] = []
        try:
            while found := self._next():
                results += found
        except SipError as error:
            self._broken = True
            self._buffer.clear()
            results.append(error)
        return results

    def forget(self) -> None:
        """A ping of ours leaves: a CR LF that comes from now on is no half of an older one."""
        self._asked = False

    def _next(self) -> list[bytes | Signal]:
        """What the buffer begins with; [] while that is not complete."""
        if not self._scanned and (signals := self._between()):
            return signals
        if self._size is None and self.partial:
            self._size = self._measure()
        if self._size is None or len(self._buffer) < self._size:
            return []
        message = bytes(self._buffer[: self._size])
        del self._buffer[: self._size]
        self._scanned, self._size, self._asked = 0, None, False
        return [message]

    def _between(self) -> list[bytes | Signal]:
        """Drop the line ends in front of a message (§7.5); two of them are a ping, one a pong."""
        match = _LINE_ENDS.match(self._buffer)
        ends = match[0] if match else b""
        if ends.endswith(b"\r") and len(ends) == len(self._buffer):
            ends = ends[:-1]  # its LF may follow
        del self._buffer[: len(ends)]
        count = ends.count(b"\r\n") + self._asked
        if not ends or not count:
            return []
        self._asked = count % 2 == 1
        return [Signal.PONG if count == 1 else Signal.PING]

    def _measure(self) -> int | None:
        """The size of the message that has begun; None while its head is not complete."""
        end = _BLANK_LINE.search(self._buffer, max(self._scanned - 3, 0))
        self._scanned = len(self._buffer)
        if (end.end() if end else self._scanned) > MAX_HEAD:
            raise SipError("Headers Too Large")
        if end is None:
            return None
        head = bytes(self._buffer[: end.end()])
        return len(head) + _body_length(head)


def _body_length(head: bytes) -> int:
    """Content-Length, which a stream cannot do without (§18.3, §20.14)."""
    values = {_FOLD.sub(b" ", value).strip(b" \t\r") for value in _LENGTH.findall(head)}
    if len(values) != 1:
        raise _refusal(head, 400, "Several Content-Length" if values else "No Content-Length")
    value = values.pop()
    if not _NUMBER.fullmatch(value):
        raise _refusal(head, 400, "Bad Content-Length")
    if int(value) > MAX_BODY:
        raise _refusal(head, 413, "Request Entity Too Large")
    return int(value)


def _refusal(head: bytes, status: int, reason: str) -> SipError:
    """What to answer to a head whose body cannot be taken, if it is one of a request."""
    try:
        message = parse(head)
    except SipError as error:
        return SipError(reason, status=error.status and status, request=error.request)
    if isinstance(message, Request) and message.method != "ACK":
        return SipError(reason, status=status, request=message)
    return SipError(reason)


class Due(Enum):
    """What time asks of a connection."""

    ASK = "ask"  # send a PING
    UNUSED = "unused"  # close it, unless somebody needs it
    STUCK = "stuck"  # close it: a message did not end
    DEAD = "dead"  # close it: the peer answers no ping


class Upkeep:
    """The time of one connection. `dialled`: it was made by us, so it is ours to keep alive."""

    def __init__(self, *, dialled: bool, now: float) -> None:
        self._partial_by: float | None = None
        self._answer_by: float | None = None
        self._ask_at = now + ASK_EACH if dialled else None
        self._unused_at = now + IDLE
        self._asked = False  # and nothing came since
        self._answers = False  # the peer has answered a ping before

    @property
    def deadline(self) -> float:
        due = (self._partial_by, self._answer_by, self._ask_at, self._unused_at)
        return min(at for at in due if at is not None)

    def receive(
        self, results: Sequence[bytes | Signal | SipError], partial: bool, now: float
    ) -> None:
        """Note what the framer made of a chunk. Whatever it is, the peer lives."""
        if self._asked and results == [Signal.PONG]:
            self._answers = True
        self._asked, self._answer_by = False, None
        if any(result is not Signal.PONG for result in results):
            self.use(now)
            self._partial_by = None  # the one that was waited for has ended
        if not partial:
            self._partial_by = None
        elif self._partial_by is None:
            self._partial_by = now + PARTIAL

    def use(self, now: float) -> None:
        """Note that a message of ours leaves, or that somebody needs the connection."""
        self._unused_at = now + IDLE

    def handle_timer(self, now: float) -> Due | None:
        """What is due first, if anything is."""
        if self._partial_by is not None and self._partial_by <= now:
            return Due.STUCK
        if self._answer_by is not None and self._answer_by <= now:
            return Due.DEAD
        if self._unused_at <= now:
            return Due.UNUSED
        if self._ask_at is not None and self._ask_at <= now:
            self._ask_at, self._asked = now + ASK_EACH, True
            self._answer_by = now + ANSWER_WITHIN if self._answers else None
            return Due.ASK
        return None
