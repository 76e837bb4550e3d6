"""Is every check made, and on time?

    python -m benchmarks.schedule [--seconds N] [--only NAME …]

The real worker process of the health lane (`python -m tasks health 1`) checks webhooks that are
due each in its own phase, against a target that clocks every probe. From the phases it is known
when each should come, so that the target alone tells how late it was, and which did not come:

- busy: 5,000 webhooks each 5 s, a thousand checks a second.
- large: 100,000 webhooks each 300 s, 333 checks a second out of a table of that size. It is no
  reckoning: all rows are there, and those that fall due within the time measured are checked.

Late is from when a check was due until its probe had come. A check is missed when no probe came
between its time and that of the next one. The first seconds, in which the worker starts, are not
measured.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.adapters.embedded import Servers
from app.domain.cadence import phase_ms
from app.settings import Settings
from benchmarks import command, fleet, machine
from benchmarks.command import positive, say
from benchmarks.figures import percentile
from benchmarks.postgres import connect, number, tidy_up
from benchmarks.schedule_report import Passed, ScheduleReport
from benchmarks.target import Target, running_target
from benchmarks.tocsin import opened, settings_for

WARM_UP_SECONDS = 10
# What is due at the end has so long to come.
GRACE_SECONDS = 3


@dataclass(frozen=True)
class Scenario:
    name: str
    webhooks: int
    interval: int


BUSY, LARGE = Scenario("busy", 5_000, 5), Scenario("large", 100_000, 300)
SCENARIOS = {one.name: one for one in (BUSY, LARGE)}


def late(
    ids: Sequence[int],
    interval: int,
    came: Mapping[int, Sequence[float]],
    since: float,
    until: float,
) -> tuple[list[float], int]:
    """How late each check was that was due in that time, in seconds, and how many did not come.
    Webhooks are numbered from 1 in the order of their ids."""
    found, missed = [], 0
    for index, webhook_id in enumerate(ids, start=1):
        times = came.get(index, ())
        phase = phase_ms(webhook_id, interval) / 1000
        due = since - (since - phase) % interval + interval
        while due < until:
            first = next((at for at in times if due <= at < due + interval), None)
            if first is None:
                missed += 1
            else:
                found.append(first - due)
            due += interval
    return found, missed


def _measure_one(
    settings: Settings, target: Target, scenario: Scenario, seconds: int, warm_up: int
) -> Passed:
    run = scenario.name
    with opened(settings) as tocsin, connect(settings.database_url) as connection:
        (like,) = tocsin.make_webhooks([target.url(run, 0)], active=True)
        fleet.put_off(connection, [like])
        connection.execute(
            "UPDATE pggit.webhooks SET health_check_interval_seconds = %s WHERE id = %s",
            [scenario.interval, like],
        )
        webhooks = fleet.multiply(connection, like, scenario.webhooks)
        fleet.make_due_in_phase(connection, webhooks, scenario.interval)
        tidy_up(settings.database_url)
        with tocsin.workers(1, lane="health") as pids:
            time.sleep(warm_up)
            processes = {
                "worker": list(pids),
                "postgresql": machine.children_named("postgres"),
                "target": [target.pid],
            }
            used = {who: machine.cpu_seconds(ids) for who, ids in processes.items()}
            before, since = machine.Ticks.now(), time.time()
            time.sleep(seconds)
            until = time.time()
            ticks = machine.Ticks.now().since(before)
            cpu = {who: machine.cpu_seconds(ids) - used[who] for who, ids in processes.items()}
            time.sleep(GRACE_SECONDS)
        lateness, missed = late(webhooks, scenario.interval, target.times(run), since, until)
        failed = number(
            connection,
            "SELECT count(*) FROM pggit.webhook_health_checks WHERE outcome <> 'passed'",
        )
        fleet.remove(connection, [like, *webhooks])
    elapsed = until - since
    return Passed(
        scenario=scenario.name,
        webhooks=scenario.webhooks,
        interval=scenario.interval,
        seconds=elapsed,
        due=len(lateness) + missed,
        missed=missed,
        failed=failed,
        late_ms={name: 1000 * percentile(lateness or [0.0], part) for name, part in PARTS.items()},
        cpu_percent={who: 100 * spent / elapsed for who, spent in cpu.items()},
        steal_percent=100 * ticks.stolen / ticks.total,
        others_percent=100 * max(ticks.busy - sum(cpu.values()), 0) / ticks.total,
    )


PARTS = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def run(
    servers: Servers,
    folder: Path,
    seconds: int,
    scenarios: Sequence[Scenario],
    warm_up: int = WARM_UP_SECONDS,
) -> ScheduleReport:
    """One scenario after another. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder)
    measured = []
    with running_target() as target:
        for scenario in scenarios:
            one = _measure_one(settings, target, scenario, seconds, warm_up)
            measured.append(one)
            say(f"schedule, {one.scenario}: {one.missed} of {one.due:,} missed")
    return ScheduleReport(began_at.isoformat(), about, measured)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("schedule", __doc__)
    parser.add_argument("--seconds", type=positive, default=60, help="to measure, of each")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SCENARIOS,
        default=[*SCENARIOS],
        metavar="NAME",
        help=", ".join(SCENARIOS),
    )
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> ScheduleReport:
    return run(servers, folder, given.seconds, [SCENARIOS[name] for name in given.only])


BENCHMARK = command.Benchmark("schedule", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
