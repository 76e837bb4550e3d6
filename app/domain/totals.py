"""Totals: counters and histograms that only grow, added up over all processes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Upper edges in milliseconds, each belonging to its bucket, as Prometheus' `le` does. What is
# stored depends on them: another list needs a migration that empties the histograms.
EDGES = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)


@dataclass(frozen=True, slots=True)
class Total:
    """A counter; or with `buckets` a histogram: one more than `EDGES`, not cumulated."""

    count: int
    sum: float = 0.0
    buckets: tuple[int, ...] | None = None

    def __add__(self, other: "Total") -> "Total":
        mine, others = self.buckets, other.buckets
        both = mine if others is None else others if mine is None else _added(mine, others)
        return Total(self.count + other.count, self.sum + other.sum, both)


def _added(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def total_of(values: ArrayLike) -> Total:
    """The histogram of some values in milliseconds."""
    places = np.searchsorted(EDGES, values, side="left")
    buckets = np.bincount(places, minlength=len(EDGES) + 1)
    return Total(
        int(np.size(values)), float(np.sum(values)), tuple(int(count) for count in buckets)
    )
