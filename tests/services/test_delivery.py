"""The drain against a real receiver and a real database, and with either of them failing."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError
from standardwebhooks import Webhook

from app.adapters.embedded import free_port
from app.adapters.ownership import OWNERS, Ownership
from app.domain.retry import Reason
from app.services import claims, delivery, webhooks
from app.services.claims import LEASE_SECONDS, NOBODY
from app.services.delivery import Drain, excerpt, ping
from app.services.messages import Targets
from tests.harness.receiver import Answer, Message, Receiver
from tests.harness.waiting import eventually
from tests.services.world import World

SCHEDULE = (0, 0, 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture
def targets(world: World) -> Targets:
    return Targets(world.deps.cipher, 5.0, SCHEDULE)


@pytest.fixture
def drain(world: World, targets: Targets) -> Iterator[Drain]:
    deps = world.deps
    made = Drain(deps.database, deps.clock, deps.guard, targets)
    yield made
    made.close()


def never() -> bool:
    return False


def run(drain: Drain) -> dict[str, int]:
    return drain.run(never, never)


@contextmanager
def working(drain: Drain) -> Iterator[list[SQLAlchemyError]]:
    """The drain on a thread of its own, as a lane runs it. Yields what the database has cost."""
    stop = threading.Event()
    errors: list[SQLAlchemyError] = []
    others: list[BaseException] = []

    def loop() -> None:
        while not stop.is_set():
            try:
                drain.run(never, stop.is_set)
            except SQLAlchemyError as error:
                errors.append(error)
            except BaseException as error:
                others.append(error)
                return
            stop.wait(0.02)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()
    assert others == []


@contextmanager
def held(receiver: Receiver, path: str) -> Iterator[threading.Event]:
    """A path whose answers wait for the event; at the end nobody waits any more."""
    gate = threading.Event()
    receiver.plan(path, Answer(gate=gate))
    try:
        yield gate
    finally:
        gate.set()


def arrived(receiver: Receiver, path: str, count: int = 1) -> list[Message]:
    eventually(lambda: len(receiver.messages(path)) >= count, what=f"{count} messages at {path}")
    return list(receiver.messages(path))


def status_of(world: World, delivery_id: int) -> tuple[str, str | None]:
    row = world.delivery(delivery_id)
    return row.status, row.reason


class TestOutcomes:
    def test_it_delivers_what_is_due(self, world: World, receiver: Receiver, drain: Drain) -> None:
        webhook = world.webhook(url=receiver.url("/ok"), headers={"x-team": "storage"})
        (owed,) = world.owe(webhook)
        assert run(drain) == {"claimed": 1, "delivered": 1}
        assert status_of(world, owed) == ("delivered", "accepted")
        (message,) = receiver.messages("/ok")
        assert message.id == world.delivery(owed).webhook_message_id
        assert message.headers["content-type"] == "application/json"
        assert message.headers["x-team"] == "storage"
        assert message.json["data"]["title"] == "Disk almost full"
        assert world.sql(
            "SELECT http_status, error, body_excerpt FROM pggit.delivery_attempts"
        ) == [(204, None, None)]
        assert not drain.is_busy

    def test_the_stock_library_takes_the_signature(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        webhook = world.webhook(url=receiver.url("/ok"))
        world.owe(webhook)
        run(drain)
        (message,) = receiver.messages("/ok")
        secret = world.deps.cipher.decrypt(world.one("SELECT secret_encrypted FROM pggit.webhooks"))
        assert Webhook(secret).verify(message.body, dict(message.headers)) == message.json

    def test_after_a_rotation_both_secrets_sign_until_the_old_one_ends(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        webhook = world.webhook(url=receiver.url("/ok"))
        old = world.deps.cipher.decrypt(world.one("SELECT secret_encrypted FROM pggit.webhooks"))
        world.owe(webhook)
        run(drain)
        with world.deps.unit_of_work() as work:
            new, _until = webhooks.rotate_secret(work.session, work.now, world.deps.cipher, webhook)
        world.owe(webhook)
        run(drain)
        world.sql(
            "UPDATE pggit.webhooks SET updated_at = clock_timestamp(),"
            " previous_secret_expires_at = now() - interval '1 second'"
        )
        world.owe(webhook)
        run(drain)
        signed_by = []
        for message in receiver.messages("/ok"):
            signatures = message.headers["webhook-signature"].split(" ")
            lone = [dict(message.headers) | {"webhook-signature": one} for one in signatures]
            signed_by.append([_signer(message, headers, old=old, new=new) for headers in lone])
        assert signed_by == [["old"], ["new", "old"], ["new"]]

    def test_it_tries_again_with_the_same_id_and_body(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/moody", Answer(500, body=b"not now"), Answer(204))
        (owed,) = world.owe(world.webhook(url=receiver.url("/moody")))
        assert run(drain) == {"claimed": 2, "retrying": 1, "delivered": 1}
        first, second = receiver.messages("/moody")
        assert (first.id, first.body) == (second.id, second.body)
        assert status_of(world, owed) == ("delivered", "accepted")
        assert world.sql(
            "SELECT http_status, reason, body_excerpt FROM pggit.delivery_attempts ORDER BY id"
        ) == [(500, "server_error", "not now"), (204, "accepted", None)]

    def test_after_the_last_attempt_it_is_failed(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/broken", Answer(500))
        (owed,) = world.owe(world.webhook(url=receiver.url("/broken")))
        assert run(drain) == {"claimed": 3, "retrying": 2, "failed": 1}
        assert len(receiver.messages("/broken")) == 3
        assert status_of(world, owed) == ("failed", "attempts_exhausted")
        assert world.attempts(owed) == ["server_error"] * 3

    def test_the_webhooks_own_schedule_counts(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/broken", Answer(500))
        once = world.webhook(url=receiver.url("/broken"), retry_schedule_seconds=[0])
        (owed,) = world.owe(once)
        assert run(drain) == {"claimed": 1, "failed": 1}
        assert status_of(world, owed) == ("failed", "attempts_exhausted")

    @pytest.mark.parametrize(
        ("answer", "status", "reason", "is_active"),
        [
            (Answer(404), "failed", "rejected", True),
            (Answer(410), "failed", "gone", False),
            (Answer(429, {"retry-after": "1000"}), "retrying", "asked_to_wait", True),
            (Answer(503, {"retry-after": "1000"}), "retrying", "asked_to_wait", True),
        ],
    )
    def test_answers_mean_what_the_rules_say(
        self,
        world: World,
        receiver: Receiver,
        drain: Drain,
        answer: Answer,
        status: str,
        reason: str,
        is_active: bool,
    ) -> None:
        receiver.plan("/it", answer)
        (owed,) = world.owe(world.webhook(url=receiver.url("/it")))
        assert run(drain) == {"claimed": 1, status: 1}
        assert status_of(world, owed) == (status, reason)
        assert world.one("SELECT is_active FROM pggit.webhooks") is is_active
        if status == "retrying":
            assert 990 < world.delivery(owed).seconds_left <= 1000

    def test_a_redirect_is_a_failure_and_not_followed(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        receiver.plan("/moved", Answer(302, {"location": receiver.url("/elsewhere")}))
        (owed,) = world.owe(world.webhook(url=receiver.url("/moved")))
        run(drain)
        assert world.attempts(owed) == ["redirect_not_followed"] * 3
        assert receiver.messages("/elsewhere") == ()
        assert receiver.probes("/elsewhere") == 0

    def test_nobody_there_is_a_failure_too(self, world: World, drain: Drain) -> None:
        (owed,) = world.owe(world.webhook(url=f"http://127.0.0.1:{free_port()}/"))
        run(drain)
        assert status_of(world, owed) == ("failed", "attempts_exhausted")
        assert world.attempts(owed) == ["connect_failed"] * 3

    def test_the_guard_refuses_what_is_inside(self, world: World, drain: Drain) -> None:
        (owed,) = world.owe(world.webhook(url="http://10.0.0.1/"))
        run(drain)
        assert world.attempts(owed) == ["refused_by_egress_guard"] * 3

    def test_everything_is_delivered_once(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        owed: list[int] = []
        for number in range(20):
            owed += world.owe(world.webhook(url=receiver.url(f"/{number}"), max_in_flight=4), 15)
        assert run(drain) == {"claimed": 300, "delivered": 300}
        ids = [m.id for number in range(20) for m in receiver.messages(f"/{number}")]
        assert Counter(ids).most_common(1)[0][1] == 1
        assert len(ids) == len(owed) == 300

    def test_two_drains_share_the_work_and_repeat_none(
        self, world: World, receiver: Receiver, drain: Drain, targets: Targets
    ) -> None:
        deps = world.deps
        other = Drain(deps.database, deps.clock, deps.guard, targets, capacity=20)
        for number in range(10):
            world.owe(world.webhook(url=receiver.url(f"/{number}"), max_in_flight=5), 20)
        with working(drain), working(other):
            eventually(
                lambda: world.one("SELECT bool_and(status = 'delivered') FROM pggit.deliveries"),
                what="the end of the queue",
            )
        other.close()
        ids = [m.id for number in range(10) for m in receiver.messages(f"/{number}")]
        assert len(ids) == len(set(ids)) == 200

    def test_it_goes_on_with_what_a_dead_worker_had(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        """With nobody's help: the other lanes may be down, too."""
        world.owe(world.webhook(url=receiver.url("/dead")))
        dead = Ownership(world.deps.database)
        dead.keep()
        with world.deps.database.session() as session:
            claims.claim(session, 1, 0, dead.number)
        dead.give_up()
        reports: list[dict[str, int]] = []

        def is_delivered() -> bool:
            reports.append(run(drain))
            return bool(receiver.messages("/dead"))

        eventually(is_delivered, what="the dead worker's message")
        assert sum(one.get("leases_freed", 0) for one in reports) == 1

    def test_nothing_due_is_nothing_done(self, world: World, drain: Drain) -> None:
        assert run(drain) == {}


class TestWaiting:
    """While a receiver thinks."""

    def test_one_that_hangs_holds_nobody_else(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        with held(receiver, "/hangs") as gate, working(drain):
            slow = world.webhook(url=receiver.url("/hangs"), max_in_flight=2)
            quick = world.webhook(url=receiver.url("/quick"))
            stuck = world.owe(slow, 10)
            arrived(receiver, "/hangs", 2)
            world.owe(quick, 50)
            arrived(receiver, "/quick", 50)
            assert len(receiver.messages("/hangs")) == 2  # its cap
            gate.set()
            for delivery_id in stuck:
                eventually(lambda one=delivery_id: status_of(world, one)[0] == "delivered")  # type: ignore[misc]

    def test_the_lease_is_renewed(
        self, world: World, receiver: Receiver, drain: Drain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "RENEW_EVERY_SECONDS", 0.1)  # the same in less time
        with held(receiver, "/hangs"), working(drain):
            (owed,) = world.owe(world.webhook(url=receiver.url("/hangs")))
            arrived(receiver, "/hangs")
            world.sql(
                "UPDATE pggit.alert_delivery_queue"
                " SET next_attempt_at = statement_timestamp() + interval '2 seconds'"
            )
            eventually(lambda: world.delivery(owed).seconds_left > 8, what="a renewal")
        assert len(receiver.messages("/hangs")) == 1

    def test_the_lease_names_an_owner_who_is_there(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        """Else whoever looks after dead owners would free what is under way here."""
        with held(receiver, "/hangs"), working(drain):
            (owed,) = world.owe(world.webhook(url=receiver.url("/hangs")))
            arrived(receiver, "/hangs")
            owner = int(world.delivery(owed).lease_token[:8], 16)
            assert owner != NOBODY
            assert world.one(
                "SELECT granted FROM pg_locks WHERE locktype = 'advisory'"
                " AND classid = :owners AND objid = :owner",
                owners=OWNERS,
                owner=owner,
            )

    def test_the_lease_outlasts_two_renewals_that_are_missed(self) -> None:
        assert delivery.RENEW_EVERY_SECONDS * 3 < LEASE_SECONDS

    def test_what_another_took_over_is_let_go(
        self, world: World, receiver: Receiver, drain: Drain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "RENEW_EVERY_SECONDS", 0.1)
        with held(receiver, "/hangs") as gate:
            (owed,) = world.owe(world.webhook(url=receiver.url("/hangs"), max_in_flight=1))
            with working(drain):
                arrived(receiver, "/hangs")
            # Paused, like a process that is stopped; meanwhile somebody else comes.
            world.expire(owed)
            (theirs,) = world.claim()
            assert run(drain) == {"lease_lost": 1}
            assert not drain.is_busy
            gate.set()
            row = world.delivery(owed)
            assert (row.status, str(row.lease_token)) == ("pending", theirs.lease_token)
            assert world.attempts(owed) == ["worker_lost"]

    def test_an_answer_that_comes_too_late_counts_for_nothing(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        with held(receiver, "/hangs") as gate:
            (owed,) = world.owe(world.webhook(url=receiver.url("/hangs"), max_in_flight=1))
            with working(drain):
                arrived(receiver, "/hangs")
            world.expire(owed)
            (theirs,) = world.claim()
            gate.set()
            assert run(drain) == {"lease_lost": 1}
            assert str(world.delivery(owed).lease_token) == theirs.lease_token

    def test_its_own_lost_lease_it_takes_up_again(
        self,
        world: World,
        receiver: Receiver,
        drain: Drain,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A process that was stopped for a while may be the first to find its leases run out.
        What it waits for is not sent a second time."""
        monkeypatch.setattr(delivery, "RENEW_EVERY_SECONDS", 60.0)  # it stands still meanwhile
        with held(receiver, "/hangs") as gate:
            slow = world.webhook(url=receiver.url("/hangs"), timeout_seconds=60)
            owed = world.owe(slow, 3)
            with working(drain):
                arrived(receiver, "/hangs", 3)
            world.expire(*owed)
            with working(drain):
                for one in owed:
                    eventually(lambda one=one: world.delivery(one).attempts_made == 2)  # type: ignore[misc]
                gate.set()
                for one in owed:
                    eventually(lambda one=one: status_of(world, one)[0] == "delivered")  # type: ignore[misc]
        assert len(receiver.messages("/hangs")) == 3
        assert all(world.attempts(one) == ["worker_lost", "accepted"] for one in owed)

    def test_its_own_lost_lease_counts_like_any_other(
        self,
        world: World,
        receiver: Receiver,
        drain: Drain,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(delivery, "RENEW_EVERY_SECONDS", 60.0)  # it stands still meanwhile
        with held(receiver, "/hangs"):
            once = world.webhook(
                url=receiver.url("/hangs"), retry_schedule_seconds=[0], timeout_seconds=60
            )
            (owed,) = world.owe(once)
            with working(drain):
                arrived(receiver, "/hangs")
            world.expire(owed)
            assert run(drain) == {"claimed": 1, "failed": 1}
            assert not drain.is_busy
        assert status_of(world, owed) == ("failed", "attempts_exhausted")

    def test_a_deleted_webhook_ends_the_wait(
        self, world: World, receiver: Receiver, drain: Drain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "RENEW_EVERY_SECONDS", 0.1)
        with held(receiver, "/hangs"):
            webhook = world.webhook(url=receiver.url("/hangs"))
            (owed,) = world.owe(webhook)
            with working(drain):
                arrived(receiver, "/hangs")
                world.delete_webhook(webhook)
                eventually(lambda: not drain.is_busy, what="the end of the wait")
            assert status_of(world, owed) == ("cancelled", "webhook_deleted")


class TestDatabaseAway:
    """Nothing is forgotten, and nothing that was answered is sent again."""

    @staticmethod
    def terminate(database_url: str) -> None:
        with psycopg.connect(database_url, dbname="postgres", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [database_url.rpartition("/")[2].partition("?")[0]],
            )

    @contextmanager
    def away(self, database_url: str) -> Iterator[None]:
        """The database lets nobody in, and throws out who was there."""
        name = database_url.rpartition("/")[2].partition("?")[0]
        with psycopg.connect(database_url, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            try:
                self.terminate(database_url)
                yield
            finally:
                connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def test_connections_that_are_cut_cost_nothing(
        self, world: World, receiver: Receiver, drain: Drain, database_url: str
    ) -> None:
        hooks = [world.webhook(url=receiver.url(f"/{n}"), max_in_flight=5) for n in range(10)]
        owed = [one for webhook in hooks for one in world.owe(webhook, 30)]
        with working(drain):
            for _cut in range(5):
                before = world.one("SELECT count(*) FROM pggit.delivery_attempts")
                self.terminate(database_url)
                eventually(
                    lambda before=before: world.one(  # type: ignore[misc]
                        "SELECT count(*) > :before OR NOT EXISTS (SELECT"
                        " FROM pggit.deliveries WHERE status IN ('pending', 'retrying'))"
                        " FROM pggit.delivery_attempts",
                        before=before,
                    ),
                    what="progress",
                )
            eventually(
                lambda: world.one("SELECT bool_and(status = 'delivered') FROM pggit.deliveries"),
                within=30,
                what="the end of the queue",
            )
        sent = Counter(m.id for number in range(10) for m in receiver.messages(f"/{number}"))
        assert len(sent) == len(owed)

    def test_what_was_answered_meanwhile_is_recorded_afterwards(
        self, world: World, receiver: Receiver, drain: Drain, database_url: str
    ) -> None:
        with held(receiver, "/slow") as gate, working(drain) as errors:
            (owed,) = world.owe(world.webhook(url=receiver.url("/slow")))
            arrived(receiver, "/slow")
            with self.away(database_url):
                gate.set()
                eventually(lambda: len(errors) > 2, what="the database's absence")
            eventually(lambda: status_of(world, owed)[0] == "delivered")
        assert len(receiver.messages("/slow")) == 1
        assert world.attempts(owed) == ["accepted"]

    def test_leases_that_ran_out_meanwhile_are_still_ours_if_nobody_came(
        self,
        world: World,
        receiver: Receiver,
        drain: Drain,
        database_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What is known is recorded and what is ours renewed, before anything is claimed."""
        monkeypatch.setattr(delivery, "RENEW_EVERY_SECONDS", 0.1)  # it was away for longer
        with held(receiver, "/slow") as gate, held(receiver, "/slower") as other_gate:
            (answered,) = world.owe(world.webhook(url=receiver.url("/slow")))
            (waiting,) = world.owe(world.webhook(url=receiver.url("/slower")))
            with ExitStack() as absence, working(drain) as errors:
                arrived(receiver, "/slow")
                arrived(receiver, "/slower")
                absence.enter_context(self.away(database_url))
                gate.set()
                eventually(lambda: len(errors) > 2, what="the database's absence")
            world.expire(answered, waiting)
            with working(drain):
                eventually(lambda: status_of(world, answered)[0] == "delivered")
                eventually(lambda: world.delivery(waiting).seconds_left > 5, what="a lease")
                other_gate.set()
                eventually(lambda: status_of(world, waiting)[0] == "delivered")
        assert len(receiver.messages("/slow")) == len(receiver.messages("/slower")) == 1
        assert world.attempts(answered) == world.attempts(waiting) == ["accepted"]

    def test_close_does_not_fail_without_it(
        self,
        world: World,
        receiver: Receiver,
        targets: Targets,
        database_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(delivery, "STOP_WITHIN_SECONDS", 0.1)
        deps = world.deps
        drain = Drain(deps.database, deps.clock, deps.guard, targets)
        with held(receiver, "/hangs"):
            (owed,) = world.owe(world.webhook(url=receiver.url("/hangs")))
            with working(drain):
                arrived(receiver, "/hangs")
            with self.away(database_url):
                drain.close()
            assert world.delivery(owed).lease_token is not None  # it runs out by itself


class TestStopping:
    def test_close_gives_leases_back(
        self, world: World, receiver: Receiver, targets: Targets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "STOP_WITHIN_SECONDS", 0.1)
        deps = world.deps
        drain = Drain(deps.database, deps.clock, deps.guard, targets)
        with held(receiver, "/hangs"):
            owed = world.owe(world.webhook(url=receiver.url("/hangs")), 3)
            with working(drain):
                arrived(receiver, "/hangs", 3)
            drain.close()
            for one in owed:
                row = world.delivery(one)
                assert (row.status, row.reason) == ("retrying", "worker_stopped")
                assert row.lease_token is None
                assert row.is_due
                assert world.attempts(one) == ["worker_stopped"]

    def test_close_waits_a_little_for_answers(
        self, world: World, receiver: Receiver, targets: Targets
    ) -> None:
        deps = world.deps
        drain = Drain(deps.database, deps.clock, deps.guard, targets)
        with held(receiver, "/slow") as gate:
            (owed,) = world.owe(world.webhook(url=receiver.url("/slow")))
            with working(drain):
                arrived(receiver, "/slow")
            closing = threading.Thread(target=drain.close)
            closing.start()
            gate.set()
            closing.join()
        assert status_of(world, owed) == ("delivered", "accepted")

    def test_who_is_stopping_claims_nothing_more(self, world: World, drain: Drain) -> None:
        (owed,) = world.owe(world.webhook())
        assert drain.run(never, lambda: True) == {}
        assert world.delivery(owed).attempts_made == 0


class TestPoison:
    """An alert that kills its worker ends as failed: it does not go round for ever."""

    def test_attempts_that_lost_their_workers_count(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        (owed,) = world.owe(world.webhook(url=receiver.url("/never")))
        for attempt in (1, 2, 3):
            (claimed,) = world.claim()
            assert claimed.attempt == attempt
            world.expire(owed)
        assert run(drain) == {"claimed": 1, "failed": 1}
        assert status_of(world, owed) == ("failed", "attempts_exhausted")
        assert world.attempts(owed) == ["worker_lost"] * 3
        assert receiver.messages("/never") == ()
        assert world.one("SELECT is_active FROM pggit.webhooks")

    def test_the_last_attempt_of_a_schedule_is_made(
        self, world: World, receiver: Receiver, drain: Drain
    ) -> None:
        (owed,) = world.owe(world.webhook(url=receiver.url("/ok")))
        for _ in (1, 2):
            world.claim()
            world.expire(owed)
        assert run(drain) == {"claimed": 1, "delivered": 1}
        assert world.attempts(owed) == ["worker_lost", "worker_lost", "accepted"]


class TestPing:
    def test_it_is_signed_and_says_what_came_of_it(
        self, world: World, receiver: Receiver, targets: Targets
    ) -> None:
        deps = world.deps
        receiver.plan("/it", Answer(418, body=b"a teapot"))
        webhook = world.webhook(url=receiver.url("/it"), name="on-call")
        sent = ping(deps.database, deps.clock, deps.guard, targets, webhook)
        assert (sent.http_status, sent.reason) == (418, Reason.REJECTED)
        assert sent.body_excerpt == "a teapot"
        (message,) = receiver.messages("/it")
        assert message.id == sent.message_id
        secret = deps.cipher.decrypt(world.one("SELECT secret_encrypted FROM pggit.webhooks"))
        told = Webhook(secret).verify(message.body, dict(message.headers))
        assert told["type"] == "webhook.ping"
        assert told["data"] == {"webhook_id": webhook, "name": "on-call"}

    def test_nobody_there_is_an_answer_too(self, world: World, targets: Targets) -> None:
        deps = world.deps
        webhook = world.webhook(url=f"http://127.0.0.1:{free_port()}/")
        sent = ping(deps.database, deps.clock, deps.guard, targets, webhook)
        assert (sent.http_status, sent.reason) == (None, Reason.CONNECT_FAILED)
        assert sent.error


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", None),
        (b"no", "no"),
        (b"\x00\xff", "\ufffd\ufffd"),  # PostgreSQL's text holds no NUL
        (b"x" * 5000, "x" * 1024),
    ],
)
def test_an_excerpt_is_short_and_fits_into_the_database(body: bytes, text: str | None) -> None:
    assert excerpt(body) == text


def _signer(message: Message, headers: dict[str, str], **secrets: str) -> str:
    """Which of the secrets signed it."""
    for name, secret in secrets.items():
        expected = Webhook(secret).sign(message.id, _sent_at(message), message.body.decode())
        if expected == headers["webhook-signature"]:
            return name
    return json.dumps(headers)


def _sent_at(message: Message) -> datetime:
    return datetime.fromtimestamp(int(message.headers["webhook-timestamp"]), UTC)
