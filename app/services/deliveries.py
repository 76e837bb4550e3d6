"""Deliveries, to look at and to try again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from app.domain.events import Changed, DeliveriesQueued, Event
from app.domain.live import Kind
from app.domain.redrive import SkipReason, out_of_order
from app.domain.retry import DeliveryStatus, Reason
from app.errors import Conflict, NotFound
from app.services import audit
from app.services.message_order import lock_and_ask
from app.services.paging import Page, PageRequest, paginate
from models import AlertEvent, Delivery, DeliveryAttempt, DeliveryRecord, Webhook

_WAITS = "It waits for an earlier message about the same alert."
_REFUSED = {
    SkipReason.OVERTAKEN: "Its webhook has had, or is owed, later news of the same alert.",
    SkipReason.NEVER_TOLD: "It tells the end of an alert that its webhook was never told of.",
}


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as the API shows it, with every attempt, the first first."""

    row: DeliveryRecord
    alert_id: int
    event_type: str
    next_attempt_at: datetime | None
    attempts: list[DeliveryAttempt]


def list_deliveries(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[DeliveryView]:
    """`filters`: status, webhook_id, alert_id."""
    statement: Select[DeliveryRecord] = select(DeliveryRecord)
    for name in ("status", "webhook_id"):
        if name in filters:
            statement = statement.where(getattr(DeliveryRecord, name) == filters[name])
    if "status" in filters:
        # What was delivered is in the history, what was not is in the queue: so neither is read
        # for what it can't have.
        is_delivered = filters["status"] == DeliveryStatus.DELIVERED
        statement = statement.where(DeliveryRecord.is_delivered.is_(is_delivered))
    if "alert_id" in filters:
        statement = statement.where(
            DeliveryRecord.event_id.in_(
                select(AlertEvent.id).where(AlertEvent.alert_id == filters["alert_id"])
            )
        )
    page = paginate(session, statement, DeliveryRecord.id, request)
    return page.showing(views(session, page.items))


def get_delivery(session: Session, delivery_id: int) -> DeliveryView:
    row = session.get(DeliveryRecord, delivery_id)
    if row is None:
        raise NotFound("There is no such delivery.")
    return views(session, [row])[0]


def views(session: Session, rows: Sequence[DeliveryRecord]) -> list[DeliveryView]:
    attempts: dict[int, list[DeliveryAttempt]] = defaultdict(list)
    for attempt in session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id.in_([row.id for row in rows]))
        .order_by(DeliveryAttempt.id)
    ):
        attempts[attempt.delivery_id].append(attempt)
    events = {
        event_id: (alert_id, event_type)
        for event_id, alert_id, event_type in session.execute(
            select(AlertEvent.id, AlertEvent.alert_id, AlertEvent.type).where(
                AlertEvent.id.in_([row.event_id for row in rows])
            )
        )
    }
    return [
        DeliveryView(
            row,
            *events[row.event_id],
            row.next_attempt_at if _waits(row) else None,
            attempts[row.id],
        )
        for row in rows
    ]


def _waits(row: DeliveryRecord) -> bool:
    """Whether `next_attempt_at` is a time to show: not while in flight, held, or finished."""
    is_open = row.status in {DeliveryStatus.PENDING, DeliveryStatus.RETRYING}
    return is_open and not row.is_leased and row.held_behind is None


def retry_delivery(session: Session, events: list[Event], delivery_id: int) -> DeliveryView:
    """Try a delivery again now, with its whole schedule before it and the same webhook-id.

    One that waits is due at once. Raises Conflict for one that was delivered, is in flight,
    would come out of order, or whose webhook is gone or inactive.
    """
    found = session.execute(
        select(Delivery.webhook_id, Delivery.event_id).where(Delivery.id == delivery_id)
    ).one_or_none()
    if found is None:
        get_delivery(session, delivery_id)
        raise Conflict("It is delivered already.")
    ended = lock_and_ask(
        session,
        found.webhook_id,
        {delivery_id: found.event_id},
        (DeliveryStatus.FAILED, DeliveryStatus.CANCELLED),
    )
    webhook = session.get_one(Webhook, found.webhook_id)
    if ended is None or not webhook.is_active:
        raise Conflict("Its webhook is deleted or inactive.")
    row = session.get(Delivery, delivery_id, populate_existing=True)
    if row is None:
        raise Conflict("It is delivered already.")
    if row.lease_token is not None:
        raise Conflict("It is being delivered right now.")
    if row.held_behind is not None:
        raise Conflict(_WAITS)
    for one in ended:
        # That it is late, or that its alert is over, is for who asks to weigh; order is not.
        if one.behind is not None:
            raise Conflict(_WAITS)
        if (reason := out_of_order(one.candidate)) is not None:
            raise Conflict(_REFUSED[reason])
    audit.record(session, "retry", "delivery", delivery_id)
    session.execute(
        text(
            "UPDATE pggit.alert_delivery_queue SET next_attempt_at = now(), finished_at = NULL,"
            " rank_at = now() - make_interval(secs => head_start_seconds),"
            " probe_holds_until = NULL, expires_at = NULL,"
            " status = CASE WHEN status = 'pending' THEN 'pending' ELSE 'retrying' END,"
            " attempts_made = CASE WHEN status IN ('failed', 'cancelled') THEN 0"
            " ELSE attempts_made END, reason = :reason WHERE id = :id"
        ),
        {"id": delivery_id, "reason": Reason.RETRIED_BY_HAND},
    )
    events += [DeliveriesQueued(), Changed(Kind.DELIVERY, (delivery_id,))]
    return get_delivery(session, delivery_id)
