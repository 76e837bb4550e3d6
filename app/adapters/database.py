"""PostgreSQL: the engine, its limits, and sessions."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.adapters.asking import Answer, Asking, Questions
from app.adapters.clock import Clock
from app.adapters.written import Written, tables_written
from app.domain.snapshot import Snapshot

CONNECT_TIMEOUT_SECONDS = 3
POOL_TIMEOUT_SECONDS = 3
LOCK_TIMEOUT = "5s"
# Less than that: a process that is stopped in the middle of a transaction loses its locks before
# those who wait for them give up. Between two statements nobody of ours does anything slow.
IDLE_IN_TRANSACTION_TIMEOUT = "4s"
# The server itself ends a statement after 10 s. One that says nothing for longer hangs.
ANSWER_TIMEOUT_SECONDS = 15.0
# To say whether it is alive, at checkout, is no work at all.
PING_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of this process: open, in use, and the most there may be."""

    open: int
    in_use: int
    limit: int


@dataclass(frozen=True, slots=True)
class View:
    """A transaction that only reads, all of it by one snapshot, begun at `now` by PostgreSQL."""

    session: Session
    snapshot: Snapshot
    now: datetime


_COMMIT_AND_SAY_XID = b"SELECT pg_current_xact_id_if_assigned()::text::bigint; COMMIT"
SNAPSHOT = "pg_current_snapshot()::text, now()"
_NOW = text("SELECT now()")
_NOW_ACTING = text("SELECT now(), set_config('tocsin.actor', :acting, true)")
_SNAPSHOT = text(f"SELECT {SNAPSHOT}")
# The server goes, comes, or takes no more connections; or it lost patience with a process of ours
# that got no processor in the middle of a transaction (25P03).
_AWAY_STATES = ("08", "57P01", "57P02", "57P03", "53300", "25P03")


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, rather than refused or gave up a statement."""
    if isinstance(error, PoolTimeout | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError)
    return str(state).startswith(_AWAY_STATES)


class _Cursor(psycopg.Cursor[Any]):
    """Notes what it writes to. Every statement goes through one, SQLAlchemy's and ours."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> "_Cursor":
        self._note(query)
        return super().execute(query, *arguments, **options)

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> None:
        self._note(query)
        super().executemany(query, *arguments, **options)

    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        self._note(statement)
        return super().copy(statement, *arguments, **options)

    def _note(self, query: Any) -> None:
        if isinstance(self.connection, _Connection):
            self.connection.note(query)


class _Connection(psycopg.Connection[Any]):
    """Says what its transactions wrote, and gives up a server that does not answer.

    No time-out of TCP helps there: the server's kernel, or a proxy's, acknowledges everything.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _Cursor
        self._patience = ANSWER_TIMEOUT_SECONDS
        self.watched: Collection[str] = ()
        self.on_written: Callable[[Written], None] | None = None
        self._written: set[str] = set()

    def note(self, query: Any) -> None:
        """This statement is part of the transaction."""
        if self.watched and isinstance(query, str | bytes):
            self._written |= tables_written(query)

    def commit(self) -> None:
        tables = frozenset(self._written.intersection(self.watched))
        self._written.clear()
        in_transaction = self.info.transaction_status == TransactionStatus.INTRANS
        if not tables or not in_transaction or self.on_written is None:
            super().commit()
            return
        xid: int | None = None
        wrote = True
        try:
            with self.cursor() as cursor:
                # By the simple protocol, so both in one round trip.
                row = cursor.execute(_COMMIT_AND_SAY_XID, prepare=False).fetchone()
            xid = row[0] if row else None
            wrote = xid is not None
        except psycopg.Error as error:
            # What the server itself refuses to commit is rolled back. Else nobody knows.
            wrote = error.sqlstate is None or error.sqlstate.startswith(_AWAY_STATES)
            raise
        finally:
            if wrote:
                self.on_written(Written(tables, xid))

    def rollback(self) -> None:
        self._written.clear()
        super().rollback()

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """For a question that is no work."""
        self._patience = PING_TIMEOUT_SECONDS
        try:
            yield
        finally:
            self._patience = ANSWER_TIMEOUT_SECONDS

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or self._patience)
        except psycopg.OperationalError as error:
            # Errors of the server have a code. After one of ours the answer may still come.
            if error.sqlstate is None:
                self.pgconn.finish()
            raise


class Database:
    """One engine. Make it after the fork: its connections can't be shared by processes."""

    def __init__(
        self,
        url: str,
        *,
        pool_min: int,
        pool_max: int,
        statement_timeout: str = "10s",
        watched: Collection[str] = (),
        on_written: Callable[[Written], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`on_written` hears of each commit that wrote to one of the `watched` tables.

        `clock` is told what time it is whenever PostgreSQL says so to `now` or `view`.
        """
        self._clock = clock
        self._pool_max = pool_max
        self._watched = frozenset(watched)
        self._on_written = on_written
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
        event.listen(self.engine, "do_connect", self._connect)
        self._views = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._questions = Questions(self.engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session and one transaction: committed at the end, rolled back on an exception."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def view(self) -> Iterator[View]:
        """A transaction for questions that all see one state of the database, and which."""
        with Session(self._views, expire_on_commit=False) as session, session.begin():
            snapshot, now = session.execute(_SNAPSHOT).one()
            if self._clock is not None:
                self._clock.set(now)
            yield View(session, Snapshot.parse(snapshot), now)

    def ask(self, work: Callable[[Asking], Answer]) -> Answer:
        """See `Questions.ask`."""
        return self._questions.ask(work)

    def now(self, session: Session, acting: str = "") -> datetime:
        """The transaction's time by PostgreSQL's clock, the one that all processes share.

        `acting` says to the audit log who acts (a JSON object, see migration 0015).
        """
        statement, values = (_NOW_ACTING, {"acting": acting}) if acting else (_NOW, {})
        moment: datetime = session.execute(statement, values).scalars().one()
        if self._clock is not None:
            self._clock.set(moment)
        return moment

    def pool_use(self) -> PoolUse:
        pool = self.engine.pool
        in_use = pool.checkedout()  # type: ignore[attr-defined]
        idle = pool.checkedin()  # type: ignore[attr-defined]
        return PoolUse(in_use + idle, in_use, self._pool_max)

    def close(self) -> None:
        self.engine.dispose()

    def _connect(
        self, _dialect: object, _record: object, arguments: Any, options: Any
    ) -> _Connection:
        connection = _Connection.connect(*arguments, **options)
        connection.watched, connection.on_written = self._watched, self._on_written
        return connection


BY_INDEX = (
    "SELECT set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true)"
)


def by_index(session: Session) -> None:
    """To the end of the transaction, rows are found one by one in an index, in the order in which
    they are asked for.

    For statements that take a few hundred rows by their ids: the planner would read a table of
    twenty thousand for them. Raises OperationalError for whatever the driver raises.
    """
    try:
        driver_of(session).execute(BY_INDEX)
    except psycopg.Error as error:
        raise OperationalError("a setting", None, error) from error


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
