"""The delivery queue: what a claim takes, what a lease protects, what the end of one sets free."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import text

from app.services.claims import LEASE_SECONDS, Claim, Completion
from tests.harness.waiting import eventually
from tests.services.world import (
    World,
    at_once,
    delivered,
    failed,
    gone,
    retrying,
)

WAITERS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
)
# Generous: a claim and a look at its row are a few milliseconds apart.
SLACK_SECONDS = 5.0


def test_a_claim_leases_and_counts_the_attempt(world: World) -> None:
    webhook = world.webhook()
    (delivery,) = world.owe(webhook)
    (claimed,) = world.claim()
    row = world.delivery(delivery)
    assert (claimed.id, claimed.webhook_id, claimed.attempt) == (delivery, webhook, 1)
    assert claimed.lease_token == str(row.lease_token)
    assert claimed.message_id == row.webhook_message_id
    assert claimed.message_id.startswith("msg_")
    body = world.one("SELECT body FROM pggit.alert_events WHERE id = :id", id=row.event_id)
    assert claimed.body == body.encode()
    version = world.one("SELECT updated_at FROM pggit.webhooks WHERE id = :id", id=webhook)
    assert claimed.webhook_version == version
    assert (row.status, row.attempts_made) == ("pending", 1)
    assert LEASE_SECONDS - SLACK_SECONDS < row.seconds_left <= LEASE_SECONDS == 10.0


def test_a_leased_delivery_is_nobody_elses(world: World) -> None:
    world.owe(world.webhook())
    assert len(world.claim()) == 1
    assert world.claim() == []


def test_an_empty_queue_has_nothing_to_claim(world: World) -> None:
    world.webhook()
    assert world.claim() == []


def test_it_takes_what_is_due_the_longest_due_first(world: World) -> None:
    webhook = world.webhook()
    first, second, third, later = world.owe(webhook, 4)
    for delivery, seconds in ((third, -30), (first, -20), (second, -10), (later, 10)):
        world.sql(
            "UPDATE pggit.alert_delivery_queue"
            " SET next_attempt_at = now() + make_interval(secs => :seconds) WHERE id = :id",
            id=delivery,
            seconds=seconds,
        )
    assert [one.id for one in world.claim(room=2)] in ([third, first], [first, third])
    assert [one.id for one in world.claim()] == [second]
    assert world.claim() == []


def test_it_takes_no_more_than_there_is_room_for(world: World) -> None:
    first, second = world.webhook(), world.webhook()
    world.owe(first, 4)
    world.owe(second, 4)
    assert [len(world.claim(room=3)) for _ in range(4)] == [3, 3, 2, 0]


@pytest.mark.parametrize("change", ["is_active = false", "deleted_at = now()"])
def test_it_leaves_inactive_and_deleted_webhooks_alone(world: World, change: str) -> None:
    webhook, other = world.webhook(), world.webhook()
    world.owe(webhook)
    (owed,) = world.owe(other)
    world.sql(f"UPDATE pggit.webhooks SET {change} WHERE id = :id", id=webhook)  # noqa: S608
    assert [one.id for one in world.claim()] == [owed]


def test_claimers_at_once_never_get_the_same_row(world: World) -> None:
    owed: list[int] = []
    for _ in range(6):
        owed += world.owe(world.webhook(), 50)

    def claim_all() -> list[Claim]:
        mine: list[Claim] = []
        while more := world.claim(room=7):
            mine += more
        return mine

    shares = at_once(*[claim_all] * 6)
    claimed = [one for share in shares for one in share]
    assert sorted(one.id for one in claimed) == sorted(owed)
    assert {one.attempt for one in claimed} == {1}
    assert len({one.lease_token for one in claimed}) == len(owed)


def test_the_cap_on_what_is_in_flight_holds_over_claimers_at_once(world: World) -> None:
    narrow, wide = world.webhook(max_in_flight=3), world.webhook(max_in_flight=20)
    for _round in range(5):
        world.owe(narrow, 40)
        world.owe(wide, 40)
        shares = at_once(*[lambda: world.claim(room=10)] * 8)
        in_flight = [one for share in shares for one in share]
        assert Counter(one.webhook_id for one in in_flight) == {narrow: 3, wide: 20}
        world.complete(*map(delivered, in_flight))


def test_room_comes_back_with_each_completion(world: World) -> None:
    webhook = world.webhook(max_in_flight=2)
    world.owe(webhook, 5)
    first, second = world.claim()
    world.complete(delivered(first))
    (third,) = world.claim()
    world.complete(delivered(second), retrying(third, 1000.0))
    assert len(world.claim()) == 2


def test_an_expired_lease_takes_no_room(world: World) -> None:
    webhook = world.webhook(max_in_flight=1)
    lost, _waiting = world.owe(webhook, 2)
    assert [one.id for one in world.claim()] == [lost]
    assert world.claim() == []
    world.expire(lost)
    assert len(world.claim()) == 1


def test_webhooks_take_turns(world: World) -> None:
    """However much each is owed, and with less room than all want, shares come out even."""
    hooks = [world.webhook(max_in_flight=10) for _ in range(3)]
    for webhook in hooks:
        world.owe(webhook, 150)
    served: Counter[int] = Counter()
    after = 0
    for _ in range(12):
        claimed = world.claim(room=15, after_webhook=after)
        served.update(one.webhook_id for one in claimed)
        after = claimed[-1].webhook_id
        world.complete(*map(delivered, claimed))
    assert sum(served.values()) == 12 * 15
    assert max(served.values()) - min(served.values()) <= 10, served


def test_the_turn_goes_on_after_the_last_webhook(world: World) -> None:
    first, second, third = (world.webhook(max_in_flight=1) for _ in range(3))
    for webhook in (first, second, third):
        world.owe(webhook)
    order = []
    after = second
    while claimed := world.claim(room=1, after_webhook=after):
        after = claimed[-1].webhook_id
        order.append(after)
    assert order == [third, first, second]


def test_what_hangs_at_one_webhook_holds_no_other(world: World) -> None:
    hanging, quick = world.webhook(max_in_flight=4), world.webhook()
    world.owe(hanging, 100)
    world.owe(quick, 20)
    claimed = world.claim(room=24)
    assert Counter(one.webhook_id for one in claimed) == {hanging: 4, quick: 20}


class TestRate:
    """A token bucket that holds what one second allows, and at least one message."""

    @staticmethod
    def turn_back(world: World, webhook: int, seconds: float) -> None:
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic"
            " SET refilled_at = statement_timestamp() - make_interval(secs => :seconds)"
            " WHERE webhook_id = :id",
            id=webhook,
            seconds=seconds,
        )

    def test_no_limit_is_no_limit(self, world: World) -> None:
        world.owe(world.webhook(rate_limit_per_second=None), 50)
        assert len(world.claim()) == 50

    def test_a_second_holds_no_more_than_the_limit(self, world: World) -> None:
        limited, free = world.webhook(rate_limit_per_second=5.0), world.webhook()
        world.owe(limited, 50)
        world.owe(free, 20)
        claimed = world.claim()
        assert Counter(one.webhook_id for one in claimed) == {limited: 5, free: 20}
        self.turn_back(world, limited, 0.0)
        assert world.claim() == []
        self.turn_back(world, limited, 0.5)
        assert len(world.claim()) == 2

    def test_what_was_not_used_is_not_saved_up(self, world: World) -> None:
        limited = world.webhook(rate_limit_per_second=5.0)
        self.turn_back(world, limited, 3600.0)
        world.owe(limited, 50)
        assert len(world.claim()) == 5

    @pytest.mark.parametrize("rate", [0.01, 0.5, 1.0])
    def test_the_slowest_still_gets_one_at_a_time(self, world: World, rate: float) -> None:
        limited = world.webhook(rate_limit_per_second=rate)
        world.owe(limited, 5)
        assert len(world.claim()) == 1
        self.turn_back(world, limited, 0.9 / rate)
        assert world.claim() == []
        self.turn_back(world, limited, 1.1 / rate)
        assert len(world.claim()) == 1

    def test_claimers_at_once_share_one_bucket(self, world: World) -> None:
        limited = world.webhook(rate_limit_per_second=0.01)
        world.owe(limited, 50)
        shares = at_once(*[lambda: world.claim(room=10)] * 6)
        assert sum(map(len, shares)) == 1

    def test_a_limit_can_be_lifted_and_set_again(self, world: World) -> None:
        webhook = world.webhook(rate_limit_per_second=1.0)
        world.owe(webhook, 50)
        assert len(world.claim()) == 1
        world.change_webhook(webhook, rate_limit_per_second=None)
        assert len(world.claim(room=30)) == 30
        world.change_webhook(webhook, rate_limit_per_second=3.0)
        assert len(world.claim()) == 3


class TestLostWorkers:
    def test_the_claim_takes_an_expired_lease_and_says_so(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        (first,) = world.claim()
        assert world.attempts(delivery) == []
        world.expire(delivery)
        (second,) = world.claim()
        assert (second.id, second.attempt) == (delivery, 2)
        assert second.lease_token != first.lease_token
        assert second.message_id == first.message_id
        assert second.body == first.body
        assert world.attempts(delivery) == ["worker_lost"]
        assert world.delivery(delivery).seconds_left > LEASE_SECONDS - SLACK_SECONDS

    def test_claimers_at_once_take_an_expired_lease_once(self, world: World) -> None:
        owed = world.owe(world.webhook(), 20)
        world.claim()
        world.expire(*owed)
        shares = at_once(*[lambda: world.claim(room=10)] * 6)
        assert sorted(one.id for share in shares for one in share) == owed
        assert [world.attempts(delivery) for delivery in owed] == [["worker_lost"]] * 20

    def test_a_backoff_that_is_over_is_no_lost_lease(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        world.complete(*map(retrying, world.claim()))
        (again,) = world.claim()
        assert again.attempt == 2
        assert world.attempts(delivery) == ["server_error"]


class TestStaleTokens:
    """Who lost a lease to another changes nothing, whatever he says."""

    @pytest.fixture
    def stale(self, world: World) -> Claim:
        (delivery,) = world.owe(world.webhook())
        (stale,) = world.claim()
        world.expire(delivery)
        world.claim()
        return stale

    @pytest.mark.parametrize("completion", [delivered, failed, retrying, gone])
    def test_a_completion_changes_nothing(
        self, world: World, stale: Claim, completion: Callable[[Claim], Completion]
    ) -> None:
        before = world.sql("SELECT * FROM pggit.deliveries")
        assert world.complete(completion(stale)) == set()
        assert world.sql("SELECT * FROM pggit.deliveries") == before
        assert world.attempts(stale.id) == ["worker_lost"]
        assert world.one("SELECT is_active FROM pggit.webhooks")

    def test_a_renewal_changes_nothing(self, world: World, stale: Claim) -> None:
        before = world.sql("SELECT * FROM pggit.deliveries")
        assert world.renew(stale) == set()
        assert world.sql("SELECT * FROM pggit.deliveries") == before

    def test_a_release_changes_nothing(self, world: World, stale: Claim) -> None:
        before = world.sql("SELECT * FROM pggit.deliveries")
        world.release(stale)
        assert world.sql("SELECT * FROM pggit.deliveries") == before
        assert world.attempts(stale.id) == ["worker_lost"]

    def test_what_is_finished_stays_so(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        (claimed,) = world.claim()
        assert world.complete(delivered(claimed)) == {delivery}
        before = world.sql("SELECT * FROM pggit.deliveries")
        assert world.complete(failed(claimed)) == set()
        assert world.renew(claimed) == set()
        world.release(claimed)
        assert world.sql("SELECT * FROM pggit.deliveries") == before

    def test_of_two_who_complete_at_once_one_is_heard(self, world: World) -> None:
        owed = world.owe(world.webhook(), 20)
        claimed = world.claim()
        answers = at_once(
            lambda: world.complete(*map(delivered, claimed)),
            lambda: world.complete(*map(failed, claimed)),
        )
        assert sorted(answers[0] | answers[1]) == owed
        assert answers[0] & answers[1] == set()

    def test_live_and_stale_ones_may_come_together(self, world: World) -> None:
        first, second = world.owe(world.webhook(), 2)
        claimed = {one.id: one for one in world.claim()}
        world.expire(first)
        world.claim()
        assert world.renew(*claimed.values()) == {second}
        assert world.complete(*map(delivered, claimed.values())) == {second}


class TestRenewal:
    def test_it_begins_the_lease_anew(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        (claimed,) = world.claim()
        world.sql(
            "UPDATE pggit.alert_delivery_queue"
            " SET next_attempt_at = statement_timestamp() + interval '1 second'"
        )
        assert world.renew(claimed) == {delivery}
        assert world.delivery(delivery).seconds_left > LEASE_SECONDS - SLACK_SECONDS
        assert world.delivery(delivery).attempts_made == 1

    def test_a_lease_that_ran_out_but_nobody_took_is_still_ours(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        (claimed,) = world.claim()
        world.expire(delivery)
        assert world.renew(claimed) == {delivery}
        assert world.claim() == []
        assert world.complete(delivered(claimed)) == {delivery}


class TestCompletion:
    def test_delivered_is_the_end(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        world.complete(*map(delivered, world.claim()))
        row = world.delivery(delivery)
        assert (row.status, row.reason, row.lease_token) == ("delivered", "accepted", None)
        assert row.finished_at is not None
        assert world.claim() == []

    def test_failed_is_the_end(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        world.complete(*map(failed, world.claim()))
        row = world.delivery(delivery)
        assert (row.status, row.reason, row.lease_token) == ("failed", "rejected", None)
        assert row.finished_at is not None
        assert world.claim() == []

    def test_a_retry_waits_for_its_time(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        world.complete(*[retrying(one, 100.0) for one in world.claim()])
        row = world.delivery(delivery)
        assert (row.status, row.reason, row.lease_token) == ("retrying", "server_error", None)
        assert row.finished_at is None
        assert 100.0 - SLACK_SECONDS < row.seconds_left <= 100.0
        assert world.claim() == []
        world.expire(delivery)
        (again,) = world.claim()
        assert again.attempt == 2

    def test_every_attempt_is_logged_with_when_it_began(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        (claimed,) = world.claim()
        world.complete(delivered(claimed))
        assert world.sql(
            "SELECT a.reason, a.http_status, a.latency_ms, a.error, a.body_excerpt,"
            " a.at = q.finished_at - interval '1.5 milliseconds'"
            " FROM pggit.delivery_attempts a JOIN pggit.deliveries q"
            " ON q.id = a.delivery_id WHERE q.id = :id",
            id=delivery,
        ) == [("accepted", 204, 1.5, None, None, True)]

    def test_many_are_recorded_at_once(self, world: World) -> None:
        world.owe(world.webhook(), 300)
        claimed = world.claim()
        ends = [(delivered, failed, retrying)[index % 3](one) for index, one in enumerate(claimed)]
        assert world.complete(*ends) == {one.id for one in claimed}
        assert world.sql("SELECT status, count(*) FROM pggit.deliveries GROUP BY 1 ORDER BY 1") == [
            ("delivered", 100),
            ("failed", 100),
            ("retrying", 100),
        ]
        assert world.one("SELECT count(*) FROM pggit.delivery_attempts") == 300

    def test_nothing_at_all_may_be_recorded(self, world: World) -> None:
        assert world.complete() == set()

    def test_410_disables_the_webhook_and_leaves_what_it_is_owed(self, world: World) -> None:
        webhook = world.webhook(max_in_flight=1)
        first, second = world.owe(webhook, 2)
        version = world.one("SELECT updated_at FROM pggit.webhooks")
        world.complete(*map(gone, world.claim()))
        assert world.one("SELECT is_active, disabled_reason FROM pggit.webhooks") == (False, "gone")
        # Workers keep what they know of a webhook by its version.
        assert world.one("SELECT updated_at FROM pggit.webhooks") > version
        assert world.delivery(first).status == "failed"
        assert world.delivery(second).status == "pending"
        assert world.claim() == []
        world.change_webhook(webhook, is_active=True)
        assert world.one("SELECT disabled_reason FROM pggit.webhooks") is None
        assert [one.id for one in world.claim()] == [second]


class TestRelease:
    def test_it_is_due_at_once_and_says_why(self, world: World) -> None:
        (delivery,) = world.owe(world.webhook())
        (claimed,) = world.claim()
        world.release(claimed)
        row = world.delivery(delivery)
        assert row.is_due
        assert (row.status, row.reason, row.lease_token) == ("retrying", "worker_stopped", None)
        assert world.attempts(delivery) == ["worker_stopped"]
        (again,) = world.claim()
        assert again.lease_token != claimed.lease_token
        assert again.message_id == claimed.message_id


class TestHeldBehind:
    """What is told about one alert reaches a webhook in order."""

    @pytest.fixture
    def webhook(self, world: World) -> int:
        return world.webhook()

    @pytest.fixture
    def alert(self, world: World, webhook: int) -> int:
        return world.alert(webhook_ids=[webhook])

    def statuses(self, world: World, alert: int) -> list[tuple[str, str]]:
        return [(event, status) for event, _webhook, status in world.told(alert)]

    def test_news_waits_behind_what_is_in_flight(self, world: World, alert: int) -> None:
        (firing,) = world.claim()
        world.acknowledge(alert)
        news = world.one("SELECT max(id) FROM pggit.deliveries")
        row = world.delivery(news)
        assert (row.held_behind, row.is_due) == (firing.id, False)
        assert row.reason == "held_behind_earlier"
        assert world.claim() == []
        world.complete(delivered(firing))
        row = world.delivery(news)
        assert (row.held_behind, row.reason) == (None, None)
        assert [one.id for one in world.claim()] == [news]

    def test_it_goes_on_waiting_while_the_earlier_is_retried(
        self, world: World, alert: int
    ) -> None:
        (firing,) = world.claim()
        world.acknowledge(alert)
        world.complete(retrying(firing))
        (again,) = world.claim()
        assert again.id == firing.id
        world.expire(firing.id)
        (once_more,) = world.claim()
        assert once_more.id == firing.id
        world.release(once_more)
        assert [one.id for one in world.claim()] == [firing.id]

    def test_who_never_got_the_firing_is_not_told_of_its_end(
        self, world: World, alert: int
    ) -> None:
        (firing,) = world.claim()
        world.acknowledge(alert)
        world.resolve(alert)
        world.complete(failed(firing))
        # The acknowledgement was never sent, so the resolution took its place in the line.
        assert self.statuses(world, alert) == [
            ("alert.firing", "failed"),
            ("alert.acknowledged", "cancelled"),
            ("alert.resolved", "cancelled"),
        ]
        reasons = world.sql(
            "SELECT reason FROM pggit.deliveries WHERE status = 'cancelled' ORDER BY id"
        )
        assert reasons == [("superseded",), ("never_told",)]
        assert world.claim() == []

    def test_a_whole_line_is_cancelled_with_its_firing(self, world: World, alert: int) -> None:
        """Here the acknowledgement was tried before, so the resolution waits behind it."""
        (firing,) = world.claim()
        world.acknowledge(alert)
        news = world.one("SELECT max(id) FROM pggit.deliveries")
        world.sql("UPDATE pggit.alert_delivery_queue SET attempts_made = 1 WHERE id = :id", id=news)
        world.resolve(alert)
        last = world.one("SELECT max(id) FROM pggit.deliveries")
        assert world.delivery(last).held_behind == news
        world.complete(failed(firing))
        assert self.statuses(world, alert) == [
            ("alert.firing", "failed"),
            ("alert.acknowledged", "cancelled"),
            ("alert.resolved", "cancelled"),
        ]
        assert world.delivery(last).finished_at is not None

    def test_who_got_the_firing_is_told_of_its_end_whatever_came_between(
        self, world: World, alert: int
    ) -> None:
        world.complete(*map(delivered, world.claim()))
        world.acknowledge(alert)
        (news,) = world.claim()
        world.resolve(alert)
        assert world.claim() == []
        world.complete(failed(news))
        (end,) = world.claim()
        world.complete(delivered(end))
        assert self.statuses(world, alert) == [
            ("alert.firing", "delivered"),
            ("alert.acknowledged", "failed"),
            ("alert.resolved", "delivered"),
        ]

    def test_a_firing_that_was_exhausted_by_lost_workers_lets_go_too(
        self, world: World, alert: int
    ) -> None:
        (firing,) = world.claim()
        world.acknowledge(alert)
        world.expire(firing.id)
        (lost,) = world.claim()
        world.complete(failed(lost))
        assert self.statuses(world, alert)[1] == ("alert.acknowledged", "cancelled")

    def test_a_stale_completion_lets_nothing_go(self, world: World, alert: int) -> None:
        (firing,) = world.claim()
        world.acknowledge(alert)
        world.expire(firing.id)
        world.claim()
        world.complete(delivered(firing), failed(firing))
        assert self.statuses(world, alert)[1] == ("alert.acknowledged", "pending")
        assert world.claim() == []

    def test_each_webhook_waits_for_itself(self, world: World, webhook: int) -> None:
        other = world.webhook()
        alert = world.alert(webhook_ids=[webhook, other])
        claimed = {one.webhook_id: one for one in world.claim()}
        world.complete(delivered(claimed[webhook]))
        world.acknowledge(alert)
        assert [one.webhook_id for one in world.claim()] == [webhook]
        world.complete(delivered(claimed[other]))
        assert [one.webhook_id for one in world.claim()] == [other]


def test_a_deleted_webhook_takes_the_lease_of_what_is_in_flight(world: World) -> None:
    webhook = world.webhook()
    owed = world.owe(webhook, 2)
    claimed = world.claim()
    world.delete_webhook(webhook)
    assert world.renew(*claimed) == set()
    assert world.complete(*map(delivered, claimed)) == set()
    for delivery in owed:
        row = world.delivery(delivery)
        assert (row.status, row.reason) == ("cancelled", "webhook_deleted")


class TestLocks:
    """Those who are after the same rows at once wait for each other, and never in a circle."""

    @pytest.mark.parametrize("what", ["complete", "renew", "release", "delete"])
    def test_deliveries_are_locked_in_the_order_of_their_ids(self, world: World, what: str) -> None:
        """Who waits for the first must hold none of the others: an acknowledgement, which locks
        in this order too, may be about to take them."""
        webhook = world.webhook()
        first, *others = world.owe(webhook, 30)
        claimed = world.claim()
        for one in sorted(claimed, key=lambda one: -one.id):
            world.renew(one)  # so that the order on disk is another
        act: dict[str, Callable[[], object]] = {
            "complete": lambda: world.complete(*map(delivered, claimed)),
            "renew": lambda: world.renew(*claimed),
            "release": lambda: world.release(*claimed),
            "delete": lambda: world.delete_webhook(webhook),
        }
        with ThreadPoolExecutor(1) as pool:
            with world.deps.reading() as session:
                lock = text(
                    "SELECT count(*) FROM (SELECT FROM pggit.alert_delivery_queue"
                    " WHERE id = ANY(:ids) FOR UPDATE SKIP LOCKED) AS free"
                )
                assert session.scalar(lock, {"ids": [first]}) == 1
                waiting = pool.submit(act[what])
                eventually(lambda: world.one(WAITERS), what="the wait for the first")
                free = session.scalar(lock, {"ids": others})
            waiting.result()
        assert free == len(others)

    def test_a_completion_and_a_deletion_at_once_have_one_outcome(self, world: World) -> None:
        """410 disables the webhook, and a deletion cancels its deliveries: both touch both."""
        for _round in range(25):
            webhook = world.webhook()
            owed = world.owe(webhook, 4)
            claimed = world.claim()
            at_once(
                partial(world.complete, *map(gone, claimed)),
                partial(world.delete_webhook, webhook),
            )
            statuses = {world.delivery(delivery).status for delivery in owed}
            assert statuses in ({"failed"}, {"cancelled"})
