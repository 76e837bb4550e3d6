"""One round of one contestant: the gun, the end, the ledger, and who used the processors."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.contestants import Accepted, Contestant, Ready
from benchmarks.ledger import balance, check_sample
from benchmarks.processes import wait_for
from benchmarks.receiver import Ledger, Receiver

ROUND_WITHIN_SECONDS = 60.0
SETTLED_WITHIN_SECONDS = 10.0


@dataclass(frozen=True)
class Round:
    """One measurement. `void` says why it does not count.

    `taken_in_seconds` is how long taking in took, where that is a part of what is measured.
    `cpu_us` is for one delivery, in microseconds, by who used it.
    """

    contestant: str
    accepted: int
    received: int
    unique: int
    lost: int
    duplicated: int
    taken_in_seconds: float
    seconds: float
    rate: float
    cpu_us: Mapping[str, float]
    steal_percent: float
    others_percent: float
    void: str | None


def measure(contestant: Contestant, run: str, receiver: Receiver) -> Round:
    servers = {
        "postgresql": machine.children_named("postgres"),
        "redis": machine.children_named("redis-server"),
    }
    with contestant.ready(run) as ready:
        processes = {"workers": ready.pids, **servers, "receiver": [receiver.pid]}
        used = {name: machine.cpu_seconds(pids) for name, pids in processes.items()}
        used_here = time.process_time()
        before = machine.Ticks.now()
        released_at = ready.release()
        taken_in_seconds = time.monotonic() - released_at
        used_to_release = time.process_time() - used_here
        accepted = ready.accepted()
        unfinished = _finish(ready, receiver, run, len(accepted))
        ticks = machine.Ticks.now().since(before)
        cpu = {name: machine.cpu_seconds(pids) - used[name] for name, pids in processes.items()}
        ours = sum(cpu.values()) + time.process_time() - used_here
        ledger = receiver.ledger(run)
    # To take in, or nothing. What this process does later is to look whether it's over.
    cpu["intake"] = used_to_release
    unique = len(ledger.received_at)
    seconds = ledger.last_new_at - released_at
    return Round(
        contestant=contestant.name,
        accepted=len(accepted),
        received=ledger.received,
        unique=unique,
        lost=len(accepted.keys() - ledger.received_at.keys()),
        duplicated=ledger.received - unique,
        taken_in_seconds=taken_in_seconds,
        seconds=seconds,
        rate=unique / seconds if unique else 0.0,
        cpu_us={name: 1e6 * spent / max(unique, 1) for name, spent in cpu.items()},
        steal_percent=100 * ticks.stolen / ticks.total,
        others_percent=100 * max(ticks.busy - ours, 0) / ticks.total,
        void=balance(accepted, ledger) or _wrongly_signed(accepted, ledger) or unfinished,
    )


def _finish(ready: Ready, receiver: Receiver, run: str, expected: int) -> str | None:
    """Waits for the end; why there was none."""
    try:
        wait_for(lambda: receiver.count(run) >= expected, ROUND_WITHIN_SECONDS, "the last receipt")
        wait_for(ready.is_settled, SETTLED_WITHIN_SECONDS, "the last record")
    except TimeoutError as error:
        return str(error)
    return None


def _wrongly_signed(accepted: Accepted, ledger: Ledger) -> str | None:
    """Where the contestant signs at all."""
    secrets = {message_id: secret for message_id, secret in accepted.items() if secret is not None}
    return check_sample(secrets, ledger) if secrets else None
