"""Carrying redrives out: a share at a time, so much of it as its webhook has room for.

Each step is one transaction, of the deliveries and of how far the share is: who is killed in it
has done nothing, and whoever comes next goes on from there.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.events import DeliveriesQueued, Event
from app.domain.redrive import (
    WINDOW_PER_IN_FLIGHT,
    Load,
    SkipReason,
    most_undelivered,
    room,
    why_skip,
)
from app.domain.retry import DeliveryStatus, Reason
from app.services.dead_letters import FAILED_ONLY, select_ended
from app.services.message_order import lock_and_ask
from app.services.redrive import FINISHED, RUNNING, read
from models import Delivery, Redrive, RedriveShare

LOOK_AGAIN = timedelta(seconds=1)
# Of what is looked at some is skipped. More than this is locked in vain when there is little room.
LEAST_SCANNED = 100

_LOAD = text(
    f"""
    SELECT w.deleted_at IS NOT NULL AS is_deleted, w.is_active, w.max_in_flight,
        LEAST(w.rate_limit_per_second, t.pace_per_second) AS per_second,
        t.gate = 'closed' AS gate_is_closed,
        -- As many as can matter: the window is no larger. What a red probe may hold stands in
        -- nobody's way.
        (SELECT count(*) FROM (SELECT FROM pggit.alert_delivery_queue q
            WHERE q.webhook_id = w.id AND q.status IN ('pending', 'retrying')
                AND q.probe_holds_until IS NULL AND q.rank_at <= now()
                AND (q.next_attempt_at <= now() OR q.lease_token IS NOT NULL)
            LIMIT w.max_in_flight * {WINDOW_PER_IN_FLIGHT}) AS due) AS due,
        (SELECT count(*) FROM pggit.alert_delivery_queue q WHERE q.redrive_id = :redrive
            AND q.webhook_id = w.id AND q.status IN ('pending', 'retrying')) AS redriven,
        (SELECT count(*) FROM (SELECT FROM pggit.alert_delivery_queue
            WHERE status IN ('pending', 'retrying') LIMIT :most) AS open) AS undelivered
    FROM pggit.webhooks w JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id
    WHERE w.id = :webhook
    """  # noqa: S608 - only constants in it
)
# Without a head start: ranked behind all that is due as long and is news.
_REQUEUE = text(
    """
    UPDATE pggit.alert_delivery_queue q
    SET status = :status, redrive_id = :redrive, attempts_made = 0, head_start_seconds = 0,
        reason = CASE WHEN t.behind IS NULL THEN :redriven ELSE :held END,
        held_behind = t.behind, next_attempt_at = due.at, rank_at = due.at,
        probe_holds_until = NULL, finished_at = NULL
    FROM unnest(CAST(:ids AS bigint[]), CAST(:behind AS bigint[]),
        CAST(:not_before AS timestamptz[])) AS t (id, behind, not_before)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN t.behind IS NULL THEN GREATEST(now(), t.not_before) END AS at
    ) due
    WHERE q.id = t.id
    """
)


@dataclass
class _Plan:
    """What is to be done with some candidates: a start of them, when there is not room for all."""

    requeue: list[tuple[int, int | None, datetime | None]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    after_id: int = 0
    is_whole: bool = True


def due_shares(session: Session, limit: int) -> Sequence[int]:
    """The ids of shares that are to be looked at, the longest due first."""
    return session.scalars(
        text(
            "SELECT id FROM pggit.redrive_shares WHERE finished_at IS NULL AND due_at <= now()"
            " ORDER BY due_at LIMIT :limit"
        ),
        {"limit": limit},
    ).all()


def advance(
    session: Session, now: datetime, events: list[Event], share_id: int, queue_limit: int
) -> int:
    """Requeue what a share's webhook has room for, unless somebody does right now: how many."""
    share = session.scalars(
        select(RedriveShare)
        .where(RedriveShare.id == share_id, RedriveShare.finished_at.is_(None))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if share is None:
        return 0
    redrive = session.get_one(Redrive, share.redrive_id)
    load = session.execute(
        _LOAD,
        {
            "redrive": redrive.id,
            "webhook": share.webhook_id,
            "most": most_undelivered(queue_limit),
        },
    ).one_or_none()
    if load is None or load.is_deleted or not load.is_active:
        gone = load is None or load.is_deleted
        reason = SkipReason.WEBHOOK_DELETED if gone else SkipReason.WEBHOOK_INACTIVE
        _finish(session, now, share, redrive.id, reason)
        return 0
    share.due_at = now + LOOK_AGAIN
    free = room(
        Load(
            max_in_flight=load.max_in_flight,
            per_second=load.per_second,
            gate_is_closed=load.gate_is_closed,
            due=load.due,
            redriven=load.redriven,
            undelivered=load.undelivered,
        ),
        queue_limit,
    )
    if not free:
        return 0
    filters = read(redrive.filter)
    limit = max(2 * free, LEAST_SCANNED)
    candidates = _candidates(session, redrive, share, filters, limit)
    plan = _plan(session, redrive, share, filters, candidates, free) if candidates else _Plan()
    if plan is None:
        return 0
    if plan.requeue:
        _requeue(session, redrive.id, plan)
        events.append(DeliveriesQueued())
    share.requeued += len(plan.requeue)
    share.skipped = dict(Counter(share.skipped) + plan.skipped)
    share.after_id = max(share.after_id, plan.after_id)
    if plan.is_whole:
        share.due_at = now
        if len(candidates) < limit:
            _finish(session, now, share, redrive.id, SkipReason.CHANGED_MEANWHILE)
    return len(plan.requeue)


def _candidates(
    session: Session, redrive: Redrive, share: RedriveShare, filters: dict[str, Any], limit: int
) -> Sequence[Any]:
    """The next that match, as (id, event_id)."""
    mine = filters | {"webhook_id": [share.webhook_id]}
    return session.execute(
        select_ended(mine, ended_by=redrive.created_at)
        .with_only_columns(Delivery.id, Delivery.event_id)
        .where(Delivery.id > share.after_id)
        .order_by(Delivery.id)
        .limit(limit)
    ).all()


def _plan(
    session: Session,
    redrive: Redrive,
    share: RedriveShare,
    filters: dict[str, Any],
    candidates: Sequence[Any],
    free: int,
) -> _Plan | None:
    """Lock the candidates and all that they depend on, and decide. None when the webhook was
    deleted meanwhile.
    """
    facts = lock_and_ask(
        session,
        share.webhook_id,
        {one.id: one.event_id for one in candidates},
        filters.get("status", FAILED_ONLY),
        redrive.created_at,
    )
    if facts is None:
        return None
    plan = _Plan(after_id=candidates[-1].id)
    last = share.after_id
    for one in facts:
        reason = why_skip(
            one.candidate, include_superseded=filters.get("include_superseded", False)
        )
        if reason is not None:
            plan.skipped[reason] += 1
        elif len(plan.requeue) == free:
            plan.after_id, plan.is_whole = last, False
            break
        else:
            plan.requeue.append((one.delivery_id, one.behind, one.not_before))
            one.goes_out()
        last = one.delivery_id
    return plan


def _requeue(session: Session, redrive_id: int, plan: _Plan) -> None:
    ids, behind, not_before = zip(*plan.requeue, strict=True)
    session.execute(
        _REQUEUE,
        {
            "ids": list(ids),
            "behind": list(behind),
            "not_before": list(not_before),
            "redrive": redrive_id,
            "status": DeliveryStatus.RETRYING,
            "redriven": Reason.REDRIVEN,
            "held": Reason.HELD_BEHIND_EARLIER,
        },
    )


def _finish(
    session: Session, now: datetime, share: RedriveShare, redrive_id: int, rest: SkipReason
) -> None:
    """The end of a share: all that is not accounted for was skipped, for the one reason `rest`."""
    left = share.total - share.requeued - sum(share.skipped.values())
    if left > 0:
        share.skipped = dict(Counter(share.skipped) + Counter({rest: left}))
    share.finished_at = now
    session.flush()
    # Who finishes another share of it at the same time waits here, and then sees this one finished.
    redrive = session.get_one(
        Redrive, redrive_id, with_for_update={"key_share": True}, populate_existing=True
    )
    unfinished = select(RedriveShare.id).where(
        RedriveShare.redrive_id == redrive_id, RedriveShare.finished_at.is_(None)
    )
    if redrive.status == RUNNING and session.scalar(unfinished.limit(1)) is None:
        redrive.status, redrive.finished_at = FINISHED, now
    session.flush()
