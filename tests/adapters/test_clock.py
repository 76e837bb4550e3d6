"""The clock: PostgreSQL's time, whatever this machine's wall clock says."""

from datetime import UTC, datetime, timedelta

from app.adapters.clock import Clock
from tests.services.world import at_once

# Generous: nothing here takes long.
SLACK = timedelta(seconds=5)


def test_it_starts_with_this_machines_time() -> None:
    assert abs(Clock().now() - datetime.now(UTC)) < SLACK


def test_it_shows_the_time_it_was_told() -> None:
    clock = Clock()
    for told in (datetime(2031, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)):
        clock.set(told)
        assert told <= clock.now() < told + SLACK


def test_it_goes_on_by_itself_and_never_back() -> None:
    clock = Clock()
    clock.set(datetime(2031, 1, 1, tzinfo=UTC))
    shown = [clock.now() for _ in range(1000)]
    assert shown == sorted(shown)
    assert shown[-1] > shown[0]


def test_it_is_told_and_asked_at_once_without_a_mixed_up_answer() -> None:
    """Time and tick belong together: one of the old and one of the new would be years off."""
    clock = Clock()
    early, late = datetime(2001, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    clock.set(early)

    def tell() -> None:
        for _ in range(2000):
            clock.set(late)
            clock.set(early)

    def ask() -> None:
        for _ in range(4000):
            shown = clock.now()
            assert early <= shown < early + SLACK or late <= shown < late + SLACK

    at_once(tell, ask, ask)


def test_it_measures() -> None:
    clock = Clock()
    started = clock.monotonic()
    clock.set(datetime(2001, 1, 1, tzinfo=UTC))
    assert 0 <= clock.monotonic() - started < SLACK.total_seconds()
