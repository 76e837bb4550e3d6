"""Flower, where people watch tasks and workers: with the admin's login, from this machine only."""

import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psutil
import pytest
import requests
from celery import Celery

import beat_schedule
from app.adapters.embedded import free_port
from tests.acceptance.steps import running_program, settled
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import PASSWORD, System
from tests.harness.waiting import eventually


@pytest.fixture
def flower(system: System) -> Iterator[requests.Session]:
    """Signed in as the admin."""
    with requests.Session() as session:
        session.trust_env = False
        session.auth = ("admin", PASSWORD)
        eventually(lambda: _answers(session, system), 30, "Flower")
        yield session


def _answers(session: requests.Session, system: System) -> bool:
    try:
        return session.get(system.flower_url, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("path", ["/", "/tasks", "/api/tasks", "/api/workers"])
@pytest.mark.parametrize("login", [None, ("admin", "guessed"), ("nobody", PASSWORD)])
def test_it_asks_for_the_login(
    flower: requests.Session, system: System, path: str, login: tuple[str, str] | None
) -> None:
    answer = requests.get(system.flower_url + path, auth=login, timeout=10)
    assert answer.status_code == 401


def test_it_controls_nothing_without_the_login(flower: requests.Session, system: System) -> None:
    answer = requests.post(f"{system.flower_url}/api/worker/shutdown/jobs-1", timeout=10)
    assert answer.status_code == 401


def test_it_is_bound_to_loopback(flower: requests.Session, system: System) -> None:
    (process,) = system.processes("tasks.flower")
    addresses = {
        connection.laddr.ip
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_it_shows_tasks_under_names_that_say_what_they_do(
    client: Client, flower: requests.Session, system: System
) -> None:
    answer = client.post("/api/v1/jobs/beat-heartbeat/run")
    assert answer.status_code == 202
    wanted = {job["task"] for job in beat_schedule.JOBS.values() if job["interval_seconds"] <= 10}

    def names() -> set[Any]:
        tasks = flower.get(f"{system.flower_url}/api/tasks", timeout=10).json()
        return {task["name"] for task in tasks.values() if task["state"] == "SUCCESS"}

    eventually(lambda: names() >= wanted, 30, f"{wanted}")


def test_it_shows_every_worker(flower: requests.Session, system: System) -> None:
    wanted = {"deliver-1", "deliver-2", "health-1", "health-2", "jobs-1"}

    def alive() -> set[str]:
        workers = flower.get(f"{system.flower_url}/api/workers?status=1", timeout=10).json()
        return {name.partition("@")[0] for name, is_alive in workers.items() if is_alive}

    eventually(lambda: alive() == wanted, 30, "every worker")


def _tasks(flower: requests.Session, system: System, name: str) -> list[dict[str, Any]]:
    answer = flower.get(f"{system.flower_url}/api/tasks?taskname={name}", timeout=10)
    return list(answer.json().values())


def test_a_health_check_and_a_delivery_are_to_be_seen(
    client: Client, receiver: Receiver, flower: requests.Session, system: System
) -> None:
    """By Flower's API: which task, on which worker, when, for how long, and how it went."""
    began = time.time()
    client.make_webhook(receiver.url("/hook"))
    settled(client, client.raise_alert()["id"])
    assert receiver.messages("/hook")

    def seen(name: str) -> dict[str, Any]:
        for task in _tasks(flower, system, name):
            if task["state"] == "SUCCESS" and (task["received"] or 0) >= began:
                return task
        return {}

    for name, lane in (("alerts.deliver", "deliver"), ("webhooks.check_health", "health")):
        # Flower hears of events a moment later; ticks come every ten seconds at the latest.
        found = eventually(partial(seen, name), 30, name)
        assert found["worker"].startswith(f"{lane}-")
        assert found["runtime"] >= 0
        assert found["succeeded"] >= found["started"] >= found["received"]


def test_no_secret_is_to_be_seen(client: Client, flower: requests.Session, system: System) -> None:
    """Neither in what a task is given, nor in what it fails with; and long things are cut."""
    secret = "whsec_c2hvd24gdG8gbm9ib2R5"
    with Celery(broker=system.settings["REDIS_URL"], set_as_current=False) as stranger:
        sent = stranger.send_task(
            "beat.heartbeat", kwargs={"execution_id": secret + " and so on" * 100}, queue="jobs"
        )

    def failed() -> dict[str, Any]:
        answer = flower.get(f"{system.flower_url}/api/task/info/{sent.id}", timeout=10)
        if answer.status_code != 200 or answer.json()["state"] != "FAILURE":
            return {}
        found: dict[str, Any] = answer.json()
        return found

    task = eventually(failed, 30, "the task's failure")
    assert "[redacted]" in task["kwargs"]
    assert "[redacted]" in task["traceback"]
    assert secret not in repr(task)
    assert len(task["kwargs"]) <= 200
    assert len(task["exception"]) <= 200


def test_it_works_under_a_prefix(system: System) -> None:
    """As behind a proxy that hands /flower on."""
    port = free_port()
    command = [sys.executable, "-m", "tasks.flower"]
    with (
        running_program(system, command, FLOWER_PORT=str(port), FLOWER_URL_PREFIX="/flower/"),
        requests.Session() as session,
    ):
        session.trust_env = False
        session.auth = ("admin", PASSWORD)
        base = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return session.get(f"{base}/flower/api/workers", timeout=10).status_code == 200
            except requests.ConnectionError:
                return False

        eventually(answers, 60, "Flower under a prefix")
        page = session.get(f"{base}/flower/", timeout=10)
        assert page.status_code == 200
        assert "/flower/static/" in page.text
        assert session.get(f"{base}/api/workers", timeout=10).status_code == 404
        stranger = requests.get(f"{base}/flower/api/workers", timeout=10)
        assert stranger.status_code == 401
