"""Deliveries per second, end to end: Tocsin beside a Celery task for each alert.

    python -m benchmarks.delivery [--alerts N] [--rounds R] [--webhooks W]

Measured, in turns (A B C D, A B C D, …), each on the same servers and the same receiver:

- Tocsin with all its features: the worker processes that `make run` starts (`python -m tasks
  deliver 1`, then 1 and 2), with leases, fenced completion, the attempt log, the egress guard
  and signatures. Its alerts are raised by the service that the API calls.
- The control: a Celery task for each alert, `celery worker -c 4 --prefetch-multiplier 1`,
  acks_late, autoretry. The task loads its row from PostgreSQL, posts by `requests`, signs alike
  and updates the row. And the same without a row.

Each alert goes to one webhook, so alerts and deliveries are the same number on both sides. The
backlog is there before anybody may take it, and the workers are warm. The time runs from the
moment they are released (Tocsin's webhooks set active; the control's worker given the queue) to
the last message that the receiver had not seen before, as the receiver clocked it. PostgreSQL
commits with synchronous_commit and fsync on.

Each round's ledger must balance: every id that was accepted was received, nothing else was, and
both sides recorded it. Otherwise the round is void. Duplicates are allowed and shown.

Not measured: taking alerts in (API, publishing), TLS, network delay, slow receivers, retries,
and Tocsin's other processes (web, health, beat), which would be idle. All is on loopback on one
machine: sender, receiver, PostgreSQL and Redis share its cores, so that the ratios mean more
than the absolutes. The control is given fewer alerts, so that rounds take about as long. CPU
is what all processes of a side used, from the gun until all was recorded.

Tocsin keeps to its cap on what is in flight to each webhook (16), so with few webhooks the cap
is what bounds it, and two workers share it. `--webhooks 200` shows them without that bound.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from types import FrameType

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.adapters.embedded import Servers, temporary_servers
from benchmarks import machine
from benchmarks.contestants import (
    Contestant,
    Control,
    Ready,
    Tocsin,
    sample_body,
    tocsin_settings,
    wait_for,
)
from benchmarks.receiver import Ledger, Receiver, running_receiver
from benchmarks.report import Report, Round

CONTESTANTS = ("tocsin-1", "tocsin-2", "celery-row", "celery")
RESULTS = Path(__file__).parent / "results"
ROUND_WITHIN_SECONDS = 60.0
SETTLED_WITHIN_SECONDS = 10.0
# The control is that much slower, or more.
CONTROL_SHARE = 10


def balance(accepted: Mapping[str, str], ledger: Ledger) -> str | None:
    """Why the receiver's ledger does not balance with what was accepted; None if it does."""
    lost = len(accepted.keys() - ledger.ids)
    strange = len(ledger.ids - accepted.keys())
    if lost:
        return f"{lost} of {len(accepted)} were lost"
    if strange:
        return f"{strange} were received that nobody had accepted"
    return None if accepted else "nothing was accepted"


def check_sample(accepted: Mapping[str, str], ledger: Ledger) -> str | None:
    """Why the first message is not as Standard Webhooks has it; None if it is."""
    headers = ledger.sample_headers
    try:
        Webhook(accepted[headers["webhook-id"]]).verify(ledger.sample_body, headers)
    except (KeyError, WebhookVerificationError) as fault:
        return f"the signature is wrong: {fault!r}"
    return None


def measure(contestant: Contestant, run: str, count: int, receiver: Receiver) -> Round:
    servers = {
        "postgresql": machine.children_named("postgres"),
        "redis": machine.children_named("redis-server"),
    }
    with contestant.ready(run, count) as ready:
        processes = {"workers": ready.pids, **servers, "receiver": [receiver.pid]}
        used = {name: machine.cpu_seconds(pids) for name, pids in processes.items()}
        before = machine.Ticks.now()
        released_at = ready.release()
        void = _finish(ready, receiver, run)
        ticks = machine.Ticks.now().since(before)
        cpu = {name: machine.cpu_seconds(pids) - used[name] for name, pids in processes.items()}
        ledger = receiver.ledger(run)
    unique = len(ledger.ids)
    seconds = ledger.last_new_at - released_at
    return Round(
        contestant=contestant.name,
        accepted=len(ready.accepted),
        received=ledger.received,
        unique=unique,
        lost=len(ready.accepted.keys() - ledger.ids),
        duplicated=ledger.received - unique,
        seconds=seconds,
        rate=unique / seconds if unique else 0.0,
        cpu_us={name: 1e6 * spent / max(unique, 1) for name, spent in cpu.items()},
        steal_percent=100 * ticks.stolen / ticks.total,
        others_percent=100 * max(ticks.busy - sum(cpu.values()), 0) / ticks.total,
        void=balance(ready.accepted, ledger) or check_sample(ready.accepted, ledger) or void,
    )


def _finish(ready: Ready, receiver: Receiver, run: str) -> str | None:
    """Waits for the end; why there was none."""
    expected = len(ready.accepted)
    try:
        wait_for(lambda: receiver.count(run) >= expected, ROUND_WITHIN_SECONDS, "the last receipt")
        wait_for(ready.is_settled, SETTLED_WITHIN_SECONDS, "the last record")
    except TimeoutError as error:
        return str(error)
    return None


@contextmanager
def _folder() -> Iterator[Path]:
    """One that PostgreSQL's account can reach, even when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def run(
    servers: Servers,
    folder: Path,
    alerts: int,
    rounds: int,
    webhooks: int,
    names: Collection[str] = CONTESTANTS,
) -> Report:
    """All rounds of the contestants with these names, in turns. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = tocsin_settings(servers, folder)
    measured: list[Round] = []
    with running_receiver() as receiver:
        everybody: list[Contestant] = [
            Tocsin(settings, receiver, webhooks, workers=1),
            Tocsin(settings, receiver, webhooks, workers=2),
            Control(servers, receiver, webhooks, folder, with_row=True),
            Control(servers, receiver, webhooks, folder, with_row=False),
        ]
        contestants = [one for one in everybody if one.name in names]
        ceiling = receiver.ceiling(sample_body(1).encode())
        for number in range(1, rounds + 1):
            for contestant in contestants:
                is_control = isinstance(contestant, Control)
                count = max(alerts // CONTROL_SHARE, webhooks) if is_control else alerts
                one = measure(contestant, f"{contestant.name}-{number}", count, receiver)
                measured.append(one)
                _say(number, one)
    return Report(
        began_at=began_at.isoformat(),
        machine=about,
        webhooks=webhooks,
        titles={one.name: one.title for one in contestants},
        receiver_ceiling=ceiling,
        rounds=measured,
    )


def _say(number: int, one: Round) -> None:
    """A line of progress, on stderr: the table alone goes to stdout."""
    said = (
        f"void: {one.void}" if one.void else f"{one.rate:,.0f}/s, steal {one.steal_percent:.1f} %"
    )
    sys.stderr.write(f"round {number}, {one.contestant}: {said}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table and keeps the figures. Answers 1 when a round was void."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery")
    parser.add_argument("--alerts", type=_positive, default=20_000, help="for Tocsin, each round")
    parser.add_argument("--rounds", type=_positive, default=3)
    parser.add_argument("--webhooks", type=_positive, default=20)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder, for the JSON")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    with _folder() as folder, temporary_servers(folder) as servers:
        report = run(servers, folder, given.alerts, given.rounds, given.webhooks, given.only)
    given.results.mkdir(parents=True, exist_ok=True)
    kept = given.results / f"delivery-{report.began_at[:19].replace(':', '')}.json"
    kept.write_text(report.as_json())
    print(report.as_table())
    return 1 if any(one.void for one in report.rounds) else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """As an exception, so that everything that was started is stopped on the way out."""
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
