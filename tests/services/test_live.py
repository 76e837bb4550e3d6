"""What the stream tells: who notes changes, who makes messages of them, and what it counts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis

import beat_schedule
from app.adapters.clock import Clock
from app.adapters.stream import LOST, MESSAGES, Stream
from app.api.live import SHOWING
from app.domain.access import Principal, Role
from app.domain.events import Changed, Event
from app.domain.live import Kind
from app.services import anomalies, jobs, lifecycle
from app.services.accounts import create_user
from app.services.anomalies import Context
from app.services.api_keys import create_api_key
from app.services.disabling import disable_failing
from app.services.live import tickets
from app.services.live.figures import figures
from app.services.live.resources import Resources
from app.services.live.sights import Sights
from app.services.live.teller import MOST_A_SECOND, Teller
from app.services.live.visitors import Places, ceased
from app.services.tokens import revoke
from models import Anomaly, WsTicket
from tests.harness.waiting import eventually
from tests.services.world import World, delivered, failed

Told = dict[str, Any]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Stage:
    """The stream of a world, empty, and tellers that are watched."""

    def __init__(self, world: World) -> None:
        self.world = world
        deps = world.deps
        self.url = deps.settings.redis_url
        self.stream = Stream(self.url)
        self.redis: redis.Redis = redis.Redis.from_url(self.url)
        self.redis.flushdb()
        self.sights = Sights(
            deps.database, deps.clock, Resources(deps.cipher), SHOWING, beat_schedule.JOBS
        )

    @contextmanager
    def teller(self) -> Iterator[None]:
        stopping = threading.Event()
        teller = Teller(Stream(self.url), self.sights, Clock(), lambda: True)
        thread = threading.Thread(target=teller.run, args=[stopping])
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def told(self, message_type: str) -> list[Any]:
        """The data of all messages of a type so far."""
        entries: Any = self.redis.xrange(MESSAGES)
        return [
            orjson.loads(fields[b"d"])
            for _seq, fields in entries
            if fields[b"t"].decode() == message_type
        ]

    def wait_for(self, message_type: str, count: int = 1) -> list[Any]:
        def enough() -> list[Any]:
            found = self.told(message_type)
            return found if len(found) >= count else []

        return eventually(enough, what=f"{count} × {message_type}")


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    made = Stage(world)
    yield made
    made.stream.close()
    made.redis.close()


def changed(events: list[Event], kind: Kind) -> list[int]:
    return [
        one for event in events if isinstance(event, Changed) and event.kind is kind
        for one in event.ids
    ]  # fmt: skip


class TestWhoNotes:
    def test_an_alert_at_each_turn_of_its_life(self, world: World) -> None:
        alert = world.alert(dedup_key="disk")
        with world.deps.unit_of_work() as work:
            session, now, events = work.session, work.now, work.events
            lifecycle.snooze(session, now, events, alert, now + HOUR, "tester")
            assert changed(events, Kind.ALERT) == [alert]
            lifecycle.unsnooze(session, now, events, alert)
            lifecycle.acknowledge(session, now, events, alert, "tester")
            lifecycle.resolve(session, now, events, alert, "tester")
            assert changed(events, Kind.ALERT) == [alert] * 4
            lifecycle.resolve(session, now, events, alert, "tester")
            assert changed(events, Kind.ALERT) == [alert] * 4, "twice changes nothing"

    def test_a_run_that_was_lost(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            run = jobs.request_run(work.session, work.now, work.events, "deliver", "t", "deliver")
            assert changed(work.events, Kind.JOB) == [run.id]
            jobs.begin_requested(work.session, work.now - 2 * HOUR, run.id, "w")
        with world.deps.unit_of_work() as work:
            jobs.forgotten_runs(work.session, work.events, {})
            assert changed(work.events, Kind.JOB) == [run.id]

    def test_nobody_where_nothing_happened(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            disable_failing(work.session, work.events)
            assert changed(work.events, Kind.WEBHOOK) == []

    def test_an_anomaly_that_is_over(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            row = Anomaly(
                operation="checkout", started_at=work.now - DAY, odd_at=work.now - DAY,
                last_at=work.now - DAY, score=1.5, severity="warning", value=412.0,
                low=180.0, high=230.0, sentence="p95 412 ms", views={},
            )  # fmt: skip
            work.session.add(row)
            work.session.flush()
            context = Context(work.session, work.now, work.events, (0,))
            assert anomalies.end_silent(context, 10) == 1
            assert changed(work.events, Kind.ANOMALY) == [row.id]


class TestTheTeller:
    def test_it_begins_with_how_things_are(self, stage: Stage) -> None:
        alert = stage.world.alert()
        with stage.teller():
            (snapshot,) = stage.wait_for("snapshot")[:1]
            stage.wait_for("metrics", 2)
        assert [one["id"] for one in snapshot["alerts"]] == [alert]
        assert stage.stream.hold_lease(), "it gave the lease back"

    def test_what_changed_while_nobody_told_is_told_by_the_next(self, stage: Stage) -> None:
        with stage.teller():
            stage.wait_for("metrics")
        alert = stage.world.alert()
        webhook = stage.world.webhook()
        stage.world.delete_webhook(webhook)
        eventually(lambda: stage.redis.xlen("tocsin:changes") >= 1, what="the changes")
        with stage.teller():
            assert [one["id"] for one in stage.wait_for("alert")] == [alert]
            assert stage.wait_for("webhook")[-1] == {"id": webhook, "is_deleted": True}
        assert len(stage.told("snapshot")) == 1, "nothing was lost, so one was enough"

    def test_two_tell_nothing_twice(self, stage: Stage) -> None:
        with stage.teller(), stage.teller():
            stage.wait_for("metrics")
            ids = [stage.world.alert() for _alert in range(5)]
            stage.world.acknowledge(ids[0])
            eventually(
                lambda: (
                    {one["id"] for one in stage.told("alert")} == set(ids)
                    and any(one["status"] == "acknowledged" for one in stage.told("alert"))
                ),
                what="all alerts",
            )
            stage.wait_for("metrics", 3)
        told = [(one["id"], one["updated_at"]) for one in stage.told("alert")]
        assert len(told) == len(set(told))

    def test_what_was_lost_on_the_way_is_made_up_for_by_a_snapshot(self, stage: Stage) -> None:
        with stage.teller():
            stage.wait_for("snapshot")
            stage.stream.note({LOST: [0]})
            stage.wait_for("snapshot", 2)

    def test_a_redis_that_was_emptied_is_noticed(self, stage: Stage) -> None:
        with stage.teller():
            stage.wait_for("metrics")
            before = stage.stream.last_seq()
            stage.redis.flushdb()
            stage.wait_for("snapshot")
            assert stage.stream.last_seq() > before

    def test_of_many_deliveries_there_is_a_sample_and_a_count(self, stage: Stage) -> None:
        owed = stage.world.owe(stage.world.webhook(), 100)
        most = MOST_A_SECOND[Kind.DELIVERY]
        with stage.teller():
            stage.wait_for("metrics")
            stage.stream.note({"delivery": owed})
            told = stage.wait_for("delivery")
            eventually(
                lambda: sum(one["not_shown"].get("delivery", 0) for one in stage.told("metrics")),
                what="the count of what was left out",
            )
        left_out = sum(one["not_shown"].get("delivery", 0) for one in stage.told("metrics"))
        assert 0 < len(told) <= most
        assert left_out + len(stage.told("delivery")) == len(owed)
        assert told[-1]["id"] == owed[-1], "the newest matter most"
        assert len(stage.told("snapshot")) == 1

    def test_of_too_many_others_a_snapshot_tells(self, stage: Stage) -> None:
        nobody = range(10**9, 10**9 + MOST_A_SECOND[Kind.WEBHOOK])
        ids = [stage.world.webhook(), *nobody]
        with stage.teller():
            stage.wait_for("snapshot")
            stage.stream.note({"webhook": ids})
            stage.wait_for("snapshot", 2)


def test_figures_are_of_what_is_there(world: World) -> None:
    world.acknowledge(world.alert())
    webhook = world.webhook()
    world.owe(webhook, 4)
    claims = world.claim(2)
    world.complete(delivered(claims[0]), failed(claims[1]))
    with world.deps.reading() as session:
        found = figures(session)
    assert found["queue"]["undelivered"] == 2
    assert found["deliveries_per_second"] == {"delivered": 0.2, "failed": 0.2, "cancelled": 0.0}
    assert found["delivery_latency_ms"] == {"count": 2, "p50": 1.5, "p95": 1.5, "p99": 1.5}
    assert found["alerts"] == {"pending": 4, "acknowledged": 1}
    assert found["webhooks"] == {"unknown": 1}
    assert found["anomalies_open"] == 0


class TestVisitors:
    def test_places(self) -> None:
        places = Places(3, 2)
        assert [places.take("a") for _try in range(3)] == [True, True, False]
        assert places.take("b")
        assert not places.take("c"), "all are taken"
        places.give_back("a")
        assert places.take("c")
        assert places.taken == 3

    def test_whose_credentials_ceased(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            session = work.session
            account = {"password_hash": "of nobody", "role": "viewer", "is_active": True}
            good = create_user(session, account | {"username": "good"})
            out = create_user(session, account | {"username": "out", "is_active": False})
            key, _secret = create_api_key(session, None, {"name": "k", "role": "viewer"})
            old, _secret = create_api_key(
                session, None, {"name": "o", "role": "viewer", "expires_at": work.now - HOUR}
            )
            revoke(session, "gone", work.now + HOUR)

        def user(user_id: int, *, token: str | None = None, login: str = "s") -> Principal:
            return Principal("user", user_id, "x", Role.VIEWER, login, token)

        def machine(key_id: int) -> Principal:
            return Principal("api_key", key_id, "x", Role.VIEWER)

        # The ids of users and of keys are not each other's.
        stay = {user(good.id), machine(key.id)}
        go = {
            user(out.id),
            user(10**9),
            user(good.id, token="gone"),
            user(good.id, login="gone"),
            machine(old.id),
            machine(10**9),
        }
        with world.deps.reading() as session:
            assert ceased(session, stay | go) == go

    def test_a_ticket_is_worth_what_its_token_was(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            account = {"username": "u", "password_hash": "of nobody", "role": "viewer"}
            user = create_user(work.session, account | {"is_active": True})
            until = work.now + HOUR
            who = Principal("user", user.id, "u", Role.VIEWER, "s", "t", until)
            good, late = (tickets.issue(work.session, work.now, who) for _ticket in range(2))
        with world.deps.unit_of_work() as work:
            assert tickets.redeem(work.session, work.now + timedelta(seconds=31), late) is None
            assert tickets.redeem(work.session, until, late) is None
            assert tickets.redeem(work.session, work.now, good) == who
            assert tickets.redeem(work.session, work.now, good) is None
            hashes = [row.ticket_hash for row in work.session.query(WsTicket)]
            assert all(good.encode() not in one for one in hashes)
