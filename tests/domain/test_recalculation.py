"""Which hours of the week are merged anew, and when the next recalculation is due."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.recalculation import Hours, Outcome, next_run, plan

# A Monday.
EPOCH = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)
WEEKS = 4


def hours(count: int = WEEKS * 168, first: int = 0) -> Hours:
    at = EPOCH + 3600.0 * np.arange(first, first + count, dtype=np.float64)
    return Hours(at, np.full(count, 10), np.full(count, 1.0), np.full(count, 9.0))


def test_at_first_all_is_merged() -> None:
    found = plan(hours(), {})
    assert found.fingerprints.keys() == found.to_merge.keys() == set(range(168))
    assert found.unchanged == frozenset()
    assert found.to_merge[5].tolist() == [EPOCH + 3600 * (5 + 168 * week) for week in range(WEEKS)]


def test_the_same_again_is_not_merged() -> None:
    known = plan(hours(), {}).fingerprints
    again = plan(hours(), known)
    assert again.to_merge == {}
    assert again.unchanged == frozenset(range(168))
    assert again.fingerprints == known


def test_a_day_later_the_hours_of_that_day_are_merged() -> None:
    known = plan(hours(), {}).fingerprints
    found = plan(hours(first=24), known)
    assert found.to_merge.keys() == set(range(24))


@pytest.mark.parametrize("column", ["counts", "least", "greatest"])
def test_whatever_changes_in_a_rollup_is_seen(column: str) -> None:
    known = plan(hours(), {}).fingerprints
    changed = hours()
    getattr(changed, column)[168 + 7] += 1
    found = plan(changed, known)
    assert found.to_merge.keys() == {7}
    assert len(found.unchanged) == 167


def test_an_hour_that_is_left_out_is_seen() -> None:
    known = plan(hours(), {}).fingerprints
    kept = np.ones(WEEKS * 168, dtype=bool)
    kept[3] = False
    found = plan(hours().where(kept), known)
    assert {slot: len(at) for slot, at in found.to_merge.items()} == {3: WEEKS - 1}


def test_an_hour_without_data_is_in_no_plan() -> None:
    found = plan(hours(count=3), {9: b"known"})
    assert found.fingerprints.keys() == {0, 1, 2}
    assert plan(hours(count=0), {}).fingerprints == {}


@given(st.sets(st.integers(0, WEEKS * 168 - 1), max_size=30))
def test_exactly_the_hours_that_changed_are_merged(changed: set[int]) -> None:
    known = plan(hours(), {}).fingerprints
    later = hours()
    for place in changed:
        later.counts[place] += 1
    assert plan(later, known).to_merge.keys() == {place % 168 for place in changed}


@pytest.mark.parametrize(
    ("outcome", "failures", "frequency", "expected"),
    [
        (Outcome.SUCCEEDED, 0, DAY, DAY),
        (Outcome.REJECTED, 0, DAY, DAY),
        (Outcome.TOO_FEW_SAMPLES, 0, DAY, timedelta(hours=1)),
        (Outcome.TOO_FEW_SAMPLES, 0, timedelta(minutes=5), timedelta(minutes=5)),
        (Outcome.FAILED, 1, DAY, timedelta(minutes=5)),
        (Outcome.FAILED, 2, DAY, timedelta(minutes=10)),
        (Outcome.FAILED, 4, DAY, timedelta(minutes=40)),
        (Outcome.FAILED, 100, DAY, DAY),
        (Outcome.FAILED, 1, timedelta(minutes=5), timedelta(minutes=5)),
    ],
)
def test_when_the_next_is_due(
    outcome: Outcome, failures: int, frequency: timedelta, expected: timedelta
) -> None:
    assert next_run(NOW, frequency, outcome, failures) == NOW + expected
