"""Rollups of checks: what one counts, and that to merge them is to roll up all at once."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.check_rollups import (
    EMPTY,
    bucket_of,
    latency_quantiles,
    merge,
)
from app.domain.health import CheckOutcome
from tests.check_rollups import roll_up

P, S, F = CheckOutcome.PASSED, CheckOutcome.SLOW, CheckOutcome.FAILED
checks = st.tuples(st.sampled_from([P, S, F]), st.floats(0, 1e5), st.booleans())


@pytest.mark.parametrize(
    ("many", "counts", "uptime", "mean"),
    [
        ([], (0, 0, 0, 0), None, None),
        ([(P, 10, False)], (1, 0, 0, 0), 1, 10),
        ([(S, 10, False)], (1, 0, 1, 0), 1, 10),
        ([(F, 10, False)], (1, 1, 0, 0), 0, None),
        # In maintenance nothing counts, for good or ill.
        ([(F, 10, True)], (1, 0, 0, 1), None, None),
        ([(F, 10, True), (S, 99, True), (P, 20, False)], (3, 0, 0, 2), 1, 20),
        ([(P, 10, False), (S, 30, False), (F, 5, False), (F, 5, False)], (4, 2, 1, 0), 0.5, 20),
    ],
)
def test_what_is_counted(
    many: list[tuple[CheckOutcome, float, bool]],
    counts: tuple[int, ...],
    uptime: float | None,
    mean: float | None,
) -> None:
    rollup = roll_up(many)
    assert (rollup.checks, rollup.failed, rollup.slow, rollup.in_maintenance) == counts
    assert (rollup.uptime, rollup.latency_mean_ms) == (uptime, mean)


def test_latencies_are_of_those_that_answered() -> None:
    rollup = roll_up([*((P, float(ms), False) for ms in range(1, 101)), (F, 9999, False)])
    assert (rollup.latency_min_ms, rollup.latency_max_ms) == (1, 100)
    assert latency_quantiles(rollup, [0.5, 0.95, 0.99]) == [50, 95, 99]
    assert latency_quantiles(EMPTY, [0.5]) is None


@given(st.lists(checks, max_size=40), st.integers(0, 40))
def test_to_merge_parts_is_to_roll_up_the_whole(
    many: list[tuple[CheckOutcome, float, bool]], cut: int
) -> None:
    whole, parts = roll_up(many), merge([roll_up(many[:cut]), roll_up(many[cut:])])
    assert parts[:4] == whole[:4]
    assert parts[5:7] == whole[5:7]
    assert parts.latency_sum_ms == pytest.approx(whole.latency_sum_ms)
    # So few that a sketch keeps them all.
    ranks = [0.0, 0.5, 0.9, 1.0]
    assert latency_quantiles(parts, ranks) == latency_quantiles(whole, ranks)


def test_merged_sketches_stay_within_their_bound() -> None:
    """A day of checks each 5 s, merged from minutes: ranks within 0.5 % (KLL, k = 800)."""
    chance = random.Random(7)
    latencies = [chance.lognormvariate(3, 1) for _ in range(17_280)]
    minutes = [
        roll_up((P, ms, False) for ms in latencies[begin : begin + 12])
        for begin in range(0, len(latencies), 12)
    ]
    chance.shuffle(minutes)
    found = latency_quantiles(merge(minutes), [0.5, 0.95, 0.99])
    assert found is not None
    for rank, value in zip([0.5, 0.95, 0.99], found, strict=True):
        assert sum(ms <= value for ms in latencies) / len(latencies) == pytest.approx(
            rank, abs=0.005
        )


@given(st.integers(0, 10**15))
def test_buckets(microseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    for resolution in (60, 300, 3600):
        begin = bucket_of(moment, resolution)
        assert begin <= moment < begin + timedelta(seconds=resolution)
        assert begin.timestamp() % resolution == 0
