"""Calls about one webhook that more than one file of the acceptance tests makes."""

from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from tests.harness.client import Client
from tests.harness.receiver import Message

WEBHOOKS = "/api/v1/webhooks"
# One that is asleep is neither told nor checked, so nothing changes behind a test's back.
ASLEEP = {"is_active": False}


def path_of(webhook: dict[str, Any], *rest: str) -> str:
    return "/".join([WEBHOOKS, str(webhook["id"]), *rest])


def get(client: Client, webhook: dict[str, Any], *rest: str) -> dict[str, Any]:
    answer = client.get(path_of(webhook, *rest))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def check(client: Client, webhook: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path_of(webhook, "check"))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ping(client: Client, webhook: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path_of(webhook, "test"))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def rotate(client: Client, webhook: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path_of(webhook, "rotate-secret"))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def accepts(secret: str, message: Message) -> bool:
    """What a receiver finds out with the stock library."""
    try:
        Webhook(secret).verify(message.body, dict(message.headers))
    except WebhookVerificationError:
        return False
    return True
