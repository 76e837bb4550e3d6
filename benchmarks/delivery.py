"""Deliveries per second, end to end: Tocsin beside what one would otherwise use.

    python -m benchmarks.delivery [--alerts N] [--rounds R] [--webhooks W] [--only NAME …]

Measured in turns (A B C …, A B C …), each on the same servers and the same receiver.

A backlog, from the gun to the last receipt. It is there before anybody may take it, and the
workers are warm:

- Tocsin with all its features: the worker processes that `make run` starts (`python -m tasks
  deliver 1`, then 1 and 2), with leases, fenced completion, the attempt log, the egress guard
  and signatures. The gun sets its webhooks active.
- The control: a Celery task for each alert, `celery worker -c 4 --prefetch-multiplier 1`,
  acks_late, autoretry. The task loads its row from PostgreSQL, posts by `requests`, signs alike
  and updates the row. And the same without a row. The gun gives it its queue.
- A poller in pgGit's manner: every second ten rows, one after another. Its rate is bounded by
  this design, so it is given few alerts.
- Bare libcurl, the ceiling of this receiver on this machine: no database and no signature.

Taking in and delivering at once, from the first batch handed in to the last receipt:

- Tocsin: alerts raised by the service that the API calls, 1,000 in a transaction, one after
  another, while the workers deliver. Without HTTP, JSON and validation on the way in.
- Alertmanager 0.25 from Debian: the same alerts posted to its API, 1,000 in a request, one
  after another. It sends while it takes in, keeps all of it in memory, and signs nothing.

And receivers that take time: each answers after `--answer-after` milliseconds, so that what
bounds one worker is the 512 messages that it keeps in flight. Many webhooks, so that their caps
of 16 do not bound it.

Each alert goes to one webhook, so alerts and deliveries are the same number on all sides. The
end is the last message that the receiver had not seen before, as the receiver clocked it.
PostgreSQL commits with synchronous_commit and fsync on.

Each round's ledger must balance: every id that was accepted was received, nothing else was, and
both sides recorded it. Otherwise the round is void. Duplicates are allowed and shown.

Not measured: TLS, network delay, retries, and Tocsin's other processes (web, health, beat),
which would be idle. All is on loopback on one machine: sender, receiver, PostgreSQL and Redis
share its cores, so that the ratios mean more than the absolutes. Slow contestants are given
fewer alerts, so that rounds take about as long. CPU is what all processes of a side used, from
the gun until all was recorded.

Tocsin keeps to its cap on what is in flight to each webhook (16), so with few webhooks the cap
is what bounds it, and two workers share it: `--webhooks 20` shows that. The others have no such
cap.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.adapters.embedded import Servers
from benchmarks import command, machine
from benchmarks.command import positive, say
from benchmarks.contestants import Contestant
from benchmarks.contestants.alertmanager import Alertmanager
from benchmarks.contestants.celery_tasks import CeleryTasks
from benchmarks.contestants.libcurl import BareLibcurl
from benchmarks.contestants.poller import Poller
from benchmarks.contestants.tocsin import TocsinBacklog, TocsinIntake
from benchmarks.debian import HOW_TO_INSTALL, find_alertmanager
from benchmarks.delivery_report import DeliveryReport, Section
from benchmarks.receiver import Receiver, after, running_receiver
from benchmarks.rounds import Round, measure
from benchmarks.tocsin import settings_for

BACKLOG = ("tocsin-1", "tocsin-2", "celery-row", "celery", "poller", "libcurl")
INTAKE = ("tocsin-1-in", "tocsin-2-in", "alertmanager")
SLOW = ("tocsin-1-slow", "tocsin-2-slow")
POLLED = 40
SLOW_WEBHOOKS = 200


@dataclass(frozen=True)
class Options:
    """`alerts` are Tocsin's in each round; others get a share that takes them about as long."""

    alerts: int
    rounds: int
    webhooks: int
    answer_after_ms: int
    only: Sequence[str] = BACKLOG + INTAKE + SLOW


def _contestants(
    servers: Servers, folder: Path, receiver: Receiver, options: Options
) -> dict[str, Contestant]:
    """All that this machine has, by name."""
    alerts, webhooks = options.alerts, options.webhooks
    few, half = max(alerts // 10, webhooks), max(alerts // 2, webhooks)
    slow = after(options.answer_after_ms)
    settings = settings_for(servers, folder)
    everybody: list[Contestant] = [
        CeleryTasks(servers, receiver, few, webhooks, folder, with_row=True),
        CeleryTasks(servers, receiver, few, webhooks, folder, with_row=False),
        Poller(servers, receiver, min(POLLED, few), webhooks, folder),
        BareLibcurl(receiver, 2 * alerts, folder),
    ]
    for workers in (1, 2):
        name = f"tocsin-{workers}"
        everybody += [
            TocsinBacklog(name, settings, receiver, alerts, webhooks, workers),
            TocsinIntake(f"{name}-in", settings, receiver, half, webhooks, workers),
            TocsinBacklog(
                f"{name}-slow", settings, receiver, half, SLOW_WEBHOOKS, workers, how=slow
            ),
        ]
    alertmanager = find_alertmanager(folder) if Alertmanager.name in options.only else None
    if alertmanager is not None:
        everybody.append(Alertmanager(alertmanager, receiver, half, webhooks, folder))
    return {one.name: one for one in everybody}


def _section(what: str, names: Sequence[str], base: str, there: dict[str, Contestant]) -> Section:
    titles = {name: there[name].title if name in there else Alertmanager.title for name in names}
    absent = {name: HOW_TO_INSTALL for name in names if name not in there}
    return Section(what, base, titles, absent)


def run(servers: Servers, folder: Path, options: Options) -> DeliveryReport:
    """All rounds, in turns. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    measured: list[Round] = []
    with running_receiver() as receiver:
        there = _contestants(servers, folder, receiver, options)
        slow = f"receivers that answer after {options.answer_after_ms} ms, {SLOW_WEBHOOKS} webhooks"
        sections = [
            _section(what, chosen, base, there)
            for what, names, base in (
                ("deliveries per second, of a backlog", BACKLOG, "celery-row"),
                ("taking in and delivering at once", INTAKE, "alertmanager"),
                (slow, SLOW, "tocsin-1-slow"),
            )
            if (chosen := [name for name in names if name in options.only])
        ]
        for number in range(1, options.rounds + 1):
            for name in (name for section in sections for name in section.titles if name in there):
                one = measure(there[name], f"{name}-{number}", receiver)
                measured.append(one)
                say(f"delivery, round {number}, {name}: {_outcome(one)}")
    return DeliveryReport(
        began_at=began_at.isoformat(),
        machine=about,
        webhooks=options.webhooks,
        sections=sections,
        rounds=measured,
    )


def _outcome(one: Round) -> str:
    return (
        f"void: {one.void}" if one.void else f"{one.rate:,.0f}/s, steal {one.steal_percent:.1f} %"
    )


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("delivery", __doc__)
    names = BACKLOG + INTAKE + SLOW
    parser.add_argument("--alerts", type=positive, default=20_000, help="for Tocsin, each round")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--webhooks", type=positive, default=100)
    parser.add_argument("--answer-after", type=positive, default=200, metavar="MS")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> DeliveryReport:
    options = Options(given.alerts, given.rounds, given.webhooks, given.answer_after, given.only)
    return run(servers, folder, options)


BENCHMARK = command.Benchmark("delivery", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
