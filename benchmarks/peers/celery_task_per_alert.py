"""The control: what one would write at home. A Celery task for each alert.

`deliver_alert` finds its row in PostgreSQL, posts it, and notes that it is delivered.
`deliver_message` is the same without a row: all it needs is in the message. Retries are
Celery's. One connection and one HTTP session in each worker process, and no result backend, so
it does nothing that it could spare; the signature is the one that Tocsin makes.
"""

import functools
import os
from typing import Any

import psycopg
import requests
from celery import Celery

from benchmarks.peers.post import post

celery = Celery("control", broker=os.environ.get("CONTROL_BROKER_URL"))
celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)

RETRY: dict[str, Any] = {
    "acks_late": True,
    "autoretry_for": (requests.RequestException, psycopg.OperationalError),
    "retry_backoff": True,
    "max_retries": 7,
}

SCHEMA = """
DROP SCHEMA IF EXISTS control CASCADE;
CREATE SCHEMA control;
CREATE TABLE control.webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, url text NOT NULL, secret text NOT NULL
);
CREATE TABLE control.alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint NOT NULL REFERENCES control.webhooks,
    message_id text NOT NULL,
    body text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz
);
"""


@functools.cache
def database() -> psycopg.Connection[tuple[Any, ...]]:
    """This worker process's connection: made at its first task, so after the fork."""
    return psycopg.connect(os.environ["CONTROL_DATABASE_URL"], autocommit=True)


@celery.task(**RETRY)  # type: ignore[untyped-decorator]
def deliver_alert(alert_id: int) -> None:
    row = (
        database()
        .execute(
            "SELECT w.url, w.secret, a.message_id, a.body"
            " FROM control.alerts a JOIN control.webhooks w ON w.id = a.webhook_id"
            " WHERE a.id = %s",
            [alert_id],
        )
        .fetchone()
    )
    assert row is not None
    post(*row)
    database().execute(
        "UPDATE control.alerts SET status = 'delivered', delivered_at = now() WHERE id = %s",
        [alert_id],
    )


@celery.task(**RETRY)  # type: ignore[untyped-decorator]
def deliver_message(url: str, secret: str, message_id: str, body: str) -> None:
    post(url, secret, message_id, body)
