"""Who is measured: Tocsin with its real workers, and the control with Celery's.

Both do a run the same way. The backlog is in place before anybody is released; the workers are
up and have delivered a first batch, so that neither imports nor first connections are measured.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import psutil
import psycopg
import redis
from cryptography.fernet import Fernet

from app.adapters.embedded import Servers, dependent
from app.api.schemas.webhooks import CHECK_DEFAULTS, DEFAULTS
from app.deps import Deps, build
from app.domain.alerts import EventType, message_body
from app.services.raising import Draft, raise_alerts
from app.services.webhooks import change_webhook, create_webhook, delete_webhook, new_secret
from app.settings import Settings, as_environment, load_settings
from benchmarks import celery_task_per_alert as control
from benchmarks.receiver import Receiver
from models.migrate import upgrade

ROOT = Path(__file__).parents[1]
LOOK_EVERY_SECONDS = 0.05
START_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 10.0
BATCH = 1000
WARM_UP = 200
# Of the control, in Redis.
QUEUE, HELD = "alerts", "alerts.held"


@dataclass(frozen=True)
class Ready:
    """A backlog and the workers that wait for the gun.

    `accepted` has the ids that must arrive, each with the secret that signs it. `release` lets
    the workers have them and tells since when, by the monotonic clock. `is_settled` becomes true
    when nothing is left to do.
    """

    accepted: Mapping[str, str]
    pids: Sequence[int]
    release: Callable[[], float]
    is_settled: Callable[[], bool]


class Contestant(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def ready(self, run: str, count: int) -> AbstractContextManager[Ready]: ...


def wait_for(look: Callable[[], bool], within: float, what: str) -> None:
    """Raises TimeoutError when it doesn't come true in time."""
    deadline = time.monotonic() + within
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {within:g} s")
        time.sleep(LOOK_EVERY_SECONDS)


@contextmanager
def workers(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str], log: Path
) -> Iterator[list[int]]:
    """Runs these programs; at the end they and all that they started are gone."""
    running: list[subprocess.Popen[bytes]] = []
    with log.open("ab") as out:
        try:
            running += [_start(command, environment, out) for command in commands]
            yield [process.pid for process in running]
        finally:
            started = [
                one
                for process in running
                if process.poll() is None
                for one in psutil.Process(process.pid).children(recursive=True)
            ]
            for process in running:
                process.terminate()
            for process in running:
                try:
                    process.wait(STOP_WITHIN_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            _gone, left = psutil.wait_procs(started, timeout=1)
            for child in left:
                child.kill()


def _start(
    command: Sequence[str], environment: Mapping[str, str], out: BinaryIO
) -> "subprocess.Popen[bytes]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.Popen(
        dependent(command),
        cwd=ROOT,
        env=kept | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,
    )


class Tocsin:
    """Alerts raised by the real service, delivered by the real worker processes."""

    def __init__(self, settings: Settings, receiver: Receiver, webhooks: int, workers: int) -> None:
        self.name = f"tocsin-{workers}"
        self.title = f"Tocsin, {'one worker' if workers == 1 else 'two workers'}"
        self._settings = settings
        self._receiver = receiver
        self._webhooks = webhooks
        self._workers = workers
        self._log = settings.data_dir / "tocsin.log"

    @contextmanager
    def ready(self, run: str, count: int) -> Iterator[Ready]:
        deps = build(self._settings)
        try:
            # Inactive: what is raised for them is queued, and nobody may take it yet.
            hooks = self._make_webhooks(deps, run, self._webhooks, active=False)
            self._raise(deps, list(hooks), count)
            accepted = self._queued(deps, hooks)
            tidy_up(self._settings.database_url)
            commands = [
                [sys.executable, "-m", "tasks", "deliver", str(number)]
                for number in range(1, self._workers + 1)
            ]
            with workers(commands, as_environment(self._settings), self._log) as pids:
                self._warm_up(deps, run)
                yield Ready(
                    accepted,
                    pids,
                    release=lambda: self._activate(deps, list(hooks)),
                    is_settled=lambda: self._open(deps, list(hooks)) == 0,
                )
            with deps.unit_of_work() as work:
                for webhook_id in hooks:
                    delete_webhook(work.session, work.now, webhook_id)
        finally:
            deps.close()

    def _make_webhooks(self, deps: Deps, run: str, count: int, *, active: bool) -> dict[int, str]:
        """Their ids and secrets; everything else as the API would choose it."""
        made = {}
        with deps.unit_of_work() as work:
            for number in range(count):
                given = {
                    "name": f"{run} {number}",
                    "url": self._receiver.url(run, number),
                    "is_active": active,
                    "health_check": CHECK_DEFAULTS,
                }
                view, secret = create_webhook(
                    work.session, work.events, deps.cipher, DEFAULTS | given
                )
                made[view.row.id] = secret
        return made

    def _raise(self, deps: Deps, hooks: Sequence[int], count: int) -> None:
        for begin in range(0, count, BATCH):
            drafts = [
                _draft(number, [hooks[number % len(hooks)]])
                for number in range(begin, min(begin + BATCH, count))
            ]
            with deps.unit_of_work() as work:
                raise_alerts(
                    work.session,
                    work.now,
                    work.events,
                    drafts,
                    "benchmark",
                    deps.settings.retry_schedule_seconds,
                )

    def _queued(self, deps: Deps, hooks: Mapping[int, str]) -> dict[str, str]:
        with psycopg.connect(plain(deps.settings.database_url)) as connection:
            rows = connection.execute(
                "SELECT webhook_message_id, webhook_id FROM pggit.deliveries"
                " WHERE webhook_id = ANY(%s)",
                [list(hooks)],
            ).fetchall()
        return {message_id: hooks[webhook_id] for message_id, webhook_id in rows}

    def _warm_up(self, deps: Deps, run: str) -> None:
        wait_for(lambda: self._present(deps) == self._workers, START_WITHIN_SECONDS, "a worker")
        hooks = self._make_webhooks(deps, f"{run}-warm-up", 1, active=True)
        self._raise(deps, list(hooks), WARM_UP)
        wait_for(lambda: self._open(deps, list(hooks)) == 0, START_WITHIN_SECONDS, "the warm-up")
        with deps.unit_of_work() as work:
            for webhook_id in hooks:
                delete_webhook(work.session, work.now, webhook_id)

    def _present(self, deps: Deps) -> int:
        with psycopg.connect(plain(deps.settings.database_url)) as connection:
            return _number(connection, "SELECT count(*) FROM pggit.workers")

    def _open(self, deps: Deps, hooks: Sequence[int]) -> int:
        with psycopg.connect(plain(deps.settings.database_url)) as connection:
            return _number(
                connection,
                "SELECT count(*) FROM pggit.deliveries"
                " WHERE webhook_id = ANY(%s) AND status IN ('pending', 'retrying')",
                list(hooks),
            )

    def _activate(self, deps: Deps, hooks: Sequence[int]) -> float:
        with deps.unit_of_work() as work:
            for webhook_id in hooks:
                change_webhook(
                    work.session,
                    work.now,
                    work.events,
                    deps.cipher,
                    webhook_id,
                    {"is_active": True},
                )
            # Before the commit: from there on they may be taken, and the hint counts as ours.
            return time.monotonic()


class Control:
    """A Celery task for each alert, with its row in PostgreSQL or without."""

    def __init__(
        self, servers: Servers, receiver: Receiver, webhooks: int, folder: Path, *, with_row: bool
    ) -> None:
        self.name = "celery-row" if with_row else "celery"
        self.title = "Celery task for each alert" + (", its row in PostgreSQL" if with_row else "")
        self._receiver = receiver
        self._webhooks = webhooks
        self._with_row = with_row
        self._log = folder / "control.log"
        self._database_url = servers.database_url
        # A database of its own in the same Redis: neither hears the other's broadcasts.
        self._broker_url = urlsplit(servers.redis_url)._replace(path="/1").geturl()

    @contextmanager
    def ready(self, run: str, count: int) -> Iterator[Ready]:
        control.celery.conf.update(broker_url=self._broker_url)
        with redis.Redis.from_url(self._broker_url) as broker:
            broker.flushdb()
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            connection.execute(control.SCHEMA)
            # The backlog is put aside, and given back at the gun: the worker waits on the queue
            # all the time and sees it at once, without the second that a new queue would cost.
            accepted = self._publish(connection, run, count)
            broker.rename(QUEUE, HELD)
            warm_up = f"{run}-warm-up"
            self._publish(connection, warm_up, WARM_UP)
            tidy_up(self._database_url)
            command = [
                *(sys.executable, "-m", "celery", "-A", "benchmarks.celery_task_per_alert"),
                *("worker", "-c", "4", "--prefetch-multiplier", "1"),
                *("-Q", QUEUE, "-n", "control@%h"),
            ]
            environment = {
                "CONTROL_DATABASE_URL": self._database_url,
                "CONTROL_BROKER_URL": self._broker_url,
            }
            with workers([command], environment, self._log) as pids:
                wait_for(
                    lambda: self._receiver.count(warm_up) == WARM_UP,
                    START_WITHIN_SECONDS,
                    "the control's warm-up",
                )
                yield Ready(
                    accepted,
                    pids,
                    release=lambda: _give_back(broker),
                    is_settled=lambda: self._is_settled(connection, broker),
                )

    def _publish(
        self, connection: "psycopg.Connection[tuple[Any, ...]]", run: str, count: int
    ) -> dict[str, str]:
        """Rows first, then a message for each, as it would be in a request."""
        secrets = [new_secret() for _ in range(self._webhooks)]
        urls = [self._receiver.url(run, number) for number in range(self._webhooks)]
        webhook_ids = [
            _number(
                connection,
                "INSERT INTO control.webhooks (url, secret) VALUES (%s, %s) RETURNING id",
                url,
                secret,
            )
            for url, secret in zip(urls, secrets, strict=True)
        ]
        accepted = {}
        for number in range(count):
            hook = number % self._webhooks
            message_id, body = f"msg_{uuid.uuid4().hex}", sample_body(number)
            accepted[message_id] = secrets[hook]
            if self._with_row:
                alert_id = _number(
                    connection,
                    "INSERT INTO control.alerts (webhook_id, message_id, body)"
                    " VALUES (%s, %s, %s) RETURNING id",
                    webhook_ids[hook],
                    message_id,
                    body,
                )
                control.deliver_alert.apply_async((alert_id,), queue=QUEUE)
            else:
                control.deliver_message.apply_async(
                    (urls[hook], secrets[hook], message_id, body), queue=QUEUE
                )
        return accepted

    def _is_settled(
        self, connection: "psycopg.Connection[tuple[Any, ...]]", broker: "redis.Redis"
    ) -> bool:
        if self._with_row:
            asked = "SELECT count(*) FROM control.alerts WHERE status <> 'delivered'"
            return _number(connection, asked) == 0
        return not broker.exists(QUEUE, "unacked")


def _give_back(broker: "redis.Redis") -> float:
    released_at = time.monotonic()
    broker.rename(HELD, QUEUE)
    return released_at


def tocsin_settings(servers: Servers, folder: Path) -> Settings:
    """The defaults, on these servers, and a database that is migrated."""
    settings = load_settings(
        _env_file=None,
        data_dir=folder,
        database_url=servers.database_url,
        redis_url=servers.redis_url,
        cache_redis_url=servers.cache_redis_url,
        jwt_secret_key=uuid.uuid4().hex,
        encryption_keys=Fernet.generate_key().decode(),
        egress_allow="127.0.0.0/8",
    )
    upgrade(settings.database_url)
    return settings


def tidy_up(database_url: str) -> None:
    """Every run begins alike: none pays for what the one before left to be written or vacuumed."""
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def plain(database_url: str) -> str:
    """The URL for psycopg: SQLAlchemy's names the driver too."""
    return database_url.replace("postgresql+psycopg://", "postgresql://")


def sample_body(number: int) -> str:
    """What Tocsin sends for `_draft`, to the same length."""
    draft, now = _draft(number, [1]), datetime.now(UTC)
    data = {
        "id": number,
        "title": draft.title,
        "message": draft.message,
        "severity": draft.severity,
        "source": draft.source,
        "labels": draft.labels,
        "dedup_key": None,
        "webhook_ids": draft.webhook_ids,
        "count": 1,
        "status": "pending",
        "created_at": now,
        "updated_at": now,
        "acknowledged_by": None,
        "acknowledged_at": None,
        "resolved_by": None,
        "resolved_at": None,
    }
    return message_body(EventType.FIRING, now, data)


def _draft(number: int, webhook_ids: Sequence[int]) -> Draft:
    return Draft(
        title=f"Disk almost full on db-{number:06}",
        severity="critical",
        message="91 % of /var/lib/postgresql is used, and it grows by 2 % an hour.",
        source="benchmark",
        labels={"host": f"db-{number:06}", "service": "billing", "region": "eu-central-1"},
        webhook_ids=webhook_ids,
    )


def _number(connection: "psycopg.Connection[tuple[Any, ...]]", query: str, *values: Any) -> int:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])
