"""The gate and the pace of a webhook: when they close, rest, slow down and grow."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.retry import Reason
from app.domain.traffic import (
    FIRST_REST_SECONDS,
    MAX_REST_SECONDS,
    MIN_OUTCOMES,
    PACE_CEILING_PER_SECOND,
    PACE_FLOOR_PER_SECOND,
    WINDOW_OUTCOMES,
    WINDOW_SECONDS,
    Evidence,
    Window,
    evidence_of,
    faster,
    probe_may_hold,
    rest_seconds,
    slower,
)

MARKS = {"g": Evidence.GOOD, "b": Evidence.BAD, "o": Evidence.OVERLOADED, "-": Evidence.NONE}


def seen(marks: str, at: float = 100.0) -> Window:
    return reduce(lambda window, mark: window.after(MARKS[mark], at), marks, Window())


@pytest.mark.parametrize(
    ("marks", "closes"),
    [
        ("", False),
        ("b" * (MIN_OUTCOMES - 1), False),
        ("b" * MIN_OUTCOMES, True),
        ("o" * MIN_OUTCOMES, True),
        ("gbgbgbgbgb", True),
        ("ggbgbgbgbgb", False),
        ("g" * 6 + "b" * 5, False),
        ("g" * 6 + "b" * 6, True),
        ("b" * 9 + "-" * 50, False),
    ],
)
def test_the_gate_closes_after_ten_outcomes_of_which_half_failed(marks: str, closes: bool) -> None:
    assert seen(marks).closes_gate is closes


def test_old_outcomes_say_nothing_of_the_present() -> None:
    window = seen("b" * 9)
    assert window.after(Evidence.BAD, 100.0 + WINDOW_SECONDS).closes_gate
    assert not window.after(Evidence.BAD, 100.1 + WINDOW_SECONDS).closes_gate


def test_a_long_good_past_does_not_outvote_a_bad_present() -> None:
    """Without the fading, a webhook that took a million messages could fail for as many."""
    window = seen("g" * 10_000)
    assert seen("g" * 10_000).succeeded <= WINDOW_OUTCOMES
    for failures in range(1, WINDOW_OUTCOMES * 2):
        window = window.after(Evidence.BAD, 100.0)
        if window.closes_gate:
            assert failures <= WINDOW_OUTCOMES
            return
    pytest.fail("it never closed")


@given(st.text(alphabet="gbo-", max_size=300))
def test_nothing_closes_a_gate_without_ten_outcomes(marks: str) -> None:
    window = seen(marks)
    assert window.succeeded + window.failed <= WINDOW_OUTCOMES
    if window.closes_gate:
        assert window.succeeded + window.failed >= MIN_OUTCOMES
        assert window.failed >= window.succeeded


@pytest.mark.parametrize(
    ("cause", "evidence"),
    [
        (Reason.ACCEPTED, Evidence.GOOD),
        (Reason.SERVER_ERROR, Evidence.BAD),
        (Reason.CONNECT_FAILED, Evidence.BAD),
        (Reason.DNS_FAILED, Evidence.BAD),
        (Reason.REDIRECT_NOT_FOLLOWED, Evidence.BAD),
        (Reason.ASKED_TO_WAIT, Evidence.OVERLOADED),
        (Reason.TIMED_OUT, Evidence.OVERLOADED),
        # Final for one message, and a sign of life all the same.
        (Reason.REJECTED, Evidence.NONE),
        (Reason.GONE, Evidence.NONE),
        # It never left, or nobody knows what came of it.
        (Reason.REFUSED_BY_EGRESS_GUARD, Evidence.NONE),
        (Reason.WORKER_LOST, Evidence.NONE),
        (Reason.WORKER_STOPPED, Evidence.NONE),
    ],
)
def test_what_an_outcome_says_of_its_webhook(cause: Reason, evidence: Evidence) -> None:
    assert evidence_of(cause) is evidence


def test_each_closing_in_a_row_rests_for_twice_as_long_up_to_a_limit() -> None:
    rests = [rest_seconds(closings) for closings in range(1, 9)]
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300]
    assert rests[0] == FIRST_REST_SECONDS
    assert rest_seconds(10_000) == MAX_REST_SECONDS


@pytest.mark.parametrize(
    ("pace", "seen_per_second", "expected"),
    [(None, 200.0, 100.0), (40.0, 200.0, 20.0), (1.5, 0.0, 1.0), (None, 0.0, 1.0)],
)
def test_overload_halves_the_pace_down_to_a_floor(
    pace: float | None, seen_per_second: float, expected: float
) -> None:
    assert slower(pace, seen_per_second) == expected >= PACE_FLOOR_PER_SECOND


@pytest.mark.parametrize(
    ("pace", "limit", "expected"),
    [
        (4.0, None, 5.0),
        (4.0, 100.0, 5.0),
        (4.0, 5.0, None),  # its own limit restrains it now
        (PACE_CEILING_PER_SECOND, None, None),
        (PACE_CEILING_PER_SECOND, 1e5, None),
    ],
)
def test_success_raises_the_pace_until_it_restrains_no_longer(
    pace: float, limit: float | None, expected: float | None
) -> None:
    assert faster(pace, limit) == expected


def test_a_pace_at_the_floor_is_lifted_within_a_minute_of_successes() -> None:
    pace: float | None = PACE_FLOOR_PER_SECOND
    steps = 0
    while pace is not None:
        pace = faster(pace, None)
        steps += 1
    assert steps <= 60


@pytest.mark.parametrize(
    ("attempts_made", "allowed", "may"),
    [(0, 8, False), (1, 8, True), (6, 8, True), (7, 8, False), (1, 2, False), (1, 3, True)],
)
def test_a_red_probe_never_holds_a_first_attempt_nor_the_last(
    attempts_made: int, allowed: int, may: bool
) -> None:
    assert probe_may_hold(attempts_made, allowed) is may
