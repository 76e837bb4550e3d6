"""What a running Tocsin delivers, as the stock libraries of Standard Webhooks see it.

How it answers to what receivers answer (2xx, 3xx, 410, 429 and 503 with Retry-After, the other
4xx, 5xx) is tested end to end in tests/acceptance/test_delivery.py.
"""

import itertools
import time
from typing import Any

import pytest

from app.domain.signing import parse_secret, signature_header
from tests.acceptance.steps import settled
from tests.conformance.receivers import Seen, StockReceiver
from tests.harness.client import Client
from tests.harness.system import System
from tests.harness.waiting import eventually

# The library's own tolerance is five minutes.
STALE_SECONDS = 600
_numbers = itertools.count(1)

TEXTS = [
    "Größe: 97 % – „voll“",
    "警告：ディスクがいっぱいです",
    "إنذار القرص ممتلئ",
    "🔥👩‍🚒 e\u0301 \u2028\u2029 \ufeff",
    '"quoted" \\ back/slash </script> \t\n',
    "\x01\x1f\x7f \U0010ffff",
]


@pytest.fixture
def name() -> str:
    """Of a hook that no other test has."""
    return f"hook-{next(_numbers)}"


@pytest.fixture
def webhook(client: Client, stock: StockReceiver, name: str) -> dict[str, Any]:
    """A webhook whose receiver knows its secret."""
    # Over a second between two tries, in spite of the jitter.
    made = client.make_webhook(stock.url(name), retry_schedule_seconds=[0, 2, 2])
    stock.knows(name, made["secret"])
    return made


def tell(client: Client, **fields: Any) -> dict[str, Any]:
    """An alert that has been told, or has failed to be."""
    alert = client.raise_alert(**fields)
    settled(client, alert["id"])
    return alert


def last(stock: StockReceiver, name: str) -> Seen:
    return stock.seen(name)[-1]


def test_all_that_is_told_verifies(
    client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
) -> None:
    alert = tell(client, labels={"host": "db-1"})
    for step in ("acknowledge", "resolve"):
        assert client.post(f"/api/v1/alerts/{alert['id']}/{step}").status_code == 200
        settled(client, alert["id"])
    ping = client.post(f"/api/v1/webhooks/{webhook['id']}/test").json()

    seen = stock.seen(name)

    assert ping["http_status"] == 204
    assert [one.error for one in seen] == [None] * 4
    assert [one.payload["type"] for one in seen] == [
        "alert.firing",
        "alert.acknowledged",
        "alert.resolved",
        "webhook.ping",
    ]
    assert {one.payload["data"]["id"] for one in seen[:3]} == {alert["id"]}
    assert seen[3].payload["data"] == {"webhook_id": webhook["id"], "name": "test"}
    assert len({one.id for one in seen}) == 4
    for one in seen:
        assert set(one.payload) == {"type", "timestamp", "data"}
        assert abs(one.timestamp - time.time()) < 60


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_through(
    client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str, text: str
) -> None:
    tell(client, title=text, message=text * 100, labels={"where": text})
    one = last(stock, name)
    assert one.error is None
    data = one.payload["data"]
    assert (data["title"], data["message"]) == (text, text * 100)
    assert data["labels"] == {"where": text}


def test_a_retry_is_the_same_message_with_a_time_of_its_own(
    client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
) -> None:
    stock.knows(name, webhook["secret"], answers=[500, 503])
    tell(client)
    tries = stock.seen(name)
    assert [one.error for one in tries] == [None] * 3
    assert len({one.id for one in tries}) == 1
    assert len({one.body for one in tries}) == 1
    assert len({one.timestamp for one in tries}) == 3
    assert len({one.headers["webhook-signature"] for one in tries}) == 3


def test_what_is_redriven_is_the_same_message_too(
    client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
) -> None:
    stock.knows(name, webhook["secret"], answers=[400])
    tell(client)
    begun = client.post("/api/v1/deliveries/redrive", json={"filter": {}})
    assert begun.json()["total"] == 1
    eventually(lambda: len(stock.seen(name)) == 2, what="the redrive")
    first, again = stock.seen(name)
    assert (first.error, again.error) == (None, None)
    assert (first.id, first.body) == (again.id, again.body)


class TestRotation:
    def test_while_both_secrets_live_each_verifies(
        self, client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
    ) -> None:
        rotated = client.post(f"/api/v1/webhooks/{webhook['id']}/rotate-secret").json()
        for secret in (webhook["secret"], rotated["secret"]):
            stock.knows(name, secret)
            tell(client)
            assert last(stock, name).error is None
            assert len(last(stock, name).signatures) == 2

    def test_afterwards_only_the_new_one_does(
        self,
        client: Client,
        stock: StockReceiver,
        webhook: dict[str, Any],
        name: str,
        system: System,
    ) -> None:
        rotated = client.post(f"/api/v1/webhooks/{webhook['id']}/rotate-secret").json()
        with system.sql() as connection:  # a day later
            connection.execute(
                "UPDATE pggit.webhooks SET previous_secret_expires_at = now(), updated_at = now()"
            )
        (told,) = settled(client, client.raise_alert()["id"])
        # The receiver that was not told of the new secret refuses.
        assert last(stock, name).error is not None
        assert (told["status"], told["attempts"][0]["http_status"]) == ("failed", 401)
        stock.knows(name, rotated["secret"])
        tell(client)
        assert last(stock, name).error is None
        assert len(last(stock, name).signatures) == 1


class TestForgeries:
    """That the receivers above can say no; else their yes would prove nothing."""

    def test_what_was_touched_on_the_way_is_refused(
        self, client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
    ) -> None:
        tell(client, title="Disk almost full")
        genuine = last(stock, name)
        later = {"webhook-timestamp": str(genuine.timestamp + 1)}
        for body, headers in (
            (genuine.body.replace("almost", "hardly"), {}),
            (genuine.body + " ", {}),
            (genuine.body, {"webhook-id": "msg_another"}),
            (genuine.body, later),
            (genuine.body, {"webhook-signature": "v1,AAAA"}),
        ):
            assert stock.post(name, body, {**genuine.headers, **headers}) == 401
            assert last(stock, name).error is not None
        assert stock.post(name, genuine.body, genuine.headers) == 204

    def test_a_secret_of_another_webhook_does_not_do(
        self, client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
    ) -> None:
        other = client.make_webhook(stock.url(f"{name}-other"), is_active=False)
        stock.knows(name, other["secret"])
        tell(client)
        assert last(stock, name).error is not None

    def test_what_is_stale_is_refused_however_well_it_is_signed(
        self, client: Client, stock: StockReceiver, webhook: dict[str, Any], name: str
    ) -> None:
        key, body = parse_secret(webhook["secret"]), '{"type":"alert.firing"}'

        def signed(at: int) -> dict[str, str]:
            return {
                "webhook-id": "msg_replayed",
                "webhook-timestamp": str(at),
                "webhook-signature": signature_header([key], "msg_replayed", at, body.encode()),
            }

        now = int(time.time())
        assert stock.post(name, body, signed(now)) == 204
        for at in (now - STALE_SECONDS, now + STALE_SECONDS):
            assert stock.post(name, body, signed(at)) == 401
