"""What a baseline is made of, read from rollups, from partials, and from the baseline before.

Asked of the driver itself, in its binary format: sketches as text would be twice as long.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import psycopg
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.adapters.database import driver_of
from app.domain.baseline import Baseline, Buckets, Floats, Statistics
from app.domain.recalculation import Hours
from app.domain.rollups import Rollup, merge

HOUR_SECONDS = 3600
TEST_SECONDS = 300
TEST_WINDOW = timedelta(days=7)
# Sketches are read in portions, so that an operation of many series does not fill the memory.
MAX_ROWS = 2000

_HOURS: LiteralString = """
    SELECT extract(epoch FROM at)::float8, sum(count)::int8, min(min), max(max)
    FROM pggit_analytics.metric_rollups
    WHERE resolution = %(resolution)s AND series_id = ANY(%(series)s)
        AND at >= %(since)s AND at < %(until)s
    GROUP BY at ORDER BY at
"""
_BUCKETS: LiteralString = """
    SELECT extract(epoch FROM at)::float8, sum(sum) / sum(count)::float8, sum(count)::float8
    FROM pggit_analytics.metric_rollups
    WHERE resolution = %(resolution)s AND series_id = ANY(%(series)s)
        AND at >= %(since)s AND at < %(until)s
    GROUP BY at ORDER BY at
"""
_SKETCHES: LiteralString = """
    SELECT wanted.slot, r.count, r.sum, r.m2, r.min, r.max, r.sketch
    FROM unnest(%(at)s::float8[], %(slots)s::int2[]) AS wanted (at, slot)
    CROSS JOIN unnest(%(series)s::int8[]) AS one (series_id)
    JOIN pggit_analytics.metric_rollups r
        ON r.resolution = %(resolution)s AND r.series_id = one.series_id
            AND r.at = to_timestamp(wanted.at)
            AND r.at >= %(since)s AND r.at < %(until)s
"""
_PARTIALS: LiteralString = """
    SELECT slot, sum, m2, min, max, sketch,
        sample_count, p50, p75, p90, p95, p99, mean, stddev, mad
    FROM pggit_analytics.baseline_partials
    WHERE operation = %s AND slot = ANY(%s)
"""
_ACTIVE: LiteralString = """
    SELECT -1, sample_count, p50, p75, p90, p95, p99, mean, stddev, mad
    FROM pggit_analytics.baseline_versions
    WHERE operation = %(operation)s AND status = 'active'
    UNION ALL
    SELECT s.slot, s.sample_count, s.p50, s.p75, s.p90, s.p95, s.p99, s.mean, s.stddev, s.mad
    FROM pggit_analytics.baseline_slots s
    JOIN pggit_analytics.baseline_versions v ON v.id = s.version_id
    WHERE v.operation = %(operation)s AND v.status = 'active'
"""


@contextmanager
def _cursor(session: Session) -> Iterator[psycopg.Cursor[Any]]:
    """Of the session's transaction. Raises OperationalError for whatever the driver raises."""
    try:
        with driver_of(session).cursor(binary=True) as cursor:
            yield cursor
    except psycopg.Error as error:
        raise OperationalError("a baseline's data", None, error) from error


def series_of(session: Session, operation: str) -> list[int]:
    with _cursor(session) as cursor:
        cursor.execute(
            "SELECT id FROM pggit_analytics.metric_series WHERE operation = %s ORDER BY id",
            [operation],
        )
        return [row[0] for row in cursor]


def read_hours(session: Session, series: Sequence[int], since: datetime, until: datetime) -> Hours:
    rows = _rows(session, _HOURS, HOUR_SECONDS, series, since, until)
    at, counts, least, greatest = _columns(rows, 4)
    return Hours(at, counts.astype(np.int64), least, greatest)


def read_buckets(
    session: Session, series: Sequence[int], since: datetime, until: datetime
) -> Buckets:
    """The means of five minutes each, merged over the series."""
    return Buckets(*_columns(_rows(session, _BUCKETS, TEST_SECONDS, series, since, until), 3))


def _rows(
    session: Session,
    query: LiteralString,
    resolution: int,
    series: Sequence[int],
    since: datetime,
    until: datetime,
) -> list[Any]:
    with _cursor(session) as cursor:
        cursor.execute(
            query,
            {"resolution": resolution, "series": series, "since": since, "until": until},
        )
        return cursor.fetchall()


def _columns(rows: Sequence[Any], count: int) -> Sequence[Floats]:
    return [*np.array(rows, dtype=np.float64).reshape(-1, count).T]


def merge_hours(
    session: Session,
    series: Sequence[int],
    wanted: Mapping[int, Floats],
    since: datetime,
    until: datetime,
) -> dict[int, Rollup]:
    """For each hour of the week the merged rollup of the hours that begin at the given times."""
    merged = {}
    for slots in _portions(wanted, max(len(series), 1)):
        at = np.concatenate([wanted[slot] for slot in slots])
        of = np.repeat(slots, [len(wanted[slot]) for slot in slots])
        parts = defaultdict(list)
        with _cursor(session) as cursor:
            cursor.execute(
                _SKETCHES,
                {
                    "at": at.tolist(),
                    "slots": of.tolist(),
                    "series": series,
                    "resolution": HOUR_SECONDS,
                    "since": since,
                    "until": until,
                },
            )
            for row in cursor:
                parts[row[0]].append(Rollup(*row[1:]))
        merged.update({slot: merge(parts[slot]) for slot in slots if parts[slot]})
    return merged


def _portions(wanted: Mapping[int, Floats], series: int) -> Iterator[list[int]]:
    portion: list[int] = []
    rows = 0
    for slot, at in wanted.items():
        if portion and rows + len(at) * series > MAX_ROWS:
            yield portion
            portion, rows = [], 0
        portion.append(slot)
        rows += len(at) * series
    if portion:
        yield portion


def fingerprints_of(session: Session, operation: str) -> dict[int, bytes]:
    """Of the partials, by hour of the week."""
    with _cursor(session) as cursor:
        cursor.execute(
            "SELECT slot, fingerprint FROM pggit_analytics.baseline_partials WHERE operation = %s",
            [operation],
        )
        return {slot: bytes(fingerprint) for slot, fingerprint in cursor}


def read_partials(
    session: Session, operation: str, slots: Sequence[int]
) -> dict[int, tuple[Rollup, Statistics]]:
    with _cursor(session) as cursor:
        cursor.execute(_PARTIALS, [operation, list(slots)])
        return {row[0]: (Rollup(row[6], *row[1:6]), Statistics(*row[6:])) for row in cursor}


def read_active(session: Session, operation: str) -> Baseline | None:
    """The baseline that is in force, if there is one."""
    with _cursor(session) as cursor:
        cursor.execute(_ACTIVE, {"operation": operation})
        found = {row[0]: Statistics(*row[1:]) for row in cursor}
    overall = found.pop(-1, None)
    return None if overall is None else Baseline(overall, found)
