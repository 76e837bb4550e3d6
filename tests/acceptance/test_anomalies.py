"""Anomalies through the API: a jump raises one alert that explains itself, and it ends."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.steps import settled, types
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.waiting import eventually

MINUTE = timedelta(minutes=1)


def listed(client: Client, **asked: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/anomalies", params={"operation": "checkout"} | asked)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def send(client: Client, now: datetime, values: dict[int, float]) -> None:
    """A value for each minute, by how many minutes before `now` it was."""
    samples = [
        {
            "operation": "checkout",
            "value": value,
            "unit": "ms",
            "timestamp": (now - ago * MINUTE).isoformat(),
        }
        for ago, value in values.items()
    ]
    answer = client.post("/api/v1/metrics", json={"samples": samples})
    assert answer.status_code == 201, answer.text


def without_a_baseline(client: Client) -> None:
    """Far away, so that no tick makes a baseline, of the jump as well, behind a test's back."""
    schedule = {"operation": "checkout", "next_run_at": "2100-01-01T00:00:00Z"}
    answer = client.post("/api/v1/baselines/schedules", json=schedule)
    assert answer.status_code == 201, answer.text


def normal(first: int, last: int) -> dict[int, float]:
    chance = random.Random(first)
    return {ago: chance.gauss(205, 8) for ago in range(first, last - 1, -1)}


def test_a_jump_is_one_alert_that_explains_itself_and_ends(
    client: Client, receiver: Receiver
) -> None:
    client.make_webhook(receiver.url("/on-call"))
    without_a_baseline(client)
    now = datetime.now(UTC)
    # An old jump teaches, and wakes nobody.
    old = dict.fromkeys(range(100, 96, -1), 390.0)
    send(client, now, normal(300, 101) | old | normal(96, 8) | {7: 412.0, 6: 418.0})

    def told() -> list[dict[str, Any]]:
        return [one for one in listed(client) if one["alert_id"] is not None]

    (anomaly,) = eventually(told, 60, "an anomaly with its alert")
    assert anomaly["severity"] in ("warning", "critical")
    assert anomaly["ended_at"] is None
    assert anomaly["expected_low"] < 205 < anomaly["expected_high"] < 400
    assert "p95 41" in anomaly["sentence"]
    assert " ms, usual 1" in anomaly["sentence"]
    alert = client.get(f"/api/v1/alerts/{anomaly['alert_id']}").json()
    assert alert["labels"] == {"operation": "checkout"}
    assert (alert["source"], alert["severity"]) == ("anomaly", anomaly["severity"])
    assert alert["title"].startswith("checkout: p95 41")
    settled(client, alert["id"])

    send(client, now, normal(5, 1))

    def is_over() -> bool:
        (found,) = [one for one in listed(client) if one["id"] == anomaly["id"]]
        return bool(found["end_reason"] == "back_to_normal")

    eventually(is_over, 60, "the end of the anomaly")
    alert = client.get(f"/api/v1/alerts/{alert['id']}").json()
    assert (alert["status"], alert["resolved_by"], alert["count"]) == ("resolved", "anomaly", 1)
    settled(client, alert["id"])
    assert types(receiver, "/on-call") == ["alert.firing", "alert.resolved"]
    assert [one["source"] for one in client.get("/api/v1/alerts").json()["items"]] == ["anomaly"]

    assert listed(client, since=now.isoformat()) == []
    assert len(listed(client, severity=anomaly["severity"], limit=100)) >= 1


def test_a_jump_of_right_now_does_not_wait_for_the_end_of_its_minute(client: Client) -> None:
    without_a_baseline(client)
    now = datetime.now(UTC)
    send(client, now, normal(300, 1))
    for _each in range(5):
        send(client, now, {0: 412.0})

    def alerts() -> list[dict[str, Any]]:
        asked = {"source": "anomaly"}
        items: list[dict[str, Any]] = client.get("/api/v1/alerts", params=asked).json()["items"]
        return items

    (alert,) = eventually(alerts, 60, "an alert")
    assert alert["labels"] == {"operation": "checkout"}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"severity": "bad"}, "severity"),
        ({"since": "x"}, "since"),
        ({"operation": ""}, "operation"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    client: Client, asked: dict[str, str], field: str
) -> None:
    answer = client.get("/api/v1/anomalies", params=asked)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]
