"""`tocsin token`."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.cli.client import Api
from app.cli.connect import connect, resolved_settings, sign_token
from app.cli.exits import Exit, Failure
from app.cli.options import Duration, json_option, server_options
from app.cli.output import Output
from app.settings import ACCESS_TOKEN_LIFE


@click.command()
@click.option("--username", help="Sign in as this user; the password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read it from the first line of stdin.")
@click.option("--key", "key_name", metavar="NAME", help="Make an API key of this name instead.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    default="operator",
    show_default=True,
    help="Of the key.",
)
@click.option("--expires-in", type=Duration(), help="Of the key: 12h, 90d. Left out: never.")
@server_options
@json_option
def token(
    username: str | None,
    password_stdin: bool,
    key_name: str | None,
    role: str,
    expires_in: timedelta | None,
    url: str | None,
    token: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Print a token for the API.

    And nothing else: TOKEN=$(tocsin token). It lasts 15 minutes. On Tocsin's machine it is the
    first admin's and needs no password; elsewhere give --url and --username. --key makes an API
    key, which lasts.
    """
    out = Output(as_json=as_json)
    if key_name is not None:
        api = connect(url, token, timeout_seconds=timeout)
        answer = api.post("/api-keys", _key(key_name, role, expires_in))
        shown = answer["key"]
    elif username is not None:
        api = Api(url or resolved_settings().local_url, lambda: None, timeout_seconds=timeout)
        password = _password(from_stdin=password_stdin)
        answer = api.post("/auth/login", {"username": username, "password": password})
        shown = answer["access_token"]
    elif url is not None:
        raise Failure(Exit.USAGE, "A server given by --url needs --username, or --key and --token.")
    else:
        seconds = int(ACCESS_TOKEN_LIFE.total_seconds())
        shown = sign_token(resolved_settings(), seconds)
        answer = {"access_token": shown, "token_type": "Bearer", "expires_in": seconds}
    out.data(answer)
    out.line(shown)


def _key(name: str, role: str, expires_in: timedelta | None) -> dict[str, Any]:
    until = None if expires_in is None else (datetime.now(UTC) + expires_in).isoformat()
    return {"name": name, "role": role, "expires_at": until}


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    # On stderr, so that $(…) holds the token only.
    answer: str = click.prompt("Password", hide_input=True, err=True)
    return answer
