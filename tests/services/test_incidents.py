"""Incidents: opened for operations that degrade together, joined, closed, and left out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from app.errors import NotFound
from app.services import incidents, recalc_runs
from app.services.correlation import correlate
from app.services.incidents import IncidentView
from app.services.paging import PageRequest
from app.services.retention import purge
from tests.services.series import every, feed
from tests.services.world import World, at_once

STEP = timedelta(minutes=5)
Shape = Callable[[float], float]


_now = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _one_bucket() -> None:
    """Each test has one `now`, though a bucket may end while it runs."""
    global _now
    _now = datetime.now(UTC)


def now() -> datetime:
    """The start of the bucket of five minutes that was being filled when the test began."""
    return _now.replace(minute=_now.minute // 5 * 5, second=0, microsecond=0)


def calm(world: World, *operations: str) -> None:
    """Two days around 100, and a baseline."""
    at = every(STEP, now() - timedelta(days=2), now() + STEP, each=3)
    for place, operation in enumerate(operations):
        noise = np.random.default_rng(place).normal(0, 2, len(at)).tolist()
        feed(world, operation, at, [100 + one for one in noise])
    found = recalc_runs.run(world.deps.unit_of_work, None)
    assert found["succeeded"] == len(operations)


def degrade(world: World, operation: str, minutes: int, *, factor: float = 1.0) -> None:
    """Since so many minutes it is as slow as in every incident here: up, and up and down."""
    at = every(STEP, now() - timedelta(minutes=minutes), now() + STEP)
    steps = [(one - now()) / STEP for one in at]
    feed(world, operation, at, [100 + factor * (150 + 30 * np.sin(one)) for one in steps])


def recover(world: World, operation: str) -> None:
    """The last ten minutes were as ever."""
    feed(world, operation, [now() - STEP, now()], [100.0, 100.0])


def run(world: World) -> dict[str, Any]:
    return {name: count for name, count in correlate(world.deps.unit_of_work).items() if count}


def all_incidents(world: World, **filters: Any) -> list[IncidentView]:
    with world.deps.reading() as session:
        return incidents.list_incidents(session, filters, PageRequest(100)).items


def members(view: IncidentView) -> list[str]:
    return [one.operation for one in view.members]


def test_while_all_is_usual_there_is_none(world: World) -> None:
    calm(world, "api", "db")
    assert run(world) == {}
    assert all_incidents(world) == []


def test_who_degrades_together_is_one_incident(world: World) -> None:
    calm(world, "api", "db", "search")
    degrade(world, "db", 30)
    degrade(world, "api", 25, factor=3)
    assert run(world) == {"off": 2, "opened": 1}
    (view,) = all_incidents(world)
    assert (view.row.status, view.row.cause_operation, members(view)) == (
        "open",
        "db",
        ["db", "api"],
    )
    assert view.row.started_at == now() - timedelta(minutes=30)
    assert view.row.summary.startswith("db left its baseline first, at ")
    cause, other = view.members
    assert cause.correlation is None
    assert other.correlation is not None
    assert other.correlation > 0.75
    assert other.value > other.usual_high > 100 > other.usual_low
    # Again it is the same one.
    assert run(world) == {"off": 2}
    assert len(all_incidents(world)) == 1


def test_one_alone_is_no_incident(world: World) -> None:
    calm(world, "api", "db")
    degrade(world, "db", 30)
    assert run(world) == {"off": 1}
    assert all_incidents(world) == []


def test_without_a_baseline_nobody_is_off_it(world: World) -> None:
    at = every(STEP, now() - timedelta(hours=2), now() + STEP)
    for operation in ("api", "db"):
        feed(world, operation, at, [100.0] * len(at))
        degrade(world, operation, 30)
    assert run(world) == {}


def test_who_joins_later_joins_the_incident(world: World) -> None:
    calm(world, "api", "db", "web")
    degrade(world, "db", 20)
    degrade(world, "api", 20)
    run(world)
    degrade(world, "web", 15)
    assert run(world) == {"off": 3}
    (view,) = all_incidents(world)
    assert set(members(view)) == {"api", "db", "web"}
    assert members(view)[-1] == "web"
    assert "web" in view.row.summary


def test_an_earlier_one_whose_data_came_late_is_the_cause_then(world: World) -> None:
    calm(world, "api", "db", "disk")
    degrade(world, "db", 20)
    degrade(world, "api", 15)
    run(world)
    degrade(world, "disk", 25)
    run(world)
    (view,) = all_incidents(world)
    assert members(view) == ["disk", "db", "api"]
    assert view.row.started_at == now() - timedelta(minutes=25)
    assert [one.correlation is None for one in view.members] == [True, False, False]


def test_it_is_closed_when_all_are_back(world: World) -> None:
    calm(world, "api", "db")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    run(world)
    recover(world, "db")
    assert run(world) == {"off": 1, "back": 1}
    (view,) = all_incidents(world, status="open")
    recover(world, "api")
    assert run(world) == {"back": 1, "closed": 1}
    (view,) = all_incidents(world, status="closed")
    assert [(one.back_at, one.back_reason) for one in view.members] == [
        (now() - STEP, "usual_again")
    ] * 2
    assert view.row.closed_at == now() - STEP
    assert all_incidents(world, status="open") == []


def test_who_goes_off_again_while_it_is_open_is_a_member_again(world: World) -> None:
    calm(world, "api", "db")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    run(world)
    recover(world, "db")
    run(world)
    degrade(world, "db", 25)
    assert run(world) == {"off": 2}
    (view,) = all_incidents(world)
    assert [one.back_at for one in view.members] == [None, None]


def test_who_is_silent_is_no_member_for_ever(world: World) -> None:
    calm(world, "api", "db")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    run(world)
    world.sql("DELETE FROM pggit_analytics.metric_rollups WHERE at > now() - interval '61 minutes'")
    assert run(world) == {"back": 2, "closed": 1}
    (view,) = all_incidents(world)
    assert {one.back_reason for one in view.members} == {"no_data"}


def test_it_is_found_by_its_members(world: World) -> None:
    calm(world, "api", "db", "web")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    run(world)
    (view,) = all_incidents(world, operation="api")
    assert all_incidents(world, operation="web") == []
    with world.deps.reading() as session:
        assert incidents.get_incident(session, view.row.id).row.id == view.row.id
        with pytest.raises(NotFound):
            incidents.get_incident(session, view.row.id + 1)


def test_several_workers_open_one(world: World) -> None:
    calm(world, "api", "db")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    at_once(*[lambda: run(world)] * 4)
    run(world)
    assert len(all_incidents(world)) == 1


def test_its_time_is_left_out_of_the_next_baseline(world: World) -> None:
    calm(world, "api", "db")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    run(world)
    with world.deps.unit_of_work() as work:
        asked = recalc_runs.request(
            work.session, work.now, work.events, "db", "baselines.recalculate", "jobs"
        )
        work.events.clear()
    recalc_runs.run(world.deps.unit_of_work, asked.id)
    (left_out,) = world.one(
        "SELECT left_out FROM pggit_analytics.baseline_versions"
        " WHERE operation = 'db' AND status = 'active'"
    )
    assert left_out["reason"] == "incident"


def test_closed_ones_are_kept_for_a_month(world: World) -> None:
    calm(world, "api", "db")
    for operation in ("api", "db"):
        degrade(world, operation, 30)
    run(world)
    world.sql("UPDATE pggit_analytics.incidents SET created_at = now() - interval '31 days'")
    purge(world.deps.unit_of_work)
    assert len(all_incidents(world)) == 1
    world.sql(
        "UPDATE pggit_analytics.incidents SET status = 'closed',"
        " closed_at = now() - interval '31 days'"
    )
    purge(world.deps.unit_of_work)
    assert all_incidents(world) == []
    assert world.one("SELECT count(*) FROM pggit_analytics.incident_members") == 0
