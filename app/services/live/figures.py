"""The figures of the stream's `metrics`: how busy it is right now, in one short look."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.presence import list_workers
from app.services.status import queue_depth
from app.services.traffic_reports import gate_counts

RATE_SECONDS = 5
LATENCY_SECONDS = 60
# Latencies are of the last attempts only: percentiles of a thousand are good enough to look at.
LATENCY_ATTEMPTS = 1000
WORKER_FIELDS = ("name", "lane", "pid", "started_at", "seen_at", "last_claim_at")

_RATES = text(
    f"""
    SELECT status, count(*) FROM (
        SELECT status FROM pggit.alert_delivery_history
        WHERE finished_at > now() - interval '{RATE_SECONDS} seconds'
        UNION ALL
        SELECT status FROM pggit.alert_delivery_queue
        WHERE finished_at > now() - interval '{RATE_SECONDS} seconds'
            AND NOT (status IN ('pending', 'retrying'))
    ) AS ended GROUP BY status
    """  # noqa: S608 - only constants in it
)
_LATENCIES = text(
    f"""
    SELECT count(*), percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms)
    FROM (
        SELECT at, latency_ms FROM pggit.delivery_attempts
        ORDER BY id DESC LIMIT {LATENCY_ATTEMPTS}
    ) AS last
    WHERE at > now() - interval '{LATENCY_SECONDS} seconds' AND latency_ms IS NOT NULL
    """  # noqa: S608
)
_COUNTS = text(
    """
    SELECT 'alerts', status, count(*) FROM pggit.alerts WHERE status <> 'resolved' GROUP BY status
    UNION ALL
    SELECT 'webhooks', h.health_status, count(*) FROM pggit.webhook_health_metrics h
    JOIN pggit.webhooks w ON w.id = h.webhook_id AND w.is_active AND w.deleted_at IS NULL
    GROUP BY h.health_status
    UNION ALL
    SELECT 'anomalies', 'open', count(*) FROM pggit_analytics.anomalies WHERE ended_at IS NULL
    """
)


def figures(session: Session) -> dict[str, Any]:
    """Rates are per second over the last 5 s, latencies in ms over the last 60 s."""
    depth = queue_depth(session)
    rates = {"delivered": 0.0, "failed": 0.0, "cancelled": 0.0}
    rates |= {status: count / RATE_SECONDS for status, count in session.execute(_RATES)}
    count, quantiles = session.execute(_LATENCIES).one()
    p50, p95, p99 = quantiles or (None, None, None)
    counts: dict[str, dict[str, int]] = {"alerts": {}, "webhooks": {}, "anomalies": {}}
    for what, status, number in session.execute(_COUNTS):
        counts[what][status] = number
    return {
        "queue": {
            "undelivered": depth.undelivered,
            "in_flight": depth.in_flight,
            "oldest_due_seconds": depth.oldest_due_seconds,
        },
        "deliveries_per_second": rates,
        "delivery_latency_ms": {"count": count, "p50": p50, "p95": p95, "p99": p99},
        "alerts": counts["alerts"],
        "webhooks": counts["webhooks"],
        "gates": gate_counts(session),
        "anomalies_open": counts["anomalies"]["open"],
        "workers": [
            {name: getattr(row, name) for name in WORKER_FIELDS} | {"is_alive": is_alive}
            for row, is_alive in list_workers(session)
        ],
    }
