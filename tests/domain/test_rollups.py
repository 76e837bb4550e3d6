"""Rollups: however values are split and in whatever order they come, the whole is the same."""

import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rollups import (
    RANK_ERROR,
    SKETCH_K,
    Rollup,
    mean,
    merge,
    quantiles,
    rollup_of,
    stddev,
)

# Whole numbers add up without rounding, so what is exact can be asked to be.
WHOLE = st.integers(-(10**6), 10**6).map(float)
FINITE = st.floats(-1e100, 1e100)
RANKS = (0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
# RANK_ERROR holds for 99 of 100 sketches. Three times that is eight standard deviations.
SURELY = 3 * RANK_ERROR


def split(values: Sequence[float], cuts: Sequence[int]) -> list[Sequence[float]]:
    edges = [0, *sorted(cut % (len(values) + 1) for cut in cuts), len(values)]
    parts = [values[start:end] for start, end in pairwise(edges)]
    return [part for part in parts if part]


def exact(rollup: Rollup) -> tuple[int, float, float, float]:
    return rollup.count, rollup.sum, rollup.min, rollup.max


def rank_errors(rollup: Rollup, values: Sequence[float], ranks: Sequence[float]) -> list[float]:
    """How far each answer's own rank is from the rank asked for; 0 where it lies within."""
    ordered = np.sort(np.asarray(values))
    errors = []
    for rank, answer in zip(ranks, quantiles(rollup, ranks), strict=True):
        below = np.searchsorted(ordered, answer, "left") / len(ordered)
        upto = np.searchsorted(ordered, answer, "right") / len(ordered)
        errors.append(max(below - rank, rank - upto, 0.0))
    return errors


@given(st.lists(WHOLE, min_size=1), st.lists(st.integers(0, 1000), max_size=5), st.randoms())
def test_parts_in_any_order_are_the_whole(
    values: list[float], cuts: list[int], luck: Random
) -> None:
    parts = [rollup_of(part) for part in split(values, cuts)]
    luck.shuffle(parts)
    whole, merged = rollup_of(values), merge(parts)
    assert exact(merged) == exact(whole)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-6)
    # So few values are all in the sketch, so its answers are the exact ones.
    assert quantiles(merged, RANKS) == quantiles(whole, RANKS)


@given(st.lists(st.lists(FINITE, min_size=1, max_size=20), min_size=1, max_size=6))
def test_values_of_any_size_merge_without_overflow(lists: list[list[float]]) -> None:
    values = [value for part in lists for value in part]
    merged = merge(rollup_of(part) for part in lists)
    assert merged.count == len(values)
    assert (merged.min, merged.max) == (min(values), max(values))
    size = max(abs(value) for value in values)
    assert merged.sum == pytest.approx(math.fsum(values), rel=1e-9, abs=1e-9 * size)
    assert math.isfinite(merged.m2)
    assert merged.m2 >= 0


@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.booleans())
def test_merged_sketches_answer_within_the_bound_as_one_does(
    seed: int, pieces: int, in_order: bool
) -> None:
    """In order is the hard case: each part then knows another range."""
    values = np.random.default_rng(seed).lognormal(3, 1, 12_000)
    if in_order:
        values.sort()
    merged = merge(rollup_of(part) for part in np.array_split(values, pieces))
    assert merged.count == len(values)
    assert max(rank_errors(rollup_of(values), values.tolist(), RANKS)) <= SURELY
    assert max(rank_errors(merged, values.tolist(), RANKS)) <= SURELY


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_merge_of_merges_keeps_the_bound(seed: int, pieces: int) -> None:
    """Minutes into five minutes into hours, and single late samples into all of them."""
    chance = np.random.default_rng(seed)
    values = chance.exponential(50, 6_000)
    minutes = [rollup_of(part) for part in np.array_split(values, pieces)]
    fives = [merge(minutes[start : start + 5]) for start in range(0, len(minutes), 5)]
    late = chance.normal(500, 10, 20)
    hour = merge(fives)
    for value in late:
        hour = merge((hour, rollup_of([value])))
    everything = np.concatenate((values, late))
    assert hour.sum == pytest.approx(everything.sum())
    assert hour.m2 == pytest.approx(((everything - everything.mean()) ** 2).sum())
    assert max(rank_errors(hour, everything.tolist(), RANKS)) <= SURELY


def test_the_spread_of_large_values_that_are_close_together_is_not_lost() -> None:
    """A sum of squares would have no digit left for it."""
    values = [1e9 + step for step in (0.0, 1.0, 2.0, 3.0)]
    merged = merge(rollup_of([value]) for value in values)
    assert stddev(merged) == pytest.approx(math.sqrt(1.25))
    assert mean(merged) == 1e9 + 1.5


@pytest.mark.parametrize(
    ("rank", "value"), [(0, 1), (0.1, 1), (0.11, 2), (0.5, 5), (0.51, 6), (0.99, 10), (1, 10)]
)
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(
    rank: float, value: float
) -> None:
    assert quantiles(rollup_of(range(10, 0, -1)), [rank]) == [value]


def test_one_value_is_a_rollup() -> None:
    one = rollup_of([7.5])
    assert exact(one) == (1, 7.5, 7.5, 7.5)
    assert (one.m2, stddev(one), mean(one)) == (0, 0, 7.5)
    assert merge([one]) is one
    assert len(one.sketch) < 20


def test_a_sketch_is_bounded_however_much_there_is() -> None:
    rollup = rollup_of(np.arange(1_000_000))
    assert len(rollup.sketch) < 24 * SKETCH_K * 2
    assert RANK_ERROR < 0.0035


def test_of_nothing_there_is_no_rollup() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        rollup_of([])
    with pytest.raises(ValueError, match="nothing to merge"):
        merge([])
