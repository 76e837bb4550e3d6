"""Questions to PostgreSQL without a transaction around them: a round trip each.

A session costs four: is the connection alive, BEGIN, the question, COMMIT. That is much for what is
asked by every request.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

Answer = TypeVar("Answer")

# So young a connection that answered is taken to be alive, by who can ask again.
TRUSTED_SECONDS = 1.0


class _DeadConnection(Exception):
    """It had ended before it was asked, or said nothing, as after a restart of the server."""


@dataclass(slots=True)
class Statement:
    """A statement of the driver's, its parameters, and how long its answer took, in seconds."""

    text: str
    values: Any
    took: float = 0.0


class Asking:
    """Questions without a transaction around them: each is a statement, and a round trip.

    `asked` has them in their order.
    """

    def __init__(self, driver: "psycopg.Connection[Any]") -> None:
        self._driver = driver
        self.asked: list[Statement] = []

    def __call__(
        self, statement: str, values: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows. Parameters are the driver's: `%(name)s`."""
        began = time.perf_counter()
        cursor = self._driver.cursor(binary=True)
        rows = cursor.execute(statement, values).fetchall()
        self.asked.append(Statement(statement, values, time.perf_counter() - began))
        return rows


class Questions:
    """Asks over an engine's pool. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own = threading.local()
        self._answered_at: WeakKeyDictionary[psycopg.Connection[Any], float] = WeakKeyDictionary()
        self._ask_for_life = engine.dialect.do_ping
        engine.dialect.do_ping = self._ping  # type: ignore[assignment, method-assign]

    def ask(self, work: Callable[[Asking], Answer]) -> Answer:
        """Run `work`, which only reads; a second time where its connection turns out to be dead.

        Raises OperationalError for the driver's.
        """
        try:
            return self._ask(work, trusting=True)
        except _DeadConnection:
            return self._ask(work, trusting=False)

    def _ask(self, work: Callable[[Asking], Answer], *, trusting: bool) -> Answer:
        self._own.trusting = trusting
        try:
            pooled = self._engine.raw_connection()
        except psycopg.OperationalError as error:
            raise OperationalError("a connection", None, error) from error
        finally:
            self._own.trusting = False
        driver = cast("psycopg.Connection[Any]", pooled.driver_connection)
        try:
            driver.autocommit = True
            answer = work(Asking(driver))
            self._answered_at[driver] = time.monotonic()
            return answer
        except psycopg.OperationalError as error:
            if driver.closed and trusting:
                raise _DeadConnection from error
            raise OperationalError("a question", None, error) from error
        finally:
            if driver.closed or driver.info.transaction_status != TransactionStatus.IDLE:
                pooled.invalidate()
            else:
                driver.autocommit = False
                pooled.close()

    def _ping(self, driver: Any) -> bool:
        """Whether a connection is alive, at checkout. Who asks can ask again, so he trusts one that
        answered a moment ago."""
        if getattr(self._own, "trusting", False):
            age = time.monotonic() - self._answered_at.get(driver, float("-inf"))
            if age < TRUSTED_SECONDS and not driver.closed:
                return True
        with driver.impatient():
            return bool(self._ask_for_life(driver))
