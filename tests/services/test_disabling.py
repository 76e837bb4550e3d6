"""Webhooks that Tocsin disables: when, the one alert about it, and being enabled again."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.services import disabling
from tests.services.redriving import agenda, fail
from tests.services.world import World, at_once, delivered, failed, gone, retrying


def look(world: World) -> None:
    """A process that has just been started looks, at all that it looks at."""
    one = agenda(world)
    one.run(lambda: True, lambda: False)
    # What it has just disabled it tells of when it looks next.
    one.run(lambda: True, lambda: False)


def webhook(world: World, webhook_id: int) -> Any:
    return world.one(
        "SELECT is_active, disabled_reason FROM pggit.webhooks WHERE id = :id", id=webhook_id
    )


def alerts(world: World, webhook_id: int) -> Sequence[Any]:
    """Those about its being disabled, as (status, count)."""
    return world.sql(
        "SELECT status, count FROM pggit.alerts WHERE dedup_key = :key ORDER BY id",
        key=f"tocsin:webhook-disabled:{webhook_id}",
    )


def failing(world: World, days: float, **fields: Any) -> int:
    """A webhook to which nothing has succeeded for so many days, and that is still tried."""
    webhook_id = world.webhook(**fields)
    world.owe(webhook_id)
    (claimed,) = world.claim()
    world.complete(retrying(claimed, 3600))
    age(world, webhook_id, days)
    return webhook_id


def age(world: World, webhook_id: int, days: float) -> None:
    """It is so many days later, for what it is owed and for how long it has failed."""
    world.sql(
        "UPDATE pggit_traffic.webhook_traffic SET failing_since = now() - make_interval("
        "secs => :days * 86400) WHERE webhook_id = :id",
        id=webhook_id,
        days=days,
    )
    world.sql(
        "UPDATE pggit.alert_delivery_queue SET created_at = created_at - interval '13 hours'"
        " WHERE webhook_id = :id",
        id=webhook_id,
    )


class TestFailingTooLong:
    def test_it_is_disabled_and_told_of_once(self, world: World) -> None:
        other = world.webhook()
        bad = failing(world, days=5.01, name="on-call")
        look(world)
        assert webhook(world, bad) == (False, "failing_too_long")
        for _ in range(3):
            look(world)
        (alert,) = world.sql(
            "SELECT id, title, severity, source, labels, about_webhook_id FROM pggit.alerts"
            " WHERE dedup_key = :key",
            key=f"tocsin:webhook-disabled:{bad}",
        )
        assert alert[1:] == (
            "Webhook “on-call” was disabled",
            "critical",
            "tocsin",
            {"webhook_id": str(bad), "webhook": "on-call", "reason": "failing_too_long"},
            bad,
        )
        assert world.told(alert[0]) == [("alert.firing", other, "pending")]
        assert alerts(world, bad) == [("pending", 1)]
        # What it is owed waits.
        assert world.one(
            "SELECT count(*) FROM pggit.alert_delivery_queue WHERE status = 'retrying'"
        )

    @pytest.mark.parametrize(
        ("days", "fields", "expected"),
        [
            (4.99, {}, True),
            (5.01, {}, False),
            (5.01, {"disable_after_days": 6}, True),
            (6.01, {"disable_after_days": 6}, False),
            (400, {"disable_after_days": None}, True),
        ],
    )
    def test_after_as_many_days_as_it_says(
        self, world: World, days: float, fields: dict[str, Any], expected: bool
    ) -> None:
        bad = failing(world, days, **fields)
        look(world)
        assert webhook(world, bad)[0] is expected

    def test_one_that_failed_long_ago_and_is_told_nothing_stays(self, world: World) -> None:
        quiet = world.webhook()
        world.owe(quiet)
        (claimed,) = world.claim()
        world.complete(failed(claimed))
        age(world, quiet, days=10)
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET finished_at = now() - interval '9 days',"
            " created_at = now() - interval '10 days'"
        )
        look(world)
        assert webhook(world, quiet) == (True, None)
        # Nor is it disabled for one that fails now, which has its retries before it.
        world.owe(quiet)
        (claimed,) = world.claim()
        world.complete(retrying(claimed, 3600))
        look(world)
        assert webhook(world, quiet) == (True, None)

    def test_one_whose_deliveries_fail_for_good_is_failing_too(self, world: World) -> None:
        bad = world.webhook()
        fail(world, world.owe(bad))
        age(world, bad, days=5.01)
        look(world)
        assert webhook(world, bad) == (False, "failing_too_long")

    def test_one_to_which_anything_succeeds_stays(self, world: World) -> None:
        good = failing(world, days=5.01)
        world.sql("UPDATE pggit_traffic.webhook_traffic SET failing_since = NULL")
        look(world)
        assert webhook(world, good) == (True, None)


class TestGone:
    def test_it_is_told_of_once_though_nobody_raised_it_when_it_came(self, world: World) -> None:
        bad, other = world.webhook(), world.webhook()
        world.owe(bad, 3)
        first, second, third = world.claim()
        world.complete(gone(first))
        assert webhook(world, bad) == (False, "gone")
        assert alerts(world, bad) == []
        world.complete(gone(second))
        at_once(*[lambda: look(world)] * 3)
        world.complete(gone(third))
        look(world)
        assert alerts(world, bad) == [("pending", 1)]
        assert [one.webhook_id for one in world.claim()] == [other]

    def test_who_is_killed_before_the_commit_leaves_it_to_the_next(self, world: World) -> None:
        bad = world.webhook()
        world.owe(bad)
        world.complete(gone(world.claim()[0]))

        class Killed(Exception):
            pass

        def tell_and_die() -> None:
            with world.deps.unit_of_work() as work:
                disabling.tell_of_disabled(work.session, work.now, work.events, bad, (0,))
                raise Killed

        with pytest.raises(Killed):
            tell_and_die()
        assert alerts(world, bad) == []
        look(world)
        assert alerts(world, bad) == [("pending", 1)]

    def test_who_looked_before_the_other_had_told_of_it_does_not_tell_again(
        self, world: World
    ) -> None:
        bad = world.webhook()
        world.owe(bad)
        world.complete(gone(world.claim()[0]))
        for expected in (True, False):
            with world.deps.unit_of_work() as work:
                told = disabling.tell_of_disabled(work.session, work.now, work.events, bad, (0,))
            assert told is expected
        assert alerts(world, bad) == [("pending", 1)]

    def test_one_that_was_enabled_before_anybody_looked_needs_no_alert(self, world: World) -> None:
        bad = world.webhook()
        world.owe(bad)
        world.complete(gone(world.claim()[0]))
        world.change_webhook(bad, is_active=True)
        look(world)
        assert alerts(world, bad) == []

    def test_one_that_a_person_put_to_sleep_needs_none(self, world: World) -> None:
        asleep = world.webhook()
        world.change_webhook(asleep, is_active=False)
        look(world)
        assert alerts(world, asleep) == []


class TestEnabledAgain:
    def test_it_starts_afresh_and_its_alert_ends(self, world: World) -> None:
        bad = failing(world, days=6)
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET gate = 'closed',"
            " reopens_at = now() + interval '1 hour', closings = 9"
        )
        world.sql(
            "UPDATE pggit.webhook_health_metrics SET next_check_at = now() + interval '1 hour'"
        )
        look(world)
        assert webhook(world, bad)[0] is False
        world.change_webhook(bad, is_active=True)

        assert webhook(world, bad) == (True, None)
        assert world.one(
            "SELECT gate, reopens_at, closings, pace_per_second, failing_since, reason"
            " FROM pggit_traffic.webhook_traffic"
        ) == ("open", None, 0, 5.0, None, "webhook_enabled")
        assert world.one("SELECT next_check_at <= now() FROM pggit.webhook_health_metrics")
        look(world)
        assert alerts(world, bad) == [("resolved", 1)]
        # What it was owed goes on.
        (owed,) = world.sql(
            "SELECT id FROM pggit.alert_delivery_queue WHERE webhook_id = :id", id=bad
        )
        world.expire(owed[0])
        (claimed,) = world.claim()
        world.complete(delivered(claimed))
        # And it is not disabled again for what was.
        look(world)
        assert webhook(world, bad) == (True, None)

    def test_disabled_again_it_is_told_again(self, world: World) -> None:
        bad = world.webhook()
        for _ in range(2):
            world.owe(bad)
            world.complete(gone(world.claim()[0]))
            look(world)
            world.change_webhook(bad, is_active=True)
            look(world)
        assert alerts(world, bad) == [("resolved", 1), ("resolved", 1)]

    def test_disabled_again_before_anybody_looked_its_alert_stays_open(self, world: World) -> None:
        bad = world.webhook()
        world.owe(bad, 2)
        first, second = world.claim()
        world.complete(gone(first))
        look(world)
        world.change_webhook(bad, is_active=True)
        world.complete(gone(second))
        look(world)
        assert alerts(world, bad) == [("pending", 2)]

    def test_also_when_somebody_had_resolved_that_alert(self, world: World) -> None:
        bad = world.webhook()
        world.owe(bad, 2)
        first, second = world.claim()
        world.complete(gone(first))
        look(world)
        world.resolve(world.one("SELECT disabled_alert_id FROM pggit.webhooks"))
        # It is not raised again for that.
        look(world)
        assert alerts(world, bad) == [("resolved", 1)]
        world.change_webhook(bad, is_active=True)
        world.complete(gone(second))
        look(world)
        assert alerts(world, bad) == [("resolved", 1), ("pending", 1)]

    def test_deleted_its_alert_ends_too(self, world: World) -> None:
        bad = world.webhook()
        world.owe(bad)
        world.complete(gone(world.claim()[0]))
        look(world)
        world.delete_webhook(bad)
        look(world)
        assert alerts(world, bad) == [("resolved", 1)]

    def test_an_alert_that_was_purged_is_in_nobodys_way(self, world: World) -> None:
        bad = world.webhook()
        world.owe(bad)
        world.complete(gone(world.claim()[0]))
        look(world)
        world.sql("DELETE FROM pggit.alerts WHERE dedup_key IS NOT NULL")
        world.change_webhook(bad, is_active=True)
        look(world)
        assert world.one("SELECT disabled_alert_id FROM pggit.webhooks") is None
        assert alerts(world, bad) == []
