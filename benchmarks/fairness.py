"""Does one slow receiver slow the others? Healthy webhooks, with one that hangs and without.

    python -m benchmarks.fairness [--pairs P] [--seconds S] [--per-second N] [--timeout T]

A steady stream of alerts, raised through the service in turns for all webhooks, delivered by two
real worker processes (`python -m tasks deliver 1` and 2). Some webhooks hang: their receiver
takes the request and never answers, so that each message to them lasts the whole time-out. The
same without that, in turns (without, with, without, with …): what the healthy ones feel.

- 100 webhooks, one of them hangs.
- 20 webhooks, four of them hang: a fifth of all that is sent.
- The control: a Celery task for each alert, four processes, 100 webhooks of which one hangs, a
  fifth of that stream (it could not take the whole). It shows that this can see unfairness.

Measured is what the healthy webhooks get, the same ones in both: from `created_at` of the
delivery, which PostgreSQL sets when the alert is raised, to its first receipt, by the clock of
the receiver on the same machine. The goal: p99 with the one that hangs is within 10 % or 50 ms
of that without.

All that was accepted for the healthy webhooks must be received, and nothing else, or the run is
void. The control is stopped a few seconds after its stream; what is undelivered by then counts
as delivered at that moment, so its figures are the least that they would be.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.adapters.embedded import Servers
from benchmarks import command, machine
from benchmarks.command import positive, say
from benchmarks.fairness_report import FairnessReport, Pass, Scenario
from benchmarks.figures import percentile
from benchmarks.ledger import balance
from benchmarks.processes import wait_for
from benchmarks.receiver import AT_ONCE, HANGS, Receiver, running_receiver
from benchmarks.streams import CelerySender, Sender, Stream, TocsinSender
from benchmarks.tocsin import settings_for

BATCHES_PER_SECOND = 50
CONTROL_SHARE = 5
# How long after the stream the last receipt may come.
TOCSIN_WITHIN_SECONDS = 20.0
CONTROL_WITHIN_SECONDS = 3.0


def measure(
    sender: Sender, receiver: Receiver, scenario: Scenario, run: str, *, hanging: bool
) -> Pass:
    """One stream. Without `hanging` the webhooks that would hang answer like all others."""
    healthy = range(scenario.hanging, scenario.webhooks)
    aside = f"{run}-aside"
    urls = [
        receiver.url(run, number)
        if number in healthy
        else receiver.url(aside, number, HANGS if hanging else AT_ONCE)
        for number in range(scenario.webhooks)
    ]
    with sender.streaming(urls, f"{run}-warm-up") as stream:
        before = machine.Ticks.now()
        took = _raise_steadily(stream, scenario)
        expected = sum(number % scenario.webhooks in healthy for number in range(scenario.alerts))
        unfinished = _finish(receiver, run, expected, scenario.patience)
        ended_at = time.time()
        ticks = machine.Ticks.now().since(before)
        created_at = stream.created_at(healthy)
        ledger = receiver.ledger(run)
    # The control need not bear what it is here to show.
    void = None if scenario.is_control and hanging else balance(created_at, ledger) or unfinished
    waited = [
        1000 * (ledger.received_at.get(message_id, ended_at) - at)
        for message_id, at in created_at.items()
    ]
    return Pass(
        scenario=scenario.name,
        hanging=hanging,
        per_second=scenario.alerts / took,
        accepted=len(created_at),
        late=len(created_at.keys() - ledger.received_at.keys()),
        duplicated=ledger.received - len(ledger.received_at),
        p50_ms=percentile(waited, 0.5),
        p95_ms=percentile(waited, 0.95),
        p99_ms=percentile(waited, 0.99),
        max_ms=max(waited),
        steal_percent=100 * ticks.stolen / ticks.total,
        void=void,
    )


def _raise_steadily(stream: Stream, scenario: Scenario) -> float:
    """In small batches, each when it is due; how many seconds it took."""
    step = max(scenario.per_second // BATCHES_PER_SECOND, 1)
    began_at = time.monotonic()
    for begin in range(0, scenario.alerts, step):
        until = min(begin + step, scenario.alerts)
        stream.raise_for([number % scenario.webhooks for number in range(begin, until)])
        time.sleep(max(began_at + until / scenario.per_second - time.monotonic(), 0))
    return time.monotonic() - began_at


def _finish(receiver: Receiver, run: str, expected: int, within: float) -> str | None:
    """Waits for the last receipt; why there was none."""
    try:
        wait_for(lambda: receiver.count(run) >= expected, within, "the last receipt")
    except TimeoutError as error:
        return str(error)
    return None


def scenarios(per_second: int, seconds: int, pairs: int) -> list[Scenario]:
    """`per_second` alerts in all; the control has a share of that, and one pair."""
    tocsin = Scenario(
        "100 webhooks, one hangs", 100, 1, per_second, seconds, pairs, TOCSIN_WITHIN_SECONDS
    )
    return [
        tocsin,
        replace(tocsin, name="20 webhooks, four hang", webhooks=20, hanging=4),
        replace(
            tocsin,
            name="the control, one of 100 hangs",
            per_second=max(per_second // CONTROL_SHARE, 1),
            pairs=1,
            patience=CONTROL_WITHIN_SECONDS,
            is_control=True,
        ),
    ]


def run(
    servers: Servers, folder: Path, timeout: int, scenarios: Sequence[Scenario]
) -> FairnessReport:
    """Every scenario's pairs, in turns. `timeout` is the webhooks', in seconds; logs go to the
    folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder, timeout)
    passes: list[Pass] = []
    with running_receiver() as receiver:
        tocsin = TocsinSender(settings, receiver)
        control = CelerySender(servers, receiver, folder)
        for place, scenario in enumerate(scenarios):
            sender: Sender = control if scenario.is_control else tocsin
            for pair in range(scenario.pairs):
                for hanging in (False, True):
                    name = f"fair-{place}-{pair}-{'with' if hanging else 'without'}"
                    one = measure(sender, receiver, scenario, name, hanging=hanging)
                    passes.append(one)
                    say(f"fairness, {scenario.name}, {_outcome(one)}")
    return FairnessReport(
        began_at=began_at.isoformat(),
        machine=about,
        scenarios=scenarios,
        passes=passes,
    )


def _outcome(one: Pass) -> str:
    which = "with" if one.hanging else "without"
    return f"{which}: " + (f"void: {one.void}" if one.void else f"p99 {one.p99_ms:,.0f} ms")


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("fairness", __doc__)
    parser.add_argument("--pairs", type=positive, default=2)
    parser.add_argument("--seconds", type=positive, default=15, help="of each stream")
    parser.add_argument("--per-second", type=positive, default=500, help="alerts, in all")
    parser.add_argument("--timeout", type=positive, default=12, help="of the webhooks, in seconds")
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> FairnessReport:
    chosen = scenarios(given.per_second, given.seconds, given.pairs)
    return run(servers, folder, given.timeout, chosen)


BENCHMARK = command.Benchmark("fairness", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
