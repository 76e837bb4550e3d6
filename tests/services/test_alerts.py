"""Alerts: who is told of what, once, in order, and all of it or nothing of it committed."""

import json
from functools import partial
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.adapters.queue import Message
from app.deps import Deps, build
from app.domain.events import ChecksDue, DeliveriesQueued
from app.errors import Conflict, Invalid, NotFound
from app.services import alerts, lifecycle, raising
from app.services.alert_lists import list_alerts
from app.services.claims import Claim
from app.services.idempotency import answer_once
from app.services.paging import PageRequest
from app.services.raising import Draft
from app.settings import Settings
from tests.harness.waiting import eventually
from tests.services.world import World, at_once, delivered, failed, retrying

FIRING, ACKNOWLEDGED, RESOLVED = "alert.firing", "alert.acknowledged", "alert.resolved"


def events_of(world: World, alert: int) -> list[tuple[str, str]]:
    """Event type and status of every delivery of an alert with one webhook."""
    return [(event, status) for event, _webhook, status in world.told(alert)]


def status_of(world: World, alert: int) -> str:
    return str(world.one("SELECT status FROM pggit.alerts WHERE id = :id", id=alert))


class TestRaising:
    def test_every_active_webhook_is_told(self, world: World) -> None:
        first, second = world.webhook(), world.webhook()
        world.webhook(is_active=False)
        world.delete_webhook(world.webhook())
        alert = world.alert()
        assert world.told(alert) == [
            (FIRING, first, "pending"),
            (FIRING, second, "pending"),
        ]

    def test_the_one_it_is_about_is_not(self, world: World) -> None:
        sick, well = world.webhook(), world.webhook()
        assert world.told(world.alert(not_to=sick)) == [(FIRING, well, "pending")]

    def test_chosen_ones_are_told_once_each_and_nobody_else(self, world: World) -> None:
        first, second = world.webhook(), world.webhook()
        world.webhook()
        alert = world.alert(webhook_ids=[second, first, second])
        assert sorted(webhook for _, webhook, _ in world.told(alert)) == [first, second]

    def test_nobody_chosen_is_nobody_told(self, world: World) -> None:
        world.webhook()
        assert world.told(world.alert(webhook_ids=[])) == []

    def test_without_webhooks_it_is_an_alert_all_the_same(self, world: World) -> None:
        alert = world.alert()
        assert status_of(world, alert) == "pending"
        assert world.told(alert) == []

    def test_the_first_attempt_waits_as_the_schedule_says(self, world: World) -> None:
        patient = world.webhook(retry_schedule_seconds=[100, 5])
        hasty = world.webhook()
        world.alert()
        waits = dict(
            world.sql(
                "SELECT webhook_id, extract(epoch FROM next_attempt_at - created_at)::int"
                " FROM pggit.deliveries"
            )
        )
        assert waits == {patient: 100, hasty: 0}

    def test_the_message_is_the_alert_as_it_was_raised(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(
            title="Größe 🚨",
            severity="warning",
            message="m",
            source="s",
            labels={"a": "b"},
            dedup_key="k",
            webhook_ids=[webhook],
        )
        (claimed,) = world.claim()
        message = json.loads(claimed.body)
        assert message["type"] == FIRING
        assert set(message) == {"type", "timestamp", "data"}
        expected = {
            "id": alert,
            "title": "Größe 🚨",
            "severity": "warning",
            "message": "m",
            "source": "s",
            "labels": {"a": "b"},
            "dedup_key": "k",
            "webhook_ids": [webhook],
            "count": 1,
            "status": "pending",
        }
        assert message["data"] | expected == message["data"]

    def test_many_at_once_come_back_in_their_order(self, world: World) -> None:
        world.webhook()
        drafts = [
            Draft(str(number), "info", dedup_key=f"key-{-number}" if number % 3 else None)
            for number in range(30)
        ]
        raised = world.raise_alerts(*drafts)
        titles = dict(world.sql("SELECT id, title FROM pggit.alerts"))
        assert [titles[alert] for alert, _ in raised] == [draft.title for draft in drafts]
        assert all(is_new for _, is_new in raised)

    def test_unknown_targets_are_named(self, world: World) -> None:
        known, inactive = world.webhook(), world.webhook(is_active=False)
        deleted = world.webhook()
        world.delete_webhook(deleted)
        wanted = [known, inactive, deleted, 10**12]
        with world.deps.unit_of_work() as work:
            unknown = raising.unknown_targets(work.session, wanted)
        assert unknown == {inactive, deleted, 10**12}
        raising.check_draft(unknown, Draft("x", "info", webhook_ids=[known]), work.now)
        with pytest.raises(Invalid) as refusal:
            raising.check_draft(unknown, Draft("x", "info", webhook_ids=wanted), work.now)
        assert refusal.value.errors == {
            "webhook_ids": [f"There is no active webhook {inactive}, {deleted}, {10**12}."]
        }

    def test_a_webhook_that_is_deleted_meanwhile_is_owed_nothing_for_ever(
        self, world: World
    ) -> None:
        for _round in range(25):
            webhook = world.webhook()
            at_once(world.alert, partial(world.delete_webhook, webhook))
            open_ones = world.one(
                "SELECT count(*) FROM pggit.deliveries"
                " WHERE webhook_id = :id AND status IN ('pending', 'retrying')",
                id=webhook,
            )
            assert open_ones == 0


class TestDeduplication:
    def test_an_open_one_is_counted_up_and_told_once(self, world: World) -> None:
        world.webhook()
        draft = Draft("Disk almost full", "critical", dedup_key="disk")
        ((first, is_new),) = world.raise_alerts(draft)
        ((second, is_new_too),) = world.raise_alerts(draft)
        assert (first, is_new, is_new_too) == (second, True, False)
        assert world.one("SELECT count FROM pggit.alerts") == 2
        assert events_of(world, first) == [(FIRING, "pending")]

    def test_an_acknowledged_one_is_open(self, world: World) -> None:
        alert = world.alert(dedup_key="disk")
        world.acknowledge(alert)
        assert world.alert(dedup_key="disk") == alert
        assert status_of(world, alert) == "acknowledged"

    def test_a_resolved_one_is_not(self, world: World) -> None:
        alert = world.alert(dedup_key="disk")
        world.resolve(alert)
        assert world.alert(dedup_key="disk") != alert

    def test_within_one_batch_too(self, world: World) -> None:
        world.webhook()
        draft = Draft("Disk almost full", "critical", dedup_key="disk")
        (first, is_new), (second, is_new_too) = world.raise_alerts(draft, draft)
        assert (first, is_new, is_new_too) == (second, True, False)
        assert events_of(world, first) == [(FIRING, "pending")]

    def test_other_keys_and_none_are_others(self, world: World) -> None:
        ids = {world.alert(dedup_key=key) for key in ("a", "b", None, None)}
        assert len(ids) == 4

    def test_of_many_at_once_one_is_new(self, world: World) -> None:
        world.webhook()
        draft = Draft("Disk almost full", "critical", dedup_key="disk")
        raised = at_once(*[lambda: world.raise_alerts(draft)[0]] * 10)
        assert len({alert for alert, _ in raised}) == 1
        assert sum(is_new for _, is_new in raised) == 1
        assert world.one("SELECT count FROM pggit.alerts") == 10
        assert events_of(world, raised[0][0]) == [(FIRING, "pending")]

    def test_batches_with_the_same_keys_in_another_order_wait_for_each_other(
        self, world: World
    ) -> None:
        drafts = [Draft("x", "info", dedup_key=f"key-{number}") for number in range(20)]
        for _round in range(5):
            at_once(
                lambda: world.raise_alerts(*drafts),
                lambda: world.raise_alerts(*reversed(drafts)),
            )
        assert world.sql("SELECT DISTINCT count FROM pggit.alerts") == [(10,)]

    def test_raised_while_it_is_resolved_it_is_counted_or_new(self, world: World) -> None:
        world.webhook()
        for number in range(25):
            key = f"key-{number}"
            first = world.alert(dedup_key=key)
            at_once(partial(world.resolve, first), partial(world.alert, dedup_key=key))
            rows = world.sql(
                "SELECT id, status, count FROM pggit.alerts WHERE dedup_key = :key ORDER BY id",
                key=key,
            )
            if len(rows) == 1:
                assert rows == [(first, "resolved", 2)]
            else:
                assert [row[1:] for row in rows] == [("resolved", 1), ("pending", 1)]


class TestIdempotency:
    """What a key was answered first, it is answered again."""

    @staticmethod
    def post(world: World, key: str | None, body: dict[str, Any], who: str = "user:1") -> Any:
        with world.deps.unit_of_work() as work:

            def answer() -> tuple[int, dict[str, Any]]:
                ((alert, _),) = raising.raise_alerts(
                    work.session, work.now, work.events, [Draft(**body)], who, [0]
                )
                return 201, {"id": alert.id}

            return answer_once(work.session, who, key, body, answer)

    BODY: dict[str, Any] = {"title": "x", "severity": "info"}  # noqa: RUF012 - a constant

    def test_a_repeated_request_gets_the_first_answer(self, world: World) -> None:
        first, is_replay = self.post(world, "key", self.BODY)
        again, is_replay_too = self.post(world, "key", dict(reversed(self.BODY.items())))
        assert (first, is_replay) == (again, False)
        assert is_replay_too
        assert world.one("SELECT count(*) FROM pggit.alerts") == 1

    def test_another_body_is_a_conflict(self, world: World) -> None:
        self.post(world, "key", self.BODY)
        with pytest.raises(Conflict):
            self.post(world, "key", self.BODY | {"title": "y"})
        assert world.one("SELECT count(*) FROM pggit.alerts") == 1

    def test_keys_belong_to_who_sent_them(self, world: World) -> None:
        self.post(world, "key", self.BODY, "user:1")
        _answer, is_replay = self.post(world, "key", self.BODY, "user:2")
        assert not is_replay

    def test_without_a_key_everything_is_new(self, world: World) -> None:
        first, _ = self.post(world, None, self.BODY)
        second, _ = self.post(world, None, self.BODY)
        assert first != second

    def test_of_many_at_once_one_does_the_work(self, world: World) -> None:
        for number in range(5):
            answers = at_once(*[partial(self.post, world, f"key-{number}", self.BODY)] * 6)
            assert len({answer[1]["id"] for answer, _ in answers}) == 1
            assert sum(not is_replay for _, is_replay in answers) == 1
        assert world.one("SELECT count(*) FROM pggit.alerts") == 5

    def test_what_failed_leaves_the_key_free(self, world: World) -> None:
        with pytest.raises(TypeError):
            self.post(world, "key", {"nonsense": True})
        _answer, is_replay = self.post(world, "key", self.BODY)
        assert not is_replay


class TestEnding:
    """Acknowledged and resolved are told to those who were told of it, in order."""

    @pytest.fixture
    def alert(self, world: World) -> int:
        world.webhook()
        return world.alert()

    @pytest.mark.parametrize(
        ("firing", "after_acknowledging", "after_resolving"),
        [
            # Not sent yet: an acknowledgement follows it; resolved, both are spared.
            ("pending", [(FIRING, "pending"), (ACKNOWLEDGED, "pending")], [(FIRING, "cancelled")]),
            # On its way, or to be tried again: news follows, whatever it is.
            *[
                (
                    state,
                    [(FIRING, status), (ACKNOWLEDGED, "pending")],
                    [(FIRING, status), (RESOLVED, "pending")],
                )
                for state, status in (
                    ("in flight", "pending"),
                    ("retrying", "retrying"),
                    ("delivered", "delivered"),
                )
            ],
            # Never got it: knows nothing of it.
            ("failed", [(FIRING, "failed")], [(FIRING, "failed")]),
        ],
    )
    def test_who_is_told(
        self,
        world: World,
        alert: int,
        firing: str,
        after_acknowledging: list[tuple[str, str]],
        after_resolving: list[tuple[str, str]],
    ) -> None:
        other = world.alert()
        for one in world.claim() if firing != "pending" else []:
            if firing != "in flight":
                ends = {"delivered": delivered, "failed": failed, "retrying": retrying}
                world.complete(ends[firing](one))
        world.acknowledge(alert)
        world.resolve(other)
        assert events_of(world, alert) == after_acknowledging
        assert events_of(world, other) == after_resolving

    def test_resolved_before_anything_was_sent_nobody_hears_of_it(
        self, world: World, alert: int
    ) -> None:
        world.acknowledge(alert)
        world.resolve(alert)
        assert events_of(world, alert) == [(FIRING, "cancelled"), (ACKNOWLEDGED, "cancelled")]
        assert world.sql("SELECT DISTINCT reason FROM pggit.deliveries") == [("superseded",)]
        assert world.claim() == []

    def test_twice_is_no_error_and_no_news(self, world: World, alert: int) -> None:
        world.complete(*map(delivered, world.claim()))
        assert world.acknowledge(alert)
        assert not world.acknowledge(alert)
        assert world.resolve(alert)
        assert not world.resolve(alert)
        assert not world.acknowledge(alert)
        assert status_of(world, alert) == "resolved"
        assert [event for event, _ in events_of(world, alert)] == [FIRING, ACKNOWLEDGED, RESOLVED]

    def test_it_says_who_and_when(self, world: World, alert: int) -> None:
        world.complete(*map(delivered, world.claim()))
        world.acknowledge(alert)
        (news,) = world.claim()
        data = json.loads(news.body)["data"]
        assert (data["status"], data["acknowledged_by"]) == ("acknowledged", "tester")
        assert data["acknowledged_at"] == data["updated_at"] > data["created_at"]
        assert data["resolved_by"] is None

    def test_it_has_to_be_there(self, world: World) -> None:
        for end in (world.acknowledge, world.resolve):
            with pytest.raises(NotFound):
                end(10**12)

    def test_a_batch_sorts_them(self, world: World) -> None:
        new, acknowledged, resolved = (world.alert() for _ in range(3))
        world.acknowledge(acknowledged)
        world.resolve(resolved)
        with world.deps.unit_of_work() as work:
            answer = lifecycle.acknowledge_batch(
                work.session,
                work.now,
                work.events,
                [10**12, resolved, new, acknowledged, new],
                "tester",
            )
        assert answer == {
            "acknowledged": [new],
            "already": [acknowledged, resolved],
            "not_found": [10**12],
        }


class TestRaces:
    """Whoever comes first: nothing is told twice, nothing is forgotten, nothing waits for ever."""

    ROUNDS = 40

    @staticmethod
    def drain(world: World) -> None:
        """Deliver what can be delivered; a few passes, since ends set others free."""
        while claimed := world.claim():
            world.complete(*map(delivered, claimed))

    @staticmethod
    def nothing_waits(world: World) -> None:
        assert (
            world.sql(
                "SELECT id, status, held_behind, next_attempt_at::text"
                " FROM pggit.deliveries WHERE status IN ('pending', 'retrying')"
            )
            == []
        )

    def test_acknowledged_while_its_delivery_is_recorded(self, world: World) -> None:
        """The follow-up is neither lost nor stuck behind what has ended already."""
        hooks = [world.webhook() for _ in range(4)]
        for _round in range(self.ROUNDS):
            alert = world.alert()
            claimed = world.claim()
            at_once(
                partial(world.acknowledge, alert),
                partial(world.complete, *map(delivered, claimed)),
            )
            self.drain(world)
            assert sorted(world.told(alert)) == sorted(
                (event, webhook, "delivered")
                for event in (FIRING, ACKNOWLEDGED)
                for webhook in hooks
            )
        self.nothing_waits(world)

    def test_acknowledged_while_its_delivery_fails_for_good(self, world: World) -> None:
        world.webhook()
        for _round in range(self.ROUNDS):
            alert = world.alert()
            (claimed,) = world.claim()
            at_once(
                partial(world.acknowledge, alert),
                partial(world.complete, failed(claimed)),
            )
            assert events_of(world, alert) in (
                [(FIRING, "failed")],
                [(FIRING, "failed"), (ACKNOWLEDGED, "cancelled")],
            )
        self.nothing_waits(world)

    def test_resolved_while_it_is_claimed(self, world: World) -> None:
        """Either it was never sent, and nobody is told; or it was, and its end is told too."""
        world.webhook()
        for _round in range(self.ROUNDS):
            alert = world.alert()
            claimed: list[Claim] = []
            at_once(partial(world.resolve, alert), lambda: claimed.extend(world.claim()))  # noqa: B023
            world.complete(*map(delivered, claimed))
            self.drain(world)
            told = events_of(world, alert)
            assert told == (
                [(FIRING, "delivered"), (RESOLVED, "delivered")]
                if claimed
                else [(FIRING, "cancelled")]
            )
        self.nothing_waits(world)

    def test_acknowledged_while_it_is_resolved(self, world: World) -> None:
        world.webhook()
        for _round in range(self.ROUNDS):
            alert = world.alert()
            world.complete(*map(delivered, world.claim()))
            at_once(partial(world.acknowledge, alert), partial(world.resolve, alert))
            self.drain(world)
            assert status_of(world, alert) == "resolved"
            told = [event for event, _ in events_of(world, alert)]
            assert told in ([FIRING, RESOLVED], [FIRING, ACKNOWLEDGED, RESOLVED])
        # The acknowledgement that came second changed nothing: what is not told is not shown.
        assert (
            world.sql(
                "SELECT a.id FROM pggit.alerts a WHERE (a.acknowledged_at IS NOT NULL) <> EXISTS ("
                "SELECT FROM pggit.alert_events e WHERE e.alert_id = a.id AND e.type = :type)",
                type=ACKNOWLEDGED,
            )
            == []
        )

    @pytest.mark.parametrize("end", ["acknowledge", "resolve"])
    def test_ended_by_many_at_once_it_is_told_once(self, world: World, end: str) -> None:
        world.webhook()
        for _round in range(10):
            alert = world.alert()
            world.complete(*map(delivered, world.claim()))
            changed = at_once(*[partial(getattr(world, end), alert)] * 5)
            assert changed.count(True) == 1
            assert len(world.told(alert)) == 2
            self.drain(world)

    def test_acknowledged_while_its_webhook_is_deleted(self, world: World) -> None:
        for _round in range(self.ROUNDS):
            webhook = world.webhook()
            alert = world.alert(webhook_ids=[webhook])
            world.complete(*map(delivered, world.claim()))
            at_once(partial(world.acknowledge, alert), partial(world.delete_webhook, webhook))
            assert status_of(world, alert) == "acknowledged"
        self.nothing_waits(world)

    def test_batches_in_another_order_and_completions_at_once(self, world: World) -> None:
        for _ in range(3):
            world.webhook()
        for _round in range(10):
            ids = [alert for alert, _ in world.raise_alerts(*[Draft("x", "info")] * 10)]
            claimed = world.claim()

            def acknowledge(ids: list[int]) -> None:
                with world.deps.unit_of_work() as work:
                    lifecycle.acknowledge_batch(work.session, work.now, work.events, ids, "tester")

            at_once(
                partial(acknowledge, ids),
                partial(acknowledge, ids[::-1]),
                lambda claimed=claimed: world.complete(*map(delivered, claimed)),  # type: ignore[misc]
                lambda claimed=claimed: world.renew(*claimed),  # type: ignore[misc]
            )
            self.drain(world)
        self.nothing_waits(world)
        assert world.sql("SELECT status, count(*) FROM pggit.deliveries GROUP BY status") == [
            ("delivered", 10 * 10 * 3 * 2)
        ]


class TestUnitOfWork:
    """What follows a commit follows it, and nothing follows a rollback."""

    @pytest.fixture
    def lanes(self, world: World, settings: Settings) -> Any:
        """Dependencies with a broker database of their own, and what waits in its lanes."""
        url = settings.redis_url.rpartition("/")[0] + "/4"
        deps = build(settings.model_copy(update={"redis_url": url}))
        with Redis.from_url(url) as redis:
            redis.flushdb()
            yield deps, lambda: {lane: redis.llen(lane) for lane in ("deliver", "health", "jobs")}
            deps.close()
            redis.flushdb()

    def test_a_rollback_leaves_neither_alert_nor_delivery_nor_hint(
        self, world: World, lanes: Any
    ) -> None:
        deps, depths = lanes
        world.webhook()

        def raise_and_fail() -> None:
            with deps.unit_of_work() as work:
                raising.raise_alerts(
                    work.session, work.now, work.events, [Draft("x", "info")], "tester", [0]
                )
                assert DeliveriesQueued() in work.events
                raise RuntimeError("the end of this request")

        with pytest.raises(RuntimeError):
            raise_and_fail()
        assert world.one("SELECT count(*) FROM pggit.alerts") == 0
        assert world.one("SELECT count(*) FROM pggit.deliveries") == 0
        # Hints go out one after another: once this one is there, an earlier one would be too.
        with deps.unit_of_work() as work:
            work.events.append(ChecksDue())
        eventually(lambda: depths()["health"], what="the hint that was meant")
        assert depths() == {"deliver": 0, "health": 1, "jobs": 0}

    def test_a_commit_that_fails_sends_no_hint(self, world: World, lanes: Any) -> None:
        deps, depths = lanes

        def lose_the_connection() -> None:
            with deps.unit_of_work() as work:
                work.events.append(DeliveriesQueued())
                backend = work.session.scalar(text("SELECT pg_backend_pid()"))
                world.sql("SELECT pg_terminate_backend(:pid, 5000)", pid=backend)

        with pytest.raises(OperationalError):
            lose_the_connection()
        with deps.unit_of_work() as work:
            work.events.append(ChecksDue())
        eventually(lambda: depths()["health"], what="the hint that was meant")
        assert depths()["deliver"] == 0

    def test_the_hint_comes_after_the_commit(self, world: World, lanes: Any) -> None:
        """Who follows a hint at once must find what it is about."""
        deps, depths = lanes
        with deps.unit_of_work() as work:
            work.events.append(DeliveriesQueued())
            # A hint of somebody else's, raised meanwhile, is sent before ours.
            deps.queue.hint(Message("webhooks.check_health", "health", 10.0))
            eventually(lambda: depths()["health"], what="the other hint")
            assert depths()["deliver"] == 0
        eventually(lambda: depths()["deliver"], what="our hint")

    def test_one_unit_of_work_sends_one_hint_of_a_kind(self, world: World, lanes: Any) -> None:
        deps, depths = lanes
        with deps.unit_of_work() as work:
            work.events.extend([DeliveriesQueued()] * 50)
        with deps.unit_of_work() as work:
            work.events.append(ChecksDue())
        eventually(lambda: depths()["health"], what="the last hint")
        assert depths()["deliver"] == 1

    def test_its_time_is_postgresqls(self, world: World, deps: Deps) -> None:
        with deps.unit_of_work() as work:
            assert work.now == work.session.scalar(text("SELECT now()"))
            assert abs((deps.clock.now() - work.now).total_seconds()) < 1


class TestListing:
    def test_the_newest_come_first_and_pages_are_stable_under_inserts(self, world: World) -> None:
        ids = [world.alert() for _ in range(5)]
        with world.deps.reading() as session:
            first = list_alerts(session, {}, PageRequest(limit=2))
        assert ([one["id"] for one in first.items], first.total) == ([ids[4], ids[3]], 5)
        world.alert()
        with world.deps.reading() as session:
            second = list_alerts(session, {}, PageRequest(2, first.next_before))
            third = list_alerts(session, {}, PageRequest(2, second.next_before))
        assert [one["id"] for one in second.items] == [ids[2], ids[1]]
        assert [one["id"] for one in third.items] == [ids[0]]
        assert third.next_before is None

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"status": "pending"}, {"one", "50% full"}),
            ({"status": "acknowledged"}, {"two"}),
            ({"severity": "warning"}, {"two"}),
            ({"source": "probe"}, {"one"}),
            ({"q": "ONE"}, {"one"}),
            ({"q": "some text"}, {"two"}),
            ({"q": "%"}, {"50% full"}),
            ({"q": "_"}, set()),
            ({"severity": "info", "source": "probe", "q": "n"}, {"one"}),
        ],
    )
    def test_filters(self, world: World, filters: dict[str, str], found: set[str]) -> None:
        world.alert(title="one", severity="info", source="probe")
        second = world.alert(title="two", severity="warning", message="Some text")
        world.alert(title="50% full", severity="critical")
        world.acknowledge(second)
        with world.deps.reading() as session:
            page = list_alerts(session, filters, PageRequest(100))
        assert {one["title"] for one in page.items} == found
        assert page.total == len(found)

    def test_counts_are_by_status(self, world: World) -> None:
        world.webhook()
        world.webhook()
        told, untold = world.alert(), world.alert(webhook_ids=[])
        (first, _second) = world.claim()
        world.complete(delivered(first))
        with world.deps.reading() as session:
            counts = alerts.delivery_counts(session, [told, untold])
        assert counts == {told: {"delivered": 1, "pending": 1}}
