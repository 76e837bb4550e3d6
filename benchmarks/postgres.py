"""Short words to PostgreSQL."""

from typing import Any, LiteralString

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]


def plain(database_url: str) -> str:
    """The URL for psycopg: SQLAlchemy's names the driver too."""
    return database_url.replace("postgresql+psycopg://", "postgresql://")


def connect(database_url: str) -> Connection:
    return psycopg.connect(plain(database_url), autocommit=True)


def number(connection: Connection, query: LiteralString, *values: Any) -> int:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


def tidy_up(database_url: str) -> None:
    """Every run begins alike: none pays for what the one before left to be written or vacuumed."""
    with connect(database_url) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
