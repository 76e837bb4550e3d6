"""How the system says it is: for people, probes and load balancers."""

import pytest

from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

PARTS = {"database", "broker", "cache", "workers", "beat", "webhooks", "heartbeat"}


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_it_says_that_it_lives_without_being_signed_in(client: Client, path: str) -> None:
    answer = client.as_nobody().get(path)

    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "timestamp"}
    assert answer.json()["status"] == "healthy"


def test_deep_health_has_every_part_with_its_latency(client: Client) -> None:
    nobody = client.as_nobody()
    # Beat shows that it lives every ten seconds, so not at once.
    eventually(lambda: nobody.get("/health/deep").json()["status"] == "healthy", what="health")

    answer = nobody.get("/health/deep")

    assert answer.status_code == 200
    assert set(answer.json()["checks"]) == PARTS
    for name, part in answer.json()["checks"].items():
        assert part["status"] == "healthy", name
        assert 0 < part["latency_ms"] < 5000, name
    workers = answer.json()["checks"]["workers"]["data"]
    assert workers == {"deliver": 2, "health": 2, "jobs": 1}


def test_a_sick_webhook_degrades_it(client: Client, receiver: Receiver) -> None:
    receiver.plan("/sick", Answer(500))
    webhook = client.make_webhook(receiver.url("/sick"), health_check={"failure_threshold": 1})
    eventually(
        lambda: client.get("/health/deep").json()["checks"]["webhooks"]["status"] == "degraded"
    )

    answer = client.get("/health/deep")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["webhooks"]["data"] == {"unavailable": 1}
    # An inactive one is not ours to worry about.
    client.patch(f"/api/v1/webhooks/{webhook['id']}", json={"is_active": False})
    assert client.get("/health/deep").json()["checks"]["webhooks"]["status"] == "healthy"


def test_system_info_lists_the_live_workers(client: Client, system: System) -> None:
    answer = client.get("/api/v1/system/info")

    assert answer.status_code == 200
    info = answer.json()
    assert info["version"]
    assert info["uptime_seconds"] > 0
    assert set(info["broker_queues"]) == {"deliver", "health", "jobs"}
    assert info["queue"]["undelivered"] == 0
    pool = info["database_pool"]
    assert 1 <= pool["open"] <= pool["limit"]
    pids = {process.pid: process.cmdline()[-2] for process in system.processes("tasks")}
    alive = {one["pid"]: one["lane"] for one in info["workers"] if one["is_alive"]}
    assert sorted(alive.values()) == ["deliver", "deliver", "health", "health", "jobs"]
    assert alive.items() <= pids.items()


def test_system_info_is_not_for_everybody(client: Client) -> None:
    assert client.as_nobody().get("/api/v1/system/info").status_code == 401


def test_it_says_what_waits(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/later"), retry_schedule_seconds=[60])
    client.raise_alert()

    assert client.get("/api/v1/system/info").json()["queue"]["undelivered"] == 1
    assert client.get("/health/deep").json()["checks"]["database"]["data"]["undelivered"] == 1
