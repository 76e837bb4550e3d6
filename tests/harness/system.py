"""The whole of Tocsin, as `make run` starts it, in a folder and on ports of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import requests
from dotenv import dotenv_values

from app.adapters.embedded import free_port
from tests.harness.waiting import eventually

ROOT = Path(__file__).parents[2]
# The launcher gives up by itself 120 s after its programs start; a data folder is made before.
START_WITHIN_SECONDS = 150.0
STOP_WITHIN_SECONDS = 30.0
PASSWORD = "correct horse battery"

SETTINGS = {
    "ADMIN_PASSWORD": PASSWORD,
    # Short, so that a test sees a delivery exhausted; the jitter of ±20 % applies to it too.
    "RETRY_SCHEDULE_SECONDS": "0,1,1",
    "REQUEST_TIMEOUT_SECONDS": "5",
    "RATE_LIMIT_REQUESTS": "100000",
    "INGEST_RATE_LIMIT_REQUESTS": "100000",
    "LOG_FORMAT": "json",
}


@contextmanager
def data_dir() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach, even when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Only what a program needs to start, and these settings: nothing of the caller's leaks in."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(settings)


@dataclass(frozen=True)
class System:
    """A system that runs."""

    url: str
    flower_url: str
    data_dir: Path
    launcher: "subprocess.Popen[bytes]"

    @property
    def settings(self) -> dict[str, str]:
        """The resolved settings, as the launcher left them for command-line tools."""
        values = dotenv_values(self.data_dir / "run" / "settings.env")
        return {name: value for name, value in values.items() if value is not None}

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection to its database that commits by itself."""
        url = self.settings["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
        return psycopg.connect(url, autocommit=True)

    @contextmanager
    def sql(self) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
        with self.connect() as connection:
            yield connection

    def processes(self, *words: str) -> list[psutil.Process]:
        """Our own processes whose command line has all of `words`."""
        found = []
        for process in psutil.Process(self.launcher.pid).children(recursive=True):
            try:
                command = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if all(any(word in part for part in command) for word in words):
                found.append(process)
        return found


@contextmanager
def running_system(**settings: str) -> Iterator[System]:
    """Start the whole, hand it over when it is ready, stop it and everything it started."""
    with data_dir() as folder, (folder / "launcher.log").open("wb") as log:
        port, flower_port = free_port(), free_port()
        environment = clean_environment(
            SETTINGS
            | {
                "DATA_DIR": str(folder),
                "PORT": str(port),
                "FLOWER_PORT": str(flower_port),
                # It calls itself, so that somebody answers.
                "HEARTBEAT_URL": f"http://127.0.0.1:{port}/health/live",
            }
            | settings
        )
        launcher = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "run"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        system = System(
            f"http://127.0.0.1:{port}", f"http://127.0.0.1:{flower_port}", folder, launcher
        )
        try:
            eventually(lambda: _is_ready(system), START_WITHIN_SECONDS, "readiness")
            yield system
        finally:
            _stop(launcher)


def _is_ready(system: System) -> bool:
    said = (system.data_dir / "launcher.log").read_text(errors="replace")
    assert system.launcher.poll() is None, f"the launcher ended: {said}"
    try:
        answer = requests.get(f"{system.url}/health/deep", timeout=5)
    except (requests.ConnectionError, requests.Timeout):
        return False
    if answer.status_code != 200:
        return False
    workers = answer.json()["checks"]["workers"]
    return bool(workers["status"] == "healthy")


def _stop(launcher: "subprocess.Popen[bytes]") -> None:
    children = (
        psutil.Process(launcher.pid).children(recursive=True) if launcher.poll() is None else []
    )
    launcher.send_signal(signal.SIGTERM)
    try:
        launcher.wait(STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()
        raise AssertionError("the system did not stop in time") from None
    finally:
        _gone, left = psutil.wait_procs(children, timeout=5)
        for process in left:
            process.kill()
    assert not left, f"processes were left behind: {left}"
