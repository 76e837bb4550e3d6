"""`tocsin migrate`, and what those who change the models need."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.cli.connect import resolved_settings
from app.cli.exits import Exit, Failure

# SQLAlchemy and Alembic take a second to import, so each command imports what it needs.


@click.command()
def migrate() -> None:
    """Bring the database up to date and make the first admin."""
    from sqlalchemy.exc import OperationalError

    from app.deps import build
    from app.services.accounts import ensure_admin
    from models.migrate import upgrade

    settings = resolved_settings()
    try:
        upgrade(settings.database_url)
    except OperationalError as error:
        raise Failure(Exit.FAILED, f"The database can't be used: {error.orig}") from None
    if settings.admin_password is None:
        click.echo("ADMIN_PASSWORD is not set, so no first admin is made.", err=True)
        return
    deps = build(settings)
    try:
        with deps.unit_of_work() as work:
            ensure_admin(work.session, settings.admin_username, settings.admin_password)
    finally:
        deps.close()


@contextmanager
def _migrated_database() -> "Iterator[str]":
    """The URL of a throw-away PostgreSQL at the newest revision."""
    from app.adapters.embedded import temporary_servers
    from models.migrate import upgrade

    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        Path(folder).chmod(0o711)
        with temporary_servers(Path(folder)) as servers:
            url = servers.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
            upgrade(url)
            yield url


@click.command("check-migrations")
def check_migrations() -> None:
    """For developers: fail where the migrations and the models differ."""
    from alembic.util import CommandError

    from models.migrate import check

    with _migrated_database() as url:
        try:
            check(url)
        except CommandError as error:
            raise Failure(Exit.FAILED, f"The migrations are not the models: {error}") from None


@click.command("new-migration")
@click.argument("message")
def new_migration(message: str) -> None:
    """For developers: write the next migration from what the models have changed."""
    from models.migrate import revision

    with _migrated_database() as url:
        revision(url, message)
