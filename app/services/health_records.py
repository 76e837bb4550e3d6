"""Recording checks: the health, the history, the rollup, and what is told, in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.domain.cadence import next_check
from app.domain.events import Changed, ChecksDue, DeliveriesQueued, Event
from app.domain.flapping import FlapReason, observe
from app.domain.health import CheckDecision, HealthStatus, news
from app.domain.live import Kind
from app.services.dependencies import hurry, lock_dependencies, reconcile
from app.services.health_alerts import end_state_alerts
from app.services.health_checks import CheckResult
from app.services.health_news import certificate_news, tell_of_certificate, tell_of_state
from app.services.health_rows import Record, write
from app.services.maintenance import is_in_maintenance, maintenance_windows
from app.services.traffic import recovered
from models import WebhookHealth

# Whose parent is asked first is checked again so soon after.
SOON_SECONDS = 5

_DOWN, _UNKNOWN = HealthStatus.UNAVAILABLE, HealthStatus.UNKNOWN
_CALM, _WAIT_FOR_PARENT = FlapReason.CALM, CheckDecision.WAIT_FOR_PARENT


def record(
    session: Session,
    now: datetime,
    events: list[Event],
    results: Sequence[CheckResult],
    retry_schedule: Sequence[int],
) -> dict[int, CheckDecision | None]:
    """Record results and tell of changes, in one transaction. The webhooks that were recorded, each
    with what was decided.

    A check whose lease was taken by another, or whose webhook was deleted, changes nothing.
    """
    if not results:
        return {}
    windows = maintenance_windows(session, now)
    records = [
        _record_of(one, now, is_in_maintenance(windows, one.check.webhook_id, one.check.name))
        for one in sorted(results, key=_webhook_id)
    ]
    if any(_shakes_others(one) for one in records if not one.is_calm):
        lock_dependencies(session)
    blocked = write(session, now, records)
    heard = [one for one in records if blocked.get(one.result.check.webhook_id) is False]
    if any(_has_news(one, now) for one in heard):
        _follow_up(session, now, events, heard, retry_schedule)
    decisions = {one.result.check.webhook_id: one.decision for one in records}
    return {
        webhook_id: CheckDecision.PARENT_UNAVAILABLE if is_blocked else decisions[webhook_id]
        for webhook_id, is_blocked in blocked.items()
    }


def _shakes_others(one: Record) -> bool:
    """Whether others may depend on what became of it."""
    return (one.result.check.health.status is _DOWN) is not (one.result.health.status is _DOWN)


def _has_news(one: Record, now: datetime) -> bool:
    """Whether anything can follow from it but that it is recorded."""
    return (
        not one.is_calm or one.decision is not None or certificate_news(one.result, now) is not None
    )


def _webhook_id(result: CheckResult) -> int:
    return result.check.webhook_id


def _record_of(result: CheckResult, now: datetime, in_maintenance: bool) -> Record:
    check, decision, flapping = result.check, result.decision, result.check.flapping
    before, after = check.health.status, result.health.status
    is_calm = not (before is not after or flapping.times or flapping.since or check.is_blocked)
    if not is_calm:
        changed = before is not after and before is not _UNKNOWN and after is not _UNKNOWN
        flap = _CALM
        if changed or flapping.times or flapping.since:
            flapping, flap = observe(flapping, check.plan.flap_policy, now, changed=changed)
        decision = news(before, after, flap, is_blocked=check.is_blocked) or decision
    next_at = next_check(check.webhook_id, check.plan.interval_seconds, check.due_at, now)
    if decision is _WAIT_FOR_PARENT:
        next_at = min(next_at, now + timedelta(seconds=SOON_SECONDS))
    return Record(result, decision, flapping, in_maintenance, next_at, is_calm)


def _follow_up(
    session: Session,
    now: datetime,
    events: list[Event],
    records: Sequence[Record],
    retry_schedule: Sequence[int],
) -> None:
    """What follows from results that were recorded. The order of locks: health, by the lock of
    dependencies where others are concerned; alerts; traffic.
    """
    moved = [one.result.check.webhook_id for one in records if _shakes_others(one)]
    changes = reconcile(session, moved) if moved else []
    blocked = [change for change in changes if change.now is not None]
    asked = {
        parent
        for one in records
        if one.decision is _WAIT_FOR_PARENT
        for parent in one.result.check.plan.depends_on
    }
    if asked:
        hurry(session, sorted(asked))
    if asked or len(changes) > len(blocked):
        events.append(ChecksDue())
    told_certificates = {
        one.result.check.webhook_id: is_short
        for one in records
        if (is_short := certificate_news(one.result, now)) is not None
    }
    for one in records:
        _remember(session, one, told_certificates.get(one.result.check.webhook_id))
    turned = [
        one.result.check.webhook_id
        for one in records
        if one.result.check.health.status is not one.result.health.status
    ]
    events.append(Changed(Kind.WEBHOOK, (*turned, *(change.webhook_id for change in changes))))
    if blocked:
        end_state_alerts(session, now, events, [change.webhook_id for change in blocked])
    for one in records:
        webhook_id = one.result.check.webhook_id
        if one.decision is not None:
            below = sum(change.now == webhook_id for change in blocked)
            tell_of_state(session, now, events, one.result, one.decision, below, retry_schedule)
        if webhook_id in told_certificates:
            is_short = told_certificates[webhook_id]
            tell_of_certificate(session, now, events, one.result, is_short, retry_schedule)
    # Last, since nobody waits for another lock while he holds the one that this takes.
    back = [one.result.check.webhook_id for one in records if has_recovered(one.result)]
    if back:
        recovered(session, back)
        events.append(DeliveriesQueued())


def _remember(session: Session, one: Record, certificate_told: bool | None) -> None:
    """What only some checks change of a webhook's health."""
    values: dict[str, Any] = {}
    if one.flapping != one.result.check.flapping:
        values["changed_times"] = list(one.flapping.times)
        values["flapping_since"] = one.flapping.since
    if certificate_told is not None:
        values["certificate_told"] = certificate_told
    if values:
        of_webhook = WebhookHealth.webhook_id == one.result.check.webhook_id
        session.execute(update(WebhookHealth).where(of_webhook).values(values))


def has_recovered(result: CheckResult) -> bool:
    """Whether this check found an unavailable webhook to answer again."""
    return result.check.health.status is _DOWN and result.health.status is not _DOWN
