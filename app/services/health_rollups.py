"""Rollups of health checks: read, written with each check, and folded into coarser ones.

A check is written into its minute, by the statement that records it. Minutes
are folded into five minutes and into hours once those are over. Whoever reads a coarse resolution
gets what was not folded yet from the minutes, so that nothing is missing, and raw checks are never
read.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.arrays import bytes_array, number_array
from app.domain.check_rollups import CheckRollup, bucket_of, merge, sketch_of
from app.domain.health import CheckOutcome
from app.domain.rollups import RESOLUTIONS, merge_sketches

FINEST = 60
# For how long each resolution is kept.
KEPT = {60: timedelta(days=2), 300: timedelta(days=8), 3600: timedelta(days=400)}

_COUNTS = "checks, failed, slow, in_maintenance, latency_sum_ms, latency_min_ms, latency_max_ms"
_COLUMNS = f"{_COUNTS}, sketch"
_READ_COLUMNS = (
    f"at, {_COUNTS}, CASE WHEN :with_sketches THEN sketch END,"
    " CASE WHEN :with_sketches THEN latencies END"
)
# What is coarse ends where the last bucket that was folded ends; what is finer goes on from there.
_READ = text(
    f"""
    WITH stored AS (
        SELECT {_READ_COLUMNS} FROM pggit.webhook_health_rollups
        WHERE webhook_id = :id AND resolution = :resolution AND at >= :since AND at < :until
    ), tail AS (
        SELECT {_READ_COLUMNS} FROM pggit.webhook_health_rollups
        WHERE webhook_id = :id AND resolution = :finest AND :resolution > :finest
            AND at >= GREATEST(CAST(:since AS timestamptz), (
                SELECT max(at) + make_interval(secs => :resolution)
                FROM pggit.webhook_health_rollups
                WHERE webhook_id = :id AND resolution = :resolution
            )) AND at < :until
    )
    SELECT * FROM stored UNION ALL SELECT * FROM tail ORDER BY at
    """  # noqa: S608 - only constants in it
)


def check_rollups(
    session: Session,
    webhook_id: int,
    resolution: int,
    since: datetime,
    until: datetime,
    *,
    with_sketches: bool = True,
) -> list[tuple[datetime, CheckRollup]]:
    """The buckets of `resolution` seconds (60, 300 or 3600) that begin in `since` ≤ at < `until`,
    each with the time at which it begins, the oldest first. Where nothing was checked there is no
    bucket. `since` is moved back to the beginning of its bucket. Sketches are most of it: leave
    them out where only counts are wanted.

    Raw checks are never read, so this can be asked for as long a time as rollups are kept.
    """
    rows = session.execute(
        _READ,
        {
            "id": webhook_id,
            "resolution": resolution,
            "finest": FINEST,
            "since": bucket_of(since, resolution),
            "until": until,
            "with_sketches": with_sketches,
        },
    )
    return [
        (at, merge(_rollup_of(row[1:]) for row in bucket))
        for at, bucket in groupby(rows, key=lambda row: bucket_of(row.at, resolution))
    ]


# A part of the statement that records checks, where `done` has a row for each webhook. A minute
# keeps the latencies themselves. PostgreSQL can add to them, so that nothing is read before it is
# written; and so few as it has are shorter than their sketch.
ADD_TO_MINUTE = f"""
    INSERT INTO pggit.webhook_health_rollups AS r
        (webhook_id, resolution, at, {_COUNTS}, latencies)
    SELECT webhook_id, {FINEST}, :minute, 1,
        (outcome = '{CheckOutcome.FAILED}' AND NOT in_maintenance)::int,
        (outcome = '{CheckOutcome.SLOW}' AND NOT in_maintenance)::int,
        in_maintenance::int, COALESCE(counted, 0), counted, counted,
        CASE WHEN counted IS NOT NULL THEN ARRAY[counted] END
    FROM done CROSS JOIN LATERAL (
        SELECT CASE WHEN outcome <> '{CheckOutcome.FAILED}' AND NOT in_maintenance THEN latency END
    ) answered (counted)
    WHERE NOT is_blocked
    ON CONFLICT (webhook_id, resolution, at) DO UPDATE SET
        checks = r.checks + 1, failed = r.failed + EXCLUDED.failed,
        slow = r.slow + EXCLUDED.slow, in_maintenance = r.in_maintenance + EXCLUDED.in_maintenance,
        latency_sum_ms = r.latency_sum_ms + EXCLUDED.latency_sum_ms,
        latency_min_ms = LEAST(r.latency_min_ms, EXCLUDED.latency_min_ms),
        latency_max_ms = GREATEST(r.latency_max_ms, EXCLUDED.latency_max_ms),
        latencies = r.latencies || EXCLUDED.latencies
"""  # noqa: S608 - only constants in it
_PUT = text(
    f"""
    INSERT INTO pggit.webhook_health_rollups (webhook_id, resolution, at, {_COLUMNS})
    SELECT id, :resolution, :at, checks, failed, slow, in_maintenance, sum, min, max, sketch
    FROM unnest(
        CAST(:ids AS bigint[]), CAST(:checks AS int[]), CAST(:failed AS int[]),
        CAST(:slow AS int[]), CAST(:maintenance AS int[]), CAST(:sums AS float8[]),
        CAST(:minima AS float8[]), CAST(:maxima AS float8[]), CAST(:sketches AS bytea[])
    ) AS t (id, checks, failed, slow, in_maintenance, sum, min, max, sketch)
    ON CONFLICT (webhook_id, resolution, at) DO UPDATE SET
        checks = EXCLUDED.checks, failed = EXCLUDED.failed, slow = EXCLUDED.slow,
        in_maintenance = EXCLUDED.in_maintenance, latency_sum_ms = EXCLUDED.latency_sum_ms,
        latency_min_ms = EXCLUDED.latency_min_ms, latency_max_ms = EXCLUDED.latency_max_ms,
        sketch = EXCLUDED.sketch
    """  # noqa: S608
)


def _put(
    session: Session,
    resolution: int,
    at: datetime,
    rollups: Sequence[tuple[int, CheckRollup]],
) -> None:
    session.execute(
        _PUT,
        {
            "resolution": resolution,
            "at": at,
            "ids": number_array(one for one, _ in rollups),
            "checks": number_array(one.checks for _, one in rollups),
            "failed": number_array(one.failed for _, one in rollups),
            "slow": number_array(one.slow for _, one in rollups),
            "maintenance": number_array(one.in_maintenance for _, one in rollups),
            "sums": number_array(one.latency_sum_ms for _, one in rollups),
            "minima": number_array(one.latency_min_ms for _, one in rollups),
            "maxima": number_array(one.latency_max_ms for _, one in rollups),
            "sketches": bytes_array(one.sketch for _, one in rollups),
        },
    )


# A bucket that is over is folded only so much later: whoever records a check writes into the minute
# in which his transaction began, and is done by then.
SETTLED_AFTER = timedelta(seconds=60)
WEBHOOKS_AT_ONCE = 1000
# Where to go on. At first with the bucket before this one: nothing older was ever written.
_PROGRESS = text(
    """
    SELECT folded_until FROM pggit.webhook_health_rollup_progress WHERE resolution = :resolution
    """
)
_FOLDED = text(
    """
    INSERT INTO pggit.webhook_health_rollup_progress (resolution, folded_until)
    VALUES (:resolution, :until)
    ON CONFLICT (resolution) DO UPDATE
    SET folded_until = GREATEST(webhook_health_rollup_progress.folded_until, EXCLUDED.folded_until)
    """
)
# By way of the webhooks, so that each part of a bucket is found in the primary key.
_SOME_WEBHOOKS = text("SELECT id FROM pggit.webhooks WHERE id > :after ORDER BY id LIMIT :limit")
_TO_FOLD = text(
    f"""
    SELECT r.* FROM unnest(CAST(:ids AS bigint[])) AS wanted (id) CROSS JOIN LATERAL (
        SELECT webhook_id, {_COLUMNS}, latencies FROM pggit.webhook_health_rollups
        WHERE webhook_id = wanted.id AND resolution = {FINEST} AND at >= :at AND at < :until
        ORDER BY webhook_id, resolution, at LIMIT :minutes
    ) r
    ORDER BY r.webhook_id
    """  # noqa: S608
)


def fold(unit_of_work: Callable[[], Any]) -> dict[str, int]:
    """Fold what is over into coarser buckets, in short transactions; how many buckets of webhooks
    were written. To fold one again changes nothing.
    """
    return {
        f"folded_{resolution}": _fold(unit_of_work, resolution) for resolution in RESOLUTIONS[1:]
    }


def _fold(unit_of_work: Callable[[], Any], resolution: int) -> int:
    length = timedelta(seconds=resolution)
    with unit_of_work() as work:
        folded_until, now = work.session.scalar(_PROGRESS, {"resolution": resolution}), work.now
    at = bucket_of(max(folded_until or now - length, now - KEPT[FINEST]), resolution)
    written = 0
    while at + length + SETTLED_AFTER <= now:
        after: int | None = 0
        while after is not None:
            with unit_of_work() as work:
                after, count = _fold_some(work.session, resolution, at, at + length, after)
            written += count
        at += length
        with unit_of_work() as work:
            work.session.execute(_FOLDED, {"resolution": resolution, "until": at})
    return written


def _fold_some(
    session: Session, resolution: int, at: datetime, until: datetime, after: int
) -> tuple[int | None, int]:
    """The webhook to go on after (None: that was all), and how many were written."""
    ids = session.scalars(_SOME_WEBHOOKS, {"after": after, "limit": WEBHOOKS_AT_ONCE}).all()
    if not ids:
        return None, 0
    rows = session.execute(
        _TO_FOLD,
        {"ids": number_array(ids), "at": at, "until": until, "minutes": resolution // FINEST},
    )
    folded = [
        (webhook_id, merge(_rollup_of(row[1:]) for row in minutes))
        for webhook_id, minutes in groupby(rows, key=lambda row: row.webhook_id)
    ]
    if folded:
        _put(session, resolution, at, folded)
    return ids[-1], len(folded)


def _rollup_of(columns: Sequence[Any]) -> CheckRollup:
    """In the order in which they are read."""
    *counts, sketch, latencies = columns
    parts = [] if sketch is None else [bytes(sketch)]
    if latencies:
        parts.append(sketch_of(latencies))
    return CheckRollup._make((*counts, merge_sketches(parts) if parts else None))
