"""Totals of our own as Prometheus knows them: their names, and what they mean."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy.orm import Session

from app.domain.retry import DeliveryStatus
from app.domain.totals import EDGES, Total
from app.services import meter
from app.services.totals import all_totals

MILLISECONDS = 1000


class _Named(NamedTuple):
    """A total of ours, as Prometheus knows it."""

    name: str
    help: str
    labels: tuple[str, ...]


HISTOGRAMS: Mapping[str, _Named] = {
    meter.DELIVERY_LATENCY: _Named(
        "tocsin_delivery_duration_seconds",
        "How long attempts to deliver took, by whether the message was delivered.",
        ("outcome",),
    ),
    meter.CHECK_LATENCY: _Named(
        "tocsin_check_duration_seconds",
        "How long checks of webhooks took, by what came of them.",
        ("outcome",),
    ),
    meter.API_LATENCY: _Named(
        "tocsin_api_request_duration_seconds",
        "How long requests to the API took, by their route.",
        ("method", "route"),
    ),
}
COUNTERS: Mapping[str, _Named] = {
    meter.DELIVERIES: _Named(
        "tocsin_deliveries",
        "What workers have recorded of deliveries; retrying is an attempt that will be repeated.",
        ("outcome",),
    ),
    meter.JOB_RUNS: _Named(
        "tocsin_job_runs",
        "Runs of scheduled jobs; skipped are ticks that another worker had taken.",
        ("job", "outcome"),
    ),
    meter.API_RESPONSES: _Named(
        "tocsin_api_responses", "Answers of the API, by hundreds of their status.", ("status",)
    ),
    meter.DROPPED: _Named(
        "tocsin_metrics_dropped", "Values of Tocsin's own metrics that found no room.", ()
    ),
}
# Known before the first is counted, so that a rate has a beginning.
_OUTCOMES = tuple(status.value for status in DeliveryStatus if status is not DeliveryStatus.PENDING)


def exposed_totals(session: Session) -> Iterator[Metric]:
    """Every counter and histogram."""
    known = all_totals(session)
    for own, named in COUNTERS.items():
        family = CounterMetricFamily(named.name, named.help, labels=named.labels)
        counts = {_values(named, labels): total.count for labels, total in known.get(own, [])}
        if own == meter.DELIVERIES:
            counts = {(outcome,): 0 for outcome in _OUTCOMES} | counts
        elif not named.labels:
            counts = {(): 0} | counts
        for values, count in counts.items():
            family.add_metric(values, count)
        yield family
    for own, named in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(named.name, named.help, labels=named.labels)
        for labels, total in known.get(own, []):
            histogram.add_metric(
                _values(named, labels), _cumulated(total), total.sum / MILLISECONDS
            )
        yield histogram


def _values(named: _Named, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in named.labels)


def _cumulated(total: Total) -> list[tuple[str, float]]:
    edges = [str(edge / MILLISECONDS) for edge in EDGES] + ["+Inf"]
    return list(zip(edges, accumulate(total.buckets or ()), strict=True))
