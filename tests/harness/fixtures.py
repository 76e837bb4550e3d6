"""The one running system that all tests over HTTP share, and a receiver."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import PASSWORD, System, running_system
from tests.harness.waiting import eventually

KEPT = ["users", "workers", "scheduled_job_execution"]
HOUR_SECONDS = 3600
# More than any test takes that reckons with hours.
ROOM_SECONDS = 30
# Of many partitions: new files for all of them take longer than deleting the few rows.
PARTITIONED = "^metric_(samples|rollups)"
EMPTY_PARTITIONS = (
    "; DELETE FROM pggit_analytics.metric_samples; DELETE FROM pggit_analytics.metric_rollups"
)


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    with running_system() as running:
        yield running


@pytest.fixture(scope="session")
def admin(system: System) -> Client:
    """The first admin."""
    return Client(system.url).login("admin", PASSWORD)


@pytest.fixture
def client(admin: Client, system: System) -> Client:
    """The admin, in a system without webhooks and alerts."""
    with system.sql() as sql:
        tables = sql.execute(
            "SELECT string_agg(format('%%I.%%I', schemaname, tablename), ', ') FROM pg_tables"
            " WHERE schemaname LIKE 'pggit%%' AND tablename <> ALL (%s) AND tablename !~ %s",
            [KEPT, PARTITIONED],
        ).fetchone()
        assert tables is not None
        # Identities go on, so that what a worker still writes about the old can't hit the new.
        statement = f"TRUNCATE {tables[0]} CASCADE{EMPTY_PARTITIONS}"
        eventually(lambda: _done(sql, statement), what="an empty database")
    return admin


def _done(sql: "psycopg.Connection[tuple[object, ...]]", statement: str) -> bool:
    """Not when PostgreSQL gave way to a worker that holds some of the tables and wants others."""
    try:
        sql.execute(statement)
    except psycopg.errors.DeadlockDetected:
        return False
    return True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    listening = Receiver()
    yield listening
    listening.close()


@pytest.fixture
def one_hour() -> None:
    """The test is done before the next full hour, by any clock: what it puts an hour ago stays
    there. Once in a hundred times it waits a little for that."""
    eventually(
        lambda: time.time() % HOUR_SECONDS < HOUR_SECONDS - ROOM_SECONDS,
        within=2 * ROOM_SECONDS,
        what="the next full hour",
    )
