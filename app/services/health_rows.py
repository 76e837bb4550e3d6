"""The rows of checks: what is said of many goes into the health, the history and the rollups by one
statement."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.arrays import number_array, text_array, time_array, word_array
from app.adapters.database import by_index
from app.domain.check_rollups import bucket_of
from app.domain.flapping import Flapping
from app.domain.health import CheckDecision
from app.services.health_checks import CheckResult
from app.services.health_rollups import ADD_TO_MINUTE, FINEST

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


class Record(NamedTuple):
    """A result with what follows from it; `decision` None: nothing was decided.

    `is_calm`: the health is what it was, has not changed lately, and the webhook is not blocked.
    """

    result: CheckResult
    decision: CheckDecision | None
    flapping: Flapping
    in_maintenance: bool
    next_check_at: datetime
    is_calm: bool


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


def _confirmed(result: CheckResult) -> str | None:
    """Why a check failed the first time, of one that was made a second time at once."""
    first = result.first
    if first is None:
        return None
    shown = first.error if first.http_status is None else f"HTTP {first.http_status}"
    return f"{first.verdict.reason}: {shown}"


def _row(one: Record) -> tuple[Any, ...]:
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


def write(session: Session, now: datetime, records: Sequence[Record]) -> dict[int, bool]:
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
