"""The figures that predictions rest on: what each says, and that only the past counts."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.check_rollups import CheckRollup
from app.domain.health import CheckOutcome
from app.domain.risk_features import (
    FEATURES,
    MAX_LOG_RATIO,
    WEEK_HOURS,
    CheckHistory,
    Feature,
    Gap,
    Present,
    features_of,
    history_of,
    scaled,
)
from tests.check_rollups import roll_up

NOW_HOUR = 500_000
Hours = dict[int, tuple[float, float, float, float]]


def history(hours: Hours) -> CheckHistory:
    """`hours` ago (1: the hour just over) → checks, failed, slow, p95."""
    rows = [(3600.0 * (NOW_HOUR - ago), *figures) for ago, figures in hours.items()]
    return CheckHistory(*np.array(rows, np.float64).reshape(-1, 5).T)


def at_now(hours: Hours, present: Present | None = None) -> tuple[dict[str, float], Gap | None]:
    rows, gaps = features_of(history(hours), [3600.0 * NOW_HOUR], [present or Present()])
    return dict(zip(FEATURES, rows[0].tolist(), strict=True)), gaps[0]


def steady(**changed: tuple[float, float, float, float]) -> Hours:
    """A week of 10 checks an hour of 100 ms, but for some hours: `h3` is three hours ago."""
    week: Hours = dict.fromkeys(range(1, WEEK_HOURS + 1), (10, 0, 0, 100.0))
    return week | {int(name.removeprefix("h")): figures for name, figures in changed.items()}


QUIET = {
    Feature.FAILURES_IN_A_ROW: 0,
    Feature.FAILURE_RATE_1H: 0,
    Feature.FAILURE_RATE_6H: 0,
    Feature.FAILURE_RATE_24H: 0,
    Feature.FAILURE_RATE_7D: 0,
    Feature.HOURS_SINCE_FAILURE: 168,
    Feature.HOURS_SINCE_OUTAGE: 168,
    Feature.OUTAGES_24H: 0,
    Feature.OUTAGES_7D: 0,
    Feature.OUTAGE_DAYS_SAME_HOURS: 0,
    Feature.SLOW_RATE_1H: 0,
    Feature.SLOW_RATE_24H: 0,
    Feature.LATENCY_RATIO_1H: 0,
    Feature.LATENCY_RATIO_6H: 0,
    Feature.LATENCY_TREND_6H: 0,
    Feature.DELIVERIES_FAILING_HOURS: 0,
}
ONE_FAILURE_IN_TEN = (10.0, 1.0, 0.0, 100.0)
OUTAGE = (10.0, 3.0, 0.0, 100.0)
DOUBLED = float(np.log(2))


@pytest.mark.parametrize(
    ("hours", "differs"),
    [
        (steady(), {}),
        (
            steady(h1=ONE_FAILURE_IN_TEN),
            {
                Feature.FAILURE_RATE_1H: 0.1,
                Feature.FAILURE_RATE_6H: 1 / 60,
                Feature.FAILURE_RATE_24H: 1 / 240,
                Feature.FAILURE_RATE_7D: 1 / 1680,
                Feature.HOURS_SINCE_FAILURE: 0,
            },
        ),
        (
            steady(h7=ONE_FAILURE_IN_TEN),
            {
                Feature.FAILURE_RATE_24H: 1 / 240,
                Feature.FAILURE_RATE_7D: 1 / 1680,
                Feature.HOURS_SINCE_FAILURE: 6,
            },
        ),
        (
            # A quarter of the checks: an outage. Two hours of it are one outage.
            steady(h25=OUTAGE, h26=OUTAGE, h40=OUTAGE),
            {
                Feature.FAILURE_RATE_7D: 9 / 1680,
                Feature.HOURS_SINCE_FAILURE: 24,
                Feature.HOURS_SINCE_OUTAGE: 24,
                Feature.OUTAGES_7D: 2,
            },
        ),
        (
            # One that is under way where the window begins counts in it.
            steady(h24=OUTAGE, h25=OUTAGE),
            {
                Feature.FAILURE_RATE_24H: 3 / 240,
                Feature.FAILURE_RATE_7D: 6 / 1680,
                Feature.HOURS_SINCE_FAILURE: 23,
                Feature.HOURS_SINCE_OUTAGE: 23,
                Feature.OUTAGES_24H: 1,
                Feature.OUTAGES_7D: 1,
                # 24 hours ago the hour just to come began; 25 hours ago another did.
                Feature.OUTAGE_DAYS_SAME_HOURS: 1,
            },
        ),
        (
            # The last of the six hours to come, and the first hour after them.
            steady(h43=OUTAGE, h66=OUTAGE),
            {
                Feature.FAILURE_RATE_7D: 6 / 1680,
                Feature.HOURS_SINCE_FAILURE: 42,
                Feature.HOURS_SINCE_OUTAGE: 42,
                Feature.OUTAGES_7D: 2,
                Feature.OUTAGE_DAYS_SAME_HOURS: 1,
            },
        ),
        (steady(h1=(10, 0, 5, 100.0)), {Feature.SLOW_RATE_1H: 0.5, Feature.SLOW_RATE_24H: 5 / 240}),
        (
            steady(h1=(10, 0, 0, 200.0)),
            {
                Feature.LATENCY_RATIO_1H: DOUBLED,
                Feature.LATENCY_RATIO_6H: DOUBLED / 6,
                # By hand: Σ(x - 2.5)·y ÷ Σ(x - 2.5)² with y only at x = 5.
                Feature.LATENCY_TREND_6H: 2.5 * DOUBLED / 17.5,
            },
        ),
        (
            # Of an hour in which nothing answered no latency is known.
            steady(h1=(10, 10, 0, np.nan)),
            {
                Feature.FAILURE_RATE_1H: 1,
                Feature.FAILURE_RATE_6H: 10 / 60,
                Feature.FAILURE_RATE_24H: 10 / 240,
                Feature.FAILURE_RATE_7D: 10 / 1680,
                Feature.HOURS_SINCE_FAILURE: 0,
                Feature.HOURS_SINCE_OUTAGE: 0,
                Feature.OUTAGES_24H: 1,
                Feature.OUTAGES_7D: 1,
            },
        ),
        (
            # A ratio is bounded.
            steady(h1=(10, 0, 0, 100.0 * np.exp(9)), h2=(10, 0, 0, 100.0)),
            {
                Feature.LATENCY_RATIO_1H: MAX_LOG_RATIO,
                Feature.LATENCY_RATIO_6H: 9 / 6,
                Feature.LATENCY_TREND_6H: 2.5 * 9 / 17.5,
            },
        ),
        # What is older than a week counts no more.
        (steady() | {WEEK_HOURS + 1: OUTAGE}, {}),
    ],
)
def test_what_the_figures_say(hours: Hours, differs: dict[Feature, float]) -> None:
    figures, gap = at_now(hours)
    assert gap is None
    assert figures == pytest.approx(QUIET | differs)


def test_the_present_is_in_the_figures() -> None:
    figures, _ = at_now(steady(), Present(failures_in_a_row=2, deliveries_failing_hours=1000))
    assert figures[Feature.FAILURES_IN_A_ROW] == 2
    assert figures[Feature.DELIVERIES_FAILING_HOURS] == WEEK_HOURS


CHECKED = (10.0, 0.0, 0.0, 100.0)


@pytest.mark.parametrize(
    ("hours", "gap"),
    [
        ({}, Gap.NO_RECENT_CHECKS),
        (dict.fromkeys(range(3, WEEK_HOURS + 1), CHECKED), Gap.NO_RECENT_CHECKS),
        (dict.fromkeys(range(2, 26), CHECKED), None),
        (dict.fromkeys(range(1, 24), CHECKED), Gap.TOO_LITTLE_HISTORY),
        (dict.fromkeys(range(1, 25), CHECKED), None),
        # Hours in which all checks were in maintenance have none that count.
        (dict.fromkeys(range(1, 169), (0.0, 0.0, 0.0, np.nan)), Gap.NO_RECENT_CHECKS),
    ],
)
def test_without_enough_to_go_by_there_is_a_named_gap(hours: Hours, gap: Gap | None) -> None:
    assert at_now(hours)[1] is gap


def test_nothing_of_the_hour_that_runs_or_of_the_future_is_looked_at() -> None:
    later = steady() | dict.fromkeys((0, -1, -5), (10.0, 10.0, 0.0, 9000.0))
    assert at_now(later) == at_now(steady())


FIGURES = st.tuples(
    st.integers(0, 60),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 60_000) | st.sampled_from([0.0, np.nan]),
).map(lambda it: (float(it[0]), float(round(it[0] * it[1])), float(round(it[0] * it[2])), it[3]))
WEEKS = st.dictionaries(st.integers(-3, 400), FIGURES, max_size=60)


@settings(max_examples=60, deadline=None)
@given(WEEKS, st.randoms())
def test_the_order_of_the_hours_does_not_matter(hours: Hours, random: object) -> None:
    shuffled = list(hours.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert at_now(dict(shuffled)) == at_now(hours)


@settings(max_examples=60, deadline=None)
@given(WEEKS)
def test_an_hour_that_is_missing_is_one_without_checks(hours: Hours) -> None:
    nothing = (0.0, 0.0, 0.0, np.nan)
    assert at_now({ago: hours.get(ago, nothing) for ago in range(400)}) == at_now(
        {ago: figures for ago, figures in hours.items() if ago >= 0}
    )


@settings(max_examples=60, deadline=None)
@given(WEEKS, st.lists(st.integers(-200, 3), min_size=1, max_size=5, unique=True))
def test_many_moments_at_once_are_as_each_alone(hours: Hours, moments: list[int]) -> None:
    """So that a model is asked about what it was trained on."""
    whole = history(hours)
    at = [3600.0 * (NOW_HOUR + one) for one in sorted(moments)]
    together, gaps = features_of(whole, at, [Present(1)] * len(at))
    for row, gap, one in zip(together, gaps, at, strict=True):
        alone, (its_gap,) = features_of(whole, [one], [Present(1)])
        assert (row.tolist(), gap) == (alone[0].tolist(), its_gap)
        assert np.isfinite(row).all()
        assert np.isfinite(scaled(alone)).all()


def test_no_moment_no_figures() -> None:
    rows, gaps = features_of(history({}), [], [])
    assert (rows.shape, gaps) == ((0, len(FEATURES)), [])


def test_scaling_bends_what_has_a_long_tail_and_nothing_else() -> None:
    row = scaled(np.array([[float(place) for place in range(1, len(FEATURES) + 1)]]))[0]
    for place, name in enumerate(FEATURES):
        raw = place + 1.0
        if "rate" in name:
            expected = np.log(1 + 100 * raw)
        elif name.startswith("latency") or name is Feature.OUTAGE_DAYS_SAME_HOURS:
            expected = raw
        else:
            expected = np.log(1 + raw)
        assert row[place] == pytest.approx(expected), name


def test_rollups_become_a_history() -> None:
    at = datetime(2026, 11, 24, 10, tzinfo=UTC)
    checks = [(CheckOutcome.PASSED, 100.0)] * 9 + [(CheckOutcome.SLOW, 900.0)]
    hour = roll_up(
        [
            *((outcome, latency, False) for outcome, latency in checks),
            (CheckOutcome.FAILED, 5000.0, False),
            (CheckOutcome.FAILED, 5000.0, True),
        ]
    )
    failed = CheckRollup(checks=2, failed=2)
    found = history_of([(at, hour), (at + timedelta(hours=1), failed)])

    assert found.at.tolist() == [at.timestamp(), at.timestamp() + 3600]
    assert found.checks.tolist() == [11, 2]
    assert found.failed.tolist() == [1, 2]
    assert found.slow.tolist() == [1, 0]
    assert found.latency_p95_ms[0] == 900
    assert np.isnan(found.latency_p95_ms[1])
    assert len(history_of([]).at) == 0
