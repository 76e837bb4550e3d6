"""The poller in pgGit's manner: ten rows a second, by its design."""

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.adapters.embedded import Servers
from app.services.webhooks import new_secret
from benchmarks.alerts import sample_body
from benchmarks.contestants import Ready
from benchmarks.peers.poll_ten_a_second import ROWS, SCHEMA
from benchmarks.postgres import Connection, connect, number, tidy_up
from benchmarks.processes import running, wait_for
from benchmarks.receiver import Receiver

START_WITHIN_SECONDS = 60.0


class Poller:
    name = "poller"
    title = "poller in pgGit's manner (10/s by its design)"

    def __init__(
        self, servers: Servers, receiver: Receiver, count: int, webhooks: int, folder: Path
    ) -> None:
        self.count = count
        self._database_url = servers.database_url
        self._receiver = receiver
        self._webhooks = webhooks
        self._log = folder / "poller.log"

    @contextmanager
    def ready(self, run: str) -> Iterator[Ready]:
        command = [sys.executable, "-m", "benchmarks.peers.poll_ten_a_second"]
        environment = {"POLLER_DATABASE_URL": self._database_url}
        warm_up = f"{run}-warm-up"
        with connect(self._database_url) as connection:
            connection.execute(SCHEMA)
            accepted = self._insert(connection, run, self.count, "held")
            self._insert(connection, warm_up, ROWS, "pending")
            tidy_up(self._database_url)
            with running([command], environment, self._log) as pids:
                wait_for(
                    lambda: self._receiver.count(warm_up) == ROWS,
                    START_WITHIN_SECONDS,
                    "the poller's warm-up",
                )
                yield Ready(
                    pids,
                    release=lambda: _release(connection),
                    accepted=lambda: accepted,
                    is_settled=lambda: _is_settled(connection),
                )

    def _insert(
        self, connection: Connection, run: str, count: int, status: str
    ) -> dict[str, str | None]:
        """The message ids, each with its secret."""
        made: dict[str, str | None] = {}
        secret = new_secret()
        for alert in range(count):
            message_id = f"msg_{uuid.uuid4().hex}"
            connection.execute(
                "INSERT INTO poller.alerts (url, secret, message_id, body, status)"
                " VALUES (%s, %s, %s, %s, %s)",
                [
                    self._receiver.url(run, alert % self._webhooks),
                    secret,
                    message_id,
                    sample_body(alert),
                    status,
                ],
            )
            made[message_id] = secret
        return made


def _release(connection: Connection) -> float:
    released_at = time.monotonic()
    connection.execute("UPDATE poller.alerts SET status = 'pending' WHERE status = 'held'")
    return released_at


def _is_settled(connection: Connection) -> bool:
    asked = "SELECT count(*) FROM poller.alerts WHERE status <> 'delivered'"
    return number(connection, asked) == 0
