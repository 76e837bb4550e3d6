"""Baselines: statistics from sketches, hours of the week, and what is off."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.back_test import BackTest, Verdict, back_test, judge, runs
from app.domain.baseline import (
    Baseline,
    Buckets,
    Statistics,
    band,
    hour_of_week,
    hours_of_week,
    off_baseline,
    statistics_of,
)
from app.domain.rollups import RANK_ERROR, merge, rollup_of

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def statistics(mean: float = 100.0, stddev: float = 10.0, mad: float = 5.0) -> Statistics:
    return Statistics(1000, mean, mean, mean, mean, mean, mean, stddev, mad)


def buckets(*means: float, count: int = 10_000, since: datetime = MONDAY) -> Buckets:
    at = np.array([since.timestamp() + 300 * place for place in range(len(means))])
    return Buckets(at, np.array(means), np.full(len(means), float(count)))


@pytest.mark.parametrize(
    ("moment", "hour"),
    [
        (MONDAY, 0),
        (MONDAY + timedelta(minutes=59, seconds=59), 0),
        (MONDAY + timedelta(hours=1), 1),
        (MONDAY - timedelta(microseconds=1), 167),
        (datetime(2026, 11, 24, 14, tzinfo=UTC), 38),
        (datetime(2026, 11, 23, 0, 30, tzinfo=timezone(timedelta(hours=1))), 167),
        (datetime(1970, 1, 1, tzinfo=UTC), 72),
    ],
)
def test_the_hour_of_the_week_is_by_utc(moment: datetime, hour: int) -> None:
    assert hour_of_week(moment) == hour
    assert hours_of_week(np.array([moment.timestamp()])).tolist() == [hour]


@given(st.integers(0, 4 * 10**9).map(lambda at: datetime.fromtimestamp(at, UTC)))
def test_one_and_many_moments_have_the_same_hours(moment: datetime) -> None:
    assert hours_of_week(np.array([moment.timestamp()])).tolist() == [hour_of_week(moment)]


VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


@given(VALUES)
def test_of_few_values_the_statistics_are_those_of_the_values(values: list[float]) -> None:
    """A sketch holds up to 800 values as they are, so that the rank is the only choice there is."""
    found = statistics_of(rollup_of(values))
    ordered = sorted(values)
    assert found.sample_count == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert found.stddev == pytest.approx(np.std(values), abs=1e-4, rel=1e-6)
    assert ordered[0] <= found.p50 <= found.p75 <= found.p90 <= found.p95 <= found.p99
    assert found.p99 <= ordered[-1]
    assert found.p50 in ordered
    _mad_is_right(values, found, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_mad_of_many_values_is_within_the_error_that_is_named(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(5, 1, 200_000)
    parts = [rollup_of(part) for part in np.split(values, 50)]
    _mad_is_right(values.tolist(), statistics_of(merge(parts)), RANK_ERROR)


def _mad_is_right(values: list[float], found: Statistics, rank_error: float) -> None:
    """Half of the values are no further from the p50 than the MAD, give or take the error."""
    distances = np.abs(np.array(values) - found.p50)
    slack = 1e-9 * (1 + abs(found.mad))
    allowed = 2 * rank_error + 1 / 1000
    assert (distances <= found.mad + slack).mean() >= 0.5 - allowed - 1 / len(values)
    assert (distances < found.mad - slack).mean() <= 0.5 + allowed + 1 / len(values)


@given(VALUES, st.integers(0, 5))
def test_the_statistics_do_not_depend_on_how_the_values_were_cut(
    values: list[float], cuts: int
) -> None:
    whole = statistics_of(rollup_of(values))
    step = max(1, len(values) // (cuts + 1))
    parts = [rollup_of(values[at : at + step]) for at in range(0, len(values), step)]
    found = statistics_of(merge(parts[::-1]))
    assert (found.sample_count, found.p50, found.p99, found.mad) == (
        whole.sample_count,
        whole.p50,
        whole.p99,
        whole.mad,
    )
    assert found.mean == pytest.approx(whole.mean, abs=1e-6)


@pytest.mark.parametrize(
    ("usual", "count", "half"),
    [
        # Of many samples the robust spread decides: 3 × 1.4826 × 5.
        (statistics(), 10_000, 22.239),
        # Of few it is chance: 3 × 10 / √1.
        (statistics(), 1, 30.0),
        # An outlier of the past widens the standard deviation, and with many samples not the band.
        (statistics(stddev=1000.0), 1_000_000, 22.239),
        # A constant may change by 3 % before anybody would call it unusual.
        (statistics(stddev=0.0, mad=0.0), 1, 3.0),
        (statistics(mean=-100.0, stddev=0.0, mad=0.0), 1, 3.0),
        (statistics(mean=0.0, stddev=0.0, mad=0.0), 1, 0.0),
    ],
)
def test_the_band_is_what_is_material_and_no_chance(
    usual: Statistics, count: int, half: float
) -> None:
    low, high = band(usual, count)
    assert (low, high) == pytest.approx((usual.mean - half, usual.mean + half))


def test_what_is_out_of_the_band_is_off_on_either_side() -> None:
    baseline = Baseline(statistics(), {})
    found = off_baseline(baseline, buckets(100, 122.2, 122.3, 77.8, 77.7))
    assert found.tolist() == [False, False, True, False, True]


def test_each_hour_is_compared_with_its_own_or_with_the_whole() -> None:
    baseline = Baseline(statistics(), {0: statistics(mean=500.0)})
    late = buckets(500, 100, since=MONDAY + timedelta(minutes=55))
    assert off_baseline(baseline, late).tolist() == [False, False]
    assert off_baseline(baseline, buckets(100, 500)).tolist() == [True, False]


def test_no_buckets_are_no_trouble() -> None:
    assert off_baseline(Baseline(statistics(), {}), buckets()).tolist() == []
    assert back_test(Baseline(statistics(), {}), buckets()) == BackTest(0, 0, 0)


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        ("", []),
        ("0", []),
        ("1", []),
        ("010", []),
        ("11", [(0, 1)]),
        ("0110", [(1, 2)]),
        ("11011101", [(0, 1), (3, 5)]),
        ("1111", [(0, 3)]),
    ],
)
def test_it_fires_once_for_each_run_of_two_or_more(
    off: str, expected: list[tuple[int, int]]
) -> None:
    assert runs(np.array([one == "1" for one in off], dtype=bool)) == expected


def test_the_back_test_counts_buckets_and_firings() -> None:
    found = back_test(Baseline(statistics(), {}), buckets(100, 200, 200, 100, 200, 100, 0, 0, 0))
    assert found == BackTest(buckets=9, off=6, fired=2)


@pytest.mark.parametrize(
    ("candidate", "active", "verdict"),
    [
        (BackTest(2000, 1900, 5), None, Verdict.FIRST),
        (BackTest(0, 0, 0), BackTest(0, 0, 0), Verdict.NOTHING_TO_TEST),
        (BackTest(2000, 100, 9), BackTest(2000, 0, 0), Verdict.FITS),  # 5 %
        (BackTest(2000, 101, 9), BackTest(2000, 0, 0), Verdict.FIRES_TOO_OFTEN),
        (BackTest(2000, 400, 9), BackTest(2000, 200, 9), Verdict.FITS),  # twice
        (BackTest(2000, 401, 9), BackTest(2000, 200, 9), Verdict.FIRES_TOO_OFTEN),
        # An unusual week is no fault of the candidate.
        (BackTest(2000, 1500, 3), BackTest(2000, 1800, 2), Verdict.FITS),
    ],
)
def test_a_candidate_is_compared_with_the_active_one(
    candidate: BackTest, active: BackTest | None, verdict: Verdict
) -> None:
    assert judge(candidate, active) is verdict
    assert verdict.takes_over is (verdict is not Verdict.FIRES_TOO_OFTEN)
