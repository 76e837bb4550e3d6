"""Programs that run for a while, and waiting for what they do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psutil

from app.adapters.embedded import dependent

ROOT = Path(__file__).parents[1]
LOOK_EVERY_SECONDS = 0.05
STOP_WITHIN_SECONDS = 10.0


def wait_for(look: Callable[[], bool], within: float, what: str) -> None:
    """Raises TimeoutError when it doesn't come true in time."""
    deadline = time.monotonic() + within
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {within:g} s")
        time.sleep(LOOK_EVERY_SECONDS)


@contextmanager
def running(
    commands: Sequence[Sequence[str]],
    environment: Mapping[str, str],
    log: Path,
    stop_within: float = STOP_WITHIN_SECONDS,
) -> Iterator[list[int]]:
    """Runs these programs, yields their pids; at the end they and all that they started are gone.

    Who has not stopped `stop_within` seconds after SIGTERM is killed.
    """
    processes: list[subprocess.Popen[bytes]] = []
    with log.open("ab") as out:
        try:
            processes += [_start(command, environment, out) for command in commands]
            yield [process.pid for process in processes]
        finally:
            started = [
                one
                for process in processes
                if process.poll() is None
                for one in psutil.Process(process.pid).children(recursive=True)
            ]
            for process in processes:
                process.terminate()
            deadline = time.monotonic() + stop_within
            for process in processes:
                try:
                    process.wait(max(deadline - time.monotonic(), 0))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            _gone, left = psutil.wait_procs(started, timeout=min(stop_within, 1))
            for child in left:
                child.kill()
            psutil.wait_procs(left, timeout=STOP_WITHIN_SECONDS)


def _start(
    command: Sequence[str], environment: Mapping[str, str], out: BinaryIO
) -> "subprocess.Popen[bytes]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.Popen(
        dependent(command),
        cwd=ROOT,
        env=kept | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,
    )


@contextmanager
def listening(module: str) -> Iterator[tuple[int, int]]:
    """A module of ours in a process of its own, which prints its port first: its pid, its port."""
    process = subprocess.Popen(
        dependent([sys.executable, "-m", module]),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
