"""Samples in: accepted is committed, and rolled up exactly once, whatever comes in between."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.clock import Clock
from app.domain.partitions import RAW, ROLLED
from app.domain.rollups import Rollup, quantiles
from app.domain.samples import Faults, read_samples
from app.errors import Unavailable
from app.services import partitions, retention, rolling
from app.services.intake import Intake
from app.services.rolling import Roller
from app.services.rollups import rollups_of
from app.services.series import SeriesBook
from tests.services.world import World, at_once, overlapping

DAY = timedelta(days=1)


class Metrics:
    """A process that takes in, another that rolls, and what is there afterwards."""

    def __init__(self, world: World, series_limit: int = 1000, inbox_limit: int = 10**6) -> None:
        self.world = world
        clock = Clock()
        self.intake = Intake(clock, SeriesBook(clock), series_limit, inbox_limit)
        self.roller = Roller(world.deps.unit_of_work, clock)
        self.now = datetime.now(UTC)

    def send(self, *raw: dict[str, Any]) -> dict[int, Faults]:
        samples = read_samples(raw, self.now)
        assert not samples.errors
        with self.world.deps.unit_of_work() as work:
            return self.intake.accept(work.session, samples)

    def send_values(
        self, values: Sequence[float], at: datetime, operation: str = "op"
    ) -> dict[int, Faults]:
        stamp = at.isoformat()
        return self.send(
            *({"operation": operation, "value": value, "timestamp": stamp} for value in values)
        )

    def roll(self) -> int:
        """All there is; how many samples."""
        rolled = 0
        while report := self.roller.roll():
            rolled += report["samples_rolled"]
        return rolled

    def rollups(self, resolution: int, operation: str = "op") -> list[tuple[datetime, Rollup]]:
        with self.world.deps.reading() as session:
            return list(
                rollups_of(
                    session, operation, resolution, self.now - 500 * DAY, self.now + 500 * DAY
                )
            )

    def counts(self, operation: str = "op") -> dict[int, int]:
        """How many samples are in all rollups, by resolution."""
        return {
            resolution: sum(one.count for _at, one in self.rollups(resolution, operation))
            for resolution in ROLLED
        }

    def raw(self) -> list[float]:
        return [
            row[0] for row in self.world.sql("SELECT value FROM pggit_analytics.metric_samples")
        ]


@pytest.fixture
def metrics(world: World) -> Metrics:
    return Metrics(world)


def test_what_is_accepted_is_in_the_raw_samples_and_in_all_rollups(metrics: Metrics) -> None:
    at = metrics.now - timedelta(hours=2)
    values = [random.lognormvariate(3, 1) for _ in range(500)]
    for start in range(0, 500, 100):
        assert metrics.send_values(values[start : start + 100], at) == {}
    assert metrics.raw() == [], "accepting is cheap: the roller does the work"

    assert metrics.roll() == 500

    assert sorted(metrics.raw()) == sorted(values)
    for resolution in ROLLED:
        ((start_of, rollup),) = metrics.rollups(resolution)
        assert start_of.timestamp() == at.timestamp() // resolution * resolution
        assert rollup.count == 500
        assert rollup.sum == pytest.approx(sum(values))
        assert rollup.m2 == pytest.approx(float(np.var(values)) * 500)
        assert (rollup.min, rollup.max) == (min(values), max(values))
        # So few are all in the sketch.
        assert quantiles(rollup, [0.5]) == [sorted(values)[249]]
    assert metrics.world.one("SELECT count(*) FROM pggit_analytics.metric_inbox") == 0


def test_labels_are_other_series_and_their_order_is_not(metrics: Metrics) -> None:
    a, b = {"host": "a", "zone": "1"}, {"zone": "1", "host": "a"}
    metrics.send(
        {"operation": "op", "value": 1, "labels": a},
        {"operation": "op", "value": 2, "labels": b},
        {"operation": "op", "value": 3},
        {"operation": "op", "value": 4, "labels": {}},
        {"operation": "op", "value": 5, "labels": {"host": "b", "zone": "1"}},
    )
    metrics.roll()
    by_labels = metrics.world.sql(
        "SELECT s.labels, r.sum FROM pggit_analytics.metric_rollups r"
        " JOIN pggit_analytics.metric_series s ON s.id = r.series_id"
        " WHERE resolution = 60 ORDER BY r.sum"
    )
    assert by_labels == [(a, 3.0), ({"host": "b", "zone": "1"}, 5.0), ({}, 7.0)]
    assert metrics.counts() == {60: 5, 300: 5, 3600: 5}


def test_late_samples_are_merged_into_what_is_there_and_their_order_is_no_matter(
    metrics: Metrics,
) -> None:
    """The same samples, in order and at once or out of order and in many passes."""
    start = metrics.now - timedelta(hours=3)
    sent = [(start + timedelta(seconds=23 * n), float(random.randrange(1000))) for n in range(200)]
    for at, value in sent:
        metrics.send_values([value], at, "in order")
    assert metrics.roll() == 200
    late = random.sample(sent, len(sent))
    for begin in range(0, 200, 50):
        for at, value in late[begin : begin + 50]:
            metrics.send_values([value], at, "late")
        assert metrics.roll() == 50
    for resolution in ROLLED:
        expected = metrics.rollups(resolution, "in order")
        found = metrics.rollups(resolution, "late")
        assert [at for at, _one in found] == [at for at, _one in expected]
        for (_at, one), (_same, other) in zip(found, expected, strict=True):
            assert (one.count, one.sum, one.min, one.max) == (
                (other.count, other.sum, other.min, other.max)
            )
            assert one.m2 == pytest.approx(other.m2)
            assert quantiles(one, [0, 0.5, 0.99]) == quantiles(other, [0, 0.5, 0.99])


def test_a_sample_beyond_the_retention_of_minutes_is_in_the_coarser_rollups(
    metrics: Metrics,
) -> None:
    metrics.send_values([1.0], metrics.now - 10 * DAY)
    metrics.send_values([2.0], metrics.now)
    assert metrics.roll() == 2
    assert metrics.counts() == {60: 1, 300: 2, 3600: 2}
    assert len(metrics.raw()) == 2


@pytest.mark.parametrize("step", ["_take", "_copy", "_merge_into", "_note_last"])
def test_a_roller_that_fails_in_between_has_done_nothing(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    metrics.send_values([1.0, 2.0, 3.0], metrics.now)
    call: Callable[..., Any] = getattr(rolling, step)

    def failing(*arguments: Any) -> None:
        call(*arguments)
        raise SQLAlchemyError("as if the connection broke here")

    with monkeypatch.context() as broken:
        broken.setattr(rolling, step, failing)
        with pytest.raises(SQLAlchemyError):
            metrics.roller.roll()
    assert metrics.raw() == []
    assert metrics.counts() == {60: 0, 300: 0, 3600: 0}

    assert metrics.roll() == 3
    assert metrics.counts() == {60: 3, 300: 3, 3600: 3}
    assert sorted(metrics.raw()) == [1, 2, 3]


def test_two_rollers_and_many_senders_at_once_count_each_sample_once(
    world: World, metrics: Metrics
) -> None:
    """Each of them with a memory of its own, as in processes of their own."""
    others = [Metrics(world) for _ in range(4)]

    def send(sender: Metrics) -> int:
        for number in range(15):
            at = metrics.now - timedelta(minutes=number)
            sender.send_values([float(number)] * 7, at, f"op {number % 3}")
        return 0

    at_once(
        *[lambda one=one: send(one) for one in others],
        *[lambda one=one: sum(one.roll() for _ in range(10)) for one in others[:2]],
    )
    metrics.roll()
    counted = [metrics.counts(f"op {number}") for number in range(3)]
    assert counted == [{60: 140, 300: 140, 3600: 140}] * 3
    assert len(metrics.raw()) == 420


def test_who_finds_another_rolling_leaves_it_to_him(metrics: Metrics) -> None:
    metrics.send_values([1.0], metrics.now)

    def holds(work: Any) -> None:
        work.session.execute(
            text("SELECT pg_advisory_xact_lock(:key)"), {"key": rolling.ROLLER_LOCK}
        )

    assert overlapping(metrics.world, holds, metrics.roller.roll) == {}
    assert metrics.counts()[60] == 0
    assert metrics.roll() == 1


def test_a_batch_is_bounded_and_the_rest_is_the_next_one(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "MAX_SAMPLES", 5)
    for _ in range(4):
        metrics.send_values([1.0, 2.0, 3.0], metrics.now)
    reports = [metrics.roller.roll() for _ in range(3)]
    assert [(one.get("samples_rolled"), one.get("is_full")) for one in reports] == [
        (6, True),
        (6, True),
        (None, None),
    ]


def test_a_backfill_of_many_buckets_is_rolled_in_parts(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request has its samples in minutes of their own, but for those that come again."""
    monkeypatch.setattr(rolling, "MAX_BUCKETS", 10)
    monkeypatch.setattr(rolling, "BUCKETS_AT_ONCE", 3)
    for hours in (1, 1, 2, 3, 4):
        at = metrics.now - timedelta(hours=hours)
        stamps = [(at - timedelta(minutes=number)).isoformat() for number in range(4)]
        metrics.send(*({"operation": "op", "value": 1, "timestamp": one} for one in stamps))
    many = [(metrics.now - timedelta(days=1, minutes=one)).isoformat() for one in range(20)]
    metrics.send(*({"operation": "op", "value": 1, "timestamp": one} for one in many))
    reports = [metrics.roller.roll() for _ in range(4)]
    # Two of four buckets and one with the same; the next two; and one that is too large alone.
    assert [one.get("samples_rolled") for one in reports] == [12, 8, 20, None]
    assert [one.get("is_full") for one in reports] == [True, True, False, None]
    assert metrics.counts() == {60: 40, 300: 40, 3600: 40}


class TestSeries:
    def test_they_are_bounded_and_what_is_refused_says_so(self, world: World) -> None:
        few = Metrics(world, series_limit=2)
        few.send_values([1.0], few.now, "a")
        refused = few.send(
            {"operation": "b", "value": 1},
            {"operation": "c", "value": 1},
            {"operation": "a", "value": 1},
            {"operation": "c", "value": 2},
        )
        assert refused.keys() == {1, 3}
        assert "There are 2 series already" in refused[1]["operation"][0]
        # Those that are there are taken from now on, and nobody else makes more.
        assert few.send_values([1.0], few.now, "b") == {}
        assert len(Metrics(world, series_limit=2).send_values([1.0], few.now, "d")) == 1
        assert few.roll() == 4
        assert world.one("SELECT count(*) FROM pggit_analytics.metric_series") == 2

    def test_who_makes_some_at_the_same_time_waits_so_that_none_is_too_many(
        self, world: World
    ) -> None:
        first, second = Metrics(world, series_limit=2), Metrics(world, series_limit=2)
        raw = [{"operation": name, "value": 1} for name in ("a", "b")]

        def makes_two(work: Any) -> None:
            first.intake.accept(work.session, read_samples(raw, first.now))

        refused = overlapping(world, makes_two, lambda: second.send_values([1.0], second.now, "c"))
        assert "There are 2 series already" in refused[0]["operation"][0]

    def test_many_who_make_the_same_ones_make_each_once(self, world: World) -> None:
        senders = [Metrics(world, series_limit=20) for _ in range(6)]
        names = [f"op {number}" for number in range(20)]

        def send(sender: Metrics) -> int:
            order = random.sample(names, len(names))
            return len(sender.send(*({"operation": one, "value": 1.0} for one in order)))

        assert at_once(*[lambda one=one: send(one) for one in senders]) == [0] * 6
        assert senders[0].roll() == 120

    def test_a_series_has_one_unit(self, metrics: Metrics, world: World) -> None:
        assert metrics.send({"operation": "op", "value": 1}) == {}
        assert metrics.send({"operation": "op", "value": 1, "unit": "ms"}) == {}
        assert metrics.send({"operation": "op", "value": 1}) == {}
        for sender in (metrics, Metrics(world)):
            refused = sender.send(
                {"operation": "op", "value": 1, "unit": "s"},
                {"operation": "op", "value": 1, "unit": "ms"},
                {"operation": "new", "value": 1, "unit": "s"},
                {"operation": "new", "value": 1, "unit": "ms"},
            )
            assert refused == {
                0: {"unit": ["The unit of this series is ms."]},
                3: {"unit": ["The unit of this series is s."]},
            }

    def test_the_longest_name_and_labels_are_taken(self, metrics: Metrics) -> None:
        """They are what a B-tree's entry holds."""
        labels = {f"{chr(0x1F600 + n)}" * 12: f"{n:02}".rjust(27, "🚦") for n in range(9)}
        labels["x"] = "y" * (
            1499 - sum(len(k.encode()) + len(v.encode()) for k, v in labels.items())
        )
        name = "🚦" * 200
        assert metrics.send({"operation": name, "value": 1, "labels": labels}) == {}
        assert metrics.roll() == 1

    def test_after_the_series_are_gone_they_are_made_again(
        self, metrics: Metrics, world: World
    ) -> None:
        """As when a database is restored under a running process."""
        metrics.send_values([1.0], metrics.now)
        world.sql("DELETE FROM pggit_analytics.metric_inbox")
        world.sql("DELETE FROM pggit_analytics.metric_series")
        metrics.send_values([2.0], metrics.now)
        metrics.roll()
        assert metrics.counts() == {60: 1, 300: 1, 3600: 1}

    def test_one_goes_long_after_its_last_sample_but_not_while_somebody_knows_it(
        self, metrics: Metrics, world: World
    ) -> None:
        def age(days: int, seen_days: int) -> int:
            world.sql(
                "UPDATE pggit_analytics.metric_series SET"
                " last_sample_at = now() - make_interval(days => :days),"
                " seen_at = now() - make_interval(days => :seen)",
                days=days,
                seen=seen_days,
            )
            return retention.purge(world.deps.unit_of_work)["metric_series"]

        metrics.send_values([1.0], metrics.now)
        metrics.roll()
        assert age(429, 400) == 0
        assert age(431, 0) == 0
        # Who asks for it anew is seen.
        world.sql("UPDATE pggit_analytics.metric_series SET seen_at = now() - interval '9 days'")
        Metrics(world).send_values([2.0], metrics.now)
        assert retention.purge(world.deps.unit_of_work)["metric_series"] == 0
        assert age(431, 2) == 1


def test_a_full_inbox_refuses_until_it_is_rolled(world: World) -> None:
    small = Metrics(world, inbox_limit=3)
    small.send_values([1.0, 2.0, 3.0], small.now)
    another = Metrics(world, inbox_limit=3)
    with pytest.raises(Unavailable) as refused:
        another.send_values([4.0], small.now)
    assert refused.value.retry_after_seconds
    assert another.roll() == 3
    assert Metrics(world, inbox_limit=3).send_values([4.0], small.now) == {}


class TestPartitions:
    @pytest.fixture(autouse=True)
    def _only_ours(self, world: World) -> None:
        for (name,) in world.sql(
            "SELECT inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid"
            " WHERE c.relkind = 'r' AND inhrelid::regclass::text LIKE 'pggit_analytics.%'"
        ):
            world.sql(f"DROP TABLE {name}")

    def existing(self, world: World) -> set[str]:
        with world.deps.reading() as session:
            return {one.name for one in partitions.existing(session)}

    def test_they_are_made_ahead_and_dropped_after_their_time(
        self, metrics: Metrics, world: World
    ) -> None:
        made = partitions.keep_partitions(world.deps.unit_of_work)
        assert made["made"] == len(self.existing(world)) >= 4
        tomorrow = RAW.partition_at((metrics.now + DAY).timestamp())
        assert tomorrow.name in self.existing(world)
        again = partitions.keep_partitions(world.deps.unit_of_work)
        assert again == {"made": 0, "dropped": 0, "kept_for_readers": 0}

        old = [
            kind.partition_at(
                (metrics.now - timedelta(seconds=kind.kept + add * kind.width)).timestamp()
            )
            for kind in (RAW, *ROLLED.values())
            for add in (0, 1)
        ]
        with world.deps.unit_of_work() as work:
            assert partitions.make_partitions(work.session, old) == len(old)
        dropped = partitions.keep_partitions(world.deps.unit_of_work)["dropped"]
        # What holds the edge is not past its time yet.
        assert dropped == len(old) // 2

    def test_what_somebody_reads_is_dropped_the_next_time(
        self, metrics: Metrics, world: World
    ) -> None:
        old = RAW.partition_at((metrics.now - 30 * DAY).timestamp())
        with world.deps.unit_of_work() as work:
            partitions.make_partitions(work.session, [old])
        with world.deps.reading() as session:
            session.execute(text("SELECT count(*) FROM pggit_analytics.metric_samples"))
            kept = partitions.keep_partitions(world.deps.unit_of_work)
            assert (kept["dropped"], kept["kept_for_readers"]) == (0, 1)
        assert partitions.keep_partitions(world.deps.unit_of_work)["dropped"] == 1

    def test_several_make_the_same_at_once(self, metrics: Metrics, world: World) -> None:
        made = at_once(*[lambda: partitions.keep_partitions(world.deps.unit_of_work)["made"]] * 4)
        assert sum(made) == len(self.existing(world))

    def test_who_reads_and_writes_does_not_wait_for_a_new_one(
        self, metrics: Metrics, world: World
    ) -> None:
        partitions.keep_partitions(world.deps.unit_of_work)
        old = RAW.partition_at((metrics.now - 3 * DAY).timestamp())

        def writes_and_reads(work: Any) -> None:
            work.session.execute(
                text(
                    "INSERT INTO pggit_analytics.metric_samples VALUES (1, now(), 1);"
                    "SELECT count(*) FROM pggit_analytics.metric_samples"
                )
            )

        def make() -> int:
            with world.deps.unit_of_work() as work:
                work.session.execute(text("SET LOCAL lock_timeout = '2s'"))
                return partitions.make_partitions(work.session, [old])

        assert overlapping(world, writes_and_reads, make) == 1
