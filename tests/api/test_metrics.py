"""The metrics as Prometheus reads them: its exposition format, version 0.0.4."""

from __future__ import annotations

import re

from gateway.api.metrics import Metric, collect, render
from gateway.call.lateness import BOUNDS, Lateness
from gateway.call.model import Backend
from gateway.realtime.profile import compatible

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')


def backend(name: str) -> Backend:
    return Backend(name, compatible(url="ws://model.test/v1/realtime", model="m"))


def page(lateness: Lateness, *backends: Backend) -> list[str]:
    refused = {"overload": 3, "max_calls": 1}
    metrics = collect(
        calls=7,
        tasks=30,
        refused=refused,
        encrypted={"srtp_replayed": 4, "srtp_failed": 9},
        lateness=lateness,
        backends=backends,
    )
    return render(metrics).splitlines()


def test_a_line_for_each_sample_below_what_it_means() -> None:
    metric = Metric("a_total", "counter", "How many.", [("", {"of": "this"}, 2), ("", {}, 0.5)])
    assert render([metric]) == (
        '# HELP a_total How many.\n# TYPE a_total counter\na_total{of="this"} 2\na_total 0.5\n'
    )


def test_what_a_label_may_hold() -> None:
    metric = Metric("a", "gauge", "It.", [("", {"of": 'a"b\\c\nd'}, 1)])
    assert render([metric]).splitlines()[-1] == r'a{of="a\"b\\c\nd"} 1'


def test_all_of_them_can_be_read() -> None:
    lines = page(Lateness(0.02), backend("one"), backend("two"))
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_calls_and_refusals() -> None:
    lines = page(Lateness(0.02))
    assert "gateway_calls 7" in lines
    assert "gateway_tasks 30" in lines
    assert 'gateway_calls_refused_total{cause="overload"} 3' in lines
    assert "gateway_overloaded 0" in lines
    assert 'gateway_encrypted_refused_total{reason="srtp_failed"} 9' in lines


def test_lateness_is_a_histogram() -> None:
    lateness = Lateness(0.02)
    lateness.note(10.0, 0, 0.25)
    lateness.note(10.023, 0, 0.25)
    lateness.note(10.1, 2, 0.25)
    lines = page(lateness)
    buckets = [line for line in lines if line.startswith("gateway_tick_lateness_seconds_bucket")]
    assert len(buckets) == len(BOUNDS) + 1
    assert 'gateway_tick_lateness_seconds_bucket{le="0.002"} 1' in buckets
    assert 'gateway_tick_lateness_seconds_bucket{le="0.005"} 2' in buckets
    assert buckets[-1] == 'gateway_tick_lateness_seconds_bucket{le="+Inf"} 3'
    assert "gateway_tick_lateness_seconds_count 3" in lines
    assert "gateway_tick_work_seconds_sum 0.75" in lines
    assert "gateway_ticks_missed_total 2" in lines


def test_what_the_backends_did_not_take() -> None:
    slow = backend("slow")
    slow.sessions, slow.behind, slow.lost_ms = 4, 2, 3960
    lines = page(Lateness(0.02), slow, backend("good"))
    assert 'gateway_backend_sessions{backend="slow"} 4' in lines
    assert 'gateway_append_backlog_total{backend="slow"} 2' in lines
    assert 'gateway_append_lost_seconds_total{backend="slow"} 3.96' in lines
    assert 'gateway_append_lost_seconds_total{backend="good"} 0.0' in lines
