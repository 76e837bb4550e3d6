"""Recording checks: the health, the history, the rollup, and what is told, in one transaction."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from app.adapters.arrays import number_array, text_array, time_array, word_array
from app.adapters.database import by_index
from app.domain.cadence import next_check
from app.domain.check_rollups import bucket_of
from app.domain.events import Changed, ChecksDue, DeliveriesQueued, Event
from app.domain.flapping import Flapping, FlapReason, observe
from app.domain.health import CheckDecision, HealthStatus, news
from app.domain.live import Kind
from app.services.dependencies import hurry, lock_dependencies, reconcile
from app.services.health_alerts import end_state_alerts
from app.services.health_checks import CheckResult
from app.services.health_news import certificate_news, tell_of_certificate, tell_of_state
from app.services.health_rollups import ADD_TO_MINUTE, FINEST
from app.services.maintenance import is_in_maintenance, maintenance_windows
from app.services.traffic import recovered
from models import WebhookHealth

# Whose parent is asked first is checked again so soon after.
SOON_SECONDS = 5

# Whoever changed the interval meanwhile wants a check by the new one, so that one is due at once.
_RECORD = text(
    f"""
    WITH said AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:ids AS bigint[]), CAST(:tokens AS text[]), CAST(:intervals AS int[]),
            CAST(:next AS timestamptz[]), CAST(:statuses AS text[]), CAST(:failures AS int[]),
            CAST(:slow AS int[]), CAST(:successes AS int[]), CAST(:outcomes AS text[]),
            CAST(:reasons AS text[]), CAST(:decisions AS text[]), CAST(:confirms AS text[]),
            CAST(:maintenance AS bool[]), CAST(:http_statuses AS int[]),
            CAST(:latencies AS float8[]), CAST(:errors AS text[]),
            CAST(:certificates AS timestamptz[]), CAST(:dns AS float8[]),
            CAST(:connect AS float8[]), CAST(:tls AS float8[]), CAST(:first_byte AS float8[])
        ) AS s (id, token, interval, next_check_at, status, failures, slow, successes, outcome,
            reason, decision, confirms, in_maintenance, http_status, latency, error, certificate,
            dns, connect, tls, first_byte)
    ), done AS (
        UPDATE pggit.webhook_health_metrics h
        SET lease_token = NULL, leased_until = NULL, last_check_at = now(),
            health_status = CASE WHEN h.blocked_by IS NULL THEN said.status ELSE 'unknown' END,
            changed_at = CASE WHEN h.blocked_by IS NOT NULL OR h.health_status = said.status
                THEN h.changed_at ELSE now() END,
            consecutive_failures = CASE WHEN h.blocked_by IS NULL THEN said.failures ELSE 0 END,
            consecutive_slow = CASE WHEN h.blocked_by IS NULL THEN said.slow ELSE 0 END,
            consecutive_successes = CASE WHEN h.blocked_by IS NULL THEN said.successes ELSE 0 END,
            failing_since = CASE WHEN h.blocked_by IS NULL AND said.failures > 0
                THEN COALESCE(h.failing_since, now()) END,
            certificate_expires_at = CASE WHEN said.http_status IS NULL
                THEN COALESCE(said.certificate, h.certificate_expires_at)
                ELSE said.certificate END,
            next_check_at = CASE WHEN w.health_check_interval_seconds = said.interval
                THEN said.next_check_at ELSE now() END
        FROM said JOIN pggit.webhooks w ON w.id = said.id AND w.deleted_at IS NULL
        WHERE h.webhook_id = said.id AND h.lease_token = said.token
        RETURNING h.webhook_id, h.health_status, h.blocked_by IS NOT NULL AS is_blocked,
            said.outcome, said.reason, said.decision, said.confirms, said.http_status,
            said.latency, said.error, said.in_maintenance, said.dns, said.connect, said.tls,
            said.first_byte
    ), logged AS (
        INSERT INTO pggit.webhook_health_checks
            (webhook_id, checked_at, outcome, reason, decision, confirms, http_status, latency_ms,
             error, health_status, in_maintenance, dns_ms, connect_ms, tls_ms, first_byte_ms)
        SELECT webhook_id, now(), outcome, reason,
            CASE WHEN is_blocked THEN :blocked_decision ELSE decision END,
            confirms, http_status, latency, error, health_status, in_maintenance, dns, connect,
            tls, first_byte
        FROM done
    ), rolled_up AS ({ADD_TO_MINUTE})
    SELECT webhook_id, is_blocked FROM done
    """  # noqa: S608 - only constants in it
)


class _Record(NamedTuple):
    """A result with what follows from it; `decision` None: nothing was decided. `is_calm`: the
    health is as it was, nobody waits for it to stay so, and the webhook is not blocked."""

    result: CheckResult
    decision: CheckDecision | None
    flapping: Flapping
    in_maintenance: bool
    next_check_at: datetime
    is_calm: bool

    @property
    def shakes_others(self) -> bool:
        """Whether others may depend on what became of it."""
        return (self.result.check.health.status is _DOWN) is not (
            self.result.health.status is _DOWN
        )

    def has_news(self, now: datetime) -> bool:
        """Whether anything can follow from it but that it is recorded."""
        return (
            not self.is_calm
            or self.decision is not None
            or certificate_news(self.result, now) is not None
        )


_DOWN, _UNKNOWN = HealthStatus.UNAVAILABLE, HealthStatus.UNKNOWN
_CALM, _WAIT_FOR_PARENT = FlapReason.CALM, CheckDecision.WAIT_FOR_PARENT
_NO_TIMINGS = (None, None, None, None, None)
_COLUMNS: Sequence[tuple[str, Callable[[Iterable[Any]], str]]] = (
    ("ids", number_array),
    ("tokens", word_array),
    ("intervals", number_array),
    ("next", time_array),
    ("statuses", word_array),
    ("failures", number_array),
    ("slow", number_array),
    ("successes", number_array),
    ("outcomes", word_array),
    ("reasons", word_array),
    ("decisions", word_array),
    ("confirms", text_array),
    ("maintenance", number_array),
    ("http_statuses", number_array),
    ("latencies", number_array),
    ("errors", text_array),
    ("certificates", time_array),
    ("dns", number_array),
    ("connect", number_array),
    ("tls", number_array),
    ("first_byte", number_array),
)


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
    if any(one.shakes_others for one in records if not one.is_calm):
        lock_dependencies(session)
    blocked = _write(session, now, records)
    heard = [one for one in records if blocked.get(one.result.check.webhook_id) is False]
    if any(one.has_news(now) for one in heard):
        _follow_up(session, now, events, heard, retry_schedule)
    decisions = {one.result.check.webhook_id: one.decision for one in records}
    return {
        webhook_id: CheckDecision.PARENT_UNAVAILABLE if is_blocked else decisions[webhook_id]
        for webhook_id, is_blocked in blocked.items()
    }


def _webhook_id(result: CheckResult) -> int:
    return result.check.webhook_id


def _record_of(result: CheckResult, now: datetime, in_maintenance: bool) -> _Record:
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
    return _Record(result, decision, flapping, in_maintenance, next_at, is_calm)


def _confirmed(result: CheckResult) -> str | None:
    """Why a check failed the first time, of one that was made a second time at once."""
    first = result.first
    if first is None:
        return None
    shown = first.error if first.http_status is None else f"HTTP {first.http_status}"
    return f"{first.verdict.reason}: {shown}"


def _row(one: _Record) -> tuple[Any, ...]:
    """What is said of it, in the order of `_RECORD`."""
    result, decision, _flapping, in_maintenance, next_check_at, _is_calm = one
    check, verdict, health, _, http_status, latency, error, timings, expires_at, _first = result
    dns, connect, tls, first_byte, _total = timings or _NO_TIMINGS
    return (
        check.webhook_id,
        check.lease_token,
        check.plan.interval_seconds,
        next_check_at,
        *health,
        *verdict,
        decision,
        _confirmed(result),
        in_maintenance,
        http_status,
        latency,
        error,
        expires_at,
        dns,
        connect,
        tls,
        first_byte,
    )


def _write(session: Session, now: datetime, records: Sequence[_Record]) -> dict[int, bool]:
    """The webhooks that were recorded, and whether each is blocked."""
    columns = zip(*map(_row, records), strict=True)
    by_index(session)
    done = session.execute(
        _RECORD,
        {
            "minute": bucket_of(now, FINEST),
            "blocked_decision": CheckDecision.PARENT_UNAVAILABLE,
            # Where none has a value, `unnest` makes up for them.
            **{
                name: "{}" if column.count(None) == len(column) else as_array(column)
                for (name, as_array), column in zip(_COLUMNS, columns, strict=True)
            },
        },
    )
    return {row[0]: row[1] for row in done.all()}


def _follow_up(
    session: Session,
    now: datetime,
    events: list[Event],
    records: Sequence[_Record],
    retry_schedule: Sequence[int],
) -> None:
    """What follows from results that were recorded. The order of locks: health, by the lock of
    dependencies where others are concerned; alerts; traffic.
    """
    moved = [one.result.check.webhook_id for one in records if one.shakes_others]
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


def _remember(session: Session, one: _Record, certificate_told: bool | None) -> None:
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
