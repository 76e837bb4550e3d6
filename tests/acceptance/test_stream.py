"""The stream: who may watch, what comes, across processes, and what was missed."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.deps import build
from app.domain.events import Changed
from app.domain.live import Kind
from app.settings import load_settings
from models import Anomaly
from tests.acceptance.steps import another_web, settled
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually
from tests.harness.watcher import Watcher, watching

SECTIONS = {"source", "metrics", "alerts", "deliveries", "webhooks", "jobs", "anomalies"}


@pytest.fixture(scope="module")
def other_url(system: System) -> Iterator[str]:
    """Another web process, of another server even, on the same database and Redis."""
    with another_web(system, WEB_CONCURRENCY="1") as url:
        yield url


@pytest.fixture
def here(client: Client, system: System) -> Iterator[Watcher]:
    with watching(system.url, token=str(client.token)) as watcher:
        watcher.wait_for("metrics")
        yield watcher


@pytest.fixture
def there(client: Client, other_url: str) -> Iterator[Watcher]:
    with watching(other_url, token=str(client.token)) as watcher:
        watcher.wait_for("metrics")
        yield watcher


def shown(client: Client, path: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def both(here: Watcher, there: Watcher, kind: str, one_id: int, **fields: Any) -> dict[str, Any]:
    """The event that both were told, under the same number and word by word."""

    def is_it(data: Any) -> bool:
        return bool(data["id"] == one_id and fields.items() <= data.items())

    first = here.wait_for(kind, is_it)
    second = there.wait_for(kind, is_it)
    assert first == second
    data: dict[str, Any] = first["data"]
    return data


def test_how_things_are_comes_first_and_figures_go_on(client: Client, system: System) -> None:
    alert = client.raise_alert()
    webhook = client.make_webhook("http://127.0.0.1:9000/hook", is_active=False)
    with watching(system.url, token=str(client.token)) as watcher:
        first = watcher.read()
        assert first["type"] == "snapshot"
        assert set(first["data"]) == SECTIONS
        assert first["data"]["alerts"] == [shown(client, f"alerts/{alert['id']}")]
        assert first["data"]["webhooks"] == [shown(client, f"webhooks/{webhook['id']}")]
        assert [one["name"] for one in first["data"]["jobs"]] == [
            one["name"] for one in client.get("/api/v1/jobs?limit=100").json()["items"]
        ]
        metrics = [watcher.wait_for("metrics") for _message in range(3)]
    assert metrics[0]["data"]["alerts"] == {"pending": 1}
    assert {one["lane"] for one in metrics[0]["data"]["workers"]} >= {"deliver", "health", "jobs"}
    numbers = [message["seq"] for message in watcher.told]
    assert numbers == sorted(numbers)
    assert len({message["seq"] for message in metrics}) == 3


def test_alerts(client: Client, here: Watcher, there: Watcher) -> None:
    alert = client.raise_alert(labels={"host": "db-1"})
    path = f"alerts/{alert['id']}"
    assert both(here, there, "alert", alert["id"], status="pending") == shown(client, path)
    for action, status in (("acknowledge", "acknowledged"), ("resolve", "resolved")):
        assert client.post(f"/api/v1/{path}/{action}").status_code == 200
        assert both(here, there, "alert", alert["id"], status=status) == shown(client, path)


def test_deliveries(client: Client, receiver: Receiver, here: Watcher, there: Watcher) -> None:
    receiver.plan("/hook", Answer(500))
    # Its checks are in the way of the plan.
    webhook = client.make_webhook(receiver.url("/hook"), is_active=False)
    client.patch(f"/api/v1/webhooks/{webhook['id']}", json={"is_active": True})
    alert = client.raise_alert()
    (delivery,) = settled(client, alert["id"])
    data = both(here, there, "delivery", delivery["id"], status=delivery["status"])
    assert data == shown(client, f"deliveries/{delivery['id']}")


def test_webhooks_and_their_health(
    client: Client, receiver: Receiver, here: Watcher, there: Watcher
) -> None:
    webhook = client.make_webhook(receiver.url("/hook"))
    webhook_id = webhook["id"]
    data = both(here, there, "webhook", webhook_id, health_status="healthy")
    assert data == shown(client, f"webhooks/{webhook_id}")
    assert client.patch(f"/api/v1/webhooks/{webhook_id}", json={"name": "new"}).status_code == 200
    both(here, there, "webhook", webhook_id, name="new")
    assert client.delete(f"/api/v1/webhooks/{webhook_id}").status_code == 204
    both(here, there, "webhook", webhook_id, is_deleted=True)


def test_jobs(client: Client, here: Watcher, there: Watcher) -> None:
    asked = client.post("/api/v1/jobs/metrics-partitions/run")
    assert asked.status_code == 202
    run = both(here, there, "job", asked.json()["id"], status="succeeded")
    found = client.get("/api/v1/jobs/metrics-partitions/executions").json()["items"]
    assert run in found


def test_anomalies(client: Client, system: System, here: Watcher, there: Watcher) -> None:
    deps = build(load_settings(_env_file=None, **_as_given(system)))
    try:
        with deps.unit_of_work() as work:
            row = Anomaly(
                operation="checkout",
                started_at=work.now,
                odd_at=work.now,
                last_at=work.now,
                score=1.5,
                severity="warning",
                value=412.0,
                low=180.0,
                high=230.0,
                sentence="p95 412 ms",
                views={},
            )
            work.session.add(row)
            work.session.flush()
            work.events.append(Changed(Kind.ANOMALY, (row.id,)))
        data = both(here, there, "anomaly", row.id)
    finally:
        deps.close()
    (listed,) = client.get("/api/v1/anomalies").json()["items"]
    assert data == listed


def _as_given(system: System) -> dict[str, Any]:
    names = ("DATABASE_URL", "REDIS_URL", "JWT_SECRET_KEY", "ENCRYPTION_KEYS")
    return {name.lower(): system.settings[name] for name in names}


def test_what_was_missed_comes_on_the_way_back(
    client: Client, system: System, other_url: str
) -> None:
    token = str(client.token)
    with watching(system.url, token=token) as watcher:
        watcher.wait_for("metrics")
        alert = client.raise_alert()
        seen = watcher.wait_for("alert", lambda data: data["id"] == alert["id"])
    # Somebody must watch for the stream to go on.
    with watching(other_url, token=token) as meanwhile:
        missed = client.raise_alert(title="missed")
        told = meanwhile.wait_for("alert", lambda data: data["id"] == missed["id"])
        with watching(other_url, token=token, since=seen["seq"]) as back:
            first = back.read()
            assert first["type"] != "snapshot"
            assert first["seq"] == seen["seq"] + 1
            while back.told[-1]["seq"] < told["seq"]:
                back.read()
    assert back.told[-1] == told
    numbers = [message["seq"] for message in back.told]
    assert numbers == list(range(seen["seq"] + 1, told["seq"] + 1))


def test_what_happens_while_nobody_watches_is_told_to_who_comes_back(
    client: Client, system: System
) -> None:
    token = str(client.token)
    with watching(system.url, token=token) as watcher:
        seen = watcher.wait_for("metrics")
    alert = client.raise_alert()
    with watching(system.url, token=token, since=seen["seq"]) as back:
        told = back.wait_for("alert", lambda data: data["id"] == alert["id"])
    assert told["data"]["title"] == alert["title"]
    assert back.told[0]["type"] != "snapshot"


@pytest.mark.parametrize("since", [0, 1, 10**15, "yesterday", "-5", 10**30])
def test_too_old_or_never_sent_means_a_fresh_snapshot(
    client: Client, system: System, since: str | int
) -> None:
    with watching(system.url, token=str(client.token), since=since) as watcher:
        assert watcher.read()["type"] == "snapshot"


def test_a_reader_chooses_topics(client: Client, system: System, here: Watcher) -> None:
    with watching(system.url, token=str(client.token), topics="jobs") as chooser:
        assert chooser.read()["type"] == "snapshot"
        chooser.say({"type": "subscribe", "topics": ["alerts"]})
        assert chooser.wait_for("subscribed")["data"] == {"topics": ["alerts"]}
        chooser.told.clear()
        alerts = []
        for _round in range(3):
            here.wait_for("metrics")
            alerts.append(client.raise_alert()["id"])
            chooser.wait_for("alert", lambda data: data["id"] == alerts[-1])
    assert {message["type"] for message in chooser.told} <= {"alert", "snapshot"}


def test_an_unknown_topic_is_refused(client: Client, system: System, here: Watcher) -> None:
    here.say({"type": "subscribe", "topics": ["weather"]})
    assert "topics" in here.wait_for("error")["data"]["detail"]
    here.say({"type": "subscribe"})
    here.wait_for("error")
    here.wait_for("metrics")
    path = "/api/v1/ws/dashboard?topics=weather"
    assert client.get(path, headers=HANDSHAKE).status_code == 422


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_questions_and_nonsense_are_answered(here: Watcher) -> None:
    here.say({"type": "ping", "data": {"n": 1}})
    assert here.wait_for("pong")["data"] == {"n": 1}
    for nonsense in ("no JSON", "[]", "{}", '{"type": "shout"}', "[" * 4000):
        here.say(nonsense)
        here.wait_for("error")
    here.wait_for("metrics")


@pytest.mark.parametrize(
    "without", ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Connection"]
)
def test_what_is_no_handshake_is_a_plain_400(client: Client, without: str) -> None:
    headers = {name: value for name, value in HANDSHAKE.items() if name != without}
    answer = client.get("/api/v1/ws/dashboard", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["status_code"] == 400


def test_a_storm_of_deliveries_is_sampled_and_alerts_are_not_lost(
    client: Client, receiver: Receiver, here: Watcher
) -> None:
    client.make_webhook(receiver.url("/hook"), max_in_flight=100)
    drafts = [{"title": f"storm {number}", "severity": "info"} for number in range(150)]
    created = client.post("/api/v1/alerts/batch", json={"alerts": drafts}).json()["created"]
    wanted = {one["id"] for one in created}
    eventually(lambda: len(receiver.messages("/hook")) == 150, what="the storm's end")
    left_out = 0
    while wanted or not left_out:
        message = here.read()
        if message["type"] == "alert":
            wanted.discard(message["data"]["id"])
        elif message["type"] == "metrics":
            left_out += message["data"]["not_shown"].get("delivery", 0)
    deliveries = [one for one in here.told if one["type"] == "delivery"]
    assert 0 < len(deliveries) < 150
