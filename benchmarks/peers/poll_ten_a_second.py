"""A poller in pgGit's manner: every second ten pending rows, posted one after another.

`python -m benchmarks.peers.poll_ten_a_second`, with POLLER_DATABASE_URL in the environment. Its
rate is bounded by this design at ten a second, whatever the machine.
"""

import os
import time
from typing import Any

import psycopg

from benchmarks.peers.post import post

ROWS = 10
EVERY_SECONDS = 1.0

SCHEMA = """
DROP SCHEMA IF EXISTS poller CASCADE;
CREATE SCHEMA poller;
CREATE TABLE poller.alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url text NOT NULL,
    secret text NOT NULL,
    message_id text NOT NULL,
    body text NOT NULL,
    status text NOT NULL
);
CREATE INDEX ON poller.alerts (id) WHERE status = 'pending';
"""


def poll(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Send the oldest rows and note each as delivered; whatever fails is pending still."""
    rows = connection.execute(
        "SELECT id, url, secret, message_id, body FROM poller.alerts"
        " WHERE status = 'pending' ORDER BY id LIMIT %s",
        [ROWS],
    ).fetchall()
    for alert_id, *message in rows:
        post(*message)
        connection.execute(
            "UPDATE poller.alerts SET status = 'delivered' WHERE id = %s", [alert_id]
        )


def main() -> None:
    with psycopg.connect(os.environ["POLLER_DATABASE_URL"], autocommit=True) as connection:
        while True:
            poll(connection)
            time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
