"""Logs: one JSON object a line where a program reads them, plain text where a person does. Floor 0.

`setup` is called once, by the command line. After it `structlog.get_logger()` writes anywhere, with
what `structlog.contextvars` has bound (the call's ids, in one place: call/call.py). Every text is
cleaned on the way, so that what a stranger wrote in a header is never two lines, nor steers the
terminal. What the libraries log comes out in the same form, from warnings up only: at their debug
level they write out request headers, and with them the keys. For the same reason a traceback never
shows local variables.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from .text import cleaned

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

LIMIT = 1024  # characters of one value; what is longer is somebody's attack or our mistake


def setup(level: Level, format: Format, stream: TextIO) -> None:
    """From now on, log what is at least of `level` to `stream`, in UTC.

    `auto` is JSON unless `stream` is a terminal.
    """
    terminal = stream.isatty()
    json = format == "json" or (format == "auto" and not terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _clean,
    ]
    console = structlog.dev.ConsoleRenderer(
        colors=terminal, exception_formatter=structlog.dev.plain_traceback
    )
    written = structlog.processors.JSONRenderer() if json else console
    lowest = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, written],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _adopt_the_libraries(shared, written, max(lowest, logging.WARNING), stream)


def _clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if key == "exception" else [value]  # a traceback has several
            event[key] = "\n".join(cleaned(line, LIMIT) for line in lines)
    return event


def _adopt_the_libraries(
    shared: list[Processor], written: Processor, lowest: int, stream: TextIO
) -> None:
    """Send the standard library's logging through the same processors."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder([]), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, written],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(lowest)
