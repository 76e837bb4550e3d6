"""A program of ours in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.harness.system import ROOT, clean_environment

STOP_WITHIN_SECONDS = 10


@contextmanager
def running_program(
    command: Sequence[str], settings: Mapping[str, str], log: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    """With these settings and nothing else of our environment; ended at the end, if need be by
    SIGKILL. Its output is added to `log`."""
    python = Path(sys.executable).parent
    environment = clean_environment(settings)
    environment["PATH"] = f"{python}{os.pathsep}{environment.get('PATH', os.defpath)}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()
