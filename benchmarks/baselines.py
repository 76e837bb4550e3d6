"""Recalculating a baseline, beside one `percentile_cont` over the raw rows.

    python -m benchmarks.baselines [--samples N N …] [--simulated N] [--days N]

For each size: raw samples of four weeks and some days in real partitions, made by
generate_series, and their rollups, made of these rows as the roller makes them. The window moves
on by a day, then both are measured in turns on the same four weeks:

- `app.services.recalculation.recalculate`: everything from reading what changed to the switch,
  with 168 hours of the week, MAD, back-test on the last week, and what is to be left out;
- `SELECT percentile_cont(ARRAY[0.5, 0.75, 0.9, 0.95, 0.99])` over the rows, nothing else.

- the same recalculation of a second operation, which has the same rollups and those of a whole year
  before them.

The first recalculation, which has nothing to build on, is measured once. The largest size is
simulated: its rollups are made of as many random values, without raw rows, so that there is
nothing to compare with.

A size is void when sample counts differ, or the true rank of a percentile, counted over the raw
rows, is further off than two errors of the sketch.

Ten million rows take about 1.5 GB where temporary files go (TMPDIR); all is removed at the end.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.adapters.embedded import Servers
from app.deps import Deps, Work
from app.domain.recalculation import Outcome
from app.domain.rollups import RANK_ERROR
from app.services.baseline_schedules import DEFAULTS, claim_operation, create_schedule
from app.services.recalculation import recalculate
from benchmarks import command, machine
from benchmarks import samples as fill
from benchmarks.baselines_report import BaselinesReport, Size
from benchmarks.command import positive, say
from benchmarks.postgres import Connection, connect, tidy_up
from benchmarks.tocsin import opened, settings_for

LOOKBACK = timedelta(days=28)
DAY = timedelta(days=1)
YEAR_DAYS = 364
RANKS = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_PEER = """
    SELECT percentile_cont(ARRAY[0.5, 0.75, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY value)
    FROM pggit_analytics.metric_samples WHERE series_id = %s AND at >= %s AND at < %s
"""
_TRUE = """
    SELECT count(*), count(*) FILTER (WHERE value <= %s), count(*) FILTER (WHERE value <= %s),
        count(*) FILTER (WHERE value <= %s), count(*) FILTER (WHERE value <= %s),
        count(*) FILTER (WHERE value <= %s)
    FROM pggit_analytics.metric_samples WHERE series_id = %s AND at >= %s AND at < %s
"""


@dataclass(frozen=True)
class Options:
    """`days` are how many times the window moves on."""

    samples: Sequence[int]
    simulated: int
    days: int


class Clock:
    """Units of work of some time: the window moves on by a day, and nobody waits for that."""

    def __init__(self, deps: Deps, now: datetime) -> None:
        self._deps = deps
        self.now = now

    @contextmanager
    def unit_of_work(self) -> Iterator[Work]:
        with self._deps.unit_of_work() as work:
            yield Work(work.session, self.now, work.events)


def _recalculate(clock: Clock, operation: str) -> float:
    """One recalculation, in ms."""
    with clock.unit_of_work() as work:
        lease = claim_operation(work.session, work.now, operation)
    assert lease is not None
    began_at = time.perf_counter()
    result = recalculate(clock.unit_of_work, lease)
    took = 1000 * (time.perf_counter() - began_at)
    assert result is not None
    assert result.outcome is Outcome.SUCCEEDED, result
    return took


def _percentile_cont(connection: Connection, series: int, clock: Clock) -> float:
    began_at = time.perf_counter()
    connection.execute(_PEER, [series, clock.now - LOOKBACK, clock.now]).fetchone()
    return 1000 * (time.perf_counter() - began_at)


def _void(connection: Connection, operation: str, series: int, clock: Clock) -> str | None:
    """Why the newest version is not what the raw rows say; None if it is."""
    names = ", ".join(RANKS)
    row = connection.execute(
        f"SELECT sample_count, {names} FROM pggit_analytics.baseline_versions"  # noqa: S608
        " WHERE operation = %s AND status = 'active'",
        [operation],
    ).fetchone()
    assert row is not None
    true = connection.execute(_TRUE, [*row[1:], series, clock.now - LOOKBACK, clock.now]).fetchone()
    assert true is not None
    if row[0] != true[0]:
        return f"{row[0]:,} samples instead of {true[0]:,}"
    for (name, rank), below in zip(RANKS.items(), true[1:], strict=True):
        off = abs(below / true[0] - rank)
        if off > 2 * RANK_ERROR:
            return f"{name} is off by {100 * off:.2f} % of the ranks"
    return None


def _measure_size(
    deps: Deps, connection: Connection, samples: int, options: Options, *, simulated: bool
) -> Size:
    operation = f"benchmark/{samples}"
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 40 * DAY
    days = LOOKBACK.days + options.days + 1
    make = fill.simulate if simulated else fill.fill
    series = make(connection, operation, since, days, samples // LOOKBACK.days)
    aged = fill.copy_with_history(connection, series, f"{operation}/aged", since, YEAR_DAYS)
    say(f"baselines, {samples:,} samples in four weeks are there")
    tidy_up(deps.settings.database_url)
    clock = Clock(deps, since + LOOKBACK)
    with clock.unit_of_work() as work:
        for name in (operation, f"{operation}/aged"):
            create_schedule(work.session, work.now, DEFAULTS | {"operation": name})
    first = _recalculate(clock, operation)
    _recalculate(clock, f"{operation}/aged")
    ours: list[float] = []
    theirs: list[float] = []
    with_year: list[float] = []
    for _day in range(options.days):
        clock.now += DAY
        if not simulated:
            theirs.append(_percentile_cont(connection, series, clock))
        ours.append(_recalculate(clock, operation))
        with_year.append(_recalculate(clock, f"{operation}/aged"))
    void = None if simulated else _void(connection, operation, series, clock)
    fill.remove(connection, series, aged)
    say(f"baselines, {samples:,} samples are measured")
    return Size(samples, simulated, first, ours, theirs, with_year, void)


def run(servers: Servers, folder: Path, options: Options) -> BaselinesReport:
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder)
    with opened(settings) as tocsin, connect(settings.database_url) as connection:
        sizes = [
            _measure_size(tocsin.deps, connection, samples, options, simulated=False)
            for samples in options.samples
        ]
        if options.simulated:
            sizes.append(
                _measure_size(tocsin.deps, connection, options.simulated, options, simulated=True)
            )
    return BaselinesReport(began_at=began_at.isoformat(), machine=about, sizes=sizes)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("baselines", __doc__)
    parser.add_argument(
        "--samples",
        type=positive,
        nargs="+",
        default=[1_000_000, 10_000_000],
        help="raw rows in the four weeks",
    )
    parser.add_argument(
        "--simulated", type=int, default=100_000_000, help="values of the simulated size; 0: none"
    )
    parser.add_argument("--days", type=positive, default=9, help="recalculations of each")
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> BaselinesReport:
    return run(servers, folder, Options(given.samples, given.simulated, given.days))


BENCHMARK = command.Benchmark("baselines", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
