"""As many file descriptors as the calls need, and a word where there are fewer."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import descriptors
from gateway.descriptors import A_CALL, OWN, needed, raise_limit, trouble
from gateway.rtp.port import PortPool

UNIT = Path(__file__).parent.parent / "deploy" / "gateway.service"


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one(limits: tuple[int, int]) -> None:
    soft, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    assert raise_limit() == (sys.maxsize if hard == resource.RLIM_INFINITY else hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_sandbox_that_does_not_allow_it(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))

    def refused(what: int, values: tuple[int, int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(descriptors.resource, "setrlimit", refused)  # type: ignore[attr-defined]
        assert raise_limit() == 512


def test_what_a_call_takes() -> None:
    """A port is two sockets; the WebSocket and its other end make four, a resting port six."""
    before = len(os.listdir("/proc/self/fd"))
    pool = PortPool("127.0.0.1", 34000, 34099)
    empty = len(os.listdir("/proc/self/fd"))
    ports = [pool.open(0.0) for _ in range(5)]
    for port in ports:
        pool.release(port, 1.0, announced=True)
    ports = [pool.open(2.0) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) - empty == 5 * (A_CALL - 2)
    pool.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_how_many_calls_fit() -> None:
    assert needed(500) == OWN + 500 * A_CALL
    assert trouble(500, needed(500)) is None
    assert trouble(500, sys.maxsize) is None
    told = trouble(500, 1024)
    assert told is not None
    assert told.startswith(f"about {(1024 - OWN) // A_CALL} of 500 calls fit; ")
    assert str(needed(500)) in told
    assert (trouble(10, 20) or "").startswith("about 0 of 10 calls fit")


def test_the_unit_allows_for_thousands_of_calls() -> None:
    (allowed,) = re.findall(r"^LimitNOFILE=(\d+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert int(allowed) >= needed(5000)


@pytest.mark.parametrize(("hard", "short"), [(1000, True), (4000, False)])
def test_the_service_says_when_its_calls_do_not_fit(hard: int, short: bool, tmp_path: Path) -> None:
    """A line at its start, and it runs with all that it may have."""
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "sip: {listen: 'udp:127.0.0.1:0', max_calls: 500}\n"
        "api: {listen: '127.0.0.1:0'}\nrecords: {calls: null}\nlog: {format: json}\n",
        encoding="utf-8",
    )
    starting = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))\n"
        f"from gateway.cli import main; main(['serve', '--config', {str(config)!r}])"
    )
    service = subprocess.Popen([sys.executable, "-c", starting], stdout=subprocess.PIPE, text=True)
    assert service.stdout
    with service.stdout:
        lines = []
        for text in service.stdout:
            lines.append(json.loads(text))
            if lines[-1]["event"] == "listening":
                break
        now = Path(f"/proc/{service.pid}/limits").read_text(encoding="utf-8")
        service.send_signal(signal.SIGTERM)
        service.stdout.read()
    assert service.wait(20) == 0
    assert re.search(rf"Max open files\s+{hard}\s+{hard}", now)
    told = [line for line in lines if line["event"] == "few_descriptors"]
    assert len(told) == int(short)
    assert all("of 500 calls fit" in line["reason"] for line in told)
