"""PostgreSQL: the engine, its limits, and sessions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

CONNECT_TIMEOUT_SECONDS = 3
POOL_TIMEOUT_SECONDS = 3
LOCK_TIMEOUT = "5s"
# Less than that: a process that is stopped in the middle of a transaction loses its locks before
# those who wait for them give up. Between two statements nobody of ours does anything slow.
IDLE_IN_TRANSACTION_TIMEOUT = "4s"
# The server itself ends a statement after 10 s. One that says nothing for longer hangs.
ANSWER_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of this process: open, in use, and the most there may be."""

    open: int
    in_use: int
    limit: int


class _Connection(psycopg.Connection[Any]):
    """Gives up a server that takes what it is sent and does not answer.

    No time-out of TCP helps there: the server's kernel, or a proxy's, acknowledges everything.
    """

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or ANSWER_TIMEOUT_SECONDS)
        except psycopg.OperationalError as error:
            # Errors of the server have a code. After one of ours the answer may still come.
            if error.sqlstate is None:
                self.pgconn.finish()
            raise


class Database:
    """One engine. Make it after the fork: its connections can't be shared by processes."""

    def __init__(
        self, url: str, *, pool_min: int, pool_max: int, statement_timeout: str = "10s"
    ) -> None:
        self._pool_max = pool_max
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_min,
            max_overflow=pool_max - pool_min,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            json_deserializer=orjson.loads,
            # A restarted server is noticed at checkout, so that no request meets a dead connection.
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "tocsin",
                # A server that vanishes without a word is given up in 10 s, not in 15 minutes.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "options": f"-c statement_timeout={statement_timeout} "
                f"-c lock_timeout={LOCK_TIMEOUT} "
                f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT} "
                "-c timezone=UTC",
            },
        )
        event.listen(self.engine, "do_connect", _connect)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session and one transaction: committed at the end, rolled back on an exception."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def now(self, session: Session) -> datetime:
        """The transaction's time by PostgreSQL's clock, the one that all processes share."""
        moment: datetime = session.execute(text("SELECT now()")).scalar_one()
        return moment

    def pool_use(self) -> PoolUse:
        pool = self.engine.pool
        in_use = pool.checkedout()  # type: ignore[attr-defined]
        idle = pool.checkedin()  # type: ignore[attr-defined]
        return PoolUse(in_use + idle, in_use, self._pool_max)

    def close(self) -> None:
        self.engine.dispose()


BY_INDEX = (
    "SELECT set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true)"
)


def by_index(session: Session) -> None:
    """To the end of the transaction, rows are found one by one in an index, in the order in which
    they are asked for.

    For statements that take a few hundred rows by their ids: the planner would read a table of
    twenty thousand for them.
    """
    session.execute(text(BY_INDEX))


def driver_of(session: Session) -> "psycopg.Connection[Any]":
    """The driver's connection of a session, in the session's transaction."""
    driver = session.connection().connection.driver_connection
    return cast("psycopg.Connection[Any]", driver)


@contextmanager
def pipeline(session: Session) -> Iterator[psycopg.Connection[Any]]:
    """The driver's connection of a session, for statements that go out in one round trip.

    None waits for the answer of the one before; fetch the answers after the block. They belong
    to the session's transaction. Raises OperationalError for whatever the driver raises.
    """
    driver = driver_of(session)
    try:
        with driver.pipeline():
            yield driver
        # PostgreSQL does not watch a transaction that idles after a pipeline (its last message asks
        # for nothing to be answered), so one whose process stands still would keep its locks.
        driver.execute(b"SELECT")
    except psycopg.Error as error:
        raise OperationalError("a pipeline", None, error) from error


def _connect(_dialect: object, _record: object, arguments: Any, options: Any) -> _Connection:
    return _Connection.connect(*arguments, **options)
