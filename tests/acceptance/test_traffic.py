"""Traffic through the API: gates and paces to look at, the pause, and back-pressure."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.steps import (
    another_web,
    checked_webhook,
    deliver_workers,
    settled,
    workers_have_looked,
)
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

LONG = {"retry_schedule_seconds": [0, 600, 600]}


def traffic(client: Client, webhook_id: int) -> dict[str, Any]:
    answer = client.get(f"/api/v1/webhooks/{webhook_id}/traffic")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def traffic_once(client: Client, webhook_id: int, field: str, *values: Any) -> dict[str, Any]:
    """Its traffic as soon as a field has one of these values; with none, any but null."""

    def look() -> dict[str, Any]:
        seen = traffic(client, webhook_id)
        here = seen[field] in values if values else seen[field] is not None
        return seen if here else {}

    return eventually(look, what=f"{field} of the webhook's traffic")


def batch(client: Client, webhook_id: int, count: int) -> None:
    alert = {"title": "Disk almost full", "severity": "critical", "webhook_ids": [webhook_id]}
    assert client.post("/api/v1/alerts/batch", json={"alerts": [alert] * count}).status_code == 201


class TestGate:
    def test_it_closes_says_why_and_is_opened_by_hand(
        self, client: Client, receiver: Receiver, system: System
    ) -> None:
        down = checked_webhook(client, receiver, "/down", Answer(500), **LONG)
        well = checked_webhook(client, receiver, "/well")
        assert traffic(client, well["id"])["gate"] == "open"
        # Each worker judges by what it has seen itself.
        batch(client, down["id"], 60 * len(deliver_workers(system)))
        closed = traffic_once(client, down["id"], "gate", "closed")
        assert closed["reason"] in {"half_of_outcomes_failed", "trial_failed"}
        assert closed["reopens_at"] is not None
        assert closed["failing_since"] is not None
        assert client.get("/api/v1/traffic").json()["gates"]["closed"] == 1
        # Nobody else is held.
        alert = client.raise_alert(webhook_ids=[well["id"]])
        assert settled(client, alert["id"])[0]["status"] == "delivered"

        receiver.plan("/down", Answer(204))
        opened = client.post(f"/api/v1/webhooks/{down['id']}/traffic/open")
        assert (opened.status_code, opened.json()["gate"]) == (200, "open")
        alert = client.raise_alert(webhook_ids=[down["id"]])
        assert settled(client, alert["id"])[0]["status"] == "delivered"

        changes = client.get(f"/api/v1/webhooks/{down['id']}/traffic/history").json()["items"]
        assert [one["reason"] for one in changes][-1] == "half_of_outcomes_failed"
        assert "by_hand" in [one["reason"] for one in changes]
        assert all(one["at"] and one["gate"] for one in changes)

    def test_a_receiver_that_asks_for_less_gets_less(
        self, client: Client, receiver: Receiver
    ) -> None:
        slow = checked_webhook(
            client, receiver, "/slow", *[Answer(204)] * 4, Answer(429), Answer(204), **LONG
        )
        batch(client, slow["id"], 6)
        seen = traffic_once(client, slow["id"], "pace_per_second")
        assert seen["gate"] == "open"
        history = client.get(f"/api/v1/webhooks/{slow['id']}/traffic/history").json()["items"]
        assert history[-1]["reason"] == "asked_to_slow_down"

    @pytest.mark.parametrize("path", ["traffic", "traffic/history"])
    def test_there_is_none_of_a_webhook_that_is_not_there(self, client: Client, path: str) -> None:
        assert client.get(f"/api/v1/webhooks/999999999/{path}").status_code == 404
        assert client.post("/api/v1/webhooks/999999999/traffic/open").status_code == 404


class TestPause:
    @pytest.fixture
    def paused(self, client: Client) -> Iterator[Client]:
        answer = client.put("/api/v1/traffic/pause", json={"reason": "we move house"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["paused_by"] == "admin"
        yield client
        client.delete("/api/v1/traffic/pause")

    def test_nothing_leaves_until_it_is_lifted_and_then_everything(
        self, client: Client, receiver: Receiver, paused: Client, system: System
    ) -> None:
        webhook = checked_webhook(client, receiver, "/hook")
        alert = client.raise_alert(webhook_ids=[webhook["id"]])
        assert client.get("/api/v1/traffic").json()["pause"]["reason"] == "we move house"
        # Both workers make a whole pass, as their job's run says, and take nothing.
        for _pass in range(2):
            self.run_deliver_job(client)
        assert client.deliveries(alert["id"])[0]["status"] == "pending"
        assert receiver.messages("/hook") == ()
        assert client.delete("/api/v1/traffic/pause").status_code == 204
        assert client.delete("/api/v1/traffic/pause").status_code == 204
        assert client.get("/api/v1/traffic").json()["pause"] is None
        history = client.get("/api/v1/traffic/history").json()["items"]
        assert [(one["reason"], one["by"]) for one in history] == [
            ("resumed", "admin"),
            ("paused", "admin"),
        ]
        assert settled(client, alert["id"])[0]["status"] == "delivered"
        workers_have_looked(client, receiver)

    @staticmethod
    def run_deliver_job(client: Client) -> None:
        asked = client.post("/api/v1/jobs/deliver/run")
        assert asked.status_code == 202

        def ran() -> bool:
            runs = client.get("/api/v1/jobs/deliver/executions").json()["items"]
            ended = {one["id"] for one in runs if one["status"] == "succeeded"}
            return asked.json()["id"] in ended

        eventually(ran, what="a pass")

    @pytest.mark.parametrize("body", [{"reason": ""}, {"reason": "x" * 501}, {"why": "so"}])
    def test_a_bad_one_is_refused(self, client: Client, body: dict[str, str]) -> None:
        assert client.put("/api/v1/traffic/pause", json=body).status_code == 422


class TestBackPressure:
    """With QUEUE_LIMIT 2: from two open deliveries on info is refused, from four warning too."""

    @pytest.fixture
    def crowded(
        self, client: Client, receiver: Receiver, system: System
    ) -> Iterator[tuple[Client, int]]:
        """A web process with a small limit, and a webhook that is owed four deliveries."""
        webhook = client.make_webhook(receiver.url("/full"))
        client.put("/api/v1/traffic/pause", json={})
        try:
            batch(client, webhook["id"], 4)
            with another_web(system, QUEUE_LIMIT="2") as url:
                yield Client(url, client.token), webhook["id"]
        finally:
            client.delete("/api/v1/traffic/pause")

    def test_low_severities_are_refused_critical_never(self, crowded: tuple[Client, int]) -> None:
        client, webhook = crowded
        backlog = client.get("/api/v1/traffic").json()["backlog"]
        assert backlog == {
            "undelivered": 4,
            "limit": 2,
            "refused_severities": ["info", "warning"],
        }
        for severity in ("info", "warning"):
            alert = {"title": "x", "severity": severity, "webhook_ids": [webhook]}
            answer = client.post("/api/v1/alerts", json=alert)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert severity in answer.json()["detail"]
        assert client.get("/api/v1/alerts?severity=info").json()["total"] == 0
        client.raise_alert(webhook_ids=[webhook])

        alerts = [
            {"title": "x", "severity": severity, "webhook_ids": [webhook]}
            for severity in ("info", "critical", "warning")
        ]
        answer = client.post("/api/v1/alerts/batch", json={"alerts": alerts})
        assert answer.status_code == 207
        assert [one["index"] for one in answer.json()["created"]] == [1]
        assert {one["index"]: list(one["errors"]) for one in answer.json()["errors"]} == {
            0: ["severity"],
            2: ["severity"],
        }
