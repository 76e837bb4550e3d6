"""Rollups for tests, as the roller would leave them, from values at any time."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import delete, insert, select

from app.domain.partitions import ROLLED, partitions_for
from app.domain.rollups import rollup_of
from app.services.partitions import make_partitions
from models import MetricRollup, MetricSeries
from tests.services.world import World

RESOLUTIONS = (300, 3600)


def feed(
    world: World,
    operation: str,
    at: Sequence[datetime],
    values: Iterable[float],
    labels: dict[str, str] | None = None,
) -> None:
    """Samples of one series; what it has between the first and the last of them is replaced."""
    epochs = np.array([one.timestamp() for one in at])
    of = np.array(list(values), dtype=np.float64)
    with world.deps.unit_of_work() as work:
        session = work.session
        for resolution in RESOLUTIONS:
            make_partitions(session, partitions_for(ROLLED[resolution], epochs.tolist()))
        series = session.scalars(
            select(MetricSeries).filter_by(operation=operation, labels=labels or {})
        ).one_or_none()
        if series is None:
            series = MetricSeries(operation=operation, labels=labels or {})
            session.add(series)
        series.last_sample_at = max(at)
        session.flush()
        rows = [
            asdict(rollup_of(of[starts == start]))
            | {"resolution": resolution, "series_id": series.id}
            | {"at": datetime.fromtimestamp(start, UTC)}
            for resolution in RESOLUTIONS
            for starts in [(epochs // resolution) * resolution]
            for start in np.unique(starts).tolist()
        ]
        session.execute(
            delete(MetricRollup).where(
                MetricRollup.series_id == series.id,
                MetricRollup.at >= min(row["at"] for row in rows),
                MetricRollup.at <= max(row["at"] for row in rows),
            )
        )
        session.execute(insert(MetricRollup), rows)


def every(step: timedelta, since: datetime, until: datetime, *, each: int = 1) -> list[datetime]:
    """Moments from `since` to before `until`; `each` so many at the same time."""
    count = int((until - since) / step)
    return [since + place * step for place in range(count) for _ in range(each)]
