"""Telling: from news of an alert to messages in the queue, in the transaction of the news.

The order of locks, for all who touch an alert: its row, its groups by id, webhooks by id,
deliveries by id.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.alerts import HEAD_START_SECONDS, EventType, Severity, message_body
from app.domain.retry import Reason
from models import Alert, Webhook

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
    "expires_at",
    "acknowledged_by",
    "acknowledged_at",
    "resolved_by",
    "resolved_at",
    "snoozed_by",
    "snoozed_until",
)
_fields_of = attrgetter(*ALERT_FIELDS)

# Which events an alert was told by: by itself, or with others of its group.
DIRECT = "alert_id = :alert AND group_id IS NULL"
DIRECT_OR_GROUPED = (
    f"{DIRECT} OR id IN (SELECT event_id FROM pggit.alert_group_news WHERE alert_id = :alert)"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell of an alert. `webhook_ids` None: every active webhook.

    `extra` is added to the alert's data. After `expires_at` it is not sent any more.
    """

    alert: Alert
    type: EventType
    webhook_ids: Sequence[int] | None
    extra: Mapping[str, Any] = field(default_factory=dict)
    group_id: int | None = None
    follow_up_id: int | None = None
    expires_at: datetime | None = None


def alert_data(alert: Alert) -> dict[str, Any]:
    """An alert as the API shows it and as receivers get it."""
    return dict(zip(ALERT_FIELDS, _fields_of(alert), strict=True))


# One text and one parameter for any number of events: another text for each number would be parsed
# each time, and the driver would look for quotes in every element of an array. Ids are given out in
# the order of the rows.
_INSERT_EVENTS = text(
    """
    INSERT INTO pggit.alert_events (alert_id, type, body, group_id, follow_up_id, created_at)
    SELECT t.alert_id, t.type, t.body, t.group_id, t.follow_up_id, :now
    FROM ROWS FROM (
        json_to_recordset(CAST(:events AS json)) AS (alert_id bigint, type text, body text,
            group_id bigint, follow_up_id bigint)
    ) WITH ORDINALITY AS t
    ORDER BY t.ordinality
    RETURNING id
    """
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
    -- Ids in the order of the events, whichever way the tables are joined.
    ORDER BY e.id, w.id
    -- A webhook that is being deleted is waited for, and then is not there.
    FOR KEY SHARE OF w
"""
# To all but the one that the alert is about.
_QUEUE_TO_ALL = text(_QUEUE.format(condition="w.is_active AND w.id IS DISTINCT FROM e.webhook_id"))
_QUEUE_TO_CHOSEN = text(_QUEUE.format(condition="w.id = e.webhook_id"))
_QUEUE_BEHIND = text(
    """
    INSERT INTO pggit.alert_delivery_queue
        (event_id, webhook_id, head_start_seconds, expires_at, held_behind, reason,
         next_attempt_at, rank_at)
    SELECT :event, w.id, :head_start, :expires_at, t.held_behind,
        CASE WHEN t.held_behind IS NOT NULL THEN :held_reason END,
        CASE WHEN t.held_behind IS NULL THEN now() END,
        CASE WHEN t.held_behind IS NULL THEN now() - make_interval(secs => :head_start) END
    FROM unnest(CAST(:webhooks AS bigint[]), CAST(:held AS bigint[]))
        AS t (webhook_id, held_behind)
    JOIN pggit.webhooks w ON w.id = t.webhook_id AND w.deleted_at IS NULL
    FOR KEY SHARE OF w
    """
)


def tell(
    session: Session, now: datetime, news: Sequence[News], retry_schedule: Sequence[int]
) -> list[int]:
    """Queue news that waits for nothing, one message for each webhook; the ids of the events."""
    if not news:
        return []
    event_ids = _insert_events(session, now, news)
    everybody: list[tuple[int, News, int | None]] = []
    chosen: list[tuple[int, News, int | None]] = []
    for event_id, one in zip(event_ids, news, strict=True):
        about = one.alert.about_webhook_id
        if one.webhook_ids is None:
            everybody.append((event_id, one, about))
        else:
            targets = dict.fromkeys(one.webhook_ids)
            chosen += [(event_id, one, target) for target in targets if target != about]
    for statement, owed in ((_QUEUE_TO_ALL, everybody), (_QUEUE_TO_CHOSEN, chosen)):
        if owed:
            session.execute(
                statement,
                {
                    "events": [event_id for event_id, _, _ in owed],
                    "webhooks": [webhook_id for _, _, webhook_id in owed],
                    "head_starts": [_head_start(one.alert) for _, one, _ in owed],
                    "expiries": [one.expires_at for _, one, _ in owed],
                    "first_delay": retry_schedule[0],
                },
            )
    return event_ids


def tell_behind(
    session: Session, now: datetime, news: News, behind: Mapping[int, int | None]
) -> int:
    """Queue news for the webhooks of `behind`, each behind the delivery that it must wait for
    (None: for none). The id of the event.
    """
    (event_id,) = _insert_events(session, now, [news])
    session.execute(
        _QUEUE_BEHIND,
        {
            "event": event_id,
            "head_start": _head_start(news.alert),
            "expires_at": news.expires_at,
            "webhooks": list(behind),
            "held": list(behind.values()),
            "held_reason": Reason.HELD_BEHIND_EARLIER,
        },
    )
    return event_id


def _insert_events(session: Session, now: datetime, news: Sequence[News]) -> list[int]:
    """The ids of the events, in the order of the news."""
    events = [
        {
            "alert_id": one.alert.id,
            "type": one.type,
            "body": message_body(one.type, now, {**alert_data(one.alert), **one.extra}),
            "group_id": one.group_id,
            "follow_up_id": one.follow_up_id,
        }
        for one in news
    ]
    return sorted(
        session.scalars(_INSERT_EVENTS, {"events": orjson.dumps(events).decode(), "now": now})
    )


def _head_start(alert: Alert) -> int:
    return HEAD_START_SECONDS[Severity(alert.severity)]


def active_webhooks(session: Session, webhook_ids: Collection[int]) -> set[int]:
    """Those of the ids that may be told: rules keep the ids of webhooks that are gone."""
    if not webhook_ids:
        return set()
    return set(
        session.scalars(
            select(Webhook.id).where(
                Webhook.id.in_(webhook_ids),
                Webhook.is_active.is_(True),
                Webhook.deleted_at.is_(None),
            )
        )
    )


@dataclass(frozen=True, slots=True)
class Owed:
    """What was told of some events: the webhooks that have been told, and what is still open."""

    told: frozenset[int]
    open: Sequence[Any]  # id, webhook_id, attempts_made, follow_up_id; by id

    def behind(self, without: frozenset[int] = frozenset()) -> dict[int, int | None]:
        """For each webhook the last delivery that news must wait for. `without` are deliveries
        that are about to be cancelled.
        """
        behind: dict[int, int | None] = dict.fromkeys(sorted(self.told))
        behind.update({row.webhook_id: row.id for row in self.open if row.id not in without})
        return behind


def lock_owed(session: Session, events: str, parameters: Mapping[str, Any]) -> Owed:
    """Lock what is owed of the events that a WHERE clause of ours selects, and see who was told."""
    selected = f"SELECT id FROM pggit.alert_events WHERE {events}"  # noqa: S608 - our own clauses
    # The order of locks is the webhook first, then its deliveries: as a deletion takes them.
    session.execute(
        text(
            "SELECT FROM pggit.webhooks WHERE id IN ("  # noqa: S608
            f"SELECT webhook_id FROM pggit.deliveries WHERE event_id IN ({selected})"
            ") ORDER BY id FOR KEY SHARE"
        ),
        parameters,
    )
    open_rows = session.execute(
        text(
            "SELECT q.id, q.webhook_id, q.attempts_made,"  # noqa: S608
            " (SELECT follow_up_id FROM pggit.alert_events e WHERE e.id = q.event_id)"
            " FROM pggit.alert_delivery_queue q"
            f" WHERE q.event_id IN ({selected}) AND q.status IN ('pending', 'retrying')"
            " ORDER BY q.id FOR UPDATE OF q"
        ),
        parameters,
    ).all()
    # Asked second: who was waited for above has moved to the history by now.
    told = session.scalars(
        text(
            "SELECT webhook_id FROM pggit.alert_delivery_history"  # noqa: S608
            f" WHERE event_id IN ({selected})"
        ),
        parameters,
    )
    return Owed(frozenset(told), open_rows)


def cancel(session: Session, delivery_ids: Collection[int], reason: Reason) -> None:
    """Cancel locked deliveries of which no attempt was made, and behind which nothing waits."""
    if not delivery_ids:
        return
    session.execute(
        text(
            "UPDATE pggit.alert_delivery_queue SET status = 'cancelled', reason = :reason,"
            " held_behind = NULL, finished_at = now() WHERE id = ANY(:ids)"
        ),
        {"ids": list(delivery_ids), "reason": reason},
    )
