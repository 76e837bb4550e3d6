"""The storm: the whole of Tocsin under load, and one fault after another."""

import time
from collections.abc import Sequence

import psycopg
import requests

from tests.faults.books import Inspector, count_open, records
from tests.faults.faults import Storm
from tests.faults.ledger import judge
from tests.faults.load import Hook, Load, RestSender
from tests.faults.outcome import Outcome, Say, Watch, outcome
from tests.faults.receiver import HOOKS, Receiver, running_receiver
from tests.faults.system_faults import all_faults
from tests.harness.client import Client
from tests.harness.system import PASSWORD, System, data_dir, running_system
from tests.harness.waiting import eventually

# As many attempts as a webhook may have: each kill may cost one what it interrupts.
SCHEDULE = [0] + [1] * 19
SETTLED_WITHIN_SECONDS = 120.0
WELL_WITHIN_SECONDS = 90.0


def storm_on_tocsin(seconds: float, seed: int, rate: float, pause: float, say: Say) -> Outcome:
    """Raises `rate` alerts a second for so long, strikes every `pause` seconds or so; judges."""
    with (
        data_dir() as folder,
        running_receiver(folder / "receiver.jsonl", seed) as receiver,
        running_system(LOG_LEVEL="WARNING") as system,
    ):
        key, hooks = _set_up(system, receiver)
        load = Load(lambda: RestSender(system.url, key), hooks, rate, seed)
        inspector = Inspector({hook.path: hook for hook in hooks}, load.journal)
        watch = Watch(receiver, inspector, say)
        storm = Storm(all_faults(system), pause, seed)
        load.start()
        try:
            storm.rage(seconds, lambda: watch.tell(storm, load.journal))
        finally:
            load.stop()
        began = time.monotonic()
        eventually(lambda: _has_settled(system), SETTLED_WITHIN_SECONDS, "the end of everything")
        settled_after = time.monotonic() - began
        eventually(lambda: _is_well(system), WELL_WITHIN_SECONDS, "a healthy system")
        watch.read()
        booked = records(system, {hook.webhook_id: hook for hook in hooks})
    return outcome(
        "Tocsin",
        seconds,
        rate,
        settled_after,
        judge(load.journal.attempted(), watch.receipts, booked),
        storm,
        load.journal,
        watch.receipts,
        {record.key for record in booked if record.attempts_lost},
    )


def _set_up(system: System, receiver: Receiver) -> tuple[str, Sequence[Hook]]:
    """A key for the API, which outlives any token, and a webhook for each hook."""
    admin = Client(system.url).login("admin", PASSWORD)
    made = admin.post("/api/v1/api-keys", json={"name": "storm", "role": "operator"})
    assert made.status_code == 201, made.text
    hooks = []
    for path in HOOKS:
        webhook = admin.make_webhook(
            receiver.url(path),
            name=path,
            retry_schedule_seconds=SCHEDULE,
            timeout_seconds=5,
            health_check_interval_seconds=5,
        )
        hooks.append(Hook(path, webhook["id"], webhook["secret"]))
    return made.json()["key"], hooks


def _has_settled(system: System) -> bool:
    try:
        return count_open(system) == 0
    except psycopg.OperationalError:
        return False


def _is_well(system: System) -> bool:
    """All parts are back: the supervisor has started what was killed."""
    try:
        return bool(
            requests.get(f"{system.url}/health/deep", timeout=5).json()["status"] == "healthy"
        )
    except requests.RequestException:
        return False
