"""Alerts: raise, find, acknowledge, resolve. What is told is queued in the same transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.alerts import (
    HEAD_START_SECONDS,
    TRANSITIONS,
    AlertStatus,
    EventType,
    Severity,
    message_body,
)
from app.domain.events import DeliveriesQueued, Event
from app.domain.retry import Reason
from app.errors import Invalid, NotFound
from app.services.paging import Page, PageRequest, paginate
from models import Alert, AlertEvent, DeliveryRecord, Webhook

ALERT_FIELDS = (
    "id",
    "title",
    "message",
    "severity",
    "source",
    "labels",
    "dedup_key",
    "webhook_ids",
    "count",
    "status",
    "created_at",
    "updated_at",
    "acknowledged_by",
    "acknowledged_at",
    "resolved_by",
    "resolved_at",
)


@dataclass(frozen=True, slots=True)
class Draft:
    """An alert to raise. `not_to` is a webhook that must not be told: the one it is about."""

    title: str
    severity: str
    message: str | None = None
    source: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    dedup_key: str | None = None
    webhook_ids: Sequence[int] | None = None
    not_to: int | None = None


def alert_data(alert: Alert) -> dict[str, Any]:
    """An alert as the API shows it and as receivers get it."""
    return {name: getattr(alert, name) for name in ALERT_FIELDS}


def raise_alerts(
    session: Session,
    now: datetime,
    events: list[Event],
    drafts: Sequence[Draft],
    created_by: str,
    retry_schedule: Sequence[int],
) -> list[tuple[Alert, bool]]:
    """Raise alerts; for each, the alert and whether it is new (else it was open already).

    Targets must have been checked by `unknown_targets`. Alerts and deliveries are in one
    transaction: once it is committed, nothing can lose them.
    """
    raised: dict[int, tuple[Alert, bool]] = {}
    plain = [index for index, draft in enumerate(drafts) if draft.dedup_key is None]
    if plain:
        rows = session.scalars(
            insert(Alert).returning(Alert, sort_by_parameter_order=True),
            [_values(drafts[index], created_by, now) for index in plain],
        )
        raised.update({index: (row, True) for index, row in zip(plain, rows, strict=True)})
    # In the order of their keys, so that two batches with the same keys can't lock each other out.
    keyed = [index for index, draft in enumerate(drafts) if draft.dedup_key is not None]
    for index in sorted(keyed, key=lambda index: drafts[index].dedup_key or ""):
        raised[index] = _raise_deduplicated(session, drafts[index], created_by, now)
    new = [(raised[index][0], drafts[index]) for index in sorted(raised) if raised[index][1]]
    if new:
        _tell_of_firing(session, now, new, retry_schedule)
        events.append(DeliveriesQueued())
    return [raised[index] for index in range(len(drafts))]


def _values(draft: Draft, created_by: str, now: datetime) -> dict[str, Any]:
    return {
        "title": draft.title,
        "message": draft.message,
        "severity": draft.severity,
        "source": draft.source,
        "labels": dict(draft.labels),
        "dedup_key": draft.dedup_key,
        "webhook_ids": list(draft.webhook_ids) if draft.webhook_ids is not None else None,
        "about_webhook_id": draft.not_to,
        "created_by": created_by,
        "created_at": now,
        "updated_at": now,
    }


def _raise_deduplicated(
    session: Session, draft: Draft, created_by: str, now: datetime
) -> tuple[Alert, bool]:
    statement = insert(Alert).values(_values(draft, created_by, now))
    alert = session.scalars(
        statement.on_conflict_do_update(
            index_elements=[Alert.dedup_key],
            index_where=text("dedup_key IS NOT NULL AND status <> 'resolved'"),
            set_={"count": Alert.count + 1, "updated_at": now},
        ).returning(Alert),
        execution_options={"populate_existing": True},
    ).one()
    return alert, alert.count == 1


def _tell_of_firing(
    session: Session,
    now: datetime,
    alerts: Sequence[tuple[Alert, Draft]],
    retry_schedule: Sequence[int],
) -> None:
    event_ids = session.scalars(
        insert(AlertEvent).returning(AlertEvent.id, sort_by_parameter_order=True),
        [
            {
                "alert_id": alert.id,
                "type": EventType.FIRING,
                "body": message_body(EventType.FIRING, now, alert_data(alert)),
                "created_at": now,
            }
            for alert, _draft in alerts
        ],
    ).all()
    everybody: list[tuple[int, Alert, int | None]] = []
    chosen: list[tuple[int, Alert, int]] = []
    for event_id, (alert, draft) in zip(event_ids, alerts, strict=True):
        if draft.webhook_ids is None:
            everybody.append((event_id, alert, draft.not_to))
        else:
            chosen += [(event_id, alert, target) for target in dict.fromkeys(draft.webhook_ids)]
    for statement, owed in ((_QUEUE_TO_ALL, everybody), (_QUEUE_TO_CHOSEN, chosen)):
        if owed:
            session.execute(
                statement,
                {
                    "events": [event_id for event_id, _, _ in owed],
                    "webhooks": [webhook_id for _, _, webhook_id in owed],
                    "head_starts": [
                        HEAD_START_SECONDS[Severity(one.severity)] for _, one, _ in owed
                    ],
                    "expiries": [one.expires_at for _, one, _ in owed],
                    "first_delay": retry_schedule[0],
                },
            )


_QUEUE = """
    INSERT INTO pggit.alert_delivery_queue
        (event_id, webhook_id, head_start_seconds, expires_at, next_attempt_at, rank_at)
    SELECT e.id, w.id, e.head_start, e.expires_at, due.at,
        due.at - make_interval(secs => e.head_start)
    FROM unnest(CAST(:events AS bigint[]), CAST(:webhooks AS bigint[]),
        CAST(:head_starts AS int[]), CAST(:expiries AS timestamptz[])
    ) AS e (id, webhook_id, head_start, expires_at)
    JOIN pggit.webhooks w ON w.deleted_at IS NULL AND {condition}
    CROSS JOIN LATERAL (
        SELECT now() + make_interval(
            secs => COALESCE(w.retry_schedule_seconds[1], :first_delay)
        ) AS at
    ) due
    -- A webhook that is being deleted is waited for, and then is not there.
    FOR KEY SHARE OF w
"""
_QUEUE_TO_ALL = text(_QUEUE.format(condition="w.is_active AND w.id IS DISTINCT FROM e.webhook_id"))
_QUEUE_TO_CHOSEN = text(_QUEUE.format(condition="w.id = e.webhook_id"))


def unknown_targets(session: Session, webhook_ids: Iterable[int]) -> set[int]:
    """Those of the ids that are no active webhook. Holds the others in place until the commit."""
    wanted = set(webhook_ids)
    if not wanted:
        return set()
    found = session.scalars(
        select(Webhook.id)
        .where(Webhook.id.in_(wanted), Webhook.is_active.is_(True), Webhook.deleted_at.is_(None))
        .with_for_update(read=True, key_share=True)
    )
    return wanted - set(found)


def check_targets(unknown: set[int], draft: Draft) -> None:
    """Raises Invalid when a draft names a webhook of the `unknown` ones."""
    missing = sorted(unknown.intersection(draft.webhook_ids or ()))
    if missing:
        names = ", ".join(str(webhook_id) for webhook_id in missing)
        raise Invalid({"webhook_ids": [f"There is no active webhook {names}."]})


def get_alert(session: Session, alert_id: int, *, lock: bool = False) -> Alert:
    alert = session.get(Alert, alert_id, with_for_update=lock)
    if alert is None:
        raise NotFound("There is no such alert.")
    return alert


def list_alerts(session: Session, filters: Mapping[str, Any], request: PageRequest) -> Page[Alert]:
    """`filters`: status, severity, source, q (in title or message), since, until."""
    statement: Select[Alert] = select(Alert)
    for name in ("status", "severity", "source"):
        if name in filters:
            statement = statement.where(getattr(Alert, name) == filters[name])
    if "q" in filters:
        statement = statement.where(
            or_(
                Alert.title.icontains(filters["q"], autoescape=True),
                Alert.message.icontains(filters["q"], autoescape=True),
            )
        )
    if "since" in filters:
        statement = statement.where(Alert.created_at >= filters["since"])
    if "until" in filters:
        statement = statement.where(Alert.created_at < filters["until"])
    return paginate(session, statement, Alert.id, request)


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


def acknowledge(
    session: Session, now: datetime, events: list[Event], alert_id: int, by: str
) -> tuple[Alert, bool]:
    """The alert, and whether this changed it. Acknowledging twice is no error."""
    return _move(session, now, events, alert_id, AlertStatus.ACKNOWLEDGED, by)


def resolve(
    session: Session, now: datetime, events: list[Event], alert_id: int, by: str
) -> tuple[Alert, bool]:
    """The alert, and whether this changed it."""
    return _move(session, now, events, alert_id, AlertStatus.RESOLVED, by)


def _move(
    session: Session,
    now: datetime,
    events: list[Event],
    alert_id: int,
    status: AlertStatus,
    by: str,
) -> tuple[Alert, bool]:
    alert = get_alert(session, alert_id, lock=True)
    event_type, allowed_from = TRANSITIONS[status]
    if alert.status not in allowed_from:
        return alert, False
    alert.status = status
    alert.updated_at = now
    if status is AlertStatus.ACKNOWLEDGED:
        alert.acknowledged_by, alert.acknowledged_at = by, now
    else:
        alert.resolved_by, alert.resolved_at = by, now
    session.flush()
    if _tell_of_change(session, now, alert, event_type):
        events.append(DeliveriesQueued())
    return alert, True


def _tell_of_change(session: Session, now: datetime, alert: Alert, event_type: EventType) -> bool:
    """Queue the news for those who were told of the alert, behind what they are still owed.

    A webhook that has not been sent anything yet when its alert is resolved is spared both:
    the firing is cancelled as superseded. Everything still open is locked, so a worker that
    completes one meanwhile sees what is held behind it. True when anything was queued.
    """
    # The order of locks is the webhook first, then its deliveries: as a deletion takes them.
    session.execute(
        text(
            "SELECT FROM pggit.webhooks WHERE id IN ("
            " SELECT d.webhook_id FROM pggit.deliveries d"
            " JOIN pggit.alert_events e ON e.id = d.event_id WHERE e.alert_id = :alert"
            ") ORDER BY id FOR KEY SHARE"
        ),
        {"alert": alert.id},
    )
    owed = session.execute(
        text(
            "SELECT q.id, q.webhook_id, q.attempts_made"
            " FROM pggit.alert_delivery_queue q"
            " WHERE q.event_id IN (SELECT id FROM pggit.alert_events WHERE alert_id = :alert)"
            " AND q.status IN ('pending', 'retrying')"
            " ORDER BY q.id FOR UPDATE OF q"
        ),
        {"alert": alert.id},
    ).all()
    # Asked second: who was waited for above has moved to the history by now.
    told = session.scalars(
        text(
            "SELECT webhook_id FROM pggit.alert_delivery_history"
            " WHERE event_id IN (SELECT id FROM pggit.alert_events WHERE alert_id = :alert)"
        ),
        {"alert": alert.id},
    )
    # For each webhook, the message that the news waits for; None: it waits for none.
    behind: dict[int, int | None] = dict.fromkeys(sorted(told))
    superseded: list[int] = []
    for row in owed:
        if event_type is EventType.RESOLVED and row.attempts_made == 0:
            superseded.append(row.id)
        else:
            behind[row.webhook_id] = row.id
    if superseded:
        session.execute(
            text(
                "UPDATE pggit.alert_delivery_queue SET status = 'cancelled', reason = :reason,"
                " held_behind = NULL, finished_at = now() WHERE id = ANY(:ids)"
            ),
            {"ids": superseded, "reason": Reason.SUPERSEDED},
        )
    if not behind:
        return False
    event_id = session.scalar(
        insert(AlertEvent)
        .values(
            alert_id=alert.id,
            type=event_type,
            body=message_body(event_type, now, alert_data(alert)),
            created_at=now,
        )
        .returning(AlertEvent.id)
    )
    session.execute(
        text(
            "INSERT INTO pggit.alert_delivery_queue (event_id, webhook_id, head_start_seconds,"
            " next_attempt_at, rank_at, held_behind, reason)"
            " SELECT :event, w.id, :head_start,"
            " CASE WHEN t.held_behind IS NULL THEN now() END,"
            " CASE WHEN t.held_behind IS NULL THEN now() - make_interval(secs => :head_start) END,"
            " t.held_behind, CASE WHEN t.held_behind IS NULL THEN NULL ELSE :held_reason END"
            " FROM unnest(CAST(:webhooks AS bigint[]), CAST(:held AS bigint[]))"
            " AS t (webhook_id, held_behind)"
            " JOIN pggit.webhooks w ON w.id = t.webhook_id AND w.deleted_at IS NULL"
        ),
        {
            "event": event_id,
            "head_start": HEAD_START_SECONDS[Severity(alert.severity)],
            "webhooks": list(behind),
            "held": list(behind.values()),
            "held_reason": Reason.HELD_BEHIND_EARLIER,
        },
    )
    return True


def acknowledge_batch(
    session: Session, now: datetime, events: list[Event], alert_ids: Sequence[int], by: str
) -> dict[str, list[int]]:
    """`acknowledged`, `already` (acknowledged or resolved before) and `not_found`, as ids."""
    answer: dict[str, list[int]] = {"acknowledged": [], "already": [], "not_found": []}
    wanted = sorted(set(alert_ids))
    there = set(session.scalars(select(Alert.id).where(Alert.id.in_(wanted))))
    for alert_id in wanted:
        if alert_id not in there:
            answer["not_found"].append(alert_id)
            continue
        _alert, changed = acknowledge(session, now, events, alert_id, by)
        answer["acknowledged" if changed else "already"].append(alert_id)
    return answer
