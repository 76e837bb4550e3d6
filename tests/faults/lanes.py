"""Workers and a web process of ours, beside the test, with settings that a test may bend."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import requests

from app.adapters.embedded import free_port
from app.deps import Deps
from app.services.accounts import ensure_admin
from app.services.delivery import Drain
from app.services.messages import Targets
from app.settings import Settings, as_environment
from tests.harness.client import Client
from tests.harness.programs import running_program
from tests.harness.system import PASSWORD
from tests.harness.waiting import eventually

UP_WITHIN_SECONDS = 30.0
FACTORY = "app.factory:create_app()"


def deliver(deps: Deps) -> None:
    """A healthy worker, in this process, takes what is due."""
    targets = Targets(
        deps.cipher,
        deps.settings.request_timeout_seconds,
        deps.settings.retry_schedule_seconds,
    )
    drain = Drain(deps.database, deps.clock, deps.guard, targets)
    drain.run(lambda: False, lambda: False)
    drain.close()


@contextmanager
def running_worker(
    settings: Settings, folder: Path, number: int = 1, bent: Mapping[str, str] | None = None
) -> "Iterator[Popen[bytes]]":
    """The delivery worker that `make run` starts; `bent` goes into its environment."""
    command = [sys.executable, "-m", "tasks", "deliver", str(number)]
    environment = {**as_environment(settings), **(bent or {})}
    with running_program(command, environment, folder / f"deliver_{number}.log") as process:
        yield process


@contextmanager
def running_web(
    settings: Settings,
    deps: Deps,
    folder: Path,
    bent: Mapping[str, str] | None = None,
    factory: str = FACTORY,
) -> Iterator[Client]:
    """A gunicorn with one worker, and its admin."""
    with deps.unit_of_work() as work:
        ensure_admin(work.session, "admin", PASSWORD)
    port = free_port()
    command = ["gunicorn", "--config", "python:app.serve", factory]
    environment = {**as_environment(settings), "PORT": str(port), **(bent or {})}

    def logged_in() -> Client | None:
        try:
            return Client(f"http://127.0.0.1:{port}").login("admin", PASSWORD)
        except requests.ConnectionError:
            return None

    with running_program(command, environment, folder / "web.log"):
        client = eventually(logged_in, UP_WITHIN_SECONDS, "the web")
        assert client is not None
        yield client
