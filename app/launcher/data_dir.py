"""DATA_DIR belongs to one launcher at a time."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from app.launcher.errors import LaunchError
from app.launcher.stop import StopRequest

EARLIER_RUN_STOPS_WITHIN_SECONDS = 20.0


@dataclass(frozen=True)
class DataDirLock:
    """The held locks. The supervisor inherits its own: while it lives, that one is held.

    `after_crash`: the run before this one came to no orderly end.
    """

    supervisors: TextIO
    after_crash: bool


def make(data_dir: Path) -> None:
    """Makes DATA_DIR and its folders, closed to others, where they are missing."""
    for folder in (data_dir, *(data_dir / name for name in ("run", "logs", "secrets"))):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def locked(data_dir: Path, stop: StopRequest) -> Iterator[DataDirLock]:
    """Holds DATA_DIR/run/lock, in which stands the launcher's pid until its orderly end.

    Another launcher is not waited for: LaunchError at once. The supervisor that a killed one
    left behind gets 20 s to stop.
    """
    run = data_dir / "run"
    with (run / "lock").open("a+") as ours, (run / "supervisord.lock").open("a") as supervisors:
        free = _acquired(ours)
        ours.seek(0)
        noted = ours.read()
        if not free:
            raise LaunchError(
                f"Tocsin runs already on {data_dir} (pid {noted}). Stop it first (Ctrl-C there, "
                f"or: kill {noted}), or give this one a DATA_DIR of its own."
            )
        deadline = time.monotonic() + EARLIER_RUN_STOPS_WITHIN_SECONDS
        while not _acquired(supervisors):
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"An earlier run on {data_dir} is still stopping. Try again in a moment, or "
                    f"stop its supervisor: kill $(cat {run / 'supervisord.pid'})"
                )
            stop.pause(0.1)
        _note(ours, str(os.getpid()))
        try:
            yield DataDirLock(supervisors, after_crash=bool(noted))
        finally:
            _note(ours, "")


def _acquired(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()
