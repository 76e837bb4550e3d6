"""Rollups of checks: written with each check, folded when over, read without gaps or doubles."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.check_rollups import CheckRollup, latency_quantiles, merge, sketch_of
from app.domain.health import CheckOutcome
from app.errors import Invalid
from app.services import health_reports, health_rollups, retention
from tests.check_rollups import roll_up
from tests.services.checking import ONCE, check, check_now
from tests.services.world import World

HOUR = timedelta(hours=1)


def read(
    world: World, webhook_id: int, resolution: int, since: timedelta = 2 * HOUR
) -> list[CheckRollup]:
    now = datetime.now(UTC)
    with world.deps.reading() as session:
        found = health_rollups.check_rollups(
            session, webhook_id, resolution, now - since, now + HOUR
        )
    assert [at for at, _ in found] == sorted({at for at, _ in found})
    return [rollup for _, rollup in found]


def earlier(world: World, seconds: int) -> None:
    """As if all that is rolled up had been so long before."""
    # By way of a time that nobody has: unique keys are asked for row by row.
    for change in ("+ interval '900 years'", "- interval '900 years' - make_interval(secs => :by)"):
        statement = f"UPDATE pggit.webhook_health_rollups SET at = at {change}"  # noqa: S608
        world.sql(statement, **({"by": seconds} if ":by" in change else {}))


def fold(world: World) -> dict[str, int]:
    return health_rollups.fold(world.deps.unit_of_work)


def begin_folding(world: World, ago: timedelta) -> None:
    """As if folding had stopped so long ago."""
    world.sql("DELETE FROM pggit.webhook_health_rollup_progress")
    world.sql(
        "INSERT INTO pggit.webhook_health_rollup_progress"
        " SELECT resolution, to_timestamp(floor(extract(epoch FROM now() - :ago)"
        " / resolution) * resolution) FROM unnest(ARRAY[300, 3600]) AS t (resolution)",
        ago=ago,
    )


def test_each_check_is_in_its_minute(world: World) -> None:
    webhook, other = world.webhook(), world.webhook()
    for latency in (10.0, 30.0, 20.0):
        check(world, webhook, 204, latency_ms=latency)
    check(world, webhook, 500)
    check(world, other, 204)
    whole = merge(read(world, webhook, 3600))
    assert (whole.checks, whole.failed) == (4, 1)
    assert (whole.latency_min_ms, whole.latency_max_ms, whole.latency_sum_ms) == (10, 30, 60)
    assert latency_quantiles(whole, [0.5]) == [20]
    assert merge(read(world, webhook, 60))[:7] == whole[:7]
    assert [one.checks for one in read(world, other, 3600)] == [1]


def test_a_minute_counts_what_its_checks_were(world: World) -> None:
    """What PostgreSQL adds up is what all of them are at once."""
    webhook = world.webhook(check={"max_latency_ms": 50})
    minute = [(204, 10.0), (204, 90.0), (500, 5.0), (204, 20.0)]
    for status, latency in minute:
        check(world, webhook, status, latency_ms=latency)
    world.silence(kind="maintenance")
    check(world, webhook, 500, latency_ms=1.0)
    check(world, webhook, 204, latency_ms=2.0)
    world.sql("DELETE FROM pggit.silences")
    outcomes = [CheckOutcome.PASSED, CheckOutcome.SLOW, CheckOutcome.FAILED, CheckOutcome.PASSED]
    expected = roll_up(
        [
            *zip(outcomes, (latency for _, latency in minute), [False] * 4, strict=True),
            (CheckOutcome.FAILED, 1.0, True),
            (CheckOutcome.PASSED, 2.0, True),
        ]
    )
    found = merge(read(world, webhook, 60))
    assert found[:7] == expected[:7]
    ranks = [0.3, 0.6, 1.0]
    assert latency_quantiles(found, ranks) == latency_quantiles(expected, ranks) == [10, 20, 90]


def test_a_minute_that_the_code_before_began_counts_whole(world: World) -> None:
    webhook = world.webhook()
    check(world, webhook, 204, latency_ms=10.0)
    world.sql(
        "UPDATE pggit.webhook_health_rollups SET sketch = :sketch, latencies = NULL",
        sketch=sketch_of([10.0]),
    )
    check(world, webhook, 204, latency_ms=30.0)
    for resolution in (60, 300):
        whole = merge(read(world, webhook, resolution))
        assert (whole.checks, whole.latency_sum_ms) == (2, 40)
        assert latency_quantiles(whole, [0.5, 1.0]) == [10, 30]


def test_what_is_over_is_folded_and_reads_the_same(world: World) -> None:
    webhook = world.webhook()
    for seconds in (600, 600, 3600, 0):
        check(world, webhook, 204, latency_ms=5.0)
        check(world, webhook, 500)
        earlier(world, seconds)
    begin_folding(world, 3 * HOUR)
    before = {resolution: read(world, webhook, resolution) for resolution in (60, 300, 3600)}
    assert sum(one.checks for one in before[3600]) == 8
    assert fold(world)["folded_300"] >= 2
    stored = world.sql(
        "SELECT resolution, sum(checks)::int FROM pggit.webhook_health_rollups"
        " WHERE resolution > 60 GROUP BY 1 ORDER BY 1"
    )
    assert stored[0][0] == 300
    assert 4 <= stored[0][1] <= 8
    for resolution, rollups in before.items():
        after = read(world, webhook, resolution)
        assert [one[:7] for one in after] == [one[:7] for one in rollups]
    # Again it changes nothing, and goes on where it stopped.
    assert fold(world) == {"folded_300": 0, "folded_3600": 0}


def test_what_is_not_over_is_not_folded(world: World) -> None:
    webhook = world.webhook()
    begin_folding(world, timedelta(minutes=1))
    check(world, webhook, 204)
    fold(world)
    assert world.sql("SELECT resolution, checks FROM pggit.webhook_health_rollups") == [(60, 1)]


def test_folding_the_same_twice_counts_nothing_twice(world: World) -> None:
    """Whoever dies between the two transactions folds the bucket again."""
    webhook = world.webhook()
    check(world, webhook, 204)
    earlier(world, 3 * 3600)
    for _ in range(2):
        begin_folding(world, 5 * HOUR)
        assert fold(world) == {"folded_300": 1, "folded_3600": 1}
    assert [one.checks for one in read(world, webhook, 3600, 6 * HOUR)] == [1]


def report(world: World, webhook_id: int) -> Any:
    with world.deps.reading() as session:
        return health_reports.health_report(session, webhook_id)


def test_uptime_is_of_rollups_and_not_of_checks(world: World) -> None:
    webhook = world.webhook()
    assert report(world, webhook).uptime_24h is None
    check_now(world, 204, 500, 204, 204)
    world.sql("DELETE FROM pggit.webhook_health_checks")
    assert report(world, webhook).uptime_24h == 0.75
    assert report(world, webhook).latency_p50_ms == 1
    earlier(world, 2 * 86_400)
    check_now(world, 500)
    found = report(world, webhook)
    assert (found.uptime_24h, found.uptime_7d, found.uptime_30d) == (0, 0.6, 0.6)


def test_what_was_in_maintenance_is_left_out_of_it(world: World) -> None:
    webhook = world.webhook()
    world.silence(kind="maintenance")
    check_now(world, 500, 500)
    assert report(world, webhook).uptime_24h is None
    world.sql("DELETE FROM pggit.silences")
    check_now(world, 204)
    assert report(world, webhook).uptime_24h == 1


def test_so_is_what_was_checked_while_a_parent_was_down(world: World) -> None:
    parent = world.webhook(check=ONCE)
    child = world.webhook(depends_on=[parent])
    check_now(world, 204)
    check(world, parent, 500)
    check(world, child, 500)
    assert report(world, child).uptime_24h == 1


def test_a_timeline_shows_gaps_as_gaps(world: World) -> None:
    webhook = world.webhook()
    check(world, webhook, 204, latency_ms=8.0)
    earlier(world, 1800)
    check(world, webhook, 500)
    with world.deps.reading() as session:
        line = health_reports.health_timeline(session, webhook, {}, 300)
    assert len(line.points) in (288, 289)
    found = [rollup for _, rollup in line.points if rollup is not None]
    assert [(one.checks, one.failed) for one in found] == [(1, 0), (1, 1)]
    steps = {later - at for (at, _), (later, _) in zip(line.points, line.points[1:], strict=False)}
    assert steps == {timedelta(seconds=300)}


@pytest.mark.parametrize(
    ("hours", "step", "is_good"),
    [(24, 60, True), (47, 60, False), (72, 60, False), (7 * 24, 300, False), (160, 600, True),
     (9 * 24, 600, False), (30 * 24, 3600, True), (0, 60, False)],
)  # fmt: skip
def test_a_timeline_is_no_longer_and_no_finer_than_can_be(
    world: World, hours: int, step: int, is_good: bool
) -> None:
    webhook = world.webhook()
    until = datetime.now(UTC)
    given = {"since": until - timedelta(hours=hours), "until": until}
    with world.deps.reading() as session:
        if is_good:
            health_reports.health_timeline(session, webhook, given, step)
        else:
            with pytest.raises(Invalid):
                health_reports.health_timeline(session, webhook, given, step)


def test_each_resolution_is_kept_for_its_time(world: World) -> None:
    webhook = world.webhook()
    for resolution, days in ((60, 1), (60, 3), (300, 7), (300, 9), (3600, 399), (3600, 401)):
        world.sql(
            "INSERT INTO pggit.webhook_health_rollups (webhook_id, resolution, at, checks, failed,"
            " slow, in_maintenance, latency_sum_ms) VALUES (:id, :resolution,"
            " now() - make_interval(days => :days), 1, 0, 0, 0, 0)",
            id=webhook,
            resolution=resolution,
            days=days,
        )
    removed = retention.purge(world.deps.unit_of_work)
    assert {name: count for name, count in removed.items() if "rollups" in name} == {
        "health_rollups_60_s": 1,
        "health_rollups_300_s": 1,
        "health_rollups_3600_s": 1,
    }
    assert world.one("SELECT count(*) FROM pggit.webhook_health_rollups") == 3
