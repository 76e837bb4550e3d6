"""Webhooks and their health, as the API shows them."""

from datetime import datetime
from typing import Any

from app.domain.check_rollups import CheckRollup, latency_quantiles
from app.domain.health import certificate_days_left
from app.services.health_reports import HealthReport, Timeline
from app.services.webhooks import WebhookView
from models import WebhookHealthCheck

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
