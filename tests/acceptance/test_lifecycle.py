"""Snoozing and expiry."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.steps import checked_webhook, settled, workers_have_looked
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.waiting import eventually


class TestSnooze:
    def test_holds_it_back_until_unsnoozed(self, client: Client, receiver: Receiver) -> None:
        hook = checked_webhook(client, receiver, "/hook", retry_schedule_seconds=[1])
        alert = client.raise_alert(webhook_ids=[hook["id"]])
        path = f"/api/v1/alerts/{alert['id']}"
        snoozed = client.post(f"{path}/snooze", json={"minutes": 60})
        assert snoozed.status_code == 200, snoozed.text
        assert (snoozed.json()["snoozed_by"], snoozed.json()["status"]) == ("admin", "pending")
        waits = client.get(f"{path}/explain").json()["webhooks"][0]["messages"][0]["waits"]
        assert waits == {"reason": "snoozed", "until": snoozed.json()["snoozed_until"]}
        workers_have_looked(client, receiver)
        assert not receiver.messages("/hook")

        ended = client.post(f"{path}/unsnooze")

        assert (ended.status_code, ended.json()["snoozed_until"]) == (200, None)
        assert settled(client, alert["id"])[0]["status"] == "delivered"

    def test_until_a_time_and_again(self, client: Client) -> None:
        alert = client.raise_alert()
        path = f"/api/v1/alerts/{alert['id']}/snooze"
        until = "2099-01-01T00:00:00+00:00"
        assert client.post(path, json={"until": until}).json()["snoozed_until"] == until
        assert client.post(path, json={"minutes": 1}).json()["snoozed_until"] < until

    def test_what_is_resolved_is_not_changed(self, client: Client) -> None:
        alert = client.raise_alert()
        client.post(f"/api/v1/alerts/{alert['id']}/resolve")
        answer = client.post(f"/api/v1/alerts/{alert['id']}/snooze", json={"minutes": 5})
        assert (answer.status_code, answer.json()["snoozed_until"]) == (200, None)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"minutes": 0},
            {"minutes": 5, "until": "2099-01-01T00:00:00Z"},
            {"until": "2001-01-01T00:00:00Z"},
            {"minutes": "5"},
            {"hours": 1},
        ],
    )
    def test_is_for_a_time_to_come(self, client: Client, body: dict[str, Any]) -> None:
        alert = client.raise_alert()
        answer = client.post(f"/api/v1/alerts/{alert['id']}/snooze", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"]

    def test_of_what_is_not_there(self, client: Client) -> None:
        for action in ("snooze", "unsnooze"):
            answer = client.post(f"/api/v1/alerts/123456789/{action}", json={"minutes": 5})
            assert answer.status_code == 404


class TestExpiry:
    def test_what_is_over_is_cancelled_and_resolved(
        self, client: Client, receiver: Receiver
    ) -> None:
        hook = checked_webhook(client, receiver, "/hook", retry_schedule_seconds=[3600])
        expires_at = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
        alert = client.raise_alert(webhook_ids=[hook["id"]], expires_at=expires_at)
        assert alert["expires_at"] == expires_at
        (told,) = settled(client, alert["id"])
        assert (told["status"], told["reason"]) == ("cancelled", "expired")
        ended = eventually(
            lambda: (
                (one := client.get(f"/api/v1/alerts/{alert['id']}").json())["status"] == "resolved"
                and one
            )
        )
        assert ended["resolved_by"] == "expiry"

    def test_must_be_in_the_future(self, client: Client) -> None:
        draft = {"title": "Old", "severity": "info", "expires_at": "2001-01-01T00:00:00Z"}
        answer = client.post("/api/v1/alerts", json=draft)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["expires_at"])
        batch = client.post("/api/v1/alerts/batch", json={"alerts": [draft]})
        assert batch.status_code == 207
        assert list(batch.json()["errors"][0]["errors"]) == ["expires_at"]
