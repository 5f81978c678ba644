"""The metrics as Prometheus reads them: its exposition format, version 0.0.4."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.api.metrics import collect, render
from gateway.call.lateness import BOUNDS, Lateness
from gateway.call.model import Backend
from gateway.realtime.profile import compatible


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


def test_all_of_them_can_be_read() -> None:
    """By the library's own reader, and each name is there once."""
    lines = page(Lateness(0.02), backend("one"), backend("two"))
    families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    assert len(families) == 11
    assert all(family.documentation for family in families)
    assert len({family.name for family in families}) == 11


def test_calls_and_refusals() -> None:
    lines = page(Lateness(0.02))
    assert "gateway_calls 7.0" in lines
    assert "gateway_tasks 30.0" in lines
    assert 'gateway_calls_refused_total{cause="overload"} 3.0' in lines
    assert "gateway_overloaded 0.0" in lines
    assert 'gateway_encrypted_refused_total{reason="srtp_failed"} 9.0' in lines


def test_lateness_is_a_histogram() -> None:
    lateness = Lateness(0.02)
    lateness.note(10.0, 0, 0.25)
    lateness.note(10.023, 0, 0.25)
    lateness.note(10.1, 2, 0.25)
    lines = page(lateness)
    buckets = [line for line in lines if line.startswith("gateway_tick_lateness_seconds_bucket")]
    assert len(buckets) == len(BOUNDS) + 1
    assert 'gateway_tick_lateness_seconds_bucket{le="0.002"} 1.0' in buckets
    assert 'gateway_tick_lateness_seconds_bucket{le="0.005"} 2.0' in buckets
    assert buckets[-1] == 'gateway_tick_lateness_seconds_bucket{le="+Inf"} 3.0'
    assert "gateway_tick_lateness_seconds_count 3.0" in lines
    assert "gateway_tick_work_seconds_sum 0.75" in lines
    assert "gateway_ticks_missed_total 2.0" in lines


def test_what_the_backends_did_not_take() -> None:
    slow = backend("slow")
    slow.sessions, slow.behind, slow.lost_ms = 4, 2, 3960
    lines = page(Lateness(0.02), slow, backend("good"))
    assert 'gateway_backend_sessions{backend="slow"} 4.0' in lines
    assert 'gateway_append_backlog_total{backend="slow"} 2.0' in lines
    assert 'gateway_append_lost_seconds_total{backend="slow"} 3.96' in lines
    assert 'gateway_append_lost_seconds_total{backend="good"} 0.0' in lines
