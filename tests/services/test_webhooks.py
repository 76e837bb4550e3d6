"""Webhooks: their secrets, their changes, and what goes with them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken

from app.adapters.cipher import Cipher
from app.domain.events import Changed, ChecksDue, DeliveriesQueued, Event
from app.domain.live import Kind
from app.domain.signing import parse_secret
from app.errors import NotFound
from app.services import webhooks
from app.services.messages import Targets
from app.services.paging import PageRequest
from tests.services.world import CHECK, WEBHOOK, World


def create(world: World, cipher: Cipher | None = None, **fields: Any) -> tuple[int, str]:
    """The id and the secret."""
    with world.deps.unit_of_work() as work:
        view, secret = webhooks.create_webhook(
            work.session,
            work.events,
            cipher or world.deps.cipher,
            WEBHOOK | {"health_check": CHECK} | fields,
        )
        return view.row.id, secret


def change(world: World, webhook_id: int, **changes: Any) -> list[Event]:
    with world.deps.unit_of_work() as work:
        webhooks.change_webhook(
            work.session, work.now, work.events, world.deps.cipher, webhook_id, changes
        )
        return list(work.events)


def everything_stored(world: World) -> bytes:
    """All of the webhooks table, as it lies on the disk or goes into a backup."""
    rows = world.sql("SELECT to_jsonb(w)::text FROM pggit.webhooks w")
    raw = [
        bytes(value)
        for row in world.sql(
            "SELECT secret_encrypted, previous_secret_encrypted, headers_encrypted"
            " FROM pggit.webhooks"
        )
        for value in row
        if value is not None
    ]
    return b"\n".join([row[0].encode() for row in rows] + raw)


class TestSecrets:
    def test_they_are_encrypted_at_rest_and_so_are_headers(self, world: World) -> None:
        webhook, secret = create(world, headers={"authorization": "Bearer of-their-own"})
        with world.deps.unit_of_work() as work:
            new, _ = webhooks.rotate_secret(work.session, work.now, world.deps.cipher, webhook)
        stored = everything_stored(world)
        for plain in (secret, new):
            assert plain.encode() not in stored
            assert parse_secret(plain) not in stored
            assert plain.removeprefix("whsec_").encode() not in stored
        assert b"of-their-own" not in stored
        assert b"gAAAA" in stored  # how a Fernet token begins

    def test_each_is_long_and_its_own(self, world: World) -> None:
        secrets = {create(world)[1] for _ in range(5)}
        assert len(secrets) == 5
        assert {len(parse_secret(secret)) for secret in secrets} == {32}

    def test_a_new_key_in_front_reads_what_the_old_one_wrote(self, world: World) -> None:
        old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        webhook, secret = create(world, Cipher([old]), headers={"x-team": "storage"})
        cipher = Cipher([new, old])
        with world.deps.reading() as session:
            row = webhooks.get_row(session, webhook)
            assert cipher.decrypt(row.secret_encrypted) == secret
            assert webhooks.read_headers(cipher, row) == {"x-team": "storage"}
            with pytest.raises(InvalidToken):
                Cipher([new]).decrypt(row.secret_encrypted)

    def test_what_is_written_then_needs_the_new_key_only(self, world: World) -> None:
        old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        webhook, _ = create(world, Cipher([old]))
        with world.deps.unit_of_work() as work:
            secret, _ = webhooks.rotate_secret(work.session, work.now, Cipher([new, old]), webhook)
        with world.deps.reading() as session:
            row = webhooks.get_row(session, webhook)
            assert Cipher([new]).decrypt(row.secret_encrypted) == secret

    def test_after_a_rotation_the_old_one_lives_for_a_day(self, world: World) -> None:
        webhook, old = create(world)
        targets = Targets(world.deps.cipher, 5.0, (0,))
        with world.deps.unit_of_work() as work:
            new, until = webhooks.rotate_secret(work.session, work.now, world.deps.cipher, webhook)
            now = work.now
        assert until == now + timedelta(hours=24)
        with world.deps.reading() as session:
            target = targets.target_of(webhooks.get_row(session, webhook))
        both, one = [parse_secret(new), parse_secret(old)], [parse_secret(new)]
        assert target.live_keys(now) == both
        assert target.live_keys(until - timedelta(microseconds=1)) == both
        assert target.live_keys(until) == one

    def test_of_two_rotations_the_last_two_secrets_live(self, world: World) -> None:
        webhook, first = create(world)
        secrets = [first]
        for _ in range(2):
            with world.deps.unit_of_work() as work:
                secret, _ = webhooks.rotate_secret(
                    work.session, work.now, world.deps.cipher, webhook
                )
                secrets.append(secret)
        with world.deps.reading() as session:
            row = webhooks.get_row(session, webhook)
            target = Targets(world.deps.cipher, 5.0, (0,)).target_of(row)
        assert target.live_keys(row.updated_at) == [
            parse_secret(secrets[2]),
            parse_secret(secrets[1]),
        ]


class TestTargets:
    """What a worker keeps of a webhook is never older than what it claimed."""

    def test_a_change_is_seen_at_the_next_claim(self, world: World) -> None:
        targets = Targets(world.deps.cipher, 5.0, (0,))
        webhook = world.webhook(url="http://127.0.0.1:9/old")
        for url in ("http://127.0.0.1:9/old", "http://127.0.0.1:9/new"):
            change(world, webhook, url=url)
            world.owe(webhook)
            (claimed,) = world.claim()
            with world.deps.reading() as session:
                loaded = targets.load(session, {(claimed.webhook_id, claimed.webhook_version)})
            assert loaded[webhook].url == url

    def test_its_own_settings_come_before_the_defaults(self, world: World) -> None:
        plain = world.webhook()
        own = world.webhook(
            timeout_seconds=7, retry_schedule_seconds=[1, 2], headers={"x-team": "storage"}
        )
        targets = Targets(world.deps.cipher, 5.0, (0, 9))
        with world.deps.reading() as session:
            found = [targets.target_of(webhooks.get_row(session, one)) for one in (plain, own)]
        assert [(one.timeout_seconds, one.schedule, one.headers) for one in found] == [
            (5.0, (0, 9), ()),
            (7.0, (1, 2), (("x-team", "storage"),)),
        ]

    def test_many_webhooks_do_not_fill_the_memory(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.services.messages.TARGETS_KEPT", 3)
        targets = Targets(world.deps.cipher, 5.0, (0,))
        versions = set()
        for _ in range(5):
            webhook = world.webhook()
            updated = world.one("SELECT updated_at FROM pggit.webhooks WHERE id = :i", i=webhook)
            versions.add((webhook, updated))
        with world.deps.reading() as session:
            assert len(targets.load(session, versions)) == 5
            assert len(targets._kept) == 3
            assert len(targets.load(session, versions)) == 5


class TestChanges:
    def test_a_new_one_is_checked_soon(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            view, _ = webhooks.create_webhook(
                work.session, work.events, world.deps.cipher, WEBHOOK | {"health_check": CHECK}
            )
            assert work.events == [ChecksDue(), Changed(Kind.WEBHOOK, (view.row.id,))]
        assert view.health_status == "unknown"
        assert world.one("SELECT next_check_at <= now() FROM pggit.webhook_health_metrics")

    @pytest.mark.parametrize(
        ("changes", "is_checked_soon"),
        [
            ({"url": "http://127.0.0.1:9/new"}, True),
            ({"is_active": False}, True),
            ({"health_check_interval_seconds": 60}, True),
            ({"name": "new"}, False),
            ({"headers": {"x-team": "storage"}}, False),
            ({}, False),
        ],
    )
    def test_what_matters_to_its_health_means_a_check_soon(
        self, world: World, changes: dict[str, Any], is_checked_soon: bool
    ) -> None:
        webhook = world.webhook()
        world.sql("UPDATE pggit.webhook_health_metrics SET next_check_at = now() + interval '1 h'")
        events = change(world, webhook, **changes)
        hints = [ChecksDue(), DeliveriesQueued()] if is_checked_soon else []
        assert events == [*hints, Changed(Kind.WEBHOOK, (webhook,))]
        assert (
            world.one("SELECT next_check_at <= now() FROM pggit.webhook_health_metrics")
            is is_checked_soon
        )

    def test_what_is_left_out_stays(self, world: World) -> None:
        webhook = world.webhook(
            check={"max_latency_ms": 100}, headers={"x-team": "storage"}, timeout_seconds=7
        )
        change(world, webhook, name="new", health_check={"method": "HEAD"})
        with world.deps.reading() as session:
            view = webhooks.get_webhook(session, world.deps.cipher, webhook)
        row = view.row
        assert (row.name, row.check_method) == ("new", "HEAD")
        assert (row.check_max_latency_ms, row.timeout_seconds) == (100, 7)
        assert view.headers == {"x-team": "storage"}

    def test_headers_can_be_taken_off(self, world: World) -> None:
        webhook = world.webhook(headers={"x-team": "storage"})
        change(world, webhook, headers={})
        assert world.one("SELECT headers_encrypted FROM pggit.webhooks") is None

    def test_headers_of_any_language_come_back(self, world: World) -> None:
        headers = {"x-name": "Größe 🚨", "x-json": json.dumps({"a": 1})}
        webhook = world.webhook(headers=headers)
        with world.deps.reading() as session:
            assert webhooks.get_webhook(session, world.deps.cipher, webhook).headers == headers


class TestDeletion:
    def test_what_it_was_owed_is_cancelled_and_its_history_stays(self, world: World) -> None:
        webhook, other = world.webhook(), world.webhook()
        first, second = world.owe(webhook, 2)
        (others,) = world.owe(other)
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET status = 'delivered', finished_at = now()"
            " WHERE id = :id",
            id=first,
        )
        world.delete_webhook(webhook)
        assert [world.delivery(one).status for one in (first, second, others)] == [
            "delivered",
            "cancelled",
            "pending",
        ]
        assert world.delivery(second).reason == "webhook_deleted"

    def test_it_is_there_no_more(self, world: World) -> None:
        webhook = world.webhook()
        world.delete_webhook(webhook)
        with world.deps.reading() as session, pytest.raises(NotFound):
            webhooks.get_row(session, webhook)
        with pytest.raises(NotFound):
            world.delete_webhook(webhook)
        with pytest.raises(NotFound):
            change(world, webhook, name="new")
        with world.deps.reading() as session:
            page = webhooks.list_webhooks(session, world.deps.cipher, {}, PageRequest(20))
        assert (page.items, page.total) == ([], 0)


def test_lists_are_filtered_and_paged(world: World) -> None:
    ids = [world.webhook(is_active=number != 1) for number in range(4)]
    world.sql(
        "UPDATE pggit.webhook_health_metrics SET health_status = 'degraded'"
        " WHERE webhook_id = ANY(:ids)",
        ids=ids[:2],
    )

    def listed(filters: dict[str, Any], limit: int = 20, before: int | None = None) -> Any:
        with world.deps.reading() as session:
            page = webhooks.list_webhooks(
                session, world.deps.cipher, filters, PageRequest(limit, before)
            )
        return [(view.row.id, view.health_status) for view in page.items], page.next_before

    everybody = [
        (ids[3], "unknown"),
        (ids[2], "unknown"),
        (ids[1], "degraded"),
        (ids[0], "degraded"),
    ]
    assert listed({}) == (everybody, None)
    assert listed({}, 3) == (everybody[:3], ids[1])
    assert listed({}, 3, ids[1]) == (everybody[3:], None)
    assert listed({"health_status": "degraded"}) == (everybody[2:], None)
    assert listed({"is_active": False}) == ([everybody[2]], None)
    assert listed({"is_active": True, "health_status": "degraded"}) == ([everybody[3]], None)
