"""Edge cases: nothing, too much, the wrong kind, strange letters, everybody at once."""

import json
import random
from typing import Any

import pytest

from app.domain.cursors import encode_cursor
from tests.acceptance.checks import PASSWORD, at_once, ids, page, refused
from tests.acceptance.steps import settled
from tests.harness.client import Client
from tests.harness.receiver import Receiver

ALERTS = "/api/v1/alerts"
BATCH = f"{ALERTS}/batch"
WEBHOOKS = "/api/v1/webhooks"
USERS = "/api/v1/users"
API_KEYS = "/api/v1/api-keys"
ALERT = {"title": "Disk almost full", "severity": "critical"}
HOOK = {"name": "on-call", "url": "http://127.0.0.1:9000/hook", "is_active": False}
PERSON = {"username": "ada", "password": PASSWORD}
JSON = {"Content-Type": "application/json"}
LISTS = [
    WEBHOOKS,
    ALERTS,
    USERS,
    API_KEYS,
    "/api/v1/deliveries",
    "/api/v1/jobs",
    "/api/v1/jobs/deliver/executions",
]
STRANGE = "Größe ☃ 😀 \u202eabc العربية e\u0301 \U000e0001 \\ \" ' % _ \t\n</script>"


# --- Lists -------------------------------------------------------------------------------


def test_an_empty_system_has_empty_lists(client: Client, receiver: Receiver) -> None:
    nothing = {"items": [], "total": 0, "total_is_exact": True, "next_cursor": None}
    for path in (WEBHOOKS, ALERTS, API_KEYS, "/api/v1/deliveries"):
        assert page(client.get(path)) == nothing
    made = client.make_webhook(receiver.url("/hook"), is_active=False)
    alert = client.raise_alert()
    for path in (
        f"{WEBHOOKS}/{made['id']}/deliveries",
        f"{WEBHOOKS}/{made['id']}/health/history",
        f"{ALERTS}/{alert['id']}/deliveries",
        f"{ALERTS}?q=nothing+like+this",
        f"{ALERTS}?cursor={encode_cursor(1)}",
    ):
        found = page(client.get(path))
        assert (found["items"], found["next_cursor"]) == ([], None), path


@pytest.mark.parametrize("path", LISTS)
def test_a_limit_is_from_1_to_100(admin: Client, path: str) -> None:
    for limit in ("1", "100"):
        assert len(page(admin.get(path, params={"limit": limit}))["items"]) <= 100
    for limit in ("0", "-1", "101", "1e2", "1.5", "ten", "", "9" * 5000, "null"):
        refused(admin.get(path, params={"limit": limit}), 422, "limit")


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_is_one_that_we_gave(admin: Client, path: str) -> None:
    good = encode_cursor(5)
    page(admin.get(path, params={"cursor": good}))
    for cursor in (
        good[:-1],
        good + "A",
        good + "=",
        good.swapcase(),
        f"{good[:4]}!{good[4:]}",
        "5",
        "",
        "null",
        "😀",
        "\x00",
        "' OR 1=1 --",
        "YmVmb3JlOjA1",  # before:05
        "YmVmb3JlOi0x",  # before:-1
        "YmVmb3JlOjk5OTk5OTk5OTk5OTk5OTk5OTk5",  # more than a bigint holds
    ):
        refused(admin.get(path, params={"cursor": cursor}), 422, "cursor")


def test_a_page_has_20_without_a_limit_and_ends(client: Client) -> None:
    client.post(BATCH, json={"alerts": [ALERT] * 120})
    assert len(ids(client.get(ALERTS))) == 20
    full = page(client.get(f"{ALERTS}?limit=100"))
    assert (len(full["items"]), full["total"]) == (100, 120)
    rest = page(client.get(f"{ALERTS}?limit=20&cursor={full['next_cursor']}"))
    assert len(rest["items"]) == 20
    assert rest["next_cursor"] is None  # though the page is full


# --- Letters -----------------------------------------------------------------------------


def test_letters_of_the_whole_world_come_back_and_arrive(
    client: Client, receiver: Receiver
) -> None:
    made = client.make_webhook(receiver.url("/hook"), name=STRANGE, description=STRANGE)
    assert (made["name"], made["description"]) == (STRANGE, STRANGE)
    fields = {
        "title": STRANGE,
        "message": STRANGE,
        "source": STRANGE,
        "labels": {STRANGE: STRANGE, "🏷": ""},
        "dedup_key": STRANGE,
    }
    alert = client.raise_alert(**fields)
    assert alert | fields == alert
    assert ids(client.get(ALERTS, params={"q": STRANGE, "source": STRANGE})) == [alert["id"]]
    assert ids(client.get(ALERTS, params={"q": "😀 \u202e"})) == [alert["id"]]
    settled(client, alert["id"])
    (message,) = receiver.messages("/hook")
    assert message.json["data"] | fields == message.json["data"]
    again = client.post(ALERTS, json=ALERT | {"dedup_key": STRANGE})
    assert (again.status_code, again.json()["id"]) == (200, alert["id"])


UNSTORABLE = {"NUL": "a\x00b", "half a pair": "a\ud800b", "the other half": "\udfff"}


@pytest.mark.parametrize("bad", UNSTORABLE.values(), ids=UNSTORABLE.keys())
def test_what_postgresql_cannot_hold_is_refused(client: Client, bad: str) -> None:
    """Each place that takes a text, and which field is blamed for it."""
    # A name that we repeat is made legible: what can't be stored can't be logged well either.
    shown = bad.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")
    places: list[tuple[str, dict[str, Any], str]] = [
        (ALERTS, ALERT | {"title": bad}, "title"),
        (ALERTS, ALERT | {"severity": bad}, "severity"),
        (ALERTS, ALERT | {"message": bad}, "message"),
        (ALERTS, ALERT | {"source": bad}, "source"),
        (ALERTS, ALERT | {"dedup_key": bad}, "dedup_key"),
        (ALERTS, ALERT | {"labels": {"host": bad}}, "labels.host"),
        (ALERTS, ALERT | {"labels": {bad: "host"}}, f"labels.{shown}"),
        (ALERTS, ALERT | {bad: "host"}, shown),
        (WEBHOOKS, HOOK | {"name": bad}, "name"),
        (WEBHOOKS, HOOK | {"description": bad}, "description"),
        (WEBHOOKS, HOOK | {"url": f"http://127.0.0.1:9000/{bad}"}, "url"),
        (WEBHOOKS, HOOK | {"headers": {"X-Team": bad}}, "headers"),
        (WEBHOOKS, HOOK | {"headers": {bad: "storage"}}, "headers"),
        (WEBHOOKS, HOOK | {"health_check": {"method": bad}}, "health_check.method"),
        (USERS, PERSON | {"username": bad}, "username"),
        (USERS, PERSON | {"password": bad * 8}, "password"),
        (API_KEYS, {"name": bad}, "name"),
        ("/api/v1/auth/login", PERSON | {"username": bad}, "username"),
        ("/api/v1/auth/login", PERSON | {"password": bad}, "password"),
    ]
    for path, body, field in places:
        refused(client.post(path, data=json.dumps(body), headers=JSON), 422, field)
    assert ids(client.get(ALERTS)) == ids(client.get(WEBHOOKS)) == ids(client.get(API_KEYS)) == []


def test_a_nul_in_a_query_is_refused(admin: Client) -> None:
    for name in ("q", "source", "status"):
        refused(admin.get(ALERTS, params={name: "a\x00b"}), 422, name)


@pytest.mark.parametrize("bad", UNSTORABLE.values(), ids=UNSTORABLE.keys())
def test_an_answer_that_repeats_it_can_be_kept(client: Client, bad: str) -> None:
    """With an Idempotency-Key the answer is stored, and it names the fields that were wrong."""
    body = json.dumps({"alerts": [ALERT | {bad: 1}, ALERT | {"labels": {bad: "a"}}, ALERT]})
    headers = JSON | {"Idempotency-Key": "k"}
    first = client.post(BATCH, data=body, headers=headers)
    assert first.status_code == 207, first.text
    assert [one["index"] for one in first.json()["errors"]] == [0, 1]
    assert client.post(BATCH, data=body, headers=headers).json() == first.json()
    assert len(ids(client.get(ALERTS))) == 1


# --- Sizes -------------------------------------------------------------------------------


def random_text(length: int) -> str:
    """Four bytes a letter, and nothing that compresses: the worst for an index."""
    chance = random.Random(length)
    return "".join(chr(chance.randint(0x1F300, 0x1F5FF)) for _ in range(length))


@pytest.mark.parametrize(
    ("field", "most"),
    [("title", 500), ("message", 20_000), ("source", 200), ("dedup_key", 500)],
)
def test_texts_of_an_alert_have_an_end(client: Client, field: str, most: int) -> None:
    text = random_text(most)
    alert = client.raise_alert(**{field: text})
    assert alert[field] == text
    refused(client.post(ALERTS, json=ALERT | {field: text + "a"}), 422, field)
    if field != "message":
        refused(client.post(ALERTS, json=ALERT | {field: ""}), 422, field)


def test_labels_have_limits(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/hook"))
    most = {f"{number:02}".ljust(128, "k"): random_text(1024) for number in range(50)}
    alert = client.raise_alert(labels=most)
    assert alert["labels"] == most
    settled(client, alert["id"])
    (message,) = receiver.messages("/hook")
    assert message.json["data"]["labels"] == most

    wrong: list[tuple[object, str]] = [
        (most | {"one": "more"}, "labels"),
        ({"k" * 129: "v"}, "labels." + "k" * 129),
        ({"": "v"}, "labels"),
        ({"k": "v" * 1025}, "labels.k"),
        ({"k": 1}, "labels.k"),
        ({"k": True}, "labels.k"),
        ({"k": None}, "labels.k"),
        ({"k": ["v"]}, "labels.k"),
        ({"k": {"k": "v"}}, "labels.k"),
        ([["k", "v"]], "labels"),
        ("k=v", "labels"),
        (None, "labels"),
    ]
    for labels, field in wrong:
        refused(client.post(ALERTS, json=ALERT | {"labels": labels}), 422, field)


def test_a_json_that_is_deep_is_no_trouble(client: Client) -> None:
    def deep(levels: int) -> str:
        labels = '{"k": ' * levels + "1" + "}" * levels
        return f'{{"title": "a", "severity": "info", "labels": {labels}}}'

    refused(client.post(ALERTS, data=deep(99), headers=JSON), 422, "labels.k")
    # Every depth near the interpreter's own limit, with what walks the body a second time.
    for levels in (100, *range(900, 1000), 100_000):
        headers = JSON | {"Idempotency-Key": f"k{levels}"}
        refused(client.post(ALERTS, data=deep(levels), headers=headers), 400)
    body = deep(100_000).replace("title", "refresh_token")
    refused(client.as_nobody().post("/api/v1/auth/refresh", data=body, headers=JSON), 401)


# --- Kinds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (WEBHOOKS, {"health_check_interval_seconds": "300"}, "health_check_interval_seconds"),
        (WEBHOOKS, {"health_check_interval_seconds": True}, "health_check_interval_seconds"),
        (WEBHOOKS, {"health_check_interval_seconds": 1e400}, "health_check_interval_seconds"),
        (WEBHOOKS, {"timeout_seconds": "5"}, "timeout_seconds"),
        (WEBHOOKS, {"timeout_seconds": 5.5}, "timeout_seconds"),
        (WEBHOOKS, {"max_in_flight": "5"}, "max_in_flight"),
        (WEBHOOKS, {"rate_limit_per_second": "5"}, "rate_limit_per_second"),
        (WEBHOOKS, {"rate_limit_per_second": False}, "rate_limit_per_second"),
        (WEBHOOKS, {"rate_limit_per_second": 1e400}, "rate_limit_per_second"),
        (WEBHOOKS, {"retry_schedule_seconds": ["0"]}, "retry_schedule_seconds.0"),
        (WEBHOOKS, {"retry_schedule_seconds": 5}, "retry_schedule_seconds"),
        (WEBHOOKS, {"health_check": {"max_latency_ms": "5"}}, "health_check.max_latency_ms"),
        (WEBHOOKS, {"health_check": {"expected_status": "200"}}, "health_check.expected_status"),
        (WEBHOOKS, {"is_active": "false"}, "is_active"),
        (WEBHOOKS, {"is_active": 0}, "is_active"),
        (WEBHOOKS, {"name": 5}, "name"),
        (WEBHOOKS, {"url": ["http://127.0.0.1:9000/"]}, "url"),
        (WEBHOOKS, {"headers": {"X-Team": 5}}, "headers.X-Team"),
        (ALERTS, {"title": 5}, "title"),
        (ALERTS, {"title": None}, "title"),
        (ALERTS, {"severity": "CRITICAL"}, "severity"),
        (ALERTS, {"severity": None}, "severity"),
        (ALERTS, {"webhook_ids": ["1"]}, "webhook_ids.0"),
        (ALERTS, {"webhook_ids": [1.5]}, "webhook_ids.0"),
        (ALERTS, {"webhook_ids": [True]}, "webhook_ids.0"),
        (ALERTS, {"webhook_ids": [2**63]}, "webhook_ids.0"),
        (ALERTS, {"webhook_ids": 1}, "webhook_ids"),
        (ALERTS, {"webhook_ids": [1] * 1001}, "webhook_ids"),
        (f"{ALERTS}/acknowledge-batch", {"alert_ids": ["1"]}, "alert_ids.0"),
        (USERS, {"is_active": "true"}, "is_active"),
        (API_KEYS, {"expires_at": 1700000000}, "expires_at"),
        (API_KEYS, {"expires_at": "tomorrow"}, "expires_at"),
        # In the year 10000, and before the year 1, by UTC: more than Python's calendar holds.
        (API_KEYS, {"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        (API_KEYS, {"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(
    admin: Client, path: str, body: dict[str, Any], field: str
) -> None:
    good: dict[str, dict[str, Any]] = {
        ALERTS: ALERT,
        WEBHOOKS: HOOK,
        USERS: PERSON,
        API_KEYS: {"name": "a"},
    }
    text = json.dumps(good.get(path, {}) | body).replace("Infinity", "1e400")
    refused(admin.post(path, data=text, headers=JSON), 422, field)


def test_of_a_name_that_is_twice_in_a_json_the_last_counts(client: Client) -> None:
    body = '{"title": "first", "title": "last", "severity": "info"}'
    answer = client.post(ALERTS, data=body, headers=JSON)
    assert (answer.status_code, answer.json()["title"]) == (201, "last")


# --- Everybody at once -------------------------------------------------------------------


def test_many_raise_alerts_and_none_is_lost_or_doubled(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/one"))
    client.make_webhook(receiver.url("/two"))
    raised = at_once(
        client,
        20,
        lambda own, number: [own.raise_alert(title=f"{number}-{n}")["id"] for n in range(5)],
    )
    made = {alert_id for one in raised for alert_id in one}
    assert len(made) == 100
    assert set(ids(client.get(f"{ALERTS}?limit=100"))) == made
    for alert_id in made:
        assert [one["status"] for one in settled(client, alert_id)] == ["delivered"] * 2
    for path in ("/one", "/two"):
        assert {message.json["data"]["id"] for message in receiver.messages(path)} == made
        # Nobody died on the way, so each came once.
        assert len(receiver.messages(path)) == 100


def test_many_acknowledge_the_same_batch_and_each_alert_is_acknowledged_once(
    client: Client,
) -> None:
    made = [client.raise_alert()["id"] for _ in range(10)]

    def acknowledge(own: Client, number: int) -> dict[str, list[int]]:
        order = made if number % 2 else made[::-1]
        answer = own.post(f"{ALERTS}/acknowledge-batch", json={"alert_ids": order})
        assert answer.status_code == 200, answer.text
        body: dict[str, list[int]] = answer.json()
        return body

    answers = at_once(client, 20, acknowledge)
    changed = [alert_id for answer in answers for alert_id in answer["acknowledged"]]
    assert sorted(changed) == made
    assert all(sorted(one["acknowledged"] + one["already"]) == made for one in answers)


def test_acknowledge_and_resolve_at_once_end_in_resolved(client: Client) -> None:
    alert = client.raise_alert()

    def press(own: Client, number: int) -> int:
        button = "resolve" if number % 2 else "acknowledge"
        return own.post(f"{ALERTS}/{alert['id']}/{button}").status_code

    assert set(at_once(client, 12, press)) == {200}
    assert client.get(f"{ALERTS}/{alert['id']}").json()["status"] == "resolved"


def test_changes_of_one_webhook_at_once_are_all_made(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), is_active=False)
    changes: list[dict[str, Any]] = [
        {"name": "renamed"},
        {"description": "described"},
        {"timeout_seconds": 9},
        {"max_in_flight": 9},
        {"headers": {"X-Team": "storage"}},
        {"health_check": {"failure_threshold": 9}},
        {"health_check": {"recovery_threshold": 9}},
        {"rate_limit_per_second": 9.0},
    ]
    path = f"{WEBHOOKS}/{made['id']}"
    answers = at_once(
        client, 8, lambda own, number: own.patch(path, json=changes[number]).status_code
    )
    assert answers == [200] * 8
    now = client.get(path).json()
    check = now.pop("health_check")
    assert (check["failure_threshold"], check["recovery_threshold"]) == (9, 9)
    for change in changes:
        change.pop("health_check", None)
        assert now | change == now
