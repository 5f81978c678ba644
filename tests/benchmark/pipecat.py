"""The gateway beside pipecat-ai: python -m tests.benchmark.pipecat [--quick] [--environment DIR]

In one run, on the same core, against the same model (media/model.c, TLS):

    pipecat   media/bot.py: telephone calls by WebSocket (Twilio's messages, PCMU, 20 ms each) to
              OpenAIRealtimeLLMService, one process for all calls, as its examples do it
    gateway   the whole service, by SIP and RTP, as in capacity.py

CPU of a second of one call at 40 calls; then how many calls one core carries, before sound is lost
or packets come late: of pipecat in steps of 10, of the gateway in steps of 200. `--quick` looks at
40 calls and one step of each alone; the gateway's calls a core are then those that its CPU would
allow, which is more than it reaches.

pipecat-ai is installed from PyPI into an environment of its own (DIR; else one below the folder for
temporary files, kept for the next time): it takes half a gigabyte. Needs what capacity.py needs.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from .capacity import (
    HERE,
    MODEL_PORT,
    WARM_UP,
    WINDOW,
    Bench,
    look,
    process,
    wait,
)
from .phones import HOST
from .table import Figure, show

VERSION = "1.14.0"
PACKAGES = (f"pipecat-ai[openai,websocket]=={VERSION}", "uvicorn", "uvloop")
BOT_PORT = 18081
EQUAL = 40  # calls at which the CPU of both is compared
ARRIVES = 0.97  # of the sound each way, or it is lost
LATE = 5.0  # ms, the gateway's p99, as wanted of it
STEPS, OURS = range(20, 101, 10), range(200, 1201, 200)  # calls


@dataclass(frozen=True, slots=True)
class Window:
    """What one window of pipecat showed."""

    calls: int
    cpu: float  # ms for a second of a call
    core: float
    heard: float  # of the sound that was said
    said: float  # of the sound that was due to the callers
    disturbed: bool = False  # something else kept the core busy

    @property
    def carried(self) -> bool:
        """Nothing was lost."""
        return self.heard >= ARRIVES and self.said >= ARRIVES

    def __str__(self) -> str:
        return (
            f"{self.calls:5} pipecat  cpu {self.cpu:6.2f} ms  core {self.core:4.0%}"
            f"  in {self.heard:6.1%}  out {self.said:6.1%}"
            f"{' !' if self.disturbed else ''}"
        )


def compared(theirs: float, ours: float, their_calls: int, our_calls: float) -> list[Figure]:
    """CPU at equal calls (ms for a second of one), and calls that a core carries."""
    return [
        Figure(
            f"CPU against pipecat, {EQUAL} calls", theirs / ours, "times less", 10, at_least=True
        ),
        Figure("calls on one core, pipecat", their_calls),
        Figure("calls on one core, gateway", our_calls),
        Figure(
            "calls on one core against pipecat",
            our_calls / max(1, their_calls),
            "times",
            20,
            at_least=True,
        ),
    ]


def environment(folder: Path) -> Path:
    """The Python of an environment with pipecat-ai, made where there is none."""
    python, ready = folder / "bin" / "python", folder / f"pipecat-{VERSION}"
    if not ready.exists():
        print(f"installing pipecat-ai {VERSION} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True)
        ready.touch()
    return python


class Callers:
    """Telephone calls by WebSocket, in Twilio's messages."""

    def __init__(self) -> None:
        self.heard = 0  # bytes of PCMU
        self._tasks: list[asyncio.Task[None]] = []
        payload = base64.b64encode(b"\x55\xd5" * 80).decode()
        media = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": payload}
        self._media = json.dumps({"event": "media", "streamSid": "MZ1", "media": media})

    async def call(self, number: int) -> None:
        """One more."""
        leg = await connect(f"ws://{HOST}:{BOT_PORT}/call", compression=None)
        start = {"streamSid": f"MZ{number}", "callSid": f"CA{number}"}
        await leg.send('{"event": "connected", "protocol": "Call", "version": "1.0.0"}')
        await leg.send(json.dumps({"event": "start", "streamSid": "MZ1", "start": start}))
        self._tasks += [
            asyncio.create_task(self._speak(leg)),
            asyncio.create_task(self._listen(leg)),
        ]

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _speak(self, leg: ClientConnection) -> None:
        due = time.monotonic()
        while True:
            await leg.send(self._media)
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _listen(self, leg: ClientConnection) -> None:
        async for text in leg:
            event = json.loads(text)
            if event["event"] == "media":
                self.heard += len(event["media"]["payload"]) * 3 // 4


class Pipecat:
    """pipecat-ai on core 0, its callers in this process, on core 1."""

    def __init__(self, bench: Bench, python: Path) -> None:
        self._bench = bench
        self._python = python

    @contextmanager
    def bot(self) -> Iterator[int]:
        """The process."""
        url = f"wss://localhost:{MODEL_PORT}/v1/realtime"
        command = [str(self._python), str(HERE / "bot.py"), str(BOT_PORT), url]
        trusted = {**os.environ, "SSL_CERT_FILE": str(self._bench.certificate)}
        trusted.pop("PYTHONPATH", None)
        with (
            (self._bench.folder / "bot.log").open("w") as log,
            process(command, core=0, stdout=log, stderr=log, env=trusted) as made,
        ):
            wait(_listens, 60)
            yield made.pid

    def measure(self, calls: int) -> Window:
        """One window of so many calls."""
        return asyncio.run(self._measure(calls))

    async def _measure(self, calls: int) -> Window:
        os.sched_setaffinity(0, {1})
        callers = Callers()
        with self._bench.model(herd=False) as model, self.bot() as pid:
            for number in range(calls):
                await callers.call(number)
                await asyncio.sleep(0.1)
            await asyncio.sleep(WARM_UP)
            first, before = look(pid, model), callers.heard
            await asyncio.sleep(WINDOW)
            last, said = look(pid, model), callers.heard - before
            await callers.end()
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        seconds, cpu = last.at - first.at, last.cpu - first.cpu
        return Window(
            calls,
            cpu=1000 * cpu / seconds / calls,
            core=cpu / seconds,
            heard=(last.heard - first.heard) / (48_000 * seconds * calls),
            said=said / (8000 * seconds * calls),
            disturbed=(last.waited - first.waited) / seconds > 0.02,
        )


def _listens() -> bool:
    with suppress(OSError), socket.create_connection((HOST, BOT_PORT), 1):
        return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    folder = Path(tempfile.gettempdir()) / f"gateway-benchmark-pipecat-{VERSION}"
    parser.add_argument("--environment", type=Path, default=folder)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    python = environment(given.environment)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        pipecat = Pipecat(bench, python)

        theirs = pipecat.measure(EQUAL)
        print(theirs, flush=True)
        if not theirs.carried:
            print(f"pipecat did not carry {EQUAL} calls here: nothing to compare with")
            return 1
        ours = bench.measure("gateway", EQUAL)
        print(f"{EQUAL:5} gateway  {ours}", flush=True)

        their_calls = 0
        for calls in (EQUAL,) if given.quick else STEPS:
            window = theirs
            if calls != EQUAL:
                window = pipecat.measure(calls)
                print(window, flush=True)
            if not window.carried:
                break
            their_calls = calls
        our_calls = 0.0
        for calls in OURS if not given.quick else OURS[:1]:
            figures = bench.measure("gateway", calls)
            print(f"{calls:5} gateway  {figures}", flush=True)
            if given.quick:
                our_calls = calls / figures.core
            elif min(figures.heard, figures.received) < 0.995 or figures.pacing[1] >= LATE:
                break
            else:
                our_calls = calls
    show(compared(theirs.cpu, ours.cpu, their_calls, our_calls))
    if theirs.disturbed or ours.disturbed:
        print("the machine was busy: measure again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
