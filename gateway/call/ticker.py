"""Ticker ●: a tick every 20 ms, as punctual as the machine is. Shell: a timer descriptor; Linux.

The event loop's own timers are rounded to a millisecond; a timer descriptor is not, and it does not
drift. What was missed is told to the tick, and not made up for by many of them.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import struct
import time
from collections.abc import Callable
from typing import Protocol

from gateway.audio.frame import FRAME_MS

TICK = FRAME_MS / 1000  # s
CATCH_UP = 2  # ticks at most that run back to back after a delay


class Ticker(Protocol):
    """Where the ticks come from."""

    def start(self, tick: Callable[[float, int], None]) -> None:
        """Call `tick(now, missed)` every 20 ms, `now` in the loop's time."""

    def keep(self) -> None:
        """Run the tick that is due, if one is: for callbacks that come many at a time."""

    def stop(self) -> None:
        """No tick after this."""


class TimerDescriptor:
    """Ticks from a timer descriptor with absolute deadlines (timerfd_create(2)).

    `os.timerfd_create` came with Python 3.13, so the C library is asked directly.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._next = math.inf  # loop time of the next tick, at the latest
        self._read: Callable[[], None] = lambda: None

    def start(self, tick: Callable[[float, int], None]) -> None:
        """Arm the descriptor and let the running loop read it."""
        loop = asyncio.get_running_loop()
        descriptor = self._descriptor = _timer_descriptor(TICK)

        def read() -> None:
            try:
                (due,) = struct.unpack("@Q", os.read(descriptor, 8))
            except BlockingIOError:  # `keep` was quicker
                return
            self._next += due * TICK
            runs = min(due, CATCH_UP)
            for run in range(runs):
                tick(loop.time(), due - runs if run == 0 else 0)

        self._read, self._next = read, loop.time() + TICK
        loop.add_reader(descriptor, read)

    def keep(self) -> None:
        """Run the tick that is due, if one is; of one that fails the loop is told, as ever."""
        if time.monotonic() < self._next:
            return
        try:
            self._read()
        except Exception as error:  # a border: who called is not at fault
            told = {"message": "a tick failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    def stop(self) -> None:
        """Close the descriptor."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor, self._next = None, math.inf


def _timer_descriptor(interval: float) -> int:
    """A non-blocking timer descriptor that fires every `interval` seconds from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    seconds, nanoseconds = divmod(round(interval * 1e9), 1_000_000_000)
    # struct itimerspec: the interval, then the first expiry; both as seconds and nanoseconds
    spec = struct.pack("@qqqq", seconds, nanoseconds, seconds, nanoseconds)
    if libc.timerfd_settime(descriptor, 0, spec, None) < 0:
        os.close(descriptor)
        raise OSError(ctypes.get_errno(), "timerfd_settime failed")
    return descriptor
