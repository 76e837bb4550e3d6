"""Carrying redrives out: a share at a time, so much of it as its webhook has room for.

Each step is one transaction, of the deliveries and of how far the share is: who is killed in it
has done nothing, and whoever comes next goes on from there.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.alerts import AlertStatus, EventType
from app.domain.events import DeliveriesQueued, Event
from app.domain.redrive import (
    WINDOW_PER_IN_FLIGHT,
    Candidate,
    Load,
    SkipReason,
    most_undelivered,
    room,
    why_skip,
)
from app.domain.retry import DeliveryStatus, Reason
from app.services.dead_letters import FAILED_ONLY, select_ended
from app.services.redrive import FINISHED, RUNNING, read
from app.services.retention import KEEP
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
# The order of locks is that of all who touch alerts. Who acknowledges or resolves one waits, or is
# waited for; who only counts one up does not.
_LOCK_ALERTS = text(
    """
    SELECT FROM pggit.alerts WHERE id IN (
        SELECT alert_id FROM pggit.alert_events WHERE id = ANY(:events)
        UNION SELECT alert_id FROM pggit.alert_group_news WHERE event_id = ANY(:events)
    ) ORDER BY id FOR SHARE
    """
)
_LOCK_WEBHOOK = text(
    "SELECT FROM pggit.webhooks WHERE id = :webhook AND deleted_at IS NULL FOR KEY SHARE"
)
# Besides the deliveries themselves what is open of the same alerts and groups: a worker that
# completes one of these sees what is held behind it.
_LOCK_DELIVERIES = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT DISTINCT alert_id, group_id FROM pggit.alert_events WHERE id = ANY(:events)
    ), related AS MATERIALIZED (
        SELECT e.id FROM mine JOIN pggit.alert_events e ON e.alert_id = mine.alert_id
        WHERE mine.group_id IS NULL AND e.group_id IS NULL
        UNION
        SELECT e.id FROM mine JOIN pggit.alert_events e ON e.group_id = mine.group_id
    ), wanted AS MATERIALIZED (
        SELECT unnest(CAST(:ids AS bigint[])) AS id
        UNION
        SELECT q.id FROM related JOIN pggit.alert_delivery_queue q ON q.event_id = related.id
        WHERE q.webhook_id = :webhook AND q.status IN ('pending', 'retrying')
    )
    SELECT q.id, q.event_id, q.status, e.alert_id, e.group_id
    FROM wanted JOIN pggit.alert_delivery_queue q ON q.id = wanted.id
    JOIN pggit.alert_events e ON e.id = q.event_id
    ORDER BY q.id FOR UPDATE OF q
    """
)
_FACTS = text(
    """
    SELECT q.id, e.id AS event_id, e.type, e.alert_id, e.group_id,
        e.follow_up_id IS NOT NULL AS is_follow_up,
        COALESCE(q.expires_at <= now(), false) AS is_expired,
        -- The purge decides by a snapshot: what it may be looking at now is left to it.
        a.created_at <= now() - CAST(:kept AS interval) + interval '1 hour' AS is_past_retention,
        CASE WHEN e.type = :firing AND e.group_id IS NULL THEN a.snoozed_until END AS not_before,
        COALESCE((
            SELECT array_agg(DISTINCT m.status) FROM pggit.alert_group_news n
            JOIN pggit.alerts m ON m.id = n.alert_id WHERE n.event_id = e.id
        ), ARRAY[a.status]) AS alert_statuses,
        e.group_id IS NULL AND EXISTS (
            SELECT FROM pggit.alert_events later
            JOIN pggit.alert_delivery_history h ON h.event_id = later.id
            WHERE later.alert_id = e.alert_id AND later.group_id IS NULL AND later.id > e.id
                AND h.webhook_id = q.webhook_id
        ) AS is_overtaken,
        CASE WHEN e.group_id IS NULL THEN EXISTS (
            SELECT FROM pggit.alert_events told
            JOIN pggit.alert_delivery_history h ON h.event_id = told.id
            WHERE told.alert_id = e.alert_id AND told.group_id IS NULL AND told.type = :firing
                AND h.webhook_id = q.webhook_id
        ) ELSE EXISTS (
            SELECT FROM pggit.alert_events told
            JOIN pggit.alert_delivery_history h ON h.event_id = told.id
            WHERE told.group_id = e.group_id AND told.type = :firing
                AND h.webhook_id = q.webhook_id
        ) END AS was_told
    FROM pggit.alert_delivery_queue q
    JOIN pggit.alert_events e ON e.id = q.event_id
    JOIN pggit.alerts a ON a.id = e.alert_id
    WHERE q.id = ANY(:ids) AND q.status = ANY(:statuses) AND q.finished_at <= :ended_by
    ORDER BY q.id
    """
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
    ids = [one.id for one in candidates]
    events = {"events": [one.event_id for one in candidates]}
    session.execute(_LOCK_ALERTS, events)
    if session.execute(_LOCK_WEBHOOK, {"webhook": share.webhook_id}).one_or_none() is None:
        return None
    locked = session.execute(_LOCK_DELIVERIES, events | {"ids": ids, "webhook": share.webhook_id})
    # For each thread, what is open of it: (id, event_id).
    open_of: dict[tuple[int | None, int], list[tuple[int, int]]] = defaultdict(list)
    for row in locked:
        if row.status in {DeliveryStatus.PENDING, DeliveryStatus.RETRYING}:
            open_of[_thread(row)].append((row.id, row.event_id))
    plan = _Plan(after_id=ids[-1])
    last = share.after_id
    for row in session.execute(
        _FACTS,
        {
            "ids": ids,
            "statuses": filters.get("status", list(FAILED_ONLY)),
            "ended_by": redrive.created_at,
            "kept": KEEP["alerts"],
            "firing": EventType.FIRING,
        },
    ):
        others = open_of[_thread(row)]
        behind = max((one for one, event in others if event < row.event_id), default=None)
        candidate = Candidate(
            event_type=EventType(row.type),
            is_follow_up=row.is_follow_up,
            alert_statuses=frozenset(AlertStatus(one) for one in row.alert_statuses),
            is_expired=row.is_expired,
            is_past_retention=row.is_past_retention,
            is_overtaken=row.is_overtaken
            or (row.group_id is None and any(event > row.event_id for _, event in others)),
            was_told=row.was_told or behind is not None,
        )
        reason = why_skip(candidate, include_superseded=filters.get("include_superseded", False))
        if reason is not None:
            plan.skipped[reason] += 1
        elif len(plan.requeue) == free:
            plan.after_id, plan.is_whole = last, False
            break
        else:
            plan.requeue.append((row.id, behind, row.not_before))
            others.append((row.id, row.event_id))
        last = row.id
    return plan


def _thread(row: Any) -> tuple[int | None, int]:
    """Messages that must stay in order: those of one alert, or of one group."""
    return (None, row.alert_id) if row.group_id is None else (row.group_id, 0)


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
