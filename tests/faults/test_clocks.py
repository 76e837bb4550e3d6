"""A worker whose machine's clock is an hour off: what counts is PostgreSQL's."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from app.deps import Deps
from app.services.webhooks import rotate_secret
from app.settings import Settings
from tests.faults.lanes import running_worker
from tests.harness.receiver import Answer, Receiver
from tests.harness.waiting import eventually
from tests.services.world import World, retrying

UP_WITHIN_SECONDS = 30.0
LATER_SECONDS = 1800


def off_by(hours: int) -> dict[str, str]:
    """The environment in which libfaketime has it that many hours later. Durations stay."""
    shown = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    # Set by hand: the command would stay between us and the worker, and keep our signals.
    return {
        "LD_PRELOAD": shown.stdout.strip(),
        "FAKETIME": f"{hours:+d}h",
    }


@pytest.mark.skipif(
    shutil.which("faketime") is None, reason="needs faketime (Debian: apt install faketime)"
)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_an_hour_off_neither_hurries_nor_waits_nor_steals(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path, hours: int
) -> None:
    hooks = {
        name: world.webhook(url=receiver.url(f"/{name}"), retry_schedule_seconds=[0, LATER_SECONDS])
        for name in ("leased", "later", "failing", "busy", "hook")
    }
    with deps.unit_of_work() as work:
        secret, _end = rotate_secret(work.session, work.now, deps.cipher, hooks["hook"])
    # Somebody else has this one, and has tried that one.
    (leased,) = world.owe(hooks["leased"])
    (later,) = world.owe(hooks["later"])
    claimed = {one.id: one for one in world.claim()}
    world.complete(retrying(claimed[later], LATER_SECONDS))
    again_at = datetime.now(UTC) + timedelta(seconds=LATER_SECONDS)
    receiver.plan("/failing", Answer(500))
    receiver.plan("/busy", Answer(503, {"Retry-After": format_datetime(again_at, usegmt=True)}))

    with running_worker(settings, tmp_path, bent=off_by(hours)) as worker:
        failing, busy, due = (world.owe(hooks[name])[0] for name in ("failing", "busy", "hook"))

        def attempted(delivery_id: int) -> bool:
            # It is held as long as this takes.
            assert world.renew(claimed[leased]) == {leased}, "the lease was stolen"
            return bool(world.attempts(delivery_id))

        for delivery_id in (failing, busy, due):
            eventually(partial(attempted, delivery_id), UP_WITHIN_SECONDS, "an attempt")
        # libfaketime makes some orderly ends hang, which is not what this is about.
        worker.kill()
    assert world.delivery(due).status == "delivered"
    assert world.delivery(later).attempts_made == 1
    assert (world.delivery(leased).attempts_made, world.attempts(leased)) == (1, [])
    # A backoff that was decided there, and a date that was read there.
    for delivery_id in (failing, busy):
        row = world.delivery(delivery_id)
        assert (row.status, row.attempts_made) == ("retrying", 1)
        assert 0.75 * LATER_SECONDS < row.seconds_left < 1.25 * LATER_SECONDS
    # Standard Webhooks has receivers refuse what is more than five minutes off.
    (message,) = receiver.messages("/hook")
    Webhook(secret).verify(message.body, dict(message.headers))
