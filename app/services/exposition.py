"""What Prometheus is told: gauges asked of the database now, and totals that processes have added.

Each section is a function from a session to families of metrics; a further part of the system adds
its own to SECTIONS. Labels have few values, and none that a client or a webhook could make up.
Names and units follow Prometheus' conventions: seconds, `_total` for what only grows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import text
from sqlalchemy.orm import Session

import beat_schedule
from app.domain.alerts import AlertStatus, Severity
from app.domain.health import HealthStatus
from app.services.exposed_totals import exposed_totals
from app.services.health_reports import count_by_status
from app.services.presence import list_workers
from app.services.status import queue_depth
from app.version import VERSION

MILLISECONDS = 1000
Section = Callable[[Session], Iterable[Metric]]


def families(session: Session) -> Iterator[Metric]:
    """All that the database knows. Raises SQLAlchemyError while it is away."""
    for section in SECTIONS:
        yield from section(session)


def build_info() -> Metric:
    info = GaugeMetricFamily("tocsin_build_info", "1, by the version.", labels=["version"])
    info.add_metric([VERSION], 1)
    return info


def gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value)


def broker_messages(depths: Mapping[str, int]) -> Metric:
    """None while it is away."""
    return _by("tocsin_broker_messages", "Hints and ticks that wait.", "lane", depths)


def _by(name: str, said: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, said, labels=[label])
    for one, value in values.items():
        family.add_metric([one], value)
    return family


_QUEUE_ENDS = text(
    "SELECT (SELECT count(*) FROM pggit.alert_delivery_queue WHERE status = 'failed'),"
    " (SELECT count(*) FROM pggit_traffic.delivery_pause) > 0"
)


def _queue(session: Session) -> Iterator[Metric]:
    depth = queue_depth(session)
    failed, is_paused = session.execute(_QUEUE_ENDS).one()
    yield gauge("tocsin_queue_undelivered", "Deliveries that are not over yet.", depth.undelivered)
    yield gauge("tocsin_queue_in_flight", "Deliveries that a worker has.", depth.in_flight)
    yield gauge(
        "tocsin_queue_oldest_due_seconds",
        "For how long the oldest delivery has been due, what a gate holds included.",
        depth.oldest_due_seconds,
    )
    yield gauge("tocsin_dead_letters", "Deliveries that failed for good and are kept.", failed)
    yield gauge("tocsin_delivery_paused", "1 while delivery is paused.", int(is_paused))


_WEBHOOKS = text(
    "SELECT count(*) FILTER (WHERE NOT w.is_active), count(*) FILTER (WHERE t.gate = 'closed')"
    " FROM pggit.webhooks w LEFT JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id"
    " WHERE w.deleted_at IS NULL"
)


def _webhooks(session: Session) -> Iterator[Metric]:
    counts = count_by_status(session)
    yield _by(
        "tocsin_webhooks",
        "Active webhooks, by their health.",
        "health_status",
        {status.value: counts.get(status.value, 0) for status in HealthStatus},
    )
    inactive, closed = session.execute(_WEBHOOKS).one()
    yield gauge("tocsin_webhooks_inactive", "Webhooks that are not active.", inactive)
    yield gauge("tocsin_webhooks_gate_closed", "Webhooks whose gate is closed.", closed)


_OPEN = (AlertStatus.PENDING.value, AlertStatus.ACKNOWLEDGED.value)
_ALERTS = text(
    "SELECT status, severity, count(*) FROM pggit.alerts WHERE status = ANY(:open) GROUP BY 1, 2"
)


def _alerts(session: Session) -> Iterator[Metric]:
    rows = session.execute(_ALERTS, {"open": list(_OPEN)})
    counts = {(status, severity): count for status, severity, count in rows}
    family = GaugeMetricFamily(
        "tocsin_alerts_open", "Alerts that are not resolved.", labels=["status", "severity"]
    )
    for status, severity in product(_OPEN, Severity):
        family.add_metric([status, severity.value], counts.get((status, severity), 0))
    yield family


# By the index of a job's runs, the newest first: a handful of rows for each job.
_JOBS = text(
    """
    SELECT j.name, extract(epoch FROM s.finished_at)::float8, s.duration_ms,
        (SELECT COALESCE(sum(e.missed_ticks), 0) FROM pggit.scheduled_job_execution e
            WHERE e.job_name = j.name AND e.created_at > now() - interval '24 hours')
    FROM unnest(CAST(:names AS text[])) AS j (name)
    LEFT JOIN LATERAL (
        SELECT e.finished_at, e.duration_ms FROM pggit.scheduled_job_execution e
        WHERE e.job_name = j.name AND e.status = 'succeeded' ORDER BY e.id DESC LIMIT 1
    ) s ON true
    """
)


def _jobs(session: Session) -> Iterator[Metric]:
    rows = session.execute(_JOBS, {"names": list(beat_schedule.JOBS)}).all()
    yield _by(
        "tocsin_job_last_success_timestamp_seconds",
        "When a job last succeeded.",
        "job",
        {name: at for name, at, _, _ in rows if at is not None},
    )
    yield _by(
        "tocsin_job_last_duration_seconds",
        "How long a job took when it last succeeded.",
        "job",
        {name: took / MILLISECONDS for name, _, took, _ in rows if took is not None},
    )
    yield _by(
        "tocsin_job_missed_ticks",
        "Ticks of the last 24 hours that nobody ran.",
        "job",
        {name: float(missed) for name, _, _, missed in rows},
    )


def _workers(session: Session) -> Iterator[Metric]:
    alive = Counter(row.lane for row, is_alive in list_workers(session) if is_alive)
    yield _by(
        "tocsin_workers",
        "Workers that live, by their lane.",
        "lane",
        {lane: alive[lane] for lane in beat_schedule.LANES},
    )


_CONNECTIONS = text(
    "SELECT CASE WHEN state = 'active' THEN 'active' WHEN state = 'idle' THEN 'idle'"
    " WHEN state LIKE 'idle in transaction%' THEN 'in_transaction' ELSE 'other' END, count(*)"
    " FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tocsin'"
    " GROUP BY 1"
)
_LIMIT = text("SELECT current_setting('max_connections')::int")


def _connections(session: Session) -> Iterator[Metric]:
    counts: dict[str, int] = dict(session.execute(_CONNECTIONS).all())
    states = ("active", "idle", "in_transaction", "other")
    yield _by(
        "tocsin_database_connections",
        "Connections to the database of all of Tocsin's processes.",
        "state",
        {state: counts.get(state, 0) for state in states},
    )
    limit = session.execute(_LIMIT).scalar_one()
    yield gauge("tocsin_database_connections_limit", "How many the server takes in all.", limit)


_INBOX = text("SELECT COALESCE(sum(samples), 0) FROM pggit_analytics.metric_inbox")


def _samples(session: Session) -> Iterator[Metric]:
    waiting = session.execute(_INBOX).scalar_one()
    yield gauge("tocsin_metric_inbox_samples", "Samples that wait to be rolled up.", float(waiting))


SECTIONS: tuple[Section, ...] = (
    _queue,
    _webhooks,
    _alerts,
    _jobs,
    _workers,
    _connections,
    _samples,
    exposed_totals,
)
