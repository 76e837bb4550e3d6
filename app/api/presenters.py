"""From what services return to what schemas show."""

from datetime import datetime
from typing import Any

from app.domain.check_rollups import CheckRollup, latency_quantiles
from app.domain.health import certificate_days_left
from app.domain.retry import DeliveryStatus
from app.services.baseline_versions import BaselineView
from app.services.dead_letters import Counts, DeadLetter
from app.services.deliveries import DeliveryView
from app.services.health_reports import HealthReport, Timeline
from app.services.incidents import IncidentView
from app.services.redrive import RedriveView
from app.services.silences import SilenceView
from app.services.telling import alert_data
from app.services.webhooks import WebhookView
from models import Alert, Base, WebhookHealthCheck

# Of a timeline's point, what is null in a gap.
POINT_FIELDS = (
    "failed",
    "slow",
    "in_maintenance",
    "uptime",
    "latency_mean_ms",
    "latency_min_ms",
    "latency_max_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
)
NO_DELIVERIES = {status.value: 0 for status in DeliveryStatus}


def present_webhook(view: WebhookView) -> dict[str, Any]:
    row = view.row
    return {
        "id": row.id,
        "name": row.name,
        "url": row.url,
        "description": row.description,
        "is_active": row.is_active,
        "disabled_reason": row.disabled_reason,
        "health_check_interval_seconds": row.health_check_interval_seconds,
        "timeout_seconds": row.timeout_seconds,
        "retry_schedule_seconds": row.retry_schedule_seconds,
        "headers": view.headers,
        "template": view.template,
        "health_check": {
            "method": row.check_method,
            "expected_status": row.check_expected_status,
            "max_latency_ms": row.check_max_latency_ms,
            "failure_threshold": row.check_failure_threshold,
            "recovery_threshold": row.check_recovery_threshold,
            "body_includes": row.check_body_includes,
            "body_excludes": row.check_body_excludes,
            "headers": row.check_headers,
            "min_certificate_days": row.check_min_certificate_days,
            "flap_changes": row.check_flap_changes,
            "flap_window_seconds": row.check_flap_window_seconds,
        },
        "max_in_flight": row.max_in_flight,
        "rate_limit_per_second": row.rate_limit_per_second,
        "disable_after_days": row.disable_after_days,
        "depends_on": row.depends_on,
        "health_status": view.health_status,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def present_health(report: HealthReport, now: datetime) -> dict[str, Any]:
    row = report.row
    return {
        "webhook_id": row.webhook_id,
        "health_status": row.health_status,
        "consecutive_failures": row.consecutive_failures,
        "latency_p50_ms": report.latency_p50_ms,
        "latency_p95_ms": report.latency_p95_ms,
        "latency_p99_ms": report.latency_p99_ms,
        "uptime_24h": report.uptime_24h,
        "uptime_7d": report.uptime_7d,
        "uptime_30d": report.uptime_30d,
        "last_check_at": row.last_check_at,
        "next_check_at": row.next_check_at,
        "changed_at": row.changed_at,
        "certificate_expires_at": row.certificate_expires_at,
        "certificate_days_left": certificate_days_left(row.certificate_expires_at, now),
        "failing_since": row.failing_since,
        "flapping_since": row.flapping_since,
        "blocked_by": row.blocked_by,
    }


def present_check(row: WebhookHealthCheck) -> dict[str, Any]:
    return {
        "webhook_id": row.webhook_id,
        "checked_at": row.checked_at,
        "outcome": row.outcome,
        "reason": row.reason,
        "http_status": row.http_status,
        "latency_ms": row.latency_ms,
        "error": row.error,
        "health_status": row.health_status,
        "timings": {
            "dns_ms": row.dns_ms,
            "connect_ms": row.connect_ms,
            "tls_ms": row.tls_ms,
            "first_byte_ms": row.first_byte_ms,
            "total_ms": row.latency_ms,
        },
        "decision": row.decision,
        "confirms": row.confirms,
        "in_maintenance": row.in_maintenance,
    }


def present_timeline(webhook_id: int, timeline: Timeline) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "step": timeline.step,
        "since": timeline.since,
        "until": timeline.until,
        "items": [_point(at, rollup) for at, rollup in timeline.points],
    }


def _point(at: datetime, rollup: CheckRollup | None) -> dict[str, Any]:
    if rollup is None:
        return {"at": at, "checks": 0} | dict.fromkeys(POINT_FIELDS)
    p50, p95, p99 = latency_quantiles(rollup, (0.5, 0.95, 0.99)) or (None, None, None)
    latencies = {"latency_p50_ms": p50, "latency_p95_ms": p95, "latency_p99_ms": p99}
    shown = {name: getattr(rollup, name) for name in POINT_FIELDS if name not in latencies}
    return {"at": at, "checks": rollup.checks} | shown | latencies


def present_counts(counts: Counts) -> dict[str, Any]:
    return {
        "total": counts.total,
        "by_webhook": [
            {
                "webhook_id": webhook.id,
                "name": webhook.name,
                "is_active": webhook.is_active,
                "count": count,
            }
            for webhook, count in counts.by_webhook
        ],
        "by_reason": [{"reason": reason, "count": count} for reason, count in counts.by_reason],
    }


def present_dead_letter(letter: DeadLetter) -> dict[str, Any]:
    row = letter.row
    return {
        "id": row.id,
        "alert_id": letter.alert.id,
        "alert_title": letter.alert.title,
        "alert_status": letter.alert.status,
        "severity": letter.alert.severity,
        "webhook_id": row.webhook_id,
        "webhook_name": letter.webhook.name,
        "webhook_is_active": letter.webhook.is_active,
        "webhook_message_id": row.webhook_message_id,
        "type": letter.event_type,
        "reason": row.reason,
        "attempts_made": row.attempts_made,
        "last_attempt": letter.last_attempt,
        "redrive_id": row.redrive_id,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def present_redrive(view: RedriveView) -> dict[str, Any]:
    row, by_status = view.row, {**NO_DELIVERIES, **view.by_status}
    return {
        "id": row.id,
        "status": row.status,
        "filter": row.filter,
        "total": row.total,
        "requeued": view.requeued,
        "skipped": sum(view.skipped.values()),
        "skipped_by_reason": view.skipped,
        "delivered": by_status[DeliveryStatus.DELIVERED],
        "failed": by_status[DeliveryStatus.FAILED],
        "cancelled": by_status[DeliveryStatus.CANCELLED],
        "open": by_status[DeliveryStatus.PENDING] + by_status[DeliveryStatus.RETRYING],
        "elsewhere": view.requeued - sum(by_status.values()),
        "webhooks": view.shares,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def present_alert(alert: Alert, counts: dict[str, int]) -> dict[str, Any]:
    return alert_data(alert) | {"deliveries": NO_DELIVERIES | counts}


def present_delivery(view: DeliveryView) -> dict[str, Any]:
    row = view.row
    return {
        "id": row.id,
        "alert_id": view.alert_id,
        "webhook_id": row.webhook_id,
        "webhook_message_id": row.webhook_message_id,
        "type": view.event_type,
        "status": row.status,
        "reason": row.reason,
        "next_attempt_at": view.next_attempt_at,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "attempts": view.attempts,
    }


def present_silence(view: SilenceView) -> dict[str, Any]:
    row = view.row
    return {
        "id": row.id,
        "kind": row.kind,
        "comment": row.comment,
        "matchers": row.matchers,
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "recurrence": row.recurrence,
        "created_by": row.created_by,
        "status": view.status,
        "in_force_until": view.in_force_until,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def present_baseline(view: BaselineView) -> dict[str, Any]:
    return _columns(view.row) | {"slots": view.slots}


def present_incident(view: IncidentView) -> dict[str, Any]:
    members = [
        _columns(member) | {"is_cause": member.operation == view.row.cause_operation}
        for member in view.members
    ]
    return _columns(view.row) | {"members": members}


def _columns(row: Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
