"""Before what has ended is tried again: is that out of order, and behind whom does it go?

The news of one alert reaches a webhook in order. What ended without being delivered made room for
what came after it, so whoever brings it back asks here first, with everything locked that the
answer rests on.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.alerts import AlertStatus, EventType
from app.domain.redrive import Candidate
from app.domain.retry import DeliveryStatus
from app.services.retention import KEEP

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
    WHERE q.id = ANY(:ids) AND q.status = ANY(:statuses)
        AND (CAST(:ended_by AS timestamptz) IS NULL OR q.finished_at <= :ended_by)
    ORDER BY q.id
    """
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A delivery that ended undelivered. `behind`: the last of what is owed before it, None where
    nothing is. `not_before`: until then its alert is snoozed.
    """

    delivery_id: int
    behind: int | None
    not_before: datetime | None
    candidate: Candidate
    _event_id: int
    _open: list[tuple[int, int]]

    def goes_out(self) -> None:
        """It is tried again: those that come after it are told so."""
        self._open.append((self.delivery_id, self._event_id))


def lock_and_ask(
    session: Session,
    webhook_id: int,
    deliveries: Mapping[int, int],
    statuses: Sequence[str],
    ended_by: datetime | None = None,
) -> Iterator[Ended] | None:
    """Lock these deliveries of a webhook (id → id of its event) with all that they depend on, and
    say of each that has one of these statuses (and ended no later than `ended_by`), by its id, what
    decides. None when the webhook is deleted.
    """
    ids, events = list(deliveries), {"events": list(deliveries.values())}
    session.execute(_LOCK_ALERTS, events)
    if session.execute(_LOCK_WEBHOOK, {"webhook": webhook_id}).one_or_none() is None:
        return None
    locked = session.execute(_LOCK_DELIVERIES, events | {"ids": ids, "webhook": webhook_id})
    # For each thread, what is open of it: (id, event_id).
    open_of: dict[tuple[int | None, int], list[tuple[int, int]]] = defaultdict(list)
    for row in locked:
        if row.status in {DeliveryStatus.PENDING, DeliveryStatus.RETRYING}:
            open_of[_thread(row)].append((row.id, row.event_id))
    rows = session.execute(
        _FACTS,
        {
            "ids": ids,
            "statuses": list(statuses),
            "ended_by": ended_by,
            "kept": KEEP["alerts"],
            "firing": EventType.FIRING,
        },
    ).all()
    return (_ended(row, open_of[_thread(row)]) for row in rows)


def _ended(row: Any, others: list[tuple[int, int]]) -> Ended:
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
    return Ended(row.id, behind, row.not_before, candidate, row.event_id, others)


def _thread(row: Any) -> tuple[int | None, int]:
    """Messages that must stay in order: those of one alert, or of one group."""
    return (None, row.alert_id) if row.group_id is None else (row.group_id, 0)
