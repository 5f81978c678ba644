"""What the media path carries: python -m tests.benchmark.capacity [--rounds R] [N ...]

For each N (100 and 500), some rounds of: the floor (media/floor.c, a C program that does the same
input and output), then the gateway. The whole gateway: calls are set up by SIP, sound is PCMU on
the phone side and PCM 24 kHz in appends of 40 ms over TLS on the model's. Both are pinned to core
0, callers and model to core 1.

    cpu       ms of all threads for a second of one call, and the gateway's as a multiple of the floor's
    pacing    how far a packet's arrival, by the kernel's clock, is from its place in an even row: each
              packet against the median of its call; p50, p99, p99.9 in ms
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent / "media"
HOST = "127.0.0.1"
WARM_UP, WINDOW = 4.0, 8.0  # s
SIP_PORT, CALLERS_PORT, MODEL_PORT, FIRST_PORT = 15060, 18998, 19000, 20000
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
            f"cpu {self.cpu:6.3f} ms  core {self.core:4.0%}  pacing {p50:5.2f} {p99:6.2f} {p999:6.2f} ms"
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
        name = f"c{number}"
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {CALLERS_PORT} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
        self._send(name, "INVITE", 1, "Content-Type: application/sdp\r\n", sdp)
        while True:
            answer = self._socket.recv(65536).decode()
            if answer.startswith("SIP/2.0 1") or f"Call-ID: {name}\r" not in answer:
                continue
            if not answer.startswith("SIP/2.0 200"):
                raise SystemExit(answer.splitlines()[0])
            break
        tag = re.search(r"\nTo: .*;tag=(\S+)", answer)
        port = re.search(r"\nm=audio (\d+)", answer)
        assert tag and port
        self._to[name] = tag[1]
        self._send(name, "ACK", 1)
        return int(port[1])

    def hang_up(self) -> None:
        """End all of them."""
        for name in self._to:
            self._send(name, "BYE", 2)
            time.sleep(0.005)

    def _send(self, name: str, method: str, cseq: int, headers: str = "", body: str = "") -> None:
        tag = f";tag={self._to[name]}" if name in self._to else ""
        text = (
            f"{method} sip:talk@{HOST} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self._own};branch=z9hG4bK{name}{method}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:100@{HOST}>;tag={name}\r\nTo: <sip:talk@{HOST}>{tag}\r\n"
            f"Call-ID: {name}\r\nCSeq: {cseq} {method}\r\nContact: <sip:100@{HOST}:{self._own}>\r\n"
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
        with _process(command, core=1):
            _wait(lambda: path.exists() and path.stat().st_size >= 32)
            yield np.memmap(path, np.uint64, "r")

    @contextmanager
    def floor(self, calls: int) -> Iterator[tuple[int, list[int], float]]:
        """The C program with its calls up: its process, its ports, its memory without calls."""
        command = [str(self.folder / "floor"), str(calls), str(FIRST_PORT), str(MODEL_PORT), "40"]
        with _process(command, core=0, stdout=subprocess.PIPE) as made:
            assert made.stdout
            made.stdout.readline()
            yield made.pid, [FIRST_PORT + 2 * call for call in range(calls)], 0.0

    @contextmanager
    def gateway(self, calls: int) -> Iterator[tuple[int, list[int], float]]:
        """The service with its calls up."""
        config = {
            "sip": {
                "listen": [f"udp:{HOST}:{SIP_PORT}"],
                "max_calls": calls + 10,
                "max_calls_per_second": 2 * RATE,
                "session_expires": 0,
            },
            "media": {
                "listen": HOST,
                "ports": f"{FIRST_PORT}-{FIRST_PORT + 2 * calls + 200}",
                "codecs": ["PCMU"],
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
            "api": {"listen": f"{HOST}:18080"},
            "records": {"calls": str(self.folder / "calls.jsonl")},
        }
        path = self.folder / "gateway.yaml"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(path)]
        environment = {**os.environ, "SSL_CERT_FILE": str(self.certificate)}
        with (
            (self.folder / "gateway.log").open("w") as log,
            _process(command, core=0, stdout=log, stderr=log, env=environment) as made,
        ):
            _wait(lambda: '"listening"' in (self.folder / "gateway.log").read_text())
            before = _memory(made.pid)
            sip = Sip(SIP_PORT)
            ports = []
            began = time.monotonic()
            for number in range(calls):
                ports.append(sip.call(number))
                time.sleep(max(0.0, began + (number + 1) / RATE - time.monotonic()))
            yield made.pid, ports, before
            sip.hang_up()

    def measure(self, kind: str, calls: int, *, herd: bool = False) -> Figures:
        """One window of so many calls."""
        bridge = self.floor if kind == "floor" else self.gateway
        with self.model(herd=herd) as model, bridge(calls) as (pid, ports, before):
            (self.folder / "ports").write_text("\n".join(map(str, ports)))
            paths = [str(self.folder / name) for name in ("callers.statistics", "records")]
            command = [str(self.folder / "callers"), str(self.folder / "ports"), str(CALLERS_PORT)]
            command += [str(WARM_UP + WINDOW + 1), *paths]
            with _process(command, core=1) as callers:
                time.sleep(WARM_UP)
                first = _look(pid, model)
                time.sleep(WINDOW)
                last = _look(pid, model)
                memory = _memory(pid)
                callers.wait()
            return _figures(Path(paths[1]), calls, first, last, (memory - before) / calls)


@dataclass(frozen=True, slots=True)
class _Look:
    at: float  # s, CLOCK_REALTIME, as the kernel stamps packets
    cpu: float  # s, of all threads
    waited: float  # s that they could have run and did not
    heard: int  # bytes


def _look(pid: int, model: npt.NDArray[np.uint64]) -> _Look:
    cpu = waited = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        ran, queued, _ = map(int, path.read_text().split())
        cpu, waited = cpu + ran, waited + queued
    return _Look(time.time(), cpu / 1e9, waited / 1e9, int(model[0]))


def _figures(path: Path, calls: int, first: _Look, last: _Look, memory: float) -> Figures:
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


def _memory(pid: int) -> float:
    """MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024


@contextmanager
def _process(
    command: list[str], *, core: int, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    made = subprocess.Popen(["taskset", "-c", str(core), *command], **options)  # type: ignore[call-overload]  # options of many types
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


def _wait(ready: object) -> None:
    deadline = time.monotonic() + 20
    while not ready():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit("not ready in 20 s")
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
            ratios = []
            for _ in range(options.rounds):
                floor = bench.measure("floor", calls, herd=options.herd)
                print(f"{calls:5} floor    {floor}", flush=True)
                ours = bench.measure("gateway", calls, herd=options.herd)
                print(f"{calls:5} gateway  {ours}", flush=True)
                ratios.append(ours.cpu / floor.cpu)
            told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{calls:5} gateway / floor: {told}", flush=True)


if __name__ == "__main__":
    main()
