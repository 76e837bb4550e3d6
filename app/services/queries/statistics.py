"""What each query has cost so far, in this process."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from app.adapters.cache.entry import Source

# The latest loads, of which times are told.
LOADS_KEPT = 500


@dataclass(frozen=True, slots=True)
class QueryStatistics:
    """Of one query since the process began; times are in ms, of its latest loads.

    Who waited for a load of somebody else's counts as a miss; `loads` are those that were made.
    """

    name: str
    calls: int
    hits_l1: int
    hits_l2: int
    misses: int
    stale: int
    loads: int
    errors: int
    rows: int
    bytes: int
    mean_ms: float | None
    p95_ms: float | None
    total_ms: float


class Tally:
    """The counts of one query."""

    def __init__(self) -> None:
        self.by_source = dict.fromkeys(Source, 0)
        self.errors = 0
        self.loads = 0
        self.rows = 0
        self.bytes = 0
        self.total_ms = 0.0
        self._times: deque[float] = deque(maxlen=LOADS_KEPT)
        self._lock = threading.Lock()

    def loaded(self, milliseconds: float, rows: int, size: int) -> None:
        with self._lock:
            self.loads += 1
            self.rows += rows
            self.bytes += size
            self.total_ms += milliseconds
            self._times.append(milliseconds)

    def failed(self) -> None:
        with self._lock:
            self.errors += 1

    def told(self, name: str) -> QueryStatistics:
        with self._lock:
            times = sorted(self._times)
        counts = dict(self.by_source)
        return QueryStatistics(
            name=name,
            calls=sum(counts.values()) + self.errors,
            hits_l1=counts[Source.L1],
            hits_l2=counts[Source.L2],
            misses=counts[Source.DATABASE],
            stale=counts[Source.STALE],
            loads=self.loads,
            errors=self.errors,
            rows=self.rows,
            bytes=self.bytes,
            mean_ms=fmean(times) if times else None,
            p95_ms=times[int(len(times) * 0.95)] if times else None,
            total_ms=self.total_ms,
        )


def slowest(statistics: Sequence[QueryStatistics], count: int = 10) -> list[QueryStatistics]:
    """Those whose loads take longest, by p95; what was never loaded is left out."""
    loaded = [one for one in statistics if one.p95_ms is not None]
    return sorted(loaded, key=lambda one: one.p95_ms or 0.0, reverse=True)[:count]
