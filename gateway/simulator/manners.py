"""Manners: what a phone of our own does when somebody calls it, or refers it. Pure: values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answering:
    """What a phone does when it is called."""

    status: int = 200  # or how it refuses
    after: float | None = 0.0  # s of ringing; None: for ever
    early: bool = False  # it speaks before it answers: 183 with SDP


@dataclass(frozen=True, slots=True)
class Referring:
    """What a phone does with a REFER: it only tells of a call that it would make."""

    refuses: int | None = None  # the status
    tells: Sequence[int] = (180, 200)  # statuses of the target, in their order
    every: float = 0.5  # s between them
    leaves: bool = True  # BYE when the target answered
