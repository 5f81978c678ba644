"""Watching that nothing breaks: neither in the event loop nor in a call."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

BROKEN = {"call_failed", "record_not_written", "recording_failed"}  # log lines of our own faults


@contextmanager
def nothing_breaks() -> Iterator[list[Any]]:
    """Within it no exception reaches the loop, no task dies unheard, no call fails by our fault.

    Gives the log lines, as they come.
    """
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        with capture_logs() as lines:
            yield lines
            gc.collect()  # a task that died unheard says so when it is collected
        assert [line for line in lines if line["event"] in BROKEN] == []
        assert faults == []
    finally:
        loop.set_exception_handler(before)
