"""Calls that come and go: python -m tests.benchmark.churn [--calls N] [--rate R] [--minutes M]

N calls (200) are up, R (10) are set up and R hung up each second, for M minutes (30): each call
lasts N / R seconds, with sound both ways. Of the gateway's process memory, descriptors and tasks
are printed as time goes by, and at the end how much they grew: the middle of the last third of the
time against that of the first, after a warm-up in which the first ports come out of quarantine and
the calls that are remembered become a thousand. What grows by more than 2 % is not flat. Below ten
minutes nothing is judged.

Needs what capacity.py needs; the gateway is pinned to core 0, everything else to core 1.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .capacity import API_PORT, CALLERS_PORT, SIP_PORT, Bench, memory_of
from .phones import HOST, Sip
from .table import Figure, show

WARM_UP = 150.0  # s
JUDGED = 600.0  # s; a shorter run is too short to judge
GROWTH = 2.0  # %, which is still flat
EVERY = 5.0  # s between samples
QUARANTINE = 60  # s, and more than enough, in which a port is not used again
PATIENCE = 10.0  # s for an answer


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway's process at a time."""

    at: float  # s since the beginning
    memory: float  # MB
    descriptors: int
    tasks: int
    calls: int


def growth(samples: Sequence[Sample], name: str) -> float:
    """By how many percent something grew, once the process was warm."""
    end = samples[-1].at
    warm = min(WARM_UP, end / 2)
    third = (end - warm) / 3
    first = [getattr(it, name) for it in samples if warm <= it.at <= warm + third]
    last = [getattr(it, name) for it in samples if it.at >= end - third]
    before, after = float(statistics.median(first)), float(statistics.median(last))
    return 100 * (after - before) / max(1.0, before)


def verdict(samples: Sequence[Sample]) -> list[Figure]:
    """How flat it is."""
    most = GROWTH if samples[-1].at >= JUDGED - EVERY else None
    names = ("memory", "descriptors", "tasks")
    return [Figure(f"growth of {it} in churn", growth(samples, it), "%", most) for it in names]


class Callers:
    """All telephones: one thread of Python, one socket for the sound of all."""

    def __init__(self, calls: int, rate: float) -> None:
        self.begun = self.lost = self.heard = 0
        self._calls, self._rate = calls, rate
        self._sip = Sip(SIP_PORT, CALLERS_PORT)
        self._waiting: dict[str, float] = {}  # names, and when they called
        self._given_up: set[str] = set()
        self._up: deque[tuple[str, int, int]] = deque()  # names, ports, the tick of the answer
        self._sound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sound.bind((HOST, CALLERS_PORT))
        self._sound.setblocking(False)
        self._ticks = 0
        self.fault: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hang up all."""
        self._over.set()
        self._thread.join()
        self._sip.hang_up()
        self._sip.close()
        self._sound.close()

    def _run(self) -> None:
        try:
            self._ring()
        except BaseException as error:  # SystemExit too: a call that was refused
            self.fault = error

    def _ring(self) -> None:
        os.sched_setaffinity(0, {1})
        began = time.monotonic()
        while not self._over.is_set():
            self._ticks += 1
            now = time.monotonic()
            self._signal(now, now - began)
            self._speak()
            self._listen()
            time.sleep(max(0.0, began + 0.02 * self._ticks - time.monotonic()))

    def _signal(self, now: float, elapsed: float) -> None:
        while self.begun < elapsed * self._rate:
            self._waiting[self._sip.invite(self.begun)] = now
            self.begun += 1
        for line in self._sip.poll():
            name, port = line.name, line.port
            if self._waiting.pop(name, None) is None:
                if port and name in self._given_up:
                    self._given_up.remove(name)
                    self._sip.end(name)
                continue
            if port:
                self._up.append((name, port, self._ticks))
            else:
                self.lost += 1
        for name in [name for name, at in self._waiting.items() if now - at > PATIENCE]:
            del self._waiting[name]
            self._given_up.add(name)
            self.lost += 1
        while len(self._up) > self._calls:
            self._sip.end(self._up.popleft()[0])

    def _speak(self) -> None:
        sound = b"\x55\xd5" * 80
        for _, port, since in self._up:
            tick = self._ticks - since
            header = struct.pack("!BBHII", 0x80, 0, tick & 0xFFFF, 160 * tick, port)
            with suppress(OSError):  # a port that is not there any more
                self._sound.sendto(header + sound, (HOST, port))

    def _listen(self) -> None:
        with suppress(BlockingIOError):
            while True:
                with suppress(ConnectionError):
                    self._sound.recv(2048)
                    self.heard += 1


def look(pid: int, at: float) -> Sample:
    """The process, and what it says of itself."""
    with urllib.request.urlopen(f"http://{HOST}:{API_PORT}/metrics", timeout=10) as page:
        said = page.read().decode()
    tasks, calls = (
        int(re.findall(rf"^{name} (\d+)\.0$", said, re.MULTILINE)[0])
        for name in ("gateway_tasks", "gateway_calls")
    )
    return Sample(at, memory_of(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())), tasks, calls)


def measure(bench: Bench, calls: int, rate: float, seconds: float) -> tuple[list[Sample], Callers]:
    """Let them come and go."""
    samples: list[Sample] = []
    room = calls + round(4 * rate)
    with (
        bench.model(herd=False),
        bench.service(room, ports=round(QUARANTINE * rate)) as pid,
    ):
        callers = Callers(calls, rate)
        callers.start()
        began = time.monotonic()
        try:
            while (at := time.monotonic() - began) < seconds:
                if callers.fault:
                    raise callers.fault
                samples.append(look(pid, at))
                if len(samples) % 6 == 1:
                    tell(samples[-1], callers)
                time.sleep(EVERY)
        finally:
            callers.stop()
        tell(samples[-1], callers)
    return samples, callers


def tell(sample: Sample, callers: Callers) -> None:
    print(
        f"{sample.at:6.0f} s  {sample.memory:7.1f} MB {sample.descriptors:6} descriptors"
        f" {sample.tasks:5} tasks {sample.calls:5} calls; {callers.begun} begun,"
        f" {callers.lost} lost, {callers.heard} packets heard",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        samples, callers = measure(bench, given.calls, given.rate, 60 * given.minutes)
    figures = [*verdict(samples), Figure("calls lost in churn", callers.lost, "", 0)]
    show(figures)
    if figures[0].wanted is None:
        print("too short to say whether it is flat")
        return 0
    flat = all(it.reached for it in figures)
    print("flat" if flat else "NOT flat")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
