"""Health checks: claim the webhooks that are due, judge and record, and tell of changes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.adapters.cipher import Cipher
from app.adapters.http import Request, Response
from app.domain.alerts import Severity
from app.domain.events import DeliveriesQueued, Event
from app.domain.health import (
    CheckOutcome,
    CheckPolicy,
    CheckVerdict,
    Health,
    HealthStatus,
    advance,
    is_worth_telling,
    judge,
)
from app.errors import NotFound
from app.services.lifecycle import resolve
from app.services.messages import USER_AGENT
from app.services.raising import Draft, raise_alerts
from app.services.traffic import recovered
from app.services.webhooks import get_row
from models import Alert

log = structlog.get_logger(__name__)

ALERT_SOURCE = "webhook-health"
# A checker that dies leaves its checks due again after the probe's own time-out and this.
LEASE_MARGIN_SECONDS = 15

_SEVERITY = {
    HealthStatus.UNAVAILABLE: Severity.CRITICAL,
    HealthStatus.DEGRADED: Severity.WARNING,
    HealthStatus.UNKNOWN: Severity.WARNING,
    HealthStatus.HEALTHY: Severity.INFO,
}


@dataclass(frozen=True, slots=True)
class Check:
    """A leased check and what it needs to know of its webhook."""

    webhook_id: int
    lease_token: str
    due_at: datetime
    name: str
    request: Request
    policy: CheckPolicy
    health: Health


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check, judged."""

    check: Check
    verdict: CheckVerdict
    health: Health
    http_status: int | None
    latency_ms: float
    error: str | None
    certificate_expires_at: datetime | None


_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT h.webhook_id, h.next_check_at FROM pggit.webhook_health_metrics h
        JOIN pggit.webhooks w ON w.id = h.webhook_id
        WHERE {condition} AND w.deleted_at IS NULL
        ORDER BY h.next_check_at LIMIT :limit FOR UPDATE OF h {who_has_it}
    )
    UPDATE pggit.webhook_health_metrics h
    SET lease_token = gen_random_uuid()::text, next_check_at = statement_timestamp()
        + make_interval(secs => COALESCE(w.timeout_seconds, :timeout) + :margin)
    FROM due JOIN pggit.webhooks w ON w.id = due.webhook_id
    WHERE h.webhook_id = due.webhook_id
    RETURNING h.webhook_id, h.lease_token, due.next_check_at AS due_at, w.name, w.url,
        w.headers_encrypted, COALESCE(w.timeout_seconds, :timeout) AS timeout,
        w.check_method, w.check_expected_status, w.check_max_latency_ms,
        w.check_failure_threshold, w.check_recovery_threshold,
        h.health_status, h.consecutive_failures, h.consecutive_slow, h.consecutive_successes
"""
_CLAIM_DUE = text(
    _CLAIM.format(
        condition="w.is_active AND h.next_check_at <= statement_timestamp()",
        who_has_it="SKIP LOCKED",
    )
)
# Whoever has it right now is waited for: it is there.
_CLAIM_ONE = text(_CLAIM.format(condition="h.webhook_id = :webhook_id", who_has_it=""))
# The cadence keeps its phase; who is more than an interval late starts a new one.
_RECORD = text(
    """
    WITH said AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:ids AS bigint[]), CAST(:tokens AS text[]), CAST(:due AS timestamptz[]),
            CAST(:statuses AS text[]), CAST(:failures AS int[]), CAST(:slow AS int[]),
            CAST(:successes AS int[]), CAST(:outcomes AS text[]), CAST(:reasons AS text[]),
            CAST(:http_statuses AS int[]), CAST(:latencies AS float8[]), CAST(:errors AS text[]),
            CAST(:certificates AS timestamptz[])
        ) AS s (id, token, due, status, failures, slow, successes, outcome, reason, http_status,
                latency, error, certificate)
    ), done AS (
        UPDATE pggit.webhook_health_metrics h
        SET lease_token = NULL, health_status = said.status,
            changed_at = CASE WHEN h.health_status = said.status THEN h.changed_at ELSE now() END,
            consecutive_failures = said.failures, consecutive_slow = said.slow,
            consecutive_successes = said.successes, last_check_at = now(),
            certificate_expires_at = said.certificate,
            next_check_at = CASE
                WHEN said.due + every.interval > now() THEN LEAST(said.due, now()) + every.interval
                ELSE now() + every.interval END
        FROM said JOIN pggit.webhooks w ON w.id = said.id AND w.deleted_at IS NULL
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => w.health_check_interval_seconds) AS interval
        ) every
        WHERE h.webhook_id = said.id AND h.lease_token = said.token
        RETURNING h.webhook_id
    ), logged AS (
        INSERT INTO pggit.webhook_health_checks
            (webhook_id, checked_at, outcome, reason, http_status, latency_ms, error, health_status)
        SELECT said.id, now(), said.outcome, said.reason, said.http_status, said.latency,
            said.error, said.status
        FROM said JOIN done ON done.webhook_id = said.id
    )
    SELECT webhook_id FROM done
    """
)


def claim_due(
    session: Session, cipher: Cipher, limit: int, default_timeout_seconds: int
) -> list[Check]:
    """Lease at most `limit` checks that are due, the latest first."""
    parameters = {"limit": limit, "timeout": default_timeout_seconds}
    return _claim(session, cipher, _CLAIM_DUE, parameters)


def claim_one(
    session: Session, cipher: Cipher, webhook_id: int, default_timeout_seconds: int
) -> Check:
    """Lease a webhook's check now, whether or not it is due, even from another checker."""
    get_row(session, webhook_id)
    parameters = {"limit": 1, "timeout": default_timeout_seconds, "webhook_id": webhook_id}
    checks = _claim(session, cipher, _CLAIM_ONE, parameters)
    if not checks:
        raise NotFound("There is no such webhook.")
    return checks[0]


def _claim(
    session: Session, cipher: Cipher, statement: Any, parameters: dict[str, Any]
) -> list[Check]:
    rows = session.execute(statement, parameters | {"margin": LEASE_MARGIN_SECONDS}).all()
    return [
        Check(
            webhook_id=row.webhook_id,
            lease_token=row.lease_token,
            due_at=row.due_at,
            name=row.name,
            request=Request(
                method=row.check_method,
                url=row.url,
                headers=(
                    ("user-agent", USER_AGENT),
                    *_headers(cipher, row.headers_encrypted),
                ),
                body=None,
                timeout_seconds=float(row.timeout),
                fresh_connection=True,
                want_certificate=True,
            ),
            policy=CheckPolicy(
                tuple(row.check_expected_status) if row.check_expected_status else None,
                row.check_max_latency_ms,
                row.check_failure_threshold,
                row.check_recovery_threshold,
            ),
            health=Health(
                HealthStatus(row.health_status),
                row.consecutive_failures,
                row.consecutive_slow,
                row.consecutive_successes,
            ),
        )
        for row in rows
    ]


def _headers(cipher: Cipher, encrypted: bytes | None) -> tuple[tuple[str, str], ...]:
    if encrypted is None:
        return ()
    headers: dict[str, str] = json.loads(cipher.decrypt(encrypted))
    return tuple(headers.items())


def judge_response(check: Check, response: Response) -> CheckResult:
    verdict = judge(check.policy, response.status, response.failure, response.latency_ms)
    return CheckResult(
        check,
        verdict,
        advance(check.health, verdict.outcome, check.policy),
        response.status,
        response.latency_ms,
        response.error,
        response.certificate_expires_at,
    )


def record(
    session: Session,
    now: datetime,
    events: list[Event],
    results: Sequence[CheckResult],
    retry_schedule: Sequence[int],
) -> set[int]:
    """Record results and tell of changes, in one transaction. The webhooks that were recorded.

    A check whose lease was taken by another, or whose webhook was deleted, changes nothing.
    """
    said = sorted(results, key=lambda result: result.check.webhook_id)
    recorded = set(
        session.scalars(
            _RECORD,
            {
                "ids": [one.check.webhook_id for one in said],
                "tokens": [one.check.lease_token for one in said],
                "due": [one.check.due_at for one in said],
                "statuses": [one.health.status for one in said],
                "failures": [one.health.failures for one in said],
                "slow": [one.health.slow for one in said],
                "successes": [one.health.successes for one in said],
                "outcomes": [one.verdict.outcome for one in said],
                "reasons": [one.verdict.reason for one in said],
                "http_statuses": [one.http_status for one in said],
                "latencies": [one.latency_ms for one in said],
                "errors": [one.error for one in said],
                "certificates": [one.certificate_expires_at for one in said],
            },
        )
    )
    changed = [
        one
        for one in said
        if one.check.webhook_id in recorded
        and is_worth_telling(one.check.health.status, one.health.status)
    ]
    for one in changed:
        _tell(session, now, events, one, retry_schedule)
    # Last, since nobody waits for another lock while he holds the one that this takes.
    back = [one.check.webhook_id for one in changed if has_recovered(one)]
    if back:
        recovered(session, back)
        events.append(DeliveriesQueued())
    return recorded


def has_recovered(result: CheckResult) -> bool:
    """Whether this check found an unavailable webhook to answer again."""
    unavailable = HealthStatus.UNAVAILABLE
    return result.check.health.status is unavailable and result.health.status is not unavailable


def _tell(
    session: Session,
    now: datetime,
    events: list[Event],
    result: CheckResult,
    retry_schedule: Sequence[int],
) -> None:
    """A change of state ends the alert of the state before; a bad new state raises one."""
    webhook_id, status = result.check.webhook_id, result.health.status
    log.info(
        "webhook health changed",
        action="health_changed",
        webhook_id=webhook_id,
        before=result.check.health.status,
        after=status,
    )
    open_alerts = session.scalars(
        select(Alert.id).where(
            Alert.dedup_key.in_([_dedup_key(webhook_id, state) for state in HealthStatus]),
            Alert.status != "resolved",
        )
    ).all()
    for alert_id in sorted(open_alerts):
        resolve(session, now, events, alert_id, ALERT_SOURCE)
    if status is HealthStatus.HEALTHY:
        return
    draft = Draft(
        title=f"Webhook “{result.check.name}” is {status}",
        message=_why(result),
        severity=_SEVERITY[status],
        source=ALERT_SOURCE,
        labels={
            "webhook_id": str(webhook_id),
            "webhook": result.check.name,
            "health_status": status,
            "reason": result.verdict.reason,
        },
        dedup_key=_dedup_key(webhook_id, status),
        not_to=webhook_id,
    )
    raise_alerts(session, now, events, [draft], ALERT_SOURCE, retry_schedule)


def _dedup_key(webhook_id: int, status: HealthStatus) -> str:
    return f"{ALERT_SOURCE}:{webhook_id}:{status}"


def _why(result: CheckResult) -> str:
    in_a_row = (
        f"{result.health.failures} failed checks in a row"
        if result.verdict.outcome is CheckOutcome.FAILED
        else f"{result.health.slow} slow or failed checks in a row"
    )
    last = f"HTTP {result.http_status}" if result.http_status else result.error or "no answer"
    return f"{in_a_row}; the last one: {last} after {result.latency_ms:.0f} ms."
