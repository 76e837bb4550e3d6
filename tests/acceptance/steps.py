"""Steps that more than one file of the acceptance tests takes."""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from app.adapters.embedded import free_port
from tests.harness import programs
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import START_WITHIN_SECONDS, System
from tests.harness.waiting import eventually

OPEN = ("pending", "retrying")


def checked_webhook(
    client: Client, receiver: Receiver, path: str, *answers: Answer, **fields: Any
) -> dict[str, Any]:
    """A webhook whose first check is over, so that `answers` are for messages alone."""
    made = client.make_webhook(receiver.url(path), **fields)
    eventually(
        lambda: client.get(f"/api/v1/webhooks/{made['id']}/health").json()["last_check_at"],
        what="the first check",
    )
    if answers:
        receiver.plan(path, *answers)
    return made


def sleeping_webhook(client: Client, **fields: Any) -> int:
    """The id of one that is neither told nor checked, so nothing changes behind a test's back."""
    made = client.make_webhook("http://127.0.0.1:9000/hook", is_active=False, **fields)
    return int(made["id"])


def settled(client: Client, alert_id: int, within: float = 20.0) -> list[dict[str, Any]]:
    """An alert's deliveries, the oldest first, once there are some and none of them is open."""

    def look() -> list[dict[str, Any]]:
        found = client.deliveries(alert_id)
        return [] if any(one["status"] in OPEN for one in found) else found[::-1]

    return eventually(look, within, "the end of all deliveries")


def delivery(client: Client, delivery_id: int) -> dict[str, Any]:
    answer = client.get(f"/api/v1/deliveries/{delivery_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def workers_have_looked(client: Client, receiver: Receiver) -> None:
    """Returns once the workers have claimed something that was raised after this was called.

    What else was due then, and free to go, is in flight as well: a claim takes from every
    webhook. So whatever did not arrive is being held, and nobody needs to sleep to see it.
    """
    witness = client.make_webhook(receiver.url("/witness"), name="witness")
    alert = client.raise_alert(title="witness", webhook_ids=[witness["id"]])
    assert settled(client, alert["id"])[0]["status"] == "delivered"
    assert client.delete(f"/api/v1/webhooks/{witness['id']}").status_code == 204


def types(receiver: Receiver, path: str) -> list[str]:
    """What a path was told, in order."""
    return [message.json["type"] for message in receiver.messages(path)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def closed_gate() -> Iterator[threading.Event]:
    """For answers that wait; whatever happens, nobody waits for it in the end."""
    gate = threading.Event()
    try:
        yield gate
    finally:
        gate.set()


@contextmanager
def frozen(*processes: psutil.Process) -> Iterator[None]:
    """Stopped by SIGSTOP, as a machine that swaps or a paused virtual machine looks."""
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            process.resume()


def broker(system: System) -> psutil.Process:
    """The embedded Redis that carries the hints (and not the cache)."""
    port = urlsplit(system.settings["REDIS_URL"]).port
    (found,) = system.processes("redis-server", f":{port}")
    return found


@contextmanager
def as_it_hangs(system: System) -> Iterator[None]:
    """The broker's Redis: nobody is refused, and nobody gets an answer."""
    with frozen(broker(system)):
        yield


def postmaster(system: System) -> psutil.Process:
    """The embedded PostgreSQL's first process; its children have other titles."""
    (found,) = system.processes("bin/postgres", "-D")
    return found


def deliver_workers(system: System) -> dict[str, psutil.Process]:
    """Its delivery workers, by their number."""
    return {worker.cmdline()[-1]: worker for worker in system.processes("tasks", "deliver")}


def connections(process: psutil.Process, port: int) -> int:
    """How many connections to a port of this machine a process has open."""
    return sum(
        1
        for connection in process.net_connections("tcp")
        if connection.raddr and connection.raddr.port == port
    )


@contextmanager
def running_program(
    system: System, command: Sequence[str], **settings: str
) -> "Iterator[subprocess.Popen[bytes]]":
    """A program of ours beside the system's, with its settings and these."""
    log = system.data_dir / "logs" / "beside.log"
    with programs.running_program(command, system.settings | settings, log) as process:
        yield process


@contextmanager
def other_webs(system: System, count: int, **settings: str) -> Iterator[Sequence[str]]:
    """So many more gunicorns, as the Procfile has it, on ports of their own; their URLs.

    They come up together, each with one process unless `settings` say otherwise: every process
    has to import everything, which takes seconds.
    """
    command = ["gunicorn", "--config", "python:app.serve", "app.factory:create_app()"]
    urls = []
    with ExitStack() as running:
        for port in [free_port() for _web in range(count)]:
            given = {"WEB_CONCURRENCY": "1", "PORT": str(port)} | settings
            running.enter_context(running_program(system, command, **given))
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            eventually(partial(_answers, url), START_WITHIN_SECONDS, "another web")
        yield urls


@contextmanager
def another_web(system: System, **settings: str) -> Iterator[str]:
    with other_webs(system, 1, **settings) as (url,):
        yield url


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/ready", timeout=5).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False
