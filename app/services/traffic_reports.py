"""Traffic to look at: the gate and pace of one webhook, and of all of them; the pause."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.events import DeliveriesQueued, Event
from app.domain.traffic import HouseReason
from app.services.paging import Page, PageRequest, paginate
from app.services.webhooks import get_row
from models import DeliveryPause, HouseChange, TrafficChange

# `half_open` is not stored: it is a closed gate whose rest is over.
_GATE = (
    "CASE WHEN t.gate = 'closed' AND t.reopens_at <= statement_timestamp() THEN 'half_open'"
    " ELSE t.gate END"
)
_ONE = text(
    f"""
    SELECT t.webhook_id, {_GATE} AS gate, t.reason, t.reopens_at, t.changed_at, t.closings,
        t.pace_per_second, w.rate_limit_per_second, w.max_in_flight, t.failing_since,
        COALESCE(h.health_status = 'unavailable'
            AND COALESCE(t.delivered_at < h.changed_at, true), false) AS probe_holds,
        count(q.id)::int AS owed, count(q.lease_token)::int AS in_flight,
        (count(q.id) FILTER (WHERE q.probe_holds_until IS NOT NULL))::int AS probe_may_hold
    FROM pggit_traffic.webhook_traffic t
    JOIN pggit.webhooks w ON w.id = t.webhook_id
    LEFT JOIN pggit.webhook_health_metrics h ON h.webhook_id = t.webhook_id
    LEFT JOIN pggit.alert_delivery_queue q
        ON q.webhook_id = t.webhook_id AND q.status IN ('pending', 'retrying')
    WHERE t.webhook_id = :id
    GROUP BY t.webhook_id, w.id, h.webhook_id
    """  # noqa: S608 - only constants in it
)
_ALL = text(
    f"""
    SELECT count(*) FILTER (WHERE {_GATE} = 'open') AS open,
        count(*) FILTER (WHERE {_GATE} = 'closed') AS closed,
        count(*) FILTER (WHERE {_GATE} = 'half_open') AS half_open,
        count(*) FILTER (WHERE t.pace_per_second IS NOT NULL) AS paced
    FROM pggit_traffic.webhook_traffic t
    JOIN pggit.webhooks w ON w.id = t.webhook_id AND w.is_active AND w.deleted_at IS NULL
    """  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when nothing is delivered, by whose word, and why."""

    paused_at: datetime
    paused_by: str
    reason: str | None


def webhook_traffic(session: Session, webhook_id: int) -> dict[str, Any]:
    """The gate, pace and load of one webhook, by the names that the API shows."""
    get_row(session, webhook_id)
    return dict(session.execute(_ONE, {"id": webhook_id}).one()._mapping)


def traffic_history(session: Session, webhook_id: int, request: PageRequest) -> Page[TrafficChange]:
    """Every change of its gate and pace, the newest first."""
    get_row(session, webhook_id)
    return paginate(
        session,
        select(TrafficChange).where(TrafficChange.webhook_id == webhook_id),
        TrafficChange.id,
        request,
    )


def gate_counts(session: Session) -> dict[str, int]:
    """Active webhooks by their gate, and how many a pace restrains."""
    return dict(session.execute(_ALL).one()._mapping)


def current_pause(session: Session) -> Pause | None:
    row = session.scalar(select(DeliveryPause))
    return None if row is None else Pause(row.paused_at, row.paused_by, row.reason)


def pause(session: Session, by: str, reason: str | None) -> None:
    """Claim nothing more. What is in flight ends as it ends. Twice is no error: the first stays."""
    made = session.scalar(
        insert(DeliveryPause)
        .values(id=1, paused_by=by, reason=reason)
        .on_conflict_do_nothing(index_elements=[DeliveryPause.id])
        .returning(DeliveryPause.id)
    )
    if made:
        session.add(HouseChange(reason=HouseReason.PAUSED, by=by, detail=reason))


def resume(session: Session, events: list[Event], by: str) -> None:
    """Go on; twice is no error."""
    if session.scalar(delete(DeliveryPause).returning(DeliveryPause.id)):
        session.add(HouseChange(reason=HouseReason.RESUMED, by=by))
        events.append(DeliveriesQueued())


def house_history(session: Session, request: PageRequest) -> Page[HouseChange]:
    """Pauses and changes of back-pressure, the newest first."""
    return paginate(session, select(HouseChange), HouseChange.id, request)
