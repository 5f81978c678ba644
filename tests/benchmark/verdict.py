"""What some windows of many calls come to, and what is wanted of them; pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .table import Figure

LATE, LOST, STEP = 5.0, 0.005, 100  # ms of p99; share of the sound; calls


@dataclass(frozen=True, slots=True)
class Way:
    """How the sound goes."""

    herd: bool = False
    srtp: bool = False
    straight: bool = False

    def __str__(self) -> str:
        said = (self.srtp, "SRTP"), (self.straight, "straight"), (self.herd, "all deltas at once")
        return "".join(f", {words}" for true, words in said if true)


PLAIN = Way()


@dataclass(frozen=True, slots=True)
class Figures:
    """What one window showed."""

    cpu: float  # ms for a second of a call
    core: float  # of core 0
    pacing: tuple[float, float, float]  # ms; p50, p99, p99.9
    heard: float  # of the sound that was said to the model
    received: float  # of the packets due to the callers
    memory: float  # MB a call
    disturbed: bool

    @property
    def good(self) -> bool:
        """It could go on like that."""
        return self.pacing[1] < LATE and min(self.heard, self.received) >= 1 - LOST

    def __str__(self) -> str:
        p50, p99, p999 = self.pacing
        return (
            f"cpu {self.cpu:6.3f} ms  core {self.core:4.0%}"
            f"  pacing {p50:5.2f} {p99:6.2f} {p999:6.2f} ms"
            f"  in {self.heard:6.1%}  out {self.received:6.1%}  memory {self.memory:5.2f} MB"
            f"{' !' if self.disturbed else ''}"
        )


def reached(calls: int, windows: list[Figures], ratios: list[float], way: Way) -> list[Figure]:
    """What is to be kept of some windows of the gateway; the limits are those of 500 calls.

    `ratios` are to what it is compared with: plain RTP, PCM 24 kHz, or else the floor.
    """
    middle = [statistics.median(it.pacing[place] for it in windows) for place in range(3)]
    limits: tuple[float | None, ...] = (None, None, None)
    if calls == 500:
        limits = (None, 10.0, None) if way.herd else (0.1, 1.0, LATE)
    elif calls == 800 or (way.srtp and calls == 600):
        limits = (None, LATE, None)
    of = f"{calls} calls{way}"
    names = ("p50", "p99", "p99.9")
    shown = [
        Figure(f"pacing {name}, {of}", value, "ms", limit)
        for name, value, limit in zip(names, middle, limits, strict=True)
    ]
    least = min(min(it.heard, it.received) for it in windows)
    shown.append(
        Figure(f"sound that arrives, {of}", 100 * least, "%", 100 * (1 - LOST), at_least=True)
    )
    if not way.herd:
        most = None if way.srtp else 0.7 if way.straight else 1.6 if calls == 500 else None
        ratio = statistics.median(ratios)
        memory = statistics.median(it.memory for it in windows)
        shown.append(Figure(f"CPU against {rival(way)[2]}, {of}", ratio, "times", most))
        shown.append(Figure(f"memory, {of}", memory, "MB a call", 0.4))
    return shown


def rival(way: Way) -> tuple[str, Way, str]:
    """What a way is compared with: the program, how its sound goes, and that in words."""
    if way.straight:
        return "gateway", replace(way, straight=False), "PCM 24 kHz"
    if way.srtp:
        return "gateway", replace(way, srtp=False), "plain RTP"
    return "floor", way, "a C program"


def most_of(start: int, carries: Callable[[int], bool]) -> int:
    """The last number of calls, from `start` on or else below it, that can be carried."""
    calls = start
    if carries(calls):
        while carries(calls + STEP):
            calls += STEP
        return calls
    while calls > STEP and not carries(calls - STEP):
        calls -= STEP
    return max(0, calls - STEP)


def enough(windows: Sequence[Figures]) -> bool:
    """Most of the windows are good."""
    return 2 * sum(it.good for it in windows) > len(windows)
