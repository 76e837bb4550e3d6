"""Dead letters, redrives and webhooks that are disabled, through the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.acceptance.checks import ids, page, refused, signed_in
from tests.acceptance.steps import checked_webhook, settled, workers_have_looked
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually

DELIVERIES = "/api/v1/deliveries"
REDRIVE = f"{DELIVERIES}/redrive"
REDRIVES = f"{DELIVERIES}/redrives"
DEAD_LETTERS = f"{DELIVERIES}/dead-letters"


def failures(client: Client, receiver: Receiver, path: str, count: int) -> dict[str, Any]:
    """A webhook with so many deliveries that failed; whatever comes now is accepted."""
    webhook = checked_webhook(client, receiver, path, Answer(400, body=b"not now"))
    alert = {"title": "Disk almost full", "severity": "critical", "webhook_ids": [webhook["id"]]}
    answer = client.post("/api/v1/alerts/batch", json={"alerts": [alert] * count})
    assert answer.status_code == 201

    def failed() -> bool:
        found = client.get(f"{DEAD_LETTERS}?webhook_id={webhook['id']}")
        return bool(page(found)["total"] == count)

    eventually(failed, what="all of them to fail")
    receiver.plan(path, Answer())
    return webhook


def begin(client: Client, **filters: Any) -> dict[str, Any]:
    answer = client.post(REDRIVE, json={"filter": filters})
    assert answer.status_code == 202, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


def seen(client: Client, redrive: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(f"{REDRIVES}/{redrive['id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def seen_once(client: Client, redrive: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A redrive as soon as these fields are so."""

    def look() -> dict[str, Any]:
        view = seen(client, redrive)
        return view if fields.items() <= view.items() else {}

    return eventually(look, what=f"{fields} of the redrive")


@contextmanager
def paused(client: Client) -> Iterator[None]:
    assert client.put("/api/v1/traffic/pause", json={}).status_code == 200
    try:
        yield
    finally:
        client.delete("/api/v1/traffic/pause")


class TestRedrive:
    def test_what_failed_arrives_as_the_same_message(
        self, client: Client, receiver: Receiver
    ) -> None:
        webhook = failures(client, receiver, "/hook", 3)
        other = failures(client, receiver, "/other", 1)
        first = {message.id for message in receiver.messages("/hook")}

        begun = begin(client, webhook_id=webhook["id"])

        assert (begun["status"], begun["total"], begun["requeued"]) == ("running", 3, 0)
        assert begun["filter"] == {"webhook_id": [webhook["id"]]}
        assert begun["created_by"] == "admin"
        done = seen_once(client, begun, delivered=3)
        assert done["status"] == "finished"
        counts = ("requeued", "skipped", "failed", "cancelled", "open", "elsewhere")
        assert {name: done[name] for name in counts} == dict.fromkeys(counts, 0) | {"requeued": 3}
        (share,) = done["webhooks"]
        assert (share["webhook_id"], share["total"], share["requeued"]) == (webhook["id"], 3, 3)
        again = receiver.messages("/hook")[3:]
        assert {message.id for message in again} == first
        for message in again:
            Webhook(webhook["secret"]).verify(message.body, dict(message.headers))
        # Nobody else's.
        assert len(receiver.messages("/other")) == 1
        assert page(client.get(DEAD_LETTERS))["total"] == 1
        assert page(client.get(f"{DEAD_LETTERS}?webhook_id={other['id']}"))["total"] == 1

    def test_a_dry_run_says_what_matches_and_changes_nothing(
        self, client: Client, receiver: Receiver
    ) -> None:
        many = failures(client, receiver, "/many", 11)
        few = failures(client, receiver, "/few", 2)
        client.patch(f"/api/v1/webhooks/{few['id']}", json={"is_active": False})
        before = client.get(f"{DELIVERIES}?limit=100").json()

        answer = client.post(REDRIVE, json={"filter": {}, "dry_run": True})

        assert answer.status_code == 200
        found = answer.json()
        assert set(found) == {"total", "by_webhook", "by_reason", "sample"}
        assert found["total"] == 13
        assert found["by_webhook"] == [
            {"webhook_id": many["id"], "name": "test", "is_active": True, "count": 11},
            {"webhook_id": few["id"], "name": "test", "is_active": False, "count": 2},
        ]
        assert found["by_reason"] == [{"reason": "rejected", "count": 13}]
        # As REST shows them, the ones that wait longest.
        assert found["sample"] == before["items"][::-1][:10]
        assert client.get(f"{DELIVERIES}?limit=100").json() == before
        assert ids(client.get(REDRIVES)) == []

    def test_what_is_for_an_inactive_webhook_is_skipped_and_said(
        self, client: Client, receiver: Receiver
    ) -> None:
        webhook = failures(client, receiver, "/hook", 2)
        client.patch(f"/api/v1/webhooks/{webhook['id']}", json={"is_active": False})
        begun = begin(client)
        done = seen_once(client, begun, status="finished")
        assert (done["requeued"], done["skipped"]) == (0, 2)
        assert done["skipped_by_reason"] == {"webhook_inactive": 2}

    def test_cancelled_it_gives_up_what_was_not_attempted(
        self, client: Client, receiver: Receiver
    ) -> None:
        webhook = failures(client, receiver, "/hook", 3)
        with paused(client):
            begun = begin(client, webhook_id=[webhook["id"]])
            seen_once(client, begun, open=3)
            for _twice in range(2):
                answer = client.post(f"{REDRIVES}/{begun['id']}/cancel")
                assert answer.status_code == 200
                view = answer.json()
                assert (view["status"], view["failed"], view["open"]) == ("cancelled", 3, 0)

        letters = page(client.get(f"{DEAD_LETTERS}?reason=redrive_cancelled"))
        assert letters["total"] == 3
        assert {letter["redrive_id"] for letter in letters["items"]} == {begun["id"]}
        workers_have_looked(client, receiver)
        assert len(receiver.messages("/hook")) == 3

    def test_they_are_listed_the_newest_first(self, client: Client, receiver: Receiver) -> None:
        failures(client, receiver, "/hook", 1)
        begun = [begin(client, severity="info")["id"] for _ in range(3)]
        first = page(client.get(f"{REDRIVES}?limit=2"))
        rest = page(client.get(f"{REDRIVES}?limit=2&cursor={first['next_cursor']}"))
        assert [one["id"] for one in first["items"] + rest["items"]] == begun[::-1]
        assert {one["status"] for one in first["items"]} == {"finished"}

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, ["filter"]),
            ({"filter": {"webhok_id": 1}}, ["filter.webhok_id"]),
            ({"filter": {}, "dryrun": True}, ["dryrun"]),
            ({"filter": {}, "dry_run": "yes"}, ["dry_run"]),
            ({"filter": {"status": "delivered"}}, ["filter.status.0"]),
            ({"filter": {"status": []}}, ["filter.status"]),
            ({"filter": {"severity": ["critical", "bad"]}}, ["filter.severity.1"]),
            ({"filter": {"webhook_id": "1"}}, ["filter.webhook_id.0"]),
            ({"filter": {"reason": "because"}}, ["filter.reason.0"]),
            ({"filter": {"type": "webhook.ping"}}, ["filter.type.0"]),
            ({"filter": {"since": "yesterday"}}, ["filter.since"]),
            ({"filter": []}, ["filter._schema"]),
        ],
    )
    def test_what_it_does_not_understand_it_refuses(
        self, client: Client, body: dict[str, Any], fields: list[str]
    ) -> None:
        refused(client.post(REDRIVE, json=body), 422, *fields)

    def test_there_is_none_that_is_not_there(self, client: Client) -> None:
        refused(client.get(f"{REDRIVES}/999999999"), 404)
        refused(client.post(f"{REDRIVES}/999999999/cancel"), 404)

    def test_a_viewer_looks_an_operator_redrives(self, client: Client) -> None:
        viewer, operator = signed_in(client, "viewer"), signed_in(client, "operator")
        for path in (REDRIVES, DEAD_LETTERS, f"{DEAD_LETTERS}/summary"):
            assert viewer.get(path).status_code == 200
        for dry_run in (True, False):
            refused(viewer.post(REDRIVE, json={"filter": {}, "dry_run": dry_run}), 403)
        begun = begin(operator)
        refused(viewer.post(f"{REDRIVES}/{begun['id']}/cancel"), 403)
        assert operator.post(f"{REDRIVES}/{begun['id']}/cancel").status_code == 200


class TestDeadLetters:
    def test_each_says_what_one_wants_to_know(self, client: Client, receiver: Receiver) -> None:
        webhook = checked_webhook(
            client, receiver, "/hook", Answer(500), Answer(500), Answer(503), name="on-call"
        )
        alert = client.raise_alert(title="Disk full", severity="warning")
        (failed,) = settled(client, alert["id"])

        (letter,) = page(client.get(DEAD_LETTERS))["items"]

        assert letter == {
            "id": failed["id"],
            "alert_id": alert["id"],
            "alert_title": "Disk full",
            "alert_status": "pending",
            "severity": "warning",
            "webhook_id": webhook["id"],
            "webhook_name": "on-call",
            "webhook_is_active": True,
            "webhook_message_id": failed["webhook_message_id"],
            "type": "alert.firing",
            "reason": "attempts_exhausted",
            "attempts_made": 3,
            "last_attempt": failed["attempts"][-1],
            "redrive_id": None,
            "created_at": failed["created_at"],
            "finished_at": failed["finished_at"],
        }
        assert letter["last_attempt"]["http_status"] == 503

    def test_they_are_found_and_counted(self, client: Client, receiver: Receiver) -> None:
        many = failures(client, receiver, "/many", 4)
        one = checked_webhook(client, receiver, "/one", Answer(500))
        told = client.raise_alert(severity="info", webhook_ids=[one["id"]])
        (exhausted,) = settled(client, told["id"])
        everything = ids(client.get(DEAD_LETTERS))
        assert everything == sorted(everything, reverse=True)
        assert len(everything) == 5
        rejected = everything[1:]
        for query, expected in {
            f"webhook_id={one['id']}": [exhausted["id"]],
            f"webhook_id={one['id']}&webhook_id={many['id']}": everything,
            f"alert_id={told['id']}": [exhausted["id"]],
            "severity=critical": rejected,
            "severity=critical&severity=info": everything,
            "reason=rejected": rejected,
            "type=alert.resolved": [],
            "until=2020-01-01T00:00:00Z": [],
            "since=2020-01-01T00:00:00Z": everything,
        }.items():
            assert ids(client.get(f"{DEAD_LETTERS}?{query}")) == expected, query
            summary = client.get(f"{DEAD_LETTERS}/summary?{query}").json()
            assert summary["total"] == len(expected)
        assert client.get(f"{DEAD_LETTERS}/summary").json() == {
            "total": 5,
            "by_webhook": [
                {"webhook_id": many["id"], "name": "test", "is_active": True, "count": 4},
                {"webhook_id": one["id"], "name": "test", "is_active": True, "count": 1},
            ],
            "by_reason": [
                {"reason": "rejected", "count": 4},
                {"reason": "attempts_exhausted", "count": 1},
            ],
        }
        first = page(client.get(f"{DEAD_LETTERS}?limit=2&severity=critical"))
        assert first["total"] == 4
        rest = client.get(f"{DEAD_LETTERS}?limit=2&severity=critical&cursor={first['next_cursor']}")
        assert [letter["id"] for letter in first["items"]] + ids(rest) == rejected

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("status=failed", "status"),
            ("severity=bad", "severity.0"),
            ("webhook_id=one", "webhook_id.0"),
            ("webhook_id=0", "webhook_id.0"),
            ("since=soon", "since"),
        ],
    )
    def test_a_filter_that_makes_no_sense_is_refused(
        self, client: Client, query: str, field: str
    ) -> None:
        for path in (DEAD_LETTERS, f"{DEAD_LETTERS}/summary"):
            refused(client.get(f"{path}?{query}"), 422, field)


class TestDisabled:
    def test_one_that_is_gone_is_told_of_and_goes_on_when_enabled(
        self, client: Client, receiver: Receiver
    ) -> None:
        gone = checked_webhook(client, receiver, "/gone", Answer(410), Answer(), name="on-call")
        watcher = client.make_webhook(receiver.url("/watcher"))
        failed = client.raise_alert(webhook_ids=[gone["id"]])
        settled(client, failed["id"])
        path = f"/api/v1/webhooks/{gone['id']}"
        disabled = client.get(path).json()
        assert (disabled["is_active"], disabled["disabled_reason"]) == (False, "gone")

        def told() -> Any:
            return page(client.get("/api/v1/alerts?source=tocsin"))["items"]

        (alert,) = eventually(told, what="the alert about it")
        assert alert["labels"] == {
            "webhook_id": str(gone["id"]),
            "webhook": "on-call",
            "reason": "gone",
        }
        assert (alert["severity"], alert["status"]) == ("critical", "pending")
        (message,) = eventually(lambda: receiver.messages("/watcher"))
        assert message.json["data"]["id"] == alert["id"]
        assert [one["webhook_id"] for one in settled(client, alert["id"])] == [watcher["id"]]

        enabled = client.post(f"{path}/enable")
        assert enabled.status_code == 200
        assert (enabled.json()["is_active"], enabled.json()["disabled_reason"]) == (True, None)
        eventually(lambda: told()[0]["status"] == "resolved", what="the end of the alert")
        history = client.get(f"{path}/traffic/history").json()["items"]
        assert history[0]["reason"] in {"webhook_enabled", "steady_success"}
        # What it missed can be redriven, and new alerts reach it.
        begun = begin(client, webhook_id=gone["id"])
        seen_once(client, begun, delivered=1)
        fresh = client.raise_alert(webhook_ids=[gone["id"]])
        assert settled(client, fresh["id"])[0]["status"] == "delivered"
        assert client.post(f"{path}/enable").json()["is_active"] is True

    def test_enabling_is_for_admins_and_for_webhooks_that_are_there(self, client: Client) -> None:
        refused(client.post("/api/v1/webhooks/999999999/enable"), 404)
        refused(signed_in(client, "operator").post("/api/v1/webhooks/1/enable"), 403)
