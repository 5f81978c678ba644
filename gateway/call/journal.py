"""Journal ●: the file of call records, one JSON line a call, appended when the call is over. Shell.

Left out on purpose: rotation, which is the work of what reads it; the file is opened for each line.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import structlog

from .record import Record

# JSON lets these stand in a text, but a reader may take them for the end of the line
LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}

log = structlog.get_logger()


class Journal:
    """Records go to the file at `path`; None: nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    async def write(self, record: Record) -> None:
        """Keep a record, off the loop; one that cannot be written is logged."""
        if self._path is None:
            return
        line = json.dumps(record.as_dict(), ensure_ascii=False).translate(LINE_ENDS)
        try:
            await asyncio.to_thread(self._append, self._path, line)
        except OSError as error:
            record.transcript = None  # a log never shows what was said
            log.error("record_not_written", reason=str(error), record=record.as_dict())

    @staticmethod
    def _append(path: Path, line: str) -> None:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")
