"""Rollups of health checks: what is kept of the checks in a bucket of time.

Latencies are kept as a KLL sketch (Karnin, Lang, Liberty 2016, "Optimal quantile approximation in
streams"), since quantiles of a whole can't be had from quantiles of its parts. Up to k values a
sketch is exact.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from datasketches import kll_doubles_sketch

from app.domain.rollups import SKETCH_K, merge_sketches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CheckRollup(NamedTuple):
    """The checks of one webhook in some time.

    `checks` are all of them. Those `in_maintenance` are counted nowhere else: `failed`, `slow` and
    all latencies, in ms, are of the rest. Latencies are of those that did not fail; without any,
    `latency_min_ms`, `latency_max_ms` and `sketch` (a serialised `kll_doubles_sketch` of k = 800)
    are None.
    """

    checks: int = 0
    failed: int = 0
    slow: int = 0
    in_maintenance: int = 0
    latency_sum_ms: float = 0.0
    latency_min_ms: float | None = None
    latency_max_ms: float | None = None
    sketch: bytes | None = None

    @property
    def counted(self) -> int:
        """The checks that uptime is a part of."""
        return self.checks - self.in_maintenance

    @property
    def answered(self) -> int:
        """The checks that have a latency here."""
        return self.counted - self.failed

    @property
    def uptime(self) -> float | None:
        """The part of the checks that did not fail, 0 to 1; None where none counts."""
        return self.answered / self.counted if self.counted else None

    @property
    def latency_mean_ms(self) -> float | None:
        return self.latency_sum_ms / self.answered if self.answered else None


EMPTY = CheckRollup()


def sketch_of(latencies: Sequence[float]) -> bytes:
    """The sketch of some latencies in ms, in any order."""
    sketch = kll_doubles_sketch(SKETCH_K)
    for latency in latencies:
        sketch.update(latency)
    return bytes(sketch.serialize())


def merge(rollups: Iterable[CheckRollup]) -> CheckRollup:
    """The rollup of all that these are of. Without any it is empty."""
    parts = list(rollups)
    if len(parts) == 1:
        return parts[0]
    sketches = [one.sketch for one in parts if one.sketch is not None]
    minima = [one.latency_min_ms for one in parts if one.latency_min_ms is not None]
    maxima = [one.latency_max_ms for one in parts if one.latency_max_ms is not None]
    return CheckRollup(
        checks=sum(one.checks for one in parts),
        failed=sum(one.failed for one in parts),
        slow=sum(one.slow for one in parts),
        in_maintenance=sum(one.in_maintenance for one in parts),
        latency_sum_ms=sum(one.latency_sum_ms for one in parts),
        latency_min_ms=min(minima, default=None),
        latency_max_ms=max(maxima, default=None),
        sketch=merge_sketches(sketches) if sketches else None,
    )


def latency_quantiles(rollup: CheckRollup, ranks: Sequence[float]) -> list[float] | None:
    """The latencies in ms at these ranks (0.5 is the median), each the least that so many do not
    exceed; None where no check answered."""
    if rollup.sketch is None:
        return None
    sketch = kll_doubles_sketch.deserialize(rollup.sketch)
    return [float(value) for value in sketch.get_quantiles(list(ranks), True)]


def bucket_of(moment: datetime, resolution: int) -> datetime:
    """The beginning of the bucket that a moment is in; buckets are counted from 1970 in UTC."""
    seconds = int((moment - _EPOCH).total_seconds()) // resolution * resolution
    return _EPOCH + timedelta(seconds=seconds)
