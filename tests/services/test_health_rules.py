"""What is told of webhooks' health, and what is kept back: confirmation, flapping, dependencies,
certificates, maintenance."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from app.adapters.http_messages import Failure
from app.deps import Work
from app.domain.matchers import Matcher, Op
from app.errors import Invalid
from app.services import dependencies, health_records
from tests.services.checking import (
    ONCE,
    alerts,
    answer,
    check,
    check_now,
    claim,
    decisions,
    make_due,
    record,
    status,
)
from tests.services.world import World, at_once, overlapping


def key(webhook_id: int, about: str) -> str:
    return f"webhook-health:{webhook_id}:{about}"


class TestConfirmation:
    def test_a_failure_that_is_not_confirmed_takes_nothing_down(self, world: World) -> None:
        webhook = world.webhook(check=ONCE)
        check(world, webhook, 204)
        check(world, webhook, 500, 204)
        assert status(world, webhook) == "healthy"
        assert alerts(world) == []
        assert decisions(world, webhook)[1:] == [("healthy", "not_confirmed")]
        assert world.sql("SELECT confirms FROM pggit.webhook_health_checks ORDER BY id") == [
            (None,),
            ("unexpected_status: HTTP 500",),
        ]

    def test_one_that_is_takes_it_down_and_counts_once(self, world: World) -> None:
        webhook = world.webhook(check=ONCE)
        check(world, webhook, 204)
        check(world, webhook, 500, 503)
        assert alerts(world) == [(key(webhook, "unavailable"), "pending")]
        assert decisions(world, webhook)[1:] == [("unavailable", "state_changed")]
        assert world.sql("SELECT http_status FROM pggit.webhook_health_checks ORDER BY id") == [
            (204,),
            (503,),
        ]

    def test_what_is_down_already_needs_no_confirmation(self, world: World) -> None:
        webhook = world.webhook(check=ONCE)
        check(world, webhook, 500)
        check(world, webhook, 500)
        assert world.sql("SELECT confirms FROM pggit.webhook_health_checks ORDER BY id") == [
            ("unexpected_status: HTTP 500",),
            (None,),
        ]


class TestFlapping:
    FLAPS = ONCE | {"flap_changes": 3, "flap_window_seconds": 600}

    @staticmethod
    def later(world: World, seconds: int) -> None:
        """As if the changes had been so long ago."""
        world.sql(
            "UPDATE pggit.webhook_health_metrics SET changed_times ="
            " ARRAY(SELECT t - make_interval(secs => :by) FROM unnest(changed_times) t)",
            by=seconds,
        )

    def test_it_is_told_once_then_quiet_until_steady(self, world: World) -> None:
        webhook = world.webhook(check=self.FLAPS)
        check_now(world, 204, 500, 204, 500)
        flapping = key(webhook, "flapping")
        assert alerts(world) == [
            (key(webhook, "unavailable"), "resolved"),
            (flapping, "pending"),
        ]
        check_now(world, 204, 500, 204, 204)
        assert alerts(world)[1:] == [(flapping, "pending")]
        assert "quiet_while_flapping" in [why for _, why in decisions(world, webhook)]
        self.later(world, 301)
        check_now(world, 204)
        assert alerts(world)[1:] == [(flapping, "resolved")]
        assert decisions(world, webhook)[-1] == ("healthy", "steady_again")

    def test_one_that_is_steadily_bad_is_told_as_such(self, world: World) -> None:
        webhook = world.webhook(check=self.FLAPS)
        check_now(world, 204, 500, 204, 500)
        self.later(world, 301)
        check_now(world, 500)
        assert alerts(world)[1:] == [
            (key(webhook, "flapping"), "resolved"),
            (key(webhook, "unavailable"), "pending"),
        ]

    def test_without_a_limit_each_change_is_told(self, world: World) -> None:
        webhook = world.webhook(check=self.FLAPS | {"flap_changes": None})
        check_now(world, 204, 500, 204, 500, 204, 500)
        assert [about for about, _ in alerts(world)] == [key(webhook, "unavailable")] * 3


def blocked_by(world: World, webhook_id: int) -> int | None:
    found: int | None = world.one(
        "SELECT blocked_by FROM pggit.webhook_health_metrics WHERE webhook_id = :id", id=webhook_id
    )
    return found


class TestDependencies:
    def test_while_a_parent_is_down_its_children_are_unknown_and_one_alert_tells(
        self, world: World
    ) -> None:
        parent = world.webhook(check=ONCE)
        child = world.webhook(check=ONCE, depends_on=[parent])
        grandchild = world.webhook(check=ONCE, depends_on=[child])
        check_now(world, 204)
        check(world, parent, 500)
        assert [status(world, one) for one in (parent, child, grandchild)] == [
            "unavailable",
            "unknown",
            "unknown",
        ]
        assert blocked_by(world, grandchild) == parent
        check_now(world, 500, 500)
        assert alerts(world) == [(key(parent, "unavailable"), "pending")]
        assert world.one("SELECT message FROM pggit.alerts").endswith(
            "Until it is back, 2 that depend on it are unknown."
        )
        assert decisions(world, child)[-1] == ("unknown", "parent_unavailable")

    def test_what_was_told_of_a_child_ends_when_it_is_the_parents(self, world: World) -> None:
        parent = world.webhook(check=ONCE)
        child = world.webhook(check=ONCE)
        check_now(world, 204)
        check(world, child, 500)
        world.change_webhook(child, depends_on=[parent])
        check(world, parent, 500)
        assert alerts(world) == [
            (key(child, "unavailable"), "resolved"),
            (key(parent, "unavailable"), "pending"),
        ]

    def test_when_the_parent_is_back_they_are_checked_at_once_and_judged_afresh(
        self, world: World
    ) -> None:
        parent = world.webhook(check=ONCE)
        sick, well = (world.webhook(check=ONCE, depends_on=[parent]) for _ in range(2))
        check_now(world, 204)
        check(world, parent, 500)
        assert claim(world) == []
        check(world, parent, 204)
        due = {one.webhook_id: one for one in claim(world)}
        assert set(due) == {sick, well}
        record(world, answer(due[sick], 500), answer(due[well], 204))
        # Its parent is asked first, now that it fails.
        check(world, parent, 204)
        check(world, sick, 500)
        assert (status(world, sick), status(world, well)) == ("unavailable", "healthy")
        assert alerts(world)[-1] == (key(sick, "unavailable"), "pending")

    def test_one_that_fails_waits_until_its_parent_was_asked(self, world: World) -> None:
        parent = world.webhook(check=ONCE)
        child = world.webhook(check=ONCE, depends_on=[parent])
        check_now(world, 204)
        check(world, child, 500)
        assert (status(world, child), alerts(world)) == ("healthy", [])
        assert decisions(world, child)[-1] == ("healthy", "wait_for_parent")
        # The parent is asked at once, and is well; so it is the child's own.
        (asked,) = claim(world)
        assert asked.webhook_id == parent
        record(world, answer(asked, 204))
        check(world, child, 500)
        assert alerts(world) == [(key(child, "unavailable"), "pending")]

    def test_the_child_of_one_that_fails_too_is_never_told_of(self, world: World) -> None:
        parent = world.webhook(check=ONCE | {"failure_threshold": 2})
        child = world.webhook(check=ONCE, depends_on=[parent])
        check_now(world, 204, 500, 500, 500)
        assert (status(world, parent), status(world, child)) == ("unavailable", "unknown")
        assert alerts(world) == [(key(parent, "unavailable"), "pending")]

    def test_a_check_that_was_under_way_does_not_undo_it(self, world: World) -> None:
        parent = world.webhook(check=ONCE)
        child = world.webhook(check=ONCE, depends_on=[parent])
        check_now(world, 204)
        make_due(world)
        due = {one.webhook_id: one for one in claim(world)}
        record(world, answer(due[parent], 500))
        record(world, answer(due[child], 204))
        assert (status(world, child), blocked_by(world, child)) == ("unknown", parent)

    @pytest.mark.parametrize("how", ["switched off", "deleted", "let go"])
    def test_one_that_is_gone_blocks_nobody(self, world: World, how: str) -> None:
        parent = world.webhook(check=ONCE)
        child = world.webhook(check=ONCE, depends_on=[parent])
        check_now(world, 204)
        check(world, parent, 500)
        match how:
            case "switched off":
                world.change_webhook(parent, is_active=False)
            case "deleted":
                world.delete_webhook(parent)
            case _:
                world.change_webhook(child, depends_on=[])
        assert dependencies.settle_all(world.deps.unit_of_work) == {"settled": 1}
        assert blocked_by(world, child) is None
        assert dependencies.settle_all(world.deps.unit_of_work) == {"settled": 0}

    def test_another_parent_that_is_down_goes_on_blocking(self, world: World) -> None:
        parents = [world.webhook(check=ONCE) for _ in range(2)]
        child = world.webhook(check=ONCE, depends_on=parents)
        check_now(world, 204)
        for parent in parents:
            check(world, parent, 500)
        check(world, parents[0], 204)
        assert blocked_by(world, child) == parents[1]
        check(world, parents[1], 204)
        assert blocked_by(world, child) is None

    def test_one_that_goes_down_while_another_comes_back_is_not_overlooked(
        self, world: World
    ) -> None:
        back, down = (world.webhook(check=ONCE) for _ in range(2))
        child = world.webhook(check=ONCE, depends_on=[back, down])
        check_now(world, 204)
        check(world, back, 500)
        make_due(world)
        due = {one.webhook_id: one for one in claim(world)}

        def goes_down(work: Work) -> None:
            results = [answer(due[down], 500)]
            health_records.record(work.session, work.now, work.events, results, [0])

        overlapping(world, goes_down, lambda: record(world, answer(due[back], 204)))
        assert blocked_by(world, child) == down

    def test_a_circle_is_refused_however_long(self, world: World) -> None:
        first = world.webhook()
        second = world.webhook(depends_on=[first])
        third = world.webhook(depends_on=[second])
        for parents in ([first], [third], [second, third]):
            with pytest.raises(Invalid) as refused:
                world.change_webhook(first, depends_on=parents)
            assert refused.value.errors == {"depends_on": ["It would depend on itself."]}
        with pytest.raises(Invalid):
            world.webhook(depends_on=[10**12])

    def test_two_who_would_close_a_circle_at_once_do_not(self, world: World) -> None:
        one, other = world.webhook(), world.webhook()

        def depend(webhook: int, parent: int) -> bool:
            try:
                world.change_webhook(webhook, depends_on=[parent])
            except Invalid:
                return False
            return True

        assert sorted(at_once(partial(depend, one, other), partial(depend, other, one))) == [
            False,
            True,
        ]

    def test_many_who_shake_each_other_at_once_wait_in_no_circle(self, world: World) -> None:
        parents = [world.webhook(check=ONCE) for _ in range(4)]
        for number in range(8):
            world.webhook(check=ONCE, depends_on=[parents[number % 4], parents[(number + 1) % 4]])
        for status_code in (204, 500, 204, 500):
            make_due(world)
            checks = claim(world)

            shares = [checks[start::4] for start in range(4)]
            answers = [[answer(one, status_code) for one in share] for share in shares]
            at_once(*[partial(record, world, *share) for share in answers])
        assert {status(world, parent) for parent in parents} == {"unavailable"}


class TestCertificates:
    SHORT = datetime.now(UTC) + timedelta(days=5, hours=1)
    LONG = datetime.now(UTC) + timedelta(days=90)

    def test_one_that_expires_soon_is_told_once_until_it_is_renewed(self, world: World) -> None:
        webhook = world.webhook(name="pager", check={"min_certificate_days": 14})
        check(world, webhook, 204, certificate=self.SHORT)
        check(world, webhook, 204, certificate=self.SHORT)
        about = key(webhook, "certificate")
        assert world.sql("SELECT title, severity, count FROM pggit.alerts") == [
            ("The certificate of webhook “pager” expires in 5 days", "warning", 1)
        ]
        assert status(world, webhook) == "healthy"
        # Without an answer there is no certificate, and no news of it.
        check(world, webhook, failure=Failure.CONNECT)
        assert alerts(world) == [(about, "pending")]
        check(world, webhook, 204, certificate=self.LONG)
        assert alerts(world) == [(about, "resolved")]

    def test_who_does_not_want_to_know_is_not_told(self, world: World) -> None:
        webhook = world.webhook(check={"min_certificate_days": None})
        check(world, webhook, 204, certificate=self.SHORT)
        assert alerts(world) == []


class TestMaintenance:
    def test_checks_in_a_window_are_marked(self, world: World) -> None:
        covered = world.webhook(name="pager")
        other = world.webhook(name="other")
        check_now(world, 204)
        world.silence(Matcher("webhook", Op.EQUAL, "pager"), kind="maintenance")
        world.silence(Matcher("webhook", Op.EQUAL, "other"))  # mutes, and is no maintenance
        check_now(world, 500)
        assert world.sql(
            "SELECT webhook_id, in_maintenance FROM pggit.webhook_health_checks"
            " ORDER BY webhook_id, id"
        ) == [(covered, False), (covered, True), (other, False), (other, False)]
        assert world.sql(
            "SELECT webhook_id, sum(checks)::int, sum(failed)::int, sum(in_maintenance)::int"
            " FROM pggit.webhook_health_rollups GROUP BY 1 ORDER BY 1"
        ) == [(covered, 2, 0, 1), (other, 2, 1, 0)]


def test_conditions_on_a_body_need_a_method_that_has_one(world: World) -> None:
    webhook = world.webhook(check={"method": "HEAD"})
    with pytest.raises(Invalid):
        world.change_webhook(webhook, health_check={"body_includes": "ok"})
