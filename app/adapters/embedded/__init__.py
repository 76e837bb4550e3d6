"""The embedded PostgreSQL and Redis: their binaries come with Python packages, and nothing else
of those packages is used.

`postgres.prepare` and `redis.prepare` say how a server is run; who runs it is another matter:
the launcher's supervisor, or `temporary_servers` here.
"""

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
import redis as redis_client

from app.adapters.embedded import postgres, redis
from app.adapters.embedded.postgres import ensure_database
from app.adapters.embedded.process import (
    EmbeddedError,
    Server,
    dependent,
    free_port,
    server_account,
    write_private,
)

__all__ = [
    "EmbeddedError",
    "Name",
    "Server",
    "Servers",
    "dependent",
    "ensure_database",
    "free_port",
    "prepare",
    "temporary_servers",
    "write_private",
]

Name = Literal["postgres", "broker", "cache"]
START_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 10.0


@dataclass(frozen=True)
class Servers:
    """Where the running servers are."""

    database_url: str
    redis_url: str
    cache_redis_url: str


def prepare(names: Iterable[Name], data_dir: Path) -> dict[Name, Server]:
    """Makes these servers ready to run on DATA_DIR (an absolute path). Raises EmbeddedError.

    As root, DATA_DIR and its `run` are opened so far that the servers' account can pass through
    (0711 from 0700). No folder above is touched.
    """
    servers: dict[Name, Server] = {}
    for name in names:
        account = server_account()
        for folder in (data_dir, data_dir / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if account is not None:
                folder.chmod(folder.stat().st_mode & 0o777 | 0o711)
        if name == "postgres":
            servers[name] = postgres.prepare(data_dir, account)
        else:
            servers[name] = redis.prepare(name, data_dir, account)
    return servers


@contextmanager
def temporary_servers(data_dir: Path) -> Iterator[Servers]:
    """Runs PostgreSQL and both Redis servers as children of this process, without a supervisor.

    Stay on the thread that enters: the servers end with it. Their output is in
    `data_dir/logs`. Raises EmbeddedError.
    """
    data_dir = data_dir.resolve()
    servers = prepare(("postgres", "broker", "cache"), data_dir)
    with ExitStack() as running:
        for server in servers.values():
            running.enter_context(_child(server, data_dir))
        database = servers.pop("postgres")
        _wait_for(lambda: ensure_database(database.url), database)
        for server in servers.values():
            with redis_client.Redis.from_url(server.url) as client:
                _wait_for(client.ping, server)
        yield Servers(database.url, servers["broker"].url, servers["cache"].url)


@contextmanager
def _child(server: Server, data_dir: Path) -> Iterator[None]:
    logs = data_dir / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    with (logs / f"{server.name}.log").open("ab") as log:
        process = subprocess.Popen(
            server.argv,
            cwd=data_dir / "run",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(answer: Callable[[], object], server: Server) -> None:
    deadline = time.monotonic() + START_WITHIN_SECONDS
    while True:
        try:
            answer()
        except (psycopg.OperationalError, redis_client.RedisError) as error:
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{server.name} does not answer: {error}") from error
            time.sleep(0.05)  # a server that starts tells nobody: one has to ask
        else:
            return
