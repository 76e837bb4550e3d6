"""Checks of webhooks: claimed, fenced, recorded on their cadence, and told of when it matters."""

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.domain.cadence import next_check
from app.domain.health import HealthStatus
from app.errors import NotFound
from app.services import health_checks, health_records
from app.services.check_plans import MAX_PLANS, Plans
from app.services.checker import Checker
from app.services.health_checks import Check
from models import WebhookHealth
from tests.harness.receiver import Answer, Receiver
from tests.services.checking import ONCE, answer, check_now, claim, decisions, record
from tests.services.world import World, at_once, delivered, overlapping


def health(world: World, webhook_id: int) -> Any:
    return world.one(
        "SELECT health_status, consecutive_failures, consecutive_successes"
        " FROM pggit.webhook_health_metrics WHERE webhook_id = :id",
        id=webhook_id,
    )


class TestClaim:
    def test_what_is_due_is_leased(self, world: World) -> None:
        webhook = world.webhook(check={"method": "HEAD"}, headers={"x-team": "storage"})
        (check,) = claim(world)
        assert check.webhook_id == webhook
        assert (check.request.method, check.request.body) == ("HEAD", None)
        assert ("x-team", "storage") in check.request.headers
        assert check.request.fresh_connection
        assert check.request.want_certificate
        assert check.health.status is HealthStatus.UNKNOWN
        assert claim(world) == []

    def test_the_lease_outlasts_the_probe(self, world: World) -> None:
        patient = world.webhook(timeout_seconds=100)
        plain = world.webhook()
        claim(world)
        left = dict(
            world.sql(
                "SELECT webhook_id, extract(epoch FROM leased_until - now())::float8"
                " FROM pggit.webhook_health_metrics"
            )
        )
        assert 200 < left[patient] <= 215
        assert 10 < left[plain] <= 25

    def test_inactive_deleted_and_future_ones_are_left_alone(self, world: World) -> None:
        world.webhook(is_active=False)
        world.delete_webhook(world.webhook())
        later = world.webhook()
        world.sql(
            "UPDATE pggit.webhook_health_metrics SET next_check_at = now() + interval '1 minute'"
            " WHERE webhook_id = :id",
            id=later,
        )
        assert claim(world) == []

    def test_checkers_at_once_never_get_the_same(self, world: World) -> None:
        hooks = [world.webhook() for _ in range(30)]

        def claim_all() -> list[Check]:
            mine: list[Check] = []
            while more := claim(world, 4):
                mine += more
            return mine

        shares = at_once(*[claim_all] * 4)
        assert sorted(one.webhook_id for share in shares for one in share) == hooks

    def test_who_asks_for_it_gets_it_due_or_not_even_from_another(self, world: World) -> None:
        webhook = world.webhook()
        (theirs,) = claim(world)
        with world.deps.unit_of_work() as work:
            ours = health_checks.claim_one(work.session, Plans(world.deps.cipher, 5), webhook)
        assert ours.lease_token != theirs.lease_token
        assert record(world, answer(theirs)) == set()
        assert record(world, answer(ours)) == {webhook}

    def test_one_that_somebody_has_right_now_is_waited_for(self, world: World) -> None:
        webhook = world.webhook()

        def claim_it() -> Check:
            with world.deps.unit_of_work() as work:
                return health_checks.claim_one(work.session, Plans(world.deps.cipher, 5), webhook)

        check = overlapping(
            world,
            lambda work: work.session.get(WebhookHealth, webhook, with_for_update=True),
            claim_it,
        )
        assert check.webhook_id == webhook

    def test_it_has_to_be_there(self, world: World) -> None:
        with pytest.raises(NotFound), world.deps.unit_of_work() as work:
            health_checks.claim_one(work.session, Plans(world.deps.cipher, 5), 10**12)


class TestPlans:
    """What is kept of webhooks is what they are."""

    def test_a_change_is_heeded_and_what_stays_is_not_read_again(self, world: World) -> None:
        webhook = world.webhook(name="before")
        plans = Plans(world.deps.cipher, 5)

        def claim_it() -> Check:
            with world.deps.unit_of_work() as work:
                return health_checks.claim_one(work.session, plans, webhook)

        first = claim_it()
        assert claim_it().plan is first.plan
        world.change_webhook(webhook, name="after", health_check={"method": "HEAD"})
        changed = claim_it()
        assert (changed.name, changed.request.method) == ("after", "HEAD")

    def test_so_is_that_a_parent_is_gone(self, world: World) -> None:
        parent = world.webhook()
        child = world.webhook(depends_on=[parent])
        plans = Plans(world.deps.cipher, 5)
        for expected in ((parent,), ()):
            with world.deps.unit_of_work() as work:
                check = health_checks.claim_one(work.session, plans, child)
            assert check.plan.depends_on == expected
            if expected:
                world.delete_webhook(parent)

    def test_it_is_bounded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        assert MAX_PLANS >= 10_000
        monkeypatch.setattr("app.services.check_plans.MAX_PLANS", 3)
        hooks = [world.webhook() for _ in range(5)]
        plans = Plans(world.deps.cipher, 5)
        for _ in range(2):
            with world.deps.unit_of_work() as work:
                claimed = [health_checks.claim_one(work.session, plans, one) for one in hooks]
            assert [one.webhook_id for one in claimed] == hooks
        assert len(plans._known) == 3


class TestRecord:
    def test_it_is_kept_with_its_history(self, world: World) -> None:
        webhook = world.webhook()
        (check,) = claim(world)
        assert record(world, answer(check, 204, latency_ms=12.5)) == {webhook}
        assert health(world, webhook) == ("healthy", 0, 1)
        assert world.sql(
            "SELECT webhook_id, outcome, reason, http_status, latency_ms, health_status"
            " FROM pggit.webhook_health_checks"
        ) == [(webhook, "passed", "as_expected", 204, 12.5, "healthy")]

    def test_a_check_whose_lease_was_taken_changes_nothing(self, world: World) -> None:
        world.webhook(check=ONCE)
        world.webhook(check=ONCE)
        stale, live = claim(world)
        world.sql(
            "UPDATE pggit.webhook_health_metrics SET leased_until = now() WHERE webhook_id = :id",
            id=stale.webhook_id,
        )
        claim(world)
        before = world.sql(
            "SELECT * FROM pggit.webhook_health_metrics WHERE webhook_id = :id", id=stale.webhook_id
        )
        assert record(world, answer(stale, 500), answer(live, 500)) == {live.webhook_id}
        assert (
            world.sql(
                "SELECT * FROM pggit.webhook_health_metrics WHERE webhook_id = :id",
                id=stale.webhook_id,
            )
            == before
        )
        assert world.sql("SELECT webhook_id FROM pggit.webhook_health_checks") == [
            (live.webhook_id,)
        ]
        assert world.sql("SELECT labels->>'webhook_id' FROM pggit.alerts") == [
            (str(live.webhook_id),)
        ]

    def test_a_webhook_that_was_deleted_meanwhile_is_no_news(self, world: World) -> None:
        webhook = world.webhook(check=ONCE)
        (check,) = claim(world)
        world.delete_webhook(webhook)
        assert record(world, answer(check, 500)) == set()
        assert world.one("SELECT count(*) FROM pggit.alerts") == 0

    def test_of_two_who_record_at_once_one_is_heard(self, world: World) -> None:
        world.webhook(check=ONCE)
        for _round in range(10):
            world.sql("UPDATE pggit.webhook_health_metrics SET next_check_at = now()")
            (check,) = claim(world)
            answers = at_once(
                partial(record, world, answer(check, 204)),
                partial(record, world, answer(check, 500)),
            )
            assert sorted(map(len, answers)) == [0, 1]

    def test_the_next_check_is_in_the_webhooks_own_phase(self, world: World) -> None:
        webhook = world.webhook(health_check_interval_seconds=300)
        (check,) = claim(world)
        with world.deps.unit_of_work() as work:
            health_records.record(work.session, work.now, work.events, [answer(check)], [0])
            next_at = work.session.scalar(select(WebhookHealth.next_check_at))
        assert next_at == next_check(webhook, 300, check.due_at, work.now)

    def test_who_changed_the_interval_meanwhile_gets_a_check_by_the_new_one(
        self, world: World
    ) -> None:
        webhook = world.webhook(health_check_interval_seconds=86_400)
        (check,) = claim(world)
        world.change_webhook(webhook, health_check_interval_seconds=5)
        record(world, answer(check))
        assert [one.webhook_id for one in claim(world)] == [webhook]

    def test_nothing_may_be_recorded(self, world: World) -> None:
        assert record(world) == set()


class TestTelling:
    """A change of state is an alert like any other, minus the webhook that it is about."""

    @staticmethod
    def alerts(world: World) -> list[tuple[str, str, str]]:
        return world.sql(
            "SELECT severity, labels->>'health_status', status FROM pggit.alerts ORDER BY id"
        )

    def test_a_first_pass_is_no_news(self, world: World) -> None:
        world.webhook()
        check_now(world, 204, 204)
        assert self.alerts(world) == []

    def test_a_failure_below_the_threshold_is_none(self, world: World) -> None:
        world.webhook()
        check_now(world, 204, 500, 500)
        assert self.alerts(world) == []

    def test_sick_it_is_told_to_the_others_once(self, world: World) -> None:
        sick = world.webhook(name="pager", check={"expected_status": [204]})
        well = world.webhook(check={"expected_status": [204, 500]})
        check_now(world, 500, 500, 500, 500, 500)
        assert self.alerts(world) == [("critical", "unavailable", "pending")]
        assert world.sql("SELECT webhook_id FROM pggit.deliveries") == [(well,)]
        title, source, labels, message = world.one(
            "SELECT title, source, labels, message FROM pggit.alerts"
        )
        assert (title, source) == ("Webhook “pager” is unavailable", "webhook-health")
        assert labels == {
            "webhook_id": str(sick),
            "webhook": "pager",
            "health_status": "unavailable",
            "reason": "unexpected_status",
        }
        assert message == "3 failed checks in a row; confirmed at once: HTTP 500 after 1 ms."

    def test_well_again_the_alert_is_resolved_for_those_who_got_it(self, world: World) -> None:
        world.webhook(check={"expected_status": [204]} | ONCE)
        well = world.webhook(check={"expected_status": [204, 500]})
        check_now(world, 500)
        world.complete(*map(delivered, world.claim()))
        check_now(world, 204)
        assert self.alerts(world) == [("critical", "unavailable", "resolved")]
        (told,) = world.claim()
        assert told.webhook_id == well
        assert json.loads(told.body)["type"] == "alert.resolved"
        check_now(world, 500)
        assert self.alerts(world)[1:] == [("critical", "unavailable", "pending")]

    def test_slow_is_a_warning_and_worse_ends_it(self, world: World) -> None:
        world.webhook(check={"max_latency_ms": 10, "failure_threshold": 2})
        for latency in (100.0, 100.0):
            world.sql("UPDATE pggit.webhook_health_metrics SET next_check_at = now()")
            record(world, *[answer(check, 204, latency_ms=latency) for check in claim(world)])
        assert self.alerts(world) == [("warning", "degraded", "pending")]
        check_now(world, 500, 500)
        assert self.alerts(world) == [
            ("warning", "degraded", "resolved"),
            ("critical", "unavailable", "pending"),
        ]

    def test_one_transaction_holds_all_of_it(self, world: World) -> None:
        world.webhook(check=ONCE)
        (check,) = claim(world)

        def fail() -> None:
            with world.deps.unit_of_work() as work:
                health_records.record(
                    work.session, work.now, work.events, [answer(check, 500)], [0]
                )
                raise RuntimeError("the end of this worker")

        with pytest.raises(RuntimeError):
            fail()
        assert self.alerts(world) == []
        assert world.one("SELECT count(*) FROM pggit.webhook_health_checks") == 0
        assert record(world, answer(check, 500)) == {check.webhook_id}
        assert self.alerts(world) == [("critical", "unavailable", "pending")]

    def test_many_who_change_at_once_are_all_told(self, world: World) -> None:
        for _ in range(8):
            world.webhook(check=ONCE)
        checks = claim(world)

        def record_share(share: Sequence[Check]) -> set[int]:
            return record(world, *[answer(check, 500) for check in share])

        at_once(*[partial(record_share, checks[start::4]) for start in range(4)])
        assert len(self.alerts(world)) == 8
        assert world.one("SELECT count(*) FROM pggit.deliveries") == 8 * 7


class TestChecker:
    """The whole of it, against a real receiver."""

    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        listening = Receiver()
        yield listening
        listening.close()

    @pytest.fixture
    def checker(self, world: World) -> Iterator[Checker]:
        deps = world.deps
        made = Checker(deps.unit_of_work, deps.clock, deps.cipher, deps.guard, 5, (0,))
        yield made
        made.close()

    @staticmethod
    def run(checker: Checker) -> dict[str, int]:
        return checker.run(lambda: False, lambda: False)

    def test_a_pass_takes_the_hint_that_began_it(self, checker: Checker) -> None:
        """One that nobody takes would begin the next pass at once, and so on for ever."""
        hints = [True]
        assert checker.run(lambda: bool(hints and hints.pop()), lambda: False) == {}
        assert hints == []

    def test_two_share_what_is_due(
        self, world: World, receiver: Receiver, checker: Checker
    ) -> None:
        deps, count = world.deps, 60
        for number in range(count):
            world.webhook(url=receiver.url(f"/{number}"))
        other = Checker(deps.unit_of_work, deps.clock, deps.cipher, deps.guard, 5, (0,))
        with closing(other), ThreadPoolExecutor(2) as both:
            reports = list(both.map(self.run, (checker, other)))
        assert sum(one.get("checked", 0) for one in reports) == count
        assert [receiver.probes(f"/{number}") for number in range(count)] == [1] * count
        for table in ("checks", "rollups"):
            found = world.sql(f"SELECT webhook_id FROM pggit.webhook_health_{table}")  # noqa: S608
            assert len(found) == len(set(found)) == count

    def test_what_could_not_be_recorded_is_recorded_later(
        self, world: World, receiver: Receiver
    ) -> None:
        deps, ends = world.deps, [False, True]  # the transaction that claims, the one that records

        @contextmanager
        def unit_of_work() -> Iterator[Any]:
            with deps.unit_of_work() as work:
                yield work
                if ends and ends.pop(0):
                    raise OperationalError("COMMIT", None, Exception("the server is gone"))

        hook = world.webhook(url=receiver.url("/hook"))
        with closing(Checker(unit_of_work, deps.clock, deps.cipher, deps.guard, 5, (0,))) as made:
            with pytest.raises(OperationalError):
                self.run(made)
            assert decisions(world, hook) == []
            self.run(made)
        assert decisions(world, hook) == [("healthy", "first_pass")]
        assert receiver.probes("/hook") == 1

    def test_what_is_due_is_probed_and_recorded(
        self, world: World, receiver: Receiver, checker: Checker
    ) -> None:
        receiver.plan("/sick", Answer(503))
        well = world.webhook(url=receiver.url("/well"))
        sick = world.webhook(url=receiver.url("/sick"), check=ONCE)
        assert self.run(checker) == {"checked": 2, "failed": 1}
        assert health(world, well)[0] == "healthy"
        assert health(world, sick)[0] == "unavailable"
        assert world.told(world.one("SELECT id FROM pggit.alerts")) == [
            ("alert.firing", well, "pending")
        ]
        assert self.run(checker) == {}
        # The second asks once more whether it is so.
        assert (receiver.probes("/well"), receiver.probes("/sick")) == (1, 2)

    def test_one_that_hangs_holds_nobody_else(
        self, world: World, receiver: Receiver, checker: Checker
    ) -> None:
        gate = threading.Event()
        receiver.plan("/hangs", Answer(gate=gate))
        hanging = world.webhook(url=receiver.url("/hangs"), timeout_seconds=1, check=ONCE)
        quick = [world.webhook(url=receiver.url(f"/{number}")) for number in range(10)]
        assert self.run(checker) == {"checked": 11, "failed": 1}
        gate.set()
        assert health(world, hanging)[0] == "unavailable"
        assert world.sql(
            "SELECT reason FROM pggit.webhook_health_checks WHERE webhook_id = :id", id=hanging
        ) == [("timed_out",)]
        order = [
            row[0]
            for row in world.sql("SELECT webhook_id FROM pggit.webhook_health_checks ORDER BY id")
        ]
        assert sorted(order[:10]) == quick
        assert order[10] == hanging

    def test_what_is_inside_is_not_reached(self, world: World, checker: Checker) -> None:
        world.webhook(url="http://10.0.0.1/")
        assert self.run(checker) == {"checked": 1, "failed": 1}
        assert world.one("SELECT reason FROM pggit.webhook_health_checks") == (
            "refused_by_egress_guard"
        )
