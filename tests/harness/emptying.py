"""An empty database for the next test, without new files for a hundred tables and their indexes."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

_OURS = (
    "SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname LIKE 'pggit%%' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    " AND c.relname <> ALL (%s)"
)
# Every table is emptied, so no key has to be followed: neither order nor cascades matter.
_WITHOUT_KEYS = "SET LOCAL session_replication_role = replica"


def empty(connection: psycopg.Connection[Any], kept: Sequence[str] = ()) -> None:
    """Deletes every row of our tables, but for `kept`, in one transaction.

    TRUNCATE would make new files, five for each table: for so few rows that takes five times as
    long. Identities go on, so that what a worker still writes about the old can't hit the new.
    Raises DeadlockDetected when PostgreSQL gave way to a worker that wants the same tables.
    """
    with connection.transaction():
        found = connection.execute(_OURS, [list(kept)]).fetchall()
        tables = [sql.Identifier(schema, name) for schema, name, _kind in found]
        # Who has looked at the old rows has ended when they go, as with TRUNCATE. Partitions are
        # too many to be locked one by one.
        plain = [table for table, row in zip(tables, found, strict=True) if row[2] == "r"]
        connection.execute(_WITHOUT_KEYS)
        connection.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(plain))
        )
        filled = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(place, table)
            for place, table in enumerate(tables)
        )
        for (place,) in connection.execute(filled).fetchall():
            connection.execute(sql.SQL("DELETE FROM {}").format(tables[place]))
