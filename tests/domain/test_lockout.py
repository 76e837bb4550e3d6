"""When a login is refused unheard."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.lockout import FIRST_WAIT, OF_USER_AND_ADDRESS, WINDOW, Allowance, refused_until

NOW = datetime(2026, 11, 28, tzinfo=UTC)
THREE = Allowance("test", 3)


def failures(count: int) -> list[datetime]:
    """The newest first, the newest now."""
    return [NOW - timedelta(seconds=number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_first_cost_nothing(count: int) -> None:
    assert refused_until(failures(count), THREE) is None


@pytest.mark.parametrize(("count", "times"), [(3, 1), (4, 2), (5, 4), (6, 8)])
def test_each_one_after_them_doubles_the_wait(count: int, times: int) -> None:
    assert refused_until(failures(count), THREE) == NOW + FIRST_WAIT * times


@pytest.mark.parametrize("count", [9, 50, 5000])
def test_nobody_is_locked_out_for_longer_than_the_window(count: int) -> None:
    assert refused_until(failures(count), THREE) == NOW + WINDOW


def test_so_few_guesses_are_heard_in_a_day() -> None:
    """Of one name from one address, by somebody who tries the moment that he may."""
    heard: list[datetime] = []
    now = NOW
    while now < NOW + timedelta(days=1):
        lately = [at for at in reversed(heard) if at > now - WINDOW]
        until = refused_until(lately, OF_USER_AND_ADDRESS)
        if until is None or until <= now:
            heard.append(now)
        else:
            now = until
    assert len(heard) < 1000
