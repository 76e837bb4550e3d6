"""SIGKILL at each step of an alert's way, from the insert to the commit of its completion."""

import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from app.deps import Deps
from app.settings import Settings, as_environment
from tests.acceptance.steps import closed_gate
from tests.faults.lanes import deliver, running_web
from tests.harness.client import Client
from tests.harness.programs import running_program
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually
from tests.services.world import World

# Coming up included, on a slow machine.
DIES_WITHIN_SECONDS = 60.0
KILLED = -9


def die_at(step: str, settings: Settings, folder: Path) -> None:
    """Runs a worker until it has killed itself at this step."""
    command = [sys.executable, "-m", "tests.faults.dying", step]
    with running_program(command, as_environment(settings), folder / "dying.log") as process:
        code = process.wait(DIES_WITHIN_SECONDS)
    assert code == KILLED, (folder / "dying.log").read_text()


@pytest.mark.parametrize(
    ("step", "came", "attempts"),
    [
        ("claimed", 1, ["worker_lost", "accepted"]),
        # The receiver has answered, and nobody has noted it: it must be told again.
        ("answered", 2, ["worker_lost", "accepted"]),
        ("recording", 2, ["worker_lost", "accepted"]),
        # All is on record, so there is nothing to do.
        ("recorded", 1, ["accepted"]),
    ],
)
def test_a_worker_that_dies_in_the_middle_of_a_delivery(
    world: World,
    deps: Deps,
    receiver: Receiver,
    settings: Settings,
    tmp_path: Path,
    step: str,
    came: int,
    attempts: Sequence[str],
) -> None:
    (delivery_id,) = world.owe(world.webhook(url=receiver.url("/hook")))

    die_at(step, settings, tmp_path)

    ends_at_once = step == "recorded"
    row = world.delivery(delivery_id)
    assert row.attempts_made == 1, "counted at the claim"
    assert (row.status == "delivered") is ends_at_once
    assert row.is_leased is not ends_at_once
    assert world.attempts(delivery_id) == (["accepted"] if ends_at_once else [])
    # Nobody may have it before the lease is over.
    deliver(deps)
    assert world.delivery(delivery_id).attempts_made == 1

    world.expire(delivery_id)
    deliver(deps)

    require_delivered(world, receiver, delivery_id, came, attempts)


def test_a_worker_that_dies_before_it_hears_the_answer(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    gate = threading.Event()
    receiver.plan("/hook", Answer(gate=gate), Answer())
    (delivery_id,) = world.owe(world.webhook(url=receiver.url("/hook")))
    command = [sys.executable, "-m", "tests.faults.dying", "nowhere"]
    with running_program(command, as_environment(settings), tmp_path / "dying.log") as process:
        eventually(lambda: receiver.messages("/hook"), DIES_WITHIN_SECONDS, "the request")
        process.kill()
        process.wait(DIES_WITHIN_SECONDS)
    gate.set()

    world.expire(delivery_id)
    deliver(deps)

    require_delivered(world, receiver, delivery_id, 2, ["worker_lost", "accepted"])


def require_delivered(
    world: World, receiver: Receiver, delivery_id: int, came: int, attempts: Sequence[str]
) -> None:
    """It is on record as delivered by these attempts, and came so often, the same each time."""
    row = world.delivery(delivery_id)
    assert (row.status, row.reason, row.is_leased) == ("delivered", "accepted", False)
    assert world.attempts(delivery_id) == list(attempts)
    assert row.attempts_made == len(attempts)
    messages = receiver.messages("/hook")
    assert len(messages) == came
    assert {message.id for message in messages} == {row.webhook_message_id}
    assert len({message.body for message in messages}) == 1


def test_what_kills_every_worker_that_sends_it_ends_as_failed(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    allowed = 2
    webhook = world.webhook(url=receiver.url("/hook"), retry_schedule_seconds=[0] * allowed)
    (delivery_id,) = world.owe(webhook)

    for _attempt in range(allowed):
        die_at("sending", settings, tmp_path)
        world.expire(delivery_id)
    # This one would die too, were it to send it.
    with running_program(
        [sys.executable, "-m", "tests.faults.dying", "sending"],
        as_environment(settings),
        tmp_path / "dying.log",
    ) as survivor:
        eventually(
            lambda: world.delivery(delivery_id).status == "failed", DIES_WITHIN_SECONDS, "its end"
        )
        assert survivor.poll() is None

    row = world.delivery(delivery_id)
    assert (row.reason, row.is_leased) == ("attempts_exhausted", False)
    assert world.attempts(delivery_id) == ["worker_lost"] * allowed
    assert receiver.messages("/hook") == ()


@pytest.mark.parametrize(("step", "is_replay"), [("inserted", False), ("committed", True)])
def test_a_web_process_that_dies_while_it_takes_an_alert(
    world: World,
    deps: Deps,
    receiver: Receiver,
    settings: Settings,
    tmp_path: Path,
    step: str,
    is_replay: bool,
) -> None:
    world.webhook(url=receiver.url("/hook"))
    bent = {"DYING_STEP": step, "DYING_MARK": str(tmp_path / "mark")}
    with running_web(
        settings, deps, tmp_path, bent, factory="tests.faults.dying:create_app()"
    ) as client:
        alert = {"title": "Disk almost full", "severity": "critical"}
        key = {"Idempotency-Key": "one"}

        with pytest.raises(requests.ConnectionError):
            client.post("/api/v1/alerts", json=alert, headers=key)

        # Committed or not: all of it, or nothing.
        counts = "SELECT (SELECT count(*) FROM pggit.alerts), (SELECT count(*) FROM"
        queued = world.sql(f"{counts} pggit.deliveries)")
        assert queued == [(1, 1) if is_replay else (0, 0)]
        if is_replay:
            # Who died without an answer, and without a hint, still told the webhook.
            deliver(deps)
            assert len(receiver.messages("/hook")) == 1
        answer = eventually(
            lambda: answered(client, "/api/v1/alerts", alert, key), what="an answer"
        )
        assert answer is not None
        assert answer.status_code == 201
        assert (answer.headers.get("Idempotent-Replayed") == "true") is is_replay

    deliver(deps)
    assert world.sql(f"{counts} pggit.deliveries)") == [(1, 1)]
    assert len(receiver.messages("/hook")) == 1


def answered(
    client: Client, path: str, body: dict[str, str], headers: dict[str, str]
) -> requests.Response | None:
    try:
        return client.post(path, json=body, headers=headers)
    except requests.ConnectionError:
        return None


def web_worker() -> psutil.Process:
    """The only one that is a child of a gunicorn, which is a child of ours."""
    (found,) = (
        worker
        for master in psutil.Process().children()
        if any("gunicorn" in part for part in master.cmdline())
        for worker in master.children()
    )
    return found


def test_web_workers_do_not_keep_the_port_of_a_master_that_was_killed(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    with closed_gate() as gate, running_web(settings, deps, tmp_path) as client:
        webhook = client.make_webhook(receiver.url("/hook"))
        receiver.plan("/hook", Answer(gate=gate))
        busy = threading.Thread(
            target=answered, args=(client, f"/api/v1/webhooks/{webhook['id']}/test", {}, {})
        )
        busy.start()
        eventually(lambda: receiver.messages("/hook"), what="a request under way")
        worker = web_worker()
        master = worker.parent()
        assert master is not None

        master.kill()

        # It would have had five seconds for the request.
        gone, _left = psutil.wait_procs([worker], timeout=3)
        assert gone == [worker]
        # Whoever comes next can have its port at once.
        port = urlsplit(client.base_url).port
        assert port is not None
        socket.create_server(("127.0.0.1", port)).close()
        busy.join()
