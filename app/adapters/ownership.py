"""A lock of PostgreSQL's that says that a process lives: it goes with its connection.

Who is killed loses his connection at once, long before his leases run out. Who stands still keeps
it: of him the leases tell.
"""

import secrets

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.database import Database

# The first half of the lock's key; the other is the owner's number.
OWNERS = 0x70C5
_TRY = text("SELECT pg_try_advisory_lock(:owners, :number)")
_LIVES = text("SELECT")


class Ownership:
    """For one thread. `number`, from 1 to 2³¹ - 1, is this owner's, for as long as he lives."""

    def __init__(self, database: Database) -> None:
        self.number = secrets.randbelow(2**31 - 1) + 1
        self._engine = database.engine
        self._connection: Connection | None = None
        self._is_held = False

    def keep(self) -> None:
        """Take the lock, or see that it is still ours: once a second or so.

        Raises SQLAlchemyError while the database is away; call again.
        """
        try:
            if self._connection is not None and self._is_held:
                self._connection.execute(_LIVES)
            else:
                self._take()
        except SQLAlchemyError:
            # It went with the connection. Soon enough taken anew, nobody will have missed it.
            self._drop()
            self._take()

    def _take(self) -> None:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            )
        # False where the server has not noticed yet that our connection before has ended.
        self._is_held = bool(
            self._connection.scalar(_TRY, {"owners": OWNERS, "number": self.number})
        )

    def _drop(self) -> None:
        connection, self._connection, self._is_held = self._connection, None, False
        if connection is not None:
            connection.invalidate()
            connection.close()

    def give_up(self) -> None:
        """The lock ends with the connection, which nobody else may get from the pool."""
        self._drop()
