"""Dead letters: deliveries that ended without success. They stay in the queue's table, out of the
claim's indexes, until their alert is purged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, literal_column, select, text
from sqlalchemy.orm import Session

from app.domain.retry import DeliveryStatus
from app.services.paging import Page, PageRequest, paginate
from models import Alert, AlertEvent, Delivery, DeliveryAttempt, Webhook

FAILED_ONLY = (DeliveryStatus.FAILED,)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that failed, with what one wants to know of it at a glance."""

    row: Delivery
    event_type: str
    alert: Alert
    webhook: Webhook
    last_attempt: DeliveryAttempt | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are. `by_webhook` are (webhook, count), `by_reason` (reason, count); the most
    first.
    """

    total: int
    by_webhook: list[tuple[Webhook, int]]
    by_reason: list[tuple[str | None, int]]


def select_ended(
    filters: Mapping[str, Any], ended_by: datetime | None = None
) -> "Select[Delivery]":
    """Deliveries that ended without success.

    `filters`: status (failed if left out, cancelled), webhook_id, alert_id, reason, severity and
    type, each a list of which one must fit; since and until, of the end. `ended_by` leaves out
    what ended later.
    """
    # As constants: the planner takes the index of what failed only if it sees that we mean that.
    wanted: list[Any] = [literal_column(f"'{one}'") for one in filters.get("status", FAILED_ONLY)]
    statement = select(Delivery).where(
        Delivery.status == wanted[0] if len(wanted) == 1 else Delivery.status.in_(wanted)
    )
    for name in ("webhook_id", "reason"):
        if name in filters:
            statement = statement.where(getattr(Delivery, name).in_(filters[name]))
    of_event = {"alert_id": AlertEvent.alert_id, "type": AlertEvent.type}
    if of_event.keys() & filters.keys() or "severity" in filters:
        statement = statement.join(AlertEvent, AlertEvent.id == Delivery.event_id)
    for name, column in of_event.items():
        if name in filters:
            statement = statement.where(column.in_(filters[name]))
    if "severity" in filters:
        statement = statement.join(Alert, Alert.id == AlertEvent.alert_id).where(
            Alert.severity.in_(filters["severity"])
        )
    if "since" in filters:
        statement = statement.where(Delivery.finished_at >= filters["since"])
    if "until" in filters:
        statement = statement.where(Delivery.finished_at < filters["until"])
    if ended_by is not None:
        statement = statement.where(Delivery.finished_at <= ended_by)
    return statement


def list_dead_letters(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[DeadLetter]:
    """What failed, the newest first."""
    page = paginate(session, select_ended(filters), Delivery.id, request)
    return page.showing(_dead_letters(session, page.items))


def _dead_letters(session: Session, rows: Sequence[Delivery]) -> list[DeadLetter]:
    events = {
        event.id: (event.type, alert)
        for event, alert in session.execute(
            select(AlertEvent, Alert)
            .join(Alert, Alert.id == AlertEvent.alert_id)
            .where(AlertEvent.id.in_([row.event_id for row in rows]))
        )
    }
    webhooks = {
        webhook.id: webhook
        for webhook in session.scalars(
            select(Webhook).where(Webhook.id.in_([row.webhook_id for row in rows]))
        )
    }
    last = {
        attempt.delivery_id: attempt
        for attempt in session.scalars(
            select(DeliveryAttempt)
            .where(DeliveryAttempt.delivery_id.in_([row.id for row in rows]))
            .distinct(DeliveryAttempt.delivery_id)
            .order_by(DeliveryAttempt.delivery_id, DeliveryAttempt.id.desc())
        )
    }
    return [
        DeadLetter(row, *events[row.event_id], webhooks[row.webhook_id], last.get(row.id))
        for row in rows
    ]


def count_ended(
    session: Session, filters: Mapping[str, Any], ended_by: datetime | None = None
) -> Counts:
    """Exactly how many match, by webhook and by reason, in one reading."""
    matching = select_ended(filters, ended_by).with_only_columns(
        Delivery.webhook_id, Delivery.reason
    )
    found = matching.subquery()
    webhook_id, reason, number = found.c.webhook_id, found.c.reason, func.count().label("number")
    # Its bits say which columns a row was not grouped by: 1 the reason, 2 the webhook.
    kind = func.grouping(webhook_id, reason).label("kind")
    rows = session.execute(
        select(kind, webhook_id, reason, number)
        .group_by(func.grouping_sets(webhook_id, reason, text("()")))
        .order_by(number.desc(), webhook_id, reason)
    ).all()
    by_webhook = {row.webhook_id: row.number for row in rows if row.kind == 1}
    known = session.scalars(select(Webhook).where(Webhook.id.in_(by_webhook)))
    webhooks = {webhook.id: webhook for webhook in known}
    return Counts(
        total=next(row.number for row in rows if row.kind == 3),
        by_webhook=[(webhooks[one], number) for one, number in by_webhook.items()],
        by_reason=[(row.reason, row.number) for row in rows if row.kind == 2],
    )
