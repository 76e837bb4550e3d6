"""`tocsin webhook` and `tocsin alert`, against a system that runs."""

import json

from tests.cli.conftest import Tocsin
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver


def test_add_and_list(here: Tocsin, receiver: Receiver) -> None:
    added = here(
        "webhook",
        "add",
        "on-call",
        receiver.url("/hook"),
        "--every",
        "86400",
        "--header",
        "x-team=a",
    )
    assert added.code == 0
    assert "Secret (shown this once): whsec_" in added.out

    (shown,) = here("webhook", "list", "--json").json
    assert (shown["name"], shown["headers"]) == ("on-call", {"x-team": "a"})
    listed = here("webhook", "list").out
    assert "on-call" in listed
    assert receiver.url("/hook") in listed


def test_what_the_server_finds_wrong_is_said_field_by_field(here: Tocsin) -> None:
    answer = here("webhook", "add", "x", "ftp://nowhere", "--every", "1")
    assert answer.code == 1
    assert "health_check_interval_seconds:" in answer.err


def test_check_and_test_by_name(here: Tocsin, client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/well"), name="well")
    sick = client.make_webhook(receiver.url("/sick"), name="sick")
    receiver.plan("/sick", Answer(500))

    assert here("webhook", "check", "well").code == 0
    assert here("webhook", "check", str(sick["id"])).code == 1
    checked = here("webhook", "check", "--all", "--json")
    assert checked.code == 1
    assert {one["name"]: one["outcome"] for one in checked.json} == {
        "well": "passed",
        "sick": "failed",
    }

    assert here("webhook", "test", "well").code == 0
    assert any(message.json["type"] == "webhook.ping" for message in receiver.messages("/well"))
    failed = here("webhook", "test", "sick", "--json")
    assert failed.code == 1
    assert failed.json["http_status"] == 500


def test_a_name_that_nobody_or_everybody_has(
    here: Tocsin, client: Client, receiver: Receiver
) -> None:
    assert here("webhook", "show", "nobody").code == 5
    for _ in range(2):
        client.make_webhook(receiver.url("/x"), name="twin")
    answer = here("webhook", "show", "twin")
    assert answer.code == 1
    assert "Several webhooks are called so" in answer.err


def test_neither_names_nor_all(here: Tocsin) -> None:
    assert here("webhook", "check").code == 2
    assert here("alert", "ack").code == 2


def test_send_and_wait(here: Tocsin, client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/told"), name="told")
    sent = here(
        "alert", "send", "Disk almost full", "--severity", "critical", "--label", "host=db-1",
        "--webhook", "told", "--expires-in", "2h", "--wait", "--json",
    )  # fmt: skip
    assert sent.code == 0
    assert sent.json["deliveries"]["delivered"] == 1
    (message,) = receiver.messages("/told")
    assert message.json["data"]["labels"] == {"host": "db-1"}
    assert sent.json["expires_at"] is not None


def test_sent_to_who_does_not_take_it(here: Tocsin, client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/no"), name="no")
    receiver.plan("/no", Answer(400))
    sent = here("alert", "send", "x", "--webhook", "no", "--wait")
    assert sent.code == 1
    assert "1 failed" in sent.out


def test_list_acknowledge_explain(here: Tocsin, client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/told"), name="told")
    first = client.raise_alert(title="first")["id"]
    second = client.raise_alert(title="second", severity="info")["id"]

    listed = here("alert", "list", "--severity", "info", "--json").json
    assert [one["id"] for one in listed] == [second]
    assert [one["id"] for one in here("alert", "list", "--search", "first", "--json").json] == [
        first
    ]

    answer = here("alert", "ack", str(first), "999999999")
    assert answer.code == 5
    assert f"Acknowledged: {first}" in answer.out
    assert here("alert", "ack", "--all", "--json").json["acknowledged"] == [second]

    explained = here("alert", "explain", str(first))
    assert explained.code == 0
    assert "told" in explained.out
    assert here("alert", "explain", "999999999").code == 5


def test_a_title_does_nothing_to_the_terminal(here: Tocsin, client: Client) -> None:
    """Nor is it taken for rich's markup."""
    client.raise_alert(title="\x1b]0;owned\x07 [red]x[/red] \x9b31m")
    shown = here("alert", "list")
    assert "[red]x[/red]" in shown.out
    as_json = here("alert", "list", "--json")
    for answer in (shown, as_json):
        assert not {"\x1b", "\x07", "\x9b"} & set(answer.out)
    assert json.loads(as_json.out)[0]["title"].startswith("\x1b]0;owned")
