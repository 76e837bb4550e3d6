"""Migrations, by Alembic, without its ini file.

Alembic is imported where something is migrated: every process asks which revision it is made for,
and it would cost each of them a good part of a second to come up.
"""

import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
# A migration that can't have a table soon gives up, rather than let everybody queue up behind it.
LOCK_TIMEOUT = "10s"
# Several hosts may start at once; one migrates, the others wait for it and find nothing to do.
MIGRATION_LOCK = 0x70C51


# `revision: str = "0002"` and `down_revision: str | None = "0001"`, as every migration has them.
_REVISIONS = re.compile(r'^(down_)?revision\b[^=\n]*= "(\w+)"', re.MULTILINE)


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

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
    from alembic import command

    with _locked(database_url) as connection:
        command.upgrade(_config(connection), "head")
        connection.commit()


def check(database_url: str) -> None:
    """Raise alembic.util.CommandError where the models and the migrations differ."""
    from alembic import command

    with _locked(database_url) as connection:
        command.check(_config(connection))


def revision(database_url: str, message: str) -> None:
    """Write the next migration from the difference between the models and the database."""
    from alembic import command

    with _locked(database_url) as connection:
        command.revision(_config(connection), message, autogenerate=True)


@cache
def head() -> str:
    """The newest revision in this code: the one that no other comes after."""
    found: set[str] = set()
    followed: set[str] = set()
    for path in (MIGRATIONS / "versions").glob("*.py"):
        for is_down, revision in _REVISIONS.findall(path.read_text(encoding="utf-8")):
            (followed if is_down else found).add(revision)
    newest = found - followed
    if len(newest) != 1:
        raise RuntimeError(f"there is no one newest migration: {sorted(newest)}")
    return newest.pop()


def current(connection: Connection) -> str | None:
    """The revision that the database is at."""
    if connection.scalar(text("SELECT to_regclass('public.alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM public.alembic_version"))
    return found
