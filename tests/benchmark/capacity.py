"""What the media path carries: python -m tests.benchmark.capacity [--rounds R] [N ...]

For each N (100 and 500), some rounds of: the floor (media/floor.c, a C program that does the same
input and output), then the gateway. The whole gateway: calls are set up by SIP, sound is PCMU on
the phone side and PCM 24 kHz in appends of 40 ms over TLS on the model's. Both are pinned to core
0, callers and model to core 1.

    cpu       ms of all threads for a second of one call; the gateway's as a multiple of the floor's
    pacing    how far a packet's arrival, by the kernel's clock, is from its place in an even row:
              each packet against the median of its call; p50, p99, p99.9 in ms
    in, out   sound that reached the model and packets that reached the callers, of what should have
    memory    MB a call, beside what the process has without calls

A window in which something else kept a core busy is marked `!`: the machine was not ours. Needs
cc, the headers of OpenSSL 3, openssl and taskset (Debian: gcc libc6-dev libssl-dev openssl).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .table import Figure, show

HERE = Path(__file__).parent / "media"
HOST = "127.0.0.1"
WARM_UP, WINDOW = 4.0, 8.0  # s
SIP_PORT, CALLERS_PORT, MODEL_PORT, FIRST_PORT, API_PORT = 15060, 18998, 19000, 20000, 18080
RATE = 40  # calls a second that are set up
RECORD = np.dtype([("call", "<u4"), ("sequence", "<u2"), ("length", "<u2"), ("at", "<u8")])


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

    def __str__(self) -> str:
        p50, p99, p999 = self.pacing
        return (
            f"cpu {self.cpu:6.3f} ms  core {self.core:4.0%}"
            f"  pacing {p50:5.2f} {p99:6.2f} {p999:6.2f} ms"
            f"  in {self.heard:6.1%}  out {self.received:6.1%}  memory {self.memory:5.2f} MB"
            f"{' !' if self.disturbed else ''}"
        )


class Sip:
    """As little of a telephone as it takes to have N calls: over UDP on loopback, nothing lost."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.settimeout(10)
        self._own = self._socket.getsockname()[1]
        self._gateway = (HOST, port)
        self._to: dict[str, str] = {}

    def call(self, number: int) -> int:
        """Make a call; returns the port that its sound goes to."""
        name = self.invite(number)
        while True:
            answered = self.take(self._socket.recv(65536))
            if answered and answered[0] == name:
                if not answered[1]:
                    raise SystemExit("a call was refused")
                return answered[1]

    def poll(self) -> Iterator[tuple[str, int]]:
        """The calls that were answered since the last look: name, and port of the sound, or 0."""
        self._socket.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                if answered := self.take(self._socket.recv(65536)):
                    yield answered

    def invite(self, number: int) -> str:
        """Begin a call; returns its name."""
        name = f"c{number}"
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {CALLERS_PORT} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
        self._send(name, "INVITE", 1, "Content-Type: application/sdp\r\n", sdp)
        return name

    def take(self, data: bytes) -> tuple[str, int] | None:
        """A message came; the name of the call that it answers, and the port of its sound.

        0: the call was refused. Its ACK is owed, and not worth it.
        """
        answer = data.decode()
        if not answer.startswith("SIP/2.0 ") or answer.startswith("SIP/2.0 1"):
            return None
        if not re.search(r"\nCSeq: 1 INVITE", answer):
            return None
        name = re.search(r"\nCall-ID: (\S+)", answer)
        assert name
        if not answer.startswith("SIP/2.0 200"):
            return name[1], 0
        tag = re.search(r"\nTo: .*;tag=(\S+)", answer)
        port = re.search(r"\nm=audio (\d+)", answer)
        assert tag and port
        self._to[name[1]] = tag[1]
        self._send(name[1], "ACK", 1)
        return name[1], int(port[1])

    def end(self, name: str) -> None:
        """Hang up a call."""
        self._send(name, "BYE", 2)
        del self._to[name]

    def hang_up(self) -> None:
        """End all of them."""
        for name in list(self._to):
            self.end(name)
            time.sleep(0.005)

    def _send(self, name: str, method: str, cseq: int, headers: str = "", body: str = "") -> None:
        tag = f";tag={self._to[name]}" if name in self._to else ""
        text = (
            f"{method} sip:talk@{HOST} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self._own};branch=z9hG4bK{name}{method}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:100@{HOST}>;tag={name}\r\n"
            f"To: <sip:talk@{HOST}>{tag}\r\nCall-ID: {name}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:100@{HOST}:{self._own}>\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._socket.sendto(text.encode(), self._gateway)


class Bench:
    """The built programs, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("callers", "model", "floor"):
            command = ["cc", "-O2", str(HERE / f"{name}.c"), "-o", str(folder / name)]
            subprocess.run([*command, "-lssl", "-lcrypto", "-lm"], check=True)
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-keyout", str(self.key), "-out", str(self.certificate)]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(command, check=True, capture_output=True)

    @contextmanager
    def model(self, *, herd: bool) -> Iterator[npt.NDArray[np.uint64]]:
        """A model that runs; yields its statistics as they grow."""
        path = self.folder / "model.statistics"
        path.unlink(missing_ok=True)
        command = [str(self.folder / "model"), str(MODEL_PORT), str(self.certificate)]
        command += [str(self.key), str(path), str(int(herd))]
        with process(command, core=1):
            wait(lambda: path.exists() and path.stat().st_size >= 32)
            yield np.memmap(path, np.uint64, "r")

    @contextmanager
    def floor(self, calls: int) -> Iterator[tuple[int, list[int], float]]:
        """The C program with its calls up: its process, its ports, its memory without calls."""
        command = [str(self.folder / "floor"), str(calls), str(FIRST_PORT), str(MODEL_PORT), "40"]
        with process(command, core=0, stdout=subprocess.PIPE) as made:
            assert made.stdout
            made.stdout.readline()
            yield made.pid, [FIRST_PORT + 2 * call for call in range(calls)], 0.0

    @contextmanager
    def gateway(self, calls: int) -> Iterator[tuple[int, list[int], float]]:
        """The service with its calls up."""
        with self.service(calls) as pid:
            before = memory_of(pid)
            sip = Sip(SIP_PORT)
            ports = []
            began = time.monotonic()
            for number in range(calls):
                ports.append(sip.call(number))
                time.sleep(max(0.0, began + (number + 1) / RATE - time.monotonic()))
            yield pid, ports, before
            sip.hang_up()

    @contextmanager
    def service(self, calls: int, *, ports: int = 0) -> Iterator[int]:
        """The service, ready for so many calls at once: its process.

        `ports`: how many calls' more, for those that were just used.
        """
        config = {
            "sip": {
                "listen": [f"udp:{HOST}:{SIP_PORT}"],
                "max_calls": calls + 10,
                "max_calls_per_second": 2 * RATE,
                "session_expires": 0,
            },
            "media": {
                "listen": HOST,
                "ports": f"{FIRST_PORT}-{FIRST_PORT + 2 * (calls + ports) + 200}",
                "codecs": ["PCMU"],
                "max_lateness": 0,  # how late it is is what is to be seen
            },
            "trunks": {"load": {"allow": [HOST]}},
            "backends": {
                "model": {
                    "provider": "compatible",
                    "url": f"wss://localhost:{MODEL_PORT}/v1/realtime",
                    "model": "any",
                    "api_key": "none",
                    "max_sessions": calls + 10,
                }
            },
            "agents": {"talk": {"backend": "model"}},
            "api": {"listen": f"{HOST}:{API_PORT}"},
            "records": {"calls": str(self.folder / "calls.jsonl")},
        }
        path = self.folder / "gateway.yaml"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(path)]
        environment = {**os.environ, "SSL_CERT_FILE": str(self.certificate)}
        with (
            (self.folder / "gateway.log").open("w") as log,
            process(command, core=0, stdout=log, stderr=log, env=environment) as made,
        ):
            wait(lambda: '"listening"' in (self.folder / "gateway.log").read_text())
            yield made.pid

    def measure(self, kind: str, calls: int, *, herd: bool = False) -> Figures:
        """One window of so many calls."""
        bridge = self.floor if kind == "floor" else self.gateway
        with self.model(herd=herd) as model, bridge(calls) as (pid, ports, before):
            (self.folder / "ports").write_text("\n".join(map(str, ports)))
            paths = [str(self.folder / name) for name in ("callers.statistics", "records")]
            command = [str(self.folder / "callers"), str(self.folder / "ports"), str(CALLERS_PORT)]
            command += [str(WARM_UP + WINDOW + 1), *paths]
            with process(command, core=1) as callers:
                time.sleep(WARM_UP)
                first = look(pid, model)
                time.sleep(WINDOW)
                last = look(pid, model)
                memory = memory_of(pid)
                callers.wait()
            return _figures(Path(paths[1]), calls, first, last, (memory - before) / calls)


@dataclass(frozen=True, slots=True)
class Look:
    at: float  # s, CLOCK_REALTIME, as the kernel stamps packets
    cpu: float  # s, of all threads
    waited: float  # s that they could have run and did not
    heard: int  # bytes


def look(pid: int, model: npt.NDArray[np.uint64]) -> Look:
    cpu = waited = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        ran, queued, _ = map(int, path.read_text().split())
        cpu, waited = cpu + ran, waited + queued
    return Look(time.time(), cpu / 1e9, waited / 1e9, int(model[0]))


def reached(calls: int, windows: list[Figures], ratios: list[float], *, herd: bool) -> list[Figure]:
    """What is to be kept of some windows of the gateway; the limits are those of 500 calls."""
    middle = [statistics.median(it.pacing[place] for it in windows) for place in range(3)]
    limits: tuple[float | None, ...] = (None, None, None)
    if calls == 500:
        limits = (None, 10.0, None) if herd else (0.1, 1.0, 5.0)
    elif calls == 800:
        limits = (None, 5.0, None)
    of = f"{calls} calls{', all deltas at once' if herd else ''}"
    names = ("p50", "p99", "p99.9")
    shown = [
        Figure(f"pacing {name}, {of}", value, "ms", limit)
        for name, value, limit in zip(names, middle, limits, strict=True)
    ]
    least = min(min(it.heard, it.received) for it in windows)
    shown.append(Figure(f"sound that arrives, {of}", 100 * least, "%", 99.5, at_least=True))
    if not herd:
        most = 1.6 if calls == 500 else None
        ratio = statistics.median(ratios)
        memory = statistics.median(it.memory for it in windows)
        shown.append(Figure(f"CPU against a C program, {of}", ratio, "times", most))
        shown.append(Figure(f"memory, {of}", memory, "MB a call", 0.4))
    return shown


def _figures(path: Path, calls: int, first: Look, last: Look, memory: float) -> Figures:
    seconds = last.at - first.at
    records = np.fromfile(path, RECORD)
    records = records[(records["at"] >= first.at * 1e9) & (records["at"] < last.at * 1e9)]
    errors = []
    for call in range(calls):
        mine = records[records["call"] == call]
        if len(mine) < 2:
            continue
        sequence = np.unwrap(mine["sequence"].astype(np.float64), period=65536)
        at = (mine["at"] - records["at"].min()).astype(np.float64) / 1e6 - 20 * sequence
        errors.append(np.abs(at - np.median(at)))
    error = np.concatenate(errors) if errors else np.full(1, np.inf)
    p50, p99, p999 = (float(it) for it in np.percentile(error, (50, 99, 99.9)))
    cpu = last.cpu - first.cpu
    return Figures(
        cpu=1000 * cpu / seconds / calls,
        core=cpu / seconds,
        pacing=(p50, p99, p999),
        heard=(last.heard - first.heard) / (48_000 * seconds * calls),
        received=len(records) / (50 * seconds * calls),
        memory=memory,
        disturbed=(last.waited - first.waited) / seconds > 0.02,
    )


def memory_of(pid: int) -> float:
    """MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024


@contextmanager
def process(
    command: list[str], *, core: int, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    bound = ["taskset", "-c", str(core), *command]
    made = subprocess.Popen(bound, **options)  # type: ignore[call-overload]  # of many types
    try:
        yield made
    finally:
        if made.poll() is None:
            made.send_signal(signal.SIGTERM)
            try:
                made.wait(20)
            except subprocess.TimeoutExpired:
                made.kill()
                made.wait()


def wait(ready: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"not ready in {seconds:.0f} s")
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("calls", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--herd", action="store_true", help="all deltas in the same millisecond")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for calls in options.calls:
            ratios: list[float] = []
            windows: list[Figures] = []
            for _ in range(options.rounds):
                floor = bench.measure("floor", calls, herd=options.herd)
                print(f"{calls:5} floor    {floor}", flush=True)
                ours = bench.measure("gateway", calls, herd=options.herd)
                print(f"{calls:5} gateway  {ours}", flush=True)
                ratios.append(ours.cpu / floor.cpu)
                windows.append(ours)
            told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{calls:5} gateway / floor: {told}", flush=True)
            show(reached(calls, windows, ratios, herd=options.herd))


if __name__ == "__main__":
    main()
