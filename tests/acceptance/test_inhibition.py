"""Inhibition rules over REST."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.acceptance.checks import ids, page, refused
from tests.harness.client import Client

RULES = "/api/v1/inhibition-rules"
DOWN = {"name": "name", "op": "=", "value": "HostDown"}
MINOR = {"name": "severity", "op": "=~", "value": "info|warning"}
BODY = {"name": "test", "source_matchers": [DOWN], "target_matchers": [MINOR]}
ALL_FIELDS = BODY | {"is_active": False, "equal": ["host", "severity"]}


def make(client: Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(RULES, json=BODY | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def path_of(rule: dict[str, Any]) -> str:
    return f"{RULES}/{rule['id']}"


def test_it_is_made_found_changed_and_removed(client: Client) -> None:
    made = make(client)
    fixed = {key: made[key] for key in ("id", "created_at", "updated_at")}
    assert made == BODY | {"is_active": True, "equal": []} | fixed
    assert client.get(path_of(made)).json() == made
    assert page(client.get(RULES))["items"] == [made]

    full = client.put(path_of(made), json=ALL_FIELDS).json()
    assert full == made | ALL_FIELDS | {"updated_at": full["updated_at"]}
    assert full["updated_at"] > made["updated_at"]
    patched = client.patch(path_of(made), json={"equal": []}).json()
    assert patched == full | {"equal": [], "updated_at": patched["updated_at"]}
    reset = client.put(path_of(made), json=BODY).json()
    assert (reset["is_active"], reset["equal"]) == (True, [])

    assert client.delete(path_of(made)).status_code == 204
    for again in (
        client.get(path_of(made)),
        client.put(path_of(made), json=BODY),
        client.patch(path_of(made), json={"name": "again"}),
        client.delete(path_of(made)),
    ):
        refused(again, 404)
    assert ids(client.get(RULES)) == []


def test_texts_do_as_matchers(client: Client) -> None:
    made = make(
        client, source_matchers=["name=HostDown"], target_matchers=['severity=~"info|warning"']
    )
    assert made == make(client) | {key: made[key] for key in ("id", "created_at", "updated_at")}


def test_the_list_is_newest_first_in_pages(client: Client) -> None:
    made = [make(client)["id"] for _ in range(3)]
    first = client.get(f"{RULES}?limit=2")
    rest = client.get(f"{RULES}?cursor={first.json()['next_cursor']}")
    assert ids(first) + ids(rest) == made[::-1]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", ["", "a" * 201, None]),
        ("is_active", [1, None]),
        ("source_matchers", [[], None, [DOWN] * 51, ["["], [DOWN | {"op": "=~", "value": "["}]]),
        ("target_matchers", [[], None, [MINOR] * 51, [{}]]),
        ("equal", [None, "host", [""], ["a", "a"], [f"l{n}" for n in range(21)]]),
        ("target_match", [{"severity": "info"}]),
    ],
)
def test_what_is_wrong_is_refused(client: Client, field: str, wrong: Sequence[Any]) -> None:
    made = make(client)
    for value in wrong:
        for answer in (
            client.post(RULES, json=BODY | {field: value}),
            client.put(path_of(made), json=BODY | {field: value}),
            client.patch(path_of(made), json={field: value}),
        ):
            error = refused(answer, 422)
            assert {name.partition(".")[0] for name in error["errors"]} == {field}
    assert client.get(path_of(made)).json() == made
    refused(client.post(RULES, json={}), 422, "name", "source_matchers", "target_matchers")
