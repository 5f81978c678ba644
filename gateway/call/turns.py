"""Turns: how long each answer took, step by step, from the end of the caller's turn. Pure.

The steps are the server's hearing (`speech_stopped`), its `response.created`, its first delta,
and the first packet of it that left for the caller; so a slow model is not
taken for a slow gateway.
"""

from __future__ import annotations

from collections.abc import Callable

from .record import Turn


class Turns:
    """Measures into `turns`; `wall` turns the monotonic `now` into seconds since 1970."""

    def __init__(self, turns: list[Turn], wall: Callable[[float], float]) -> None:
        self._turns = turns
        self._wall = wall
        self._turn: Turn | None = None
        self._began = 0.0
        self._response: str | None = None  # the one that answers the turn

    def stopped(self, now: float) -> None:
        """The caller's turn ended."""
        self._turn, self._began, self._response = Turn(self._wall(now)), now, None
        self._turns.append(self._turn)

    def created(self, response_id: str, now: float) -> None:
        """A response began; the first one answers the turn."""
        if self._turn and self._response is None:
            self._response = response_id
            self._turn.response_created_ms = self._since(now)

    def delta(self, response_id: str, now: float) -> None:
        """Sound of a response arrived."""
        if self._turn and response_id == self._response and self._turn.first_delta_ms is None:
            self._turn.first_delta_ms = self._since(now)

    def sent(self, response_id: str, now: float) -> None:
        """Sound of a response left for the caller."""
        if self._turn and response_id == self._response and self._turn.first_rtp_ms is None:
            self._turn.first_rtp_ms = self._since(now)

    def _since(self, now: float) -> int:
        return round((now - self._began) * 1000)
