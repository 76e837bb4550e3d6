"""How many operations one watcher can follow.

    python -m benchmarks.watching [--operations N] [--minutes M]

Operations of one series each, which the detector has learnt, get one more minute, all of them at
once; the watcher of the jobs lane (`app.services.watching.Watcher`, in this process) feeds them. A
round is from its first look until all are fed. That is done again for each of the minutes.

A minute of an operation comes once a minute, so a watcher that does nothing else follows as many
operations as it feeds in 60 s.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np

from app.adapters.embedded import Servers
from app.deps import Deps
from app.domain.partitions import ROLLED, partitions_for
from app.domain.rollups import rollup_of
from app.services.calm import MINUTE, RESOLUTION
from app.services.partitions import make_partitions
from app.services.watching import Watcher
from benchmarks import command, machine
from benchmarks.command import positive, say
from benchmarks.figures import Gate
from benchmarks.postgres import Connection, connect, number, tidy_up
from benchmarks.report import Report
from benchmarks.tables import row, title
from benchmarks.tocsin import opened, settings_for

COLUMNS = (10, 13, 14, 18, 9, 9)
LEARNT = 60
SAMPLES = 20
GOAL = 5_000


@dataclass(frozen=True)
class Round:
    """Seconds for all operations; of CPU, by who used it."""

    seconds: float
    cpu: float
    steal_percent: float
    void: str | None


@dataclass(frozen=True)
class WatchingReport(Report):
    operations: int
    rounds: Sequence[Round]

    @property
    def a_minute(self) -> float | None:
        """The operations that are fed in a minute."""
        counted = [one.seconds for one in self.rounds if one.void is None]
        return 60 * self.operations / median(counted) if counted else None

    @property
    def gates(self) -> list[Gate]:
        found = self.a_minute
        return [
            Gate(
                "operations that one watcher follows",
                f"≥ {GOAL:,}",
                "not measured" if found is None else f"{found:,.0f}",
                None if found is None else found >= GOAL,
            )
        ]

    @property
    def voids(self) -> list[str]:
        return [f"watching: {one.void}" for one in self.rounds if one.void]

    def as_table(self) -> str:
        lines = [
            title(f"watching {self.operations:,} operations, a minute of each"),
            row(COLUMNS, "round", "seconds", "ms each", "fed in a minute", "CPU ms", "steal"),
        ]
        for place, one in enumerate(self.rounds, 1):
            figures = (
                f"{one.seconds:.2f}",
                f"{1000 * one.seconds / self.operations:.2f}",
                f"{60 * self.operations / one.seconds:,.0f}",
                f"{1000 * one.cpu / self.operations:.2f}",
                f"{one.steal_percent:.1f}",
            )
            lines.append(row(COLUMNS, str(place), *figures))
        return "\n".join(lines)


_SERIES = """
    INSERT INTO pggit_analytics.metric_series (operation, unit, last_sample_at)
    SELECT 'operation-' || n, 'ms', now() FROM generate_series(1, %s) n RETURNING id
"""
_ROLLUPS = """
    INSERT INTO pggit_analytics.metric_rollups
        (resolution, series_id, at, count, sum, m2, min, max, sketch)
    SELECT 60, id, %(at)s, %(count)s, %(sum)s, %(m2)s, %(min)s, %(max)s, %(sketch)s
    FROM unnest(%(ids)s::bigint[]) id
"""
_FED = "SELECT count(*) FROM pggit_analytics.detector_states WHERE fed_until > %s AND error IS NULL"


def _put(connection: Connection, series: Sequence[int], at: datetime) -> None:
    """A minute of each: the same, which nothing here looks at."""
    chance = np.random.default_rng(int(at.timestamp()))
    rollup = asdict(rollup_of(chance.normal(200, 20, SAMPLES)))
    connection.execute(_ROLLUPS, rollup | {"at": at, "ids": list(series)})


def _feed(watcher: Watcher, connection: Connection, count: int, minute: datetime) -> str | None:
    """Until all are fed, or nothing more comes of it: then what is wrong."""
    fed, runs = -1, 0
    while (now_fed := number(connection, _FED, minute)) < count:
        if now_fed == fed and runs > 1:
            return f"{count - fed} of {count} operations were not fed"
        runs = runs + 1 if now_fed == fed else 0
        fed = now_fed
        watcher.run(lambda: True, lambda: False)
    return None


def _measure_rounds(deps: Deps, operations: int, minutes: int) -> list[Round]:
    url = deps.settings.database_url
    watcher = Watcher(deps.unit_of_work, deps.clock, deps.settings.retry_schedule_seconds)
    this = datetime.now(UTC).replace(second=0, microsecond=0)
    first = this - (LEARNT + minutes + 2) * MINUTE
    times = [first + place * MINUTE for place in range(LEARNT + minutes)]
    rounds = []
    with connect(url) as connection:
        with deps.unit_of_work() as work:
            stamps = [one.timestamp() for one in times]
            make_partitions(work.session, partitions_for(ROLLED[RESOLUTION], stamps))
        series = [one for (one,) in connection.execute(_SERIES, [operations]).fetchall()]
        for at in times[:LEARNT]:
            _put(connection, series, at)
        if (void := _feed(watcher, connection, operations, times[LEARNT - 1])) is not None:
            raise RuntimeError(void)
        # Else each is compared with what there is every 15 s.
        connection.execute(
            "UPDATE pggit_analytics.detector_states SET created_at = created_at - %s",
            [timedelta(days=1)],
        )
        for at in times[LEARNT:]:
            _put(connection, series, at)
            tidy_up(url)
            pids = machine.children_named("postgres")
            used, before = machine.cpu_seconds(pids) + time.process_time(), machine.Ticks.now()
            began_at = time.monotonic()
            void = _feed(watcher, connection, operations, at)
            seconds = time.monotonic() - began_at
            ticks = machine.Ticks.now().since(before)
            cpu = machine.cpu_seconds(pids) + time.process_time() - used
            rounds.append(Round(seconds, cpu, 100 * ticks.stolen / ticks.total, void))
            say(f"watching: {1000 * seconds / operations:.2f} ms an operation")
    return rounds


def run(servers: Servers, folder: Path, operations: int, minutes: int) -> WatchingReport:
    """Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    with opened(settings_for(servers, folder)) as tocsin:
        rounds = _measure_rounds(tocsin.deps, operations, minutes)
    return WatchingReport(began_at.isoformat(), about, operations, rounds)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("watching", __doc__)
    parser.add_argument("--operations", type=positive, default=1000)
    parser.add_argument("--minutes", type=positive, default=3, help="of each, one a round")
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> WatchingReport:
    return run(servers, folder, given.operations, given.minutes)


BENCHMARK = command.Benchmark("watching", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
