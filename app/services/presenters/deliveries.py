"""Alerts, deliveries and what is done with those that failed, as the API shows them."""

from typing import Any

from app.domain.retry import DeliveryStatus
from app.services.dead_letters import Counts, DeadLetter
from app.services.deliveries import DeliveryView
from app.services.redrive import RedriveView
from app.services.telling import alert_data
from models import Alert, DeliveryAttempt

NO_DELIVERIES = {status.value: 0 for status in DeliveryStatus}


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
        "attempts": [_attempt(one) for one in view.attempts],
    }


def _attempt(row: DeliveryAttempt) -> dict[str, Any]:
    return {
        "at": row.at,
        "http_status": row.http_status,
        "latency_ms": row.latency_ms,
        "error": row.error,
        "reason": row.reason,
        "body_excerpt": row.body_excerpt,
    }


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
