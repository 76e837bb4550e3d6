"""The alert that is sent in every benchmark, and the message that it becomes."""

from datetime import UTC, datetime

from app.domain.alerts import EventType, message_body
from app.services.raising import Draft


def draft(number: int, webhook_id: int) -> Draft:
    return Draft(
        title=f"Disk almost full on db-{number:06}",
        severity="critical",
        message="91 % of /var/lib/postgresql is used, and it grows by 2 % an hour.",
        source="benchmark",
        labels={"host": f"db-{number:06}", "service": "billing", "region": "eu-central-1"},
        webhook_ids=[webhook_id],
    )


def sample_body(number: int) -> str:
    """What Tocsin sends for `draft`, to the same length."""
    alert, now = draft(number, 1), datetime.now(UTC)
    data = {
        "id": number,
        "title": alert.title,
        "message": alert.message,
        "severity": alert.severity,
        "source": alert.source,
        "labels": alert.labels,
        "dedup_key": None,
        "webhook_ids": alert.webhook_ids,
        "count": 1,
        "status": "pending",
        "created_at": now,
        "updated_at": now,
        "acknowledged_by": None,
        "acknowledged_at": None,
        "resolved_by": None,
        "resolved_at": None,
    }
    return message_body(EventType.FIRING, now, data)
