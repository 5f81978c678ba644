"""Twenty calls at once, with sound both ways: none fails, no packet is lost or out of pace.

sipp sends all its calls from one port, so what the gateway sent is judged by what tshark saw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .capture import Stream, capturing
from .programs import need
from .service import serving, simulating
from .sipp_phone import call
from .sound import pause, voice, write_alaw

CALLS = 20
SECONDS = 8
SCRIPT = {
    "greeting": "Hello! This is the clinic, how can I help you today?",
    "turns": [{"hears": "Are you open?", "say": "Yes, from nine to five, and on Sundays too."}] * 5,
}


def test_twenty_calls_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("sipp", "tshark")
    write_alaw(tmp_path / "caller.alaw", pause(1), voice(0.8), pause(4), voice(0.8), pause(20))
    with simulating(tmp_path / "model", SCRIPT) as url:
        config = {
            "backends": {"model": {"provider": "compatible", "url": url, "model": "any"}},
            "agents": {"clinic": {"backend": "model", "greeting": "Hello!"}},
        }
        with (
            serving(tmp_path / "gateway", config) as service,
            capturing(tmp_path, service.rtp) as capture,
        ):
            duration = ("-d", str(SECONDS * 1000))
            call(service, "clinic", "caller_hangs_up", tmp_path, *duration, calls=CALLS)
        records = service.records()

    streams = capture.streams(service.rtp)
    assert len(records) == len(streams) == CALLS
    for record in records:
        assert (record["sip_status"], record["cause"]) == (200, "hang_up")
        assert len(record["turns"]) >= 1
        assert record["rtp"]["received"] > 0.9 * SECONDS * 50
        assert record["rtp"]["lost"] == 0
    for stream in streams:
        assert stream.missing == 0
        # the time of packets that a busy machine kept us from sending is skipped, never sent late
        assert len(stream.times) + stream.skipped == pytest.approx(SECONDS * 50, rel=0.03)
    assert service.complaints() == []
    with capsys.disabled():
        print(f"\n{CALLS} calls: {_pacing(streams)}")


def _pacing(streams: list[Stream]) -> str:
    """How evenly the packets left, in words."""
    gaps = np.array([gap for stream in streams for gap in stream.gaps]) * 1000
    return (
        f"{len(gaps)} packets, inter-arrival p50 {np.median(gaps):.2f} ms, "
        f"p99 {np.percentile(gaps, 99):.2f} ms, max {gaps.max():.2f} ms, "
        f"{sum(stream.skipped for stream in streams)} skipped"
    )
