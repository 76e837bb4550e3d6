"""The audit log: every change by the API is in it, with who and from where, and without secrets."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.acceptance.checks import ids, new_user, page, refused, signed_in
from tests.acceptance.steps import checked_webhook
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

NOWHERE = "http://127.0.0.1:9000/hook"
SECRET = "planted-secret-7f3a"
PAGER = {"shape": "pagerduty", "routing_key": SECRET}
MATCHERS = [{"name": "team", "op": "=", "value": "sales"}]


def entries(client: Client, **filters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page(client.get("/api/v1/audit", params=filters))["items"]
    return found


def sleeping(client: Client, **fields: Any) -> dict[str, Any]:
    """A webhook that nobody checks, so that nothing changes behind a test's back."""
    return client.make_webhook(NOWHERE, is_active=False, **fields)


def make(client: Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/v1{path}", json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    made: dict[str, Any] = answer.json()
    return made


# By resource: how one is made, its path, and a change.
RESOURCES: dict[str, tuple[Callable[[Client], dict[str, Any]], str, dict[str, Any]]] = {
    "webhook": (
        sleeping,
        "/webhooks",
        {"name": "renamed"},
    ),
    "user": (lambda client: new_user(client, "viewer"), "/users", {"role": "operator"}),
    "routing_rule": (
        lambda client: make(
            client, "/routing-rules", name="a rule", webhook_ids=[sleeping(client)["id"]]
        ),
        "/routing-rules",
        {"name": "renamed"},
    ),
    "silence": (
        lambda client: make(
            client, "/silences", matchers=MATCHERS, ends_at="2099-01-01T00:00:00Z", comment="why"
        ),
        "/silences",
        {"comment": "why not"},
    ),
    "inhibition_rule": (
        lambda client: make(
            client,
            "/inhibition-rules",
            name="a rule",
            source_matchers=MATCHERS,
            target_matchers=MATCHERS,
            equal=["host"],
        ),
        "/inhibition-rules",
        {"name": "renamed"},
    ),
    "baseline_schedule": (
        lambda client: make(client, "/baselines/schedules", operation="audit.test"),
        "/baselines/schedules",
        {"lookback_days": 7},
    ),
}


@pytest.mark.parametrize("resource", RESOURCES)
def test_what_is_made_changed_and_deleted(client: Client, resource: str) -> None:
    create, path, change = RESOURCES[resource]
    made = create(client)
    at = f"/api/v1{path}/{made['id']}"
    changed = client.patch(at, json=change)
    assert changed.status_code == 200, changed.text
    assert client.delete(at).status_code == 204

    deleted, updated, inserted = entries(client, resource=resource, resource_id=made["id"])

    assert [one["action"] for one in (inserted, updated, deleted)] == ["insert", "update", "delete"]
    for one in (inserted, updated, deleted):
        who = (one["actor_kind"], one["actor_name"], one["address"])
        assert who == ("user", "admin", "127.0.0.1")
    assert (inserted["before"], deleted["after"]) == (None, None)
    (name, value), *_ = change.items()
    assert updated["after"] == {name: value}
    assert set(updated["before"]) == {name}
    assert updated["before"][name] == inserted["after"][name] != value
    assert deleted["before"][name] == value
    # Where its log lines are found.
    assert updated["request_id"] == changed.headers["x-request-id"]


def test_what_changes_nothing_leaves_nothing(client: Client) -> None:
    hook = sleeping(client, name="same")
    client.patch(f"/api/v1/webhooks/{hook['id']}", json={"name": "same"})
    assert len(entries(client, resource="webhook", resource_id=hook["id"])) == 1


def test_what_an_operator_does_to_alerts_and_deliveries(client: Client, receiver: Receiver) -> None:
    hook = checked_webhook(client, receiver, "/hook", Answer(500), retry_schedule_seconds=[0])
    operator = signed_in(client, "operator")
    name = operator.get("/api/v1/auth/me").json()["name"]
    alert = operator.raise_alert(webhook_ids=[hook["id"]])
    delivery = eventually(
        lambda: [one for one in client.deliveries(alert["id"]) if one["status"] == "failed"],
        what="the failure",
    )[0]
    operator.post(f"/api/v1/deliveries/{delivery['id']}/retry")
    operator.post(f"/api/v1/alerts/{alert['id']}/snooze", json={"minutes": 5})
    operator.post(f"/api/v1/alerts/{alert['id']}/unsnooze")
    operator.post(f"/api/v1/alerts/{alert['id']}/acknowledge")
    operator.post(f"/api/v1/alerts/{alert['id']}/resolve")

    (retried,) = entries(client, resource="delivery", resource_id=delivery["id"])
    of_alert = entries(client, resource="alert", resource_id=alert["id"])

    assert (retried["action"], retried["actor_name"]) == ("retry", name)
    assert {one["actor_name"] for one in of_alert} == {name}
    resolved, acknowledged, unsnoozed, snoozed = [one["after"] for one in of_alert]
    assert (resolved["status"], acknowledged["status"]) == ("resolved", "acknowledged")
    assert (snoozed["snoozed_by"], unsnoozed["snoozed_until"]) == (name, None)


def test_switches_of_the_house(client: Client) -> None:
    client.put("/api/v1/traffic/pause", json={"reason": "a move"})
    client.delete("/api/v1/traffic/pause")
    job = client.post("/api/v1/jobs/cache-warm-high/run").json()

    resumed, paused = entries(client, resource="delivery_pause")[:2]
    (run,) = entries(client, resource="job_execution", resource_id=job["id"])

    assert (paused["action"], resumed["action"]) == ("insert", "delete")
    assert paused["after"]["reason"] == resumed["before"]["reason"] == "a move"
    assert run["after"]["job_name"] == "cache-warm-high"


def test_a_key_is_named_as_who_acts(client: Client) -> None:
    key = client.post("/api/v1/api-keys", json={"name": "importer", "role": "admin"}).json()
    hook = sleeping(client.with_token(key["key"]))
    (made,) = entries(client, resource="webhook", resource_id=hook["id"])
    who = (made["actor_kind"], made["actor_id"], made["actor_name"])
    assert who == ("api_key", key["id"], "importer")


def test_nothing_secret_is_in_it(client: Client) -> None:
    hook = sleeping(client, headers={"Authorization": SECRET}, template=PAGER)
    shown = [hook["secret"]]
    shown.append(client.post(f"/api/v1/webhooks/{hook['id']}/rotate-secret").json()["secret"])
    user = new_user(client, "viewer", password=SECRET)
    client.patch(f"/api/v1/users/{user['id']}", json={"password": SECRET * 2})
    shown.append(
        client.post("/api/v1/api-keys", json={"name": "k", "role": "viewer"}).json()["key"]
    )

    answer = client.get("/api/v1/audit", params={"limit": 100})

    of_hook = entries(client, resource="webhook", resource_id=hook["id"], action="update")
    assert of_hook[0]["after"]["secret_encrypted"] == "(hidden)"
    assert entries(client, resource="user", action="update")[0]["after"] == {
        "password_hash": "(hidden)"
    }
    for secret in (SECRET, "argon2", *shown):
        assert secret not in answer.text


def test_it_can_be_searched(client: Client) -> None:
    hooks = [sleeping(client)["id"] for _hook in range(3)]
    client.delete(f"/api/v1/webhooks/{hooks[0]}")
    first = client.get("/api/v1/audit", params={"resource": "webhook", "limit": 2})
    rest = client.get(
        "/api/v1/audit",
        params={"resource": "webhook", "limit": 2, "cursor": page(first)["next_cursor"]},
    )
    found = [(one["resource_id"], one["action"]) for one in page(first)["items"]]
    found += [(one["resource_id"], one["action"]) for one in page(rest)["items"]]
    made = [(str(hook), "insert") for hook in reversed(hooks)]
    assert found == [(str(hooks[0]), "delete"), *made]
    assert ids(client.get("/api/v1/audit", params={"since": "2099-01-01T00:00:00Z"})) == []
    assert ids(client.get("/api/v1/audit", params={"until": "2000-01-01T00:00:00Z"})) == []
    assert ids(client.get("/api/v1/audit", params={"actor": "nobody"})) == []
    refused(client.get("/api/v1/audit", params={"resource": "toaster"}), 422, "resource")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_it_is_for_admins(client: Client, role: str) -> None:
    refused(signed_in(client, role).get("/api/v1/audit"), 403)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pggit.audit_log SET actor_name = 'somebody else'",
        "DELETE FROM pggit.audit_log",
        "TRUNCATE pggit.audit_log",
    ],
)
def test_it_is_only_added_to(client: Client, system: System, statement: str) -> None:
    sleeping(client)
    with system.sql() as sql, pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql.execute(statement)
    assert entries(client, resource="webhook")
