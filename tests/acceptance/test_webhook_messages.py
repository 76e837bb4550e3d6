"""The test message of a webhook, and the secrets that sign all messages."""

import json
from datetime import datetime, timedelta

import pytest
from standardwebhooks import Webhook

from app.adapters.embedded import free_port
from tests.acceptance.checks import ids
from tests.acceptance.steps import settled
from tests.acceptance.webhook_calls import ASLEEP, accepts, get, path_of, ping, rotate
from tests.harness.client import Client
from tests.harness.receiver import Answer, Message, Receiver
from tests.harness.system import System


def test_a_ping_is_signed_and_says_who_is_asked(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), name="on-call", **ASLEEP)
    result = ping(client, made)
    (message,) = receiver.messages("/hook")
    said = Webhook(made["secret"]).verify(message.body, dict(message.headers))
    assert set(said) == {"type", "timestamp", "data"}
    assert said["type"] == "webhook.ping"
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None
    assert said["data"] == {"webhook_id": made["id"], "name": "on-call"}
    assert message.headers["content-type"] == "application/json"
    assert result["message_id"] == message.id
    assert result["http_status"] == 204
    assert result["latency_ms"] > 0
    assert result["reason"] == "accepted"
    assert result["error"] is None
    # It is no alert: nothing is queued for it.
    assert ids(client.get(path_of(made, "deliveries"))) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(400, body=b"no"), "rejected"),
        (Answer(410, body=b"no"), "gone"),
        (Answer(500, body=b"no"), "server_error"),
        (Answer(302, {"Location": "/elsewhere"}, b"no"), "redirect_not_followed"),
    ],
)
def test_a_ping_is_answered_whatever_the_receiver_did(
    client: Client, receiver: Receiver, answer: Answer, reason: str
) -> None:
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    receiver.plan("/hook", answer)
    result = ping(client, made)
    assert result["http_status"] == answer.status
    assert result["reason"] == reason
    assert result["body_excerpt"] == "no"
    assert len(receiver.messages("/hook")) == 1
    assert not receiver.messages("/elsewhere")


def test_a_ping_to_nobody(client: Client) -> None:
    made = client.make_webhook(f"http://127.0.0.1:{free_port()}/hook", **ASLEEP)
    result = ping(client, made)
    assert result["http_status"] is None
    assert result["reason"] == "connect_failed"
    assert result["error"]


# --- Secrets -----------------------------------------------------------------------------


def test_after_a_rotation_both_secrets_sign(
    client: Client, receiver: Receiver, system: System
) -> None:
    made = client.make_webhook(receiver.url("/hook"))
    other = client.make_webhook(receiver.url("/other"), **ASLEEP)
    settled(client, client.raise_alert(title="before")["id"])
    rotated = rotate(client, made)
    overlap = datetime.fromisoformat(
        rotated["previous_secret_expires_at"]
    ) - datetime.fromisoformat(get(client, made)["updated_at"])
    assert overlap == timedelta(hours=24)
    settled(client, client.raise_alert(title="overlap")["id"])
    ping(client, made)
    with system.sql() as connection:  # a day later
        connection.execute(
            "UPDATE pggit.webhooks SET previous_secret_expires_at = now(), updated_at = now()"
        )
    settled(client, client.raise_alert(title="after")["id"])

    old, new = made["secret"], rotated["secret"]
    before, overlapped, pinged, after = receiver.messages("/hook")
    for message, signatures, by_old, by_new in (
        (before, 1, True, False),
        (overlapped, 2, True, True),
        (pinged, 2, True, True),
        (after, 1, False, True),
    ):
        title = message.json["data"].get("title", "ping")
        assert len(message.headers["webhook-signature"].split()) == signatures, title
        assert accepts(old, message) is by_old, title
        assert accepts(new, message) is by_new, title
        assert not accepts(other["secret"], message)


def test_what_was_touched_on_the_way_does_not_verify(client: Client, receiver: Receiver) -> None:
    """The harness can see a forgery; else the tests above would prove nothing."""
    made = client.make_webhook(receiver.url("/hook"), **ASLEEP)
    ping(client, made)
    (message,) = receiver.messages("/hook")
    late = str(int(message.headers["webhook-timestamp"]) + 1)
    for touched in (
        Message(message.path, message.headers, message.body.replace(b"ping", b"pong")),
        Message(message.path, dict(message.headers) | {"webhook-id": "msg_1"}, message.body),
        Message(message.path, dict(message.headers) | {"webhook-timestamp": late}, message.body),
    ):
        assert not accepts(made["secret"], touched)
    assert accepts(made["secret"], message)


def test_the_body_is_json_without_escapes(client: Client, receiver: Receiver) -> None:
    made = client.make_webhook(receiver.url("/hook"), name="Größe ☃", **ASLEEP)
    ping(client, made)
    (message,) = receiver.messages("/hook")
    assert "Größe ☃".encode() in message.body
    assert json.loads(message.body)["data"]["name"] == "Größe ☃"
