"""Webhooks being checked: what makes them healthy, degraded, unavailable, and who is told."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.acceptance.steps import checked_webhook, closed_gate, moment, settled, types
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually


def check(client: Client, webhook: dict[str, Any]) -> dict[str, Any]:
    """Check it now, and what came of it."""
    answer = client.post(f"/api/v1/webhooks/{webhook['id']}/check")
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def health(client: Client, webhook: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(f"/api/v1/webhooks/{webhook['id']}/health")
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def alerts(client: Client) -> list[dict[str, Any]]:
    """All of them, the oldest first."""
    items: list[dict[str, Any]] = client.get("/api/v1/alerts").json()["items"]
    return items[::-1]


def test_the_first_check_that_passes_is_no_news(client: Client, receiver: Receiver) -> None:
    with closed_gate() as gate:
        receiver.plan("/hook", Answer(gate=gate))
        webhook = client.make_webhook(receiver.url("/hook"))
        eventually(lambda: receiver.probes("/hook"), what="the first check")
        assert webhook["health_status"] == "unknown"
        before = health(client, webhook)
        assert (before["health_status"], before["last_check_at"]) == ("unknown", None)
        assert before["uptime_24h"] is None

    after = eventually(lambda: (report := health(client, webhook))["last_check_at"] and report)

    assert after["health_status"] == "healthy"
    assert after["changed_at"] is not None
    assert after["latency_p50_ms"] > 0
    assert after["latency_p50_ms"] <= after["latency_p95_ms"] <= after["latency_p99_ms"]
    assert (after["uptime_24h"], after["uptime_7d"], after["uptime_30d"]) == (1, 1, 1)
    assert after["certificate_expires_at"] is None
    assert client.get(f"/api/v1/webhooks/{webhook['id']}").json()["health_status"] == "healthy"
    assert alerts(client) == []
    assert receiver.messages("/hook") == ()


def test_failures_in_a_row_raise_one_alert_and_passes_in_a_row_end_it(
    client: Client, receiver: Receiver
) -> None:
    sick = checked_webhook(
        client,
        receiver,
        "/sick",
        name="sick",
        health_check={"failure_threshold": 3, "recovery_threshold": 2},
    )
    client.make_webhook(receiver.url("/on-call"))

    # One pass between them, and failures are in a row no more.
    receiver.plan("/sick", Answer(503), Answer(503), Answer(), Answer(503))
    seen = [check(client, sick)["health_status"] for _check in range(5)]
    assert seen == ["healthy"] * 5
    assert alerts(client) == []
    assert check(client, sick)["health_status"] == "unavailable"
    assert check(client, sick)["health_status"] == "unavailable"

    (alert,) = alerts(client)
    assert (alert["severity"], alert["source"]) == ("critical", "webhook-health")
    assert alert["labels"] == {
        "webhook_id": str(sick["id"]),
        "webhook": "sick",
        "health_status": "unavailable",
        "reason": "unexpected_status",
    }
    assert (alert["status"], alert["count"]) == ("pending", 1)
    assert "sick" in alert["title"]
    settled(client, alert["id"])
    assert types(receiver, "/on-call") == ["alert.firing"]

    receiver.plan("/sick", Answer())
    assert check(client, sick)["health_status"] == "unavailable"
    assert alerts(client)[0]["status"] == "pending"
    assert check(client, sick)["health_status"] == "healthy"

    (alert,) = alerts(client)
    assert (alert["status"], alert["resolved_by"]) == ("resolved", "webhook-health")
    settled(client, alert["id"])
    assert types(receiver, "/on-call") == ["alert.firing", "alert.resolved"]
    # It is about the sick one, so that one is not told, neither then nor now.
    assert receiver.messages("/sick") == ()


def test_slow_answers_degrade(client: Client, receiver: Receiver) -> None:
    slow = checked_webhook(
        client,
        receiver,
        "/slow",
        health_check={"max_latency_ms": 100, "failure_threshold": 2, "recovery_threshold": 1},
    )
    client.make_webhook(receiver.url("/on-call"))

    def check_slowly() -> dict[str, Any]:
        with closed_gate() as gate:
            receiver.plan("/slow", Answer(gate=gate))
            opens = threading.Timer(0.2, gate.set)
            opens.start()
            result = check(client, slow)
            opens.join()
            return result

    first = check_slowly()
    assert (first["outcome"], first["reason"]) == ("slow", "too_slow")
    assert (first["health_status"], first["http_status"]) == ("healthy", 204)
    assert first["latency_ms"] > 100
    assert check_slowly()["health_status"] == "degraded"

    (alert,) = alerts(client)
    assert (alert["severity"], alert["labels"]["health_status"]) == ("warning", "degraded")
    # It answers, if slowly: that is no downtime.
    assert health(client, slow)["uptime_24h"] == 1
    settled(client, alert["id"])

    # From bad to worse: the alert of the state before ends, and that of the new one begins.
    receiver.plan("/slow", Answer(500))
    check(client, slow)
    assert check(client, slow)["health_status"] == "unavailable"
    before, now = alerts(client)
    assert (before["id"], before["status"]) == (alert["id"], "resolved")
    assert (now["severity"], now["status"]) == ("critical", "pending")


@pytest.mark.parametrize(
    ("expected_status", "answer", "outcome", "reason"),
    [
        (None, 404, "passed", "as_expected"),
        (None, 405, "passed", "as_expected"),
        (None, 302, "passed", "as_expected"),
        (None, 500, "failed", "unexpected_status"),
        ([200, 202], 202, "passed", "as_expected"),
        ([200, 202], 204, "failed", "unexpected_status"),
        ([503], 503, "passed", "as_expected"),
    ],
)
def test_which_answers_count_as_alive(
    client: Client,
    receiver: Receiver,
    expected_status: list[int] | None,
    answer: int,
    outcome: str,
    reason: str,
) -> None:
    webhook = checked_webhook(
        client,
        receiver,
        "/hook",
        Answer(answer, headers={"location": receiver.url("/elsewhere")}),
        health_check={"expected_status": expected_status},
    )

    result = check(client, webhook)

    assert (result["outcome"], result["reason"], result["http_status"]) == (outcome, reason, answer)
    assert receiver.probes("/elsewhere") == 0


def test_no_answer_is_a_failure_with_its_cause(client: Client, receiver: Receiver) -> None:
    with closed_gate() as gate:
        webhook = checked_webhook(client, receiver, "/hook", Answer(gate=gate), timeout_seconds=1)
        result = check(client, webhook)
    assert (result["outcome"], result["reason"]) == ("failed", "timed_out")
    assert result["http_status"] is None
    assert result["error"]

    port = receiver.port
    receiver.close()
    client.patch(f"/api/v1/webhooks/{webhook['id']}", json={"url": f"http://127.0.0.1:{port}/"})
    assert check(client, webhook)["reason"] == "connect_failed"


def test_checks_are_counted_and_kept(client: Client, receiver: Receiver) -> None:
    webhook = checked_webhook(client, receiver, "/hook", Answer(500), Answer(500), Answer())
    assert health(client, webhook)["consecutive_failures"] == 0
    for failures in (1, 2, 0, 0):
        check(client, webhook)
        assert health(client, webhook)["consecutive_failures"] == failures

    # The first, which nobody asked for, passed as well.
    assert health(client, webhook)["uptime_24h"] == pytest.approx(3 / 5)
    path = f"/api/v1/webhooks/{webhook['id']}/health/history"
    page = client.get(f"{path}?limit=4").json()
    outcomes = [(one["outcome"], one["http_status"]) for one in page["items"]]
    assert outcomes == [("passed", 204), ("passed", 204), ("failed", 500), ("failed", 500)]
    assert page["total"] == 5
    rest = client.get(f"{path}?limit=4&cursor={page['next_cursor']}").json()
    assert [one["outcome"] for one in rest["items"]] == ["passed"]
    assert rest["next_cursor"] is None


def test_it_is_checked_at_its_interval(client: Client, receiver: Receiver) -> None:
    webhook = client.make_webhook(receiver.url("/hook"), health_check_interval_seconds=5)
    inactive = client.make_webhook(
        receiver.url("/inactive"), health_check_interval_seconds=5, is_active=False
    )
    eventually(lambda: health(client, webhook)["last_check_at"], what="the first check")
    first = health(client, webhook)

    second = eventually(
        lambda: (now := health(client, webhook))["last_check_at"] != first["last_check_at"] and now,
        15,
        "the second check",
    )

    def between(later: dict[str, Any], earlier: dict[str, Any], name: str) -> timedelta:
        return moment(later[name]) - moment(earlier[name])

    # After the first check it comes into its phase, half an interval to one and a half later, and
    # keeps that, however late a check was.
    assert between(second, first, "next_check_at") == timedelta(seconds=5)
    late = between(second, first, "last_check_at") - timedelta(seconds=5)
    assert abs(late) < timedelta(seconds=2.5 + 3)
    assert receiver.probes("/hook") == 2
    assert health(client, inactive)["last_check_at"] is None
    assert receiver.probes("/inactive") == 0
