"""The figures of a webhook at present, from its rollups, or why there are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.check_rollups import bucket_of
from app.domain.health import HealthStatus
from app.domain.risk import NoPrediction
from app.domain.risk_features import HOUR_SECONDS, WEEK_HOURS, Present, features_of, history_of
from app.services.health_rollups import check_rollups

_SUBJECTS = """
    SELECT w.id, w.is_active, h.health_status, h.blocked_by, h.consecutive_failures,
        extract(epoch FROM now() - t.failing_since)::float8 / 3600 AS deliveries_failing_hours
    FROM pggit.webhooks w
    JOIN pggit.webhook_health_metrics h ON h.webhook_id = w.id
    LEFT JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id
"""
_ONE = text(f"{_SUBJECTS} WHERE w.id = :id")
# Those of which nothing can be said are no candidates: no run looks at them again and again.
_TO_PREDICT = text(
    f"""
    {_SUBJECTS}
    WHERE w.is_active AND w.deleted_at IS NULL AND w.id > :after
        AND h.health_status <> '{HealthStatus.UNAVAILABLE}' AND h.blocked_by IS NULL
        AND NOT EXISTS (
            SELECT FROM pggit_ml.predictions p WHERE p.webhook_id = w.id AND p.as_of = :as_of
        )
    ORDER BY w.id LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A webhook to predict, and what is known of it at this moment."""

    webhook_id: int
    present: Present
    standing: NoPrediction | None


def subject(session: Session, webhook_id: int) -> Subject:
    return _subject_of(session.execute(_ONE, {"id": webhook_id}).one())


def subjects_to_predict(
    session: Session, as_of: datetime, after: int, limit: int
) -> Sequence[Subject]:
    """The next webhooks that can be predicted and were not for this hour, by id."""
    found = session.execute(_TO_PREDICT, {"as_of": as_of, "after": after, "limit": limit})
    return [_subject_of(row) for row in found]


def _subject_of(row: Any) -> Subject:
    present = Present(row.consecutive_failures, max(row.deliveries_failing_hours or 0.0, 0.0))
    if not row.is_active:
        standing = NoPrediction.INACTIVE
    elif row.blocked_by is not None:
        standing = NoPrediction.BLOCKED
    elif row.health_status == HealthStatus.UNAVAILABLE:
        standing = NoPrediction.UNAVAILABLE_ALREADY
    else:
        standing = None
    return Subject(row.id, present, standing)


def hour_of(moment: datetime) -> datetime:
    """Where the hour that runs began: what was before it is over, and is looked at."""
    return bucket_of(moment, HOUR_SECONDS)


def figures(session: Session, of: Subject, as_of: datetime) -> list[float] | NoPrediction:
    """The webhook's features at the beginning of an hour, or why there are none."""
    if of.standing is not None:
        return of.standing
    since = as_of - timedelta(hours=WEEK_HOURS)
    history = history_of(check_rollups(session, of.webhook_id, HOUR_SECONDS, since, as_of))
    rows, (gap,) = features_of(history, [as_of.timestamp()], [of.present])
    return [float(one) for one in rows[0]] if gap is None else NoPrediction(gap)
