"""Tocsin's own metrics: noted at no cost, written in batches, and never in the way."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.clock import Clock
from app.adapters.database import Database
from app.deps import Deps
from app.domain.rollups import RESOLUTIONS, Rollup, quantiles
from app.domain.samples import Series
from app.services import meter
from app.services.meter import DROPPED, Meter
from app.services.rolling import Roller
from app.services.rollups import rollups_of
from app.services.series import SeriesBook
from tests.harness.waiting import eventually
from tests.services.world import World, at_once

LATENCY = Series("latency", (("route", "/"),))


@pytest.fixture
def make(world: World) -> Iterator[Callable[..., Meter]]:
    """Meters that write only when they are told to."""
    made: list[Meter] = []

    def make_one(database: Database | None = None) -> Meter:
        clock = Clock()
        made.append(Meter(database or world.deps.database, clock, SeriesBook(clock)))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "WRITE_EVERY_SECONDS", 3600.0)
        yield make_one
        for one in made:
            one.close()


def rolled(world: World, operation: str, resolution: int = 60) -> list[Rollup]:
    roller = Roller(world.deps.unit_of_work, Clock())
    while roller.roll():
        pass
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    with world.deps.reading() as session:
        return [one for _at, one in rollups_of(session, operation, resolution, since, until)]


def count(world: World, operation: str) -> int:
    return sum(one.count for one in rolled(world, operation))


def test_what_is_noted_is_in_all_rollups_and_costs_a_row_a_minute(
    world: World, make: Callable[..., Meter]
) -> None:
    one = make()
    for _ in range(100):
        one.note(LATENCY, [1.0, 2.0, 3.0])
    one.note(LATENCY, [])
    one.note(Series("other"), [])
    assert world.one("SELECT count(*) FROM pggit_analytics.metric_parts") == 0
    assert 1 <= one.write() <= 2  # a minute may have ended meanwhile
    assert one.write() == 0
    for resolution in RESOLUTIONS:
        found = rolled(world, "latency", resolution)
        assert sum(rollup.count for rollup in found) == 300
        assert sum(rollup.sum for rollup in found) == 600
        assert (found[0].min, found[-1].max) == (1, 3)
        assert quantiles(found[0], [0.5]) == [2]
    assert world.one("SELECT unit FROM pggit_analytics.metric_series") == "ms"


def test_several_processes_and_the_samples_of_clients_add_up(
    world: World, make: Callable[..., Meter]
) -> None:
    meters = [make() for _ in range(4)]

    def work(one: Meter) -> int:
        for _ in range(20):
            one.note(LATENCY, [1.0] * 5)
            one.write()
        return 0

    at_once(*[lambda one=one: work(one) for one in meters])
    assert count(world, "latency") == 400


def test_while_the_database_is_away_rollups_wait_and_nobody_else_does(
    world: World, make: Callable[..., Meter]
) -> None:
    gone = Database("postgresql+psycopg://127.0.0.1:9/none", pool_min=1, pool_max=1)
    one = make(gone)
    for number in range(3):
        one.note(LATENCY, [float(number)])
        with pytest.raises(SQLAlchemyError):
            one.write()
    gone.close()
    one._database = world.deps.database
    one.write()
    assert count(world, "latency") == 3


def test_what_finds_no_room_is_dropped_and_counted(
    world: World, make: Callable[..., Meter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "MAX_VALUES", 10)
    monkeypatch.setattr(meter, "MAX_PARTS", 2)
    one = make()
    one.note(LATENCY, [1.0] * 8)
    one.note(LATENCY, [1.0] * 3)  # too many
    one.note(LATENCY, [1.0] * 2)
    one.write()
    assert count(world, "latency") == 10
    assert sum(rollup.sum for rollup in rolled(world, DROPPED)) == 3

    for name in ("a", "b", "c"):
        one.note(Series(name), [1.0, 1.0])
    one.write()
    one.write()
    assert [count(world, name) for name in ("a", "b", "c")] == [2, 2, 0]
    assert sum(rollup.sum for rollup in rolled(world, DROPPED)) == 5


def test_after_the_series_are_gone_they_are_made_again(
    world: World, make: Callable[..., Meter]
) -> None:
    one = make()
    one.note(LATENCY, [1.0])
    one.write()
    world.sql("DELETE FROM pggit_analytics.metric_parts")
    world.sql("DELETE FROM pggit_analytics.metric_series")
    one.note(LATENCY, [2.0])
    assert one.write() == 0
    assert one.write() >= 1
    assert count(world, "latency") == 1


def test_the_writer_writes_by_itself_and_survives_whatever_happens(
    world: World, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "WRITE_EVERY_SECONDS", 0.02)
    clock = Clock()
    one = Meter(deps.database, clock, SeriesBook(clock))
    put: Callable[..., Any] = Meter._put
    faults: list[Exception] = [SQLAlchemyError("away"), RuntimeError("a mistake of ours")]

    def failing(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        put(*arguments)

    monkeypatch.setattr(Meter, "_put", failing)
    one.note(LATENCY, [1.0])
    eventually(lambda: count(world, "latency") == 1, what="the value in the rollups")
    assert not faults
    monkeypatch.setattr(meter, "WRITE_EVERY_SECONDS", 3600.0)
    one.note(LATENCY, [1.0])
    one.close()
    assert count(world, "latency") == 2, "what is left is written at the end"
