"""The command line: `python -m app.cli --help`."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.settings import SettingsError, load_settings

WRONG_SETTINGS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Answers the exit code: 2 for wrong settings, which are all listed on stderr."""
    parser = argparse.ArgumentParser(prog="python -m app.cli", description="Tocsin")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run everything, until Ctrl-C").set_defaults(call=_run)
    commands.add_parser(
        "migrate", help="bring the database up to date and make the first admin"
    ).set_defaults(call=_migrate)
    commands.add_parser(
        "check-migrations", help="fail where the migrations and the models differ"
    ).set_defaults(call=_check_migrations)
    new_migration = commands.add_parser(
        "new-migration", help="write the next migration from what the models have changed"
    )
    new_migration.add_argument("message")
    new_migration.set_defaults(call=_new_migration)
    command = parser.parse_args(arguments)
    try:
        return int(command.call(command))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return WRONG_SETTINGS


# Each command imports what it needs: the launcher comes up without SQLAlchemy, and a migration
# without the launcher.


def _run(_command: argparse.Namespace) -> int:
    from app.launcher import run

    return run()


def _migrate(_command: argparse.Namespace) -> int:
    from sqlalchemy.exc import OperationalError

    from app.deps import build
    from app.services.accounts import ensure_admin
    from models.migrate import upgrade

    settings = load_settings()
    try:
        upgrade(settings.database_url)
    except OperationalError as error:
        print(f"The database can't be used: {error.orig}", file=sys.stderr)
        return 1
    if settings.admin_password is None:
        print("ADMIN_PASSWORD is not set, so no first admin is made.", file=sys.stderr)
        return 0
    deps = build(settings)
    try:
        with deps.unit_of_work() as work:
            ensure_admin(work.session, settings.admin_username, settings.admin_password)
    finally:
        deps.close()
    return 0


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


def _check_migrations(_command: argparse.Namespace) -> int:
    from alembic.util import CommandError

    from models.migrate import check

    with _migrated_database() as url:
        try:
            check(url)
        except CommandError as error:
            print(f"The migrations are not the models: {error}", file=sys.stderr)
            return 1
    return 0


def _new_migration(command: argparse.Namespace) -> int:
    from models.migrate import revision

    with _migrated_database() as url:
        revision(url, command.message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
