"""Health checks: claim the webhooks that are due, and judge what came of the probe."""

import secrets
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app.adapters.database import by_index
from app.adapters.http_messages import Request, Response, Timings
from app.domain.flapping import Flapping
from app.domain.health import (
    CheckDecision,
    CheckOutcome,
    CheckPolicy,
    CheckVerdict,
    Health,
    HealthStatus,
    Parents,
    advance,
    goes_down,
    held_up,
    judge,
    waits_for_parents,
)
from app.errors import NotFound
from app.services.check_plans import Plan, Plans
from app.services.webhooks import get_row

# A checker that dies leaves its checks due again after two probes' time-out (the second confirms
# the first) and this.
LEASE_MARGIN_SECONDS = 15


_CONFIRM = CheckDecision.CONFIRM_AT_ONCE


class Check(NamedTuple):
    """A leased check, and the health of its webhook as it was when it was claimed.

    `parents` None: it depends on none that could be at fault.
    """

    webhook_id: int
    lease_token: str
    due_at: datetime
    plan: Plan
    health: Health
    flapping: Flapping
    failing_since: datetime | None
    certificate_told: bool
    is_blocked: bool
    parents: Parents | None

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def request(self) -> Request:
        return self.plan.request

    @property
    def policy(self) -> CheckPolicy:
        return self.plan.policy


class CheckResult(NamedTuple):
    """What came of a check, judged. `first` is the failure that it confirms, or does not."""

    check: Check
    verdict: CheckVerdict
    health: Health
    decision: CheckDecision | None
    http_status: int | None
    latency_ms: float
    error: str | None
    timings: Timings | None
    certificate_expires_at: datetime | None
    first: "CheckResult | None" = None

    @property
    def wants_confirmation(self) -> bool:
        """Whether to check again at once, with the same lease, before it is recorded."""
        return self.decision is _CONFIRM


_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT h.webhook_id, w.timeout_seconds, w.updated_at, w.depends_on
        FROM pggit.webhook_health_metrics h JOIN pggit.webhooks w ON w.id = h.webhook_id
        WHERE {condition} AND w.deleted_at IS NULL
        ORDER BY h.next_check_at LIMIT :limit FOR UPDATE OF h {who_has_it}
    )
    UPDATE /* unseen */ pggit.webhook_health_metrics h
    -- Its own, and fresh: PostgreSQL's own way to draw one may open a file each time.
    -- No column of an index, so that no index is written: what is leased stays due, and is passed
    -- over.
    SET lease_token = :chance || h.webhook_id, leased_until = statement_timestamp()
        + make_interval(secs => 2 * COALESCE(due.timeout_seconds, :timeout) + :margin)
    FROM due CROSS JOIN LATERAL (
        SELECT count(*) AS count, bool_or(p.consecutive_failures > 0) AS is_failing,
            CASE WHEN bool_and(p.last_check_at IS NOT NULL) THEN min(p.last_check_at) END
                AS checked_since
        FROM pggit.webhook_health_metrics p JOIN pggit.webhooks pw ON pw.id = p.webhook_id
        WHERE due.depends_on <> '{{}}' AND p.webhook_id = ANY(due.depends_on)
            AND pw.is_active AND pw.deleted_at IS NULL AND p.blocked_by IS NULL
            AND p.health_status <> 'unavailable'
    ) parents
    WHERE h.webhook_id = due.webhook_id
    RETURNING h.webhook_id, h.lease_token, h.next_check_at, due.updated_at,
        h.health_status, h.consecutive_failures, h.consecutive_slow, h.consecutive_successes,
        h.failing_since, NULLIF(h.changed_times, '{{}}'), h.flapping_since, h.certificate_told,
        h.blocked_by IS NOT NULL, parents.count, parents.is_failing, parents.checked_since
"""
_CLAIM_DUE = text(
    _CLAIM.format(
        condition="w.is_active AND h.next_check_at <= statement_timestamp()"
        " AND (h.leased_until IS NULL OR h.leased_until <= statement_timestamp())",
        who_has_it="SKIP LOCKED",
    )
)
# Whoever has it right now is waited for: it is there.
_CLAIM_ONE = text(_CLAIM.format(condition="h.webhook_id = :webhook_id", who_has_it=""))


def claim_due(session: Session, plans: Plans, limit: int) -> list[Check]:
    """Lease at most `limit` checks that are due, the latest first."""
    return _claim(session, plans, _CLAIM_DUE, {"limit": limit})


def claim_one(session: Session, plans: Plans, webhook_id: int) -> Check:
    """Lease a webhook's check now, whether or not it is due, even from another checker."""
    get_row(session, webhook_id)
    checks = _claim(session, plans, _CLAIM_ONE, {"limit": 1, "webhook_id": webhook_id})
    if not checks:
        raise NotFound("There is no such webhook.")
    return checks[0]


def _claim(
    session: Session, plans: Plans, statement: TextClause, parameters: dict[str, Any]
) -> list[Check]:
    given = {
        "margin": LEASE_MARGIN_SECONDS,
        "chance": f"{secrets.token_hex(8)}-",
        "timeout": plans.default_timeout_seconds,
    }
    by_index(session)
    rows = session.execute(statement, parameters | given).all()
    found = plans.of(session, {row[0]: row[3] for row in rows})
    return [_check_of(found[row[0]], *row) for row in rows]


def _check_of(
    plan: Plan,
    webhook_id: int,
    lease_token: str,
    due_at: datetime,
    _version: datetime,
    status: str,
    failures: int,
    slow: int,
    successes: int,
    failing_since: datetime | None,
    changed_times: list[datetime] | None,
    flapping_since: datetime | None,
    certificate_told: bool,
    is_blocked: bool,
    parents: int,
    parent_is_failing: bool | None,
    parents_checked_since: datetime | None,
) -> Check:
    """In the order of what a claim returns."""
    return Check(
        webhook_id,
        lease_token,
        due_at,
        plan,
        Health(_STATUSES[status], failures, slow, successes),
        Flapping(tuple(changed_times), flapping_since) if changed_times else _CALM,
        failing_since,
        certificate_told,
        is_blocked,
        Parents(bool(parent_is_failing), parents_checked_since) if parents else None,
    )


_CALM = Flapping()
_STATUSES = {status.value: status for status in HealthStatus}


def judge_response(check: Check, response: Response) -> CheckResult:
    """What came of a check. Who gets one that `wants_confirmation` probes again and calls
    `confirm`, before anything is recorded.
    """
    verdict = _judge(check, response)
    if check.is_blocked:
        return _result(check, verdict, Health(), None, response)
    policy = check.plan.policy
    after = advance(check.health, verdict.outcome, policy)
    decision = _CONFIRM if goes_down(check.health, after) else None
    return _result(check, verdict, after, decision, response)


def confirm(first: CheckResult, response: Response) -> CheckResult:
    """What came of the check that was made at once after one that `wants_confirmation`."""
    check = first.check
    verdict = _judge(check, response)
    held = held_up(check.health, first.health)
    decision: CheckDecision | None = None
    if verdict.outcome is not CheckOutcome.FAILED:
        decision = CheckDecision.NOT_CONFIRMED
        health = advance(held, verdict.outcome, check.policy)
    elif waits_for_parents(check.parents, check.failing_since):
        decision, health = CheckDecision.WAIT_FOR_PARENT, held
    else:
        health = first.health
    return _result(check, verdict, health, decision, response, first._replace(health=held))


def _judge(check: Check, response: Response) -> CheckVerdict:
    status, latency_ms, failure, _error, _retry, body, _timings, _expiry, headers = response
    return judge(check.plan.policy, status, failure, latency_ms, body, headers)


def _result(
    check: Check,
    verdict: CheckVerdict,
    health: Health,
    decision: CheckDecision | None,
    response: Response,
    first: CheckResult | None = None,
) -> CheckResult:
    status, latency_ms, _failure, error, _retry, _body, timings, expires_at, _headers = response
    return CheckResult(
        check,
        verdict,
        health,
        decision,
        status,
        latency_ms,
        error,
        timings,
        expires_at,
        first,
    )
