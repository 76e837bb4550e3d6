"""The one running system that all tests over HTTP share, and a receiver."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.harness.client import Client
from tests.harness.emptying import empty
from tests.harness.receiver import Receiver
from tests.harness.system import PASSWORD, System, running_system
from tests.harness.waiting import eventually

KEPT = ["users", "workers", "scheduled_job_execution"]
HOUR_SECONDS = 3600
# More than any test takes that reckons with hours.
ROOM_SECONDS = 30


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    with running_system() as running:
        yield running


@pytest.fixture(scope="session")
def admin(system: System) -> Client:
    """The first admin."""
    return Client(system.url).login("admin", PASSWORD)


class Sweeper:
    """Empties the system's database, over one connection: a new one would have to learn of every
    table and index again, which takes longer than the work.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._connection: psycopg.Connection[Any] | None = None

    def sweep(self) -> None:
        eventually(self._try, what="an empty database")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _try(self) -> bool:
        """Not when PostgreSQL gave way to a worker that holds some of the tables and wants others,
        and not over a connection that ended with a PostgreSQL that was killed."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._system.connect()
            empty(self._connection, KEPT)
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def sweeper(system: System) -> Iterator[Sweeper]:
    made = Sweeper(system)
    yield made
    made.close()


@pytest.fixture
def client(admin: Client, sweeper: Sweeper) -> Client:
    """The admin, in a system without webhooks and alerts."""
    sweeper.sweep()
    return admin


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
