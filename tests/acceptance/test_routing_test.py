"""Whom would this alert reach, and why: asked, and nothing done."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.checks import refused, signed_in
from tests.acceptance.steps import checked_webhook, moment, settled, sleeping_webhook
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

TEST = "/api/v1/routing/test"
DOWN = {"name": "HostDown", "host": "db-1"}


def ask(client: Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(TEST, json={"severity": "critical"} | fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert set(found) == {"routes", "targets", "muted_by", "decisions"}
    return found


def rule(client: Client, *webhooks: int, **fields: Any) -> int:
    body = {"name": "test", "webhook_ids": list(webhooks)} | fields
    answer = client.post("/api/v1/routing-rules", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def made(client: Client, path: str, **body: Any) -> int:
    answer = client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def reasons(found: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(one["reason"], one["rule_id"]) for one in found["decisions"]]


def told(found: dict[str, Any]) -> list[tuple[int, bool, str]]:
    return [(one["webhook_id"], one["told"], one["reason"]) for one in found["targets"]]


@pytest.fixture
def awake(client: Client, receiver: Receiver) -> list[int]:
    """Two webhooks that are active."""
    return [client.make_webhook(receiver.url("/hook"), name=f"hook {n}")["id"] for n in (1, 2)]


def test_without_rules_every_active_webhook_is_told(client: Client, awake: list[int]) -> None:
    sleeping_webhook(client)
    found = ask(client)
    assert told(found) == [(one, True, "no_rule_matched") for one in awake]
    assert found["routes"] == [
        {
            "reason": "no_rule_matched",
            "rule_id": None,
            "rule_name": None,
            "webhook_ids": None,
            "group": None,
            "steps": [],
            "repeat_minutes": None,
        }
    ]
    assert found["muted_by"] is None
    assert reasons(found) == [("no_rule_matched", None)]


def test_a_target_is_shown_with_its_name_and_health(
    client: Client, awake: list[int], receiver: Receiver
) -> None:
    eventually(
        lambda: {one["health_status"] for one in ask(client)["targets"]} == {"healthy"},
        what="the first checks",
    )
    assert ask(client)["targets"][0] == {
        "webhook_id": awake[0],
        "name": "hook 1",
        "is_active": True,
        "health_status": "healthy",
        "told": True,
        "reason": "no_rule_matched",
    }


def test_every_rule_has_its_reason(client: Client, awake: list[int]) -> None:
    one, two = awake
    other = rule(client, one, name="network", matchers=["team=network"])
    first = rule(client, one, name="storage", matchers=["team=storage"], continues=True)
    second = rule(client, two, one, name="serious", matchers=["severity=~warning|critical"])
    last = rule(client, two)
    found = ask(client, labels={"team": "storage"})
    assert reasons(found) == [
        ("rule_not_matched", other),
        ("rule_matched", first),
        ("rule_matched", second),
        ("rule_not_reached", last),
    ]
    assert [(way["rule_id"], way["rule_name"], way["webhook_ids"]) for way in found["routes"]] == [
        (first, "storage", [one]),
        (second, "serious", [two, one]),
    ]
    # Each webhook once, whatever number of rules names it.
    assert told(found) == [(one, True, "rule_matched"), (two, True, "rule_matched")]


def test_source_and_severity_are_looked_at(client: Client, awake: list[int]) -> None:
    rule(client, awake[0], matchers=["source=probe", "severity=info"])
    assert len(ask(client, severity="info", source="probe", title="x")["targets"]) == 1
    for fields in ({"severity": "info"}, {"source": "probe"}, {"labels": {"source": "probe"}}):
        assert len(ask(client, **fields)["targets"]) == 2


def test_what_would_follow(client: Client, awake: list[int]) -> None:
    one, two = awake
    steps = [{"after_minutes": 15, "webhook_ids": [two]}]
    rule(client, one, steps=steps, repeat_minutes=60)
    (way,) = ask(client)["routes"]
    assert (way["steps"], way["repeat_minutes"]) == (steps, 60)
    assert told(ask(client)) == [(one, True, "rule_matched")]


def test_a_group_says_when_it_is_told(client: Client, awake: list[int], system: System) -> None:
    its = rule(
        client,
        awake[0],
        group_by=["host", "rack"],
        group_wait_seconds=60,
        group_interval_seconds=600,
    )

    def seconds() -> float:
        (way,) = ask(client, labels={"host": "db-1"})["routes"]
        group = way["group"]
        assert group["labels"] == {"host": "db-1", "rack": ""}
        assert (group["wait_seconds"], group["interval_seconds"]) == (60, 600)
        return (moment(group["flush_at"]) - datetime.now(UTC)).total_seconds()

    # A new group; one that was told a minute ago; one that gathers. Other groups change nothing.
    assert 30 < seconds() <= 60
    with system.sql() as sql:
        for labels in ('{"host": "db-1", "rack": ""}', '{"host": "db-2", "rack": ""}'):
            sql.execute(
                "INSERT INTO pggit.alert_groups (rule_id, key, labels, flushed_at)"
                " VALUES (%s, %s, %s, now() - interval '60 s')",
                [its, labels, labels],
            )
        assert 510 < seconds() <= 540
        sql.execute(
            "UPDATE pggit.alert_groups SET flush_at = now() + interval '2 hours'"
            " WHERE labels->>'host' = 'db-1'"
        )
        assert 7000 < seconds() <= 7200


def test_named_webhooks_pass_by_the_rules(client: Client, awake: list[int]) -> None:
    rule(client, awake[0])
    found = ask(client, webhook_ids=[awake[1]])
    assert told(found) == [(awake[1], True, "named_by_alert")]
    assert reasons(found) == [("named_by_alert", None)]


def test_what_raising_would_refuse_is_refused(client: Client, awake: list[int]) -> None:
    asleep = sleeping_webhook(client)
    for unknown in (asleep, 10**15):
        body = {"severity": "info", "webhook_ids": [awake[0], unknown]}
        error = refused(client.post(TEST, json=body), 422, "webhook_ids")
        raised = client.post("/api/v1/alerts", json=body | {"title": "x"})
        assert error["errors"] == refused(raised, 422)["errors"]


def test_an_inactive_webhook_of_a_rule_is_not_told(client: Client, awake: list[int]) -> None:
    asleep, gone = sleeping_webhook(client, name="asleep"), sleeping_webhook(client)
    rule(client, awake[0], asleep, gone)
    assert client.delete(f"/api/v1/webhooks/{gone}").status_code == 204
    found = ask(client)
    assert told(found) == [
        (awake[0], True, "rule_matched"),
        (asleep, False, "webhook_inactive"),
        (gone, False, "webhook_inactive"),
    ]
    assert found["targets"][1]["name"] == "asleep"


class TestMuted:
    def test_by_a_silence(self, client: Client, awake: list[int]) -> None:
        end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        silence = made(client, "silences", matchers=["host=db-1"], ends_at=end)
        found = ask(client, labels={"host": "db-1"})
        assert found["muted_by"]["reason"] == "silenced"
        assert found["muted_by"]["silence_id"] == silence
        assert moment(found["muted_by"]["until"]) == moment(end)
        assert found["decisions"][-1] == found["muted_by"]
        # Whom it would reach is still answered, and that it does not.
        assert told(found) == [(one, False, "silenced") for one in awake]
        assert ask(client, labels={"host": "db-2"})["muted_by"] is None

    def test_by_an_open_alert(self, client: Client, awake: list[int]) -> None:
        inhibition = made(
            client,
            "inhibition-rules",
            name="a host that is down",
            source_matchers=["name=HostDown"],
            target_matchers=["name!=HostDown"],
            equal=["host"],
        )
        parent = client.raise_alert(labels=DOWN)["id"]
        found = ask(client, labels={"name": "Slow", "host": "db-1"})
        assert found["muted_by"] == {
            "reason": "inhibited",
            "rule_id": None,
            "silence_id": None,
            "inhibition_id": inhibition,
            "alert_id": parent,
            "until": None,
        }
        assert {one["reason"] for one in found["targets"]} == {"inhibited"}
        # It explains its children, not itself, nor other hosts.
        assert ask(client, labels=DOWN)["muted_by"] is None
        assert ask(client, labels={"name": "Slow", "host": "db-2"})["muted_by"] is None
        client.post(f"/api/v1/alerts/{parent}/resolve")
        assert ask(client, labels={"name": "Slow", "host": "db-1"})["muted_by"] is None


def test_it_writes_nothing_and_tells_nobody(
    client: Client, awake: list[int], receiver: Receiver, system: System
) -> None:
    rule(client, awake[0], continues=True, steps=[{"after_minutes": 1, "webhook_ids": awake}])
    rule(client, awake[1], group_by=["host"], group_wait_seconds=0)
    tables = ("alerts", "alert_events", "deliveries", "alert_groups", "alert_follow_ups")
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for is_muted in (False, True):
        if is_muted:
            made(client, "silences", matchers=['severity=~".*"'], ends_at=end)
        assert (ask(client)["muted_by"] is not None) is is_muted
        with system.sql() as sql:
            for table in tables:
                count = sql.execute(f"SELECT count(*) FROM pggit.{table}").fetchone()  # noqa: S608
                assert count == (0,), table
    assert receiver.messages("/hook") == ()


def test_a_viewer_may_ask(client: Client) -> None:
    assert signed_in(client, "viewer").post(TEST, json={"severity": "info"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({}, "severity"),
        ({"severity": "fatal"}, "severity"),
        ({"severity": None}, "severity"),
        ({"severity": "info", "source": ""}, "source"),
        ({"severity": "info", "labels": []}, "labels"),
        ({"severity": "info", "labels": {"host": 5}}, "labels.host"),
        ({"severity": "info", "labels": {"": "x"}}, "labels"),
        ({"severity": "info", "labels": {"host": "x" * 1025}}, "labels.host"),
        ({"severity": "info", "webhook_ids": []}, "webhook_ids"),
        ({"severity": "info", "webhook_ids": ["1"]}, "webhook_ids.0"),
        ({"severity": "info", "title": ""}, "title"),
        ({"severity": "info", "dedup_key": "x"}, "dedup_key"),
    ],
)
def test_what_is_wrong_is_refused(client: Client, body: dict[str, Any], blamed: str) -> None:
    refused(client.post(TEST, json=body), 422, blamed)


class TestItHappens:
    """What is answered is what comes of the alert when it is raised."""

    @staticmethod
    def explained(client: Client, alert_id: int) -> dict[str, Any]:
        answer = client.get(f"/api/v1/alerts/{alert_id}/explain")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def test_who_is_told_and_why(
        self, client: Client, awake: list[int], receiver: Receiver
    ) -> None:
        one, two = awake
        rule(client, two, matchers=["team=network"])
        rule(client, one, matchers=['team=~"stor.*"'])
        body = {"severity": "warning", "labels": {"team": "storage"}}
        answered = ask(client, **body)
        alert = client.raise_alert(**body)
        (delivery,) = settled(client, alert["id"])
        assert (delivery["webhook_id"], delivery["status"]) == (one, "delivered")
        assert [target["webhook_id"] for target in answered["targets"]] == [one]
        explanation = self.explained(client, alert["id"])
        reasons_then = {
            decision["reason"]
            for decision in explanation["decisions"]
            if decision["stage"] == "routing"
        }
        assert reasons_then == {decision["reason"] for decision in answered["decisions"]}

    def test_a_silence_holds_it_back_until_somebody_ends_it(
        self, client: Client, receiver: Receiver
    ) -> None:
        hook = checked_webhook(client, receiver, "/hook")["id"]
        end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        silence = made(client, "silences", matchers=["team=storage"], ends_at=end)
        body = {"severity": "critical", "labels": {"team": "storage"}}
        assert told(ask(client, **body)) == [(hook, False, "silenced")]
        alert = client.raise_alert(**body)
        (webhook,) = self.explained(client, alert["id"])["webhooks"]
        assert (webhook["told"], webhook["reason"]) == (False, "silenced")
        assert client.deliveries(alert["id"]) == []
        assert client.post(f"/api/v1/silences/{silence}/expire").status_code == 200
        (delivery,) = settled(client, alert["id"])
        assert (delivery["webhook_id"], delivery["status"]) == (hook, "delivered")

    def test_a_group_outlives_its_rule(
        self, client: Client, receiver: Receiver, system: System
    ) -> None:
        hook = checked_webhook(client, receiver, "/hook")["id"]
        its = rule(
            client, hook, group_by=["host"], group_wait_seconds=600, group_interval_seconds=0
        )
        alerts = [client.raise_alert(labels={"host": "db-1"})["id"] for _ in range(3)]
        assert client.delete(f"/api/v1/routing-rules/{its}").status_code == 204
        with system.sql() as sql:  # ten minutes later
            sql.execute("UPDATE pggit.alert_groups SET flush_at = now()")
        (message,) = eventually(lambda: receiver.messages("/hook"), what="the group")
        group = message.json["data"]["group"]
        assert (group["labels"], group["count"]) == ({"host": "db-1"}, 3)
        for alert in alerts:
            assert client.post(f"/api/v1/alerts/{alert}/resolve").status_code == 200
        ends = eventually(lambda: receiver.messages("/hook")[1:], what="its end")
        assert {one.json["type"] for one in ends} == {"alert.resolved"}
