"""Templates of webhooks: kept, shown, previewed, and what a receiver then gets."""

import json
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.acceptance.checks import refused
from tests.acceptance.steps import checked_webhook, settled, sleeping_webhook
from tests.acceptance.webhook_calls import ASLEEP, get, path_of, ping
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver

CUSTOM = {"shape": "custom", "text": '{"said": "{{ summary }}", "host": "{{ data.labels.host }}"}'}
PAGERDUTY = {"shape": "pagerduty", "routing_key": "R0UT1NGK3Y"}
# Fine with whatever it is tried on at registration, and not with these labels.
FRAGILE = {
    "shape": "custom",
    "text": '{"said": "{{ summary }}"{% if data.labels.broken %}, oops{% endif %}}',
}


def preview(client: Client, webhook: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = client.post(path_of(webhook, "preview"), json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.parametrize("template", [CUSTOM, PAGERDUTY, {"shape": "slack"}])
def test_it_is_kept_and_shown(client: Client, template: dict[str, str]) -> None:
    made = client.make_webhook("http://127.0.0.1:9000/hook", template=template, **ASLEEP)
    assert made["template"] == template
    assert get(client, made)["template"] == template
    (listed,) = client.get("/api/v1/webhooks").json()["items"]
    assert listed["template"] == template
    # Left out, it stays, or is the default again.
    changed = client.patch(path_of(made), json={"name": "other"}).json()
    assert changed["template"] == template
    body = {"name": "other", "url": made["url"]} | ASLEEP
    replaced = client.put(path_of(made), json=body).json()
    assert replaced["template"] == {"shape": "raw"}


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"shape": "teams"}, "template.shape"),
        ({}, "template.shape"),
        ({"shape": "pagerduty"}, "template.routing_key"),
        ({"shape": "custom"}, "template.text"),
        ({"shape": "custom", "text": "{{ range(9) }}"}, "template.text"),
        ({"shape": "custom", "text": "{{ summary }}"}, "template.text"),
        ({"shape": "slack", "text": "{}"}, "template.text"),
        ({"shape": "slack", "colour": "red"}, "template.colour"),
        ("slack", "template._schema"),
    ],
)
def test_a_bad_one_is_refused_wherever_it_comes_in(
    client: Client, template: object, field: str
) -> None:
    made = client.make_webhook("http://127.0.0.1:9000/hook", **ASLEEP)
    body = {"name": "a", "url": made["url"], "template": template} | ASLEEP
    tries = [
        client.post("/api/v1/webhooks", json=body),
        client.patch(path_of(made), json={"template": template}),
        client.post(path_of(made, "preview"), json={"template": template}),
    ]
    for answer in tries:
        assert list(refused(answer, 422)["errors"]) == [field]


def test_it_is_not_to_be_read_in_the_database(client: Client, system: Any) -> None:
    client.make_webhook("http://127.0.0.1:9000/hook", template=PAGERDUTY, **ASLEEP)
    with system.sql() as sql:
        (kept,) = sql.execute("SELECT template_encrypted FROM pggit.webhooks").fetchone()
    assert b"R0UT1NGK3Y" not in bytes(kept)


def test_a_receiver_gets_the_body_that_the_template_makes(
    client: Client, receiver: Receiver
) -> None:
    """Signed as any other; no header is another."""
    webhook = client.make_webhook(receiver.url("/hook"), template=CUSTOM)
    alert = client.raise_alert(title='97 % of "/var"', labels={"host": "db-1"})
    (told,) = settled(client, alert["id"])

    (message,) = receiver.messages("/hook")
    body = Webhook(webhook["secret"]).verify(message.body, dict(message.headers))
    assert body == {"said": '[critical] 97 % of "/var"', "host": "db-1"}
    assert message.headers["content-type"] == "application/json"
    assert message.id == told["webhook_message_id"]


def test_each_attempt_is_the_same_message(client: Client, receiver: Receiver) -> None:
    checked_webhook(client, receiver, "/hook", Answer(500), Answer(), template={"shape": "slack"})
    settled(client, client.raise_alert()["id"])
    first, second = receiver.messages("/hook")
    assert first.body == second.body
    assert first.id == second.id
    assert first.json["text"] == "[critical] Disk almost full"


def test_the_test_message_has_its_shape_too(client: Client, receiver: Receiver) -> None:
    webhook = client.make_webhook(receiver.url("/hook"), template={"shape": "discord"})
    assert ping(client, webhook)["http_status"] == 204
    (message,) = receiver.messages("/hook")
    assert message.json["content"] == "Tocsin: a test message for test"


def test_no_alert_is_lost_to_a_template(client: Client, receiver: Receiver) -> None:
    webhook = client.make_webhook(receiver.url("/hook"), template=FRAGILE)
    whole = client.raise_alert(title="whole")
    broken = client.raise_alert(title="broken", labels={"broken": "yes"})
    for alert in (whole, broken):
        assert [one["status"] for one in settled(client, alert["id"])] == ["delivered"]

    by_title = {message.json.get("data", {}).get("title"): message.json for message in
                receiver.messages("/hook")}  # fmt: skip
    assert by_title[None] == {"said": "[critical] whole"}
    plain = by_title["broken"]
    assert plain["type"] == "alert.firing"
    assert plain["data"]["labels"] == {"broken": "yes"}
    assert "not JSON" in plain["template_error"]
    assert plain["text"].startswith("[critical] broken (the template of this webhook failed")
    # And whoever asks is shown the same.
    shown = preview(client, webhook, alert_id=broken["id"])
    assert "not JSON" in shown["error"]
    assert json.loads(shown["body"])["data"]["title"] == "broken"


def test_a_preview_sends_nothing(client: Client, receiver: Receiver) -> None:
    webhook = client.make_webhook(receiver.url("/hook"), template=CUSTOM)
    alert = client.raise_alert(title="Real", webhook_ids=[sleeping_and_active(client, receiver)])

    own = preview(client, webhook)
    other = preview(client, webhook, template={"shape": "slack"}, alert_id=alert["id"])
    pinged = preview(client, webhook, type="webhook.ping")

    assert own["error"] is None
    assert json.loads(own["body"]) == {"said": '[critical] Disk "almost" full', "host": "db-1"}
    assert json.loads(other["body"])["text"] == "[critical] Real"
    assert json.loads(pinged["body"])["said"] == "Tocsin: a test message for test"
    assert receiver.messages("/hook") == ()
    # What was only tried is not kept.
    assert get(client, webhook)["template"] == CUSTOM


def sleeping_and_active(client: Client, receiver: Receiver) -> int:
    return int(client.make_webhook(receiver.url("/other"))["id"])


def test_a_preview_of_what_is_not_there_is_a_404(client: Client) -> None:
    webhook = {"id": sleeping_webhook(client)}
    refused(client.post(path_of(webhook, "preview"), json={"alert_id": 10**17}), 404)
    refused(client.post("/api/v1/webhooks/999999999/preview", json={}), 404)
