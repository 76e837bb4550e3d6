"""Hints to the workers, by task name, from a thread of their own.

A hint only wakes somebody who would look soon anyway, so it may be late or lost, but it must
never hold a request: raising one takes microseconds, whatever state Redis is in.
"""

from dataclasses import dataclass, field
from typing import Any

import structlog
from celery import Celery

from app.adapters.background import Background

log = structlog.get_logger(__name__)

# Bursts become one message: a worker that is awake has no use for a second hint.
DEBOUNCE_SECONDS = 0.02
MAX_WAITING = 1000
# With no worker there, hints must not pile up in the broker.
MAX_IN_BROKER = 100
TIMEOUT_SECONDS = 2.0

TRANSPORT_OPTIONS: dict[str, Any] = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    "health_check_interval": 5,
    "visibility_timeout": 60,
}


@dataclass(frozen=True)
class Message:
    """A task by its name, the lane that runs it, and after how long it means nothing."""

    task: str
    lane: str
    expires_seconds: float
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.lane}/{self.task}/{sorted(self.kwargs.items())}"


def _redis_of(connection: Any) -> Any:
    """kombu's own client of the Redis behind a connection."""
    return connection.default_channel.client


class HintQueue:
    """Hints that still wait when it is closed are let be."""

    def __init__(self, broker_url: str) -> None:
        # A producer of its own, so that whoever hints imports no task.
        self._celery = Celery(broker=broker_url, set_as_current=False)
        self._celery.conf.update(
            task_ignore_result=True,
            task_publish_retry=False,
            broker_connection_timeout=TIMEOUT_SECONDS,
            broker_transport_options=TRANSPORT_OPTIONS
            | {"socket_timeout": TIMEOUT_SECONDS, "max_retries": 0},
        )
        self._waiting: dict[str, Message] = {}
        self._sender = Background(
            "hints",
            self._send_all,
            stop_within_seconds=TIMEOUT_SECONDS,
            debounce_seconds=DEBOUNCE_SECONDS,
        )

    def hint(self, message: Message) -> None:
        """Send soon, once, if the broker is there. Never waits, never fails."""
        with self._sender.leaving():
            if len(self._waiting) < MAX_WAITING:
                self._waiting[message.key] = message

    def _send_all(self) -> None:
        with self._sender.taking():
            messages = list(self._waiting.values())
            self._waiting.clear()
        for message in messages:
            if self._sender.is_stopping:
                return
            self._send(message)

    def _send(self, message: Message) -> None:
        try:
            with self._celery.connection_for_write() as connection:
                depth = _redis_of(connection).llen(message.lane)
                if depth >= MAX_IN_BROKER:
                    return
                self._celery.send_task(
                    message.task,
                    kwargs=message.kwargs,
                    queue=message.lane,
                    expires=message.expires_seconds,
                    connection=connection,
                )
        except Exception as error:  # whatever it is, the workers' own polling makes up for it
            log.warning("hint not sent", action="hint_lost", task=message.task, error=str(error))

    def close(self) -> None:
        self._sender.close()
