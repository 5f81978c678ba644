"""The systemd unit: valid, and closed against everything that a telephone gateway does not need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "gateway.service"

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and os.environ.get("CI") != "true",
    reason="systemd-analyze is not installed",
)


def analyze(*arguments: str) -> str:
    run = subprocess.run(
        ["systemd-analyze", *arguments, str(UNIT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_verify_has_nothing_to_say() -> None:
    assert analyze("verify", "--man=no") == ""


def test_exposure_is_low() -> None:
    """0 is a unit that can do nothing, 10 one that can do everything; sockets alone cost 0.9."""
    security = analyze("security", "--offline=true", "--no-pager")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", security)
    assert found is not None, security
    assert float(found[1]) <= 1.2


def test_it_runs_the_service() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    assert "ExecStart=/usr/bin/env gateway serve --config /etc/gateway/gateway.yaml" in lines
