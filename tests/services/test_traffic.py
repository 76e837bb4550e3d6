"""Traffic in the claim and in the drain: gates, paces, probes, priorities, the pause."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app.adapters.clock import Clock
from app.domain.retry import Reason
from app.domain.traffic import Standing
from app.services import back_pressure, traffic, traffic_reports
from app.services.back_pressure import BackPressure
from app.services.delivery import Drain
from app.services.messages import Targets
from app.services.paging import PageRequest
from app.services.raising import Draft
from app.services.traffic import TrafficWatch
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually
from tests.services.checking import ONCE, check_now
from tests.services.world import World, at_once, delivered, failed, retrying

SCHEDULE = (0, 600, 600, 600)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture
def drain(world: World) -> Iterator[Drain]:
    deps = world.deps
    made = Drain(deps.database, deps.clock, deps.guard, Targets(deps.cipher, 5.0, SCHEDULE))
    yield made
    made.close()


def never() -> bool:
    return False


def standing(world: World, webhook: int) -> dict[str, Any]:
    with world.deps.reading() as session:
        return traffic_reports.webhook_traffic(session, webhook)


def history(world: World, webhook: int) -> list[tuple[str, str]]:
    """Gate and reason of every change, the oldest first."""
    with world.deps.reading() as session:
        page = traffic_reports.traffic_history(session, webhook, PageRequest(100))
        return [(row.gate, row.reason) for row in reversed(page.items)]


def rest_is_over(world: World, webhook: int) -> None:
    world.sql(
        "UPDATE pggit_traffic.webhook_traffic"
        " SET reopens_at = statement_timestamp() - interval '1 second' WHERE webhook_id = :id",
        id=webhook,
    )


def hear(world: World, watch: TrafficWatch, webhook: int, at: float, *heard: Any) -> None:
    """Outcomes, each a cause or a cause with a standing, and what follows from them."""
    for one in heard:
        cause, known = one if isinstance(one, tuple) else (one, Standing.NORMAL)
        watch.hear(webhook, known, cause, at)
    with world.deps.database.session() as session:
        watch.write_changes(session, at)


class TestGate:
    def test_ten_failures_close_it_and_hold_what_is_owed(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/down", Answer(500))
        webhook = world.webhook(url=receiver.url("/down"), max_in_flight=10)
        world.owe(webhook, 40)
        drain.run(never, never)
        told = len(receiver.messages("/down"))
        # What was in flight when it closed comes to its end; no more is sent.
        assert 10 <= told <= 20
        now = standing(world, webhook)
        assert (now["gate"], now["reason"]) == ("closed", "half_of_outcomes_failed")
        assert now["owed"] == 40
        assert history(world, webhook) == [("closed", "half_of_outcomes_failed")]
        drain.run(never, never)
        assert len(receiver.messages("/down")) == told
        # What it holds costs no attempts.
        attempts = Counter(
            row[0] for row in world.sql("SELECT attempts_made FROM pggit.alert_delivery_queue")
        )
        assert attempts == {0: 40 - told, 1: told}

    def test_it_holds_nobody_else(self, world: World, receiver: Receiver, drain: Drain) -> None:
        receiver.plan("/down", Answer(500))
        world.owe(world.webhook(url=receiver.url("/down"), max_in_flight=10), 30)
        drain.run(never, never)
        world.owe(world.webhook(url=receiver.url("/well")), 30)
        drain.run(never, never)
        assert len(receiver.messages("/well")) == 30

    def test_after_its_rest_one_delivery_is_the_trial(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/down", Answer(500))
        webhook = world.webhook(url=receiver.url("/down"), max_in_flight=10)
        world.owe(webhook, 40)
        drain.run(never, never)
        told = len(receiver.messages("/down"))
        rest_is_over(world, webhook)
        assert standing(world, webhook)["gate"] == "half_open"
        drain.run(never, never)
        assert len(receiver.messages("/down")) == told + 1
        now = standing(world, webhook)
        assert (now["gate"], now["reason"], now["closings"]) == ("closed", "trial_failed", 2)
        left = world.one(
            "SELECT extract(epoch FROM reopens_at - statement_timestamp())::float8"
            " FROM pggit_traffic.webhook_traffic WHERE webhook_id = :id",
            id=webhook,
        )
        assert 5 < left <= 10

    def test_a_trial_that_succeeds_opens_it_gently(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/back", Answer(500))
        webhook = world.webhook(url=receiver.url("/back"), max_in_flight=10)
        owed = world.owe(webhook, 30)
        drain.run(never, never)
        receiver.plan("/back", Answer(204))
        world.expire(*owed)
        rest_is_over(world, webhook)
        drain.run(never, never)
        now = standing(world, webhook)
        assert now["gate"] == "open"
        assert now["closings"] == 0
        assert ("open", "trial_succeeded") in history(world, webhook)
        assert now["pace_per_second"] is not None
        # It is paced, and gets everything all the same.
        eventually(
            lambda: drain.run(never, never) is not None and standing(world, webhook)["owed"] == 0,
            20,
            "the drain of what had gathered",
        )
        assert history(world, webhook)[-1] == ("open", "steady_success")

    def test_only_one_is_tried_by_workers_at_once(self, world: World) -> None:
        webhook = world.webhook()
        world.owe(webhook, 20)
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET gate = 'closed',"
            " reopens_at = now() - interval '1 second'"
        )
        claimed = [one for share in at_once(*[world.claim] * 4) for one in share]
        assert len(claimed) == 1
        assert Standing.TRIAL in claimed[0].standing
        assert world.claim() == []

    def test_a_trial_whose_worker_died_is_followed_by_another(self, world: World) -> None:
        webhook = world.webhook()
        world.owe(webhook, 3)
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET gate = 'closed',"
            " reopens_at = now() - interval '1 second'"
        )
        (lost,) = world.claim()
        world.expire(lost.id)
        assert len(world.claim()) == 1

    def test_a_refusal_of_one_message_is_no_evidence_but_a_sign_of_life_in_a_trial(
        self, world: World
    ) -> None:
        webhook = world.webhook()
        watch = TrafficWatch()
        hear(world, watch, webhook, 1.0, *[Reason.REJECTED] * 50)
        assert history(world, webhook) == []
        hear(world, watch, webhook, 2.0, *[Reason.SERVER_ERROR] * 10)
        hear(world, watch, webhook, 3.0, (Reason.REJECTED, Standing.TRIAL))
        assert history(world, webhook) == [
            ("closed", "half_of_outcomes_failed"),
            ("open", "trial_succeeded"),
        ]

    def test_lost_leases_are_no_evidence(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        webhook = world.webhook(url=receiver.url("/well"))
        for _round in range(3):
            world.owe(webhook, 10)
            world.expire(*[one.id for one in world.claim()])
        drain.run(never, never)
        assert history(world, webhook) == []
        assert standing(world, webhook)["failing_since"] is None

    def test_what_a_worker_saw_before_another_opened_it_does_not_close_it_twice(
        self, world: World
    ) -> None:
        webhook = world.webhook()
        one, other = TrafficWatch(), TrafficWatch()
        hear(world, one, webhook, 1.0, *[Reason.SERVER_ERROR] * 10)
        hear(world, other, webhook, 1.0, *[Reason.SERVER_ERROR] * 10)
        assert history(world, webhook) == [("closed", "half_of_outcomes_failed")]
        assert standing(world, webhook)["closings"] == 1

    def test_it_is_opened_by_hand(self, world: World) -> None:
        webhook = world.webhook()
        hear(world, TrafficWatch(), webhook, 1.0, *[Reason.SERVER_ERROR] * 10)
        with world.deps.unit_of_work() as work:
            traffic.open_by_hand(work.session, webhook)
        now = standing(world, webhook)
        assert (now["gate"], now["reason"], now["pace_per_second"]) == ("open", "by_hand", None)

    def test_changes_and_claims_at_once_do_not_lock_each_other_out(self, world: World) -> None:
        hooks = [world.webhook(rate_limit_per_second=1000.0) for _ in range(8)]
        for webhook in hooks:
            world.owe(webhook, 20)

        def change(seed: int) -> None:
            watch = TrafficWatch()
            for second in range(10):
                for webhook in hooks if seed else reversed(hooks):
                    watch.hear(webhook, Standing.NORMAL, Reason.TIMED_OUT, float(second * 2))
                with world.deps.database.session() as session:
                    watch.write_changes(session, float(second * 2))

        def work() -> None:
            for _ in range(10):
                world.complete(*map(retrying, world.claim(40)))

        at_once(lambda: change(0), lambda: change(1), work, work)


class TestPace:
    def test_a_receiver_that_asks_for_less_is_told_less(self, world: World) -> None:
        webhook = world.webhook()
        watch = TrafficWatch()
        hear(world, watch, webhook, 0.0, *[Reason.ACCEPTED] * 99)
        hear(world, watch, webhook, 1.0, Reason.ASKED_TO_WAIT)
        now = standing(world, webhook)
        assert (now["pace_per_second"], now["reason"]) == (50.0, "asked_to_slow_down")

    def test_a_burst_of_signs_is_one_sign(self, world: World) -> None:
        webhook = world.webhook()
        watch = TrafficWatch()
        hear(world, watch, webhook, 0.0, *[Reason.ACCEPTED] * 99)
        hear(world, watch, webhook, 1.0, Reason.TIMED_OUT)
        hear(world, watch, webhook, 1.2, Reason.TIMED_OUT)
        hear(world, watch, webhook, 1.4, Reason.TIMED_OUT)
        assert standing(world, webhook)["pace_per_second"] == 50.0
        hear(world, watch, webhook, 2.1, Reason.TIMED_OUT)
        assert standing(world, webhook)["pace_per_second"] == 25.0
        assert history(world, webhook) == [("open", "timed_out")] * 2

    def test_successes_raise_it_and_lift_it_in_the_end(self, world: World) -> None:
        webhook = world.webhook()
        watch = TrafficWatch()
        hear(world, watch, webhook, 0.0, Reason.TIMED_OUT)
        paces = []
        for second in range(1, 60):
            hear(world, watch, webhook, float(second), (Reason.ACCEPTED, Standing.PACED))
            paces.append(standing(world, webhook)["pace_per_second"])
            if paces[-1] is None:
                break
        assert paces[0] == 1.25
        assert paces[-1] is None
        grown = [pace for pace in paces if pace is not None]
        assert grown == sorted(set(grown))
        changes = history(world, webhook)
        assert changes[0] == ("open", "timed_out")
        assert set(changes[1:]) == {("open", "steady_success")}

    def test_it_never_grows_over_the_webhooks_own_limit(self, world: World) -> None:
        webhook = world.webhook(rate_limit_per_second=3.0)
        watch = TrafficWatch()
        hear(world, watch, webhook, 0.0, Reason.TIMED_OUT)
        for second in range(1, 20):
            hear(world, watch, webhook, float(second), (Reason.ACCEPTED, Standing.PACED))
        assert standing(world, webhook)["pace_per_second"] is None
        world.owe(webhook, 50)
        assert len(world.claim()) <= 3

    def test_the_claim_keeps_to_it(self, world: World) -> None:
        webhook, free = world.webhook(), world.webhook()
        world.owe(webhook, 30)
        world.owe(free, 30)
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET pace_per_second = 4, tokens = 4,"
            " refilled_at = statement_timestamp() WHERE webhook_id = :id",
            id=webhook,
        )
        claimed = world.claim()
        taken = Counter(one.webhook_id for one in claimed)
        assert taken == {webhook: 4, free: 30}
        assert {one.webhook_id for one in claimed if Standing.PACED in one.standing} == {webhook}


class TestProbe:
    """While its checks are red, a webhook's retries wait; some never do."""

    @pytest.fixture
    def red(self, world: World) -> int:
        """A webhook that is owed a first attempt, a second, and a last one; and turns red."""
        webhook = world.webhook(check=ONCE, retry_schedule_seconds=[0, 0, 0, 0])
        self.first, self.second, self.last = world.owe(webhook, 3)
        by_id = {one.id: one for one in world.claim()}
        world.complete(retrying(by_id[self.second]), retrying(by_id[self.last]))
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET lease_token = NULL, next_attempt_at = now(),"
            " attempts_made = CASE WHEN id = :first THEN 0 WHEN id = :last THEN 3 ELSE 1 END,"
            " probe_holds_until ="
            " CASE WHEN id = :second THEN now() + interval '1 hour' END",
            first=self.first,
            second=self.second,
            last=self.last,
        )
        check_now(world, 503)
        return webhook

    def test_a_red_probe_holds_the_others(self, world: World, red: int) -> None:
        assert {one.id for one in world.claim()} == {self.first, self.last}
        assert standing(world, red)["probe_holds"] is True

    def test_a_green_one_lets_them_go_gently(self, world: World, red: int) -> None:
        check_now(world, 204)
        now = standing(world, red)
        assert (now["reason"], now["pace_per_second"]) == ("check_recovered", 5.0)
        assert len(world.claim()) == 1, "not all of them at once"
        world.sql("UPDATE pggit_traffic.webhook_traffic SET tokens = 5")
        assert self.second in {one.id for one in world.claim()}

    def test_a_later_success_lets_them_go(self, world: World, red: int) -> None:
        hear(
            world,
            TrafficWatch(),
            red,
            1.0,
            (Reason.ACCEPTED, Standing.UNAVAILABLE),
        )
        assert {one.id for one in world.claim()} == {self.first, self.second, self.last}

    def test_a_success_before_it_turned_red_does_not(self, world: World, red: int) -> None:
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET delivered_at = now() - interval '1 hour'"
        )
        assert self.second not in {one.id for one in world.claim()}

    def test_it_holds_no_longer_than_the_schedule_would_last(self, world: World, red: int) -> None:
        world.sql(
            "UPDATE pggit.alert_delivery_queue"
            " SET probe_holds_until = now() - interval '1 second' WHERE id = :id",
            id=self.second,
        )
        with world.deps.unit_of_work() as work:
            assert traffic.end_overdue_holds(work.session) == 1
        assert self.second in {one.id for one in world.claim()}

    def test_the_drain_marks_what_may_be_held(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/down", Answer(500))
        webhook = world.webhook(url=receiver.url("/down"), retry_schedule_seconds=[0, 60, 60, 60])
        (owed,) = world.owe(webhook)
        marks = []
        for _attempt in range(3):
            drain.run(never, never)
            marks.append(world.delivery(owed).probe_holds_until is not None)
            world.expire(owed)
        # After it the second, the third, and the last attempt.
        assert marks == [True, True, False]


class TestPriority:
    def test_the_more_severe_goes_first(self, world: World) -> None:
        webhook = world.webhook(max_in_flight=1)
        for severity in ("info", "warning", "critical"):
            world.raise_alerts(Draft("x", severity, webhook_ids=[webhook]))
        said = []
        for _ in range(3):
            (one,) = world.claim()
            said.append(one.body.decode())
            world.complete(delivered(one))
        severities = [
            next(name for name in ("info", "warning", "critical") if f'"{name}"' in body)
            for body in said
        ]
        assert severities == ["critical", "warning", "info"]

    def test_an_info_that_waited_long_goes_before_a_new_critical(self, world: World) -> None:
        webhook = world.webhook(max_in_flight=1)
        old = world.alert(severity="info", webhook_ids=[webhook])
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET next_attempt_at = now() - interval '6 minutes',"
            " rank_at = now() - interval '6 minutes'"
        )
        world.alert(severity="critical", webhook_ids=[webhook])
        (one,) = world.claim()
        assert f'"id":{old},' in one.body.decode()

    def test_a_retry_keeps_its_head_start(self, world: World) -> None:
        webhook = world.webhook()
        world.alert(severity="critical", webhook_ids=[webhook])
        (one,) = world.claim()
        world.complete(retrying(one, 100.0))
        assert (
            world.one(
                "SELECT extract(epoch FROM next_attempt_at - rank_at)::int"
                " FROM pggit.alert_delivery_queue"
            )
            == 300
        )


class TestExpiry:
    def test_what_is_too_late_is_cancelled_and_not_sent(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        webhook = world.webhook(url=receiver.url("/late"))
        (owed,) = world.owe(webhook)
        world.sql("UPDATE pggit.alert_delivery_queue SET expires_at = now() - interval '1 second'")
        drain.run(never, never)
        row = world.delivery(owed)
        assert (row.status, row.reason, row.attempts_made) == ("cancelled", "expired", 0)
        assert receiver.messages("/late") == ()


class TestHistoryOfDeliveries:
    def test_what_is_delivered_leaves_the_hot_table(self, world: World) -> None:
        webhook = world.webhook()
        first, second, third = world.owe(webhook, 3)
        one, two, three = sorted(world.claim(), key=lambda claimed: claimed.id)
        world.complete(delivered(one), retrying(two), failed(three))
        assert world.sql("SELECT id FROM pggit.alert_delivery_queue ORDER BY id") == [
            (second,),
            (third,),
        ]
        assert world.sql("SELECT id, status FROM pggit.alert_delivery_history") == [
            (first, "delivered")
        ]
        assert world.attempts(first) == ["accepted"]


class TestPause:
    def test_nothing_is_claimed_until_it_is_lifted(self, world: World) -> None:
        world.owe(world.webhook(), 3)
        with world.deps.unit_of_work() as work:
            traffic_reports.pause(work.session, "tester", "we move house")
            traffic_reports.pause(work.session, "another", None)
        with world.deps.reading() as session:
            now = traffic_reports.current_pause(session)
        assert now is not None
        assert (now.paused_by, now.reason) == ("tester", "we move house")
        assert world.claim() == []
        with world.deps.unit_of_work() as work:
            traffic_reports.resume(work.session, work.events, "tester")
        assert len(world.claim()) == 3

    def test_who_paused_and_who_went_on_is_written_down(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            traffic_reports.pause(work.session, "tester", "we move house")
            traffic_reports.resume(work.session, work.events, "another")
            traffic_reports.resume(work.session, work.events, "a third")
        assert world.sql(
            "SELECT reason, by, detail FROM pggit_traffic.house_traffic_history ORDER BY id"
        ) == [("paused", "tester", "we move house"), ("resumed", "another", None)]


class TestBackPressure:
    def test_every_change_is_written_down_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(back_pressure, "COUNTED_EVERY_SECONDS", 0.0)
        webhook = world.webhook()
        pressure = BackPressure(Clock(), 3)

        def note() -> None:
            with world.deps.unit_of_work() as work:
                pressure.note_change(work.session)

        at_once(*[note] * 3)
        world.owe(webhook, 3)
        at_once(*[note] * 3)
        world.owe(webhook, 3)
        at_once(*[note] * 3)
        world.complete(*[delivered(one) for one in world.claim()])
        at_once(*[note] * 3)
        assert world.sql(
            "SELECT refused_severities, undelivered"
            " FROM pggit_traffic.house_traffic_history ORDER BY id"
        ) == [(["info"], 3), (["info", "warning"], 6), ([], 0)]

    def test_the_count_is_bounded_and_made_once_in_a_while(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = world.webhook()
        pressure = BackPressure(Clock(), 3)
        with world.deps.reading() as session:
            assert pressure.refuses(session) == set()
            world.owe(webhook, 50)
            assert pressure.refuses(session) == set(), "counted a moment ago"
            monkeypatch.setattr(back_pressure, "COUNTED_EVERY_SECONDS", 0.0)
            assert pressure.refuses(session) == {"info", "warning"}
            assert pressure.undelivered(session) == 7
