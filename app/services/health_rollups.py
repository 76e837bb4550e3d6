"""Rollups of health checks: read, written with each check, and folded into coarser ones.

A check is written into its minute, in the transaction that records it. Minutes
are folded into five minutes and into hours once those are over. Whoever reads a coarse resolution
gets what was not folded yet from the minutes, so that nothing is missing, and raw checks are never
read.
"""

from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.check_rollups import CheckRollup, bucket_of, merge

FINEST = 60

_COLUMNS = (
    "checks, failed, slow, in_maintenance, latency_sum_ms, latency_min_ms, latency_max_ms, sketch"
)
# What is coarse ends where the last bucket that was folded ends; what is finer goes on from there.
_READ = text(
    f"""
    WITH stored AS (
        SELECT at, resolution, {_COLUMNS} FROM pggit.webhook_health_rollups
        WHERE webhook_id = :id AND resolution = :resolution AND at >= :since AND at < :until
    ), tail AS (
        SELECT at, resolution, {_COLUMNS} FROM pggit.webhook_health_rollups
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
    session: Session, webhook_id: int, resolution: int, since: datetime, until: datetime
) -> list[tuple[datetime, CheckRollup]]:
    """The buckets of `resolution` seconds (60, 300 or 3600) that begin in `since` ≤ at < `until`,
    each with the time at which it begins, the oldest first. Where nothing was checked there is no
    bucket. `since` is moved back to the beginning of its bucket.

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
        },
    )
    return [
        (at, merge(_rollup_of(row) for row in bucket))
        for at, bucket in groupby(rows, key=lambda row: bucket_of(row.at, resolution))
    ]


def _rollup_of(row: Any) -> CheckRollup:
    return CheckRollup(
        row.checks,
        row.failed,
        row.slow,
        row.in_maintenance,
        row.latency_sum_ms,
        row.latency_min_ms,
        row.latency_max_ms,
        None if row.sketch is None else bytes(row.sketch),
    )
