"""Prometheus Alertmanager sends to us: what it tells becomes alerts, once each, and ends them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.acceptance.checks import refused
from tests.acceptance.steps import settled, types
from tests.harness.client import Client
from tests.harness.receiver import Receiver

PATH = "/api/v1/integrations/alertmanager"
BEGAN = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
NEVER = "0001-01-01T00:00:00Z"


def told(
    fingerprint: str = "48f1a8d4b1c2e3f0",
    *,
    status: str = "firing",
    began: datetime = BEGAN,
    labels: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """An alert as Alertmanager 0.25 writes it."""
    ended = (began + timedelta(minutes=5)).isoformat()
    return {
        "status": status,
        "labels": {"alertname": "DiskAlmostFull", "severity": "critical", "instance": "db-1"}
        | (labels or {}),
        "annotations": {"summary": "Disk almost full", "description": "/var is at 97 %"},
        "startsAt": began.isoformat(),
        "endsAt": NEVER if status == "firing" else ended,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=disk",
        "fingerprint": fingerprint,
    } | fields


def message(*alerts: object, **fields: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="DiskAlmostFull"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "tocsin",
        "groupLabels": {"alertname": "DiskAlmostFull"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
    } | fields


def post(client: Client, *alerts: object, status: int = 200) -> dict[str, Any]:
    answer = client.post(PATH, json=message(*alerts))
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def became(answer: dict[str, Any]) -> list[str]:
    return [one["became"] for one in answer["alerts"]]


def all_alerts(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/v1/alerts?limit=100").json()["items"]
    return found[::-1]


def test_it_becomes_an_alert_and_is_told(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/hook"))

    answer = post(client, told())

    (one,) = answer["alerts"]
    assert one == {
        "index": 0,
        "fingerprint": "48f1a8d4b1c2e3f0",
        "became": "created",
        "id": one["id"],
    }
    assert answer["errors"] == []
    alert = client.get(f"/api/v1/alerts/{one['id']}").json()
    assert alert["title"] == "Disk almost full"
    assert alert["message"] == (
        "/var is at 97 %\nSource: http://prometheus:9090/graph?g0.expr=disk"
    )
    assert (alert["severity"], alert["source"]) == ("critical", "alertmanager")
    assert alert["labels"] == {
        "alertname": "DiskAlmostFull",
        "severity": "critical",
        "instance": "db-1",
    }
    assert alert["dedup_key"] == "alertmanager/48f1a8d4b1c2e3f0"
    settled(client, one["id"])
    assert types(receiver, "/hook") == ["alert.firing"]


def test_its_end_resolves_the_alert(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/hook"))
    (one,) = post(client, told())["alerts"]
    settled(client, one["id"])

    answer = post(client, told(status="resolved"))

    assert became(answer) == ["resolved"]
    assert client.get(f"/api/v1/alerts/{one['id']}").json()["status"] == "resolved"
    settled(client, one["id"])
    assert types(receiver, "/hook") == ["alert.firing", "alert.resolved"]


def test_what_is_told_again_changes_nothing(client: Client) -> None:
    """A request that is repeated, a group that has changed, two Alertmanagers: all say it again."""
    first = post(client, told("a"), told("b"))
    before = all_alerts(client)

    again = post(client, told("a"), told("b"), told("c"))

    assert became(first) == ["created", "created"]
    assert became(again) == ["open", "open", "created"]
    assert [one["id"] for one in again["alerts"][:2]] == [one["id"] for one in first["alerts"]]
    assert all_alerts(client)[:2] == before
    assert [one["count"] for one in all_alerts(client)] == [1, 1, 1]

    assert became(post(client, told("a", status="resolved"))) == ["resolved"]
    assert became(post(client, told("a", status="resolved"))) == ["over"]
    # Late news of the same time that it fired: of the other one of a pair, say.
    assert became(post(client, told("a"))) == ["over"]
    assert len(all_alerts(client)) == 3


def test_it_can_fire_again(client: Client) -> None:
    (first,) = post(client, told())["alerts"]
    post(client, told(status="resolved"))

    (second,) = post(client, told(began=BEGAN + timedelta(hours=1)))["alerts"]

    assert second["became"] == "created"
    assert second["id"] != first["id"]
    statuses = [one["status"] for one in all_alerts(client)]
    assert statuses == ["resolved", "pending"]


def test_an_end_that_comes_late_does_not_end_what_has_begun_since(client: Client) -> None:
    later = BEGAN + timedelta(hours=1)
    (first,) = post(client, told())["alerts"]
    (again,) = post(client, told(began=later))["alerts"]
    assert (again["became"], again["id"]) == ("open", first["id"])

    assert became(post(client, told(status="resolved"))) == ["open"]

    assert all_alerts(client)[0]["status"] == "pending"
    assert became(post(client, told(began=later, status="resolved"))) == ["resolved"]
    assert all_alerts(client)[0]["status"] == "resolved"


def test_an_end_without_a_beginning_raises_nothing_then_or_later(client: Client) -> None:
    assert became(post(client, told(status="resolved"))) == ["over"]
    assert became(post(client, told())) == ["over"]
    assert all_alerts(client) == []


def test_what_a_person_has_resolved_stays_so(client: Client) -> None:
    """Alertmanager goes on saying that it fires; who resolved it knows."""
    (one,) = post(client, told())["alerts"]
    assert client.post(f"/api/v1/alerts/{one['id']}/resolve").status_code == 200
    assert became(post(client, told())) == ["over"]
    assert became(post(client, told(status="resolved"))) == ["over"]
    assert len(all_alerts(client)) == 1


def test_bad_ones_are_refused_by_name_and_good_ones_are_not_lost(client: Client) -> None:
    bad: list[object] = [
        {"status": "firing"},
        None,
        told("x", status="smouldering"),
        told("y", labels={"zero": "a\0b"}),
        told("z", startsAt="yesterday"),
        told("many", labels={f"label_{number}": "" for number in range(50)}),
    ]

    answer = post(client, *bad[:3], told("good"), *bad[3:], status=207)

    (good,) = answer["alerts"]
    assert (good["index"], good["became"]) == (3, "created")
    errors = {one["index"]: sorted(one["errors"]) for one in answer["errors"]}
    assert errors == {
        0: ["fingerprint", "labels", "startsAt"],
        1: ["_schema"],
        2: ["status"],
        4: ["labels.zero"],
        5: ["startsAt"],
        6: ["labels"],
    }
    assert [one["dedup_key"] for one in all_alerts(client)] == ["alertmanager/good"]


def test_with_none_that_is_good_it_says_so(client: Client) -> None:
    """Alertmanager takes 2xx for success, and writes anything else into its log."""
    errors = refused(client.post(PATH, json=message({"status": "firing"})), 422)["errors"]
    assert "alerts.0.fingerprint" in errors
    assert "version" in refused(client.post(PATH, json=message(version="3")), 422)["errors"]
    assert all_alerts(client) == []


def test_what_is_too_long_is_cut_not_lost(client: Client) -> None:
    long = told(labels={"query": "q" * 5000})
    long["annotations"] = {"summary": "s" * 5000, "description": "d" * 50_000}

    assert became(post(client, long)) == ["created"]

    (alert,) = all_alerts(client)
    assert (len(alert["title"]), len(alert["message"])) == (500, 20_000)
    assert len(alert["labels"]["query"]) == 1024


def test_a_large_group_is_taken_in_whole(client: Client) -> None:
    """More than one transaction takes."""
    group = [told(f"{number:016x}") for number in range(120)]
    assert set(became(post(client, *group))) == {"created"}
    assert set(became(post(client, *group))) == {"open"}
    assert client.get("/api/v1/alerts").json()["total"] == 120


@pytest.mark.parametrize("role", ["operator"])
def test_an_api_key_is_enough(client: Client, role: str) -> None:
    made = client.post("/api/v1/api-keys", json={"name": "alertmanager", "role": role}).json()
    machine = client.with_token(made["key"])
    answer: requests.Response = machine.post(PATH, json=message(told()))
    assert became(answer.json()) == ["created"]
