"""Migrations: up from nothing, as the models say, down again, and by two at once."""

import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, text

from app.adapters.embedded import Servers
from models import Base, migrate
from tests.harness.waiting import eventually
from tests.services.world import at_once

LONG_WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event = 'advisory' AND query_start < clock_timestamp() - interval '0.5 seconds'"
)


@pytest.fixture
def url(servers: Servers) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"migrations_{uuid.uuid4().hex}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        parts = urlsplit(servers.database_url)
        yield urlunsplit(parts._replace(scheme="postgresql+psycopg", path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True)


def everything(url: str) -> list[tuple[object, ...]]:
    """Every table, column, index and constraint that is ours, as PostgreSQL sees it."""
    with connect(url) as connection:
        return connection.execute(
            """
            SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity::text,
                c.reloptions::text
            FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND a.attnum > 0
            JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname LIKE 'pggit%'
            LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            UNION ALL
            SELECT schemaname, tablename, indexname, indexdef, NULL, NULL, NULL, NULL
            FROM pg_indexes WHERE schemaname LIKE 'pggit%'
            UNION ALL
            SELECT n.nspname, t.conrelid::regclass::text, t.conname, pg_get_constraintdef(t.oid),
                NULL, NULL, NULL, NULL
            FROM pg_constraint t JOIN pg_namespace n ON n.oid = t.connamespace
            WHERE n.nspname LIKE 'pggit%'
            ORDER BY 1, 2, 3, 4
            """
        ).fetchall()


def downgrade(url: str) -> None:
    with migrate._locked(url) as connection:
        command.downgrade(migrate._config(connection), "base")
        connection.commit()


def revision_of(url: str) -> str | None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return migrate.current(connection)
    finally:
        engine.dispose()


def test_up_from_nothing_it_is_as_the_models_say(url: str) -> None:
    assert revision_of(url) is None
    migrate.upgrade(url)
    migrate.check(url)
    assert revision_of(url) == migrate.head()
    with connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname LIKE 'pggit%'"
        ).fetchall()
    assert {name for (name,) in tables} == set(Base.metadata.tables)


def test_a_difference_to_the_models_is_seen(url: str) -> None:
    migrate.upgrade(url)
    with connect(url) as connection:
        connection.execute("ALTER TABLE pggit.alerts DROP COLUMN message")
    with pytest.raises(CommandError):
        migrate.check(url)


def test_partitions_are_no_difference_and_go_with_their_parents(url: str) -> None:
    """They come and go by the day; the migrations know nothing of them."""
    migrate.upgrade(url)
    with connect(url) as connection:
        connection.execute(
            "CREATE TABLE pggit_analytics.metric_samples_20260101 PARTITION OF"
            " pggit_analytics.metric_samples FOR VALUES FROM ('2026-01-01') TO ('2026-01-02')"
        )
        connection.execute(
            "CREATE TABLE pggit_analytics.metric_rollups_60_20260101"
            " PARTITION OF pggit_analytics.metric_rollups"
            " FOR VALUES FROM (60, '2026-01-01') TO (60, '2026-01-02')"
        )
    migrate.check(url)
    downgrade(url)
    assert everything(url) == []


def test_again_it_changes_nothing(url: str) -> None:
    migrate.upgrade(url)
    before = everything(url)
    with connect(url) as connection:
        connection.execute("INSERT INTO pggit.token_revocations VALUES ('kept', now())")
    migrate.upgrade(url)
    assert everything(url) == before
    with connect(url) as connection:
        assert connection.execute("SELECT id FROM pggit.token_revocations").fetchall() == [
            ("kept",)
        ]


def test_down_to_nothing_and_up_again(url: str) -> None:
    migrate.upgrade(url)
    before = everything(url)
    assert len(before) > 100
    downgrade(url)
    assert everything(url) == []
    with connect(url) as connection:
        left = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pggit%'"
        ).fetchall()
    assert left == []
    assert revision_of(url) is None
    migrate.upgrade(url)
    assert everything(url) == before


def test_of_several_at_once_one_migrates_and_all_are_content(url: str) -> None:
    at_once(*[lambda: migrate.upgrade(url)] * 3)
    migrate.check(url)
    assert revision_of(url) == migrate.head()


def test_who_comes_second_waits_for_the_first_as_long_as_it_takes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on waiting for tables keeps others from queueing up behind a migration. It is no
    limit on waiting for another migration, which may take long."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "100ms")  # the same in less time
    with connect(url) as first:
        first.execute("SELECT pg_advisory_lock(%s)", [migrate.MIGRATION_LOCK])

        def let_go() -> None:
            eventually(lambda: first.execute(LONG_WAITS).fetchone() == (1,), what="a long wait")
            first.execute("SELECT pg_advisory_unlock(%s)", [migrate.MIGRATION_LOCK])

        at_once(lambda: migrate.upgrade(url), let_go)
    assert revision_of(url) == migrate.head()


def test_a_migration_that_fails_leaves_nothing_half_done(url: str) -> None:
    with connect(url) as connection:
        # In the way of one of the last tables.
        connection.execute("CREATE SCHEMA pggit")
        connection.execute("CREATE TABLE pggit.delivery_attempts (n int)")
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(url)
    with connect(url) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname LIKE 'pggit%'"
        ).fetchall()
        assert tables == [("delivery_attempts",)]
        connection.execute("DROP TABLE pggit.delivery_attempts")
    migrate.upgrade(url)
    migrate.check(url)


def test_there_is_one_line_of_revisions() -> None:
    """Two heads would be two histories: which one a database has, nobody could say."""
    assert len(ScriptDirectory.from_config(migrate._config()).get_heads()) == 1


def test_a_newer_database_is_not_this_releases(url: str) -> None:
    migrate.upgrade(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE public.alembic_version SET version_num = '9999'"))
        assert migrate.current(connection) != migrate.head()
    engine.dispose()
    with pytest.raises(CommandError):
        migrate.upgrade(url)
