"""The demo, as a user starts it: a real call over loopback sockets, about 25 seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

STEP = 800  # samples: 0.1 s


def loudness(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """RMS of each tenth of a second."""
    whole = samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    return np.asarray(np.sqrt((whole**2).mean(axis=1)))


def test_the_demo_makes_a_whole_call(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "gateway", "demo"],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    for line in (
        "assistant Hello! How can I help you?",
        "caller    Hello, what can you do?",
        "barge-in: the caller heard",
        "the model now remembers",
        "tells the model: Keypad: 4711",
        "assistant Goodbye!",
        "hangs up",
    ):
        assert line in run.stdout
    record = json.loads((tmp_path / "calls.jsonl").read_text())
    assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
    assert [entry["heard_ms"] > 0 for entry in record["barge_ins"]] == [True]
    with wave.open(str(tmp_path / record["recording"])) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    caller, model = loudness(sound[:, 0]), loudness(sound[:, 1])
    assert (caller > 500).sum() > 20  # tenths of a second with a voice
    assert (model > 500).sum() > 60
    # the greeting is the model's alone, and who is interrupted falls silent
    assert caller[:15].max() < 100 < model[:15].max()
    assert np.mean((caller > 500) & (model > 500)) < 0.05
