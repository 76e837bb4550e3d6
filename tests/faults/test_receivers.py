"""Hostile receivers, and bad connections to good ones: each costs itself, and nobody else."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import pytest

from app.settings import Settings
from tests.adapters import hostile
from tests.faults.lanes import running_worker
from tests.faults.proxy import Mode, Proxy
from tests.harness.receiver import Receiver
from tests.harness.waiting import eventually
from tests.services.world import World

# Below what closes a gate, so that all of them are sent at once.
EACH = 8
HEALTHY = 200
OVER_WITHIN_SECONDS = 60.0
# Eight bombs of 64 MiB, or any of the endless answers, read as they come, would take far more.
MEMORY_BYTES = 48 * 1024 * 1024

HOSTILE = {
    "slow": ("failed", "timed_out"),
    "slow-headers": ("failed", "timed_out"),
    "hang": ("failed", "timed_out"),
    "endless-headers": ("failed", "protocol_error"),
    "endless-interim": ("failed", "protocol_error"),
    "endless-trailers": ("failed", "protocol_error"),
    "not-http": ("failed", "protocol_error"),
    "reset": ("failed", "connection_reset"),
    "cut": ("failed", "connection_reset"),
    # The status says that it took the message; the rest of what it says is not read.
    "huge": ("delivered", "accepted"),
    "bomb": ("delivered", "accepted"),
}
ATTEMPTS = (
    "SELECT d.status, a.reason, count(*) FROM pggit.deliveries d"
    " LEFT JOIN pggit.delivery_attempts a ON a.delivery_id = d.id"
    " WHERE d.webhook_id = :id GROUP BY 1, 2"
)


@pytest.fixture(scope="module")
def worker(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Popen[bytes]]":
    with running_worker(settings, tmp_path_factory.mktemp("receivers")) as running:
        yield running


def test_hostile_receivers_end_as_what_they_are_and_slow_nobody(
    world: World, receiver: Receiver, worker: "Popen[bytes]"
) -> None:
    def is_over(webhook: int) -> bool:
        return not any(row[0] in {"pending", "retrying"} for row in world.sql(ATTEMPTS, id=webhook))

    healthy = world.webhook(url=receiver.url("/hook"))
    world.owe(healthy)
    eventually(lambda: is_over(healthy), OVER_WITHIN_SECONDS, "the worker")
    before = most_memory(worker.pid)
    with hostile.Receiver() as bad:
        hooks = {
            name: world.webhook(url=bad.url(name), timeout_seconds=2, retry_schedule_seconds=[0])
            for name in HOSTILE
        }
        patient = world.webhook(url=bad.url("slow"), timeout_seconds=100, max_in_flight=EACH)
        for webhook in (patient, *hooks.values()):
            world.owe(webhook, EACH)
        eventually(lambda: len(bad.requests) >= EACH * (1 + len(hooks)), what="all in flight")

        world.owe(healthy, HEALTHY)
        eventually(lambda: is_over(healthy), OVER_WITHIN_SECONDS, "the healthy one's deliveries")
        # Nobody waited for those who still dawdle.
        assert world.sql(ATTEMPTS, id=patient) == [("pending", None, EACH)]
        assert len(receiver.messages("/hook")) == 1 + HEALTHY

        eventually(
            lambda: all(is_over(webhook) for webhook in hooks.values()),
            OVER_WITHIN_SECONDS,
            "the end of the hostile ones",
        )
        ends = {name: world.sql(ATTEMPTS, id=webhook) for name, webhook in hooks.items()}
        assert ends == {name: [(*end, EACH)] for name, end in HOSTILE.items()}
        # Each was told once: what misbehaves is not asked again behind our back.
        told = Counter(request.target.rpartition("/")[2] for request in bad.requests)
        assert told == dict.fromkeys(HOSTILE, EACH) | {"slow": 2 * EACH}
        assert most_memory(worker.pid) - before < MEMORY_BYTES
        world.delete_webhook(patient)


def test_a_bad_link_is_an_attempt_with_its_reason_and_the_retry_gets_through(
    world: World, receiver: Receiver, worker: "Popen[bytes]"
) -> None:
    first = {
        Mode.RESET: "connection_reset",
        Mode.FROZEN: "timed_out",
        Mode.BLACKHOLE: "timed_out",
    }
    with ExitStack() as stack:
        owed = {}
        proxies = {
            mode: stack.enter_context(Proxy(("127.0.0.1", receiver.port)))
            for mode in (*first, Mode.SLOW)
        }
        for mode, proxy in proxies.items():
            proxy.turn(mode)
            webhook = world.webhook(
                url=f"http://127.0.0.1:{proxy.port}/{mode.name}",
                timeout_seconds=2,
                retry_schedule_seconds=[0, 3],
            )
            (owed[mode],) = world.owe(webhook)
        for mode, reason in first.items():
            await_attempts(world, owed[mode], 1)
            assert world.attempts(owed[mode]) == [reason], mode
            proxies[mode].turn(Mode.PASS)
        for mode, delivery_id in owed.items():
            expected = [first[mode], "accepted"] if mode in first else ["accepted"]
            await_attempts(world, delivery_id, len(expected))
            assert world.attempts(delivery_id) == expected, mode


def await_attempts(world: World, delivery_id: int, count: int) -> None:
    eventually(
        lambda: len(world.attempts(delivery_id)) == count, OVER_WITHIN_SECONDS, "the attempts"
    )


def most_memory(pid: int) -> int:
    """The most that a process ever had resident, in bytes (proc(5), VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
