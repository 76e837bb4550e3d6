"""Flower, where people watch tasks and workers: with the admin's login, from this machine only."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests

import beat_schedule
from tests.harness.client import Client
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
    wanted = {"deliver-1", "deliver-2", "health-1", "jobs-1"}

    def alive() -> set[str]:
        workers = flower.get(f"{system.flower_url}/api/workers?status=1", timeout=10).json()
        return {name.partition("@")[0] for name, is_alive in workers.items() if is_alive}

    eventually(lambda: alive() == wanted, 30, "every worker")
