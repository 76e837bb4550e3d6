"""A webhook is checked now, and its health and history are told."""

from typing import Any

import pytest

from app.adapters.embedded import free_port
from tests.acceptance.checks import page
from tests.acceptance.webhook_calls import ASLEEP, check, get, path_of
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(204), {"outcome": "passed", "reason": "as_expected", "http_status": 204}),
        # A receiver that takes POST only is alive.
        (Answer(405), {"outcome": "passed", "reason": "as_expected", "http_status": 405}),
        (Answer(500), {"outcome": "failed", "reason": "unexpected_status", "http_status": 500}),
    ],
)
def test_check_now_says_what_came_of_it(
    client: Client, receiver: Receiver, answer: Answer, expected: dict[str, Any]
) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    receiver.plan("/hook", answer)
    result = check(client, made)
    assert result | expected == result
    assert result["webhook_id"] == made["id"]
    assert result["latency_ms"] > 0
    assert result["error"] is None
    assert result["health_status"] == get(client, made)["health_status"]
    assert receiver.probes("/hook") == 1


def test_check_now_of_nobody(client: Client) -> None:
    made = client.make_webhook(f"http://127.0.0.1:{free_port()}/hook", **ASLEEP)
    result = check(client, made)
    assert result["outcome"] == "failed"
    assert result["reason"] == "connect_failed"
    assert result["http_status"] is None
    assert result["error"]


def test_health_and_its_history(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(
        receiver.url("/hook"), health_check={"failure_threshold": 2, "recovery_threshold": 1},
        **ASLEEP,
    )  # fmt: skip
    fresh = get(client, made, "health")
    assert fresh["health_status"] == "unknown"
    assert fresh["last_check_at"] is None
    assert fresh["uptime_24h"] is None
    assert fresh["latency_p50_ms"] is None
    assert get(client, made, "health", "history")["items"] == []

    receiver.plan("/hook", Answer(204), Answer(204), Answer(500), Answer(500), Answer(503))
    results = [check(client, made) for _ in range(5)]
    states = ["healthy", "healthy", "healthy", "unavailable", "unavailable"]
    assert [result["health_status"] for result in results] == states

    health = get(client, made, "health")
    assert health["webhook_id"] == made["id"]
    assert health["health_status"] == "unavailable"
    assert health["consecutive_failures"] == 3
    assert health["uptime_24h"] == health["uptime_7d"] == health["uptime_30d"] == 0.4
    assert 0 < health["latency_p50_ms"] <= health["latency_p95_ms"] <= health["latency_p99_ms"]
    assert health["last_check_at"] == results[-1]["checked_at"]
    assert health["changed_at"] == results[3]["checked_at"]
    assert health["certificate_expires_at"] is None
    assert get(client, made)["health_status"] == "unavailable"

    history = get(client, made, "health", "history")
    assert history["total"] == 5
    assert history["items"] == results[::-1]
    first = get(client, made, "health", "history?limit=2")
    rest = get(client, made, "health", f"history?limit=3&cursor={first['next_cursor']}")
    assert first["items"] + rest["items"] == history["items"]
    assert rest["next_cursor"] is None


def test_history_from_and_to(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    first, second, third = (check(client, made) for _ in range(3))

    def between(**query: str) -> list[dict[str, Any]]:
        answer = client.get(path_of(made, "health", "history"), params=query)
        items: list[dict[str, Any]] = page(answer)["items"]
        return items

    assert between(since=second["checked_at"]) == [third, second]
    assert between(until=second["checked_at"]) == [first]
    assert between(since=first["checked_at"], until=third["checked_at"]) == [second, first]
