"""Metrics: what a monitoring system reads of the process, in Prometheus' text format. Pure.

Everything is counted where it happens, whether anybody asks or not; here it is only written down.
Labels are names of the configuration and words of ours, never what a caller can choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.call.lateness import Histogram, Lateness
from gateway.call.model import Backend

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def collect(
    *,
    calls: int,
    tasks: int,
    refused: Mapping[str, int],
    encrypted: Mapping[str, int],
    lateness: Lateness,
    backends: Iterable[Backend],
) -> list[Metric]:
    """All that there is; `refused` by cause, what encryption refused (`encrypted`) by reason."""
    known = list(backends)
    return [
        GaugeMetricFamily("gateway_calls", "Calls in progress.", calls),
        GaugeMetricFamily("gateway_tasks", "Tasks of the event loop.", tasks),
        _counter(
            "gateway_calls_refused",
            "Calls that a limit of the process refused, by cause.",
            "cause",
            sorted(refused.items()),
        ),
        _counter(
            "gateway_encrypted_refused",
            "Datagrams to encrypted calls, over by now, that were not heard, by reason.",
            "reason",
            sorted(encrypted.items()),
        ),
        GaugeMetricFamily(
            "gateway_overloaded", "1 while new calls are refused.", int(lateness.overloaded)
        ),
        _histogram(
            "gateway_tick_lateness_seconds", "How late sound leaves, per tick.", lateness.late
        ),
        _histogram("gateway_tick_work_seconds", "What a tick takes, of 20 ms.", lateness.work),
        CounterMetricFamily(
            "gateway_ticks_missed",
            "Ticks that were left out: packets that no call sent.",
            lateness.missed,
        ),
        _sessions(known),
        _counter(
            "gateway_append_backlog",
            "Times that callers' sound waited for more than 200 ms for the backend to take it.",
            "backend",
            [(it.name, it.behind) for it in known],
        ),
        _counter(
            "gateway_append_lost_seconds",
            "Callers' sound that the backend never got, because it took no more for a second.",
            "backend",
            [(it.name, it.lost_ms / 1000) for it in known],
        ),
    ]


def render(metrics: Iterable[Metric]) -> str:
    """The page."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(metrics))
    return generate_latest(registry).decode()


class _Collected:
    """What was collected, as a registry asks for it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _counter(name: str, about: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _sessions(backends: Iterable[Backend]) -> Metric:
    family = GaugeMetricFamily(
        "gateway_backend_sessions", "Sessions that are open or being opened.", labels=["backend"]
    )
    for it in backends:
        family.add_metric([it.name], it.sessions)
    return family


def _histogram(name: str, about: str, values: Histogram) -> Metric:
    bounds = [*(f"{bound:g}" for bound in values.bounds), "+Inf"]
    buckets = list(zip(bounds, values.cumulated, strict=True))
    return HistogramMetricFamily(name, about, buckets=buckets, sum_value=values.total)
