"""Behaviour: how an agent answers the phone, as far as the bridge decides it. A pure value.

It comes from the agent's configuration and from what the backend is like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Of one call; where nothing is said, as an agent without settings has it."""

    instructions: str = ""
    greeting: str | None = None  # None: the caller speaks first
    interruptible: bool = True  # may the greeting be interrupted
    truncate_at: str = "sent"  # all that was sent, or what was heard at the onset
    tools: Sequence[str] = ("hang_up",)
    targets: Sequence[str] = ()  # names of the places that a caller can be transferred to
    builtin_tools: frozenset[str] = frozenset()  # the backend runs these itself: never answered
    keypad_interrupts: bool = True
    cancels_on_speech: bool = True  # the server stops its response when it hears the caller
    padding_ms: int = 300  # by which the server dates the caller's speech back
    playout_delay: float = 0.06  # s of the far end's jitter buffer, where it does not tell
    cumulative_transcripts: bool = False  # a transcript repeats those before it
