"""The cache: a hit in L1, L2 by hundreds, and a thousand callers on one cold key.

    python -m benchmarks.cache [--rounds N] [--passes N] [--entries N] [--callers N] [--commits N]

- L1: `Memory.get`, which looks whether the answer is right and young, keeps the order and counts,
  beside `cachetools.TTLCache.get` with its lock (in an environment of its own, by turns), by one
  thread and by four. `Cache.get`, the whole way of a request to its answer, is measured as well.
- L2: entries of 1 KiB put in and taken out by hundreds (`Cache.filling`, `Cache.get_many`), beside
  the same key by key (`Cache.get`, the load costs nothing), by turns. For comparison, redis-py's
  plain `set` and `get`, which check nothing.
- One flight: so many threads ask for one key that nobody has. The database counts the queries.
- What it costs to say what a transaction wrote: one UPDATE and its commit, heard of or not.

Void: an answer that is not what was put in, or was not there.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from app.adapters import quick_redis
from app.adapters.cache import redis_level
from app.adapters.cache.cache import Cache
from app.adapters.cache.entry import Answer, Loaded
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.clock import Clock
from app.adapters.database import Database
from app.adapters.embedded import Servers
from app.domain.snapshot import Snapshot
from benchmarks import command, machine, venvs
from benchmarks.cache_report import CacheReport, Commits, Flight, Gets, Many
from benchmarks.command import positive, say
from benchmarks.contended import KEYS, VALUE, nanoseconds
from benchmarks.processes import ROOT

TABLE = "benchmark.numbers"
THREADS = (1, 4)
PEER = "cachetools"
PATIENCE_SECONDS = 20.0
_COUNTED = text(
    "SELECT nextval('benchmark.queries')::text, pg_current_snapshot()::text, now()"
    " FROM pg_sleep(0.05)"
)


@dataclass(frozen=True)
class Options:
    """`has_peer`: whether to install and measure it."""

    rounds: int
    passes: int
    entries: int
    callers: int
    commits: int
    has_peer: bool = True


def _never() -> Loaded:
    raise AssertionError("it is there")


def _loaded() -> Loaded:
    return Loaded(VALUE, Snapshot(10, 10), datetime.now(UTC))


def _measure_gets(folder: Path, options: Options) -> list[Gets]:
    python = venvs.make(folder, PEER) if options.has_peer else None
    cache = Cache(Clock(), ttl=60, max_items=10_000)

    def near(passes: int) -> None:
        get = cache.memory.get
        for _ in range(passes):
            for key in KEYS:
                get(key)

    def whole(passes: int) -> None:
        get = cache.get
        for _ in range(passes):
            for key in KEYS:
                get(key, (TABLE,), _never)

    measured = []
    for threads in THREADS:
        ours: list[float] = []
        all_of_it: list[float] = []
        theirs: list[float] = []
        theirs_item: list[float] = []
        for _ in range(options.rounds):
            # Anew, so that no life ends in the middle; and looked at once, as L1 does after a put.
            for key in KEYS:
                cache.get(key, (TABLE,), _loaded, fresh=True)
                cache.get(key, (TABLE,), _never)
            before = cache.stats().l1.hits
            ours.append(nanoseconds(near, options.passes, threads))
            all_of_it.append(nanoseconds(whole, options.passes, threads))
            counted = cache.stats().l1.hits - before
            expected = 2 * options.passes * len(KEYS) * threads
            void = None if counted == expected else f"{counted:,} hits of {expected:,} counted"
            if python is not None:
                said = _ask_peer(python, options.passes, threads)
                theirs.append(said["get"])
                theirs_item.append(said["item"])
        measured.append(Gets(threads, ours, all_of_it, theirs, theirs_item, void))
        say(f"cache, gets by {threads} threads are measured")
    cache.close()
    return measured


def _ask_peer(python: Path, passes: int, threads: int) -> Any:
    arguments = [str(python), "-m", "benchmarks.peers.ttl_cache", str(passes), str(threads)]
    return json.loads(subprocess.check_output(arguments, cwd=ROOT))


def _milliseconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return 1000 * (time.perf_counter() - began)


@contextmanager
def _patience() -> Iterator[None]:
    """How long it takes is measured, not whether a request would have waited for it: what is given
    up on a busy machine would look fast."""
    before = redis_level.BUDGET_SECONDS, redis_level.BATCH_BUDGET_SECONDS
    connect = quick_redis.CONNECT_TIMEOUT_SECONDS
    redis_level.BUDGET_SECONDS = redis_level.BATCH_BUDGET_SECONDS = PATIENCE_SECONDS
    quick_redis.CONNECT_TIMEOUT_SECONDS = PATIENCE_SECONDS
    try:
        yield
    finally:
        redis_level.BUDGET_SECONDS, redis_level.BATCH_BUDGET_SECONDS = before
        quick_redis.CONNECT_TIMEOUT_SECONDS = connect


@_patience()
def _measure_many(servers: Servers, options: Options) -> Many:
    second = RedisLevel(servers.cache_redis_url, release="benchmark", database="benchmark")
    cache = Cache(Clock(), ttl=60, max_items=0, second=second)
    client = redis.Redis.from_url(servers.cache_redis_url)
    keys = [f"webhooks.list:{number}" for number in range(options.entries)]
    packed = VALUE + b"y" * 120
    timed: dict[str, list[float]] = {}
    void = None

    def fill() -> None:
        with cache.filling() as filling:
            for key in keys:
                filling.add(key, (TABLE,), _loaded())

    def fill_one_by_one() -> None:
        for key in keys:
            cache.get(key, (TABLE,), _loaded, fresh=True)

    def set_plainly() -> None:
        for key in keys:
            client.set(f"plain:{key}", packed, px=300_000)

    def get_many() -> None:
        nonlocal void
        answers = cache.get_many(dict.fromkeys(keys, (TABLE,)))
        if len(answers) != len(keys) or any(one.entry.body != VALUE for one in answers.values()):
            void = f"{len(answers):,} of {len(keys):,} entries were there"

    def get_one_by_one() -> None:
        for key in keys:
            cache.get(key, (TABLE,), _loaded)

    def get_plainly() -> None:
        for key in keys:
            client.get(f"plain:{key}")

    fill()  # connected, and with a generation
    ways = (fill, fill_one_by_one, set_plainly, get_many, get_one_by_one, get_plainly)
    for _ in range(options.rounds):
        for way in ways:
            timed.setdefault(way.__name__, []).append(_milliseconds(way))
    client.close()
    cache.close()
    say("cache, L2 by hundreds is measured")
    if cache.stats().loads != options.entries * options.rounds:
        void = "some were not there, or not in time, and were loaded"
    return Many(
        options.entries,
        set_many=timed["fill"],
        set_each=timed["fill_one_by_one"],
        set_plainly=timed["set_plainly"],
        get_many=timed["get_many"],
        get_each=timed["get_one_by_one"],
        get_plainly=timed["get_plainly"],
        void=void,
    )


def _measure_flight(database: Database, options: Options) -> Flight:
    cache = Cache(Clock(), ttl=60, max_items=100)
    ready = threading.Barrier(options.callers + 1)
    bodies: list[bytes] = []

    def load() -> Loaded:
        # It counts, so it can't be a view, which only reads.
        with database.session() as session:
            number, snapshot, now = session.execute(_COUNTED).one()
            return Loaded(number.encode(), Snapshot.parse(snapshot), now)

    def ask() -> Answer:
        ready.wait()
        answer = cache.get("cold", (TABLE,), load)
        bodies.append(answer.entry.body)
        return answer

    threads = [threading.Thread(target=ask) for _ in range(options.callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    took = 1000 * (time.perf_counter() - began)
    with database.session() as session:
        queries = session.execute(text("SELECT last_value FROM benchmark.queries")).scalar_one()
    void = None if bodies == [b"1"] * options.callers else f"{len(bodies):,} were answered"
    cache.close()
    say("cache, one flight is measured")
    return Flight(options.callers, queries, took, void)


def _measure_commits(url: str, options: Options) -> Commits:
    cache = Cache(Clock(), ttl=60, max_items=100)
    heard = Database(url, pool_min=1, pool_max=1, watched=(TABLE,), on_written=cache.wrote)
    unheard = Database(url, pool_min=1, pool_max=1)
    commits = Commits([], [])

    def update(database: Database) -> float:
        def write() -> None:
            with database.session() as session:
                session.execute(text("UPDATE benchmark.numbers SET number = number + 1"))

        return _milliseconds(write)

    for _ in range(options.commits):
        commits.heard.append(update(heard))
        commits.unheard.append(update(unheard))
    for one in (heard, unheard, cache):
        one.close()
    say("cache, commits are measured")
    return commits


def run(servers: Servers, folder: Path, options: Options) -> CacheReport:
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    url = servers.database_url.replace("postgresql://", "postgresql+psycopg://")
    database = Database(url, pool_min=1, pool_max=50)
    with database.session() as session:
        session.execute(text("CREATE SCHEMA benchmark"))
        session.execute(text("CREATE SEQUENCE benchmark.queries"))
        session.execute(text("CREATE TABLE benchmark.numbers AS SELECT 0 AS number"))
    try:
        return CacheReport(
            began_at=began_at.isoformat(),
            machine=about,
            gets=_measure_gets(folder, options),
            many=_measure_many(servers, options),
            flight=_measure_flight(database, options),
            commits=_measure_commits(url, options),
        )
    finally:
        with database.session() as session:
            session.execute(text("DROP SCHEMA benchmark CASCADE"))
        database.close()


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("cache", __doc__)
    parser.add_argument("--rounds", type=positive, default=7, help="of each, by turns")
    parser.add_argument("--passes", type=positive, default=100, help="over 1,000 keys, a thread")
    parser.add_argument("--entries", type=positive, default=2000, help="of 1 KiB, in L2")
    parser.add_argument("--callers", type=positive, default=1000, help="of one cold key")
    parser.add_argument("--commits", type=positive, default=500, help="of each kind")
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> CacheReport:
    return run(
        servers,
        folder,
        Options(given.rounds, given.passes, given.entries, given.callers, given.commits),
    )


BENCHMARK = command.Benchmark("cache", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
