"""Redrives: what failed is tried again, each once, at a pace that is taken, and in order."""

from typing import Any

import pytest

from app.domain.alerts import EventType
from app.errors import Conflict
from app.services import redrive
from app.services.claims import record_delivered
from app.services.deliveries import retry_delivery
from app.services.lifecycle import resolve
from app.services.raising import Draft
from app.services.redriving import LEAST_SCANNED, advance
from app.services.webhooks import delete_webhook
from tests.services.redriving import (
    cancel,
    fail,
    failures,
    letters,
    look,
    preview,
    requeued,
    seen,
    start,
)
from tests.services.world import World, at_once, delivered, failed, overlapping, retrying

# Room for one window of 8 × this.
NARROW: dict[str, Any] = {"max_in_flight": 1}


def deliver_all(world: World) -> list[int]:
    """Deliver what is due until nothing is; the ids in their order."""
    done: list[int] = []
    while claimed := world.claim():
        world.complete(*[delivered(one) for one in claimed])
        done += [one.id for one in claimed]
    return done


class TestWhatMatches:
    @pytest.fixture
    def ended(self, world: World) -> dict[str, int]:
        """A delivery of each kind, by a name; `first` and `second` are webhooks."""
        first, second = world.webhook(), world.webhook()
        (rejected,) = failures(world, first)
        ((alert, _),) = world.raise_alerts(Draft("x", "info", webhook_ids=[second]))
        (info,) = [one.id for one in world.claim()]
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET lease_token = NULL, status = 'failed',"
            " reason = 'attempts_exhausted', finished_at = now() - interval '2 days'"
            " WHERE id = :id",
            id=info,
        )
        (cancelled,) = world.owe(second)
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET status = 'cancelled',"
            " reason = 'webhook_disabled', finished_at = now() WHERE id = :id",
            id=cancelled,
        )
        (done,) = world.owe(first)
        world.complete(*[delivered(one) for one in world.claim()])
        world.owe(first)
        return {
            "first": first,
            "second": second,
            "alert": alert,
            "rejected": rejected,
            "info": info,
            "cancelled": cancelled,
            "delivered": done,
        }

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, ["rejected", "info"]),
            ({"status": ["failed"]}, ["rejected", "info"]),
            ({"status": ["cancelled"]}, ["cancelled"]),
            ({"status": ["failed", "cancelled"]}, ["rejected", "info", "cancelled"]),
            ({"reason": ["attempts_exhausted"]}, ["info"]),
            ({"reason": ["attempts_exhausted", "rejected"]}, ["rejected", "info"]),
            ({"severity": ["critical"]}, ["rejected"]),
            ({"severity": ["info", "warning"]}, ["info"]),
            ({"type": [EventType.FIRING]}, ["rejected", "info"]),
            ({"type": [EventType.RESOLVED]}, []),
            ({"severity": ["info"], "reason": ["rejected"]}, []),
        ],
    )
    def test_by_filter(
        self, world: World, ended: dict[str, int], filters: dict[str, Any], expected: list[str]
    ) -> None:
        wanted = sorted(ended[name] for name in expected)
        assert letters(world, **filters) == wanted
        assert preview(world, **filters).counts.total == len(wanted)

    def test_by_webhook_alert_and_time(self, world: World, ended: dict[str, int]) -> None:
        yesterday = world.one("SELECT now() - interval '1 day'")
        assert letters(world, webhook_id=[ended["first"]]) == [ended["rejected"]]
        assert letters(world, alert_id=[ended["alert"]]) == [ended["info"]]
        assert letters(world, since=yesterday) == [ended["rejected"]]
        assert letters(world, until=yesterday) == [ended["info"]]

    def test_a_preview_counts_exactly_and_changes_nothing(
        self, world: World, ended: dict[str, int]
    ) -> None:
        before = world.sql("SELECT * FROM pggit.alert_delivery_queue ORDER BY id")
        many = failures(world, ended["second"], 12)
        middle = world.sql("SELECT * FROM pggit.alert_delivery_queue ORDER BY id")

        found = preview(world, status=["failed", "cancelled"])

        assert found.counts.total == 15
        assert [(one.id, count) for one, count in found.counts.by_webhook] == [
            (ended["second"], 14),
            (ended["first"], 1),
        ]
        assert found.counts.by_reason == [
            ("rejected", 13),
            ("attempts_exhausted", 1),
            ("webhook_disabled", 1),
        ]
        ids = sorted([ended["rejected"], ended["info"], ended["cancelled"], *many])
        assert [view.row.id for view in found.sample] == ids[:10]
        assert world.sql("SELECT * FROM pggit.alert_delivery_queue ORDER BY id") == middle
        assert len(middle) == len(before) + 12
        assert world.sql("SELECT * FROM pggit.redrives") == []

    def test_of_nothing_there_is_nothing(self, world: World) -> None:
        found = preview(world)
        assert (found.counts.total, found.counts.by_webhook, found.sample) == (0, [], [])
        view = seen(world, start(world))
        assert (view.row.status, view.row.total, list(view.shares)) == ("finished", 0, [])


class TestWhatIsTriedAgain:
    def test_it_is_the_same_message_with_its_whole_schedule(self, world: World) -> None:
        (delivery,) = failures(world, world.webhook())
        before = world.delivery(delivery)
        redriven = start(world, webhook_id=[before.webhook_id])
        assert look(world) == 1

        after = world.delivery(delivery)
        assert (after.status, after.reason, after.redrive_id) == ("retrying", "redriven", redriven)
        assert (after.finished_at, after.attempts_made, after.is_due) == (None, 0, True)
        (claimed,) = world.claim()
        assert (claimed.id, claimed.attempt) == (delivery, 1)
        assert claimed.message_id == before.webhook_message_id
        world.complete(retrying(claimed))
        # Nor does a further try of it go before what is fresh.
        assert world.one("SELECT rank_at = next_attempt_at FROM pggit.alert_delivery_queue")
        deliver_all(world)
        view = seen(world, redriven)
        assert (view.row.status, view.requeued, view.by_status) == ("finished", 1, {"delivered": 1})
        assert world.attempts(delivery) == ["rejected", "server_error", "accepted"]

    def test_what_fails_again_is_counted_and_can_be_redriven_again(self, world: World) -> None:
        webhook = world.webhook()
        ids = failures(world, webhook, 3)
        first = start(world)
        assert look(world) == 3
        fail(world, ids[:2])
        assert seen(world, first).by_status == {"failed": 2, "retrying": 1}

        second = start(world)
        assert look(world) == 2
        assert seen(world, second).row.total == 2
        assert deliver_all(world)
        assert seen(world, second).by_status == {"delivered": 2}
        # The first has lost sight of those.
        assert (seen(world, first).requeued, seen(world, first).by_status) == (3, {"delivered": 1})

    def test_what_fails_after_it_was_begun_is_not_its_business(self, world: World) -> None:
        webhook = world.webhook()
        early = failures(world, webhook, 2)
        redriven = start(world)
        failures(world, webhook, 2)
        assert look(world) == 2
        assert requeued(world) == early
        assert (seen(world, redriven).row.status, seen(world, redriven).requeued) == ("finished", 2)

    def test_of_two_that_want_the_same_one_has_each(self, world: World) -> None:
        ids = failures(world, world.webhook(), 4)
        one, other = start(world), start(world)
        assert look(world) == 4
        assert requeued(world) == ids
        views = [seen(world, one), seen(world, other)]
        assert sorted(view.requeued for view in views) == [0, 4]
        assert sorted(dict(view.skipped).get("changed_meanwhile", 0) for view in views) == [0, 4]

    def test_what_was_retried_by_hand_meanwhile_is_left_alone(self, world: World) -> None:
        first, second = failures(world, world.webhook(), 2)
        redriven = start(world)
        answer = overlapping(
            world,
            lambda work: retry_delivery(work.session, work.events, first),
            lambda: look(world),
        )
        assert answer == 1
        assert requeued(world) == [second]
        assert world.delivery(first).reason == "retried_by_hand"
        assert seen(world, redriven).skipped == {"changed_meanwhile": 1}


class TestPace:
    def test_no_more_is_requeued_than_a_webhook_has_room_for(self, world: World) -> None:
        webhook = world.webhook(**NARROW)
        ids = failures(world, webhook, 20)
        redriven = start(world)
        assert look(world) == 8
        assert requeued(world) == ids[:8]
        # None went out, so there is no room.
        assert look(world) == 0
        (claimed,) = world.claim()
        # In flight still counts.
        assert look(world) == 0
        world.complete(delivered(claimed))
        assert look(world) == 1
        for _ in range(20):
            deliver_all(world)
            look(world)
        view = seen(world, redriven)
        assert (view.row.status, view.requeued, view.by_status) == (
            "finished",
            20,
            {"delivered": 20},
        )

    def test_a_rate_narrows_it(self, world: World) -> None:
        failures(world, world.webhook(max_in_flight=100), 30)
        world.sql("UPDATE pggit.webhooks SET rate_limit_per_second = 5")
        start(world)
        assert look(world) == 10

    def test_a_closed_gate_gets_one_for_its_trial(self, world: World) -> None:
        failures(world, world.webhook(), 5)
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET gate = 'closed',"
            " reopens_at = now() + interval '1 minute'"
        )
        start(world)
        assert [look(world) for _ in range(3)] == [1, 0, 0]

    def test_a_webhook_that_is_down_keeps_nobody_waiting(self, world: World) -> None:
        down, well = world.webhook(**NARROW), world.webhook(**NARROW)
        failures(world, down, 10)
        ids = failures(world, well, 10)
        world.sql(
            "UPDATE pggit_traffic.webhook_traffic SET gate = 'closed',"
            " reopens_at = now() + interval '1 hour' WHERE webhook_id = :id",
            id=down,
        )
        redriven = start(world)
        for _ in range(12):
            look(world)
            deliver_all(world)
        by_webhook = {share.webhook_id: share for share in seen(world, redriven).shares}
        assert (by_webhook[well].requeued, by_webhook[down].requeued) == (len(ids), 1)
        assert by_webhook[well].finished_at is not None
        assert by_webhook[down].finished_at is None

    def test_what_backs_off_leaves_room_up_to_a_limit(self, world: World) -> None:
        failures(world, world.webhook(**NARROW), 90)
        start(world)
        for _ in range(200):
            look(world)
            claimed = world.claim()
            if not claimed:
                break
            world.complete(*[retrying(one, 3600) for one in claimed])
        assert len(requeued(world)) == 80

    def test_what_is_fresh_goes_first(self, world: World) -> None:
        webhook = world.webhook(max_in_flight=2)
        failures(world, webhook, 10)
        start(world)
        assert look(world) == 10
        fresh = world.owe(webhook, 2)
        assert sorted(one.id for one in world.claim()) == fresh

    def test_what_is_fresh_fills_the_room(self, world: World) -> None:
        webhook = world.webhook(**NARROW)
        failures(world, webhook, 10)
        world.owe(webhook, 6)
        start(world)
        assert look(world) == 2

    def test_it_stays_far_below_the_queues_limit(self, world: World) -> None:
        failures(world, world.webhook(), 20)
        world.owe(world.webhook(), 3)
        start(world)
        assert look(world, queue_limit=20) == 7
        assert look(world, queue_limit=20) == 0
        deliver_all(world)
        assert look(world, queue_limit=20) == 10


class TestWebhooksThatAreNotToBeTold:
    def test_their_share_is_skipped_and_says_why(self, world: World) -> None:
        active, inactive, gone = world.webhook(), world.webhook(), world.webhook()
        for webhook in (active, inactive, gone):
            failures(world, webhook, 2)
        world.change_webhook(inactive, is_active=False)
        world.delete_webhook(gone)
        redriven = start(world)
        assert look(world) == 2
        view = seen(world, redriven)
        assert view.row.status == "finished"
        assert view.skipped == {"webhook_inactive": 2, "webhook_deleted": 2}
        assert {share.webhook_id: share.skipped for share in view.shares} == {
            active: {},
            inactive: {"webhook_inactive": 2},
            gone: {"webhook_deleted": 2},
        }

    def test_also_when_that_happens_on_the_way(self, world: World) -> None:
        webhook = world.webhook(**NARROW)
        failures(world, webhook, 10)
        redriven = start(world)
        assert look(world) == 8
        world.change_webhook(webhook, is_active=False)
        assert look(world) == 0
        view = seen(world, redriven)
        assert (view.row.status, view.requeued, view.skipped) == (
            "finished",
            8,
            {"webhook_inactive": 2},
        )
        # What was requeued before is owed, as all else to a webhook that sleeps.
        assert len(requeued(world)) == 8

    def test_one_that_is_deleted_at_the_same_time_is_owed_nothing(self, world: World) -> None:
        webhook = world.webhook()
        failures(world, webhook, 2)
        redriven = start(world)
        overlapping(
            world,
            lambda work: delete_webhook(work.session, work.now, work.events, webhook),
            lambda: look(world),
        )
        look(world)
        assert requeued(world) == []
        assert seen(world, redriven).skipped == {"webhook_deleted": 2}


class TestOrder:
    """News of one alert reaches a webhook in order, and nothing is told that is over."""

    def test_a_firing_whose_alert_is_over_is_passed_over(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(webhook_ids=[webhook])
        (claimed,) = world.claim()
        world.complete(failed(claimed))
        world.resolve(alert)
        redriven = start(world)
        assert look(world) == 0
        assert seen(world, redriven).skipped == {"superseded": 1}

        asked_for = start(world, include_superseded=True)
        assert look(world) == 1
        assert seen(world, asked_for).requeued == 1

    def test_what_is_passed_over_is_counted_once(self, world: World) -> None:
        webhook = world.webhook(**NARROW)
        failures(world, webhook, 5)
        world.sql("UPDATE pggit.alerts SET status = 'resolved'")
        failures(world, webhook, 20)
        redriven = start(world)
        for _ in range(25):
            look(world)
            deliver_all(world)
        view = seen(world, redriven)
        assert (view.row.status, view.requeued, view.skipped) == (
            "finished",
            20,
            {"superseded": 5},
        )

    def test_however_many_are_passed_over_the_others_are_reached(self, world: World) -> None:
        webhook = world.webhook()
        failures(world, webhook, 2 * LEAST_SCANNED)
        world.sql("UPDATE pggit.alerts SET status = 'resolved'")
        (wanted,) = failures(world, webhook)
        world.change_webhook(webhook, **NARROW)
        redriven = start(world)
        for _ in range(5):
            look(world)
        view = seen(world, redriven)
        assert (view.row.status, dict(view.skipped)) == (
            "finished",
            {"superseded": 2 * LEAST_SCANNED},
        )
        assert requeued(world) == [wanted]

    def test_that_an_alert_is_over_is_told_again(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(webhook_ids=[webhook])
        deliver_all(world)
        world.resolve(alert)
        (claimed,) = world.claim()
        world.complete(failed(claimed))
        start(world)
        assert look(world) == 1
        deliver_all(world)
        assert [status for _, _, status in world.told(alert)] == ["delivered"] * 2

    def test_what_later_news_has_overtaken_is_passed_over(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(webhook_ids=[webhook])
        deliver_all(world)
        world.acknowledge(alert)
        (acknowledgement,) = world.claim()
        world.complete(failed(acknowledgement))
        world.resolve(alert)
        overtaken_by_open = start(world, include_superseded=True)
        assert look(world) == 0
        deliver_all(world)
        overtaken_by_told = start(world, include_superseded=True)
        assert look(world) == 0
        for redriven in (overtaken_by_open, overtaken_by_told):
            assert seen(world, redriven).skipped == {"overtaken": 1}

    @pytest.fixture
    def beginning_and_end(self, world: World) -> tuple[int, int, int]:
        """An alert that failed to be told, so that its acknowledgement had no point either: the
        alert and the two deliveries."""
        alert = world.alert(webhook_ids=[world.webhook()])
        (firing,) = world.claim()
        world.acknowledge(alert)
        world.complete(failed(firing))
        assert [status for _, _, status in world.told(alert)] == ["failed", "cancelled"]
        first, second = (
            row[0] for row in world.sql("SELECT id FROM pggit.alert_delivery_queue ORDER BY id")
        )
        return alert, first, second

    def test_both_go_one_behind_the_other(
        self, world: World, beginning_and_end: tuple[int, int, int]
    ) -> None:
        _alert, firing, acknowledgement = beginning_and_end
        start(world, status=["failed", "cancelled"])
        assert look(world) == 2
        held = world.delivery(acknowledgement)
        assert (held.held_behind, held.reason) == (firing, "held_behind_earlier")
        assert held.next_attempt_at is None
        assert deliver_all(world) == [firing, acknowledgement]

    def test_when_the_first_fails_again_the_second_ends_with_it(
        self, world: World, beginning_and_end: tuple[int, int, int]
    ) -> None:
        _alert, firing, acknowledgement = beginning_and_end
        redriven = start(world, status=["failed", "cancelled"])
        look(world)
        fail(world, [firing])
        assert world.delivery(acknowledgement).reason == "never_told"
        assert seen(world, redriven).by_status == {"failed": 1, "cancelled": 1}

    def test_the_first_may_be_delivered_while_the_second_is_requeued(
        self, world: World, beginning_and_end: tuple[int, int, int]
    ) -> None:
        _alert, _firing, acknowledgement = beginning_and_end
        start(world)
        look(world)
        (again,) = world.claim()
        start(world, status=["cancelled"])
        answer = overlapping(
            world,
            lambda work: record_delivered(work.session, [delivered(again)]),
            lambda: look(world),
        )
        assert answer == 1
        assert deliver_all(world) == [acknowledgement]

    def test_an_end_without_its_beginning_is_passed_over(
        self, world: World, beginning_and_end: tuple[int, int, int]
    ) -> None:
        redriven = start(world, status=["cancelled"])
        assert look(world) == 0
        assert seen(world, redriven).skipped == {"never_told": 1}

    def test_nor_is_order_broken_by_hand(
        self, world: World, beginning_and_end: tuple[int, int, int]
    ) -> None:
        _alert, firing, acknowledgement = beginning_and_end

        def retry(delivery_id: int) -> None:
            with world.deps.unit_of_work() as work:
                retry_delivery(work.session, work.events, delivery_id)

        with pytest.raises(Conflict, match="never told"):
            retry(acknowledgement)
        retry(firing)
        with pytest.raises(Conflict, match="waits for an earlier message"):
            retry(acknowledgement)
        deliver_all(world)
        retry(acknowledgement)
        assert deliver_all(world) == [acknowledgement]

    def test_nor_is_what_was_overtaken_told_by_hand(self, world: World) -> None:
        alert = world.alert(webhook_ids=[world.webhook()])
        deliver_all(world)
        world.acknowledge(alert)
        (acknowledgement,) = world.claim()
        world.complete(failed(acknowledgement))
        world.resolve(alert)
        for _owed_then_told in range(2):
            with world.deps.unit_of_work() as work, pytest.raises(Conflict, match="later news"):
                retry_delivery(work.session, work.events, acknowledgement.id)
            deliver_all(world)

    def test_news_that_comes_while_it_is_open_waits_behind_it(self, world: World) -> None:
        alert = world.alert(webhook_ids=[world.webhook()])
        (firing,) = world.claim()
        world.complete(failed(firing))
        start(world)
        look(world)
        (again,) = world.claim()
        world.acknowledge(alert)
        assert world.claim() == []
        world.complete(delivered(again))
        (acknowledgement,) = world.claim()
        assert b"alert.acknowledged" in acknowledgement.body

    def test_resolving_it_before_it_has_left_again_takes_it_back(self, world: World) -> None:
        alert = world.alert(webhook_ids=[world.webhook()])
        (firing,) = world.claim()
        world.complete(failed(firing))
        start(world)
        look(world)
        world.resolve(alert)
        assert world.claim() == []
        assert world.delivery(firing.id).reason == "superseded"

    def test_resolving_it_at_the_same_time_never_leaves_it_to_be_told(self, world: World) -> None:
        alert = world.alert(webhook_ids=[world.webhook()])
        (firing,) = world.claim()
        world.complete(failed(firing))
        redriven = start(world)
        answer = overlapping(
            world,
            lambda work: resolve(work.session, work.now, work.events, alert, "tester"),
            lambda: look(world),
        )
        assert answer == 0
        assert seen(world, redriven).skipped == {"superseded": 1}
        assert world.claim() == []

    def test_a_reminder_is_over_once_somebody_has_seen_to_it(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(webhook_ids=[webhook])
        deliver_all(world)
        (event,) = world.sql(
            "INSERT INTO pggit.alert_events (alert_id, type, body, follow_up_id)"
            " VALUES (:alert, 'alert.firing', '{}', 1) RETURNING id",
            alert=alert,
        )[0]
        world.sql(
            "INSERT INTO pggit.alert_delivery_queue (event_id, webhook_id)"
            " VALUES (:event, :webhook)",
            event=event,
            webhook=webhook,
        )
        (reminder,) = world.claim()
        world.complete(failed(reminder))
        world.sql("UPDATE pggit.alerts SET status = 'acknowledged'")
        redriven = start(world)
        assert look(world) == 0
        assert seen(world, redriven).skipped == {"superseded": 1}

    def test_what_is_snoozed_waits_for_the_end_of_it(self, world: World) -> None:
        (delivery,) = failures(world, world.webhook())
        until = world.one(
            "UPDATE pggit.alerts SET snoozed_until = now() + interval '1 hour'"
            " RETURNING snoozed_until"
        )
        start(world)
        assert look(world) == 1
        row = world.delivery(delivery)
        assert (row.next_attempt_at, row.is_due) == (until, False)
        assert world.claim() == []

    def test_what_has_expired_stays_so(self, world: World) -> None:
        late, early = failures(world, world.webhook(), 2)
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET expires_at = CASE WHEN id = :late"
            " THEN now() ELSE now() + interval '1 hour' END",
            late=late,
        )
        redriven = start(world)
        assert look(world) == 1
        assert requeued(world) == [early]
        assert seen(world, redriven).skipped == {"expired": 1}

    def test_what_the_purge_may_be_taking_is_left_to_it(self, world: World) -> None:
        failures(world, world.webhook())
        world.sql("UPDATE pggit.alerts SET created_at = now() - interval '29 days 23 hours 30 min'")
        redriven = start(world)
        assert look(world) == 0
        assert seen(world, redriven).skipped == {"past_retention": 1}


class TestGroups:
    """A message that tells of several alerts, told by a group."""

    @pytest.fixture
    def group(self, world: World) -> tuple[int, list[int], int]:
        """Its webhook, its alerts, and the delivery of their firing, which failed."""
        webhook, other = world.webhook(), world.webhook(is_active=False)
        world.change_webhook(other, is_active=True)
        alerts = [world.alert(webhook_ids=[other]) for _ in range(2)]
        world.sql(
            "WITH rule AS (INSERT INTO pggit.routing_rules (name, webhook_ids, group_by)"
            " VALUES ('r', ARRAY[CAST(:webhook AS bigint)], '{}') RETURNING id),"
            " g AS (INSERT INTO pggit.alert_groups (rule_id, key, labels)"
            " SELECT id, '{}', '{}' FROM rule RETURNING id),"
            " e AS (INSERT INTO pggit.alert_events (alert_id, type, body, group_id)"
            " SELECT :alert, 'alert.firing', '{}', id FROM g RETURNING id, group_id),"
            " n AS (INSERT INTO pggit.alert_group_news (group_id, alert_id, type, event_id)"
            " SELECT e.group_id, a, 'alert.firing', e.id"
            " FROM e, unnest(CAST(:alerts AS bigint[])) AS a)"
            " INSERT INTO pggit.alert_delivery_queue (event_id, webhook_id)"
            " SELECT id, :webhook FROM e",
            webhook=webhook,
            alert=alerts[0],
            alerts=alerts,
        )
        (delivery,) = [one for one in world.claim() if one.webhook_id == webhook]
        world.complete(failed(delivery))
        return webhook, alerts, delivery.id

    def test_it_goes_as_long_as_one_of_them_is_open(
        self, world: World, group: tuple[int, list[int], int]
    ) -> None:
        webhook, alerts, delivery = group
        world.sql("UPDATE pggit.alerts SET status = 'resolved' WHERE id = :id", id=alerts[0])
        start(world, webhook_id=[webhook])
        assert look(world) == 1
        assert requeued(world) == [delivery]

    def test_when_all_are_over_it_is_passed_over(
        self, world: World, group: tuple[int, list[int], int]
    ) -> None:
        webhook, _alerts, _delivery = group
        world.sql("UPDATE pggit.alerts SET status = 'resolved'")
        redriven = start(world, webhook_id=[webhook])
        assert look(world) == 0
        assert seen(world, redriven).skipped == {"superseded": 1}


class TestCancel:
    def test_what_has_not_been_attempted_has_failed_again(self, world: World) -> None:
        ids = failures(world, world.webhook(**NARROW), 12)
        redriven = start(world)
        assert look(world) == 8
        (in_flight,) = world.claim()
        view = cancel(world, redriven)
        assert (view.row.status, view.by_status) == ("cancelled", {"retrying": 1, "failed": 7})
        assert view.row.finished_at is not None
        assert {world.delivery(one).reason for one in ids[1:8]} == {"redrive_cancelled"}
        # What was never requeued is as it was.
        assert {world.delivery(one).reason for one in ids[8:]} == {"rejected"}
        assert look(world) == 0
        world.complete(delivered(in_flight))
        assert seen(world, redriven).by_status == {"delivered": 1, "failed": 7}
        # All that was given up is a dead letter still, and can be redriven.
        assert letters(world) == ids[1:]

    def test_what_waits_behind_it_ends_with_it(self, world: World) -> None:
        alert = world.alert(webhook_ids=[world.webhook()])
        (firing,) = world.claim()
        world.complete(failed(firing))
        redriven = start(world)
        look(world)
        world.acknowledge(alert)
        cancel(world, redriven)
        assert [status for _, _, status in world.told(alert)] == ["failed", "cancelled"]
        assert world.claim() == []

    def test_what_was_retried_by_hand_goes_on(self, world: World) -> None:
        (delivery,) = failures(world, world.webhook())
        redriven = start(world)
        look(world)
        world.sql("UPDATE pggit.alert_delivery_queue SET reason = 'retried_by_hand'")
        assert cancel(world, redriven).row.status == "finished"
        assert world.delivery(delivery).status == "retrying"

    def test_twice_is_no_error_and_what_is_over_stays_over(self, world: World) -> None:
        failures(world, world.webhook())
        redriven = start(world)
        first, second = cancel(world, redriven), cancel(world, redriven)
        assert first.row.status == "cancelled"
        assert second.row.finished_at == first.row.finished_at
        done = start(world)
        look(world)
        deliver_all(world)
        assert cancel(world, done).row.status == "finished"

    @pytest.mark.parametrize("round_", range(5))
    def test_while_it_is_being_carried_out(self, world: World, round_: int) -> None:
        for webhook in (world.webhook(**NARROW), world.webhook(**NARROW)):
            failures(world, webhook, 5)
        redriven = start(world)
        at_once(lambda: cancel(world, redriven), lambda: look(world), lambda: look(world))
        assert requeued(world) == []
        assert look(world) == 0
        assert len(letters(world)) == 10
        assert seen(world, redriven).row.status == "cancelled"


class TestWhoeverIsKilled:
    def test_another_goes_on_where_it_was(self, world: World) -> None:
        """A new agenda at every look: what it knows is in the rows."""
        ids = failures(world, world.webhook(**NARROW), 30)
        redriven = start(world)
        attempted: list[int] = []
        while seen(world, redriven).row.status == "running":
            look(world)
            attempted += deliver_all(world)
        assert attempted == ids
        assert seen(world, redriven).requeued == 30

    def test_who_dies_before_the_commit_has_done_nothing(self, world: World) -> None:
        ids = failures(world, world.webhook(), 5)
        redriven = start(world)
        (share,) = seen(world, redriven).shares

        class Killed(Exception):
            pass

        def requeue_and_die() -> None:
            with world.deps.unit_of_work() as work:
                assert advance(work.session, work.now, work.events, share.id, 1000) == 5
                raise Killed

        with pytest.raises(Killed):
            requeue_and_die()
        assert requeued(world) == []
        assert seen(world, redriven).requeued == 0
        assert look(world) == 5
        assert deliver_all(world) == ids

    def test_many_at_once_requeue_each_once(self, world: World) -> None:
        webhooks = [world.webhook(**NARROW) for _ in range(3)]
        ids = sorted(one for webhook in webhooks for one in failures(world, webhook, 8))
        redriven = start(world)
        counts = at_once(*[lambda: look(world)] * 4)
        assert sum(counts) == len(ids)
        assert requeued(world) == ids
        view = seen(world, redriven)
        assert (view.row.status, view.requeued) == ("finished", 24)

    def test_of_the_last_two_shares_that_end_at_once_one_is_the_last(self, world: World) -> None:
        for _ in range(2):
            failures(world, world.webhook())
        redriven = start(world)
        first, second = (share.id for share in seen(world, redriven).shares)

        def end_the_second() -> None:
            with world.deps.unit_of_work() as work:
                advance(work.session, work.now, work.events, second, 1000)

        overlapping(
            world,
            lambda work: advance(work.session, work.now, work.events, first, 1000),
            end_the_second,
        )
        assert seen(world, redriven).row.status == "finished"

    def test_nobody_waits_for_who_has_a_share(self, world: World) -> None:
        failures(world, world.webhook())
        redriven = start(world)
        (share,) = seen(world, redriven).shares
        with world.deps.unit_of_work() as mine, world.deps.unit_of_work() as theirs:
            assert advance(mine.session, mine.now, mine.events, share.id, 1000) == 1
            assert advance(theirs.session, theirs.now, theirs.events, share.id, 1000) == 0


def test_filters_are_kept_as_they_were(world: World) -> None:
    now = world.one("SELECT now()")
    filters = {"since": now, "until": now, "status": ["failed"], "webhook_id": [1]}
    assert redrive.read(redrive.stored(filters)) == filters
