"""Runs of jobs: a tick runs once, what is missed is seen, what is lost is given up."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

import beat_schedule
from app.deps import Work
from app.domain.events import Changed, Event, JobRequested
from app.errors import NotFound, Unavailable
from app.services import jobs
from app.services.paging import PageRequest
from tests.services.world import World, at_once

NAME = "beat-heartbeat"
INTERVAL = 10
SLOT = 178_290_000
TASKS = {name: (job["task"], job["lane"]) for name, job in beat_schedule.JOBS.items()}


def hints(work: Work) -> list[Event]:
    """What wakes workers; it is taken away, so that nobody is woken."""
    events, work.events[:] = list(work.events), []
    return [event for event in events if not isinstance(event, Changed)]


def begin(world: World, slot: int, worker: str = "w") -> int | None:
    with world.deps.unit_of_work() as work:
        return jobs.begin_tick(work.session, work.now, NAME, INTERVAL, slot, worker)


def request(world: World) -> tuple[int, list[Event]]:
    with world.deps.unit_of_work() as work:
        run = jobs.request_run(work.session, work.now, work.events, NAME, *TASKS[NAME])
        return run.id, hints(work)


def run(
    world: World, work: Any, *, slot: int | None = None, execution_id: int | None = None
) -> Mapping[str, Any]:
    return jobs.run_job(
        world.deps.unit_of_work,
        NAME,
        INTERVAL,
        work,
        worker="w",
        slot=slot,
        execution_id=execution_id,
    )


def forgotten(world: World) -> tuple[dict[str, int], list[Event]]:
    with world.deps.unit_of_work() as work:
        counts = jobs.forgotten_runs(work.session, work.events, TASKS)
        return counts, hints(work)


class TestTicks:
    def test_a_tick_is_a_row_with_its_slot(self, world: World) -> None:
        execution = begin(world, SLOT, "jobs-1")
        assert world.one(
            "SELECT id, job_name, slot, trigger, status, scheduled_for, worker, missed_ticks"
            " FROM pggit.scheduled_job_execution"
        ) == (
            execution,
            NAME,
            SLOT,
            "schedule",
            "running",
            datetime(2026, 7, 1, 10, 0, tzinfo=UTC),
            "jobs-1",
            0,
        )

    def test_the_same_tick_again_is_nobodys(self, world: World) -> None:
        assert begin(world, SLOT) is not None
        assert begin(world, SLOT) is None

    def test_of_any_number_of_beats_and_workers_one_runs_it(self, world: World) -> None:
        ran: list[int] = []

        def work() -> Mapping[str, Any]:
            ran.append(1)
            return {"ran": True}

        for slot in range(SLOT, SLOT + 10):
            ran.clear()
            results = at_once(*[partial(run, world, work, slot=slot)] * 6)
            assert len(ran) == 1
            assert sum(result == {"ran": True} for result in results) == 1
        assert world.one(
            "SELECT count(*), sum(missed_ticks) FROM pggit.scheduled_job_execution"
        ) == (
            10,
            0,
        )

    def test_a_tick_that_failed_is_not_run_again(self, world: World) -> None:
        with pytest.raises(ZeroDivisionError):
            run(world, lambda: 1 / 0, slot=SLOT)
        assert begin(world, SLOT) is None

    def test_missed_ones_are_counted(self, world: World) -> None:
        for slot in (SLOT, SLOT + 1, SLOT + 5, SLOT + 6):
            begin(world, slot)
        assert world.sql(
            "SELECT slot, missed_ticks FROM pggit.scheduled_job_execution ORDER BY slot"
        ) == [(SLOT, 0), (SLOT + 1, 0), (SLOT + 5, 3), (SLOT + 6, 0)]

    def test_one_that_comes_late_runs_all_the_same(self, world: World) -> None:
        begin(world, SLOT)
        begin(world, SLOT + 2)
        assert begin(world, SLOT + 1) is not None

    def test_jobs_have_slots_of_their_own(self, world: World) -> None:
        begin(world, SLOT)
        with world.deps.unit_of_work() as work:
            other = jobs.begin_tick(work.session, work.now, "deliver", INTERVAL, SLOT, "w")
        assert other is not None


class TestRuns:
    def test_a_result_is_kept(self, world: World) -> None:
        assert run(world, lambda: {"deleted": 3}, slot=SLOT) == {"deleted": 3}
        status, result, error, is_timed = world.one(
            "SELECT status, result, error, finished_at >= started_at AND duration_ms >= 0"
            " FROM pggit.scheduled_job_execution"
        )
        assert (status, result, error, is_timed) == ("succeeded", {"deleted": 3}, None, True)

    @pytest.mark.parametrize(
        ("error", "kept"),
        [
            (ValueError("x" * 5000), "ValueError: " + "x" * 1988),
            (Unavailable("The broker is away."), "The broker is away."),
        ],
    )
    def test_an_error_is_kept_and_raised(self, world: World, error: Exception, kept: str) -> None:
        def fail() -> Mapping[str, Any]:
            raise error

        with pytest.raises(type(error)):
            run(world, fail, slot=SLOT)
        assert world.one("SELECT status, error FROM pggit.scheduled_job_execution") == (
            "failed",
            kept,
        )

    def test_a_run_asked_for_by_hand_is_a_row_and_a_hint(self, world: World) -> None:
        execution, events = request(world)
        assert events == [JobRequested("beat.heartbeat", "jobs", execution)]
        assert world.one("SELECT slot, trigger, status FROM pggit.scheduled_job_execution") == (
            None,
            "manual",
            "queued",
        )
        assert run(world, lambda: {"did": 1}, execution_id=execution) == {"did": 1}
        assert world.one("SELECT status, worker FROM pggit.scheduled_job_execution") == (
            "succeeded",
            "w",
        )

    def test_it_runs_once_however_often_it_is_hinted(self, world: World) -> None:
        execution, _ = request(world)
        ran: list[int] = []

        def work() -> Mapping[str, Any]:
            ran.append(1)
            return {}

        at_once(*[partial(run, world, work, execution_id=execution)] * 6)
        assert len(ran) == 1

    def test_one_that_is_not_there_is_nobodys(self, world: World) -> None:
        assert "skipped" in run(world, dict, execution_id=10**12)


class TestForgotten:
    @pytest.mark.parametrize(("age", "reminders"), [("9 seconds", 0), ("11 seconds", 1)])
    def test_a_request_that_nobody_took_up_is_hinted_again(
        self, world: World, age: str, reminders: int
    ) -> None:
        execution, _ = request(world)
        world.sql(
            "UPDATE pggit.scheduled_job_execution SET created_at = now() - CAST(:age AS interval)",
            age=age,
        )
        counts, events = forgotten(world)
        assert counts == {"reminded": reminders, "lost": 0}
        assert events == [JobRequested("beat.heartbeat", "jobs", execution)] * reminders

    @pytest.mark.parametrize(("age", "lost"), [("59 minutes", 0), ("61 minutes", 1)])
    def test_a_run_whose_worker_was_lost_is_given_up(
        self, world: World, age: str, lost: int
    ) -> None:
        begin(world, SLOT)
        world.sql(
            "UPDATE pggit.scheduled_job_execution SET started_at = now() - CAST(:age AS interval)",
            age=age,
        )
        assert forgotten(world) == ({"reminded": 0, "lost": lost}, [])
        assert world.one("SELECT status, error FROM pggit.scheduled_job_execution") == (
            ("failed", "its worker was lost") if lost else ("running", None)
        )

    def test_a_job_that_is_no_more_is_not_hinted(self, world: World) -> None:
        request(world)
        world.sql(
            "UPDATE pggit.scheduled_job_execution"
            " SET job_name = 'of-old', created_at = now() - interval '1 hour'"
        )
        assert forgotten(world)[1] == []


class TestLists:
    def test_every_job_is_listed_with_its_last_run(self, world: World) -> None:
        begin(world, SLOT)
        last = begin(world, SLOT + 4)
        with world.deps.unit_of_work() as work:
            views = jobs.list_jobs(work.session, work.now, beat_schedule.JOBS)
            now = work.now
        assert [view.name for view in views] == list(beat_schedule.JOBS)
        by_name = {view.name: view for view in views}
        view = by_name[NAME]
        assert view.last_execution is not None
        assert (view.last_execution.id, view.missed_ticks_24h) == (last, 3)
        assert by_name["deliver"].last_execution is None
        for view in views:
            assert 0 < (view.next_due_at - now).total_seconds() <= view.interval_seconds
            assert view.next_due_at.timestamp() % view.interval_seconds == 0

    def test_ticks_missed_long_ago_are_no_news(self, world: World) -> None:
        begin(world, SLOT)
        begin(world, SLOT + 4)
        world.sql("UPDATE pggit.scheduled_job_execution SET created_at = now() - interval '25 h'")
        with world.deps.unit_of_work() as work:
            views = jobs.list_jobs(work.session, work.now, beat_schedule.JOBS)
        assert {view.missed_ticks_24h for view in views} == {0}

    def test_executions_are_of_one_job_the_newest_first(self, world: World) -> None:
        runs = [begin(world, slot) for slot in range(SLOT, SLOT + 3)]
        with world.deps.unit_of_work() as work:
            jobs.begin_tick(work.session, work.now, "deliver", INTERVAL, SLOT, "w")
        with world.deps.reading() as session:
            page = jobs.list_executions(session, NAME, beat_schedule.JOBS, PageRequest(2))
        assert [one.id for one in page.items] == [runs[2], runs[1]]
        assert page.total == 3

    def test_there_must_be_such_a_job(self, world: World) -> None:
        with pytest.raises(NotFound), world.deps.reading() as session:
            jobs.list_executions(session, "of-old", beat_schedule.JOBS, PageRequest(2))
