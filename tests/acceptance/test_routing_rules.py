"""Routing rules over REST: make, find, change, remove, and what is refused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from tests.acceptance.checks import at_once, ids, page, refused
from tests.acceptance.steps import sleeping_webhook
from tests.harness.client import Client

RULES = "/api/v1/routing-rules"
DEFAULTS: dict[str, Any] = {
    "position": 0,
    "is_active": True,
    "matchers": [],
    "continues": False,
    "group_by": None,
    "group_wait_seconds": 30,
    "group_interval_seconds": 300,
    "repeat_minutes": None,
    "steps": [],
}
SERIOUS = {"name": "severity", "op": "=~", "value": "warning|critical"}


@pytest.fixture
def webhook(client: Client) -> int:
    return sleeping_webhook(client)


def all_fields(webhook: int) -> dict[str, Any]:
    """Every field with a value that is not its default."""
    return {
        "name": "storage",
        "position": 7,
        "is_active": False,
        "matchers": [SERIOUS, {"name": "team", "op": "=", "value": "storage"}],
        "webhook_ids": [webhook],
        "continues": True,
        "group_by": ["cluster", "severity"],
        "group_wait_seconds": 5,
        "group_interval_seconds": 60,
        "repeat_minutes": 120,
        "steps": [
            {"after_minutes": 15, "webhook_ids": [webhook]},
            {"after_minutes": 30, "webhook_ids": [webhook]},
        ],
    }


def make(client: Client, webhook: int, **fields: Any) -> dict[str, Any]:
    answer = client.post(RULES, json={"name": "test", "webhook_ids": [webhook]} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def path_of(rule: dict[str, Any]) -> str:
    return f"{RULES}/{rule['id']}"


def get(client: Client, rule: dict[str, Any]) -> dict[str, Any]:
    answer = client.get(path_of(rule))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_new_rule_has_the_defaults(client: Client, webhook: int) -> None:
    made = make(client, webhook)
    fixed = {key: made.pop(key) for key in ("id", "created_at", "updated_at")}
    assert made == DEFAULTS | {"name": "test", "webhook_ids": [webhook]}
    assert isinstance(fixed["id"], int)
    assert fixed["created_at"] == fixed["updated_at"]
    assert datetime.fromisoformat(fixed["created_at"]).tzinfo is not None


def test_every_field_is_kept(client: Client, webhook: int) -> None:
    made = make(client, webhook, **all_fields(webhook))
    assert made | all_fields(webhook) == made
    assert get(client, made) == made
    assert page(client.get(RULES))["items"] == [made]


def test_put_replaces_what_patch_changes(client: Client, webhook: int) -> None:
    made = make(client, webhook, **all_fields(webhook))
    patched = client.patch(path_of(made), json={"position": 3, "group_by": None}).json()
    assert patched["updated_at"] > made["updated_at"]
    assert patched == made | {
        "position": 3,
        "group_by": None,
        "updated_at": patched["updated_at"],
    }
    other = sleeping_webhook(client)
    body = {"name": "replaced", "webhook_ids": [other]}
    answer = client.put(path_of(made), json=body)
    assert answer.status_code == 200, answer.text
    replaced = answer.json()
    assert {name: replaced[name] for name in DEFAULTS | body} == DEFAULTS | body
    assert (replaced["id"], replaced["created_at"]) == (made["id"], made["created_at"])
    assert get(client, made) == replaced
    refused(client.put(path_of(made), json={"name": "no webhook"}), 422, "webhook_ids")


def test_matchers_may_be_texts_as_alertmanager_writes_them(client: Client, webhook: int) -> None:
    texts = [
        'severity=~"warning|critical"',
        "team != storage",
        r'host=~"db-\d+"',
        'note="a, \\"b\\""',
    ]
    made = make(client, webhook, matchers=[*texts, SERIOUS])
    assert made["matchers"] == [
        SERIOUS,
        {"name": "team", "op": "!=", "value": "storage"},
        {"name": "host", "op": "=~", "value": r"db-\d+"},
        {"name": "note", "op": "=", "value": 'a, "b"'},
        SERIOUS,
    ]


@pytest.mark.parametrize(
    ("matcher", "blamed", "why"),
    [
        ({"name": "host", "op": "=~", "value": "["}, "matchers.0.value", "missing ]"),
        ({"name": "host", "op": "!~", "value": "("}, "matchers.0.value", "missing )"),
        # What RE2 can't do in linear time, it does not do.
        ({"name": "host", "op": "=~", "value": r"(a)\1"}, "matchers.0.value", "escape sequence"),
        ({"name": "host", "op": "=~", "value": "(?=a)b"}, "matchers.0.value", "perl operator"),
        (
            {"name": "host", "op": "=~", "value": r"(?:\pL{20}){20}"},
            "matchers.0.value",
            "too large",
        ),
        ('host=~"["', "matchers.0.value", "missing ]"),
        ({"name": "host", "op": "=~", "value": "a" * 1025}, "matchers.0.value", "1024"),
        ({"name": "host", "op": "==", "value": "a"}, "matchers.0.op", "one of"),
        ({"name": "", "op": "=", "value": "a"}, "matchers.0.name", "128"),
        ({"name": "h" * 129, "op": "=", "value": "a"}, "matchers.0.name", "128"),
        ({"name": "host", "op": "=", "value": "\x00"}, "matchers.0.value", "NUL"),
        ({"name": "host", "op": "=", "value": "\ud800"}, "matchers.0.value", "Unicode"),
        ({"name": "host", "op": "=", "value": 5}, "matchers.0.value", "string"),
        ({"name": "host", "op": "="}, "matchers.0.value", "required"),
        ({"name": "host", "op": "=", "value": "a", "is": "b"}, "matchers.0.is", "Unknown"),
        ("host", "matchers.0", "looks like"),
        ("host=" + "a" * 4096, "matchers.0", "4096"),
        ('host="\x00"', "matchers.0.value", "NUL"),
        (5, "matchers.0._schema", "Invalid"),
        (None, "matchers.0", "null"),
        ([], "matchers.0._schema", "Invalid"),
    ],
)
def test_a_matcher_that_is_none_is_refused_with_the_reason(
    client: Client, webhook: int, matcher: Any, blamed: str, why: str
) -> None:
    body = {"name": "test", "webhook_ids": [webhook], "matchers": [matcher]}
    error = refused(client.post(RULES, json=body), 422, blamed)
    assert why in error["errors"][blamed][0]


def test_a_pattern_that_burns_others_down_is_taken(client: Client, webhook: int) -> None:
    """RE2 matches it in linear time, so nobody need forbid it."""
    evil = {"name": "host", "op": "=~", "value": "(a+)+$"}
    make(client, webhook, matchers=[evil])
    alert = {"severity": "info", "labels": {"host": "a" * 1023 + "!"}}
    answer = client.post("/api/v1/routing/test", json=alert)
    assert answer.status_code == 200, answer.text
    assert answer.json()["decisions"][0]["reason"] == "rule_not_matched"


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("name", ["", "a" * 201, None, 5], ["a", "a" * 200]),
        ("position", [-1, 1_000_001, 1.5, "1", None], [0, 1_000_000]),
        ("is_active", ["true", 1, None], [True, False]),
        ("continues", ["true", 1, None], [True, False]),
        ("matchers", [None, "severity=info", [SERIOUS] * 51], [[], [SERIOUS] * 50]),
        ("webhook_ids", [None, [], [0], ["1"], [1] * 101], []),
        (
            "group_by",
            ["host", [""], ["h" * 129], ["a", "a"], [f"l{n}" for n in range(21)]],
            [None, [], ["host"], [f"l{n}" for n in range(20)]],
        ),
        ("group_wait_seconds", [-1, 3601, None], [0, 3600]),
        ("group_interval_seconds", [-1, 86_401, None], [0, 86_400]),
        ("repeat_minutes", [0, 10_081, 1.5], [None, 1, 10_080]),
        ("steps", [None, [{}]], [[]]),
    ],
)
def test_values_have_bounds(
    client: Client, webhook: int, field: str, wrong: Sequence[Any], right: Sequence[Any]
) -> None:
    made = make(client, webhook)
    for value in wrong:
        error = refused(client.patch(path_of(made), json={field: value}), 422)
        assert {name.partition(".")[0] for name in error["errors"]} == {field}
    assert get(client, made) == made
    for value in right:
        answer = client.patch(path_of(made), json={field: value})
        assert answer.status_code == 200, answer.text
        assert answer.json()[field] == value


def test_steps_come_one_after_the_other(client: Client, webhook: int) -> None:
    made = make(client, webhook)

    def steps(*minutes: Any) -> Any:
        found = [{"after_minutes": one, "webhook_ids": [webhook]} for one in minutes]
        return client.patch(path_of(made), json={"steps": found})

    for minutes in ((5, 5), (5, 4), (1, 3, 2)):
        refused(steps(*minutes), 422, "steps")
    refused(steps(*range(1, 12)), 422, "steps")
    refused(steps(0), 422, "steps.0.after_minutes")
    refused(steps(1, 10_081), 422, "steps.1.after_minutes")
    assert steps(1, 10_080).status_code == 200
    assert steps(*range(1, 11)).status_code == 200
    refused(
        client.patch(path_of(made), json={"steps": [{"after_minutes": 1, "webhook_ids": []}]}),
        422,
        "steps.0.webhook_ids",
    )


def test_what_nobody_knows_is_refused(client: Client, webhook: int) -> None:
    made = make(client, webhook)
    body = {"name": "test", "webhook_ids": [webhook], "webhooks": [webhook]}
    refused(client.post(RULES, json=body), 422, "webhooks")
    refused(client.put(path_of(made), json=body), 422, "webhooks")
    refused(client.patch(path_of(made), json={"id": 5}), 422, "id")
    refused(client.post(RULES, json={}), 422, "name", "webhook_ids")
    refused(client.get(f"{RULES}?is_active=true"), 422, "is_active")


def test_webhooks_must_be_there_but_may_go(client: Client, webhook: int) -> None:
    gone = sleeping_webhook(client)
    made = make(client, webhook, webhook_ids=[webhook, gone])
    assert client.delete(f"/api/v1/webhooks/{gone}").status_code == 204
    # What it named it still names; to name it anew is refused.
    assert get(client, made)["webhook_ids"] == [webhook, gone]
    assert client.patch(path_of(made), json={"name": "renamed"}).status_code == 200
    error = refused(client.patch(path_of(made), json={"webhook_ids": [gone]}), 422, "webhook_ids")
    assert str(gone) in error["errors"]["webhook_ids"][0]
    step = {"after_minutes": 1, "webhook_ids": [gone]}
    body = {"name": "test", "webhook_ids": [webhook], "steps": [step]}
    refused(client.post(RULES, json=body), 422, "steps.0.webhook_ids")


def test_the_list_is_newest_first_in_pages(client: Client, webhook: int) -> None:
    made = [make(client, webhook, position=9 - number)["id"] for number in range(5)]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(f"{RULES}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.json()["total"] == len(made) + len(seen) // 2
        seen += ids(answer)
        cursor = answer.json()["next_cursor"]
        make(client, webhook)
    assert seen == made[::-1]
    refused(client.get(f"{RULES}?limit=0"), 422, "limit")
    refused(client.get(f"{RULES}?cursor=x"), 422, "cursor")


def test_a_deleted_rule_is_gone(client: Client, webhook: int) -> None:
    made, kept = make(client, webhook), make(client, webhook)
    answer = client.delete(path_of(made))
    assert (answer.status_code, answer.content) == (204, b"")
    for again in (
        client.get(path_of(made)),
        client.put(path_of(made), json={"name": "again", "webhook_ids": [webhook]}),
        client.patch(path_of(made), json={"name": "again"}),
        client.delete(path_of(made)),
    ):
        refused(again, 404)
    assert ids(client.get(RULES)) == [kept["id"]]


def test_of_many_deletes_at_once_one_counts(client: Client, webhook: int) -> None:
    made = make(client, webhook)
    answers = at_once(client, 8, lambda own, _number: own.delete(path_of(made)).status_code)
    assert sorted(answers) == [204] + [404] * 7
