"""Metrics: what a monitoring system reads of the process, as Prometheus' text format 0.0.4. Pure.

Everything is counted where it happens, whether anybody asks or not; here it is only written down.
Labels are names of the configuration and words of ours, never what a caller can choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from gateway.call.lateness import Histogram, Lateness
from gateway.call.model import Backend

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


class Metric(NamedTuple):
    """One family: `samples` are (suffix of the name, labels, value)."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Iterable[tuple[str, Labels, float]]


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
        _gauge("gateway_calls", "Calls in progress.", calls),
        _gauge("gateway_tasks", "Tasks of the event loop.", tasks),
        Metric(
            "gateway_calls_refused_total",
            "counter",
            "Calls that a limit of the process refused, by cause.",
            [("", {"cause": cause}, count) for cause, count in sorted(refused.items())],
        ),
        Metric(
            "gateway_encrypted_refused_total",
            "counter",
            "Datagrams to encrypted calls, over by now, that were not heard, by reason.",
            [("", {"reason": reason}, count) for reason, count in sorted(encrypted.items())],
        ),
        _gauge("gateway_overloaded", "1 while new calls are refused.", int(lateness.overloaded)),
        _histogram(
            "gateway_tick_lateness_seconds", "How late sound leaves, per tick.", lateness.late
        ),
        _histogram("gateway_tick_work_seconds", "What a tick takes, of 20 ms.", lateness.work),
        Metric(
            "gateway_ticks_missed_total",
            "counter",
            "Ticks that were left out: packets that no call sent.",
            [("", {}, lateness.missed)],
        ),
        Metric(
            "gateway_backend_sessions",
            "gauge",
            "Sessions that are open or being opened.",
            [("", {"backend": it.name}, it.sessions) for it in known],
        ),
        Metric(
            "gateway_append_backlog_total",
            "counter",
            "Times that callers' sound waited for more than 200 ms for the backend to take it.",
            [("", {"backend": it.name}, it.behind) for it in known],
        ),
        Metric(
            "gateway_append_lost_seconds_total",
            "counter",
            "Callers' sound that the backend never got, because it took no more for a second.",
            [("", {"backend": it.name}, it.lost_ms / 1000) for it in known],
        ),
    ]


def render(metrics: Iterable[Metric]) -> str:
    """The page."""
    return "".join(line + "\n" for metric in metrics for line in _lines(metric))


def _gauge(name: str, about: str, value: float) -> Metric:
    return Metric(name, "gauge", about, [("", {}, value)])


def _histogram(name: str, about: str, values: Histogram) -> Metric:
    bounds = [*(f"{bound:g}" for bound in values.bounds), "+Inf"]
    counts = values.cumulated
    buckets = [
        ("_bucket", {"le": bound}, count) for bound, count in zip(bounds, counts, strict=True)
    ]
    rest: list[tuple[str, Labels, float]] = [("_sum", {}, values.total), ("_count", {}, counts[-1])]
    return Metric(name, "histogram", about, [*buckets, *rest])


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for suffix, labels, value in metric.samples:
        inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{metric.name}{suffix}{f'{{{inside}}}' if inside else ''} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
