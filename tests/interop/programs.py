"""Other people's programs in tests: found or excused, started, waited for, and ended.

Only what was started here is ever ended, each by its own process id.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

HOST = "127.0.0.1"
LOOK = 0.02  # s between two looks at a condition
RANGES = range(10000, 27700, 100)  # of media ports, below those that the system gives out
PORTS = range(28000, 32700, 4)
CLAIMS = 100  # that last
KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


def need(*names: str) -> None:
    """Skip the test where one of the programs is missing; under CI=true it fails."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        excuse(f"not installed: {', '.join(missing)}")


def excuse(reason: str) -> None:
    """Skip with a reason; under CI=true, where nothing may be missing, fail with it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def until(condition: Callable[[], T], what: str, within: float = 15.0) -> T:
    """Wait until the condition gives something true, and return that; `within` in seconds."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(LOOK)


def free_port() -> int:
    """A port that nobody has now, for UDP and TCP alike; the next one, for TLS, is free as well.

    No two callers are given the same, in this process and in others that test meanwhile: until its
    program listens, a port is nobody's.
    """
    for _ in range(len(PORTS)):
        port = next(_ports)
        near = (port, port + 1)
        if all(_is_free(it, kind) for it in near for kind in KINDS) and _claim(port + 2):
            return port
    raise AssertionError("no port is free")


def free_range(size: int) -> int:
    """The first of `size` UDP ports in a row that nobody has now, even (RFC 3550 §11)."""
    for _ in range(len(RANGES)):
        first = next(_ranges)
        for _ in range(first + RANGES.step, first + size, RANGES.step):
            next(_ranges)  # is part of it
        ports = range(first, first + size)
        free = all(_is_free(port, socket.SOCK_DGRAM) for port in ports)
        if free and all(_claim(port) for port in ports[:: RANGES.step]):
            return first
    raise AssertionError(f"no {size} ports in a row are free")


def _claim(port: int) -> bool:
    """Tell others by a TCP port that nobody uses that this and its neighbours are ours."""
    mark = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    _claims.append(mark)
    if len(_claims) > CLAIMS:
        _claims.popleft().close()
    try:
        mark.bind((HOST, port))
    except OSError:
        return False
    return True


_claims: deque[socket.socket] = deque()


@atexit.register
def _give_up_claims() -> None:
    for mark in _claims:
        mark.close()


def _around(these: range) -> Iterator[int]:
    """All of them, again and again, from one in the middle: others may be testing, too."""
    start = random.randrange(len(these))
    return cycle([*these[start:], *these[:start]])


_ports, _ranges = _around(PORTS), _around(RANGES)


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class Program:
    """A running program; what it prints goes into a file. `home`: its $HOME, for its own files."""

    def __init__(
        self, command: Sequence[str], folder: Path, name: str, home: Path | None = None
    ) -> None:
        self.path = folder / f"{name}.out"
        with self.path.open("wb") as out:
            self._process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HOME": str(home)} if home else None,
            )

    def tell(self, line: str) -> None:
        """Give it a line to read."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def printed(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace")

    def wait(self, within: float) -> int:
        """The exit code, once it ended by itself."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {within} s:\n{self.printed}") from None

    def stop(self, within: float = 10.0, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; the exit code."""
        if self.running:
            self._process.send_signal(by)
        return self.wait(within)

    def kill(self) -> None:
        """End it whatever it does; harmless when it has ended."""
        if self.running:
            self._process.kill()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()


@contextmanager
def running(
    command: Sequence[str], folder: Path, name: str, home: Path | None = None
) -> Iterator[Program]:
    """Run a program; it is gone when the block is left."""
    program = Program(command, folder, name, home)
    try:
        yield program
    finally:
        program.kill()
