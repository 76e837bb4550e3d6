"""The command: a frame every two seconds, and at once when the terminal changes its size."""

import dataclasses
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.live import Live

from app.cli.connect import connect
from app.cli.options import json_option, server_options
from app.cli.output import Output, console
from app.cli.top.frame import frame
from app.cli.top.source import Source, View

LOOK_AT_SIZE_SECONDS = 0.2
QUIT = {"q", "Q"}


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(1, 3600),
    default=2.0,
    show_default=True,
    help="Seconds from one picture to the next.",
)
@click.option("--once", is_flag=True, help="Print one picture and end.")
@server_options
@json_option
def top(
    interval: float, once: bool, url: str | None, token: str | None, timeout: float, as_json: bool
) -> None:
    """Watch the queue, webhooks, alerts, jobs and workers live.

    q ends it. --json prints what one picture shows, and ends.
    """
    # A picture that is late is worth less than one that says so.
    source = Source(connect(url, token, timeout_seconds=min(timeout, 10.0), patient=False))
    view = source.look()
    if as_json:
        Output(as_json=True).data(dataclasses.asdict(view) | {"at": view.at.isoformat()})
    elif once or not sys.stdout.isatty():
        size = shutil.get_terminal_size((80, 24))
        console().print(frame(view, size.columns, size.lines))
    else:
        _watch(source, view, interval)


def _watch(source: Source, view: View, interval: float) -> None:
    screen = console()
    with _pressed() as pressed, Live(console=screen, screen=True, auto_refresh=False) as live:
        while True:
            size = screen.size
            live.update(frame(view, size.width, size.height), refresh=True)
            deadline = time.monotonic() + interval
            while time.monotonic() < deadline and screen.size == size:
                if pressed(LOOK_AT_SIZE_SECONDS) in QUIT:
                    return
            if screen.size == size:
                view = source.look()


@contextmanager
def _pressed() -> Iterator[Callable[[float], str | None]]:
    """Waits so many seconds for a key, and answers it. The terminal is as it was afterwards."""
    if not sys.stdin.isatty():

        def nothing(seconds: float) -> None:
            time.sleep(seconds)  # without a terminal there is no key to wait for

        yield nothing
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str | None:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode(errors="replace") if ready else None

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
