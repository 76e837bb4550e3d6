"""Firings that wait in the queue, moved to another time. News of groups waits in its groups."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import Alert

_FIRINGS = (
    "status IN ('pending', 'retrying') AND event_id IN (SELECT id FROM pggit.alert_events"
    " WHERE alert_id = :alert AND group_id IS NULL AND type = 'alert.firing')"
)
# Rows are locked by their ids, as all do who are after several of them. What is in flight or waits
# its turn behind another is not moved.
_MOVE = """
    WITH movable AS MATERIALIZED (
        SELECT id FROM pggit.alert_delivery_queue
        WHERE {firings} AND {condition} AND lease_token IS NULL AND held_behind IS NULL
        ORDER BY id FOR UPDATE
    )
    UPDATE pggit.alert_delivery_queue q
    SET next_attempt_at = due.at, rank_at = due.at - make_interval(secs => q.head_start_seconds)
    FROM movable CROSS JOIN LATERAL (SELECT {due} AS at) due
    WHERE q.id = movable.id
"""
_PUT_OFF = text(
    _MOVE.format(
        firings=_FIRINGS,
        condition="next_attempt_at < :until",
        due="CAST(:until AS timestamptz)",
    )
)
_END_POSTPONEMENT = text(
    _MOVE.format(firings=_FIRINGS, condition="next_attempt_at = :until", due="now()")
)
_PROLONG = text(
    f"""
    WITH mine AS MATERIALIZED (
        SELECT id FROM pggit.alert_delivery_queue
        WHERE {_FIRINGS} AND expires_at IS NOT NULL ORDER BY id FOR UPDATE
    )
    UPDATE pggit.alert_delivery_queue q SET expires_at = :expires_at
    FROM mine WHERE q.id = mine.id
    """  # noqa: S608 - only constants in it
)


def put_off(session: Session, alert_id: int, until: datetime) -> None:
    """Firings that have not left are not due before `until`."""
    session.execute(_PUT_OFF, {"alert": alert_id, "until": until})


def end_postponement(session: Session, alert_id: int, until: datetime) -> None:
    """Firings that were put off until then are due now."""
    session.execute(_END_POSTPONEMENT, {"alert": alert_id, "until": until})


def prolong(session: Session, alert: Alert) -> None:
    """Firings that have not left may be told for as long as the alert lives now."""
    session.execute(_PROLONG, {"alert": alert.id, "expires_at": alert.expires_at})
