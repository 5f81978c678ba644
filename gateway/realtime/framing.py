"""Frames of a WebSocket cut out of the byte stream of a server: RFC 6455 §5.2. Pure.

Nearly all that a model sends is text in one frame each, and a protocol's parser spends most of its
time on exactly those. So they are told apart here by their first bytes: whole text messages come
out ready, and all else (the handshake's answer, control frames, fragments, what breaks the rules)
as it was, in whole frames, for the parser that knows what it means.
"""

from __future__ import annotations

from collections.abc import Iterator

_TEXT = 0x81  # FIN, no extension, opcode 1
_HEAD_END = b"\r\n\r\n"
_SWITCHING = b"HTTP/1.1 101"


class Frames:
    """The stream of one connection; `limit` is the longest frame that is waited for, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = b""  # of the handshake's answer: as much as tells what it is
        self._tail: bytes | None = b""  # its last bytes, as long as it goes on
        self._plain = False  # no frames: everything is for the parser
        self._waiting = bytearray()
        self._needed = 0  # bytes that the frame in `_waiting` has
        self._in_message = False  # between the fragments of one

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Take what came; give (text of a message, True) and (bytes for the parser, False)."""
        if self._tail is not None:
            head, data = self._cut_head(data)
            yield head, False
        if self._plain:
            if data:
                yield data, False
            return
        if self._waiting:
            self._waiting += data
            if len(self._waiting) < self._needed:
                return
            data, self._waiting = bytes(self._waiting), bytearray()
        at = 0
        while at < len(data):
            begin, end = _extent(data, at)
            if end - begin > self._limit:
                self._plain = True
                yield data[at:], False
                return
            if end > len(data):
                self._waiting += data[at:]
                self._needed = end - at
                return
            yield self._frame(data, at, begin, end)
            at = end

    def _frame(self, data: bytes, at: int, begin: int, end: int) -> tuple[bytes, bool]:
        first = data[at]
        if first == _TEXT and not data[at + 1] & 0x80 and not self._in_message:
            return data[begin:end], True
        if first & 0x0F < 0x08:  # no control frame, which may come between fragments
            self._in_message = not first & 0x80
        return data[at:end], False

    def _cut_head(self, data: bytes) -> tuple[bytes, bytes]:
        """The answer's head, as far as it came, and what is behind it."""
        assert self._tail is not None
        if len(self._begun) < len(_SWITCHING):
            self._begun += data[: len(_SWITCHING)]
        end = (self._tail + data).find(_HEAD_END)
        if end < 0:
            self._tail = (self._tail + data)[-3:]
            return data, b""
        end += len(_HEAD_END) - len(self._tail)
        self._tail = None
        self._plain = not self._begun.startswith(_SWITCHING)
        return data[:end], data[end:]


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins and ends; a guess too near where it is cut."""
    left = len(data) - at
    if left < 2:
        return at, at + 2
    masked, length = data[at + 1] & 0x80, data[at + 1] & 0x7F
    begin = at + 2 + (4 if masked else 0)
    if length > 125:
        size = 2 if length == 126 else 8
        if left < 2 + size:
            return at, at + 2 + size
        begin += size
        length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
    return begin, begin + length
