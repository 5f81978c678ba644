"""Backlog: the caller's sound that the model's socket does not take as fast as it comes. Pure.

A socket that keeps up is given each append at once. One that lags is given little, in appends of up
to 100 ms; the rest waits here, where it can still be dropped: more than 200 ms is counted, and of
more than a second the oldest goes, since who answers a late question wants to hear its end. What is
dropped was never appended, so the account of what was (appended.py) is told when each piece that
did leave had come.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

COALESCED = 0.1  # s, the longest append; and what may wait in a socket that is given more
BEHIND = 0.2  # s that wait, from which on the model hears the caller late
MOST = 1.0  # s that may wait


class Piece(NamedTuple):
    """Some sound as it is appended."""

    data: bytes
    came: float  # when its end did


class Backlog:
    """That of one session; `rate` in bytes of sound a second."""

    def __init__(self, rate: int) -> None:
        self.behind = 0  # times that too much waited
        self.losses = 0  # times that some of it was lost; once however long that went on
        self.lost_ms = 0
        self._rate = rate
        self._pieces: deque[Piece] = deque()
        self._waiting = 0  # bytes in them
        self._lost = 0  # bytes
        self._is_behind = self._is_losing = False

    def passes(self, unsent: int) -> bool:
        """Whether sound may go straight to the socket, past `push` and `take`: nothing waits."""
        return not (unsent or self._pieces or self._is_behind)

    def push(self, data: bytes, now: float, unsent: int) -> None:
        """Take sound; `unsent` bytes wait in the socket, as base64."""
        self._pieces.append(Piece(data, now))
        self._waiting += len(data)
        waiting = self._waiting + unsent * 3 // 4
        if waiting <= BEHIND * self._rate:
            self._is_behind = self._is_losing = False
            return
        if not self._is_behind:
            self._is_behind = True
            self.behind += 1
        while waiting > MOST * self._rate and self._pieces:
            dropped = len(self._pieces.popleft().data)
            waiting -= dropped
            self._waiting -= dropped
            self._lose(dropped)

    def take(self, unsent: int) -> list[Piece]:
        """The next append; empty where nothing waits, or is better kept."""
        if not self._pieces:
            return []
        most = COALESCED * self._rate
        if unsent and (
            unsent * 3 / 4 >= most or self._waiting + len(self._pieces[-1].data) <= most
        ):
            return []
        taken = [self._pieces.popleft()]
        size = len(taken[0].data)
        while self._pieces and size + len(self._pieces[0].data) <= most:
            taken.append(self._pieces.popleft())
            size += len(taken[-1].data)
        self._waiting -= size
        return taken

    def _lose(self, size: int) -> None:
        if not self._is_losing:
            self._is_losing = True
            self.losses += 1
        self._lost += size
        self.lost_ms = self._lost * 1000 // self._rate
