"""The command line: `tocsin --help`, or `python -m app.cli --help` without it installed.

Each command is a module of its own, imported when it is called: the launcher comes up without
the database's library, and a migration without the launcher.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from app.cli.exits import Exit, Failure
from app.settings import SettingsError
from app.version import VERSION

# In the order of the help. `module:attribute`, below this package.
COMMANDS: Final = {
    "run": "run:run",
    "migrate": "migrations:migrate",
    "doctor": "doctor.command:doctor",
    "top": "top.command:top",
    "webhook": "webhooks:webhook",
    "alert": "alerts:alert",
    "redrive": "redrive:redrive",
    "baseline": "baselines:baseline",
    "cache": "cache:cache",
    "jobs": "jobs:jobs",
    "user": "users:user",
    "token": "tokens:token",
    "export": "transfer.commands:export",
    "import": "transfer.commands:import_",
    "completion": "completion:completion",
    "check-migrations": "migrations:check_migrations",
    "new-migration": "migrations:new_migration",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 it failed or was refused, 2 wrong usage or settings, 3 no answer"
    " from the server, 4 not allowed, 5 no such thing, 6 there are differences (import --dry-run).",
)
@click.version_option(VERSION, prog_name="tocsin")
def tocsin() -> None:
    """Watch webhooks and get every alert through."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what goes wrong is said on stderr. Answers the exit code, see `Exit`."""
    try:
        answer = tocsin.main(arguments, prog_name="tocsin", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return Exit.INTERRUPTED
    except Failure as failure:
        click.echo(str(failure), err=True)
        return failure.code
    except SettingsError as error:
        click.echo(str(error), err=True)
        return Exit.USAGE
    except BrokenPipeError:
        # Whoever read us has read enough (`| head`). Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return answer if isinstance(answer, int) else Exit.DONE
