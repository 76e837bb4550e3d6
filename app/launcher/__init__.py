"""`make run`: resolves the settings, starts everything under one supervisor, waits until it is
ready, and stops it in order."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.adapters.embedded import (
    EmbeddedError,
    Server,
    dependent,
    ensure_database,
    write_private,
)
from app.launcher import data_dir as data_dirs
from app.launcher import orphans, ports, procfile
from app.launcher.bytecode import compile_ours
from app.launcher.console import complain, is_terminal, say
from app.launcher.errors import LaunchError
from app.launcher.guest import Guest
from app.launcher.procfile import Procfile
from app.launcher.ready import await_ready, login_body, ready_block, tail
from app.launcher.resolve import resolve, wanted_servers
from app.launcher.stop import StopRequest, StopRequested
from app.launcher.supervisor import Supervisor, supervised
from app.settings import LaunchSettings, Settings, as_environment, load_launch_settings

PROCFILE = Path(__file__).parents[2] / "Procfile"
# Seconds, as a rule; a slow machine with much else to do takes more than a minute.
READY_WITHIN_SECONDS = 120.0
POSTGRES_ANSWERS_WITHIN_SECONDS = 60.0
RELEASE_STOPS_WITHIN_SECONDS = 5.0
WATCH_SECONDS = 0.5
GUEST_SPEAKS_EVERY_SECONDS = 60.0


def run(
    path: Path = PROCFILE,
    ready_within_seconds: float = READY_WITHIN_SECONDS,
    guest: Guest | None = None,
) -> int:
    """Runs everything in the Procfile, and what the guest brings, until a stop is asked for.
    Answers the exit code.

    0 after a stop that was asked for, 1 when it can't start or fell over (said on stderr).
    Raises SettingsError.
    """
    launch = load_launch_settings()
    with StopRequest() as stop:
        try:
            _run(launch, path, ready_within_seconds, guest, stop)
        except StopRequested:
            say("Stopped.")
            return 0
        except (LaunchError, EmbeddedError) as error:
            complain(str(error))
        except OSError as error:
            complain(f"{error}\nIs {launch.data_dir} yours, and is there room on its disk?")
    return 1


def _run(
    launch: LaunchSettings,
    path: Path,
    ready_within_seconds: float,
    guest: Guest | None,
    stop: StopRequest,
) -> None:
    data_dir = launch.data_dir.resolve()
    data_dirs.make(data_dir)
    with data_dirs.locked(data_dir, stop) as lock:
        ports.require_free(launch, stop, after_crash=lock.after_crash)
        commands = procfile.read(path, *([guest.procfile] if guest else []))
        say(f"Tocsin: data in {data_dir}, starting {_listing(wanted_servers(launch))}")
        compile_ours()
        plan = resolve(launch, data_dir)
        environment = _environment(plan.settings)
        with (
            _for_this_run(data_dir / "run" / "settings.env", _as_shell(plan.settings)),
            _for_this_run(data_dir / "run" / "login.json", login_body(plan.settings)) as login,
            supervised(plan.servers, commands, data_dir, environment, lock) as supervisor,
        ):
            supervisor.await_answer(stop)
            for server in plan.servers:
                if server.name == "postgres":
                    _await_postgres(server, supervisor, data_dir / "logs", stop)
            _release(commands, data_dir / "logs" / "release.log", environment, stop)
            say(f"Starting {_listing([program.name for program in commands.programs])}")
            supervisor.start_programs()
            await_ready(supervisor, plan.settings, stop, ready_within_seconds)
            say(ready_block(plan, login))
            if guest is not None:
                say(guest.block(plan.settings))
            _watch(supervisor, guest, stop)


def _await_postgres(server: Server, supervisor: Supervisor, logs: Path, stop: StopRequest) -> None:
    deadline = time.monotonic() + POSTGRES_ANSWERS_WITHIN_SECONDS
    while True:
        try:
            ensure_database(server.url)
        except psycopg.OperationalError as error:
            supervisor.require_alive()
            if time.monotonic() > deadline:
                log = logs / f"{server.name}.log"
                raise LaunchError(
                    f"PostgreSQL does not answer: {error}\nThe end of {log}:\n{tail(log)}"
                ) from error
            stop.pause(0.05)
        else:
            return


def _release(
    commands: Procfile, log: Path, environment: Mapping[str, str], stop: StopRequest
) -> None:
    """Runs the release command to its end. Raises LaunchError when it fails."""
    if commands.release is None:
        return
    say(f"Running {shlex.join(commands.release.argv)}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            dependent(commands.release.argv),
            cwd=commands.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                stop.pause(0.1)
        finally:
            process.terminate()
            try:
                process.wait(RELEASE_STOPS_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise LaunchError(
            f"The release command failed (exit code {process.returncode}):\n{tail(log)}"
        )


def _watch(supervisor: Supervisor, guest: Guest | None, stop: StopRequest) -> None:
    """Until a stop is asked for, or the supervisor is no more (LaunchError)."""
    spoke_at = time.monotonic()
    while True:
        supervisor.require_alive()
        orphans.reap(except_for=supervisor.pid)
        # A line now and then is for a person; in a log it would only add up.
        if guest and time.monotonic() > spoke_at + GUEST_SPEAKS_EVERY_SECONDS and is_terminal():
            spoke_at = time.monotonic()
            if (line := guest.status()) is not None:
                say(line)
        stop.pause(WATCH_SECONDS)


def _environment(settings: Settings) -> Mapping[str, str]:
    """What the children see: our environment, the resolved settings, our Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, **as_environment(settings), "PATH": path}


def _as_shell(settings: Settings) -> str:
    """For a shell's `set -a; . FILE`, from which command-line tools then run."""
    environment = as_environment(settings)
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())


@contextmanager
def _for_this_run(path: Path, text: str) -> Iterator[Path]:
    """A file with secrets in it, that is of no use once the servers are stopped."""
    write_private(path, text)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) or "no server of its own"
