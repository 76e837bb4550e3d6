"""Alerts, to look at."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.services.paging import Page, PageRequest, paginate
from models import Alert, AlertEvent, DeliveryRecord


def get_alert(session: Session, alert_id: int, *, lock: bool = False) -> Alert:
    """Raises NotFound. The lock lets others insert rows that refer to the alert: who tells of its
    group does so while it holds the group, for which whoever has the alert may wait.
    """
    alert = session.get(Alert, alert_id, with_for_update={"key_share": True} if lock else None)
    if alert is None:
        raise NotFound("There is no such alert.")
    return alert


def list_alerts(session: Session, filters: Mapping[str, Any], request: PageRequest) -> Page[Alert]:
    """`filters`: status, severity, source, q (in title or message), since, until."""
    statement: Select[Alert] = select(Alert)
    for name in ("status", "severity", "source"):
        if name in filters:
            statement = statement.where(getattr(Alert, name) == filters[name])
    if "q" in filters:
        statement = statement.where(
            or_(
                Alert.title.icontains(filters["q"], autoescape=True),
                Alert.message.icontains(filters["q"], autoescape=True),
            )
        )
    if "since" in filters:
        statement = statement.where(Alert.created_at >= filters["since"])
    if "until" in filters:
        statement = statement.where(Alert.created_at < filters["until"])
    return paginate(session, statement, Alert.id, request)


def delivery_counts(session: Session, alert_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """For each alert, its deliveries by status; statuses with none are left out."""
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    rows = session.execute(
        select(AlertEvent.alert_id, DeliveryRecord.status, func.count())
        .join(DeliveryRecord, DeliveryRecord.event_id == AlertEvent.id)
        .where(AlertEvent.alert_id.in_(alert_ids))
        .group_by(AlertEvent.alert_id, DeliveryRecord.status)
    )
    for alert_id, status, count in rows:
        counts[alert_id][status] = count
    return counts
