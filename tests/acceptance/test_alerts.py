"""Alerts: raise, find, follow, acknowledge, resolve; one at a time, many at a time, twice."""

from typing import Any

import pytest
import requests

from tests.acceptance.checks import at_once, ids, page, refused, signed_in
from tests.acceptance.steps import checked_webhook, settled, types
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

ALERTS = "/api/v1/alerts"
BATCH = f"{ALERTS}/batch"
ALERT = {"title": "Disk almost full", "severity": "critical"}
NEW: dict[str, Any] = {
    "message": None,
    "source": None,
    "labels": {},
    "dedup_key": None,
    "webhook_ids": None,
    "count": 1,
    "status": "pending",
    "expires_at": None,
    "snoozed_by": None,
    "snoozed_until": None,
    "acknowledged_by": None,
    "acknowledged_at": None,
    "resolved_by": None,
    "resolved_at": None,
}
NONE_DELIVERED = {"pending": 0, "retrying": 0, "delivered": 0, "failed": 0, "cancelled": 0}
# It waits an hour for its first attempt, so a test can look at the queue.
LATER = {"retry_schedule_seconds": [3600]}


def get(client: Client, alert_id: int) -> dict[str, Any]:
    answer = client.get(f"{ALERTS}/{alert_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def acknowledge(client: Client, alert_id: int) -> dict[str, Any]:
    answer = client.post(f"{ALERTS}/{alert_id}/acknowledge")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def resolve(client: Client, alert_id: int) -> dict[str, Any]:
    answer = client.post(f"{ALERTS}/{alert_id}/resolve")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def as_sent(alert: dict[str, Any]) -> dict[str, Any]:
    """An alert as receivers get it: without the counts that only we know."""
    return {name: value for name, value in alert.items() if name != "deliveries"}


def targets(client: Client, alert_id: int) -> set[int]:
    return {item["webhook_id"] for item in client.deliveries(alert_id)}


def count_of_alerts(client: Client) -> int:
    total: int = page(client.get(f"{ALERTS}?limit=1"))["total"]
    return total


# --- Raise -------------------------------------------------------------------------------


def test_a_new_alert_has_the_defaults(client: Client) -> None:
    answer = client.post(ALERTS, json=ALERT)
    assert answer.status_code == 201, answer.text
    alert = answer.json()
    fixed = {key: alert.pop(key) for key in ("id", "created_at", "updated_at")}
    assert alert == NEW | ALERT | {"deliveries": NONE_DELIVERED}
    assert fixed["created_at"] == fixed["updated_at"]
    assert get(client, fixed["id"]) == alert | fixed


def test_every_field_is_kept(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **LATER)
    fields = {
        "title": "Disk almost full",
        "severity": "warning",
        "message": "/var is at 97 %\nand grows",
        "source": "node-exporter",
        "labels": {"host": "db-1", "team": ""},
        "dedup_key": "disk:db-1",
        "webhook_ids": [made["id"]],
    }
    alert = client.raise_alert(**fields)
    assert alert | fields == alert
    assert get(client, alert["id"]) == alert
    assert page(client.get(ALERTS))["items"] == [alert]


def test_what_a_receiver_gets_is_the_alert_as_it_was_shown(
    client: Client, receiver: Receiver
) -> None:
    made = client.make_webhook(receiver.url("/hook"))
    alert = client.raise_alert(
        message="/var is at 97 %",
        source="node-exporter",
        labels={"host": "db-1"},
        dedup_key="disk",
        webhook_ids=[made["id"]],
    )
    assert alert["deliveries"] == NONE_DELIVERED | {"pending": 1}
    settled(client, alert["id"])
    (message,) = receiver.messages("/hook")
    assert set(message.json) == {"type", "timestamp", "data"}
    assert message.json["type"] == "alert.firing"
    assert message.json["timestamp"] == alert["created_at"]
    assert message.json["data"] == as_sent(alert)
    assert get(client, alert["id"])["deliveries"] == NONE_DELIVERED | {"delivered": 1}


def test_without_targets_every_active_webhook_is_told(client: Client, receiver: Receiver) -> None:
    told = {client.make_webhook(receiver.url(f"/{n}"), **LATER)["id"] for n in range(3)}
    client.make_webhook(receiver.url("/asleep"), is_active=False)
    gone = client.make_webhook(receiver.url("/gone"))
    client.delete(f"/api/v1/webhooks/{gone['id']}")
    alert = client.raise_alert()
    assert targets(client, alert["id"]) == told
    assert alert["deliveries"] == NONE_DELIVERED | {"pending": 3}


def test_with_targets_only_they_are_told(client: Client, receiver: Receiver) -> None:
    first, _second, third = (
        client.make_webhook(receiver.url(f"/{n}"), **LATER)["id"] for n in range(3)
    )
    alert = client.raise_alert(webhook_ids=[third, first, third])
    assert targets(client, alert["id"]) == {first, third}
    assert alert["deliveries"]["pending"] == 2


def test_a_target_must_be_an_active_webhook(client: Client, receiver: Receiver) -> None:
    good = client.make_webhook(receiver.url("/good"), **LATER)["id"]
    asleep = client.make_webhook(receiver.url("/asleep"), is_active=False)["id"]
    gone = client.make_webhook(receiver.url("/gone"))["id"]
    client.delete(f"/api/v1/webhooks/{gone}")
    for wrong in (asleep, gone, gone + 1000, 2**63 - 1):
        error = refused(
            client.post(ALERTS, json=ALERT | {"webhook_ids": [good, wrong]}), 422, "webhook_ids"
        )
        assert str(wrong) in error["errors"]["webhook_ids"][0]
    refused(client.post(ALERTS, json=ALERT | {"webhook_ids": []}), 422, "webhook_ids")
    assert count_of_alerts(client) == 0
    assert ids(client.get("/api/v1/deliveries")) == []


# --- Find --------------------------------------------------------------------------------


def test_the_list_has_filters(client: Client) -> None:
    """Four alerts, newest first D, C, B, A; each query finds its own."""
    raised = {
        "A": client.raise_alert(title="Disk full", severity="critical", source="node"),
        "B": client.raise_alert(title="disk slow", severity="warning", source="node"),
        "C": client.raise_alert(title="100 % CPU", message="on DISK host", severity="info"),
        "D": client.raise_alert(title="100 of 100", message="a_b", source="Node"),
    }
    names = {alert["id"]: name for name, alert in raised.items()}
    acknowledge(client, raised["B"]["id"])
    resolve(client, raised["C"]["id"])
    b_at, d_at = raised["B"]["created_at"], raised["D"]["created_at"]
    queries: list[tuple[dict[str, str], str]] = [
        ({}, "DCBA"),
        ({"status": "pending"}, "DA"),
        ({"status": "acknowledged"}, "B"),
        ({"status": "resolved"}, "C"),
        ({"severity": "critical"}, "DA"),
        ({"severity": "warning"}, "B"),
        ({"severity": "info"}, "C"),
        ({"source": "node"}, "BA"),
        ({"source": "nobody"}, ""),
        ({"q": "disk"}, "CBA"),
        ({"q": "100 %"}, "C"),  # no wildcard
        ({"q": "a_b"}, "D"),  # none either
        ({"q": "axb"}, ""),
        ({"q": "\\"}, ""),
        ({"since": b_at}, "DCB"),
        ({"until": d_at}, "CBA"),
        ({"since": b_at, "until": d_at}, "CB"),
        ({"since": b_at.replace("+00:00", "Z")}, "DCB"),
        ({"since": b_at.removesuffix("+00:00")}, "DCB"),  # without a zone it is UTC
        ({"since": d_at, "until": b_at}, ""),
        ({"q": "disk", "source": "node", "severity": "warning", "status": "acknowledged"}, "B"),
    ]
    for query, found in queries:
        answer = client.get(ALERTS, params=query)
        assert "".join(names[alert_id] for alert_id in ids(answer)) == found, query
        assert answer.json()["total"] == len(found), query


def test_a_filter_that_makes_no_sense_is_refused(admin: Client) -> None:
    for name, value in {
        "status": "open",
        "severity": "fatal",
        "source": "a" * 201,
        "q": "",
        "since": "yesterday",
        "until": "2026-13-01T00:00:00Z",
    }.items():
        refused(admin.get(ALERTS, params={name: value}), 422, name)


def test_pages_stay_as_they_are_while_alerts_come_in(client: Client) -> None:
    made = [client.raise_alert(severity="info")["id"] for _ in range(7)]
    seen: list[int] = []
    query = {"severity": "info", "limit": "3"}
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(ALERTS, params=query | ({"cursor": cursor} if cursor else {}))
        seen += ids(answer)
        cursor = answer.json()["next_cursor"]
        client.raise_alert(severity="info")
        client.raise_alert(severity="critical")
    assert seen == made[::-1]


def test_the_deliveries_of_an_alert_have_every_attempt(client: Client, receiver: Receiver) -> None:
    made = checked_webhook(
        client,
        receiver,
        "/hook",
        Answer(500, body=b"not today"),
        Answer(204),
        retry_schedule_seconds=[0, 0],
    )
    other = client.make_webhook(receiver.url("/other"), **LATER)
    alert = client.raise_alert()
    eventually(lambda: get(client, alert["id"])["deliveries"]["delivered"] == 1)

    listed = page(client.get(f"{ALERTS}/{alert['id']}/deliveries"))
    assert listed["total"] == 2
    waiting, delivered = listed["items"]
    assert (waiting["webhook_id"], delivered["webhook_id"]) == (other["id"], made["id"])
    assert waiting["status"] == "pending"
    assert waiting["next_attempt_at"] > alert["created_at"]
    assert waiting["attempts"] == []
    assert delivered["status"] == "delivered"
    assert delivered["next_attempt_at"] is None
    assert delivered["type"] == "alert.firing"
    assert delivered["alert_id"] == alert["id"]
    first, second = delivered["attempts"]
    assert (first["http_status"], second["http_status"]) == (500, 204)
    assert (first["reason"], second["reason"]) == ("server_error", "accepted")
    assert (first["body_excerpt"], second["body_excerpt"]) == ("not today", None)
    assert alert["created_at"] <= first["at"] < second["at"]
    assert first["latency_ms"] > 0
    assert [message.id for message in receiver.messages("/hook")] == [
        delivered["webhook_message_id"]
    ] * 2

    one = page(client.get(f"{ALERTS}/{alert['id']}/deliveries?status=delivered"))
    assert one["items"] == [delivered]
    first_page = page(client.get(f"{ALERTS}/{alert['id']}/deliveries?limit=1"))
    cursor = first_page["next_cursor"]
    rest = page(client.get(f"{ALERTS}/{alert['id']}/deliveries?limit=1&cursor={cursor}"))
    assert first_page["items"] + rest["items"] == listed["items"]
    assert client.get(f"/api/v1/deliveries/{delivered['id']}").json() == delivered


# --- Acknowledge and resolve -------------------------------------------------------------


def test_acknowledge_says_who_and_when(client: Client) -> None:
    alert = client.raise_alert()
    operator = signed_in(client, "operator")
    name = operator.get("/api/v1/auth/me").json()["name"]
    known = acknowledge(operator, alert["id"])
    assert known["acknowledged_at"] > alert["created_at"]
    assert known == alert | {
        "status": "acknowledged",
        "acknowledged_by": name,
        "acknowledged_at": known["acknowledged_at"],
        "updated_at": known["acknowledged_at"],
    }
    # The second one is no error, and the first one stays.
    assert acknowledge(client, alert["id"]) == known
    assert get(client, alert["id"]) == known


def test_resolve_is_the_end(client: Client) -> None:
    alert = client.raise_alert()
    known = acknowledge(client, alert["id"])
    ended = resolve(client, alert["id"])
    assert ended == known | {
        "status": "resolved",
        "resolved_by": "admin",
        "resolved_at": ended["resolved_at"],
        "updated_at": ended["resolved_at"],
    }
    assert resolve(client, alert["id"]) == ended
    assert acknowledge(client, alert["id"]) == ended
    unseen = client.raise_alert()
    assert resolve(client, unseen["id"])["acknowledged_at"] is None


def test_who_was_told_of_an_alert_is_told_of_its_end(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/hook"))
    alert = client.raise_alert()
    settled(client, alert["id"])
    client.make_webhook(receiver.url("/later"))
    known = acknowledge(client, alert["id"])
    settled(client, alert["id"])
    acknowledge(client, alert["id"])
    ended = resolve(client, alert["id"])
    settled(client, alert["id"])
    assert types(receiver, "/hook") == ["alert.firing", "alert.acknowledged", "alert.resolved"]
    assert [message.json["data"] for message in receiver.messages("/hook")] == [
        as_sent(alert),
        as_sent(known),
        as_sent(ended),
    ]
    assert types(receiver, "/later") == []


def test_acknowledge_many(client: Client) -> None:
    new = [client.raise_alert()["id"] for _ in range(2)]
    known = client.raise_alert()["id"]
    ended = client.raise_alert()["id"]
    before = acknowledge(client, known)
    resolve(client, ended)
    nowhere = ended + 1000
    wanted = [nowhere, ended, new[1], known, new[0], new[0]]
    answer = client.post(f"{ALERTS}/acknowledge-batch", json={"alert_ids": wanted})
    assert answer.status_code == 200, answer.text
    assert {name: sorted(found) for name, found in answer.json().items()} == {
        "acknowledged": new,
        "already": [known, ended],
        "not_found": [nowhere],
    }
    assert {get(client, alert_id)["status"] for alert_id in new} == {"acknowledged"}
    assert get(client, known) == before
    assert get(client, ended)["status"] == "resolved"
    for wrong in ([], list(range(1, 1002)), ["1"], [0], 1, None):
        answer = client.post(f"{ALERTS}/acknowledge-batch", json={"alert_ids": wrong})
        blamed = refused(answer, 422)["errors"]
        assert {name.split(".")[0] for name in blamed} == {"alert_ids"}


# --- Batches -----------------------------------------------------------------------------


def test_a_batch_that_is_all_good(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"))
    batch = [ALERT | {"title": f"number {n}"} for n in range(3)]
    answer = client.post(BATCH, json={"alerts": batch})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["errors"] == []
    assert [one["index"] for one in body["created"]] == [0, 1, 2]
    for one in body["created"]:
        assert get(client, one["id"])["title"] == f"number {one['index']}"
        (delivered,) = settled(client, one["id"])
        assert (delivered["status"], delivered["webhook_id"]) == ("delivered", made["id"])
    sent = {message.json["data"]["title"] for message in receiver.messages("/hook")}
    assert sent == {"number 0", "number 1", "number 2"}


def test_a_bad_alert_does_not_stop_the_others(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **LATER)
    alerts: list[Any] = [
        {"severity": "info"},
        ALERT | {"title": "good 1", "webhook_ids": [made["id"]]},
        ALERT | {"severity": "fatal", "labels": {"host": 5}},
        ALERT | {"webhook_ids": [made["id"] + 1000]},
        None,
        "Disk almost full",
        [],
        ALERT | {"colour": "red"},
        ALERT | {"title": "good 8", "dedup_key": "same"},
        ALERT | {"title": "good 9", "dedup_key": "same"},
    ]
    answer = client.post(BATCH, json={"alerts": alerts})
    assert answer.status_code == 207, answer.text
    body = answer.json()
    assert {one["index"]: set(one["errors"]) for one in body["errors"]} == {
        0: {"title"},
        2: {"severity", "labels.host"},
        3: {"webhook_ids"},
        4: {"_schema"},
        5: {"_schema"},
        6: {"_schema"},
        7: {"colour"},
    }
    created = {one["index"]: one["id"] for one in body["created"]}
    assert list(created) == [1, 8, 9]
    assert created[8] == created[9]
    assert get(client, created[1])["title"] == "good 1"
    twice = get(client, created[8])
    assert (twice["title"], twice["count"]) == ("good 8", 2)
    assert count_of_alerts(client) == 2
    assert len(ids(client.get("/api/v1/deliveries"))) == 2


def test_a_batch_that_is_all_bad(client: Client) -> None:
    answer = client.post(BATCH, json={"alerts": [{}, {}]})
    assert answer.status_code == 207, answer.text
    assert answer.json()["created"] == []
    assert [one["index"] for one in answer.json()["errors"]] == [0, 1]
    assert count_of_alerts(client) == 0


def test_a_batch_has_a_thousand_alerts_at_most(client: Client) -> None:
    batch = [ALERT | {"title": f"number {n}"} for n in range(1001)]
    refused(client.post(BATCH, json={"alerts": batch}), 422, "alerts")
    refused(client.post(BATCH, json={"alerts": []}), 422, "alerts")
    assert count_of_alerts(client) == 0
    answer = client.post(BATCH, json={"alerts": batch[:1000]})
    assert answer.status_code == 201, answer.text
    assert [one["index"] for one in answer.json()["created"]] == list(range(1000))
    assert len({one["id"] for one in answer.json()["created"]}) == 1000
    assert count_of_alerts(client) == 1000
    last = answer.json()["created"][-1]["id"]
    assert get(client, last)["title"] == "number 999"


# --- Idempotency-Key ---------------------------------------------------------------------


def with_key(client: Client, key: str, body: object, path: str = ALERTS) -> requests.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def test_a_repeated_key_gets_the_first_answer(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/hook"), **LATER)
    first = with_key(client, "k", ALERT)
    assert first.status_code == 201, first.text
    acknowledge(client, first.json()["id"])
    again = with_key(client, "k", dict(reversed(ALERT.items())))
    assert (again.status_code, again.json()) == (201, first.json())
    assert count_of_alerts(client) == 1
    assert get(client, first.json()["id"])["count"] == 1
    firing = [one["type"] == "alert.firing" for one in client.deliveries(first.json()["id"])]
    assert sum(firing) == 1


def test_a_key_with_another_body_is_a_conflict(client: Client) -> None:
    assert with_key(client, "k", ALERT).status_code == 201
    refused(with_key(client, "k", ALERT | {"severity": "info"}), 409)
    refused(with_key(client, "k", {"alerts": [ALERT]}, BATCH), 409)
    assert count_of_alerts(client) == 1
    assert with_key(client, "l", ALERT | {"severity": "info"}).status_code == 201


def test_a_key_belongs_to_who_sent_it(client: Client) -> None:
    mine = with_key(client, "k", ALERT).json()["id"]
    answer = with_key(signed_in(client, "operator"), "k", ALERT | {"severity": "info"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["id"] != mine


def test_a_key_is_not_spent_on_a_refusal(client: Client) -> None:
    refused(with_key(client, "k", {"title": "no severity"}), 422, "severity")
    refused(with_key(client, "k", ALERT | {"webhook_ids": [1]}), 422, "webhook_ids")
    assert with_key(client, "k", ALERT).status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_1_to_255_characters(client: Client, key: str) -> None:
    refused(with_key(client, key, ALERT), 400)
    assert with_key(client, "k" * 255, ALERT).status_code == 201


def test_a_batch_has_keys_too(client: Client) -> None:
    body = {"alerts": [ALERT, {"title": "no severity"}]}
    first = with_key(client, "k", body, BATCH)
    again = with_key(client, "k", body, BATCH)
    assert first.status_code == again.status_code == 207
    assert first.json() == again.json()
    assert count_of_alerts(client) == 1


def test_one_key_many_times_at_once_makes_one_alert(client: Client) -> None:
    answers = at_once(client, 12, lambda own, _number: with_key(own, "k", ALERT))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert count_of_alerts(client) == 1
    assert get(client, answers[0].json()["id"])["count"] == 1


# --- dedup_key ---------------------------------------------------------------------------


def test_an_open_alert_is_counted_up(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/hook"), **LATER)
    first = client.raise_alert(dedup_key="disk")
    again = client.post(
        ALERTS, json={"title": "Still full", "severity": "info", "dedup_key": "disk"}
    )
    assert again.status_code == 200, again.text
    assert again.json() == first | {"count": 2, "updated_at": again.json()["updated_at"]}
    assert again.json()["updated_at"] > first["updated_at"]
    acknowledge(client, first["id"])  # is open still
    third = client.post(ALERTS, json=ALERT | {"dedup_key": "disk"})
    assert third.status_code == 200, third.text
    assert (third.json()["id"], third.json()["count"]) == (first["id"], 3)
    firing = [one for one in client.deliveries(first["id"]) if one["type"] == "alert.firing"]
    assert len(firing) == 1
    assert client.raise_alert(dedup_key="cpu")["id"] != first["id"]


def test_after_it_is_resolved_a_new_one_is_raised(client: Client) -> None:
    first = client.raise_alert(dedup_key="disk")
    resolve(client, first["id"])
    second = client.raise_alert(dedup_key="disk")
    assert second["id"] != first["id"]
    assert second["count"] == 1
    assert get(client, first["id"])["count"] == 1


def test_one_dedup_key_many_times_at_once_makes_one_open_alert(
    client: Client, receiver: Receiver
) -> None:
    client.make_webhook(receiver.url("/hook"))
    body = ALERT | {"dedup_key": "disk"}
    answers = at_once(client, 12, lambda own, _number: own.post(ALERTS, json=body))
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201]
    (alert_id,) = {answer.json()["id"] for answer in answers}
    assert sorted(answer.json()["count"] for answer in answers) == list(range(1, 13))
    assert count_of_alerts(client) == 1
    assert get(client, alert_id)["count"] == 12
    assert len(settled(client, alert_id)) == 1
    assert len(receiver.messages("/hook")) == 1


def test_batches_with_the_same_keys_at_once_wait_for_each_other(client: Client) -> None:
    """In whatever order they name the keys: nobody is locked out, nothing counted twice."""
    keys = [f"key {n}" for n in range(40)]

    def send(own: Client, number: int) -> int:
        ordered = keys if number % 2 else keys[::-1]
        alerts = [ALERT | {"dedup_key": key} for key in ordered]
        return own.post(BATCH, json={"alerts": alerts}).status_code

    assert at_once(client, 8, send) == [201] * 8
    listed = page(client.get(f"{ALERTS}?limit=100"))
    assert listed["total"] == 40
    assert {alert["count"] for alert in listed["items"]} == {8}


def test_many_acknowledge_and_one_counts(
    client: Client, receiver: Receiver, system: System
) -> None:
    client.make_webhook(receiver.url("/hook"))
    alert = client.raise_alert()
    settled(client, alert["id"])
    answers = at_once(client, 20, lambda own, _number: acknowledge(own, alert["id"]))
    assert all(answer["status"] == "acknowledged" for answer in answers)
    assert len({answer["acknowledged_at"] for answer in answers}) == 1
    with system.sql() as connection:
        events = connection.execute(
            "SELECT type FROM pggit.alert_events WHERE alert_id = %s ORDER BY id", [alert["id"]]
        ).fetchall()
    assert events == [("alert.firing",), ("alert.acknowledged",)]
    assert [one["type"] for one in settled(client, alert["id"])] == [
        "alert.firing",
        "alert.acknowledged",
    ]
