"""Health checks: claim the webhooks that are due, and judge what came of the probe."""

import json
import secrets
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.cipher import Cipher
from app.adapters.http import Request, Response, Timings
from app.domain.flapping import Flapping, FlapPolicy, flap_policy
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
from app.services.messages import USER_AGENT
from app.services.webhooks import get_row

# A checker that dies leaves its checks due again after two probes' time-out (the second confirms
# the first) and this.
LEASE_MARGIN_SECONDS = 15


class Check(NamedTuple):
    """A leased check and what it needs to know of its webhook, as it was when it was claimed.

    `parents` None: it depends on none that could be at fault.
    """

    webhook_id: int
    lease_token: str
    due_at: datetime
    name: str
    interval_seconds: int
    request: Request
    policy: CheckPolicy
    flap_policy: FlapPolicy
    min_certificate_days: int | None
    health: Health
    flapping: Flapping
    failing_since: datetime | None
    certificate_told: bool
    is_blocked: bool
    depends_on: tuple[int, ...]
    parents: Parents | None


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
        return self.decision is CheckDecision.CONFIRM_AT_ONCE


_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT h.webhook_id, h.next_check_at FROM pggit.webhook_health_metrics h
        JOIN pggit.webhooks w ON w.id = h.webhook_id
        WHERE {condition} AND w.deleted_at IS NULL
        ORDER BY h.next_check_at LIMIT :limit FOR UPDATE OF h {who_has_it}
    )
    UPDATE pggit.webhook_health_metrics h
    -- Its own, and fresh: PostgreSQL's own way to draw one may open a file each time.
    SET lease_token = :chance || h.webhook_id, next_check_at = statement_timestamp()
        + make_interval(secs => 2 * COALESCE(w.timeout_seconds, :timeout) + :margin)
    FROM due JOIN pggit.webhooks w ON w.id = due.webhook_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, bool_or(p.consecutive_failures > 0) AS is_failing,
            CASE WHEN bool_and(p.last_check_at IS NOT NULL) THEN min(p.last_check_at) END
                AS checked_since
        FROM pggit.webhook_health_metrics p JOIN pggit.webhooks pw ON pw.id = p.webhook_id
        WHERE w.depends_on <> '{{}}' AND p.webhook_id = ANY(w.depends_on)
            AND pw.is_active AND pw.deleted_at IS NULL AND p.blocked_by IS NULL
            AND p.health_status <> 'unavailable'
    ) parents
    WHERE h.webhook_id = due.webhook_id
    RETURNING h.webhook_id, h.lease_token, due.next_check_at, w.name, w.url,
        w.headers_encrypted, COALESCE(w.timeout_seconds, :timeout), w.health_check_interval_seconds,
        w.check_method, w.check_expected_status, w.check_max_latency_ms,
        w.check_failure_threshold, w.check_recovery_threshold, w.check_body_includes,
        w.check_body_excludes, NULLIF(w.check_headers, '{{}}'), w.check_min_certificate_days,
        w.check_flap_changes, w.check_flap_window_seconds, NULLIF(w.depends_on, '{{}}'),
        h.health_status, h.consecutive_failures, h.consecutive_slow, h.consecutive_successes,
        h.failing_since, NULLIF(h.changed_times, '{{}}'), h.flapping_since, h.certificate_told,
        h.blocked_by IS NOT NULL, parents.count, parents.is_failing, parents.checked_since
"""
_CLAIM_DUE = text(
    _CLAIM.format(
        condition="w.is_active AND h.next_check_at <= statement_timestamp()",
        who_has_it="SKIP LOCKED",
    )
)
# Whoever has it right now is waited for: it is there.
_CLAIM_ONE = text(_CLAIM.format(condition="h.webhook_id = :webhook_id", who_has_it=""))


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
    given = {"margin": LEASE_MARGIN_SECONDS, "chance": f"{secrets.token_hex(8)}-"}
    rows = session.execute(statement, parameters | given).all()
    return [_check_of(cipher, *row) for row in rows]


def _check_of(
    cipher: Cipher,
    webhook_id: int,
    lease_token: str,
    due_at: datetime,
    name: str,
    url: str,
    headers_encrypted: bytes | None,
    timeout: int,
    interval: int,
    method: str,
    expected_status: list[int] | None,
    max_latency_ms: int | None,
    failure_threshold: int,
    recovery_threshold: int,
    body_includes: str | None,
    body_excludes: str | None,
    wanted_headers: dict[str, str | None] | None,
    min_certificate_days: int | None,
    flap_changes: int | None,
    flap_window: int | None,
    depends_on: list[int] | None,
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
    headers = tuple((name.lower(), value) for name, value in (wanted_headers or {}).items())
    return Check(
        webhook_id,
        lease_token,
        due_at,
        name,
        interval,
        Request(
            method=method,
            url=url,
            headers=(_USER_AGENT, *_headers(cipher, headers_encrypted)),
            body=None,
            timeout_seconds=float(timeout),
            fresh_connection=True,
            want_certificate=True,
            want_headers=tuple(name for name, _ in headers),
        ),
        CheckPolicy(
            tuple(expected_status) if expected_status else None,
            max_latency_ms,
            failure_threshold,
            recovery_threshold,
            body_includes,
            body_excludes,
            headers,
        ),
        flap_policy(flap_changes, flap_window, interval),
        min_certificate_days,
        Health(_STATUSES[status], failures, slow, successes),
        Flapping(tuple(changed_times or ()), flapping_since),
        failing_since,
        certificate_told,
        is_blocked,
        tuple(depends_on or ()),
        Parents(bool(parent_is_failing), parents_checked_since) if parents else None,
    )


_STATUSES = {status.value: status for status in HealthStatus}
_USER_AGENT = ("user-agent", USER_AGENT)


def _headers(cipher: Cipher, encrypted: bytes | None) -> tuple[tuple[str, str], ...]:
    if encrypted is None:
        return ()
    headers: dict[str, str] = json.loads(cipher.decrypt(encrypted))
    return tuple(headers.items())


def judge_response(check: Check, response: Response) -> CheckResult:
    """What came of a check. Who gets one that `wants_confirmation` probes again and calls
    `confirm`, before anything is recorded.
    """
    verdict = _judge(check, response)
    if check.is_blocked:
        return _result(check, verdict, Health(), None, response)
    after = advance(check.health, verdict.outcome, check.policy)
    decision = CheckDecision.CONFIRM_AT_ONCE if goes_down(check.health, after) else None
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
    return judge(
        check.policy,
        response.status,
        response.failure,
        response.latency_ms,
        response.body,
        response.headers,
    )


def _result(
    check: Check,
    verdict: CheckVerdict,
    health: Health,
    decision: CheckDecision | None,
    response: Response,
    first: CheckResult | None = None,
) -> CheckResult:
    return CheckResult(
        check,
        verdict,
        health,
        decision,
        response.status,
        response.latency_ms,
        response.error,
        response.timings,
        response.certificate_expires_at,
        first,
    )
