"""Our own code, in a process that kills itself at a named step, or stops there as by SIGSTOP.
Nothing of it is in the product.

`python -m tests.faults.dying STEP` is a delivery worker, or a roller, without Celery around it;
`create_app` is the web application, for gunicorn. The steps:

    inserted   web: the alert and its deliveries are inserted, and not committed
    committed  web: they are committed, and nobody has been answered
    claiming   worker: it stops, with a claim made and not committed
    claimed    worker: the claim is committed, and nothing has been sent
    sending    worker: whenever something is to be sent, so it dies again and again
    answered   worker: the receiver's 2xx has been read, and nothing recorded
    recording  worker: the completion is written, and not committed
    recorded   worker: the completion is committed

Of the roller:

    rolling-taken      what it read has left the inbox, and nothing is written
    rolling-written    all of it is written, and not committed
    rolling-committed  it is committed
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session

from app import factory
from app.adapters.database import Database
from app.adapters.http import Transfers
from app.adapters.queue import HintQueue
from app.deps import build
from app.services import delivery, raising, rolling
from app.services.rolling import Roller
from app.settings import load_settings
from tasks.deliver import make_drain


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def after(call: Callable[..., Any], end: Callable[[], None] = die) -> Callable[..., Any]:
    """The same, and then dead."""

    def dying(*arguments: Any, **options: Any) -> None:
        call(*arguments, **options)
        end()

    return dying


def before(_call: Callable[..., Any]) -> Callable[..., Any]:
    """Dead, before it does anything."""
    return lambda *_arguments, **_options: die()


def at_its_commit(owner: Any, name: str) -> None:
    """Dead as soon as the transaction in which a function found something to do is committed."""
    call = getattr(owner, name)
    session_of = Database.session
    has_happened = False

    def noting(*arguments: Any) -> Any:
        nonlocal has_happened
        answer = call(*arguments)
        # `claim` answers with its claims and the time, the completions with the ids.
        has_happened = bool(answer[0] if isinstance(answer, tuple) else answer)
        return answer

    @contextmanager
    def session(database: Database) -> Iterator[Session]:
        with session_of(database) as opened:
            yield opened
        if has_happened:
            die()

    setattr(owner, name, noting)
    setattr(Database, "session", session)  # noqa: B010 - a method, which mypy guards


def worker(step: str) -> None:
    """Delivers until it dies."""
    drain: Any = delivery
    if step == "claiming":
        drain.claim = after(drain.claim, stop)
    elif step == "claimed":
        at_its_commit(drain, "claim")
    elif step == "sending":
        Transfers.start = before(Transfers.start)  # type: ignore[method-assign]
    elif step == "answered":
        drain.record_delivered = before(drain.record_delivered)
    elif step == "recording":
        drain.record_delivered = after(drain.record_delivered)
    elif step == "recorded":
        at_its_commit(drain, "record_delivered")
    runner = make_drain(build(load_settings(), worker=True))
    while True:
        runner.run(lambda: False, lambda: False)


def roller(step: str) -> None:
    """Rolls up until it dies."""
    rolls: Any = rolling
    if step == "rolling-taken":
        rolls._take = after(rolls._take)
    elif step == "rolling-written":
        rolls._note_last = after(rolls._note_last)
    deps = build(load_settings(), worker=True)
    runner = Roller(deps.unit_of_work, deps.clock)
    while not runner.roll():
        pass
    die()


def create_app() -> Flask:
    """Dies once, at DYING_STEP: the next one finds the file DYING_MARK, and lives."""
    mark = Path(os.environ["DYING_MARK"])
    if not mark.exists():
        call: Any = raising.raise_alerts

        def once(then: Callable[..., Any]) -> Callable[..., Any]:
            def dying(*arguments: Any, **options: Any) -> None:
                mark.touch()
                then(*arguments, **options)

            return dying

        if os.environ["DYING_STEP"] == "inserted":
            raising.raise_alerts = once(after(call))
        else:
            # The hint is what follows a commit.
            HintQueue.hint = once(before(HintQueue.hint))  # type: ignore[method-assign]
    return factory.create_app()


def main(arguments: Sequence[str]) -> None:
    (step,) = arguments
    if step.startswith("rolling-"):
        roller(step)
    else:
        worker(step)


if __name__ == "__main__":
    main(sys.argv[1:])
