"""Webhooks that Tocsin itself disables, the alert that tells of it, and what enabling one means.

A webhook is disabled when its receiver says that it is gone (see `claims`), or when nothing has
succeeded for `disable_after_days`. Its alert is there if and only if it is disabled: whoever looks
next makes it so, so that who is killed in between leaves nothing out and tells nothing twice.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.alerts import Severity
from app.domain.events import Changed, Event
from app.domain.live import Kind
from app.domain.traffic import DisabledReason
from app.services.lifecycle import resolve
from app.services.raising import Draft, raise_alerts
from models import Alert, Webhook, WebhookTraffic
from models.webhooks import TO_TELL

log = structlog.get_logger(__name__)

ALERT_SOURCE = "tocsin"

# Not one that failed once, long ago, and then was told nothing: it must still be failing, with
# something that was raised half a day ago and more.
_DISABLE_FAILING = text(
    """
    WITH failing AS MATERIALIZED (
        SELECT w.id FROM pggit.webhooks w
        JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id
        WHERE w.is_active AND w.deleted_at IS NULL
            AND t.failing_since <= now() - make_interval(days => w.disable_after_days)
            AND EXISTS (
                SELECT FROM pggit.alert_delivery_queue q
                WHERE q.webhook_id = w.id AND q.attempts_made > 0
                    AND q.created_at <= now() - interval '12 hours'
                    AND (q.status = 'retrying'
                        OR (q.status = 'failed' AND q.finished_at > now() - interval '24 hours'))
            )
        ORDER BY w.id FOR NO KEY UPDATE OF w SKIP LOCKED
    )
    UPDATE pggit.webhooks w
    SET is_active = false, disabled_reason = :reason, disabled_alert_id = NULL, updated_at = now()
    FROM failing WHERE w.id = failing.id
    RETURNING w.id
    """
)


def disable_failing(session: Session, events: list[Event]) -> int:
    """Disable the webhooks that have failed for as long as they may: how many."""
    disabled = session.scalars(_DISABLE_FAILING, {"reason": DisabledReason.FAILING}).all()
    for webhook_id in disabled:
        log.warning("webhook disabled", action="webhook_disabled", webhook_id=webhook_id)
    events.append(Changed(Kind.WEBHOOK, tuple(disabled)))
    return len(disabled)


def webhooks_to_tell_of(session: Session, limit: int) -> Sequence[int]:
    """The ids of webhooks that are disabled without an alert, or have one and are not."""
    return session.scalars(
        select(Webhook.id).where(text(TO_TELL)).order_by(Webhook.id).limit(limit)
    ).all()


def tell_of_disabled(
    session: Session,
    now: datetime,
    events: list[Event],
    webhook_id: int,
    retry_schedule: Sequence[int],
) -> bool:
    """Raise the alert about a disabled webhook, or resolve that of one that is not any more;
    whether there was anything to do, and nobody else does it right now.
    """
    row = session.scalars(
        select(Webhook)
        .where(Webhook.id == webhook_id, text(TO_TELL))
        # Alerts that are raised meanwhile need not wait for this.
        .with_for_update(skip_locked=True, key_share=True)
    ).one_or_none()
    if row is None:
        return False
    if row.disabled_alert_id is None:
        draft = _draft(row, session.get_one(WebhookTraffic, webhook_id))
        ((alert, _is_new),) = raise_alerts(
            session, now, events, [draft], ALERT_SOURCE, retry_schedule
        )
        row.disabled_alert_id = alert.id
    else:
        if session.get(Alert, row.disabled_alert_id) is not None:
            resolve(session, now, events, row.disabled_alert_id, ALERT_SOURCE)
        row.disabled_alert_id = None
    session.flush()
    return True


def _draft(row: Webhook, traffic: WebhookTraffic) -> Draft:
    if row.disabled_reason == DisabledReason.GONE:
        why = "Its receiver answered 410 Gone."
    elif traffic.failing_since is None:
        why = "For too long nothing was delivered to it."
    else:
        why = f"Nothing was delivered to it since {traffic.failing_since:%Y-%m-%d %H:%M} UTC."
    return Draft(
        title=f"Webhook “{row.name}” was disabled",
        message=f"{why} Until it is enabled it is told nothing, and neither is it checked.",
        severity=Severity.CRITICAL,
        source=ALERT_SOURCE,
        labels={
            "webhook_id": str(row.id),
            "webhook": row.name,
            "reason": row.disabled_reason or "",
        },
        dedup_key=f"{ALERT_SOURCE}:webhook-disabled:{row.id}",
        not_to=row.id,
    )
