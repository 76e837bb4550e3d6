"""Long work, with a bar on stderr where somebody watches."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli.exits import Exit, Failure
from app.cli.output import console

LOOK_EVERY_SECONDS = 0.5

Advance = Callable[..., None]


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Advance]:
    """Call the answer with no argument for one more, or with `to=` for how far it is by now.

    Without a total it only turns. Nothing is shown where stderr is no terminal.
    """
    shown = console(stderr=True)
    columns = (
        [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        if total is not None
        else [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    )
    with Progress(
        *columns, console=shown, transient=True, disable=not shown.is_terminal
    ) as progress:
        task = progress.add_task(what, total=total)

        def advance(*, to: int | None = None) -> None:
            if to is None:
                progress.advance(task)
            else:
                progress.update(task, completed=to)

        yield advance


def watch(
    look: Callable[[], dict[str, Any]],
    is_over: Callable[[dict[str, Any]], bool],
    *,
    within_seconds: float,
    every_seconds: float = LOOK_EVERY_SECONDS,
) -> dict[str, Any]:
    """What `look` answers once it is over. Raises Failure after `within_seconds`: what was asked
    for goes on without us.
    """
    deadline = time.monotonic() + within_seconds
    while not is_over(found := look()):
        if time.monotonic() > deadline:
            raise Failure(
                Exit.FAILED, f"Not over after {within_seconds:.0f} s; it goes on without us."
            )
        time.sleep(every_seconds)  # REST tells nobody when something is over: one has to ask
    return found
