"""The breaker: after a failure nobody waits, and now and then one tries."""

from app.adapters.breaker import Breaker
from tests.harness.waiting import eventually
from tests.services.world import at_once

LONG = 1000.0


def test_closed_it_lets_everybody_through() -> None:
    breaker = Breaker(LONG)
    assert all(breaker.allows() for _ in range(100))
    assert not breaker.is_open


def test_after_one_failure_nobody_tries() -> None:
    breaker = Breaker(LONG)
    breaker.failed()
    assert breaker.is_open
    assert not any(breaker.allows() for _ in range(100))


def test_a_success_closes_it() -> None:
    breaker = Breaker(LONG)
    breaker.failed()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()


def test_after_a_rest_one_of_many_tries() -> None:
    breaker = Breaker(0.1)
    breaker.failed()
    eventually(breaker.allows, what="the trial")
    assert breaker.is_open  # until the trial says otherwise
    breaker = Breaker(0.0)
    breaker.failed()
    assert breaker.allows()
    breaker._rest = LONG
    assert sum(at_once(*[breaker.allows] * 20)) == 1


def test_a_trial_that_fails_begins_a_new_rest() -> None:
    breaker = Breaker(0.0)
    breaker.failed()
    assert breaker.allows()
    breaker._rest = LONG
    breaker.failed()
    assert not breaker.allows()


def test_a_trial_that_says_nothing_is_followed_by_another() -> None:
    """Its thread may have died: the breaker must not stay open for ever."""
    breaker = Breaker(0.1)
    breaker.failed()
    eventually(breaker.allows, what="the trial")
    eventually(breaker.allows, what="the next trial")
