"""Flapping: too many changes within a window, told once, until it is steady."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.flapping import Flapping, FlapPolicy, FlapReason, flap_policy, observe

START = datetime(2026, 11, 24, tzinfo=UTC)
POLICY = FlapPolicy(changes=3, window_seconds=600)
NAMES = {
    FlapReason.CALM: "c",
    FlapReason.CHANGED_TOO_OFTEN: "F",
    FlapReason.STILL_FLAPPING: "f",
    FlapReason.STEADY: "S",
}


def reasons(*checks: tuple[int, bool], policy: FlapPolicy = POLICY) -> str:
    """Of checks at these seconds, at which the health changed or did not."""
    state, found = Flapping(), ""
    for at, changed in checks:
        state, reason = observe(state, policy, START + timedelta(seconds=at), changed=changed)
        found += NAMES[reason]
    return found


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([(0, False), (60, False)], "cc"),
        ([(0, True), (60, True)], "cc"),
        ([(0, True), (60, True), (120, True)], "ccF"),
        # As many, but not within the window.
        ([(0, True), (300, True), (600, True), (601, False)], "cccc"),
        # It is told once, however long it goes on.
        ([(0, True), (60, True), (120, True), (180, True), (240, False)], "ccFff"),
        # Steady: half a window without a change.
        ([(0, True), (60, True), (120, True), (419, False), (420, False), (421, False)], "ccFfSc"),
        # Each change begins the half window anew.
        ([(0, True), (60, True), (120, True), (400, True), (699, False), (700, False)], "ccFffS"),
        # Afterwards it takes as many changes as the first time.
        ([(0, True), (1, True), (2, True), (302, False), (303, True), (304, True), (305, True)],
         "ccFSccF"),
    ],
)  # fmt: skip
def test_what_a_check_shows(checks: list[tuple[int, bool]], expected: str) -> None:
    assert reasons(*checks) == expected


def test_without_a_limit_nothing_flaps_and_what_did_is_over() -> None:
    never = FlapPolicy(None, 600)
    assert reasons(*[(second, True) for second in range(10)], policy=never) == "c" * 10
    state = Flapping((START,), START)
    assert observe(state, never, START, changed=True) == (Flapping(), FlapReason.STEADY)


@pytest.mark.parametrize(
    ("window", "interval", "expected"), [(None, 5, 600), (None, 300, 9000), (120, 300, 120)]
)
def test_the_window_without_one_of_its_own_is_thirty_checks(
    window: int | None, interval: int, expected: int
) -> None:
    assert flap_policy(5, window, interval) == FlapPolicy(5, expected)


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=60))
def test_it_begins_and_ends_in_turns_and_keeps_no_more_than_it_needs(
    steps: list[tuple[int, bool]],
) -> None:
    state, at, told = Flapping(), START, False
    for seconds, changed in steps:
        at += timedelta(seconds=seconds)
        state, reason = observe(state, POLICY, at, changed=changed)
        if reason is FlapReason.CHANGED_TOO_OFTEN:
            assert not told
            told = True
        elif reason is FlapReason.STEADY:
            assert told
            told = False
        assert (state.since is not None) is told
        assert len(state.times) <= 3
