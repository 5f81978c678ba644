"""What the media path carries: python -m tests.benchmark.capacity [--rounds R] [N ...]

For each N (100 and 500), some rounds of: the floor (media/floor.c, a C program that does the same
input and output), then the gateway. The whole gateway: calls are set up by SIP, sound is PCMU on
the phone side and PCM 24 kHz in appends of 40 ms over TLS on the model's. Both are pinned to core
0, callers and model to core 1. Echo cancelling is off: it costs more than a call, runs only where
a line returns our own speech, and is measured by tests.benchmark.echo.

    --herd       the deltas of all calls in the same millisecond
    --srtp       RTP of the telephones encrypted (SDES, AES_CM_128_HMAC_SHA1_80), against plain RTP
    --straight   the model speaks audio/pcmu, as the telephones do, against PCM 24 kHz
    --search     how many calls: from N on 100 more each time, until in two of three windows the
                 p99 of pacing is 5 ms or sound is lost; the last N that passed

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
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .phones import HOST, Line, Refused, Sip
from .table import Figure, show
from .verdict import PLAIN, Figures, Way, enough, most_of, reached, rival

HERE = Path(__file__).parent / "media"
WARM_UP, WINDOW = 4.0, 8.0  # s
SIP_PORT, CALLERS_PORT, MODEL_PORT, FIRST_PORT, API_PORT = 15060, 18998, 19000, 20000, 18080
RATE = 20  # calls a second that are set up
TRIES = 3  # of a call that is refused
RECORD = np.dtype([("call", "<u4"), ("sequence", "<u2"), ("length", "<u2"), ("at", "<u8")])


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
    def model(self, *, herd: bool, straight: bool = False) -> Iterator[npt.NDArray[np.uint64]]:
        """A model that runs; yields its statistics as they grow."""
        path = self.folder / "model.statistics"
        path.unlink(missing_ok=True)
        command = [str(self.folder / "model"), str(MODEL_PORT), str(self.certificate)]
        command += [str(self.key), str(path), str(int(herd)), str(int(straight))]
        with process(command, core=1):
            wait(lambda: path.exists() and path.stat().st_size >= 32)
            yield np.memmap(path, np.uint64, "r")

    @contextmanager
    def floor(self, calls: int) -> Iterator[tuple[int, list[Line], float]]:
        """The C program with its calls up: its process, its ports, its memory without calls."""
        command = [str(self.folder / "floor"), str(calls), str(FIRST_PORT), str(MODEL_PORT), "40"]
        with process(command, core=0, stdout=subprocess.PIPE) as made:
            assert made.stdout
            made.stdout.readline()
            yield made.pid, [Line("", FIRST_PORT + 2 * call) for call in range(calls)], 0.0

    @contextmanager
    def gateway(self, calls: int, way: Way) -> Iterator[tuple[int, list[Line], float]]:
        """The service with its calls up. Raises Refused.

        A model that is not ready within 3 s, for want of a core, is 503: that is tried again.
        """
        with self.service(calls, straight=way.straight) as pid:
            before = memory_of(pid)
            lines = []
            with closing(Sip(SIP_PORT, CALLERS_PORT, srtp=way.srtp)) as sip:
                with closed_ears():
                    for number in range(calls):
                        due = time.monotonic() + 1 / RATE
                        lines.append(self._call(sip, number))
                        time.sleep(max(0.0, due - time.monotonic()))
                yield pid, lines, before
                sip.hang_up()

    def _call(self, sip: Sip, number: int) -> Line:
        for again in range(1, TRIES):
            try:
                return sip.call(number)
            except Refused as refused:
                print(f"# refused {refused}{self._last_warning()}", flush=True)
                time.sleep(5)  # as its Retry-After says
                number += 100_000 * again
        return sip.call(number)

    def _last_warning(self) -> str:
        log = (self.folder / "gateway.log").read_text().splitlines()
        return "".join(["; ", *[it for it in log if '"warning"' in it][-1:]])

    @contextmanager
    def service(self, calls: int, *, ports: int = 0, straight: bool = False) -> Iterator[int]:
        """The service, ready for so many calls at once: its process.

        `ports`: how many calls' more, for those that were just used.
        """
        sound = {"type": "audio/pcmu"} if straight else {"type": "audio/pcm", "rate": 24000}
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
                "rtp_timeout": 0,  # nobody speaks before all calls are up
                "echo": "off",
            },
            "trunks": {"load": {"allow": [HOST]}},
            "backends": {
                "model": {
                    "provider": "compatible",
                    "url": f"wss://localhost:{MODEL_PORT}/v1/realtime",
                    "model": "any",
                    "api_key": "none",
                    "max_sessions": calls + 10,
                    "input_format": sound,
                    "output_format": sound,
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

    def measure(self, kind: str, calls: int, way: Way = PLAIN) -> Figures:
        """One window of so many calls."""
        return self.windows(kind, calls, way, 1)[0]

    def windows(self, kind: str, calls: int, way: Way, count: int) -> list[Figures]:
        """Some windows of the same calls; they are set up once."""
        bridge = self.floor(calls) if kind == "floor" else self.gateway(calls, way)
        with (
            self.model(herd=way.herd, straight=way.straight) as model,
            bridge as (pid, lines, before),
        ):
            (self.folder / "ports").write_text("".join(f"{line}\n" for line in lines))
            paths = [self.folder / name for name in ("callers.statistics", "records")]
            command = [str(self.folder / "callers"), str(self.folder / "ports"), str(CALLERS_PORT)]
            command += [str(WARM_UP + count * WINDOW + 1), *map(str, paths)]
            with process(command, core=1) as callers:
                time.sleep(WARM_UP)
                looks = [look(pid, model)]
                for _ in range(count):
                    time.sleep(WINDOW)
                    looks.append(look(pid, model))
                callers.wait()
            _, _, opened, broken = map(int, np.fromfile(paths[0], np.uint64))
            if broken or bool(opened) != way.srtp:
                raise SystemExit(f"{opened} packets of SRTP were authentic, {broken} were not")
            rate = 8_000 if way.straight else 48_000
            return [
                _figures(paths[1], calls, *pair, before=before, rate=rate)
                for pair in pairwise(looks)
            ]


@dataclass(frozen=True, slots=True)
class Look:
    at: float  # s, CLOCK_REALTIME, as the kernel stamps packets
    cpu: float  # s, of all threads
    waited: float  # s that they could have run and did not
    heard: int  # bytes
    memory: float  # MB


def look(pid: int, model: npt.NDArray[np.uint64]) -> Look:
    cpu = waited = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        ran, queued, _ = map(int, path.read_text().split())
        cpu, waited = cpu + ran, waited + queued
    return Look(time.time(), cpu / 1e9, waited / 1e9, int(model[0]), memory_of(pid))


def _figures(
    path: Path, calls: int, first: Look, last: Look, *, before: float, rate: int
) -> Figures:
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
        heard=(last.heard - first.heard) / (rate * seconds * calls),
        received=len(records) / (50 * seconds * calls),
        memory=(last.memory - before) / calls,
        disturbed=(last.waited - first.waited) / seconds > 0.02,
    )


def memory_of(pid: int) -> float:
    """MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024


@contextmanager
def closed_ears() -> Iterator[None]:
    """Callers who are there and do not listen: where nobody is, each packet comes back by ICMP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ears:
        ears.bind((HOST, CALLERS_PORT))
        yield


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


def compare(bench: Bench, calls: int, rounds: int, way: Way) -> None:
    """Rounds of the gateway and its rival in turn; show what comes out."""
    program, other, _ = rival(way)
    ratios: list[float] = []
    windows: list[Figures] = []
    names = [f"{program}{other}", f"gateway{way}"]
    width = max(map(len, names))
    for _ in range(rounds):
        theirs = bench.measure(program, calls, other)
        print(f"{calls:5} {names[0]:{width}}  {theirs}", flush=True)
        ours = bench.measure("gateway", calls, way)
        print(f"{calls:5} {names[1]:{width}}  {ours}", flush=True)
        ratios.append(ours.cpu / theirs.cpu)
        windows.append(ours)
    told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"{calls:5} {names[1]} / {names[0]}: {told}", flush=True)
    show(reached(calls, windows, ratios, way))


def search(bench: Bench, start: int, windows: int, way: Way) -> None:
    """Find how many calls a core carries."""

    def carries(calls: int) -> bool:
        try:
            shown = bench.windows("gateway", calls, way, windows)
        except Refused as refused:
            print(f"{calls:5} gateway{way}  refused {refused}", flush=True)
            return False
        for figures in shown:
            print(f"{calls:5} gateway{way}  {figures}", flush=True)
        return enough(shown)

    wanted = None if way.herd or way.straight else 600 if way.srtp else 800
    most = most_of(start, carries)
    show([Figure(f"calls on one core{way}", most, "", wanted, at_least=True)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("calls", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--rounds", type=int, default=3, help="of --search: windows")
    for name in ("herd", "srtp", "straight", "search"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    way = Way(options.herd, options.srtp, options.straight)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the model has a socket a call
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            for calls in options.calls[-1:] if options.search else options.calls:
                if options.search:
                    search(bench, calls, options.rounds, way)
                else:
                    compare(bench, calls, options.rounds, way)
        except Refused as refused:
            raise SystemExit(f"refused {refused}") from None


if __name__ == "__main__":
    main()
