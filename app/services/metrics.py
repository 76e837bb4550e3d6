"""Metrics, to look at: which there are, and what they were over a stretch of time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import sqrt
from operator import itemgetter
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.ranges import MAX_BUCKETS, QUANTILES, BadRange, Range, resolve
from app.domain.rollups import quantiles_of_all
from app.errors import Invalid, NotFound
from models import MetricSeries

ROWS_AT_ONCE = 500
DEFAULT_SPAN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Operation:
    """What is measured. `unit` is null where its series have none, or not the same."""

    operation: str
    unit: str | None
    series: int
    created_at: datetime
    last_sample_at: datetime | None


_OPERATIONS = text(
    """
    SELECT operation, CASE WHEN min(unit) = max(unit) THEN min(unit) END, count(*),
        min(created_at), max(last_sample_at)
    FROM pggit_analytics.metric_series
    GROUP BY operation ORDER BY min(id) DESC
    """
)
_WHERE = """
    WHERE r.resolution = :resolution AND r.series_id = ANY(:series)
        AND r.at >= :first AND r.at < :until
"""
_POINT = "date_bin(make_interval(secs => :step), r.at, CAST('1970-01-01Z' AS timestamptz))"
# The spread about the mean of all, which must be known first.
_SCALARS = text(
    f"""
    SELECT point, sum(count), sum(sum), min(min), max(max),
        sum(m2 + count * (sum / count - mean) ^ 2)
    FROM (
        SELECT {_POINT} AS point, r.*,
            sum(r.sum) OVER whole / sum(r.count) OVER whole AS mean
        FROM pggit_analytics.metric_rollups r {_WHERE}
        WINDOW whole AS (PARTITION BY {_POINT})
    ) AS r
    GROUP BY point
    """  # noqa: S608 - only constants in it
)
_SKETCHES = text(
    f"""
    SELECT {_POINT} AS point, r.sketch
    FROM pggit_analytics.metric_rollups r {_WHERE} ORDER BY r.at
    """  # noqa: S608
)


def list_operations(session: Session) -> list[Operation]:
    """All there are, the newest first."""
    return [Operation(*row) for row in session.execute(_OPERATIONS)]


def series_of(session: Session, operation: str, labels: Mapping[str, str]) -> Sequence[Any]:
    """The (id, unit) of an operation's series that have these labels. Raises NotFound for an
    operation that there is not.
    """
    rows = session.execute(
        select(
            MetricSeries.id, MetricSeries.unit, MetricSeries.labels.contains(dict(labels))
        ).where(MetricSeries.operation == operation)
    ).all()
    if not rows:
        raise NotFound("There is no such operation.")
    return [(row[0], row[1]) for row in rows if row[2]]


def answer(session: Session, now: datetime, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The points of an operation over its series that match, and what they are of.

    `asked`: operation, labels, agg; until (now), since (an hour before), step. Raises NotFound, and
    Invalid for a range that can't be answered.
    """
    until = asked.get("until", now)
    since = asked.get("since", until - DEFAULT_SPAN)
    try:
        range_ = resolve(since, until, asked.get("step"), now)
    except BadRange as error:
        raise Invalid({error.field: [error.fault]}) from None
    series = series_of(session, asked["operation"], asked["labels"])
    units = {unit for _id, unit in series}
    points = list(points_of(session, [one for one, _unit in series], range_, asked["agg"]))
    return {
        "operation": asked["operation"],
        "unit": units.pop() if len(units) == 1 else None,
        "series": len(series),
        "since": since,
        "until": until,
        "step": range_.step,
        "resolution": range_.resolution,
        "points": points,
    }


def points_of(
    session: Session, series: Sequence[int], asked: Range, aggregates: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Each point with `at` and the aggregates; null where there is no sample.

    Raises Invalid where it would read more than one question may.
    """
    buckets = len(series) * asked.points * (asked.step // asked.resolution)
    if buckets > MAX_BUCKETS:
        fault = (
            f"These are {len(series)} series and up to {buckets} buckets; {MAX_BUCKETS} are the "
            "most. Ask for less time, a larger step, or fewer series by their labels."
        )
        raise Invalid({"step": [fault]})
    parameters = {
        "resolution": asked.resolution,
        "series": list(series),
        "first": asked.first,
        "until": asked.until,
        "step": asked.step,
    }
    known = _scalars(session, parameters, asked.step)
    ranks = {name: QUANTILES[name] for name in aggregates if name in QUANTILES}
    if ranks:
        for at, values in _quantiles(session, parameters, list(ranks.values())):
            # Not what was rolled up after the others had been read.
            if at in known:
                known[at].update(zip(ranks, values, strict=True))
    nothing: dict[str, Any] = {}
    for number in range(asked.points):
        at = asked.point(number)
        found = known.get(at, nothing)
        yield {"at": at, **{name: found.get(name) for name in aggregates}}


def _scalars(
    session: Session, parameters: Mapping[str, Any], step: int
) -> dict[datetime, dict[str, Any]]:
    return {
        at: {
            "count": int(count),
            "sum": total,
            "min": least,
            "max": most,
            "avg": total / float(count),
            "stddev": sqrt(m2 / float(count)),
            "rate": float(count) / step,
        }
        for at, count, total, least, most, m2 in session.execute(_SCALARS, parameters)
    }


def _quantiles(
    session: Session, parameters: Mapping[str, Any], ranks: Sequence[float]
) -> Iterator[tuple[datetime, list[float]]]:
    rows = session.execute(_SKETCHES, parameters, execution_options={"yield_per": ROWS_AT_ONCE})
    for at, bucket in groupby(rows, itemgetter(0)):
        yield at, quantiles_of_all((row[1] for row in bucket), ranks)
