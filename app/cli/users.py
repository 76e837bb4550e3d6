"""`tocsin user`."""

import getpass
import secrets
import sys
from itertools import islice
from typing import Any

import click

from app.cli.client import Api
from app.cli.connect import connect, resolved_settings
from app.cli.exits import Exit, Failure
from app.cli.options import asks_server, json_option, limit_option, server_options
from app.cli.output import Output, moment

ROLE = click.Choice(["viewer", "operator", "admin"])


@click.group()
def user() -> None:
    """Who may sign in: add, passwd, list."""


def _password_options(command: Any) -> Any:
    command = click.option("--generate", is_flag=True, help="Make one, and show it once.")(command)
    return click.option(
        "--password-stdin", is_flag=True, help="Read it from the first line of stdin."
    )(command)


@user.command()
@click.argument("username")
@click.option("--role", type=ROLE, default="viewer", show_default=True)
@_password_options
@asks_server
def add(
    api: Api, out: Output, username: str, role: str, password_stdin: bool, generate: bool
) -> None:
    """Make a user. The password is asked for, unless an option says otherwise."""
    password = _new_password(from_stdin=password_stdin, generate=generate)
    made = api.post("/users", {"username": username, "password": password, "role": role})
    out.data(made | ({"password": password} if generate else {}))
    out.line(f"{made['username']} may sign in as {made['role']}.")
    if generate:
        out.line(f"Password (shown this once): {password}")


@user.command()
@click.argument("username")
@click.option(
    "--direct",
    is_flag=True,
    help="Straight into the database, when the API is down. Only on its machine.",
)
@_password_options
@server_options
@json_option
def passwd(
    username: str,
    direct: bool,
    password_stdin: bool,
    generate: bool,
    url: str | None,
    token: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Give a user a new password, also when nobody can sign in any more.

    On Tocsin's machine no password is needed for it. Logins that are open go on.
    """
    if direct and url is not None:
        raise click.UsageError("--direct is for the database of this machine, not for --url.")
    out = Output(as_json=as_json)
    password = _new_password(from_stdin=password_stdin, generate=generate)
    if direct:
        _change_directly(username, password)
    else:
        _change(connect(url, token, timeout_seconds=timeout), username, password)
    out.data({"username": username.lower()} | ({"password": password} if generate else {}))
    out.line(f"{username.lower()} has a new password.")
    if generate:
        out.line(f"Password (shown this once): {password}")


def _change(api: Api, username: str, password: str) -> None:
    for one in api.items("/users"):
        if one["username"] == username.lower():
            api.patch(f"/users/{one['id']}", {"password": password})
            return
    raise Failure(Exit.NOT_FOUND, f"There is no user called {username}.")


def _change_directly(username: str, password: str) -> None:
    from sqlalchemy.exc import OperationalError

    from app.deps import build
    from app.domain.audit import Actor
    from app.errors import NotFound
    from app.services.accounts import change_user, find_user, with_password_hash
    from app.services.audit import acting_as
    from app.settings import MIN_PASSWORD_CHARS

    if len(password) < MIN_PASSWORD_CHARS:
        raise Failure(Exit.FAILED, f"A password has {MIN_PASSWORD_CHARS} characters at least.")
    deps = build(resolved_settings())
    changes = with_password_hash({"password": password})
    try:
        actor = Actor("operating_system_user", None, getpass.getuser())
        with acting_as(actor), deps.unit_of_work() as work:
            found = find_user(work.session, username)
            change_user(work.session, work.now, found.id, changes)
    except NotFound:
        raise Failure(Exit.NOT_FOUND, f"There is no user called {username}.") from None
    except OperationalError as error:
        raise Failure(Exit.NO_ANSWER, f"The database does not answer: {error.orig}") from None
    finally:
        deps.close()


@user.command("list")
@limit_option(1000)
@asks_server
def list_(api: Api, out: Output, limit: int) -> None:
    """All users, the newest first."""
    found = list(islice(api.items("/users"), limit))
    out.data(found)
    out.table(
        ("ID", "Username", "Role", "Active", "Since"),
        (
            (one["id"], one["username"], one["role"], one["is_active"], moment(one["created_at"]))
            for one in found
        ),
    )


def _new_password(*, from_stdin: bool, generate: bool) -> str:
    if from_stdin and generate:
        raise click.UsageError("--password-stdin or --generate, not both.")
    if generate:
        return secrets.token_urlsafe(16)
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: --password-stdin or --generate.")
    answer: str = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    return answer
