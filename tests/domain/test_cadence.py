"""The cadence of checks: in phase, each webhook in its own."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cadence import next_check, phase_ms

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WEBHOOK, INTERVAL = 7, 300
# A time at which the webhook is due.
DUE = next_check(WEBHOOK, INTERVAL, START, START)

seconds = st.floats(-100_000, 100_000)


@pytest.mark.parametrize(
    ("late_by", "next_in"),
    [
        (0, 300),
        (0.2, 299.8),
        (299, 1),
        (301, 299),  # what was missed is not made up for
        (100_000, 200),
        (-100, 100),  # by hand, before it was due: that changes nothing
    ],
)
def test_a_check_that_was_due_in_phase_keeps_it(late_by: float, next_in: float) -> None:
    now = DUE + timedelta(seconds=late_by)
    assert next_check(WEBHOOK, INTERVAL, DUE, now) == now + timedelta(seconds=next_in)


@pytest.mark.parametrize("off_by", [1, 100, 149, 151, 299])
def test_one_that_was_not_comes_into_phase_and_not_at_once(off_by: int) -> None:
    off = DUE + timedelta(seconds=off_by)
    following = next_check(WEBHOOK, INTERVAL, off, off)
    assert timedelta(seconds=150) <= following - off <= timedelta(seconds=450)
    assert (following - DUE) % timedelta(seconds=INTERVAL) == timedelta(0)


@given(
    st.integers(1, 10**18), st.integers(5, 86_400), st.builds(timedelta, seconds=seconds), seconds
)
def test_it_is_always_later_and_within_an_interval_and_a_half(
    webhook: int, interval: int, due_in: timedelta, late_by: float
) -> None:
    due = START + due_in
    now = due + timedelta(seconds=late_by)
    following = next_check(webhook, interval, due, now)
    assert now < following <= now + timedelta(seconds=1.5 * interval)
    # And from there on it comes at its interval.
    after = next_check(webhook, interval, following, following)
    assert after == following + timedelta(seconds=interval)


@pytest.mark.parametrize("first", [1, 1000, 1_000_000])
@pytest.mark.parametrize("step", [1, 2, 10])
def test_phases_are_spread_whatever_range_of_ids_they_are_of(first: int, step: int) -> None:
    """Of a thousand webhooks, about as many in each tenth of the interval."""
    tenths = [0] * 10
    for webhook in range(first, first + 1000 * step, step):
        tenths[phase_ms(webhook, 300) // 30_000] += 1
    assert all(70 <= count <= 130 for count in tenths), tenths
