"""GET of 50 alerts per second: from the cache, past it, and by FastAPI with the same SQL.

    python -m benchmarks.rest_list [--alerts N] [--seconds S] [--rounds R] [--callers C]

Measured in turns, each on the same PostgreSQL with so many alerts, each told to one webhook:

- Tocsin as `make run` starts it: gunicorn, two processes, with the rate limit, the log line, the
  latency metrics and both levels of the cache. First one page again and again: after the first it
  is in the cache. Then another page each time, chosen by chance, of more pages than are asked for:
  each is read from PostgreSQL.
- FastAPI under uvicorn, two processes, uvloop and httptools, a pool of asyncpg, orjson, in a venv
  of its own (`benchmarks/peers/fastapi_list.py`): the same pages by the same statements, and the
  same checks of the token: signature, times, issuer and audience, then by the same statement
  whether it was revoked and what its user may. No rate limit, no log, no metrics, no cache.
- The same with whose a token is remembered for 2 s, as Tocsin remembers it.

Callers keep their connections and wait for each answer. Every answer is a 200 with 50 alerts, or
the round is void. CPU is what a side's processes and PostgreSQL's used for one request; the callers
share this machine's processors with them.
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import requests

from app.adapters.embedded import Servers, free_port
from app.deps import build
from app.domain.cursors import encode_cursor
from app.services import accounts, alert_lists
from app.services.queries import tokens
from app.services.telling import ALERT_FIELDS
from app.settings import Settings, as_environment
from benchmarks import command, machine
from benchmarks.callers import call
from benchmarks.command import positive, say
from benchmarks.figures import percentile
from benchmarks.postgres import connect, plain, tidy_up
from benchmarks.processes import running, wait_for
from benchmarks.rest_list_report import (
    CACHED,
    PEER,
    PEER_REMEMBERS,
    UNCACHED,
    RestListReport,
    Round,
)
from benchmarks.tocsin import settings_for
from benchmarks.venvs import NotInstalled, python_of

WEB_PROCESSES = 2
LIMIT = 50
UP_WITHIN_SECONDS = 120.0
WARM_UP_SECONDS = 2.0
PASSWORD = "correct horse battery"
PEERS = Path(__file__).parent / "peers"
TITLES = {
    CACHED: "Tocsin, from the cache",
    UNCACHED: "Tocsin, read from PostgreSQL",
    PEER: "FastAPI, asyncpg, the same SQL",
    PEER_REMEMBERS: "FastAPI, tokens remembered for 2 s",
}

_FILL = (
    "TRUNCATE pggit.alerts, pggit.alert_delivery_history, pggit.alert_delivery_queue CASCADE",
    "INSERT INTO pggit.alerts (title, message, severity, source, labels, status, created_by)"
    " SELECT 'Disk almost full on db-' || i % 500, '/var is at 97 %', 'critical', 'node-exporter',"
    " jsonb_build_object('host', 'db-' || i % 500, 'team', 'storage'), 'resolved', 'benchmark'"
    " FROM generate_series(1, {alerts}) i",
    "INSERT INTO pggit.alert_events (alert_id, type, body)"
    " SELECT id, 'alert.firing', '{{}}' FROM pggit.alerts",
    "INSERT INTO pggit.alert_delivery_history (id, event_id, webhook_id, webhook_message_id,"
    " status, attempts_made, created_at, finished_at)"
    " SELECT id, id, 1, 'msg_' || id, 'delivered', 1, now(), now() FROM pggit.alert_events",
)


def _statements(folder: Path) -> Path:
    """What Tocsin asks for a page, for the peer: in the driver's form of asyncpg."""
    first = alert_lists.page_statement(has_cursor=False, limit=LIMIT)
    following = alert_lists.page_statement(has_cursor=True, limit=LIMIT)
    numbers = {"before": 1, "user_id": 1, "token_id": 2, "session_id": 3}
    said = {"first": first, "next": following, "principal": tokens.STATEMENT}
    said = {
        name: re.sub(r"%\((\w+)\)s", lambda found: f"${numbers[found[1]]}", statement)
        for name, statement in said.items()
    }
    kept = folder / "statements.json"
    kept.write_text(json.dumps(said | {"fields": ",".join(ALERT_FIELDS)}))
    return kept


@contextmanager
def _tocsin(settings: Settings) -> Iterator[tuple[int, int]]:
    """Its port and its pid."""
    port = free_port()
    environment = as_environment(settings.model_copy(update={"port": port}))
    web = [sys.executable, "-m", "gunicorn", "--config", "python:app.serve"]
    web.append("app.factory:create_app()")
    with running([web], environment, settings.data_dir / "web.log") as (pid,):
        yield port, pid


@contextmanager
def _fastapi(settings: Settings, python: Path, remembers: float) -> Iterator[tuple[int, int]]:
    port = free_port()
    environment = {
        "PEER_SQL": str(_statements(settings.data_dir)),
        "PEER_SECRET": settings.jwt_secret_key,
        "PEER_DATABASE_URL": plain(settings.database_url),
        "PEER_REMEMBERS_SECONDS": str(remembers),
    }
    web = [str(python), "-m", "uvicorn", "benchmarks.peers.fastapi_list:app"]
    web += ["--port", str(port), "--workers", str(WEB_PROCESSES), "--no-access-log"]
    web += ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    with running([web], environment, settings.data_dir / "fastapi.log") as (pid,):
        yield port, pid


def _token(settings: Settings) -> str:
    """Of a user who signs in at a Tocsin that is up for that."""
    deps = build(settings)
    with deps.unit_of_work() as work:
        accounts.ensure_admin(work.session, "admin", PASSWORD)
    deps.close()
    with _tocsin(settings) as (port, _pid):
        wait_for(lambda: _is_up(port), UP_WITHIN_SECONDS, "a web that answers")
        answer = requests.post(
            f"http://127.0.0.1:{port}/api/v1/auth/login",
            json={"username": "admin", "password": PASSWORD},
            timeout=30,
        )
    return str(answer.json()["access_token"])


def _is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code < 500
    except requests.RequestException:
        return False


def _pages(port: int, name: str, ids: Sequence[int]) -> Callable[[int], str]:
    """The address of each call: one page, or another each time."""
    first = f"http://127.0.0.1:{port}/api/v1/alerts?limit={LIMIT}"
    if name == CACHED:
        return lambda _number: first
    chosen = random.Random(port).sample(ids[LIMIT:], len(ids) - LIMIT)
    return lambda number: f"{first}&cursor={encode_cursor(chosen[number % len(chosen)])}"


def _measure_one(
    name: str, up: tuple[int, int], token: str, ids: Sequence[int], given: argparse.Namespace
) -> Round:
    port, pid = up
    headers = [f"Authorization: Bearer {token}"]
    pages = _pages(port, name, ids)
    call(pages, headers, given.callers, WARM_UP_SECONDS)
    of = [[pid], machine.children_named("postgres")]
    used = [machine.cpu_seconds(pids) for pids in of]
    before = machine.Ticks.now()
    # Pages that the warm-up has left alone.
    found = call(lambda number: pages(-1 - number), headers, given.callers, given.seconds)
    ticks = machine.Ticks.now().since(before)
    spent = [machine.cpu_seconds(pids) - so_far for pids, so_far in zip(of, used, strict=True)]
    return Round(
        contestant=name,
        requests=found.answered,
        seconds=found.seconds,
        p50_ms=1000 * percentile(found.latencies, 0.5),
        p99_ms=1000 * percentile(found.latencies, 0.99),
        web_us=1e6 * spent[0] / found.answered,
        postgresql_us=1e6 * spent[1] / found.answered,
        steal_percent=100 * ticks.stolen / ticks.total,
        void=found.void,
    )


def run(servers: Servers, folder: Path, given: argparse.Namespace) -> RestListReport:
    """All rounds, in turns. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder).model_copy(
        update={"web_concurrency": WEB_PROCESSES, "rate_limit_requests": 100_000_000}
    )
    with connect(settings.database_url) as sql:
        for statement in _FILL:
            sql.execute(statement.format(alerts=given.alerts).encode())
        row = sql.execute("SELECT min(id), max(id) FROM pggit.alerts").fetchone()
    assert row is not None
    ids = range(row[0], row[1] + 1)
    tidy_up(settings.database_url)
    token = _token(settings)
    contestants = {CACHED: _tocsin(settings), UNCACHED: _tocsin(settings)}
    missing = None
    try:
        python = python_of("fastapi", PEERS / "fastapi_list.txt")
        contestants[PEER] = _fastapi(settings, python, 0)
        contestants[PEER_REMEMBERS] = _fastapi(settings, python, tokens.REMEMBERED_SECONDS)
    except NotInstalled as error:
        missing = f"FastAPI was not measured: {error}"
        say(missing)
    rounds = []
    with ExitStack() as stack:
        up = {name: stack.enter_context(one) for name, one in contestants.items()}
        for port, _pid in up.values():
            wait_for(partial(_is_up, port), UP_WITHIN_SECONDS, "a web that answers")
        for turn in range(1, given.rounds + 1):
            for name, where in up.items():
                one = _measure_one(name, where, token, ids, given)
                rounds.append(one)
                say(f"list of 50, round {turn}, {name}: {one.void or f'{one.rate:,.0f}/s'}")
    return RestListReport(
        began_at=began_at.isoformat(),
        machine=about,
        alerts=given.alerts,
        titles={name: TITLES[name] for name in up},
        rounds=rounds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("rest_list", __doc__)
    parser.add_argument("--alerts", type=positive, default=200_000)
    parser.add_argument("--seconds", type=positive, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--callers", type=positive, default=16, help="connections at once")
    return parser


BENCHMARK = command.Benchmark("rest_list", _parser(), run)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
