"""Which rollups answer a question, and which questions are refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.partitions import KINDS, ROLLED, Kind, partition_called, partitions_for
from app.domain.ranges import MAX_POINTS, BadRange, Range, resolve

NOW = datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("ago", "span", "step", "expected_step", "resolution"),
    [
        (HOUR, HOUR, None, 60, 60),
        (DAY, DAY, None, 300, 300),
        (DAY, HOUR, None, 60, 60),
        (7 * DAY, 7 * DAY, None, 3600, 3600),
        (30 * DAY, 30 * DAY, None, 21_600, 3600),
        (30 * DAY, HOUR, None, 300, 300),
        (100 * DAY, DAY, None, 3600, 3600),
        (380 * DAY, 380 * DAY, None, 86_400, 3600),
        (HOUR, HOUR, 120, 120, 60),
        (HOUR, HOUR, 600, 600, 300),
        (HOUR, HOUR, 3600, 3600, 3600),
        (HOUR, HOUR, 7200, 7200, 3600),
        # Beyond everything that is kept there is nothing, and that is an answer.
        (500 * DAY, DAY, 3600, 3600, 3600),
    ],
)
def test_the_coarsest_rollups_that_can_answer(
    ago: timedelta, span: timedelta, step: int | None, expected_step: int, resolution: int
) -> None:
    found = resolve(NOW - ago, NOW - ago + span, step, NOW)
    assert (found.step, found.resolution) == (expected_step, resolution)


@pytest.mark.parametrize(
    ("ago", "span", "step", "field", "why"),
    [
        (HOUR, timedelta(0), 60, "until", "Must be after since."),
        (HOUR, HOUR, 90, "step", "Must be a multiple of 60."),
        (9 * DAY, HOUR, 120, "step", "Beyond 8 days ago it must be a multiple of 300."),
        (61 * DAY, HOUR, 300, "step", "Beyond 60 days ago it must be a multiple of 3600."),
        (8 * DAY, 8 * DAY, 60, "step", "This makes 11521 points; 11000 are the most."),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    ago: timedelta, span: timedelta, step: int, field: str, why: str
) -> None:
    with pytest.raises(BadRange, match=why) as refused:
        resolve(NOW - ago, NOW - ago + span, step, NOW)
    assert refused.value.field == field


@given(
    st.timedeltas(-30 * DAY, timedelta(0)).map(NOW.__add__),
    st.timedeltas(timedelta(seconds=1), 30 * DAY),
    st.sampled_from([60, 120, 300, 3600, 5400, 86_400]),
)
def test_points_cover_the_range_and_no_more(since: datetime, span: timedelta, step: int) -> None:
    asked = Range(since, since + span, step, 60)
    width = timedelta(seconds=step)
    assert asked.first <= asked.since < asked.first + width
    assert asked.point(asked.points - 1) < asked.until <= asked.point(asked.points)


@given(
    st.timedeltas(-900 * DAY, timedelta(0)).map(NOW.__add__),
    st.timedeltas(timedelta(seconds=1), 300 * DAY),
)
def test_without_a_step_there_are_never_too_many_points(since: datetime, span: timedelta) -> None:
    found = resolve(since, since + span, None, NOW)
    assert 1 <= found.points <= 502 <= MAX_POINTS
    assert found.step % found.resolution == 0


@pytest.mark.parametrize("kind", KINDS)
@given(at=st.floats(1.5e9, 2e9))
def test_a_partition_holds_its_times_and_is_known_by_its_name(kind: Kind, at: float) -> None:
    one = kind.partition_at(at)
    assert one.since.timestamp() <= at < one.until.timestamp()
    assert partition_called(one.name) == one
    assert kind.partition_at(one.until.timestamp()).since == one.until
    assert partitions_for(kind, [at, one.begins, at]) == [one]
    kept = timedelta(seconds=kind.kept)
    assert not one.is_over(one.until + kept - timedelta(microseconds=1))
    assert one.is_over(one.until + kept)


def test_what_is_no_partition_is_not_taken_for_one() -> None:
    for name in ("metric_samples", "metric_rollups", "metric_rollups_61_20260701", "alerts"):
        assert partition_called(name) is None


def test_no_partition_is_finer_than_its_rollups() -> None:
    assert all(kind.width % kind.resolution == 0 for kind in ROLLED.values() if kind.resolution)
