"""Webhooks being checked by conditions, in dependence on others, and shown over time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.acceptance.checks import refused
from tests.acceptance.steps import checked_webhook
from tests.acceptance.test_health_checks import alerts, check, health
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"body_includes": "ready"}, "as_expected"),
        ({"body_includes": "Ready"}, "body_text_missing"),
        ({"body_excludes": "ready"}, "body_text_forbidden"),
        ({"headers": {"X-State": "up", "content-length": None}}, "as_expected"),
        ({"headers": {"x-state": "down"}}, "header_mismatch"),
    ],
)
def test_conditions_on_the_answer(
    client: Client, receiver: Receiver, condition: dict[str, Any], reason: str
) -> None:
    answer = Answer(200, {"x-state": "up"}, b"all ready")
    webhook = checked_webhook(client, receiver, "/hook", answer, health_check=condition)
    assert webhook["health_check"].items() >= condition.items()
    assert check(client, webhook)["reason"] == reason


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"health_check": {"body_includes": ""}}, "health_check.body_includes"),
        ({"health_check": {"body_includes": 5}}, "health_check.body_includes"),
        ({"health_check": {"headers": ["a"]}}, "health_check.headers"),
        ({"health_check": {"min_certificate_days": 0}}, "health_check.min_certificate_days"),
        ({"health_check": {"flap_changes": 1}}, "health_check.flap_changes"),
        ({"health_check": {"flap_window_seconds": 1}}, "health_check.flap_window_seconds"),
        ({"health_check": {"method": "HEAD", "body_includes": "x"}}, "health_check.method"),
        ({"depends_on": [10**12]}, "depends_on"),
        ({"depends_on": "all"}, "depends_on"),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: Client, fields: dict[str, Any], blamed: str
) -> None:
    body = {"name": "test", "url": "http://127.0.0.1:9000/hook"} | fields
    refused(client.post("/api/v1/webhooks", json=body), 422, blamed)


def test_a_check_shows_its_phases_and_so_does_the_history(
    client: Client, receiver: Receiver
) -> None:
    webhook = checked_webhook(client, receiver, "/hook")
    result = check(client, webhook)
    timings = result["timings"]
    assert timings["total_ms"] == result["latency_ms"] > 0
    assert 0 < timings["connect_ms"] < timings["total_ms"]
    assert 0 < timings["first_byte_ms"] < timings["total_ms"]
    assert (timings["dns_ms"], timings["tls_ms"]) == (0, 0)
    page = client.get(f"/api/v1/webhooks/{webhook['id']}/health/history").json()
    assert page["items"][0] == result
    assert page["items"][1]["decision"] == "first_pass"


def test_a_failure_that_would_take_it_down_is_confirmed_at_once(
    client: Client, receiver: Receiver
) -> None:
    webhook = checked_webhook(client, receiver, "/hook", health_check={"failure_threshold": 1})
    receiver.plan("/hook", Answer(503), Answer())
    result = check(client, webhook)
    assert (result["outcome"], result["decision"]) == ("passed", "not_confirmed")
    assert result["confirms"] == "unexpected_status: HTTP 503"
    assert receiver.probes("/hook") == 3
    assert alerts(client) == []


def test_children_of_one_that_is_down_are_unknown_and_one_alert_tells(
    client: Client, receiver: Receiver
) -> None:
    once = {"failure_threshold": 1, "recovery_threshold": 1}
    parent = checked_webhook(client, receiver, "/gateway", health_check=once)
    child = checked_webhook(
        client, receiver, "/behind", health_check=once, depends_on=[parent["id"]]
    )
    receiver.plan("/gateway", Answer(503))
    receiver.plan("/behind", Answer(503))
    check(client, parent)
    shown = health(client, child)
    assert (shown["health_status"], shown["blocked_by"]) == ("unknown", parent["id"])
    assert check(client, child)["decision"] == "parent_unavailable"
    (alert,) = alerts(client)
    assert alert["labels"]["webhook_id"] == str(parent["id"])

    path = f"/api/v1/webhooks/{parent['id']}"
    refused(client.patch(path, json={"depends_on": [child["id"]]}), 422, "depends_on")

    # Back again, it sets them free, and they are checked without delay.
    receiver.plan("/gateway", Answer())
    receiver.plan("/behind", Answer())
    check(client, parent)
    eventually(lambda: health(client, child)["health_status"] == "healthy", what="the child's turn")
    assert client.delete(path).status_code == 204
    assert client.get(f"/api/v1/webhooks/{child['id']}").json()["depends_on"] == []


def test_a_timeline_shows_what_was_and_what_was_not(client: Client, receiver: Receiver) -> None:
    webhook = checked_webhook(client, receiver, "/hook", Answer(), Answer(500))
    for _check in range(2):
        check(client, webhook)
    path = f"/api/v1/webhooks/{webhook['id']}/health/timeline"
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    line = client.get(path, params={"since": since, "step": 600}).json()
    assert line["step"] == 600
    assert len(line["items"]) in (6, 7)
    gap = line["items"][0]
    assert (gap["checks"], gap["uptime"], gap["failed"]) == (0, None, None)
    assert sum(point["checks"] for point in line["items"]) == 3
    assert sum(point["failed"] or 0 for point in line["items"]) == 1
    last = next(point for point in line["items"] if point["checks"])
    assert last["latency_min_ms"] <= last["latency_p50_ms"] <= last["latency_max_ms"]
    for query in ({"step": 61}, {"step": 0}, {"step": 60, "since": "2020-01-01T00:00:00Z"}):
        refused(client.get(path, params=query), 422)


def test_a_badge_says_how_it_is(client: Client, receiver: Receiver) -> None:
    webhook = checked_webhook(client, receiver, "/hook", name="a <b> & c")
    path = f"/api/v1/webhooks/{webhook['id']}/badge.svg"

    def title(query: str) -> str | None:
        answer = client.as_nobody().get(f"{path}?token={client.token}{query}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("image/svg+xml")
        return ElementTree.fromstring(answer.text)[0].text  # noqa: S314 - our own

    assert title("") == "a <b> & c: healthy"
    assert title("&show=uptime&window=7d") == "a <b> & c 7d: 100 %"
    refused(client.get(f"{path}?show=everything"), 422, "show")
    refused(client.as_nobody().get(path), 401)
    refused(client.get("/api/v1/webhooks/999999999/badge.svg"), 404)
