"""From what services return to what schemas show."""

from typing import Any

from app.domain.retry import DeliveryStatus
from app.services.deliveries import DeliveryView
from app.services.silences import SilenceView
from app.services.telling import alert_data
from app.services.webhooks import WebhookView
from models import Alert

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
        "health_check": {
            "method": row.check_method,
            "expected_status": row.check_expected_status,
            "max_latency_ms": row.check_max_latency_ms,
            "failure_threshold": row.check_failure_threshold,
            "recovery_threshold": row.check_recovery_threshold,
        },
        "max_in_flight": row.max_in_flight,
        "rate_limit_per_second": row.rate_limit_per_second,
        "health_status": view.health_status,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
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
