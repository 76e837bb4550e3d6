"""Does what has gathered slow down what is due? The claim, and a worker that drains.

    python -m benchmarks.backlog [--backlog N] [--history N] [--claims N] [--drain N]

1,000 webhooks, three databases on one server, all by the real migrations and services:

- almost empty: 500 deliveries are due, and nothing else was ever there. Once one each for 500
  webhooks, once 16 each, which is how a claim finds them in a backlog.
- a backlog: a million are due.
- the same, and ten million that were delivered lie in pggit.alert_delivery_history.

Measured in turns (one claim on each, then the next): `app.services.claims.claim` with room for
500, from the beginning of its transaction to the end of its commit, on a connection that was
used before. What a claim took is removed before the next, as a completion would, and the almost
empty ones get fresh rows; neither is measured. The goal: the median is within 1.2 times that of
an almost empty queue.

Then one real worker process drains the database that has both, at a receiver that is hardly
there: how many a second at the start and at the end, and the memory that the worker takes. All
that it recorded as delivered was received, and nothing else, or the run is void. What it
delivered has left the queue's table.

The databases are made by generate_series. With the defaults they and PostgreSQL's log take about
6.5 GB where temporary files go (TMPDIR); all is removed at the end.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg import sql
from sqlalchemy import URL, make_url

from app.adapters.embedded import Servers
from app.settings import Settings
from benchmarks import command, fill, machine
from benchmarks.backlog_report import BacklogReport, Claims
from benchmarks.claim_times import ROOM, in_turns, queue
from benchmarks.command import positive, say
from benchmarks.drain import drain
from benchmarks.postgres import Connection, connect, tidy_up
from benchmarks.receiver import running_receiver
from benchmarks.tocsin import opened, settings_for

RUN = "backlog"
WEBHOOKS = 1000
CAP = 16
BACKLOG, HISTORY = "bench_backlog", "bench_history"
BYTES_A_BACKLOG_ROW, BYTES_A_HISTORY_ROW = 4_000, 400


@dataclass(frozen=True)
class Options:
    backlog: int
    history: int
    claims: int
    drain: int


def _check_disk(folder: Path, options: Options) -> None:
    """Raises SystemExit when it would not fit."""
    needed = options.backlog * BYTES_A_BACKLOG_ROW + options.history * BYTES_A_HISTORY_ROW
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"This takes {needed / 1e9:.1f} GB in {tempfile.gettempdir()}, and {free / 1e9:.1f} GB"
            " are free. Set TMPDIR to another place, or make --backlog and --history smaller."
        )


@contextmanager
def _copy(settings: Settings, made: str) -> Iterator[Settings]:
    """The same on a copy of its database, which nobody may be connected to; dropped at the end."""
    own = make_url(settings.database_url)
    assert own.database is not None
    with connect(_at(own, "postgres")) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(made), sql.Identifier(own.database)
            )
        )
        try:
            yield settings.model_copy(update={"database_url": _at(own, made)})
        finally:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(made))
            )


def _at(url: URL, database: str) -> str:
    return url.set(database=database).render_as_string(hide_password=False)


def _fill(
    settings: Settings,
    what: str,
    fill_with: Callable[[Connection, Sequence[int], int], Iterator[int]],
    webhooks: Sequence[int],
    count: int,
) -> None:
    with connect(settings.database_url) as connection:
        for there in fill_with(connection, webhooks, count):
            say(f"backlog, {there:,} of {count:,} {what}")
    tidy_up(settings.database_url)


def _times(
    empty: Settings, backlog: Settings, history: Settings, webhooks: Sequence[int], claims: int
) -> tuple[list[Claims], list[Claims]]:
    """Those of the almost empty queues, and the others."""
    wide, dense = webhooks[:ROOM], webhooks[: ROOM // CAP + 1]
    with (
        queue("almost empty, one each", empty.database_url, wide) as one_each,
        queue(f"almost empty, {CAP} each", empty.database_url, dense) as many_each,
        queue("backlog", backlog.database_url) as full,
        queue("backlog and history", history.database_url) as fullest,
    ):
        all_of_them = (one_each, many_each, full, fullest)
        in_turns(all_of_them, claims)
        return (
            [one.figures() for one in (one_each, many_each)],
            [one.figures() for one in (full, fullest)],
        )


def run(servers: Servers, folder: Path, options: Options) -> BacklogReport:
    """Logs go to the folder; the databases are made and dropped."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    empty = settings_for(servers, folder)
    with running_receiver() as receiver:
        with opened(empty) as tocsin:
            urls = [receiver.url(RUN, number) for number in range(WEBHOOKS)]
            webhooks = [*tocsin.make_webhooks(urls, active=True)]
        tidy_up(empty.database_url)
        with _copy(empty, BACKLOG) as backlog:
            _fill(backlog, "due", fill.owe, webhooks, options.backlog)
            with _copy(backlog, HISTORY) as history:
                _fill(history, "delivered", fill.deliver, webhooks, options.history)
                times = _times(empty, backlog, history, webhooks, options.claims)
                drained = drain(history, receiver, RUN, options.drain)
                say(f"backlog, drained {options.drain:,}")
    return BacklogReport(
        began_at=began_at.isoformat(),
        machine=about,
        backlog=options.backlog,
        history=options.history,
        webhooks=WEBHOOKS,
        empty=times[0],
        full=times[1],
        drain=drained,
    )


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("backlog", __doc__)
    parser.add_argument("--backlog", type=positive, default=1_000_000, help="deliveries due")
    parser.add_argument("--history", type=positive, default=10_000_000, help="delivered before")
    parser.add_argument("--claims", type=positive, default=60, help="to time on each")
    parser.add_argument("--drain", type=positive, default=100_000, help="deliveries by one worker")
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> BacklogReport:
    options = Options(given.backlog, given.history, given.claims, given.drain)
    _check_disk(folder, options)
    return run(servers, folder, options)


BENCHMARK = command.Benchmark("backlog", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
