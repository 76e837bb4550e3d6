"""With the broker's Redis frozen or killed: requests, deliveries and checks go on.

That limits do, too, is in test_rate_limit.py, where there are webs with small ones.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psutil
import pytest

import beat_schedule
from tests.acceptance.steps import as_it_hangs, broker, settled
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

Away = Callable[[System], AbstractContextManager[None]]

# The contract says 100 ms and then nothing; this is what says that nobody waits for a time-out.
REQUEST_WITHIN_SECONDS = 2.0
DELIVERED_WITHIN_SECONDS = 15.0


@contextmanager
def as_it_dies(system: System) -> Iterator[None]:
    """The supervisor starts it again soon; it is empty then."""
    process = broker(system)
    process.kill()
    psutil.wait_procs([process], timeout=10)
    yield


@pytest.fixture(params=[as_it_hangs, as_it_dies], ids=["frozen", "killed"])
def away(request: pytest.FixtureRequest) -> Away:
    how: Away = request.param
    return how


def test_alerts_are_taken_and_delivered(
    client: Client, receiver: Receiver, system: System, away: Away
) -> None:
    client.make_webhook(receiver.url("/hook"))
    with away(system):
        for _alert in range(5):
            began = time.monotonic()
            alert = client.raise_alert()
            assert time.monotonic() - began < REQUEST_WITHIN_SECONDS
            (told,) = settled(client, alert["id"], DELIVERED_WITHIN_SECONDS)
            assert told["status"] == "delivered"
    assert len(receiver.messages("/hook")) == 5


def test_checks_go_on_and_health_says_what_is_missing(
    client: Client, receiver: Receiver, system: System
) -> None:
    webhook = client.make_webhook(receiver.url("/hook"), health_check_interval_seconds=5)
    eventually(lambda: receiver.probes("/hook"), what="the first check")
    eventually(lambda: client.get("/health/deep").json()["status"] == "healthy", 40, "health")
    with as_it_hangs(system):
        began = time.monotonic()
        deep = client.get("/health/deep")
        assert time.monotonic() - began < REQUEST_WITHIN_SECONDS
        assert (deep.status_code, deep.json()["status"]) == (200, "degraded")
        parts = {name: part["status"] for name, part in deep.json()["checks"].items()}
        assert parts == dict.fromkeys(parts, "healthy") | {"broker": "unavailable"}
        assert client.get("/health/ready").status_code == 200
        assert client.get("/api/v1/system/info").json()["broker_queues"] is None

        before = receiver.probes("/hook")
        eventually(lambda: receiver.probes("/hook") > before, 15, "the next check")
        # And one that nobody could be hinted about.
        new = client.make_webhook(receiver.url("/new"))
        eventually(lambda: receiver.probes("/new") == 1, DELIVERED_WITHIN_SECONDS, "its check")
        for one in (webhook, new):
            checked = client.post(f"/api/v1/webhooks/{one['id']}/check")
            assert checked.status_code in {200, 409}

    every_lane_takes_work(client)


def test_one_that_was_killed_is_used_again(client: Client, system: System) -> None:
    with as_it_dies(system):
        pass
    eventually(lambda: client.get("/health/deep").json()["status"] == "healthy", 40, "health")
    every_lane_takes_work(client)


def every_lane_takes_work(client: Client) -> None:
    """Celery's workers have been known to look alive after a reconnect, and to take nothing."""
    asked: dict[str, Any] = {}
    for name in beat_schedule.JOBS:
        answer = client.post(f"/api/v1/jobs/{name}/run")
        assert answer.status_code == 202
        asked[name] = answer.json()["id"]

    def open_runs() -> list[str]:
        return [name for name, execution_id in asked.items() if not succeeded(name, execution_id)]

    def succeeded(name: str, execution_id: int) -> bool:
        items = client.get(f"/api/v1/jobs/{name}/executions").json()["items"]
        return any(one["id"] == execution_id and one["status"] == "succeeded" for one in items)

    eventually(lambda: not open_runs(), 30, "a run of every job")
