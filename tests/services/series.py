"""Rollups for tests, as the roller would leave them, from values at any time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
    # Worked out before the transaction begins: PostgreSQL ends one that idles for long.
    rollups = [
        (resolution, datetime.fromtimestamp(start, UTC), rollup)
        for resolution in RESOLUTIONS
        for start, rollup in _rolled(epochs, of, resolution)
    ]
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
            rollup | {"resolution": resolution, "series_id": series.id, "at": start}
            for resolution, start, rollup in rollups
        ]
        session.execute(
            delete(MetricRollup).where(
                MetricRollup.series_id == series.id,
                MetricRollup.at >= min(row["at"] for row in rows),
                MetricRollup.at <= max(row["at"] for row in rows),
            )
        )
        session.execute(insert(MetricRollup), rows)


def _rolled(
    epochs: NDArray[np.float64], values: NDArray[np.float64], resolution: int
) -> Iterator[tuple[float, dict[str, Any]]]:
    """The start of each bucket, and the fields of its rollup."""
    in_time = np.argsort(epochs, kind="stable")
    starts, first = np.unique((epochs[in_time] // resolution) * resolution, return_index=True)
    for start, part in zip(starts.tolist(), np.split(values[in_time], first[1:]), strict=True):
        yield start, asdict(rollup_of(part))


def every(step: timedelta, since: datetime, until: datetime, *, each: int = 1) -> list[datetime]:
    """Moments from `since` to before `until`; `each` so many at the same time."""
    count = int((until - since) / step)
    return [since + place * step for place in range(count) for _ in range(each)]
