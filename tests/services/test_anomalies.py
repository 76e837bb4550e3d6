"""Watching operations: each minute is fed once, and what is odd is told once, with its end."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.adapters.clock import Clock
from app.domain.detector import Detector, from_bytes, to_bytes
from app.domain.samples import read_samples
from app.services import anomalies, recalc_runs
from app.services.anomalies import Context
from app.services.calm import feed_calm
from app.services.intake import Intake
from app.services.paging import PageRequest
from app.services.rolling import Roller
from app.services.series import SeriesBook
from app.services.usual import usual_for
from app.services.watching import Watcher, watch
from models import Anomaly
from tests.services.series import every, feed
from tests.services.world import World, at_once

MINUTE = timedelta(minutes=1)


class Operations:
    """Samples in, rolled up at once, and a process that watches."""

    def __init__(self, world: World) -> None:
        self.world = world
        clock = Clock()
        self.intake = Intake(clock, SeriesBook(clock), 1000, 10**6)
        self.roller = Roller(world.deps.unit_of_work, clock)
        self.watcher = self.another_watcher()
        self.now = datetime.now(UTC)
        self.minute = self.now.replace(second=0, microsecond=0)

    def another_watcher(self) -> Watcher:
        schedule = self.world.deps.settings.retry_schedule_seconds
        return Watcher(self.world.deps.unit_of_work, Clock(), schedule)

    def send(self, values: dict[int, float], operation: str = "checkout", count: int = 1) -> None:
        """A value for each minute, by how many minutes ago it was, in milliseconds."""
        raw = [
            {
                "operation": operation,
                "value": value,
                "unit": "ms",
                "timestamp": (self.minute - ago * MINUTE).isoformat(),
            }
            for ago, value in values.items()
            for _each in range(count)
        ]
        samples = read_samples(raw, datetime.now(UTC))
        assert not samples.errors
        with self.world.deps.unit_of_work() as work:
            assert self.intake.accept(work.session, samples) == {}
        while self.roller.roll():
            pass

    def watch(self) -> dict[str, int]:
        """Until there is nothing left to feed; counts of all."""
        total: dict[str, int] = {}
        while True:
            report = self.watcher.run(lambda: True, lambda: False)
            for name, count in report.items():
                total[name] = total.get(name, 0) + count
            if not self.watcher.is_busy:
                return total

    def anomalies(self, **filters: Any) -> Sequence[Anomaly]:
        """Without those of severity info, which noise has now and then."""
        with self.world.deps.reading() as session:
            page = anomalies.list_anomalies(session, filters, PageRequest(100))
            session.expunge_all()
        return [one for one in page.items[::-1] if one.severity != "info"]

    def state(self, operation: str = "checkout") -> Any:
        return self.world.one(
            "SELECT state, seen, fed_until, error FROM pggit_analytics.detector_states"
            " WHERE operation = :operation",
            operation=operation,
        )

    def alerts(self) -> list[Any]:
        return self.world.sql(
            "SELECT id, title, severity, status, count, labels, source, resolved_by"
            " FROM pggit.alerts ORDER BY id"
        )


@pytest.fixture
def operations(world: World) -> Operations:
    return Operations(world)


def normal(first: int, last: int, seed: int = 1) -> dict[int, float]:
    """From so many minutes ago to so many."""
    chance = random.Random(seed)
    return {ago: chance.gauss(205, 8) for ago in range(first, last - 1, -1)}


def test_a_jump_is_told_once_explains_itself_and_ends(operations: Operations) -> None:
    webhook = operations.world.webhook()
    operations.send(normal(300, 9) | {8: 412.0, 7: 420.0})
    operations.watch()

    (anomaly,) = operations.anomalies()
    ((alert_id, title, severity, status, count, labels, source, _by),) = operations.alerts()
    assert (anomaly.operation, anomaly.alert_id) == ("checkout", alert_id)
    assert anomaly.started_at == operations.minute - 7 * MINUTE
    assert anomaly.severity == severity
    assert severity in ("warning", "critical")
    assert (status, count, source) == ("pending", 1, "anomaly")
    assert labels == {"operation": "checkout"}
    assert title.startswith(("checkout: p95 412 ms, usual 1", "checkout: p95 420 ms, usual 1"))
    assert 180 < anomaly.low < 205 < anomaly.high < 235
    assert operations.world.told(alert_id) == [("alert.firing", webhook, "pending")]

    assert operations.watch() == {}
    operations.send(normal(6, 3, seed=2))
    operations.watch()
    assert [one.ended_at for one in operations.anomalies()] == [None]
    operations.send(normal(2, 2, seed=3))
    operations.watch()

    (anomaly,) = operations.anomalies()
    # From the first minute that was as usual.
    assert anomaly.ended_at == operations.minute - 6 * MINUTE
    assert anomaly.end_reason == "back_to_normal"
    ((_id, _title, _severity, status, count, _labels, _source, by),) = operations.alerts()
    assert (status, count, by) == ("resolved", 1, "anomaly")


def test_what_is_old_teaches_and_wakes_nobody(operations: Operations) -> None:
    operations.send(normal(300, 40) | dict.fromkeys(range(39, 34, -1), 412.0) | normal(34, 20))
    assert operations.watch()["minutes_fed"] == 281
    (anomaly,) = operations.anomalies()
    assert (anomaly.alert_id, anomaly.end_reason) == (None, "back_to_normal")
    assert operations.state()[1] == 281
    assert operations.alerts() == []


def test_another_one_soon_after_is_told_as_well(operations: Operations) -> None:
    operations.send(normal(300, 101) | dict.fromkeys(range(100, 96, -1), 390.0) | normal(96, 9))
    operations.send({8: 412.0, 7: 418.0, 6: 415.0})
    operations.watch()
    first, second = operations.anomalies()
    assert (first.alert_id, first.end_reason) == (None, "back_to_normal")
    assert second.alert_id is not None


def test_what_began_long_ago_is_told_when_it_is_odd_now(operations: Operations) -> None:
    operations.send(normal(300, 13) | dict.fromkeys(range(12, 4, -1), 412.0))
    operations.watch()
    (anomaly,) = operations.anomalies()
    assert anomaly.started_at == operations.minute - 11 * MINUTE
    assert [alert[0] for alert in operations.alerts()] == [anomaly.alert_id]


def test_a_minute_that_is_not_over_is_judged_and_not_learnt(operations: Operations) -> None:
    operations.send(normal(300, 1))
    operations.watch()
    operations.now = datetime.now(UTC)
    operations.minute = operations.now.replace(second=0, microsecond=0)
    before = operations.state()
    operations.send({0: 412.0}, count=5)
    fed = operations.watch().get("minutes_fed", 0)
    operations.watch()
    assert len(operations.alerts()) == 1
    # But for the minute before, if that has come to an end meanwhile.
    assert operations.state()[1] - before[1] == fed <= 1
    assert operations.watch().get("judged_early", 0) == 0
    assert len(operations.alerts()) == 1


def test_each_minute_is_fed_once_whoever_watches(operations: Operations) -> None:
    values = normal(500, 5)
    operations.send(values)
    others = [operations.another_watcher() for _each in range(3)]
    at_once(*(lambda one=one: one.run(lambda: True, lambda: False) for one in others))
    for start in range(5):
        # Each a process that has just started.
        operations.watcher = operations.another_watcher()
        operations.watch()
        assert start == 0 or operations.state()[1] == len(values)

    alone = Detector()
    for ago, value in values.items():
        alone.feed((operations.minute - ago * MINUTE).timestamp(), value)
    state, seen, fed_until, error = operations.state()
    assert to_bytes(from_bytes(state)) == to_bytes(alone)
    assert (seen, error) == (len(values), None)
    assert fed_until == operations.minute - 4 * MINUTE


def test_calm_ones_are_fed_together_as_each_would_be_alone(operations: Operations) -> None:
    fed: dict[str, dict[int, float]] = {}
    for seed, operation in enumerate(("calm", "also calm", "odd", "idle")):
        fed[operation] = normal(100, 6, seed)
        operations.send(fed[operation], operation)
    operations.watch()
    before = operations.state("odd")
    for operation in ("calm", "also calm"):
        news = {5: 205.0, 4: 207.0}
        operations.send(news, operation)
        fed[operation] |= news
    operations.send({5: 412.0, 4: 415.0}, "odd")

    world = operations.world
    complete = operations.minute - 3 * MINUTE
    with world.deps.unit_of_work() as work:
        count, calm, idle = feed_calm(work.session, list(fed), complete)
    assert (count, calm, idle) == (4, {"calm", "also calm"}, {"idle"})
    for operation in calm:
        alone = Detector()
        for ago, value in fed[operation].items():
            alone.feed((operations.minute - ago * MINUTE).timestamp(), value)
        state, seen, fed_until, _error = operations.state(operation)
        assert to_bytes(from_bytes(state)) == to_bytes(alone)
        assert (seen, fed_until) == (97, complete)
    # Of the odd one nothing was done: it is looked at alone, and told.
    assert operations.state("odd") == before
    operations.watch()
    assert operations.state("odd")[1] == 97
    assert [labels for *_, labels, _source, _by in operations.alerts()] == [{"operation": "odd"}]


def test_nobody_judges_what_another_is_judging(operations: Operations) -> None:
    operations.send(normal(100, 10))
    operations.watch()
    operations.send({9: 412.0, 8: 415.0})
    with operations.world.deps.unit_of_work() as work:
        context = Context(work.session, work.now, work.events, [0])
        assert watch(context, "checkout", operations.minute)["minutes_fed"] == 2
        assert operations.watch() == {}
    assert operations.watch() == {}
    assert operations.state()[1] == 93
    assert len(operations.alerts()) == 1


def test_who_is_killed_has_done_nothing(operations: Operations) -> None:
    operations.send(normal(100, 9) | {8: 412.0})

    def killed() -> None:
        with operations.world.deps.unit_of_work() as work:
            context = Context(work.session, work.now, work.events, [0])
            assert watch(context, "checkout", operations.minute)["minutes_fed"] == 93
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert operations.world.one("SELECT count(*) FROM pggit_analytics.detector_states") == 0
    assert (operations.anomalies(), operations.alerts()) == ([], [])
    operations.watch()
    assert operations.state()[1] == 93
    assert len(operations.alerts()) == 1


def test_one_that_fails_is_recorded_and_the_others_go_on(operations: Operations) -> None:
    for operation in ("a", "b", "c"):
        operations.send(normal(60, 5), operation)
    operations.world.sql(
        "UPDATE pggit_analytics.metric_rollups SET sketch = '\\x00' WHERE series_id ="
        " (SELECT id FROM pggit_analytics.metric_series WHERE operation = 'b')"
    )
    report = operations.watch()
    assert (report["operations_failed"], report["minutes_fed"]) == (1, 112)
    state, seen, _fed_until, error = operations.state("b")
    assert (state, seen) == (None, 0)
    assert error
    # It rests for a minute.
    assert operations.watch() == {}
    operations.world.sql("UPDATE pggit_analytics.detector_states SET retry_at = now()")
    assert operations.watch()["operations_failed"] == 1


def test_a_damaged_state_is_learnt_anew(operations: Operations) -> None:
    operations.send(normal(100, 5))
    operations.watch()
    operations.world.sql(
        "UPDATE pggit_analytics.detector_states SET state = '\\x00', retry_at = now()"
    )
    operations.send(normal(4, 4))
    operations.watch()
    assert operations.state()[1] == 97


def test_a_history_sent_after_the_present_is_learnt(operations: Operations) -> None:
    operations.send(normal(5, 3))
    operations.watch()
    assert operations.state()[1] == 3
    # Odd as it may be, that was judged once.
    operations.send(normal(300, 50) | dict.fromkeys(range(49, 45, -1), 412.0) | normal(45, 6))
    operations.world.sql(
        "UPDATE pggit_analytics.detector_states SET compared_at = now() - interval '1 minute'"
    )
    operations.watch()
    assert operations.state()[1] == 298
    assert operations.anomalies() == []


def test_minutes_wait_for_samples_that_are_not_rolled_up(operations: Operations) -> None:
    operations.send(normal(100, 3))
    operations.world.sql(
        "INSERT INTO pggit_analytics.metric_inbox (received_at, samples, payload)"
        " VALUES (:at, 1, '')",
        at=operations.minute - 4 * MINUTE,
    )
    operations.watch()
    assert operations.state()[2] <= operations.minute - 5 * MINUTE
    operations.world.sql("DELETE FROM pggit_analytics.metric_inbox")
    operations.watch()
    assert operations.state()[2] == operations.minute - 2 * MINUTE


def test_an_anomaly_of_which_nothing_more_is_heard_ends(operations: Operations) -> None:
    operations.send(normal(300, 9) | {8: 412.0})
    operations.watch()
    operations.world.sql(
        "UPDATE pggit_analytics.anomalies SET last_at = last_at - interval '1 hour'"
    )
    assert operations.watch() == {"anomalies_silent": 1}
    (anomaly,) = operations.anomalies()
    assert anomaly.end_reason == "no_more_samples"
    assert [alert[3] for alert in operations.alerts()] == ["resolved"]


def test_an_alert_that_somebody_resolved_is_not_raised_again(operations: Operations) -> None:
    operations.send(normal(300, 10) | {9: 412.0})
    operations.watch()
    operations.world.resolve(operations.alerts()[0][0])
    # Calm for five minutes without the last one, which is not complete in its first seconds.
    operations.send({8: 420.0, 7: 500.0} | normal(6, 1))
    operations.watch()
    assert len(operations.alerts()) == 1
    assert [one.end_reason for one in operations.anomalies()] == ["back_to_normal"]


def test_the_usual_of_an_hour_is_of_its_profile(operations: Operations) -> None:
    def at_work(ago: int) -> float:
        hour = (operations.minute - ago * MINUTE).hour
        return (400.0 if 9 <= hour < 17 else 100.0) + ago % 7

    assert usual(operations) is None
    operations.send({ago: at_work(ago) for ago in range(5 * 1440, 5, -10)})
    operations.watch()
    found = usual(operations)
    assert found is not None
    assert found.when == f"{operations.minute:%A} {operations.minute.hour} h"
    assert found.low <= at_work(0) <= found.high + 7


def test_the_usual_of_an_hour_is_of_the_baseline_where_there_is_one(
    operations: Operations,
) -> None:
    world = operations.world
    at = every(5 * MINUTE, operations.minute - timedelta(days=8), operations.minute, each=6)
    feed(world, "checkout", at, [900.0 + place % 5 for place in range(len(at))])
    assert usual(operations) is None
    recalc_runs.run(world.deps.unit_of_work, None)
    found = usual(operations)
    assert found is not None
    assert found.when == f"{operations.minute:%A} {operations.minute.hour} h"
    assert 890 < found.low < 900
    assert 904 <= found.high < 915


def usual(operations: Operations) -> Any:
    with operations.world.deps.reading() as session:
        return usual_for(session, "checkout", operations.minute)


def test_the_list_is_filtered(operations: Operations) -> None:
    old, new = 200, 8
    for operation, ago in (("old", old), ("new", new)):
        after = {old: normal(ago - 1, 5), new: {}}[ago]
        operations.send(normal(400, ago + 1) | {ago: 900.0} | after, operation)
    operations.watch()
    middle = operations.minute - 100 * MINUTE

    def listed(**filters: Any) -> list[str]:
        return [one.operation for one in operations.anomalies(**filters)]

    assert set(listed()) == {"old", "new"}
    assert set(listed(operation="old")) == {"old"}
    assert listed(since=middle) == ["new"]
    assert set(listed(until=middle)) == {"old"}
    assert listed(severity="critical", operation="new") == ["new"]
    assert listed(severity="warning", operation="new") == []
