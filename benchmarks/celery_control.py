"""The control on the benchmark's servers: its tables, its queue, its Celery worker."""

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import redis
from kombu import Connection, Producer

from app.adapters.embedded import Servers
from app.services.webhooks import new_secret
from benchmarks import postgres
from benchmarks.alerts import sample_body
from benchmarks.peers import celery_task_per_alert as control
from benchmarks.postgres import connect, number
from benchmarks.processes import STOP_WITHIN_SECONDS, running, wait_for
from benchmarks.receiver import Receiver

START_WITHIN_SECONDS = 60.0
WARM_UP = 200
QUEUE, HELD = "alerts", "alerts.held"


@dataclass(frozen=True)
class Hook:
    id: int
    url: str
    secret: str


class CeleryControl:
    """Tables and a queue that are new and empty; webhooks and alerts, as a request makes them."""

    def __init__(
        self,
        connection: postgres.Connection,
        broker: "redis.Redis",
        producer: Producer,
        *,
        with_row: bool,
    ) -> None:
        self._connection = connection
        self._broker = broker
        self._producer = producer
        self._with_row = with_row
        broker.flushdb()
        connection.execute(control.SCHEMA)

    def make_webhooks(self, urls: Sequence[str]) -> list[Hook]:
        made = []
        for url in urls:
            secret = new_secret()
            webhook_id = number(
                self._connection,
                "INSERT INTO control.webhooks (url, secret) VALUES (%s, %s) RETURNING id",
                url,
                secret,
            )
            made.append(Hook(webhook_id, url, secret))
        return made

    def publish(self, hook: Hook, alert: int) -> str:
        """The row first, then its message, as it would be in a request; the message's id."""
        message_id, body = f"msg_{uuid.uuid4().hex}", sample_body(alert)
        if self._with_row:
            alert_id = number(
                self._connection,
                "INSERT INTO control.alerts (webhook_id, message_id, body)"
                " VALUES (%s, %s, %s) RETURNING id",
                hook.id,
                message_id,
                body,
            )
            control.deliver_alert.apply_async((alert_id,), queue=QUEUE, producer=self._producer)
        else:
            arguments = (hook.url, hook.secret, message_id, body)
            control.deliver_message.apply_async(arguments, queue=QUEUE, producer=self._producer)
        return message_id

    def put_aside(self) -> None:
        """Hide what is published. The worker then waits on the queue all the time, and sees at
        once what is given back, without the second that a new queue would cost."""
        self._broker.rename(QUEUE, HELD)

    def give_back(self) -> float:
        """Since when it is there, by the monotonic clock."""
        released_at = time.monotonic()
        self._broker.rename(HELD, QUEUE)
        return released_at

    def is_settled(self) -> bool:
        if self._with_row:
            asked = "SELECT count(*) FROM control.alerts WHERE status <> 'delivered'"
            return number(self._connection, asked) == 0
        return not self._broker.exists(QUEUE, "unacked")

    def messages(self, hooks: Sequence[Hook]) -> list[tuple[str, int, datetime]]:
        """All alerts with a row for these webhooks: message id, webhook id, since when."""
        rows = self._connection.execute(
            "SELECT message_id, webhook_id, created_at FROM control.alerts"
            " WHERE webhook_id = ANY(%s)",
            [[hook.id for hook in hooks]],
        ).fetchall()
        return [(row[0], row[1], row[2]) for row in rows]


class CeleryServers:
    """Where the control lives. A database of its own in the same Redis as Tocsin's broker:
    neither hears the other's broadcasts."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._database_url = servers.database_url
        self._broker_url = urlsplit(servers.redis_url)._replace(path="/1").geturl()
        self._log = folder / "control.log"

    @contextmanager
    def opened(self, *, with_row: bool) -> Iterator[CeleryControl]:
        with (
            redis.Redis.from_url(self._broker_url) as broker,
            connect(self._database_url) as connection,
            # Its own: Celery's would stay with the first broker that was ever published to.
            Connection(self._broker_url) as to_broker,
        ):
            yield CeleryControl(connection, broker, Producer(to_broker), with_row=with_row)

    @contextmanager
    def worker(
        self,
        tables: CeleryControl,
        receiver: Receiver,
        warm_up: str,
        stop_within: float = STOP_WITHIN_SECONDS,
    ) -> Iterator[list[int]]:
        """A worker with four processes that is up, and has delivered a first batch to that run."""
        (hook,) = tables.make_webhooks([receiver.url(warm_up, 0)])
        for alert in range(WARM_UP):
            tables.publish(hook, alert)
        command = [
            *(sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_task_per_alert"),
            *("worker", "-c", "4", "--prefetch-multiplier", "1"),
            *("-Q", QUEUE, "-n", "control@%h"),
        ]
        environment = {
            "CONTROL_DATABASE_URL": self._database_url,
            "CONTROL_BROKER_URL": self._broker_url,
        }
        with running([command], environment, self._log, stop_within) as pids:
            wait_for(
                lambda: receiver.count(warm_up) == WARM_UP,
                START_WITHIN_SECONDS,
                "the control's warm-up",
            )
            yield pids
