"""From samples to the rollups of their buckets."""

from collections.abc import Iterator

import numpy as np
from datasketches import kll_doubles_sketch

from app.domain.rollups import SKETCH_K, Rollup
from app.domain.samples import MICROSECONDS, Packed


def by_bucket(samples: Packed, resolution: int) -> Iterator[tuple[int, int, Rollup]]:
    """For each series and each bucket of `resolution` seconds that has samples: the series, the
    start of the bucket in microseconds since 1970, and the rollup.

    The samples are ordered by series, then by time, as `unpack` leaves them.
    """
    if not len(samples):
        return
    width = resolution * MICROSECONDS
    series, values = samples["series"], np.ascontiguousarray(samples["value"])
    buckets = samples["at"] // width
    is_first = np.ones(len(samples), dtype=bool)
    is_first[1:] = (series[1:] != series[:-1]) | (buckets[1:] != buckets[:-1])
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=len(samples))
    sums = np.add.reduceat(values, starts)
    # All at once: a call for each of thousands of small buckets would cost more than its work.
    deviations = values - np.repeat(sums / counts, counts)
    spreads = np.add.reduceat(deviations * deviations, starts)
    columns = (
        series[starts],
        buckets[starts] * width,
        starts,
        counts,
        sums,
        spreads,
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
    )
    for one, at, start, count, total, m2, least, most in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        sketch = kll_doubles_sketch(SKETCH_K)
        sketch.update(values[start : start + count])
        yield one, at, Rollup(count, total, m2, least, most, sketch.serialize())
