"""Rollups, to read."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.rollups import Rollup, merge
from models import MetricRollup, MetricSeries

ROWS_AT_ONCE = 500


def rollups_of(
    session: Session, operation: str, resolution: int, since: datetime, until: datetime
) -> Sequence[tuple[datetime, Rollup]]:
    """The buckets of `resolution` seconds that begin from `since` to before `until`, in order,
    merged over all series of the operation. A bucket without a sample is left out.
    """
    rows = session.execute(
        select(
            MetricRollup.at,
            MetricRollup.count,
            MetricRollup.sum,
            MetricRollup.m2,
            MetricRollup.min,
            MetricRollup.max,
            MetricRollup.sketch,
        )
        .where(
            MetricRollup.series_id.in_(
                select(MetricSeries.id).where(MetricSeries.operation == operation)
            ),
            MetricRollup.resolution == resolution,
            MetricRollup.at >= since,
            MetricRollup.at < until,
        )
        .order_by(MetricRollup.at),
        # The sketches of a long time are large: not all of them are here at once.
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    return [
        (at, merge(Rollup(*row[1:]) for row in bucket))
        for at, bucket in groupby(rows, attrgetter("at"))
    ]
