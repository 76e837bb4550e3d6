"""A worker that stood still past its lease has its say when somebody else has its deliveries."""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from app.deps import Deps
from app.settings import Settings, as_environment
from tests.acceptance.steps import frozen
from tests.faults.lanes import deliver, running_worker
from tests.harness.programs import running_program
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually
from tests.services.world import World, delivered

UP_WITHIN_SECONDS = 30.0
# It would say: delivered, failed, try again later.
STATUSES = (204, 404, 500)


def test_what_it_heard_changes_nothing_for_whoever_has_it_now(
    world: World, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    gate = threading.Event()
    owed = []
    for status in STATUSES:
        path = f"/{status}"
        receiver.plan(path, Answer(status, gate=gate))
        owed += world.owe(world.webhook(url=receiver.url(path), timeout_seconds=100))

    def all_are_sent() -> bool:
        return all(receiver.messages(f"/{status}") for status in STATUSES)

    with running_worker(settings, tmp_path) as worker:
        eventually(all_are_sent, UP_WITHIN_SECONDS, "the requests")
        with frozen_between_transactions(world, psutil.Process(worker.pid)):
            # So the answers are there when it wakes up, and its leases are not.
            gate.set()
            world.expire(*owed)
            leases = world.claim()
        woken_at = world.one("SELECT extract(epoch FROM now())::float8")

        def has_looked_since() -> bool:
            assert world.renew(*leases) == set(owed), "a lease was taken away"
            seen = "SELECT extract(epoch FROM max(seen_at))::float8 FROM pggit.workers"
            return bool(world.one(seen) > woken_at)

        # It shows itself between two passes, so by then it has said what it had to say.
        eventually(has_looked_since, UP_WITHIN_SECONDS, "the sleeper's next pass")

    for lease in leases:
        row = world.delivery(lease.id)
        assert (row.status, row.attempts_made, row.lease_token) == ("pending", 2, lease.lease_token)
        assert world.attempts(lease.id) == ["worker_lost"]
    assert world.complete(*[delivered(lease) for lease in leases]) == set(owed)


@contextmanager
def frozen_between_transactions(world: World, worker: psutil.Process) -> Iterator[None]:
    """Stopped while it holds no lock: what becomes of those is what the test below is about."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    )
    with ExitStack() as stopped:

        def stops() -> bool:
            stopped.enter_context(frozen(worker))
            if world.one(others) == 0:
                return True
            stopped.close()
            return False

        eventually(stops, what="a stop between two transactions")
        yield


def test_one_that_stands_still_while_it_claims_stops_nobody_else(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    """Claims go one after another, by a lock that lives as long as the transaction."""
    (delivery_id,) = world.owe(world.webhook(url=receiver.url("/hook")))
    command = [sys.executable, "-m", "tests.faults.dying", "claiming"]
    with running_program(command, as_environment(settings), tmp_path / "worker.log") as worker:
        process = psutil.Process(worker.pid)
        eventually(lambda: process.status() == psutil.STATUS_STOPPED, UP_WITHIN_SECONDS, "its stop")

        deliver(deps)

        assert world.delivery(delivery_id).status == "delivered"
        worker.kill()
    # The claim that was never committed counts for nothing.
    assert world.attempts(delivery_id) == ["accepted"]
