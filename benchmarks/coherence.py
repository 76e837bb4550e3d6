"""How soon after a change is answered do all web processes show it?

    python -m benchmarks.coherence [--rounds N] [--processes P]

Web processes of one system, each gunicorn with one worker, on one PostgreSQL and with L2. In each
round every process has a webhook in L1; then one of them, in turn, answers a PUT of it, and from
then on each of the others is asked by a thread of its own, on a connection that is open, as fast
as it answers. Late is the time from the PUT's answer until the last request was sent that still
brought the old value: an upper bound of how long anybody could be given it. A process that never
gave it is 0 late. Who was given the new value and then the old one again makes the run void.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests

from app.adapters.embedded import Servers, free_port
from app.deps import build
from app.services import accounts
from app.settings import Settings, as_environment
from benchmarks import command, machine
from benchmarks.command import positive, say
from benchmarks.figures import Gate, percentile
from benchmarks.processes import running, wait_for
from benchmarks.report import Report
from benchmarks.tables import row, title
from benchmarks.tocsin import settings_for

PASSWORD = "correct horse battery"
UP_WITHIN_SECONDS = 120.0
GOAL_MS = 100
COLUMNS = (12, 10, 10, 10, 10, 10, 10)
# Who still shows the old value then shows it for ever.
GIVE_UP_SECONDS = 10.0


@dataclass(frozen=True)
class CoherenceReport(Report):
    """`late_ms` by percentile, over all rounds and the processes that did not write."""

    processes: int
    rounds: int
    answers: int
    late_ms: Mapping[str, float]
    went_back: int
    steal_percent: float

    @property
    def gates(self) -> list[Gate]:
        worst = self.late_ms["max"]
        return [
            Gate(
                f"the old value after a PUT, {self.processes} processes",
                f"≤ {GOAL_MS} ms",
                f"{worst:,.1f} ms",
                worst <= GOAL_MS,
            )
        ]

    @property
    def voids(self) -> list[str]:
        return [f"coherence: {self.went_back} went back to the old value"] * bool(self.went_back)

    def as_table(self) -> str:
        heads = ("rounds", "answers", "late p50", "p99", "max ms", "steal")
        return "\n".join(
            [
                title("coherence: the old value after a PUT is answered"),
                row(COLUMNS, "processes", *heads),
                row(
                    COLUMNS,
                    f"{self.processes}",
                    f"{self.rounds:,}",
                    f"{self.answers:,}",
                    *(f"{self.late_ms[part]:,.1f}" for part in ("p50", "p99", "max")),
                    f"{self.steal_percent:.1f} %",
                ),
            ]
        )


class Web:
    """One process, by one connection for each thread that asks."""

    def __init__(self, port: int, token: str) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/webhooks"
        self._token = token
        self._local = threading.local()

    def create(self, body: Mapping[str, Any]) -> int:
        answer = self._session.post(self._url, json=body, timeout=30)
        answer.raise_for_status()
        return int(answer.json()["id"])

    def put(self, webhook_id: int, body: Mapping[str, Any]) -> None:
        self._session.put(f"{self._url}/{webhook_id}", json=body, timeout=30).raise_for_status()

    def name(self, webhook_id: int) -> str:
        answer = self._session.get(f"{self._url}/{webhook_id}", timeout=30)
        answer.raise_for_status()
        return str(answer.json()["name"])

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {self._token}"
            self._local.session = session
        found: requests.Session = self._local.session
        return found


class Watcher(threading.Thread):
    """Asks one process over and over, and notes when it asked and what it was told."""

    def __init__(self, web: Web, webhook_id: int) -> None:
        super().__init__(daemon=True)
        self._web, self._webhook_id = web, webhook_id
        self._stopping = threading.Event()
        self.seen: list[tuple[float, str]] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                asked = time.perf_counter()
                self.seen.append((asked, self._web.name(self._webhook_id)))
        except requests.RequestException as error:
            self.error = error

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        if self.error is not None:
            raise self.error


def late(seen: Sequence[tuple[float, str]], answered: float, old: str) -> tuple[float, bool]:
    """By how many seconds the last question came that brought the old value, and whether the new
    one had been told before."""
    after = [(asked, name) for asked, name in seen if asked > answered]
    olds = [asked for asked, name in after if name == old]
    news = [asked for asked, name in after if name != old]
    went_back = bool(olds and news and min(news) < max(olds))
    return max((asked - answered for asked in olds), default=0.0), went_back


def _round(
    webs: Sequence[Web], writer: int, webhook_id: int, number: int
) -> tuple[list[float], int, int]:
    old, new = f"round {number - 1}", f"round {number}"
    readers = [web for index, web in enumerate(webs) if index != writer]
    for web in webs:
        wait_for(partial(_shows, web, webhook_id, old), GIVE_UP_SECONDS, "the old value")
    watchers = [Watcher(web, webhook_id) for web in readers]
    for watcher in watchers:
        watcher.start()
    webs[writer].put(webhook_id, _webhook(new))
    answered = time.perf_counter()
    wait_for(
        lambda: all(watcher.seen and watcher.seen[-1][1] == new for watcher in watchers),
        GIVE_UP_SECONDS,
        "the new value",
    )
    for watcher in watchers:
        watcher.stop()
    found = [late(watcher.seen, answered, old) for watcher in watchers]
    asked = sum(len(watcher.seen) for watcher in watchers)
    return [1000 * one for one, _ in found], asked, sum(back for _, back in found)


def _shows(web: Web, webhook_id: int, name: str) -> bool:
    return web.name(webhook_id) == name


def _webhook(name: str) -> dict[str, Any]:
    return {"name": name, "url": "http://127.0.0.1:9000/hook", "is_active": False}


@contextmanager
def _running_webs(settings: Settings, count: int) -> Iterator[list[Web]]:
    deps = build(settings)
    with deps.unit_of_work() as work:
        accounts.ensure_admin(work.session, "admin", PASSWORD)
    deps.close()
    command_line = [sys.executable, "-m", "gunicorn", "--config", "python:app.serve"]
    command_line.append("app.factory:create_app()")
    ports = [free_port() for _ in range(count)]
    with ExitStack() as stack:
        for port in ports:
            environment = as_environment(
                settings.model_copy(update={"port": port, "web_concurrency": 1})
            )
            stack.enter_context(running([command_line], environment, settings.data_dir / "web.log"))
        for port in ports:
            wait_for(partial(_is_up, port), UP_WITHIN_SECONDS, "a web that answers")
        answer = requests.post(
            f"http://127.0.0.1:{ports[0]}/api/v1/auth/login",
            json={"username": "admin", "password": PASSWORD},
            timeout=30,
        )
        answer.raise_for_status()
        yield [Web(port, answer.json()["access_token"]) for port in ports]


def _is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def run(servers: Servers, folder: Path, given: argparse.Namespace) -> CoherenceReport:
    """All rounds. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder).model_copy(update={"rate_limit_requests": 10**9})
    late_ms: list[float] = []
    answers = went_back = 0
    with _running_webs(settings, given.processes) as webs:
        webhook_id = webs[0].create(_webhook("round 0"))
        before = machine.Ticks.now()
        for number in range(1, given.rounds + 1):
            found, asked, back = _round(webs, number % len(webs), webhook_id, number)
            late_ms += found
            answers += asked
            went_back += back
            if number % 50 == 0:
                say(f"coherence: {number} rounds, {max(late_ms):.1f} ms at worst")
        ticks = machine.Ticks.now().since(before)
    return CoherenceReport(
        began_at=began_at.isoformat(),
        machine=about,
        processes=given.processes,
        rounds=given.rounds,
        answers=answers,
        late_ms={
            "p50": percentile(late_ms, 0.5),
            "p99": percentile(late_ms, 0.99),
            "max": max(late_ms),
        },
        went_back=went_back,
        steal_percent=100 * ticks.stolen / ticks.total,
    )


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("coherence", __doc__)
    parser.add_argument("--rounds", type=positive, default=300)
    parser.add_argument("--processes", type=positive, default=3)
    return parser


BENCHMARK = command.Benchmark("coherence", _parser(), run)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK]))
