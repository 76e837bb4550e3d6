"""Samples per second over HTTP, into raw rows and rollups, beside one INSERT for each.

    python -m benchmarks.metrics_in [--samples N] [--rounds R] [--series S] [--batch B]

Measured in turns, each on the same PostgreSQL:

- Tocsin: the web that `make run` starts (gunicorn, two processes) and its jobs lane, which rolls
  up. Bodies of 10,000 samples with operation, value, unit, two labels and a time of the last
  hour, posted by four clients that wait for each answer: a 201 means that they are committed.
- The control: a Flask view in gunicorn, two processes, that takes the same bodies, inserts each
  sample by a statement of its own, and commits once a request.
- The control as it is used at home: a request for each sample, so a commit for each.

Two figures for Tocsin: from the first byte sent to the last answer, and to the moment when all
of it is in the rollups of one minute, five minutes and an hour. The controls roll nothing up.

The bodies are made before the clock starts, so that the clients cost little; reading them, JSON
included, is the server's work and is measured. The ledger: what was accepted is in the raw
samples and in the rollups of each resolution, by count and by sum, and nothing else is. Else the
round is void. PostgreSQL commits with synchronous_commit and fsync on. All of it shares this
machine's processors.
"""

import argparse
import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from app.adapters.embedded import Servers, free_port
from app.deps import build
from app.domain.rollups import RESOLUTIONS
from app.services.api_keys import create_api_key
from app.settings import Settings, as_environment
from benchmarks import command, machine
from benchmarks.command import positive, say
from benchmarks.metrics_in_report import MetricsInReport, Round
from benchmarks.peers import insert_per_sample
from benchmarks.postgres import connect, number, plain, tidy_up
from benchmarks.processes import running, wait_for
from benchmarks.tocsin import settings_for

CLIENTS = 4
WEB_PROCESSES = 2
UP_WITHIN_SECONDS = 60.0
ROLLED_WITHIN_SECONDS = 300.0
TITLES = {
    "tocsin": "Tocsin, two web processes and the jobs lane",
    "insert": "Flask, an INSERT for each sample of a batch",
    "insert-1": "Flask, a request for each sample",
}
OPERATION = "checkout.latency"


@dataclass(frozen=True)
class Options:
    """`samples` are Tocsin's; the controls get a share that takes them about as long."""

    samples: int
    rounds: int
    series: int
    batch: int
    only: Sequence[str] = tuple(TITLES)


@dataclass(frozen=True)
class Running:
    """A contestant that is up.

    `is_settled` says whether nothing waits, `ledger` (count, sum) of each place that must have all.
    """

    port: int
    token: str
    pids: dict[str, list[int]]
    is_settled: Callable[[], bool]
    ledger: Callable[[], list[tuple[int, float]]]


def _bodies(samples: int, batch: int, series: int, began_at: datetime) -> Iterator[bytes]:
    """Whole numbers as values, so that their sum is exact in any order."""
    for first in range(0, samples, batch):
        yield orjson.dumps(
            {
                "samples": [
                    {
                        "operation": OPERATION,
                        "value": float(n % 1000),
                        "unit": "ms",
                        "labels": {"host": f"web-{n % series:04}", "region": "eu-central-1"},
                        "timestamp": began_at - timedelta(milliseconds=3_000_000 * n // samples),
                    }
                    for n in range(first, min(first + batch, samples))
                ]
            }
        )


def _post_all(running_: Running, bodies: Sequence[bytes]) -> int:
    """By several clients at once; how many samples were accepted."""
    accepted: list[int] = []
    left = iter(bodies)
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", running_.port, timeout=60)
        headers = {
            "Authorization": f"Bearer {running_.token}",
            "Content-Type": "application/json",
        }
        while True:
            with lock:
                body = next(left, None)
            if body is None:
                break
            connection.request("POST", "/api/v1/metrics", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status == 201:
                accepted.append(orjson.loads(said)["accepted"])
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(accepted)


@contextmanager
def _tocsin(settings: Settings) -> Iterator[Running]:
    deps = build(settings)
    with deps.unit_of_work() as work:
        _row, key = create_api_key(work.session, None, {"name": "benchmark", "role": "operator"})
    deps.close()
    port = free_port()
    environment = as_environment(settings.model_copy(update={"port": port}))
    commands = [
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            "python:app.serve",
            "app.factory:create_app()",
        ],
        [sys.executable, "-m", "tasks", "jobs", "1"],
    ]
    with connect(settings.database_url) as sql:
        sql.execute(
            "TRUNCATE pggit_analytics.metric_series, pggit_analytics.metric_samples,"
            " pggit_analytics.metric_rollups, pggit_analytics.metric_inbox"
        )

    def ledger() -> list[tuple[int, float]]:
        with connect(settings.database_url) as sql:
            rows = sql.execute(
                "SELECT COALESCE(sum(r.count), 0), COALESCE(sum(r.sum), 0)"
                " FROM unnest(%s::int[]) AS wanted (resolution)"
                " LEFT JOIN (SELECT r.* FROM pggit_analytics.metric_rollups r"
                " JOIN pggit_analytics.metric_series s ON s.id = r.series_id AND operation = %s"
                " ) AS r USING (resolution) GROUP BY resolution"
                " UNION ALL SELECT count(*), COALESCE(sum(value), 0)"
                " FROM pggit_analytics.metric_samples",
                [list(RESOLUTIONS), OPERATION],
            ).fetchall()
        return [(int(count), float(total)) for count, total in rows]

    def is_settled() -> bool:
        with connect(settings.database_url) as sql:
            return number(sql, "SELECT count(*) FROM pggit_analytics.metric_inbox") == 0

    with running(commands, environment, settings.data_dir / "metrics.log") as (web, jobs):
        _wait_until_up(port)
        yield Running(port, key, {"web": [web], "jobs": [jobs]}, is_settled, ledger)


@contextmanager
def _insert(settings: Settings) -> Iterator[Running]:
    port = free_port()
    command_ = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
    command_ += ["--worker-class", "gthread"]
    command_ += ["--workers", str(WEB_PROCESSES), "--threads", str(settings.web_threads)]
    command_ += ["--no-control-socket", "benchmarks.peers.insert_per_sample:app"]
    with connect(settings.database_url) as sql:
        sql.execute(insert_per_sample.SCHEMA)

    def ledger() -> list[tuple[int, float]]:
        with connect(settings.database_url) as sql:
            row = sql.execute(
                "SELECT count(*), COALESCE(sum(value), 0) FROM control.samples"
            ).fetchone()
        assert row is not None
        return [(int(row[0]), float(row[1]))]

    environment = {"CONTROL_DATABASE_URL": plain(settings.database_url)}
    with running([command_], environment, settings.data_dir / "control.log") as (web,):
        _wait_until_up(port)
        yield Running(port, "", {"web": [web], "jobs": []}, lambda: True, ledger)


def _wait_until_up(port: int) -> None:
    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status in {200, 404}
        except OSError:
            return False
        finally:
            connection.close()

    wait_for(answers, UP_WITHIN_SECONDS, "a web that answers")


def _measure_one(name: str, settings: Settings, options: Options) -> Round:
    count = {
        "tocsin": options.samples,
        "insert": max(options.samples // 20, options.batch),
        "insert-1": max(options.samples // 400, 1),
    }[name]
    batch = 1 if name == "insert-1" else options.batch
    bodies = list(_bodies(count, batch, options.series, datetime.now(UTC)))
    total = float(sum(n % 1000 for n in range(count)))
    tidy_up(settings.database_url)
    contestant = _tocsin if name == "tocsin" else _insert
    with contestant(settings) as up:
        pids = up.pids | {"postgresql": machine.children_named("postgres")}
        # Connections are made, code is loaded: the first request is not the one to measure.
        warm_up = list(_bodies(1, 1, 1, datetime.now(UTC)))
        _post_all(up, warm_up * CLIENTS)
        expected = (count + CLIENTS, total)
        used = {who: machine.cpu_seconds(of) for who, of in pids.items()}
        before = machine.Ticks.now()
        began = time.monotonic()
        accepted = _post_all(up, bodies)
        accepted_seconds = time.monotonic() - began
        wait_for(up.is_settled, ROLLED_WITHIN_SECONDS, "all of it in the rollups")
        rolled_seconds = time.monotonic() - began
        ticks = machine.Ticks.now().since(before)
        cpu = {who: machine.cpu_seconds(of) - used[who] for who, of in pids.items()}
        found = up.ledger()
        void = None
        if any(one != expected for one in found):
            void = f"{expected} was to be found, by count and sum, and was not: {found}"
        if accepted != count:
            void = f"{accepted} of {count} were accepted"
    return Round(
        contestant=name,
        accepted=accepted,
        accepted_seconds=accepted_seconds,
        rolled_seconds=rolled_seconds if name == "tocsin" else None,
        cpu_us={who: 1e6 * spent / max(count, 1) for who, spent in cpu.items()},
        steal_percent=100 * ticks.stolen / ticks.total,
        void=void,
    )


def run(servers: Servers, folder: Path, options: Options) -> MetricsInReport:
    """All rounds, in turns. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder)
    settings = settings.model_copy(
        update={"web_concurrency": WEB_PROCESSES, "ingest_rate_limit_requests": 1_000_000}
    )
    rounds = []
    for turn in range(1, options.rounds + 1):
        for name in options.only:
            one = _measure_one(name, settings, options)
            rounds.append(one)
            outcome = one.void or f"{one.accepted_rate:,.0f}/s accepted"
            if one.rolled_rate is not None:
                outcome += f", {one.rolled_rate:,.0f}/s rolled up"
            say(f"metrics in, round {turn}, {name}: {outcome}")
    return MetricsInReport(
        began_at=began_at.isoformat(),
        machine=about,
        series=options.series,
        titles={name: TITLES[name] for name in options.only},
        rounds=rounds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("metrics_in", __doc__)
    parser.add_argument("--samples", type=positive, default=1_000_000, help="for Tocsin, a round")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--series", type=positive, default=100)
    parser.add_argument("--batch", type=positive, default=10_000, help="samples in a request")
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> MetricsInReport:
    return run(servers, folder, Options(given.samples, given.rounds, given.series, given.batch))


BENCHMARK = command.Benchmark("metrics_in", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
