"""A webhook's health over time: percentiles, uptime, history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.services.paging import Page, PageRequest, paginate
from app.services.webhooks import get_row
from models import WebhookHealth, WebhookHealthCheck

_WINDOWS = text(
    """
    SELECT
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms)
            FILTER (WHERE outcome <> 'failed' AND checked_at > now() - interval '24 hours'),
        avg((outcome <> 'failed')::int) FILTER (WHERE checked_at > now() - interval '24 hours'),
        avg((outcome <> 'failed')::int) FILTER (WHERE checked_at > now() - interval '7 days'),
        avg((outcome <> 'failed')::int)
    FROM pggit.webhook_health_checks
    WHERE webhook_id = :id AND checked_at > now() - interval '30 days'
    """
)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A webhook's health, with latencies in ms over 24 h and uptimes as parts of one."""

    row: WebhookHealth
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    uptime_24h: float | None
    uptime_7d: float | None
    uptime_30d: float | None


def health_report(session: Session, webhook_id: int) -> HealthReport:
    get_row(session, webhook_id)
    row = session.get_one(WebhookHealth, webhook_id)
    latencies, day, week, month = session.execute(_WINDOWS, {"id": webhook_id}).one()
    p50, p95, p99 = latencies or (None, None, None)
    return HealthReport(
        row, p50, p95, p99, *(None if part is None else float(part) for part in (day, week, month))
    )


def health_history(
    session: Session, webhook_id: int, filters: Mapping[str, Any], request: PageRequest
) -> Page[WebhookHealthCheck]:
    """`filters`: since, until."""
    get_row(session, webhook_id)
    statement = select(WebhookHealthCheck).where(WebhookHealthCheck.webhook_id == webhook_id)
    if "since" in filters:
        statement = statement.where(WebhookHealthCheck.checked_at >= filters["since"])
    if "until" in filters:
        statement = statement.where(WebhookHealthCheck.checked_at < filters["until"])
    return paginate(session, statement, WebhookHealthCheck.id, request)


def count_by_status(session: Session) -> dict[str, int]:
    """Active webhooks by health status."""
    rows = session.execute(
        select(WebhookHealth.health_status, func.count())
        .where(
            text(
                "EXISTS (SELECT FROM pggit.webhooks w WHERE w.id = webhook_id"
                " AND w.is_active AND w.deleted_at IS NULL)"
            )
        )
        .group_by(WebhookHealth.health_status)
    )
    return dict(rows.all())
