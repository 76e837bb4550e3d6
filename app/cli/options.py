"""What commands have in common: the server they ask, and how they answer."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from app.cli.connect import connect
from app.cli.output import Output

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DEFAULT_TIMEOUT_SECONDS = 30.0

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--url`, `--token` and `--timeout`, by these names."""
    options = (
        click.option(
            "--url", envvar="TOCSIN_URL", help="The server; left out: the one on this machine."
        ),
        click.option(
            "--token",
            # Rather there than as an argument, which everybody on this machine can see.
            envvar=["TOCSIN_TOKEN", "TOCSIN_API_KEY"],
            help="A token or an API key; better in TOCSIN_TOKEN or TOCSIN_API_KEY.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0.1, 3600),
            default=DEFAULT_TIMEOUT_SECONDS,
            help="Seconds to wait for an answer.",
            show_default=True,
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def asks_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hands the command an `Api` and an `Output`, before its own arguments."""

    @functools.wraps(command)
    def asking(
        url: str | None, token: str | None, timeout: float, as_json: bool, **own: Any
    ) -> Any:
        return command(connect(url, token, timeout_seconds=timeout), Output(as_json=as_json), **own)

    return server_options(json_option(asking))


class Duration(click.ParamType[timedelta]):
    """`90s`, `15m`, `2h`, `7d`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        number, unit = value[:-1], value[-1:]
        is_number = number.isascii() and number.isdigit() and len(number) <= 6
        if unit not in UNITS or not is_number:
            self.fail(f"{value!r} is no length of time; one is 90s, 15m, 2h or 7d.", param, ctx)
        return timedelta(seconds=int(number) * UNITS[unit])


class Label(click.ParamType[tuple[str, str]]):
    """`name=value`."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, separator, text = value.partition("=")
        if not separator or not name:
            self.fail(f"{value!r} is not name=value.", param, ctx)
        return name, text


def limit_option(default: int = 20) -> Callable[[Any], Any]:
    return click.option(
        "--limit",
        type=click.IntRange(1, 100_000),
        default=default,
        show_default=True,
        help="At most so many, the newest first.",
    )
