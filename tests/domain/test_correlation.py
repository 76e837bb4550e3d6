"""Operations that degrade together: who belongs together, and what is likely the cause."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.baseline import Baseline, Buckets, Statistics
from app.domain.correlation import (
    Deviation,
    correlation,
    deviation_of,
    group,
    is_back,
    is_silent,
    pearson,
    summary,
)

NOW = datetime(2026, 11, 24, 14, 2, tzinfo=UTC)
LAST = datetime(2026, 11, 24, 14, tzinfo=UTC)
FIVE = timedelta(minutes=5)
USUAL = Baseline(Statistics(1000, 100, 105, 108, 110, 115, 100, 10, 5), {})
SHAPE = [0.0] * 20 + [3.0, 9.0, 7.0, 8.0]


def buckets(means: Sequence[float], last: datetime = LAST) -> Buckets:
    """The last of them begins at `last`."""
    at = [(last - FIVE * back).timestamp() for back in reversed(range(len(means)))]
    return Buckets(np.array(at), np.array(means, dtype=float), np.full(len(means), 1000.0))


def off(
    operation: str,
    shape: Sequence[float] = SHAPE,
    *,
    minutes_ago: int = 10,
    scale: float = 1.0,
    noise: float = 0.0,
) -> Deviation:
    chance = np.random.default_rng(sum(map(ord, operation)))
    means = 100 + scale * np.array(shape) + noise * chance.normal(size=len(shape))
    since = NOW - timedelta(minutes=minutes_ago)
    return Deviation(operation, since, float(means[-1]), (80.0, 120.0), buckets(means.tolist()))


def found(*deviations: Deviation) -> list[list[str]]:
    """The groups, as names; the likely cause is the first."""
    return [[one.deviation.operation for one in each.members] for each in group(deviations)]


@pytest.mark.parametrize(
    ("means", "last", "minutes_ago"),
    [
        ([100, 100, 200, 200], LAST, 7),
        ([200, 100, 200, 200, 200], LAST, 12),
        ([200] * 4, LAST, 17),
        ([100, 100, 20, 20], LAST, 7),  # lower is off too
        ([100, 100, 100, 200], LAST, None),  # once is chance
        ([200, 200, 200, 100], LAST, None),  # not any more
        ([200, 200], LAST - 4 * FIVE, None),  # over, whatever came after
        ([], LAST, None),
    ],
)
def test_who_is_off_its_baseline_and_since_when(
    means: list[float], last: datetime, minutes_ago: int | None
) -> None:
    deviation = deviation_of("pay", USUAL, buckets(means, last), NOW)
    since = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    assert (deviation and deviation.since) == since
    if deviation is not None:
        assert deviation.value == means[-1]
        assert deviation.usual == pytest.approx((77.761, 122.239))


@pytest.mark.parametrize(
    ("means", "expected"),
    [([200, 100, 100], True), ([100, 100], True), ([200, 100], False), ([100], False), ([], False)],
)
def test_who_is_back(means: list[float], expected: bool) -> None:
    assert is_back(USUAL, buckets(means)) is expected


def test_who_is_silent() -> None:
    assert is_silent(buckets([]), NOW)
    assert is_silent(buckets([100], NOW - timedelta(minutes=61)), NOW)
    assert not is_silent(buckets([100], NOW - timedelta(minutes=59)), NOW)


VALUES = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=50)


@given(VALUES, st.floats(0.01, 1000), st.floats(-1e6, 1e6), st.sampled_from([1, -1]))
def test_pearson_is_1_for_a_line(values: list[float], a: float, b: float, sign: int) -> None:
    one = np.array(values)
    found_ = pearson(one, sign * a * one + b)
    if np.ptp(one) < 1e-3 * (np.abs(one).max() + 1e6):
        assert -1 <= found_ <= 1  # too little varies for the digits that there are
    else:
        assert found_ == pytest.approx(sign, abs=1e-6)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=50))
def test_pearson_is_symmetric_and_within_its_bounds(pairs: list[tuple[float, float]]) -> None:
    one, other = np.array(pairs).T
    assert pearson(one, other) == pytest.approx(pearson(other, one))
    assert -1 <= pearson(one, other) <= 1


@pytest.mark.filterwarnings("error")
def test_pearson_as_numpy_has_it_and_0_for_a_constant() -> None:
    chance = np.random.default_rng(1)
    one, other = chance.normal(size=(2, 30))
    assert pearson(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert pearson(one, np.full(30, 0.1)) == 0
    assert pearson(1e200 * one, 1e-200 * one) == pytest.approx(1)


def test_only_buckets_that_both_have_are_compared() -> None:
    long = buckets([float(one) for one in range(24)])
    assert correlation(long, buckets([float(one) for one in range(12)])) == pytest.approx(1)
    # Eleven in common are too few.
    assert correlation(long, buckets([float(one) for one in range(11)])) == 0
    assert correlation(long, buckets([1.0, 2.0] * 12, LAST - 24 * FIVE)) == 0


class TestGroups:
    def test_who_moves_together_belongs_together(self) -> None:
        other = [0.0] * 12 + [5.0, 0.0] * 6
        assert found(off("a"), off("b", scale=20), off("c", other)) == [["a", "b"]]

    def test_one_alone_is_no_incident(self) -> None:
        assert found(off("a")) == []
        assert found() == []

    def test_who_moves_against_the_others_belongs_to_them(self) -> None:
        """A throughput falls when a latency rises."""
        (one,) = group([off("latency"), off("throughput", scale=-5)])
        assert one.members[1].correlation == pytest.approx(-1)

    def test_who_began_much_later_does_not(self) -> None:
        assert found(off("a", minutes_ago=25), off("b", minutes_ago=10)) == [["a", "b"]]
        assert found(off("a", minutes_ago=26), off("b", minutes_ago=10)) == []

    def test_a_chain_is_one_group(self) -> None:
        chain = [off(name, minutes_ago=ago) for name, ago in (("c", 10), ("b", 24), ("a", 38))]
        assert found(*chain) == [["a", "b", "c"]]

    def test_two_groups_are_two(self) -> None:
        other = [0.0] * 12 + [5.0, 0.0] * 6
        assert found(off("a"), off("x", other), off("b"), off("y", other)) == [
            ["a", "b"],
            ["x", "y"],
        ]

    def test_the_first_to_leave_is_the_likely_cause(self) -> None:
        assert found(off("a"), off("b", minutes_ago=15), off("c")) == [["b", "a", "c"]]

    def test_of_several_at_once_it_is_who_moves_most_with_the_others(self) -> None:
        deviations = [off("a", noise=1.5), off("b", noise=0.0), off("c", noise=1.5)]
        assert found(*deviations)[0][0] == "b"

    def test_and_then_the_first_by_name(self) -> None:
        assert found(off("c"), off("b"), off("a")) == [["a", "b", "c"]]

    @given(st.permutations(range(6)))
    def test_the_order_in_which_they_come_does_not_matter(self, order: list[int]) -> None:
        other = [0.0] * 12 + [5.0, 0.0] * 6
        deviations = [
            off(f"op-{place}", SHAPE if place % 2 else other, minutes_ago=10 + place, noise=0.2)
            for place in range(6)
        ]
        assert found(*(deviations[place] for place in order)) == found(*deviations)


@pytest.mark.parametrize(
    ("correlations", "expected"),
    [
        ({"b": 0.9}, "b (r = 0.90)."),
        ({"b": 0.8, "c": -0.95}, "c (r = -0.95), b (r = 0.80)."),
        (
            {"b": 0.8, "c": 0.81, "d": 0.82, "e": 0.83, "f": 0.84},
            "f (r = 0.84), e (r = 0.83), d (r = 0.82) and 2 more.",
        ),
    ],
)
def test_a_sentence_says_it(correlations: dict[str, float], expected: str) -> None:
    assert summary("a", NOW, correlations) == (
        "a left its baseline first, at 2026-11-24 14:02 UTC, and is the likely cause;"
        f" with it went {expected}"
    )
