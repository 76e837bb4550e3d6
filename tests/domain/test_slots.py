"""Ticks and slots: however clocks differ within an interval, a tick has one name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.slots import due_of, missed_between, next_due, slot_of

moments = st.floats(0, 4e9, allow_nan=False)
intervals = st.integers(1, 86_400)


@pytest.mark.parametrize(
    ("due", "interval", "slot"),
    [
        (0.0, 10, 0),
        (9.999, 10, 0),
        (10.0, 10, 1),
        (19.999, 10, 1),
        (1_782_900_000.0, 10, 178_290_000),
        (1_782_900_009.999, 10, 178_290_000),
        (59.0, 60, 0),
        (60.0, 60, 1),
        (3599.0, 3600, 0),
        (3600.0, 3600, 1),
        (-0.5, 10, -1),  # floor, not truncation: no slot is twice as long as the others
    ],
)
def test_a_moment_has_a_slot(due: float, interval: int, slot: int) -> None:
    assert slot_of(due, interval) == slot


@given(moments, intervals)
def test_a_slot_holds_its_moments(moment: float, interval: int) -> None:
    slot = slot_of(moment, interval)
    assert due_of(slot, interval) <= moment < due_of(slot + 1, interval)


@given(st.integers(0, 400_000_000), intervals)
def test_a_slot_starts_when_it_is_due(slot: int, interval: int) -> None:
    assert slot_of(due_of(slot, interval), interval) == slot


@given(moments, intervals)
def test_the_next_tick_is_the_next_boundary(last_run: float, interval: int) -> None:
    due = next_due(last_run, interval)
    assert last_run < due <= last_run + interval
    assert due % interval == 0
    assert slot_of(due, interval) == slot_of(last_run, interval) + 1


@given(moments, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), intervals)
def test_two_clocks_that_differ_within_an_interval_name_one_slot(
    moment: float, one: float, other: float, interval: int
) -> None:
    start = due_of(slot_of(moment, interval), interval)
    # Whole seconds: what a clock shows; a fraction near one may round up to the next boundary.
    assert slot_of(start + int(one * interval), interval) == slot_of(
        start + int(other * interval), interval
    )


@pytest.mark.parametrize(
    ("previous", "slot", "missed"),
    [(None, 7, 0), (6, 7, 0), (5, 7, 1), (0, 7, 6), (7, 7, 0), (8, 7, 0)],
)
def test_what_nobody_ran_is_counted(previous: int | None, slot: int, missed: int) -> None:
    assert missed_between(previous, slot) == missed
