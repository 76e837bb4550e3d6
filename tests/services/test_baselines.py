"""Baselines: recalculated from what is new, tried, switched, rolled back; trouble is left out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from app.domain.back_test import Verdict
from app.domain.baseline import Baseline, Statistics, hour_of_week
from app.domain.matchers import read_matcher
from app.domain.rollups import RANK_ERROR
from app.errors import Conflict, Invalid, NotFound
from app.services import baseline_data, recalc_runs
from app.services import baseline_schedules as schedules
from app.services import baseline_versions as versions
from app.services.baseline_versions import BaselineView
from app.services.paging import PageRequest
from app.services.recalculation import recalculate
from app.services.retention import purge
from models import MetricInbox, RecalcSchedule
from tests.harness.waiting import until_far_from_the_next
from tests.services.series import every, feed
from tests.services.world import World, overlapping

pytestmark = pytest.mark.usefixtures("one_hour")
PAY = "checkout/pay"
WEEK = timedelta(days=7)
STEP = timedelta(minutes=5)
EXACT = {"sample_count", "mean", "stddev"}
PAGE = PageRequest(100)


@pytest.fixture(autouse=True)
def within_one_hour() -> None:
    """What was fed up to the last full hour is to be up to the last full hour still."""
    until_far_from_the_next(3600, 20)


def top_of_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def usual(at: Sequence[datetime], seed: int = 1) -> list[float]:
    """Around 100, and 1 more for each hour of the day."""
    noise = np.random.default_rng(seed).normal(0, 5, len(at))
    return [100 + moment.hour + float(one) for moment, one in zip(at, noise, strict=True)]


def feed_usual(world: World, operation: str, back: timedelta = WEEK) -> list[float]:
    at = every(STEP, top_of_hour() - back, top_of_hour(), each=3)
    values = usual(at)
    feed(world, operation, at, values)
    return values


def run(world: World) -> dict[str, Any]:
    """What is due is done; the counts that are not 0."""
    found = recalc_runs.run(world.deps.unit_of_work, None)
    return {name: count for name, count in found.items() if count}


def ask(world: World, operation: str | None = None) -> dict[str, Any]:
    """Ask for it, and do it, as the API and the worker do."""
    with world.deps.unit_of_work() as work:
        asked = recalc_runs.request(
            work.session, work.now, work.events, operation, "baselines.recalculate", "jobs"
        )
        work.events.clear()
    found = recalc_runs.run(world.deps.unit_of_work, asked.id)
    return {name: count for name, count in found.items() if count}


def baseline(world: World, operation: str = PAY) -> BaselineView:
    with world.deps.reading() as session:
        (view,) = versions.list_baselines(session, {"operation": operation}, PAGE).items
        return view


def all_versions(world: World, operation: str = PAY) -> list[tuple[int, str]]:
    """Number and status, the newest first."""
    with world.deps.reading() as session:
        page = versions.list_versions(session, {"operation": operation}, PAGE)
    return [(row.version, row.status) for row in page.items]


def schedule(world: World, operation: str = PAY) -> RecalcSchedule:
    with world.deps.reading() as session:
        return session.scalars(
            select(RecalcSchedule).where(RecalcSchedule.operation == operation)
        ).one()


def plan(world: World, operation: str = PAY, **fields: Any) -> int:
    with world.deps.unit_of_work() as work:
        data = schedules.DEFAULTS | {"operation": operation} | fields
        return schedules.create_schedule(work.session, work.now, data).id


def change(world: World, schedule_id: int, **fields: Any) -> None:
    with world.deps.unit_of_work() as work:
        schedules.change_schedule(work.session, work.now, schedule_id, fields)


def roll_back(world: World, version: int | None = None, operation: str = PAY) -> BaselineView:
    with world.deps.unit_of_work() as work:
        return versions.roll_back(work.session, work.now, operation, version)


def statistics(row: Any) -> Statistics:
    return Statistics(*(getattr(row, name) for name in Statistics.__slots__))


class TestRecalculation:
    def test_samples_are_enough_to_get_a_baseline(self, world: World) -> None:
        values = feed_usual(world, PAY)
        assert run(world) == {"succeeded": 1}
        view = baseline(world)
        row = view.row
        assert (row.version, row.status, row.verdict) == (1, "active", "first")
        assert row.sample_count == len(values)
        assert row.mean == pytest.approx(np.mean(values))
        assert row.stddev == pytest.approx(np.std(values))
        for rank, shown in ((0.5, row.p50), (0.95, row.p95), (0.99, row.p99)):
            low, high = np.quantile(values, (rank - RANK_ERROR, min(rank + RANK_ERROR, 1)))
            assert low <= shown <= high
        # The last week begins in the middle of an hour.
        assert 7 * 23 * 12 < row.back_test["buckets"] <= 7 * 24 * 12
        assert row.back_test["fired"] == 0
        assert row.left_out == []
        assert schedule(world).is_default
        # It is not due again for a day.
        assert run(world) == {}

    def test_each_hour_of_the_week_has_its_own(self, world: World) -> None:
        feed_usual(world, PAY)
        run(world)
        slots = baseline(world).slots
        assert [one["slot"] for one in slots] == list(range(168))
        wednesday = next(one for one in slots if one["slot"] == 2 * 24 + 14)
        assert (wednesday["day"], wednesday["hour"], wednesday["sample_count"]) == ("wed", 14, 36)
        assert wednesday["mean"] == pytest.approx(114, abs=4)
        assert 0 < wednesday["mad"] < 8

    def test_an_hour_with_too_few_samples_has_none(self, world: World) -> None:
        day = top_of_hour() - timedelta(days=1)
        at = [
            *every(STEP, day, day + timedelta(hours=1), each=10),
            *every(STEP, day + timedelta(hours=1), day + timedelta(hours=2), each=2),
        ]
        feed(world, PAY, at, usual(at))
        run(world)
        view = baseline(world)
        assert [one["slot"] for one in view.slots] == [hour_of_week(day)]
        assert view.row.sample_count == 144

    def test_all_series_of_an_operation_count(self, world: World) -> None:
        at = every(STEP, top_of_hour() - timedelta(days=1), top_of_hour())
        feed(world, PAY, at, [1.0] * len(at), {"host": "a"})
        feed(world, PAY, at, [3.0] * len(at), {"host": "b"})
        run(world)
        row = baseline(world).row
        assert (row.sample_count, row.mean, row.stddev, row.mad) == (2 * len(at), 2.0, 1.0, 1.0)

    def test_only_what_changed_is_merged_and_it_comes_to_the_same(self, world: World) -> None:
        feed_usual(world, PAY, 2 * WEEK)
        run(world)
        with world.deps.reading() as session:
            before = baseline_data.fingerprints_of(session, PAY)
        # Late samples for two hours, one of them two weeks ago.
        late = [top_of_hour() - 2 * WEEK, top_of_hour() - timedelta(days=3)]
        for moment in late:
            at = every(STEP, moment, moment + timedelta(hours=1), each=4)
            feed(world, PAY, at, usual(at, seed=2))
        ask(world)
        with world.deps.reading() as session:
            after = baseline_data.fingerprints_of(session, PAY)
        changed = {slot for slot in range(168) if before[slot] != after[slot]}
        assert changed == {hour_of_week(moment) for moment in late}
        second = baseline(world)
        world.sql("DELETE FROM pggit_analytics.baseline_partials")
        ask(world)
        third = baseline(world)
        assert (second.row.version, third.row.version) == (2, 3)
        for name in EXACT:
            assert getattr(second.row, name) == pytest.approx(getattr(third.row, name))
        assert [one["sample_count"] for one in second.slots] == [
            one["sample_count"] for one in third.slots
        ]
        assert second.row.p95 == pytest.approx(third.row.p95, abs=1)

    def test_what_has_left_the_window_is_forgotten(self, world: World) -> None:
        feed_usual(world, PAY, 2 * WEEK)
        schedule_id = plan(world, lookback_days=14)
        run(world)
        change(world, schedule_id, lookback_days=1)
        ask(world)
        view = baseline(world)
        assert view.row.sample_count == 24 * 36
        assert len(view.slots) == 24
        assert world.one("SELECT count(*) FROM pggit_analytics.baseline_partials") == 24

    def test_too_few_samples_are_no_version(self, world: World) -> None:
        plan(world, minimum_samples=1000)
        at = every(STEP, top_of_hour() - timedelta(hours=2), top_of_hour())
        feed(world, PAY, at, usual(at))
        assert run(world)["too_few_samples"] == 1
        assert all_versions(world) == []
        row = schedule(world)
        assert row.last_status == "too_few_samples"
        assert row.last_error == "24 samples in the window; 1000 are needed."
        assert row.next_run_at - datetime.now(UTC) < timedelta(hours=1, minutes=1)

    def test_one_that_fails_is_recorded_and_the_rest_go_on(self, world: World) -> None:
        for operation in ("a", PAY, "z"):
            feed_usual(world, operation, timedelta(days=1))
        world.sql(
            "UPDATE pggit_analytics.metric_rollups SET sketch = 'broken' WHERE series_id ="
            " (SELECT id FROM pggit_analytics.metric_series WHERE operation = :name)",
            name=PAY,
        )
        found = run(world)
        assert (found["succeeded"], found["failed"], set(found["why"])) == (2, 1, {PAY})
        row = schedule(world)
        assert (row.last_status, row.failures_in_a_row, row.lease_token) == ("failed", 1, None)
        assert row.last_error
        assert timedelta(minutes=4) < row.next_run_at - datetime.now(UTC) < timedelta(minutes=6)
        assert {one for one in ("a", "z") if all_versions(world, one) == [(1, "active")]} == {
            "a",
            "z",
        }


class TestWhoWorksOnIt:
    def test_a_schedule_is_one_workers_at_a_time(self, world: World) -> None:
        """Also while the first has not committed yet."""
        plan(world)

        def claim() -> object:
            with world.deps.unit_of_work() as work:
                return schedules.claim_due(work.session, work.now)

        second = overlapping(world, lambda work: schedules.claim_due(work.session, work.now), claim)
        assert second is None
        assert claim() is None
        assert world.one("SELECT count(lease_token) FROM pggit.baseline_recalc_schedule") == 1

    def test_who_dies_gives_its_schedule_back_in_time(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        plan(world)
        with world.deps.unit_of_work() as work:
            assert schedules.claim_due(work.session, work.now)
        assert run(world) == {}
        world.sql(
            "UPDATE pggit.baseline_recalc_schedule SET leased_until = now() - interval '1 second'"
        )
        assert run(world) == {"succeeded": 1}

    def test_who_lost_its_lease_changes_nothing(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        plan(world)
        with world.deps.unit_of_work() as work:
            lease = schedules.claim_due(work.session, work.now)
        assert lease is not None
        world.sql(
            "UPDATE pggit.baseline_recalc_schedule SET leased_until = now() - interval '1 second'"
        )
        assert run(world) == {"succeeded": 1}
        assert recalculate(world.deps.unit_of_work, lease) is None
        assert all_versions(world) == [(1, "active")]

    def test_what_was_asked_for_is_done_though_it_is_not_due_nor_active(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        plan(world, is_active=False)
        assert run(world) == {}
        assert ask(world, PAY) == {"succeeded": 1}
        assert ask(world) == {}

    def test_who_asks_for_all_gets_all_that_are_active(self, world: World) -> None:
        for operation in ("a", PAY):
            feed_usual(world, operation, timedelta(days=1))
        run(world)
        assert ask(world) == {"succeeded": 2}
        assert all_versions(world) == [(2, "active"), (1, "superseded")]

    def test_nobody_asks_for_what_is_not_there(self, world: World) -> None:
        with pytest.raises(Invalid):
            ask(world, "nothing")

    def test_readers_see_the_former_version_until_the_commit(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        run(world)
        row = baseline(world).row
        candidate = versions.Candidate(
            Baseline(statistics(row), {}),
            row.window_since,
            row.window_until,
            [],
            0,
            row.back_test,
            Verdict.FITS,
        )
        with world.deps.unit_of_work() as work:
            versions.install(work.session, work.now, PAY, candidate)
            during = baseline(world)
        after = baseline(world)
        assert [(one.row.version, len(one.slots)) for one in (during, after)] == [(1, 24), (2, 24)]


class TestLeftOut:
    """An hour of trouble two days ago, ten times as slow."""

    @pytest.fixture
    def trouble_at(self, world: World) -> datetime:
        feed_usual(world, PAY)
        began = top_of_hour() - timedelta(days=2)
        at = every(STEP, began, began + timedelta(hours=2), each=3)
        feed(world, PAY, at, [1000.0] * len(at))
        return began

    def test_without_an_alert_it_is_learnt(self, world: World, trouble_at: datetime) -> None:
        run(world)
        assert baseline(world).row.p99 == 1000.0

    @pytest.mark.parametrize("what", ["alert", "anomaly", "silence", "maintenance", "incident"])
    def test_it_is_left_out(self, world: World, trouble_at: datetime, what: str) -> None:
        run(world)
        learnt = baseline(world).row
        self.tell(world, what, trouble_at)
        ask(world, PAY)
        row = baseline(world).row
        assert row.version == 2
        assert row.p99 < 150
        assert [one["reason"] for one in row.left_out] == [what]
        # The hours of the trouble; where it is not planned, those that its margin touches too.
        margin = 2 if what in {"alert", "anomaly", "incident"} else 0
        assert row.left_out_hours == 2 + margin
        assert row.sample_count == learnt.sample_count - 36 * row.left_out_hours
        assert hour_of_week(trouble_at) not in {one["slot"] for one in baseline(world).slots}

    def tell(self, world: World, what: str, began: datetime) -> None:
        ended = began + timedelta(hours=2)
        if what == "alert":
            alert = world.alert(labels={"operation": PAY})
            world.alert(labels={"operation": "another"})
            world.sql(
                "UPDATE pggit.alerts SET status = 'resolved', created_at = :began,"
                " resolved_at = :ended WHERE id = :id",
                began=began,
                ended=ended - timedelta(minutes=1),
                id=alert,
            )
        elif what == "anomaly":
            for began_at, severity in ((began, "warning"), (began - timedelta(days=1), "info")):
                world.sql(
                    "INSERT INTO pggit_analytics.anomalies (operation, started_at, ended_at,"
                    " end_reason, severity, score, value, low, high, sentence, views, odd_at,"
                    " last_at) VALUES (:operation, :began, :ended, 'back_to_normal', :severity,"
                    " 1, 1, 0, 0, '', '{}', :began, :began)",
                    operation=PAY,
                    began=began_at,
                    ended=began_at + timedelta(hours=2, minutes=-1),
                    severity=severity,
                )
        elif what == "incident":
            world.sql(
                "WITH i AS (INSERT INTO pggit_analytics.incidents"
                " (cause_operation, summary, started_at) VALUES ('x', '', now()) RETURNING id)"
                " INSERT INTO pggit_analytics.incident_members"
                " (incident_id, operation, off_since, back_at, value, usual_low, usual_high)"
                " SELECT id, :operation, :began, :ended, 1, 0, 0 FROM i",
                operation=PAY,
                began=began,
                ended=ended - timedelta(minutes=1),
            )
        else:
            about = read_matcher("operation=~checkout/.+")
            world.silence(about, kind=what, starts_at=began, ends_at=ended)
            other = read_matcher("operation=search")
            world.silence(other, kind=what, starts_at=began, ends_at=ended)

    def test_what_was_purged_since_stays_left_out(self, world: World) -> None:
        """Alerts are kept for a month. What they explained is known from the version before."""
        feed_usual(world, PAY, timedelta(days=35))
        plan(world, lookback_days=60)
        began = top_of_hour() - timedelta(days=33)
        self.tell(world, "alert", began)
        run(world)
        assert baseline(world).row.left_out_hours == 4
        world.sql("DELETE FROM pggit.alerts")
        ask(world, PAY)
        assert baseline(world).row.left_out_hours == 4


class TestVersions:
    @pytest.fixture
    def three(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        for _ in range(3):
            ask(world, PAY)

    @pytest.mark.usefixtures("three")
    def test_one_is_in_force_and_the_others_are_kept(self, world: World) -> None:
        assert all_versions(world) == [(3, "active"), (2, "superseded"), (1, "superseded")]

    @pytest.mark.usefixtures("three")
    def test_it_goes_back_one_by_one_or_to_any(self, world: World) -> None:
        assert roll_back(world).row.version == 2
        assert all_versions(world) == [(3, "rolled_back"), (2, "active"), (1, "superseded")]
        assert roll_back(world).row.version == 1
        with pytest.raises(Conflict):
            roll_back(world)
        view = roll_back(world, 3)
        assert (view.row.version, len(view.slots)) == (3, 24)
        assert all_versions(world) == [(3, "active"), (2, "rolled_back"), (1, "rolled_back")]
        assert roll_back(world, 3).row.version == 3
        # The next one takes over from whichever is in force.
        ask(world, PAY)
        assert all_versions(world)[:2] == [(4, "active"), (3, "superseded")]

    @pytest.mark.usefixtures("three")
    def test_the_next_one_waits_a_whole_turn(self, world: World) -> None:
        world.sql("UPDATE pggit.baseline_recalc_schedule SET next_run_at = now()")
        roll_back(world)
        assert run(world) == {}

    def test_there_is_nothing_to_go_back_to(self, world: World) -> None:
        with pytest.raises(NotFound):
            roll_back(world)
        feed_usual(world, PAY, timedelta(days=1))
        run(world)
        with pytest.raises(Conflict):
            roll_back(world)
        with pytest.raises(NotFound):
            roll_back(world, 7)

    def test_a_candidate_that_fires_too_often_is_kept_and_does_not_take_over(
        self, world: World
    ) -> None:
        """The level has doubled a week ago, and the one that is in force knows only since then."""
        end = top_of_hour()
        at = every(STEP, end - 4 * WEEK, end, each=3)
        levels = [100.0 if moment < end - WEEK else 200.0 for moment in at]
        noise = np.random.default_rng(3).normal(0, 1, len(at)).tolist()
        feed(world, PAY, at, map(float.__add__, levels, noise))
        schedule_id = plan(world, lookback_days=7)
        run(world)
        change(world, schedule_id, lookback_days=28)
        found = ask(world, PAY)
        assert found["rejected"] == 1
        assert all_versions(world) == [(2, "rejected"), (1, "active")]
        row = schedule(world)
        assert (row.last_status, row.last_version) == ("rejected", 2)
        assert str(row.last_error).startswith("fires_too_often: version 2 finds ")
        with pytest.raises(Conflict):
            roll_back(world, 2)

    def test_so_many_are_kept(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(versions, "VERSIONS_KEPT", 2)
        feed_usual(world, PAY, timedelta(hours=8))
        for _ in range(5):
            ask(world, PAY)
        assert [number for number, _ in all_versions(world)] == [5, 4, 3]
        assert (
            world.one("SELECT count(DISTINCT version_id) FROM pggit_analytics.baseline_slots") == 3
        )


class TestSchedules:
    def test_one_that_somebody_makes_takes_the_default_ones_place(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        run(world)
        default = schedule(world)
        assert (default.is_default, default.lookback_days) == (True, 28)
        assert plan(world, lookback_days=7) == default.id
        row = schedule(world)
        assert (row.is_default, row.lookback_days, row.last_version) == (False, 7, 1)
        with pytest.raises(Conflict):
            plan(world)

    def test_one_that_is_deleted_comes_back_as_a_default(self, world: World) -> None:
        feed_usual(world, PAY, timedelta(days=1))
        schedule_id = plan(world, lookback_days=7)
        with world.deps.unit_of_work() as work:
            schedules.delete_schedule(work.session, schedule_id)
        run(world)
        assert schedule(world).is_default

    def test_it_stays_with_its_operation(self, world: World) -> None:
        schedule_id = plan(world)
        change(world, schedule_id, operation=PAY)
        with pytest.raises(Invalid):
            change(world, schedule_id, operation="another")


def test_who_asks_gets_his_samples_though_a_tick_comes_before_they_are_rolled_up(
    world: World,
) -> None:
    plan(world)
    with world.deps.unit_of_work() as work:
        work.session.add(MetricInbox(payload=b"", samples=0))
        work.session.flush()
        asked = recalc_runs.request(
            work.session, work.now, work.events, PAY, "baselines.recalculate", "jobs"
        )
        work.events.clear()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(recalc_runs.run, world.deps.unit_of_work, asked.id)
        assert run(world)["too_few_samples"] == 1
        feed_usual(world, PAY)
        world.sql("DELETE FROM pggit_analytics.metric_inbox")
        assert answer.result(60)["succeeded"] == 1
    assert baseline(world).slots


def test_of_an_operation_without_series_only_what_somebody_made_stays(world: World) -> None:
    for operation in ("a", PAY):
        feed_usual(world, operation, timedelta(days=1))
    plan(world)
    run(world)
    assert purge(world.deps.unit_of_work)["baseline_versions"] == 0
    world.sql("DELETE FROM pggit_analytics.metric_series")
    removed = purge(world.deps.unit_of_work)
    assert (removed["default_schedules"], removed["baseline_versions"]) == (1, 2)
    assert removed["baseline_partials"] == 2 * 24
    assert world.sql("SELECT operation FROM pggit.baseline_recalc_schedule") == [(PAY,)]
