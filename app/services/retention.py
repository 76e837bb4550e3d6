"""What is kept, and for how long. Nothing grows without bound."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import TextClause, text

from app.domain.retry import Reason
from app.services.health_rollups import KEPT
from app.services.presence import FORGOTTEN_AFTER_SECONDS

BATCH = 5000
# Batches, each a short transaction: a purge must not hold locks, nor a snapshot, for long.
MAX_BATCHES = 200

KEEP = {
    "alerts": "30 days",
    "health_checks": "30 days",
    **{f"health_rollups_{one}_s": f"{kept.days} days" for one, kept in KEPT.items()},
    "job_executions": "7 days",
    "idempotent_requests": "24 hours",
    "traffic_history": "30 days",
    "redrives": "30 days",
    "silences": "30 days",
    "anomalies": "90 days",
    # Of an operation that is measured no more.
    "detector_states": "30 days",
    # A month more than its last rollup, since these go by the partition.
    "metric_series": "430 days",
    "incidents": "30 days",
    "predictions": "35 days",
    "models": "90 days",
    "audit": "400 days",
}
ROLLUPS_BATCH = 20_000
# By way of the webhooks: there is no index by time (see the model).
_ROLLUPS = """
    DELETE FROM pggit.webhook_health_rollups r USING (
        SELECT old.* FROM pggit.webhooks w CROSS JOIN LATERAL (
            SELECT webhook_id, resolution, at FROM pggit.webhook_health_rollups
            WHERE webhook_id = w.id AND resolution = {resolution}
                AND at < now() - interval '{keep}'
            LIMIT {batch}
        ) old LIMIT {batch}
    ) old
    WHERE (r.webhook_id, r.resolution, r.at) = (old.webhook_id, old.resolution, old.at)
"""
SERIES_SEEN_DAYS = 1


def _older(
    table: str, column: str, keep: str, *, order: str | None = None, batch: int = BATCH
) -> TextClause:
    """Deletes rows whose `column` is further back than `keep`; all names are constants of ours."""
    return text(
        f"DELETE FROM {table} WHERE id IN ("  # noqa: S608
        f"SELECT id FROM {table} WHERE {column} < now() - interval '{keep}'"
        f" ORDER BY {order or column} LIMIT {batch})"
    )


_PURGES: dict[str, TextClause] = {
    # An alert goes with its events, deliveries and attempts, once all of it is over.
    "alerts": text(
        f"""
        WITH old AS MATERIALIZED (
            SELECT a.id FROM pggit.alerts a
            WHERE a.created_at < now() - interval '{KEEP["alerts"]}'
                AND NOT EXISTS (
                    SELECT FROM pggit.alert_events e
                    JOIN pggit.alert_delivery_queue q ON q.event_id = e.id
                    WHERE e.alert_id = a.id AND q.status IN ('pending', 'retrying')
                )
            ORDER BY a.id LIMIT {BATCH // 10}
        ), over AS MATERIALIZED (
            SELECT d.id FROM old JOIN pggit.alert_events e ON e.alert_id = old.id
            JOIN pggit.deliveries d ON d.event_id = e.id
        ), attempts AS (
            DELETE FROM pggit.delivery_attempts WHERE delivery_id IN (SELECT id FROM over)
        ), queue AS (
            DELETE FROM pggit.alert_delivery_queue WHERE id IN (SELECT id FROM over)
        ), history AS (
            DELETE FROM pggit.alert_delivery_history WHERE id IN (SELECT id FROM over)
        )
        DELETE FROM pggit.alerts WHERE id IN (SELECT id FROM old)
        """  # noqa: S608 - only constants in it
    ),
    # What became an alert goes with it.
    "alertmanager_alerts": text(
        f"""
        DELETE FROM pggit.alertmanager_alerts WHERE (fingerprint, starts_at) IN (
            SELECT fingerprint, starts_at FROM pggit.alertmanager_alerts
            WHERE alert_id IS NULL AND created_at < now() - interval '{KEEP["alerts"]}'
            LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
    "health_checks": text(
        f"""
        DELETE FROM pggit.webhook_health_checks WHERE id IN (
            SELECT id FROM pggit.webhook_health_checks ORDER BY id LIMIT {BATCH}
        ) AND checked_at < now() - interval '{KEEP["health_checks"]}'
        """  # noqa: S608
    ),
    **{
        (name := f"health_rollups_{one}_s"): text(
            _ROLLUPS.format(resolution=one, keep=KEEP[name], batch=ROLLUPS_BATCH)
        )
        for one in KEPT
    },
    "job_executions": _older("pggit.scheduled_job_execution", "created_at", KEEP["job_executions"]),
    "idempotent_requests": text(
        f"""
        DELETE FROM pggit.idempotent_requests WHERE (principal, key) IN (
            SELECT principal, key FROM pggit.idempotent_requests
            WHERE created_at < now() - interval '{KEEP["idempotent_requests"]}'
            ORDER BY created_at LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
    "token_revocations": text(
        f"""
        DELETE FROM pggit.token_revocations WHERE id IN (
            SELECT id FROM pggit.token_revocations WHERE expires_at < now()
            ORDER BY expires_at LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
    "failed_logins": _older("pggit.failed_logins", "at", "1 day"),
    "ws_tickets": _older("pggit.ws_tickets", "expires_at", "1 minute"),
    # Who was killed left his row; where names change with each start, they would pile up.
    "workers": text(
        f"""
        DELETE FROM pggit.workers
        WHERE seen_at < now() - interval '{FORGOTTEN_AFTER_SECONDS} seconds'
        """  # noqa: S608
    ),
    "deleted_webhooks": text(
        f"""
        WITH old AS MATERIALIZED (
            SELECT w.id FROM pggit.webhooks w
            WHERE w.deleted_at < now() - interval '{KEEP["alerts"]}'
                AND NOT EXISTS (SELECT FROM pggit.deliveries d WHERE d.webhook_id = w.id)
            LIMIT {BATCH // 1000}
        ), rollups AS (
            DELETE FROM pggit.webhook_health_rollups WHERE webhook_id IN (SELECT id FROM old)
        ), checks AS (
            DELETE FROM pggit.webhook_health_checks WHERE webhook_id IN (SELECT id FROM old)
        )
        DELETE FROM pggit.webhooks WHERE id IN (SELECT id FROM old)
        """  # noqa: S608
    ),
    # A rule that was deleted stays for its groups, and these for the alerts that they told of.
    "deleted_routing_rules": text(
        f"""
        DELETE FROM pggit.routing_rules r
        WHERE r.deleted_at < now() - interval '{KEEP["alerts"]}'
            AND NOT EXISTS (SELECT FROM pggit.alert_groups g WHERE g.rule_id = r.id)
        """  # noqa: S608
    ),
    "silences": _older("pggit.silences", "ends_at", KEEP["silences"]),
    "incidents": _older(
        "pggit_analytics.incidents", "closed_at", KEEP["incidents"], order="id", batch=BATCH // 10
    ),
    # What is kept of an operation goes when its series are gone. A schedule that somebody made
    # stays: it says what that operation is to get when it is back.
    "default_schedules": text(
        f"""
        DELETE FROM pggit.baseline_recalc_schedule WHERE id IN (
            SELECT b.id FROM pggit.baseline_recalc_schedule b
            WHERE b.is_default AND NOT EXISTS (
                SELECT FROM pggit_analytics.metric_series s WHERE s.operation = b.operation
            ) LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
    "baseline_versions": text(
        f"""
        DELETE FROM pggit_analytics.baseline_versions WHERE id IN (
            SELECT v.id FROM pggit_analytics.baseline_versions v
            WHERE NOT EXISTS (
                SELECT FROM pggit_analytics.metric_series s WHERE s.operation = v.operation
            ) LIMIT {BATCH // 100}
        )
        """  # noqa: S608
    ),
    "baseline_partials": text(
        f"""
        DELETE FROM pggit_analytics.baseline_partials WHERE (operation, slot) IN (
            SELECT p.operation, p.slot FROM pggit_analytics.baseline_partials p
            WHERE NOT EXISTS (
                SELECT FROM pggit_analytics.metric_series s WHERE s.operation = p.operation
            ) LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
    "traffic_history": _older(
        "pggit_traffic.webhook_traffic_history", "at", KEEP["traffic_history"]
    ),
    "house_traffic_history": _older(
        "pggit_traffic.house_traffic_history", "at", KEEP["traffic_history"]
    ),
    # A series goes after its rollups; one that a process may have by its id stays.
    "metric_series": text(
        f"""
        DELETE FROM pggit_analytics.metric_series
        WHERE COALESCE(last_sample_at, created_at) < now() - interval '{KEEP["metric_series"]}'
            AND seen_at < now() - interval '{SERIES_SEEN_DAYS} days'
        """  # noqa: S608
    ),
    "anomalies": _older("pggit_analytics.anomalies", "ended_at", KEEP["anomalies"]),
    "detector_states": text(
        f"""
        DELETE FROM pggit_analytics.detector_states
        WHERE fed_until < now() - interval '{KEEP["detector_states"]}'
        """  # noqa: S608
    ),
    "redrives": _older(
        "pggit.redrives", "finished_at", KEEP["redrives"], order="id", batch=BATCH // 100
    ),
    "predictions": _older("pggit_ml.predictions", "made_at", KEEP["predictions"]),
    # One that has predicted stays for as long as what it said.
    "models": text(
        f"""
        DELETE FROM pggit_ml.models m
        WHERE m.trained_at < now() - interval '{KEEP["models"]}' AND m.kind = 'model'
            AND NOT m.is_active
            AND NOT EXISTS (SELECT FROM pggit_ml.predictions p WHERE p.model_version = m.version)
        """  # noqa: S608
    ),
    # Nobody else may delete there: a trigger asks for this setting.
    "audit": text(
        f"""
        WITH may AS MATERIALIZED (SELECT set_config('tocsin.purges', 'audit_log', true) AS may)
        DELETE FROM pggit.audit_log WHERE id IN (
            SELECT l.id FROM may CROSS JOIN pggit.audit_log l
            WHERE l.at < now() - interval '{KEEP["audit"]}' AND may.may IS NOT NULL
            ORDER BY l.at LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
    # Who is owed something by a webhook that stays disabled gets an end, and a reason.
    "cancelled_for_disabled_webhooks": text(
        f"""
        UPDATE pggit.alert_delivery_queue q
        SET status = 'cancelled', reason = '{Reason.WEBHOOK_DISABLED}', lease_token = NULL,
            held_behind = NULL, finished_at = now()
        WHERE q.id IN (
            SELECT q.id FROM pggit.alert_delivery_queue q
            JOIN pggit.webhooks w ON w.id = q.webhook_id
            WHERE q.status IN ('pending', 'retrying') AND NOT w.is_active
                AND w.updated_at < now() - interval '7 days'
            LIMIT {BATCH}
        )
        """  # noqa: S608
    ),
}


def purge(unit_of_work: Callable[[], Any]) -> dict[str, int]:
    """Delete what is past its time; how many rows of each kind."""
    removed = {}
    for name, statement in _PURGES.items():
        count = 0
        for _batch in range(MAX_BATCHES):
            with unit_of_work() as work:
                rows = work.session.execute(statement).rowcount
            count += rows
            if not rows:
                break
        removed[name] = count
    return removed
