"""`gateway serve` as its users run it: a process of its own, a file, ports, a signal at the end."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.audio.frame import Samples, silence

from .programs import HOST, Program, free_port, free_range, running, until
from .sound import read_wav

RTP_PORTS = 200  # of a service
LATE = 0.05  # s
START = 30.0  # s, on a busy machine


class Service:
    """A running gateway.

    `sip` is its port for UDP and TCP, `rtp` its first and last media port.
    """

    def __init__(self, program: Program, folder: Path, sip: int, http: int, rtp: int) -> None:
        self.sip = sip
        self.rtp = (rtp, rtp + RTP_PORTS - 1)
        self._recordings = folder / "audio"
        self._records = folder / "calls.jsonl"
        self._program = program
        self._http = http

    def records(self) -> list[dict[str, Any]]:
        """The records of all calls that are over."""
        if not self._records.exists():
            return []
        lines = self._records.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def record(self, to: str) -> dict[str, Any]:
        """The record of the one call to `to`, waited for."""

        def found() -> list[dict[str, Any]]:
            return [record for record in self.records() if record["to"] == to]

        (record,) = until(found, f"a record of a call to {to}; {self._program.printed}")
        return record

    def record_of(self, call_id: str) -> dict[str, Any]:
        """The record of a call by our id, waited for."""

        def found() -> list[dict[str, Any]]:
            return [record for record in self.records() if record["call_id"] == call_id]

        (record,) = until(found, f"a record of {call_id}; {self._program.printed}")
        return record

    def call_to(self, to: str) -> str:
        """Our id of the call to `to` that is in progress, waited for."""

        def found() -> list[str]:
            return [it["id"] for it in self.ask("GET", "/v1/calls")["data"] if it["to"] == to]

        return until(found, f"a call to {to}; {self._program.printed}")[0]

    def model_so_far(self, call_id: str) -> Samples:
        """What the model said in a call, as far as it is written, once a second."""
        return self._recorded_so_far(call_id)[1]

    def caller_so_far(self, call_id: str) -> Samples:
        """What came from the phone in a call, as far as it is written; where nothing came, there
        is silence."""
        return self._recorded_so_far(call_id)[0]

    def _recorded_so_far(self, call_id: str) -> list[Samples]:
        try:
            return read_wav(self._recordings / f"{call_id}.wav")
        except (FileNotFoundError, EOFError, wave.Error):
            return [silence(0)] * 2  # it is being made

    def log(self, sip_call_id: str | None = None) -> list[dict[str, Any]]:
        """The lines of the log, of all calls or of one."""
        whole = [it for it in self._program.printed.splitlines(keepends=True) if it.endswith("\n")]
        lines = [_log_line(text) for text in whole]
        return [line for line in lines if sip_call_id in (None, line.get("sip_call_id"))]

    def complaints(self, sip_call_id: str | None = None) -> list[dict[str, Any]]:
        """What the log warns of, without what every start says."""
        usual = {"open_to_neighbours", "no_effect_yet"}
        return [
            line
            for line in self.log(sip_call_id)
            if line["level"] in ("warning", "error", "critical") and line["event"] not in usual
        ]

    def get(self, path: str) -> int:
        """The HTTP status of a path; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._http}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def late_ticks(self) -> int:
        """Ticks so far that came more than LATE after they were due, or not at all."""
        with urllib.request.urlopen(f"http://{HOST}:{self._http}/metrics", timeout=5) as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines()]
        values = {name: value for name, _, value in lines}
        ticks = "gateway_tick_lateness_seconds"
        in_time = int(float(values[f'{ticks}_bucket{{le="{LATE}"}}']))
        missed = int(float(values["gateway_ticks_missed_total"]))
        return missed + int(float(values[f"{ticks}_count"])) - in_time

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask its HTTP interface; the JSON that it answers, an error's too."""
        request = urllib.request.Request(
            f"http://{HOST}:{self._http}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read())

    def wait_until_ready(self) -> None:
        """Wait for /readyz."""
        until(lambda: self.get("/readyz") == 200 or not self._program.running, "/readyz", START)
        assert self._program.running, self._program.printed

    def stop(self) -> None:
        """SIGTERM: exit code 0, and no traceback in the log."""
        code = self._program.stop()
        assert code == 0, self._program.printed
        assert "Traceback" not in self._program.printed, self._program.printed


def _log_line(text: str) -> dict[str, Any]:
    """A line of the log; what is none, as a warning of Python, is a complaint all the same."""
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"level": "error", "event": text}


@contextmanager
def serving(folder: Path, config: Mapping[str, Any]) -> Iterator[Service]:
    """Run a service with these sections beside its ports and records; at the end it is stopped
    by SIGTERM, and must have ended well."""
    folder.mkdir(parents=True, exist_ok=True)
    sip, http, rtp = free_port(), free_port(), free_range(RTP_PORTS)
    ours: dict[str, dict[str, Any]] = {
        "sip": {"listen": [f"udp:{HOST}:{sip}", f"tcp:{HOST}:{sip}"]},
        "media": {
            "listen": HOST,
            "ports": f"{rtp}-{rtp + RTP_PORTS - 1}",
            "max_lateness": 0,  # others test meanwhile: a busy machine refuses no call here
        },
        "api": {"listen": f"{HOST}:{http}"},
        "records": {"calls": str(folder / "calls.jsonl"), "audio": str(folder / "audio")},
    }
    if more := config.get("sip", {}).get("listen"):  # beside ours, as TLS
        ours["sip"]["listen"] += more
    tree = {**config, **{key: {**config.get(key, {}), **value} for key, value in ours.items()}}
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML 1.2
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(file)]
    with running(command, folder, "gateway") as program:
        service = Service(program, folder, sip, http, rtp)
        service.wait_until_ready()
        try:
            yield service
        except BaseException:
            print(program.printed)  # what it saw of it
            raise
        service.stop()


@contextmanager
def simulating(folder: Path, script: Mapping[str, Any]) -> Iterator[str]:
    """Run `gateway simulate` in a process of its own; gives its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = folder / "script.yaml"
    file.write_text(json.dumps(script), encoding="utf-8")
    command = [sys.executable, "-m", "gateway", "simulate"]
    command += ["--port", str(port), "--script", str(file)]
    with running(command, folder, "simulator") as program:
        until(lambda: "ws://" in program.printed or not program.running, "the simulator", START)
        assert program.running, program.printed
        yield f"ws://{HOST}:{port}/v1/realtime"
        assert program.stop() == 0, program.printed
