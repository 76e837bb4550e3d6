"""Raising alerts. What is told is queued in the same transaction: committed, nothing loses it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import case, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.alerts import AlertStatus
from app.domain.events import Changed, DeliveriesQueued, Event
from app.domain.live import Kind
from app.errors import Invalid
from app.services.decisions import note
from app.services.follow_ups import send_out, subject_of
from app.services.lifecycle import expire
from app.services.rescheduling import prolong
from app.services.routing import load_table
from models import Alert, Webhook


@dataclass(frozen=True, slots=True)
class Draft:
    """An alert to raise. `not_to` is a webhook that must not be told: the one it is about.

    `webhook_ids` None: the routing rules decide. After `expires_at` it is not told any more.
    """

    title: str
    severity: str
    message: str | None = None
    source: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    dedup_key: str | None = None
    webhook_ids: Sequence[int] | None = None
    not_to: int | None = None
    expires_at: datetime | None = None


def raise_alerts(
    session: Session,
    now: datetime,
    events: list[Event],
    drafts: Sequence[Draft],
    created_by: str,
    retry_schedule: Sequence[int],
) -> list[tuple[Alert, bool]]:
    """Raise alerts; for each, the alert and whether it is new (else it was open already).

    Drafts must have been checked by `unknown_targets` and `check_draft`.
    """
    raised: dict[int, tuple[Alert, bool]] = {}
    plain = [index for index, draft in enumerate(drafts) if draft.dedup_key is None]
    if plain:
        rows = _insert(session, [drafts[index] for index in plain], created_by, now)
        raised.update({index: (row, True) for index, row in zip(plain, rows, strict=True)})
    # In the order of their keys, so that two batches with the same keys can't lock each other out.
    keyed = [index for index, draft in enumerate(drafts) if draft.dedup_key is not None]
    for index in sorted(keyed, key=lambda index: drafts[index].dedup_key or ""):
        raised[index] = _raise_deduplicated(session, now, events, drafts[index], created_by)
    new = [raised[index][0] for index in sorted(raised) if raised[index][1]]
    if new:
        _send_out(session, now, new, retry_schedule)
        events.append(DeliveriesQueued())
    events.append(Changed(Kind.ALERT, tuple(sorted({one.id for one, _is_new in raised.values()}))))
    return [raised[index] for index in range(len(drafts))]


def _send_out(
    session: Session, now: datetime, alerts: Sequence[Alert], retry_schedule: Sequence[int]
) -> None:
    table = load_table(session, now)
    routed = []
    for alert in alerts:
        verdict = table.verdict(session, subject_of(alert), alert.webhook_ids, alert.id)
        if not verdict.is_plain:
            note(alert, now, verdict.decisions)
        routed.append((alert, verdict))
    send_out(session, now, routed, retry_schedule)


# One text and one parameter for any number of alerts: another text for each number would be parsed
# each time, and the driver would look for quotes in every element of an array.
_INSERT = text(
    """
    INSERT INTO pggit.alerts (title, severity, message, source, labels, webhook_ids,
        about_webhook_id, expires_at, created_by, created_at, updated_at)
    SELECT t.title, t.severity, t.message, t.source, t.labels, t.webhook_ids,
        t.about_webhook_id, t.expires_at, :created_by, :now, :now
    FROM ROWS FROM (
        json_to_recordset(CAST(:drafts AS json)) AS (title text, severity text, message text,
            source text, labels jsonb, webhook_ids bigint[], about_webhook_id bigint,
            expires_at timestamptz)
    ) WITH ORDINALITY AS t
    ORDER BY t.ordinality
    RETURNING *
    """
)


def _insert(
    session: Session, drafts: Sequence[Draft], created_by: str, now: datetime
) -> Sequence[Alert]:
    """New alerts, in the order of their drafts, which is the order of their ids."""
    rows = session.scalars(
        select(Alert).from_statement(_INSERT),
        {
            "drafts": orjson.dumps([_values(one) for one in drafts]).decode(),
            "created_by": created_by,
            "now": now,
        },
    )
    return sorted(rows, key=lambda alert: alert.id)


def _values(draft: Draft) -> dict[str, Any]:
    return {
        "title": draft.title,
        "message": draft.message,
        "severity": draft.severity,
        "source": draft.source,
        "labels": dict(draft.labels),
        "webhook_ids": list(draft.webhook_ids) if draft.webhook_ids is not None else None,
        "about_webhook_id": draft.not_to,
        "expires_at": draft.expires_at,
    }


def _raise_deduplicated(
    session: Session, now: datetime, events: list[Event], draft: Draft, created_by: str
) -> tuple[Alert, bool]:
    """Count the open alert with this key up, and let it live as long as the new one would."""
    before = session.execute(
        select(Alert.id, Alert.expires_at).where(
            Alert.dedup_key == draft.dedup_key, Alert.status != AlertStatus.RESOLVED
        )
    ).one_or_none()
    if before is not None and before.expires_at is not None and before.expires_at <= now:
        expire(session, now, events, before.id)
    statement = insert(Alert).values(
        **_values(draft),
        dedup_key=draft.dedup_key,
        created_by=created_by,
        created_at=now,
        updated_at=now,
    )
    given = statement.excluded.expires_at
    never = or_(Alert.expires_at.is_(None), given.is_(None))
    alert = session.scalars(
        statement.on_conflict_do_update(
            index_elements=[Alert.dedup_key],
            index_where=text("dedup_key IS NOT NULL AND status <> 'resolved'"),
            set_={
                "count": Alert.count + 1,
                "updated_at": now,
                "expires_at": case((never, None), else_=func.greatest(Alert.expires_at, given)),
            },
        ).returning(Alert),
        execution_options={"populate_existing": True},
    ).one()
    is_new = alert.count == 1
    if not is_new and before is not None and before.expires_at != alert.expires_at:
        prolong(session, alert)
    return alert, is_new


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


def check_draft(unknown: set[int], draft: Draft, now: datetime) -> None:
    """Raises Invalid for a draft that names a webhook of the `unknown` ones, or is over already."""
    errors: dict[str, list[str]] = {}
    missing = sorted(unknown.intersection(draft.webhook_ids or ()))
    if missing:
        names = ", ".join(str(webhook_id) for webhook_id in missing)
        errors["webhook_ids"] = [f"There is no active webhook {names}."]
    if draft.expires_at is not None and draft.expires_at <= now:
        errors["expires_at"] = ["Must be in the future."]
    if errors:
        raise Invalid(errors)
