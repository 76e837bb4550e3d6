"""What the feeder sends: the same in every run, within what the API takes."""

import itertools
from datetime import UTC, datetime

from app.domain.samples import OLDEST_SECONDS
from demo.feeder.alertmanager import FIRING_SECONDS, PERIOD_SECONDS, message
from demo.feeder.metrics import HISTORY_STEP_SECONDS, SAMPLES_AT_ONCE, missing_since
from demo.feeder.series import CALM_SECONDS, EPISODE_SECONDS, EPISODES, SHAPES, factor, value

NOW = datetime(2026, 11, 28, 7, 0, 30, tzinfo=UTC).timestamp()


def test_history_is_what_is_missing_and_no_older_than_the_api_takes() -> None:
    all_of_it = missing_since(None, NOW)
    assert NOW - OLDEST_SECONDS < all_of_it[0] < NOW - OLDEST_SECONDS + 2 * 3600
    assert 0 <= NOW - all_of_it[-1] <= 2 * HISTORY_STEP_SECONDS
    assert all(b - a == HISTORY_STEP_SECONDS for a, b in itertools.pairwise(all_of_it))
    assert SAMPLES_AT_ONCE <= 10_000

    assert len(missing_since(NOW - 3600, NOW)) == 3600 / HISTORY_STEP_SECONDS - 1
    assert missing_since(NOW - 5, NOW) == []


def test_values_are_the_same_in_every_run_and_alike_within_a_minute() -> None:
    """Else five samples a minute would look unusual after a history of one in two."""
    for operation, shape in SHAPES.items():
        assert value(operation, NOW) == value(operation, NOW)
        day = [value(operation, NOW + 60 * minute) for minute in range(1440)]
        assert all(0.2 * shape.base < one < 2 * shape.base for one in day)
        minute = [value(operation, NOW // 60 * 60 + second) for second in range(60)]
        assert max(minute) / min(minute) < 1.05


def test_an_episode_is_off_by_much_and_ends() -> None:
    name = "checkout.latency"
    assert factor(name, 0) == EPISODES[0][name] > 2
    assert factor(name, 60) > factor(name, 0)
    assert 0 < factor("orders.rate", EPISODE_SECONDS - 1) < factor("orders.rate", 0) < 1
    assert factor(name, EPISODE_SECONDS) == 1
    turn = EPISODE_SECONDS + CALM_SECONDS
    assert factor(name, turn) == 1  # another one's
    assert factor("search.latency", turn) == factor("search.latency", 0, first=1) > 2
    assert factor(name, len(EPISODES) * turn) == factor(name, 0)


def test_an_alertmanager_fires_and_resolves_the_same() -> None:
    began = NOW // PERIOD_SECONDS * PERIOD_SECONDS
    firing, resolved = message(began + 1), message(began + FIRING_SECONDS + 1)
    assert (firing["status"], resolved["status"]) == ("firing", "resolved")
    for one, other in zip(firing["alerts"], resolved["alerts"], strict=True):
        assert one["fingerprint"] == other["fingerprint"]
        assert one["startsAt"] == other["startsAt"]
        assert other["endsAt"] > other["startsAt"]
