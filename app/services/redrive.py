"""Redrives: deliveries that ended without success are tried again, by a filter.

Here they are begun, looked at and cancelled; `redriving` carries them out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.events import DeliveriesQueued, Event
from app.domain.retry import DeliveryStatus, Reason
from app.errors import NotFound
from app.services.claims import end_unsuccessfully
from app.services.dead_letters import Counts, count_ended, select_ended
from app.services.deliveries import DeliveryView, views
from app.services.paging import Page, PageRequest, paginate
from models import Delivery, DeliveryRecord, Redrive, RedriveShare

SAMPLE = 10
RUNNING, FINISHED, CANCELLED = "running", "finished", "cancelled"
_MOMENTS = ("since", "until")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a redrive would try again, and the first of it."""

    counts: Counts
    sample: list[DeliveryView]


@dataclass(frozen=True, slots=True)
class RedriveView:
    """A redrive as the API shows it. `by_status` counts the deliveries that it requeued and that
    no later redrive has taken over.
    """

    row: Redrive
    shares: Sequence[RedriveShare]
    by_status: Mapping[str, int]

    @property
    def requeued(self) -> int:
        return sum(share.requeued for share in self.shares)

    @property
    def skipped(self) -> Mapping[str, int]:
        """By reason."""
        counts: Counter[str] = Counter()
        for share in self.shares:
            counts.update(share.skipped)
        return counts


def stored(filters: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as JSON."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in filters.items()
    }


def read(stored_filters: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as it was before `stored`."""
    return {
        name: datetime.fromisoformat(value) if name in _MOMENTS else value
        for name, value in stored_filters.items()
    }


def preview(session: Session, filters: Mapping[str, Any]) -> Preview:
    """Exact counts of what matches, and a sample: what has waited longest. Changes nothing."""
    first = select_ended(filters).with_only_columns(Delivery.id).order_by(Delivery.id).limit(SAMPLE)
    rows = session.scalars(
        select(DeliveryRecord).where(DeliveryRecord.id.in_(first)).order_by(DeliveryRecord.id)
    ).all()
    return Preview(count_ended(session, filters), views(session, rows))


def start(session: Session, now: datetime, filters: Mapping[str, Any], by: str) -> RedriveView:
    """Begin a redrive of what matches now. `filters` are those of `select_ended`, and
    `include_superseded`.
    """
    counts = count_ended(session, filters, ended_by=now)
    redrive = Redrive(
        filter=stored(filters),
        status=RUNNING if counts.total else FINISHED,
        total=counts.total,
        created_by=by,
        created_at=now,
        finished_at=None if counts.total else now,
    )
    session.add(redrive)
    session.flush()
    session.add_all(
        RedriveShare(redrive_id=redrive.id, webhook_id=webhook.id, total=count, due_at=now)
        for webhook, count in counts.by_webhook
    )
    session.flush()
    return get_redrive(session, redrive.id)


def get_redrive(session: Session, redrive_id: int) -> RedriveView:
    """Raises NotFound."""
    row = session.get(Redrive, redrive_id)
    if row is None:
        raise NotFound("There is no such redrive.")
    return _views(session, [row])[0]


def list_redrives(session: Session, request: PageRequest) -> Page[RedriveView]:
    page = paginate(session, select(Redrive), Redrive.id, request)
    return page.showing(_views(session, page.items))


def _views(session: Session, rows: Sequence[Redrive]) -> list[RedriveView]:
    ids = [row.id for row in rows]
    shares: dict[int, list[RedriveShare]] = {redrive_id: [] for redrive_id in ids}
    for share in session.scalars(
        select(RedriveShare)
        .where(RedriveShare.redrive_id.in_(ids))
        .order_by(RedriveShare.webhook_id)
        .execution_options(populate_existing=True)
    ):
        shares[share.redrive_id].append(share)
    by_status: dict[int, dict[str, int]] = {redrive_id: {} for redrive_id in ids}
    for redrive_id, status, count in session.execute(_BY_STATUS, {"ids": ids}):
        by_status[redrive_id][status] = count
    return [RedriveView(row, shares[row.id], by_status[row.id]) for row in rows]


def cancel_redrive(
    session: Session, now: datetime, events: list[Event], redrive_id: int
) -> RedriveView:
    """Requeue nothing more, and give up what was requeued and not yet attempted.

    That has failed again, as `redrive_cancelled`. What was attempted goes on. Twice is no error.
    Raises NotFound.
    """
    get_redrive(session, redrive_id)
    # Whoever requeues some of it right now is waited for. Shares come before their redrive, here
    # and there.
    shares = session.scalars(
        select(RedriveShare)
        .where(RedriveShare.redrive_id == redrive_id, RedriveShare.finished_at.is_(None))
        .order_by(RedriveShare.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    row = session.get_one(Redrive, redrive_id, with_for_update={"key_share": True})
    for share in shares:
        share.finished_at = now
    session.flush()
    given_up = session.scalars(_GIVE_UP, {"redrive": redrive_id} | _REASONS).all()
    end_unsuccessfully(session, given_up)
    if row.status == RUNNING or given_up:
        row.status, row.finished_at = CANCELLED, now
        session.flush()
    if given_up:
        events.append(DeliveriesQueued())
    return get_redrive(session, redrive_id)


# Not by the view of both tables: each has an index of its own for this.
_BY_STATUS = text(
    """
    SELECT redrive_id, status, count(*) FROM pggit.alert_delivery_queue
    WHERE redrive_id = ANY(:ids) GROUP BY redrive_id, status
    UNION ALL
    SELECT redrive_id, status, count(*) FROM pggit.alert_delivery_history
    WHERE redrive_id = ANY(:ids) GROUP BY redrive_id, status
    """
)
_REASONS = {
    "failed": DeliveryStatus.FAILED,
    "reason": Reason.REDRIVE_CANCELLED,
    "by_hand": Reason.RETRIED_BY_HAND,
}
_GIVE_UP = text(
    """
    WITH unsent AS MATERIALIZED (
        SELECT id FROM pggit.alert_delivery_queue
        WHERE redrive_id = :redrive AND status IN ('pending', 'retrying') AND attempts_made = 0
            AND lease_token IS NULL AND reason IS DISTINCT FROM :by_hand
        ORDER BY id FOR UPDATE
    )
    UPDATE pggit.alert_delivery_queue q
    SET status = :failed, reason = :reason, held_behind = NULL, finished_at = now()
    FROM unsent WHERE q.id = unsent.id
    RETURNING q.id
    """
)
