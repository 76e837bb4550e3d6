"""Webhooks: make, find, change, remove, and what they were told."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from psycopg import sql

from app.domain.egress import MAX_HEADER_BYTES, MAX_HEADERS
from tests.acceptance.checks import at_once, ids, page, refused
from tests.acceptance.steps import settled
from tests.acceptance.webhook_calls import (
    ASLEEP,
    WEBHOOKS,
    accepts,
    get,
    path_of,
    ping,
    rotate,
)
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

DEFAULTS: dict[str, Any] = {
    "template": {"shape": "raw"},
    "description": None,
    "is_active": True,
    "disabled_reason": None,
    "health_check_interval_seconds": 300,
    "timeout_seconds": None,
    "retry_schedule_seconds": None,
    "headers": {},
    "health_check": {
        "method": "GET",
        "expected_status": None,
        "max_latency_ms": None,
        "failure_threshold": 3,
        "recovery_threshold": 2,
        "body_includes": None,
        "body_excludes": None,
        "headers": {},
        "min_certificate_days": 14,
        "flap_changes": 5,
        "flap_window_seconds": None,
    },
    "max_in_flight": 16,
    "rate_limit_per_second": None,
    "disable_after_days": 5,
    "depends_on": [],
}
# Every field with a value that is not its default.
ALL_FIELDS = {
    "name": "on-call",
    "description": "Wakes people.",
    "is_active": False,
    "health_check_interval_seconds": 5,
    "timeout_seconds": 7,
    "retry_schedule_seconds": [0, 60, 3600],
    "headers": {"X-Team": "storage", "Authorization": "Bearer receivers-own-token"},
    "health_check": {
        "method": "POST",
        "expected_status": [200, 204],
        "max_latency_ms": 250,
        "failure_threshold": 5,
        "recovery_threshold": 1,
        "body_includes": "ready",
        "body_excludes": "error",
        "headers": {"X-State": "up", "etag": None},
        "min_certificate_days": None,
        "flap_changes": None,
        "flap_window_seconds": 3600,
    },
    "max_in_flight": 4,
    "rate_limit_per_second": 2.5,
    "disable_after_days": 30,
}
LATER = {"retry_schedule_seconds": [3600]}


# --- Create, and what is kept ------------------------------------------------------------


def test_a_new_webhook_has_the_defaults(client: Client, receiver: Receiver) -> None:
    answer = client.post(WEBHOOKS, json={"name": "on-call", "url": receiver.url("/hook")})
    assert answer.status_code == 201
    made = answer.json()
    fixed = {key: made.pop(key) for key in ("id", "secret", "created_at", "updated_at")}
    assert made == DEFAULTS | {
        "name": "on-call",
        "url": receiver.url("/hook"),
        "health_status": "unknown",
    }
    assert isinstance(fixed["id"], int)
    assert fixed["created_at"] == fixed["updated_at"]
    assert datetime.fromisoformat(fixed["created_at"]).tzinfo is not None
    assert fixed["secret"].startswith("whsec_")
    # Standard Webhooks asks for 24 to 64 bytes.
    assert 24 <= len(base64.b64decode(fixed["secret"].removeprefix("whsec_"))) <= 64


def test_every_field_is_kept(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ALL_FIELDS)
    secret = made.pop("secret")
    assert made | ALL_FIELDS == made
    assert get(client, made) == made
    assert page(client.get(WEBHOOKS))["items"] == [made]
    assert secret not in client.get(WEBHOOKS).text


def test_a_secret_is_shown_at_creation_and_rotation_only(
    client: Client, receiver: Receiver
) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    secrets = {made["secret"], rotate(client, made)["secret"]}
    assert len(secrets) == 2
    change = {"name": "renamed"}
    replacement = {"name": "replaced", "url": receiver.url("/hook"), **ASLEEP}
    for answer in (
        client.get(path_of(made)),
        client.get(WEBHOOKS),
        client.patch(path_of(made), json=change),
        client.put(path_of(made), json=replacement),
        client.get(path_of(made, "health")),
        client.post(path_of(made, "test")),
        client.get(path_of(made, "deliveries")),
    ):
        assert answer.status_code == 200, answer.text
        assert "whsec_" not in answer.text
        assert '"secret"' not in answer.text


def test_secrets_and_headers_are_not_readable_in_the_database(
    client: Client, receiver: Receiver, system: System
) -> None:
    made = client.make_webhook(
        receiver.url("/hook"), headers={"Authorization": "Bearer receivers-own-token"}
    )
    rotated = rotate(client, made)["secret"]
    alert = client.raise_alert()
    assert settled(client, alert["id"])[0]["status"] == "delivered"
    with system.sql() as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE 'pggit%'"
        ).fetchall()
        rows = [
            str(row[0])
            for table in tables
            for row in connection.execute(
                sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*map(str, table)))
            )
        ]
    assert any(receiver.url("/hook") in row for row in rows)  # it would have been seen
    for secret in (made["secret"], rotated, "receivers-own-token"):
        raw = secret.encode()
        key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("wh") else raw
        for form in (secret.removeprefix("whsec_"), raw.hex(), key.hex()):
            assert not any(form in row for row in rows), form


def test_headers_go_to_the_receiver(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), headers={"X-Team": "storage"}, **ASLEEP)
    ping(client, made)
    (message,) = receiver.messages("/hook")
    assert message.headers["x-team"] == "storage"


REFUSED_URLS = [
    "http://10.0.0.1/hook",
    "http://192.168.1.1/hook",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:10.0.0.1]/hook",
    "http://[fd00::1]/hook",
    "http://0x0a000001/hook",
    "http://100.64.0.1/hook",
    "http://127.0.0.1:6379/",
    "http://user:password@127.0.0.1:9000/hook",
    "http://127.0.0.1:9000/hook#part",
    "http://127.0.0.1:99999/hook",
    "ftp://127.0.0.1/hook",
    "file:///etc/passwd",
    "//127.0.0.1/hook",
    "hook",
    "",
    "http://127.0.0.1:9000/ho ok",
    "http://127.0.0.1:9000/ho\nok",
    "http://127.0.0.1:9000/" + "a" * 2048,
]


def test_a_url_that_must_not_be_dialled_is_refused(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    for url in REFUSED_URLS:
        body = {"name": "on-call", "url": url}
        refused(client.post(WEBHOOKS, json=body), 422, "url")
        refused(client.put(path_of(made), json=body), 422, "url")
        refused(client.patch(path_of(made), json={"url": url}), 422, "url")
    assert ids(client.get(WEBHOOKS)) == [made["id"]]
    assert get(client, made)["url"] == receiver.url("/hook")


REFUSED_HEADERS: list[dict[str, Any]] = [
    {"Host": "inside"},
    {"Content-Length": "0"},
    {"Transfer-Encoding": "chunked"},
    {"content-type": "text/plain"},
    {"Connection": "close"},
    {"Webhook-Id": "msg_1"},
    {"webhook-signature": "v1,forged"},
    {"Proxy-Authorization": "Basic eDp5"},
    {"X Team": "a space in the name"},
    {"": "no name"},
    {"X-Team\r\nHost": "inside"},
    {"X-Team": "storage\r\nHost: inside"},
    {"X-Team": "größer"},
    {"X-Team": "half \ud800"},
    {"X-Team": "\x00"},
    {"X-Team": "a" * (MAX_HEADER_BYTES + 1)},
    {"X-Team": "one", "x-team": "two"},
    {f"X-{number}": "" for number in range(MAX_HEADERS + 1)},
]


def test_bad_headers_are_refused(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), headers={"X-Team": "storage"}, **ASLEEP)
    for headers in REFUSED_HEADERS:
        body = {"name": "on-call", "url": receiver.url("/hook"), "headers": headers}
        refused(client.post(WEBHOOKS, json=body), 422, "headers")
        refused(client.patch(path_of(made), json={"headers": headers}), 422, "headers")
    assert get(client, made)["headers"] == {"X-Team": "storage"}


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("name", ["", "a" * 201, None, 5], ["a", "a" * 200]),
        ("description", ["a" * 2001, 5], ["", "a" * 2000, None]),
        ("is_active", ["true", 1, None], [True, False]),
        ("health_check_interval_seconds", [4, 86_401, -1, 5.5, None], [5, 86_400]),
        ("timeout_seconds", [0, 121], [1, 120, None]),
        ("retry_schedule_seconds", [[], [0] * 21], [[0], [604_800] * 20, None]),
        ("headers", [None, [], "X-Team: storage"], [{}]),
        ("health_check", [None], [{}]),
        ("max_in_flight", [0, 501, None], [1, 500]),
        ("rate_limit_per_second", [0, -1, 100_001, True], [0.01, 100_000, None]),
        ("disable_after_days", [0, -1, 366, True, "5", 1.5], [1, 365, None]),
    ],
)
def test_values_have_bounds(
    client: Client, receiver: Receiver, field: str, wrong: Sequence[Any], right: Sequence[Any]
) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    before = get(client, made)
    for value in wrong:
        refused(client.patch(path_of(made), json={field: value}), 422, field)
    assert get(client, made) == before
    for value in right:
        answer = client.patch(path_of(made), json={field: value})
        assert answer.status_code == 200, answer.text
        if field != "health_check":
            assert answer.json()[field] == value


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"method": "DELETE"}, "health_check.method"),
        ({"expected_status": []}, "health_check.expected_status"),
        ({"expected_status": [200, 600]}, "health_check.expected_status.1"),
        ({"max_latency_ms": 0}, "health_check.max_latency_ms"),
        ({"failure_threshold": 0}, "health_check.failure_threshold"),
        ({"recovery_threshold": 101}, "health_check.recovery_threshold"),
        ({"interval": 5}, "health_check.interval"),
    ],
)
def test_a_health_check_has_bounds_too(
    admin: Client, receiver: Receiver, fields: dict[str, Any], blamed: str
) -> None:
    body = {"name": "on-call", "url": receiver.url("/hook"), "health_check": fields}
    refused(admin.post(WEBHOOKS, json=body), 422, blamed)


# --- List --------------------------------------------------------------------------------


def test_the_list_is_newest_first_and_filtered(client: Client, receiver: Receiver) -> None:
    asleep = client.make_webhook(receiver.url("/asleep"), **ASLEEP)["id"]
    first = client.make_webhook(receiver.url("/first"))["id"]
    second = client.make_webhook(receiver.url("/second"))["id"]
    eventually(lambda: ids(client.get(f"{WEBHOOKS}?health_status=healthy")) == [second, first])
    for query, found in {
        "": [second, first, asleep],
        "?is_active=true": [second, first],
        "?is_active=false": [asleep],
        "?health_status=unknown": [asleep],
        "?health_status=unavailable": [],
        "?is_active=true&health_status=unknown": [],
        "?is_active=false&health_status=unknown&limit=1": [asleep],
    }.items():
        answer = client.get(WEBHOOKS + query)
        assert ids(answer) == found, query
        assert answer.json()["total"] == len(found)
    refused(client.get(f"{WEBHOOKS}?health_status=sick"), 422, "health_status")
    refused(client.get(f"{WEBHOOKS}?is_active=perhaps"), 422, "is_active")


def test_pages_stay_as_they_are_while_webhooks_come_and_go(
    client: Client, receiver: Receiver
) -> None:
    made = [client.make_webhook(receiver.url("/hook"), **ASLEEP)["id"] for _ in range(5)]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(f"{WEBHOOKS}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        seen += ids(answer)
        cursor = answer.json()["next_cursor"]
        client.make_webhook(receiver.url("/newer"), **ASLEEP)
    assert seen == made[::-1]
    # The last item of a page is gone: the next page begins where it would have.
    first = client.get(f"{WEBHOOKS}?limit=3").json()
    gone = first["items"][-1]["id"]
    assert client.delete(f"{WEBHOOKS}/{gone}").status_code == 204
    assert ids(client.get(f"{WEBHOOKS}?cursor={first['next_cursor']}")) == made[::-1]


# --- Change ------------------------------------------------------------------------------


def test_put_replaces_all_but_the_secret(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/old"), **ALL_FIELDS)
    body = {"name": "replaced", "url": receiver.url("/new")}
    answer = client.put(path_of(made), json=body)
    assert answer.status_code == 200, answer.text
    replaced = answer.json()
    assert {name: replaced[name] for name in DEFAULTS} == DEFAULTS
    assert {name: replaced[name] for name in body} == body
    assert replaced["id"] == made["id"]
    assert replaced["created_at"] == made["created_at"]
    assert replaced["updated_at"] > made["updated_at"]
    ping(client, made)
    (message,) = receiver.messages("/new")
    assert accepts(made["secret"], message)
    refused(client.put(path_of(made), json={"name": "no url"}), 422, "url")


def test_patch_changes_what_is_there(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ALL_FIELDS)
    del made["secret"]
    changed = client.patch(
        path_of(made), json={"name": "renamed", "health_check": {"failure_threshold": 9}}
    ).json()
    assert changed["updated_at"] > made["updated_at"]
    assert changed == made | {
        "name": "renamed",
        "health_check": made["health_check"] | {"failure_threshold": 9},
        "updated_at": changed["updated_at"],
    }
    assert get(client, made) == changed
    # None takes an optional value away; leaving it out does not.
    cleared = client.patch(path_of(made), json={"description": None, "headers": {}}).json()
    assert cleared["description"] is None
    assert cleared["headers"] == {}
    assert cleared["timeout_seconds"] == made["timeout_seconds"]


def test_a_new_url_is_used_at_once(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/old"))
    settled(client, client.raise_alert(title="to the old")["id"])
    client.patch(path_of(made), json={"url": receiver.url("/new")})
    settled(client, client.raise_alert(title="to the new")["id"])
    assert [message.json["data"]["title"] for message in receiver.messages("/new")] == [
        "to the new"
    ]
    assert len(receiver.messages("/old")) == 1


# --- Delete ------------------------------------------------------------------------------


def test_delete_cancels_what_is_owed_and_keeps_the_history(
    client: Client, receiver: Receiver
) -> None:
    made = client.make_webhook(receiver.url("/hook"))
    told = client.raise_alert(title="told")
    (delivered,) = settled(client, told["id"])
    client.patch(path_of(made), json=LATER)
    owed = client.raise_alert(title="owed")
    (waiting,) = client.deliveries(owed["id"])
    assert waiting["status"] == "pending"

    answer = client.delete(path_of(made))
    assert (answer.status_code, answer.content) == (204, b"")

    (cancelled,) = client.deliveries(owed["id"])
    assert cancelled["status"] == "cancelled"
    assert cancelled["reason"] == "webhook_deleted"
    assert cancelled["next_attempt_at"] is None
    assert cancelled["finished_at"] is not None
    assert client.get(f"/api/v1/alerts/{owed['id']}").json()["deliveries"]["cancelled"] == 1
    assert client.deliveries(told["id"]) == [delivered]
    assert ids(client.get("/api/v1/deliveries")) == [cancelled["id"], delivered["id"]]


def test_a_deleted_webhook_is_gone(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"))
    assert client.delete(path_of(made)).status_code == 204
    body = {"name": "again", "url": receiver.url("/hook")}
    for answer in (
        client.get(path_of(made)),
        client.put(path_of(made), json=body),
        client.patch(path_of(made), json={"name": "again"}),
        client.delete(path_of(made)),
        client.get(path_of(made, "health")),
        client.get(path_of(made, "health", "history")),
        client.get(path_of(made, "deliveries")),
        client.post(path_of(made, "check")),
        client.post(path_of(made, "test")),
        client.post(path_of(made, "rotate-secret")),
    ):
        refused(answer, 404)
    assert ids(client.get(WEBHOOKS)) == []
    assert client.raise_alert()["deliveries"]["pending"] == 0


def test_of_many_deletes_at_once_one_counts(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    answers = at_once(client, 8, lambda own, _number: own.delete(path_of(made)).status_code)
    assert sorted(answers) == [204] + [404] * 7


# --- Its deliveries ----------------------------------------------------------------------


def test_the_deliveries_of_a_webhook(client: Client, receiver: Receiver) -> None:
    mine = client.make_webhook(receiver.url("/mine"))
    client.make_webhook(receiver.url("/other"))
    told = [client.raise_alert(title=f"told {number}") for number in range(3)]
    for alert in told:
        settled(client, alert["id"])
    client.patch(path_of(mine), json=LATER)
    owed = client.raise_alert(title="owed")

    listed = page(client.get(path_of(mine, "deliveries")))
    assert listed["total"] == 4
    assert [item["alert_id"] for item in listed["items"]] == [
        alert["id"] for alert in (owed, *told[::-1])
    ]
    assert {item["webhook_id"] for item in listed["items"]} == {mine["id"]}
    assert [item["status"] for item in listed["items"]] == ["pending"] + ["delivered"] * 3
    assert listed["items"][0]["attempts"] == []
    assert listed["items"][0]["next_attempt_at"] is not None
    (attempt,) = listed["items"][1]["attempts"]
    assert attempt["http_status"] == 204
    sent = [message.id for message in receiver.messages("/mine")]
    assert sorted(item["webhook_message_id"] for item in listed["items"][1:]) == sorted(sent)

    pending = page(client.get(path_of(mine, "deliveries?status=pending")))
    assert pending["items"] == listed["items"][:1]
    first = page(client.get(path_of(mine, "deliveries?limit=1&status=delivered")))
    assert first["total"] == 3
    rest = page(
        client.get(path_of(mine, f"deliveries?status=delivered&cursor={first['next_cursor']}"))
    )
    assert first["items"] + rest["items"] == listed["items"][1:]
    refused(client.get(path_of(mine, "deliveries?status=lost")), 422, "status")
