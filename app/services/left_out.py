"""What the baseline of an operation must not learn from, as the tables tell."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from app.domain.left_out import (
    LONGEST_TROUBLE,
    MARGIN,
    Reason,
    Window,
    carried_over,
    is_about,
    quiet,
    trouble,
)
from app.services.routing import silence_of_row
from models import BaselineVersion, Silence

# Alerts, silences and incidents are kept for 30 days (see retention.py). What they explained in a
# longer window is known from the baseline before.
TOLD_FOR = timedelta(days=29)

_TROUBLE = text(
    """
    SELECT 'alert', id, created_at, resolved_at FROM pggit.alerts
    WHERE labels ? 'operation' AND labels ->> 'operation' = :operation
        AND created_at >= :since AND created_at < :until
    UNION ALL
    -- Also those that were too old to tell of; not what was only a little odd.
    SELECT 'anomaly', id, started_at, ended_at FROM pggit_analytics.anomalies
    WHERE operation = :operation AND severity <> 'info'
        AND started_at >= :since AND started_at < :until
    UNION ALL
    SELECT 'incident', incident_id, off_since, back_at FROM pggit_analytics.incident_members
    WHERE operation = :operation AND off_since >= :since AND off_since < :until
    """
)


def windows_of(session: Session, operation: str, since: datetime, until: datetime) -> list[Window]:
    """All that touches the time from `since` to `until`, which is now; in no order."""
    horizon = until - TOLD_FOR
    found = [
        *_troubles(session, operation, since, until),
        *_quiet_times(session, operation, since, until),
    ]
    if since < horizon:
        found += carried_over(_former(session, operation), since, horizon)
    return [one for one in found if one.until > since and one.since < until]


def _troubles(
    session: Session, operation: str, since: datetime, until: datetime
) -> Iterable[Window]:
    earliest = since - LONGEST_TROUBLE - MARGIN
    rows = session.execute(_TROUBLE, {"operation": operation, "since": earliest, "until": until})
    return [
        trouble(Reason(reason), its_id, began, ended, until)
        for reason, its_id, began, ended in rows
    ]


def _quiet_times(
    session: Session, operation: str, since: datetime, until: datetime
) -> Iterable[Window]:
    rows = session.scalars(
        select(Silence).where(
            Silence.starts_at < until, or_(Silence.ends_at.is_(None), Silence.ends_at > since)
        )
    )
    silences = map(silence_of_row, rows)
    return [
        window
        for silence in silences
        if is_about(silence, operation)
        for window in quiet(silence, since, until)
    ]


def _former(session: Session, operation: str) -> Iterable[Window]:
    """What the newest version left out."""
    stored = session.scalar(
        select(BaselineVersion.left_out)
        .where(BaselineVersion.operation == operation)
        .order_by(BaselineVersion.version.desc())
        .limit(1)
    )
    return [_window_of(one) for one in stored or ()]


def _window_of(stored: Mapping[str, Any]) -> Window:
    return Window(
        datetime.fromisoformat(stored["since"]),
        datetime.fromisoformat(stored["until"]),
        Reason(stored["reason"]),
        stored["id"],
    )


def stored_window(window: Window) -> dict[str, Any]:
    return {
        "since": window.since.isoformat(),
        "until": window.until.isoformat(),
        "reason": window.reason,
        "id": window.id,
    }
