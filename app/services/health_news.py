"""Telling of webhooks' health: which alerts a change raises, and which it ends.

One alert at most tells of a webhook's state: that it is unavailable, degraded, or flapping.
Another one tells, whatever the state, that its certificate is about to expire.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.domain.alerts import Severity
from app.domain.events import Event
from app.domain.health import (
    CheckDecision,
    CheckOutcome,
    HealthStatus,
    certificate_days_left,
    certificate_is_short,
)
from app.services.health_alerts import (
    CERTIFICATE,
    FLAPPING,
    alert_key,
    end_alerts,
    end_state_alerts,
)
from app.services.health_checks import CheckResult
from app.services.maintenance import HEALTH_SOURCE
from app.services.raising import Draft, raise_alerts

log = structlog.get_logger(__name__)

_SEVERITY = {
    HealthStatus.UNAVAILABLE: Severity.CRITICAL,
    HealthStatus.DEGRADED: Severity.WARNING,
    HealthStatus.UNKNOWN: Severity.WARNING,
    HealthStatus.HEALTHY: Severity.INFO,
}
_OF_CHANGES = frozenset(
    {
        CheckDecision.STATE_CHANGED,
        CheckDecision.BEGAN_TO_FLAP,
        CheckDecision.QUIET_WHILE_FLAPPING,
        CheckDecision.STEADY_AGAIN,
    }
)


def tell_of_state(
    session: Session,
    now: datetime,
    events: list[Event],
    result: CheckResult,
    decision: CheckDecision,
    blocked: int,
    retry_schedule: Sequence[int],
) -> None:
    """What a decision tells: the alert of the state before ends; a bad new state, or that there are
    too many, raises one. `blocked` webhooks depend on this one and became unknown by it.
    """
    webhook_id, status = result.check.webhook_id, result.health.status
    if decision not in _OF_CHANGES:
        return
    log.info(
        "webhook health changed",
        action="health_changed",
        webhook_id=webhook_id,
        before=result.check.health.status,
        after=status,
        decision=decision,
    )
    draft: Draft | None = None
    if decision is CheckDecision.QUIET_WHILE_FLAPPING:
        return
    if decision is CheckDecision.BEGAN_TO_FLAP:
        draft = _flapping_draft(result)
    elif status is not HealthStatus.HEALTHY:
        draft = _state_draft(result, blocked)
    end_state_alerts(session, now, events, [webhook_id])
    if draft is not None:
        raise_alerts(session, now, events, [draft], HEALTH_SOURCE, retry_schedule)


def tell_of_certificate(
    session: Session,
    now: datetime,
    events: list[Event],
    result: CheckResult,
    is_short: bool,
    retry_schedule: Sequence[int],
) -> None:
    """Raise the alert that a certificate is about to expire, or end it."""
    webhook_id, name = result.check.webhook_id, result.check.name
    key = alert_key(webhook_id, CERTIFICATE)
    if not is_short:
        end_alerts(session, now, events, [key])
        return
    days = certificate_days_left(result.certificate_expires_at, now)
    draft = Draft(
        title=f"The certificate of webhook “{name}” expires in {days} days",
        message=f"It is good until {result.certificate_expires_at:%Y-%m-%d %H:%M} UTC; at least"
        f" {result.check.plan.min_certificate_days} days are wanted.",
        severity=Severity.WARNING,
        source=HEALTH_SOURCE,
        labels={"webhook_id": str(webhook_id), "webhook": name, "reason": "certificate_expires"},
        dedup_key=key,
    )
    raise_alerts(session, now, events, [draft], HEALTH_SOURCE, retry_schedule)


def certificate_news(result: CheckResult, now: datetime) -> bool | None:
    """Whether the certificate is short of days, where that is not what was told; else None."""
    check = result.check
    if result.certificate_expires_at is None and result.http_status is not None:
        return False if check.certificate_told else None
    is_short = certificate_is_short(
        result.certificate_expires_at,
        now,
        check.plan.min_certificate_days,
        has_answered=result.http_status is not None,
    )
    return None if is_short is check.certificate_told else is_short


def _state_draft(result: CheckResult, blocked: int) -> Draft:
    webhook_id, name, status = result.check.webhook_id, result.check.name, result.health.status
    message = _why(result)
    if blocked:
        those = (
            "1 webhook that depends on it is"
            if blocked == 1
            else f"{blocked} that depend on it are"
        )
        message += f" Until it is back, {those} unknown."
    return Draft(
        title=f"Webhook “{name}” is {status}",
        message=message,
        severity=_SEVERITY[status],
        source=HEALTH_SOURCE,
        labels={
            "webhook_id": str(webhook_id),
            "webhook": name,
            "health_status": status,
            "reason": result.verdict.reason,
        },
        dedup_key=alert_key(webhook_id, status),
        not_to=webhook_id,
    )


def _flapping_draft(result: CheckResult) -> Draft:
    check = result.check
    minutes = check.plan.flap_policy.window_seconds / 60
    changes = check.plan.flap_policy.changes
    return Draft(
        title=f"Webhook “{check.name}” is flapping",
        message=f"Its health changed {changes} times within {minutes:.3g} minutes. Single changes"
        f" are not told until nothing has changed for {minutes / 2:.3g} minutes.",
        severity=Severity.WARNING,
        source=HEALTH_SOURCE,
        labels={
            "webhook_id": str(check.webhook_id),
            "webhook": check.name,
            "health_status": result.health.status,
            "reason": "flapping",
        },
        dedup_key=alert_key(check.webhook_id, FLAPPING),
        not_to=check.webhook_id,
    )


def _why(result: CheckResult) -> str:
    in_a_row = (
        f"{result.health.failures} failed checks in a row"
        if result.verdict.outcome is CheckOutcome.FAILED
        else f"{result.health.slow} slow or failed checks in a row"
    )
    last = f"HTTP {result.http_status}" if result.http_status else result.error or "no answer"
    confirmed = "confirmed at once" if result.first is not None else "the last one"
    return f"{in_a_row}; {confirmed}: {last} after {result.latency_ms:.0f} ms."
