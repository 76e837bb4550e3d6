"""Rollups: what is kept of many values, so that any number of them merges into one.

Count, sum, least and greatest merge exactly (a sum but for rounding). The spread is the sum of
squared deviations from the mean, merged by the formula of Chan, Golub and LeVeque, "Updating
Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979); a sum of squares would
lose all its digits where values are large and close together. Quantiles come from a KLL sketch
(Karnin, Lang, Liberty, "Optimal Quantile Approximation in Streams", 2016), which holds every
value up to `SKETCH_K` of them, and after that answers within `RANK_ERROR`, merged or not.

A sketch throws coins when it makes room, so two sketches of the same values may differ in bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from datasketches import kll_doubles_sketch
from numpy.typing import ArrayLike

SKETCH_K: Final = 800
# Of 1: how far the rank of an answer may be from the rank asked for, at 99 % confidence.
RANK_ERROR: Final[float] = kll_doubles_sketch.get_normalized_rank_error(SKETCH_K, False)
# The widths of the buckets, in seconds; each is a multiple of those before.
RESOLUTIONS: Final = (60, 300, 3600)


@dataclass(frozen=True, slots=True)
class Rollup:
    """One value at least. `m2` is the sum of squared deviations from the mean; `sketch` is a
    serialised `kll_doubles_sketch` with k = `SKETCH_K`.
    """

    count: int
    sum: float
    m2: float
    min: float
    max: float
    sketch: bytes


def rollup_of(values: ArrayLike) -> Rollup:
    """The rollup of some finite values, in any order.

    Raises ValueError where there are none.
    """
    array = np.ascontiguousarray(values, dtype=np.float64)
    if not array.size:
        raise ValueError("a rollup needs a value")
    sketch = kll_doubles_sketch(SKETCH_K)
    sketch.update(array)
    deviations = array - array.mean()
    return Rollup(
        count=array.size,
        sum=float(array.sum()),
        m2=float(np.dot(deviations, deviations)),
        min=float(array.min()),
        max=float(array.max()),
        sketch=sketch.serialize(),
    )


def merge(rollups: Iterable[Rollup]) -> Rollup:
    """One rollup of all values of these, in any order.

    Raises ValueError where there are none.
    """
    parts = iter(rollups)
    first = next(parts, None)
    if first is None:
        raise ValueError("nothing to merge")
    count, total, m2, least, most = first.count, first.sum, first.m2, first.min, first.max
    sketches = [first.sketch]
    for part in parts:
        delta = part.sum / part.count - total / count
        m2 += part.m2 + delta * delta * (count * part.count / (count + part.count))
        count += part.count
        total += part.sum
        least = min(least, part.min)
        most = max(most, part.max)
        sketches.append(part.sketch)
    if len(sketches) == 1:
        return first
    return Rollup(count, total, m2, least, most, merge_sketches(sketches))


def merge_sketches(sketches: Sequence[bytes]) -> bytes:
    """The sketch of all values of these. Raises ValueError without any."""
    return sketches[0] if len(sketches) == 1 else bytes(_merged(sketches).serialize())


def _merged(sketches: Iterable[bytes]) -> kll_doubles_sketch:
    opened = map(kll_doubles_sketch.deserialize, sketches)
    merged: kll_doubles_sketch | None = next(opened, None)
    if merged is None:
        raise ValueError("a sketch of nothing")
    for one in opened:
        merged.merge(one)
    return merged


def quantiles(rollup: Rollup, ranks: Sequence[float]) -> list[float]:
    """For each rank (0 to 1), the value that this part of the values does not exceed.

    It is one of the values; its true rank is within `RANK_ERROR` of the rank asked for.
    """
    return quantiles_of_all([rollup.sketch], ranks)


def quantiles_of_all(sketches: Iterable[bytes], ranks: Sequence[float]) -> list[float]:
    """The same, of the values of all these sketches together. Raises ValueError without any."""
    return list(_merged(sketches).get_quantiles(list(ranks), True))


def mean(rollup: Rollup) -> float:
    return rollup.sum / rollup.count


def stddev(rollup: Rollup) -> float:
    """The standard deviation of the values themselves (divided by their count, not one less)."""
    return sqrt(rollup.m2 / rollup.count)
