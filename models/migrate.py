"""Migrations, by Alembic, without its ini file."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS = Path(__file__).parent / "migrations"
# A migration that can't have a table soon gives up, rather than let everybody queue up behind it.
LOCK_TIMEOUT = "10s"
# Several hosts may start at once; one migrates, the others wait for it and find nothing to do.
MIGRATION_LOCK = 0x70C51


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(database_url: str) -> "Iterator[Connection]":
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SET lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_lock(:k)"), {"k": MIGRATION_LOCK})
            connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.commit()
            yield connection
    finally:
        engine.dispose()


def upgrade(database_url: str) -> None:
    """Bring the database to the newest revision. Does nothing where it is there already."""
    with _locked(database_url) as connection:
        command.upgrade(_config(connection), "head")
        connection.commit()


def check(database_url: str) -> None:
    """Raise alembic.util.CommandError where the models and the migrations differ."""
    with _locked(database_url) as connection:
        command.check(_config(connection))


def revision(database_url: str, message: str) -> None:
    """Write the next migration from the difference between the models and the database."""
    with _locked(database_url) as connection:
        command.revision(_config(connection), message, autogenerate=True)


def head() -> str:
    """The newest revision in this code."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError("there is no migration")
    return newest


def current(connection: Connection) -> str | None:
    """The revision that the database is at."""
    return MigrationContext.configure(
        connection, opts={"version_table_schema": "public"}
    ).get_current_revision()
