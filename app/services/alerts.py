"""Alerts, to look at."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from models import Alert, AlertEvent, DeliveryRecord


def get_alert(session: Session, alert_id: int, *, lock: bool = False) -> Alert:
    """Raises NotFound. The lock lets others insert rows that refer to the alert: who tells of its
    group does so while it holds the group, for which whoever has the alert may wait.
    """
    alert = session.get(Alert, alert_id, with_for_update={"key_share": True} if lock else None)
    if alert is None:
        raise NotFound("There is no such alert.")
    return alert


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
