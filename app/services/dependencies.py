"""Webhooks that depend on others: while one that they depend on is unavailable, they are unknown.

Whose health is held back so, is `blocked_by` the unavailable one, if need be through others. All
changes of that go one after another: two that block what the other holds would wait in a circle.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.events import Changed, ChecksDue, Event
from app.domain.live import Kind
from app.errors import Invalid
from app.services.health_alerts import end_state_alerts

DEPENDENCIES_LOCK = 0x70C53


class Change(NamedTuple):
    """Who blocked a webhook, and who does now; None: nobody."""

    webhook_id: int
    before: int | None
    now: int | None


# Those that depend on the given ones, and for each of them what it depends on: both through
# others, and neither through one that was deleted. UNION ends even a circle.
_RECONCILE = text(
    """
    WITH RECURSIVE affected AS (
        SELECT unnest(CAST(:roots AS bigint[])) AS id
        UNION
        SELECT w.id FROM affected JOIN pggit.webhooks w
            ON w.depends_on @> ARRAY[affected.id] AND w.deleted_at IS NULL
    ), above AS (
        SELECT w.id, unnest(w.depends_on) AS ancestor
        FROM affected JOIN pggit.webhooks w ON w.id = affected.id
        UNION
        SELECT above.id, unnest(w.depends_on)
        FROM above JOIN pggit.webhooks w ON w.id = above.ancestor AND w.deleted_at IS NULL
    ), wanted AS MATERIALIZED (
        SELECT affected.id, (
            SELECT min(above.ancestor) FROM above
            JOIN pggit.webhook_health_metrics p ON p.webhook_id = above.ancestor
            JOIN pggit.webhooks pw ON pw.id = above.ancestor
            WHERE above.id = affected.id AND p.health_status = 'unavailable'
                AND pw.is_active AND pw.deleted_at IS NULL
        ) AS blocked_by
        FROM affected
    ), before AS MATERIALIZED (
        SELECT h.webhook_id, h.blocked_by AS before, wanted.blocked_by AS now
        FROM wanted JOIN pggit.webhook_health_metrics h ON h.webhook_id = wanted.id
        WHERE h.blocked_by IS DISTINCT FROM wanted.blocked_by
        ORDER BY h.webhook_id FOR UPDATE OF h
    )
    UPDATE pggit.webhook_health_metrics h
    SET blocked_by = before.now, health_status = 'unknown',
        changed_at = CASE WHEN h.health_status = 'unknown' THEN h.changed_at ELSE now() END,
        consecutive_failures = 0, consecutive_slow = 0, consecutive_successes = 0,
        failing_since = NULL, changed_times = '{}', flapping_since = NULL,
        -- Whose parent is back is checked at once.
        next_check_at = CASE WHEN before.now IS NULL AND h.lease_token IS NULL THEN now()
            ELSE h.next_check_at END
    FROM before WHERE h.webhook_id = before.webhook_id
    RETURNING h.webhook_id, before.before, before.now
    """
)
_ANCESTORS = text(
    """
    WITH RECURSIVE above AS (
        SELECT unnest(CAST(:parents AS bigint[])) AS id
        UNION
        SELECT unnest(w.depends_on) FROM above JOIN pggit.webhooks w
            ON w.id = above.id AND w.deleted_at IS NULL
    )
    SELECT id FROM above
    """
)
# Whoever is being checked, or recorded, right now is left alone: he is asked already.
_HURRY = text(
    """
    WITH asked AS MATERIALIZED (
        SELECT webhook_id FROM pggit.webhook_health_metrics
        WHERE webhook_id = ANY(:ids) AND lease_token IS NULL AND next_check_at > now()
        ORDER BY webhook_id FOR UPDATE SKIP LOCKED
    )
    UPDATE pggit.webhook_health_metrics h SET next_check_at = now()
    FROM asked WHERE h.webhook_id = asked.webhook_id
    """
)


# Whose dependencies may say something else than his health does.
_DEPENDENTS = text(
    """
    SELECT webhook_id FROM pggit.webhook_health_metrics h
    JOIN pggit.webhooks w ON w.id = h.webhook_id AND w.deleted_at IS NULL
    WHERE h.blocked_by IS NOT NULL OR w.depends_on <> '{}'
    """
)


def lock_dependencies(session: Session) -> None:
    """Before anything that `reconcile` follows, and before the rows that it changes."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": DEPENDENCIES_LOCK})


def reconcile(session: Session, roots: Sequence[int]) -> list[Change]:
    """Block those that depend on one that is unavailable, and unblock whom none of his is: of the
    `roots` and all that depend on them, who changed. One that is blocked or unblocked starts afresh
    as unknown.
    """
    rows: Any = session.execute(_RECONCILE, {"roots": list(roots)})
    return [Change(*row) for row in rows]


def settle(session: Session, now: datetime, events: list[Event], roots: Sequence[int]) -> int:
    """After a change of dependencies, or of who is active: reconcile, and end the alerts of those
    that became unknown by it. How many changed."""
    lock_dependencies(session)
    changes = reconcile(session, roots)
    events.append(Changed(Kind.WEBHOOK, tuple(change.webhook_id for change in changes)))
    blocked = [change.webhook_id for change in changes if change.now is not None]
    if blocked:
        end_state_alerts(session, now, events, blocked)
    if len(changes) > len(blocked):
        events.append(ChecksDue())
    return len(changes)


def settle_all(unit_of_work: Callable[[], Any]) -> dict[str, int]:
    """Settle all that depend on others: whatever was disabled meanwhile, or not settled."""
    with unit_of_work() as work:
        roots = work.session.scalars(_DEPENDENTS).all()
        changed = settle(work.session, work.now, work.events, roots) if roots else 0
    return {"settled": changed}


def hurry(session: Session, webhook_ids: Sequence[int]) -> None:
    """Make the checks of these due now."""
    session.execute(_HURRY, {"ids": list(webhook_ids)})


def check_parents(session: Session, webhook_id: int | None, parents: Sequence[int]) -> None:
    """Raises Invalid for webhooks that are not there, and where a webhook would come to depend on
    itself. `webhook_id` None: one that is not there yet. Dependencies must be locked.
    """
    there = set(
        session.scalars(
            text("SELECT id FROM pggit.webhooks WHERE id = ANY(:ids) AND deleted_at IS NULL"),
            {"ids": list(parents)},
        )
    )
    missing = sorted(set(parents) - there)
    if missing:
        names = ", ".join(map(str, missing))
        raise Invalid({"depends_on": [f"There is no webhook {names}."]})
    if webhook_id in set(session.scalars(_ANCESTORS, {"parents": list(parents)})):
        raise Invalid({"depends_on": ["It would depend on itself."]})
