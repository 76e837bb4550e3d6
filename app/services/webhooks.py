"""Webhooks: make, change, remove; their secrets; what a delivery to one needs to know."""

import json
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.adapters.cipher import Cipher
from app.domain.events import Changed, ChecksDue, DeliveriesQueued, Event
from app.domain.live import Kind
from app.domain.retry import Reason
from app.domain.signing import SECRET_BYTES, format_secret
from app.errors import Invalid, NotFound
from app.services.dependencies import check_parents, lock_dependencies
from app.services.paging import Page, PageRequest, paginate
from app.services.templates import as_fields, as_template, read_template, write_template
from app.services.traffic import enabled, lock_traffic
from models import Webhook, WebhookHealth, WebhookTraffic

SECRET_OVERLAP = timedelta(hours=24)
_PLAIN_FIELDS = (
    "name",
    "description",
    "url",
    "is_active",
    "health_check_interval_seconds",
    "timeout_seconds",
    "retry_schedule_seconds",
    "max_in_flight",
    "rate_limit_per_second",
    "disable_after_days",
    "depends_on",
)
CHECK_FIELDS = (
    "method",
    "expected_status",
    "max_latency_ms",
    "failure_threshold",
    "recovery_threshold",
    "body_includes",
    "body_excludes",
    "headers",
    "min_certificate_days",
    "flap_changes",
    "flap_window_seconds",
)


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook as the API shows it: with its headers and template in clear, and its health."""

    row: Webhook
    health_status: str
    headers: dict[str, str]
    template: dict[str, str]


def new_secret() -> str:
    return format_secret(randomness.token_bytes(SECRET_BYTES))


def read_headers(cipher: Cipher, row: Webhook) -> dict[str, str]:
    if row.headers_encrypted is None:
        return {}
    headers: dict[str, str] = json.loads(cipher.decrypt(row.headers_encrypted))
    return headers


def _apply(row: Webhook, cipher: Cipher, data: Mapping[str, Any]) -> None:
    for name in _PLAIN_FIELDS:
        if name in data:
            setattr(row, name, data[name])
    for name in CHECK_FIELDS:
        if name in data.get("health_check", {}):
            setattr(row, f"check_{name}", data["health_check"][name])
    if row.check_method == "HEAD" and (row.check_body_includes or row.check_body_excludes):
        problem = "The answer to HEAD has no body; choose another method."
        raise Invalid({"health_check.method": [problem]})
    if "headers" in data:
        headers = data["headers"]
        row.headers_encrypted = cipher.encrypt(json.dumps(headers)) if headers else None
    if "template" in data:
        write_template(cipher, row, as_template(data["template"]))


def create_webhook(
    session: Session, events: list[Event], cipher: Cipher, data: Mapping[str, Any]
) -> tuple[WebhookView, str]:
    """The webhook and its secret: this is the only time that the secret is shown."""
    _check_dependencies(session, None, data)
    secret = new_secret()
    row = Webhook(secret_encrypted=cipher.encrypt(secret))
    _apply(row, cipher, data)
    session.add(row)
    session.flush()
    session.add(WebhookHealth(webhook_id=row.id))
    _set_rate(session, row)
    session.flush()
    session.refresh(row)
    events += [ChecksDue(), Changed(Kind.WEBHOOK, (row.id,))]
    return _view(session, cipher, row), secret


def _check_dependencies(session: Session, webhook_id: int | None, data: Mapping[str, Any]) -> None:
    """Raises Invalid. Before any other lock: so all who change dependencies go in turns."""
    if data.get("depends_on"):
        lock_dependencies(session)
        check_parents(session, webhook_id, data["depends_on"])


def _set_rate(session: Session, row: Webhook) -> None:
    """The bucket of a rate limit is full at the start."""
    traffic = session.get(WebhookTraffic, row.id) or WebhookTraffic(webhook_id=row.id)
    traffic.tokens = max(1.0, row.rate_limit_per_second or 1.0)
    traffic.refilled_at = func.now()
    session.add(traffic)


def _view(session: Session, cipher: Cipher, row: Webhook) -> WebhookView:
    status = session.scalar(
        select(WebhookHealth.health_status).where(WebhookHealth.webhook_id == row.id)
    )
    return shown(cipher, row, status or "unknown")


def shown(cipher: Cipher, row: Webhook, status: str) -> WebhookView:
    """A row as the API shows it; `status` is that of its health."""
    template = as_fields(read_template(cipher, row))
    return WebhookView(row, status, read_headers(cipher, row), template)


def get_row(session: Session, webhook_id: int, *, lock: bool = False) -> Webhook:
    """A webhook that is there and not deleted, or NotFound."""
    row = session.get(Webhook, webhook_id, with_for_update=lock)
    if row is None or row.deleted_at is not None:
        raise NotFound("There is no such webhook.")
    return row


def get_webhook(session: Session, cipher: Cipher, webhook_id: int) -> WebhookView:
    return _view(session, cipher, get_row(session, webhook_id))


def list_webhooks(
    session: Session, cipher: Cipher, filters: Mapping[str, Any], request: PageRequest
) -> Page[WebhookView]:
    statement = select(Webhook).where(Webhook.deleted_at.is_(None))
    if "is_active" in filters:
        statement = statement.where(Webhook.is_active.is_(filters["is_active"]))
    if "health_status" in filters:
        statement = statement.join(WebhookHealth, WebhookHealth.webhook_id == Webhook.id).where(
            WebhookHealth.health_status == filters["health_status"]
        )
    page = paginate(session, statement, Webhook.id, request)
    statuses = dict(
        session.execute(
            select(WebhookHealth.webhook_id, WebhookHealth.health_status).where(
                WebhookHealth.webhook_id.in_([row.id for row in page.items])
            )
        ).all()
    )
    return page.showing([shown(cipher, row, statuses.get(row.id, "unknown")) for row in page.items])


def change_webhook(
    session: Session,
    now: datetime,
    events: list[Event],
    cipher: Cipher,
    webhook_id: int,
    changes: Mapping[str, Any],
) -> WebhookView:
    """Apply the fields that are there. Another URL or interval means a check soon, and so does
    being active again: then it starts afresh, and what it is owed goes on. What it does to those
    that depend on it, and what those it depends on do to it, is to be settled afterwards.
    """
    _check_dependencies(session, webhook_id, changes)
    row = get_row(session, webhook_id, lock=True)
    before = (row.url, row.is_active, row.health_check_interval_seconds)
    rate_before, was_disabled = row.rate_limit_per_second, row.disabled_reason is not None
    _apply(row, cipher, changes)
    row.updated_at = now
    if row.is_active:
        row.disabled_reason = None
    if before != (row.url, row.is_active, row.health_check_interval_seconds):
        session.execute(
            text(
                "UPDATE pggit.webhook_health_metrics SET next_check_at = now()"
                " WHERE webhook_id = :id AND lease_token IS NULL"
            ),
            {"id": row.id},
        )
        events += [ChecksDue(), DeliveriesQueued()]
    # Last, since nobody waits for another lock while he holds the one that these take.
    if row.rate_limit_per_second != rate_before:
        lock_traffic(session)
        _set_rate(session, row)
    if row.is_active and not before[1]:
        enabled(session, row.id, was_disabled=was_disabled)
    session.flush()
    events.append(Changed(Kind.WEBHOOK, (row.id,)))
    return _view(session, cipher, row)


def delete_webhook(
    session: Session, now: datetime, events: list[Event], webhook_id: int
) -> Sequence[int]:
    """Its history stays; what it was still owed is cancelled. Those that depended on it, which
    they do no more, and which is to be settled afterwards.
    """
    lock_dependencies(session)
    row = get_row(session, webhook_id, lock=True)
    dependents = session.scalars(
        text(
            "UPDATE pggit.webhooks SET depends_on = array_remove(depends_on, CAST(:id AS bigint)),"
            " updated_at = now()"
            " WHERE depends_on @> ARRAY[CAST(:id AS bigint)] RETURNING id"
        ),
        {"id": webhook_id},
    ).all()
    row.deleted_at = now
    row.is_active = False
    row.updated_at = now
    cancel_open_deliveries(session, row.id, Reason.WEBHOOK_DELETED)
    events.append(Changed(Kind.WEBHOOK, (row.id, *dependents)))
    return dependents


def cancel_open_deliveries(session: Session, webhook_id: int, reason: Reason) -> None:
    """Cancel all that is open. A worker that has one in flight finds its lease gone."""
    session.execute(
        text(
            # Locked by their ids, as all do who are after several deliveries.
            "WITH open AS MATERIALIZED ("
            "SELECT id FROM pggit.alert_delivery_queue"
            " WHERE webhook_id = :id AND status IN ('pending', 'retrying')"
            " ORDER BY id FOR UPDATE"
            ") UPDATE pggit.alert_delivery_queue q SET status = 'cancelled', reason = :reason,"
            " lease_token = NULL, held_behind = NULL, finished_at = now()"
            " FROM open WHERE q.id = open.id"
        ),
        {"id": webhook_id, "reason": reason},
    )


def rotate_secret(
    session: Session, now: datetime, cipher: Cipher, webhook_id: int
) -> tuple[str, datetime]:
    """A new secret; the old one signs beside it for 24 hours. Returns it and that end."""
    row = get_row(session, webhook_id, lock=True)
    secret = new_secret()
    row.previous_secret_encrypted = row.secret_encrypted
    row.previous_secret_expires_at = now + SECRET_OVERLAP
    row.secret_encrypted = cipher.encrypt(secret)
    row.updated_at = now
    return secret, row.previous_secret_expires_at
