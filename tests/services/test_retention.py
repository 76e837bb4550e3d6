"""What is past its time goes, and nothing else does."""

import pytest

from app.services import retention
from tests.services.world import World, delivered, failed


def purge(world: World) -> dict[str, int]:
    """How many of each kind went; kinds of which none did are left out."""
    removed = retention.purge(world.deps.unit_of_work)
    return {name: count for name, count in removed.items() if count}


def count(world: World, table: str) -> int:
    return int(world.one(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a constant


# For each kind: what makes a row of this age, and its table.
KINDS = {
    "health_checks": (
        "INSERT INTO pggit.webhook_health_checks"
        " (webhook_id, checked_at, outcome, reason, health_status)"
        " SELECT id, now() - CAST(:age AS interval), 'passed', 'as_expected', 'healthy'"
        " FROM pggit.webhooks",
        "pggit.webhook_health_checks",
    ),
    "job_executions": (
        "INSERT INTO pggit.scheduled_job_execution"
        " (job_name, trigger, status, scheduled_for, created_at)"
        " VALUES ('x', 'manual', 'succeeded', now(), now() - CAST(:age AS interval))",
        "pggit.scheduled_job_execution",
    ),
    "idempotent_requests": (
        "INSERT INTO pggit.idempotent_requests"
        " (principal, key, request_hash, status_code, answer, created_at)"
        " VALUES ('user:1', CAST(:age AS text), '', 201, '{}', now() - CAST(:age AS interval))",
        "pggit.idempotent_requests",
    ),
    "token_revocations": (
        "INSERT INTO pggit.token_revocations (id, expires_at)"
        " VALUES (CAST(:age AS text), now() - CAST(:age AS interval))",
        "pggit.token_revocations",
    ),
    "workers": (
        "INSERT INTO pggit.workers (name, lane, pid, seen_at)"
        " VALUES (CAST(:age AS text), 'deliver', 1, now() - CAST(:age AS interval))",
        "pggit.workers",
    ),
    "predictions": (
        "WITH made AS (INSERT INTO pggit_ml.models (version, kind, features_version, features,"
        " horizon_hours, decision, detail, trained_at)"
        " VALUES (0, 'rules', 1, '{}', 6, 'stated', '', now() - interval '99 days')"
        " ON CONFLICT DO NOTHING)"
        " INSERT INTO pggit_ml.predictions (webhook_id, model_version, as_of, made_at,"
        " horizon_hours, features_version, probability, features)"
        " SELECT id, 0, now() - CAST(:age AS interval), now() - CAST(:age AS interval), 6, 1, 0.1,"
        " '{}' FROM pggit.webhooks",
        "pggit_ml.predictions",
    ),
    "models": (
        "INSERT INTO pggit_ml.models (kind, features_version, features, horizon_hours, artifact,"
        " decision, detail, trained_at)"
        " VALUES ('model', 1, '{}', 6, '', 'no_better', '', now() - CAST(:age AS interval))",
        "pggit_ml.models",
    ),
    "redrives": (
        "INSERT INTO pggit.redrives (filter, status, total, created_by, created_at, finished_at)"
        " VALUES ('{}', 'finished', 0, 'x', now() - interval '90 days',"
        " now() - CAST(:age AS interval))",
        "pggit.redrives",
    ),
    "anomalies": (
        "INSERT INTO pggit_analytics.anomalies (operation, started_at, ended_at, end_reason,"
        " severity, score, value, low, high, sentence, views, odd_at, last_at)"
        " SELECT 'x', at, at, 'back_to_normal', 'info', 1, 1, 0, 0, '', '{}', at, at"
        " FROM (SELECT now() - CAST(:age AS interval) AS at) AS a",
        "pggit_analytics.anomalies",
    ),
    "detector_states": (
        "INSERT INTO pggit_analytics.detector_states (operation, fed_until)"
        " VALUES (CAST(:age AS text), now() - CAST(:age AS interval))",
        "pggit_analytics.detector_states",
    ),
}


@pytest.mark.parametrize(
    ("kind", "young", "old"),
    [
        ("health_checks", "29 days 23 hours", "30 days 1 hour"),
        ("job_executions", "6 days 23 hours", "7 days 1 hour"),
        ("idempotent_requests", "23 hours", "25 hours"),
        ("token_revocations", "-1 minute", "1 minute"),
        ("workers", "23 hours", "25 hours"),
        ("redrives", "29 days 23 hours", "30 days 1 hour"),
        ("predictions", "34 days 23 hours", "35 days 1 hour"),
        ("models", "89 days 23 hours", "90 days 1 hour"),
        ("anomalies", "89 days 23 hours", "90 days 1 hour"),
        ("detector_states", "29 days 23 hours", "30 days 1 hour"),
    ],
)
def test_each_kind_has_its_time(world: World, kind: str, young: str, old: str) -> None:
    world.webhook()
    make, table = KINDS[kind]
    for age in (young, old):
        world.sql(make, age=age)
    assert purge(world) == {kind: 1}
    assert count(world, table) == 1
    assert purge(world) == {}


def test_a_model_stays_while_it_predicts_or_what_it_said_is_there(world: World) -> None:
    webhook = world.webhook()
    make, table = KINDS["models"]
    for _ in range(3):
        world.sql(make, age="91 days")
    versions = [row[0] for row in world.sql("SELECT version FROM pggit_ml.models ORDER BY 1")]
    world.sql("UPDATE pggit_ml.models SET is_active = true WHERE version = :v", v=versions[0])
    world.sql(
        "INSERT INTO pggit_ml.predictions (webhook_id, model_version, as_of, horizon_hours,"
        " features_version, probability, features) VALUES (:id, :v, now(), 6, 1, 0.1, '{}')",
        id=webhook,
        v=versions[1],
    )
    assert purge(world) == {"models": 1}
    assert count(world, table) == 2


def age_alerts(world: World, age: str) -> None:
    world.sql("UPDATE pggit.alerts SET created_at = now() - CAST(:age AS interval)", age=age)


def test_an_old_alert_goes_with_all_that_belongs_to_it(world: World) -> None:
    for _ in range(2):
        world.webhook()
    world.alert()
    first, second = world.claim()
    world.complete(delivered(first), failed(second))
    age_alerts(world, "30 days 1 hour")
    world.sql("UPDATE pggit.webhooks SET is_active = false WHERE id = :id", id=second.webhook_id)
    kept = world.alert()
    assert purge(world) == {"alerts": 1}
    assert world.one("SELECT id FROM pggit.alerts") == kept
    for table in ("alert_events", "alert_delivery_queue"):
        assert count(world, f"pggit.{table}") == 1
    assert count(world, "pggit.alert_delivery_history") == 0
    assert count(world, "pggit.delivery_attempts") == 0


def test_an_alert_that_is_still_to_be_told_stays_however_old(world: World) -> None:
    world.webhook()
    world.alert()
    age_alerts(world, "90 days")
    assert purge(world) == {}
    world.complete(*map(delivered, world.claim()))
    assert purge(world) == {"alerts": 1}


def test_a_young_alert_stays(world: World) -> None:
    world.alert()
    age_alerts(world, "29 days 23 hours")
    assert purge(world) == {}


def test_a_deleted_webhook_goes_when_its_history_has_gone(world: World) -> None:
    webhook = world.webhook()
    world.webhook()
    world.alert()
    world.delete_webhook(webhook)
    world.sql(
        "UPDATE pggit.webhooks SET deleted_at = now() - interval '31 days' WHERE id = :id",
        id=webhook,
    )
    assert purge(world) == {}
    world.complete(*map(delivered, world.claim()))
    age_alerts(world, "31 days")
    assert purge(world) == {"alerts": 1, "deleted_webhooks": 1}
    assert count(world, "pggit.webhooks") == count(world, "pggit.webhook_health_metrics") == 1


def test_a_deleted_rule_goes_when_its_groups_have_gone(world: World) -> None:
    rules = [world.rule(1) for _ in range(3)]
    young, grouped, old = rules
    world.sql(
        "INSERT INTO pggit.alert_groups (rule_id, key, labels) VALUES (:id, '{}', '{}')", id=grouped
    )
    for rule in rules:
        age = "29 days" if rule == young else "31 days"
        world.sql(
            "UPDATE pggit.routing_rules SET deleted_at = now() - CAST(:age AS interval)"
            " WHERE id = :id",
            age=age,
            id=rule,
        )
    world.rule(1)
    assert purge(world) == {"deleted_routing_rules": 1}
    assert old not in {row[0] for row in world.sql("SELECT id FROM pggit.routing_rules")}
    assert count(world, "pggit.routing_rules") == 3


def test_a_silence_goes_long_after_its_end(world: World) -> None:
    world.sql(
        "INSERT INTO pggit.silences (matchers, starts_at, ends_at, created_by)"
        " SELECT '[]', now() - interval '90 days', now() + days * interval '1 day', 'tester'"
        " FROM unnest(ARRAY[-31, -29, 1]) AS days"
    )
    assert purge(world) == {"silences": 1}
    assert count(world, "pggit.silences") == 2


@pytest.mark.parametrize(("age", "cancelled"), [("6 days", 0), ("8 days", 3)])
def test_what_a_disabled_webhook_is_owed_ends_one_day(
    world: World, age: str, cancelled: int
) -> None:
    webhook = world.webhook(max_in_flight=1)
    world.owe(webhook, 3)
    world.claim()
    world.sql(
        "UPDATE pggit.webhooks SET is_active = false, updated_at = now() - CAST(:age AS interval)",
        age=age,
    )
    assert sum(purge(world).values()) == cancelled
    statuses = world.sql("SELECT DISTINCT status, reason FROM pggit.deliveries")
    assert statuses == ([("cancelled", "webhook_disabled")] if cancelled else [("pending", None)])


def test_it_goes_on_batch_by_batch_until_all_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sql(
        "INSERT INTO pggit.token_revocations (id, expires_at)"
        " SELECT number::text, now() - interval '1 hour'"
        " FROM generate_series(1, :count) AS number",
        count=2 * retention.BATCH + 1,
    )
    monkeypatch.setattr(retention, "MAX_BATCHES", 2)
    assert purge(world) == {"token_revocations": 2 * retention.BATCH}
    assert purge(world) == {"token_revocations": 1}
