"""The supervisor: its configuration, its life, and the few things that we ask of it."""

import contextlib
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from app.adapters.embedded import Server, dependent, free_port, write_private
from app.launcher import orphans
from app.launcher.console import say
from app.launcher.data_dir import DataDirLock
from app.launcher.errors import LaunchError
from app.launcher.procfile import Procfile
from app.launcher.stop import StopRequest

# Seconds from the stop signal to the kill, by the first part of a program's name. The longest
# program and PostgreSQL together stay below the 20 s that a stop may take.
STOP_WAIT_SECONDS = {
    "deliver": 10,
    "web": 8,
    "postgres": 6,
    "beat": 5,
    "flower": 3,
    "broker": 3,
    "cache": 3,
}
OTHER_STOP_WAIT_SECONDS = 8
STOP_WITHIN_SECONDS = 18.5
ORPHANS_STOP_WITHIN_SECONDS = 10.0
PROGRAMS = "tocsin"
RPC_TIMEOUT_SECONDS = 5.0
START_WITHIN_SECONDS = 15.0


@dataclass(frozen=True)
class Endpoint:
    """Where the supervisor is asked: loopback, since a socket's path may get too long."""

    port: int
    password: str


@dataclass(frozen=True)
class ProgramState:
    name: str
    running: bool
    up_seconds: int


def configuration(
    servers: Sequence[Server], procfile: Procfile, data_dir: Path, endpoint: Endpoint
) -> str:
    """The text of supervisord.conf for the present user.

    Groups stop one after another, the highest priority first, and a group's programs all at
    once: so everything stops before the servers. Programs wait until they are asked to start.
    """
    logs, run = data_dir / "logs", data_dir / "run"
    common = {
        "autorestart": "true",
        "startretries": "1000000",
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }
    sections: dict[str, Mapping[str, str]] = {
        "supervisord": {
            "logfile": str(logs / "supervisord.log"),
            "logfile_maxbytes": "10MB",
            "logfile_backups": "3",
            "pidfile": str(run / "supervisord.pid"),
            "childlogdir": str(logs),
            "nodaemon": "true",
            "silent": "true",
            # Said aloud it silences a warning as root; as anybody else it is fatal.
            **({"user": "root"} if os.geteuid() == 0 else {}),
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "inet_http_server": {
            "port": f"127.0.0.1:{endpoint.port}",
            "username": PROGRAMS,
            "password": endpoint.password,
        },
        "supervisorctl": {
            "serverurl": f"http://127.0.0.1:{endpoint.port}",
            "username": PROGRAMS,
            "password": endpoint.password,
        },
    }
    for server in servers:
        sections[f"program:{server.name}"] = {
            "command": shlex.join(server.argv),
            "directory": str(run),
            "autostart": "true",
            "startsecs": "1",
            "stopsignal": server.stop_signal.name.removeprefix("SIG"),
            "stopwaitsecs": str(_stop_wait(server.name)),
            "stdout_logfile": str(logs / f"{server.name}.log"),
            **common,
        }
    for program in procfile.programs:
        if f"program:{program.name}" in sections:
            raise LaunchError(f"The Procfile's {program.name!r} is the name of an embedded server.")
        sections[f"program:{program.name}"] = {
            "command": shlex.join(dependent(program.argv)),
            "directory": str(procfile.folder),
            "autostart": "false",
            # More than 0 would count an early kill as a failed start, and wait ever longer.
            "startsecs": "0",
            "stopsignal": "TERM",
            "stopwaitsecs": str(_stop_wait(program.name)),
            "stdout_logfile": str(logs / f"{program.name}.log"),
            **common,
        }
    if servers:
        names = ",".join(server.name for server in servers)
        sections["group:servers"] = {"programs": names, "priority": "1"}
    names = ",".join(program.name for program in procfile.programs)
    sections[f"group:{PROGRAMS}"] = {"programs": names, "priority": "999"}
    return "\n".join(
        f"[{title}]\n" + "".join(f"{key}={_value(text)}\n" for key, text in options.items())
        for title, options in sections.items()
    )


def _stop_wait(name: str) -> int:
    return STOP_WAIT_SECONDS.get(name.partition("_")[0], OTHER_STOP_WAIT_SECONDS)


def _value(text: str) -> str:
    """As the supervisor reads it: % expands, and what follows a blank and ; or # is a comment."""
    if re.search(r"\s[;#]|[\r\n]", text):
        raise LaunchError(
            f"The supervisor can't take this, for the ; or # after a blank in it: {text}\n"
            "Use a folder (DATA_DIR, or the project's) without that."
        )
    return text.replace("%", "%%")


class Supervisor:
    """The running supervisord."""

    def __init__(self, process: subprocess.Popen[bytes], endpoint: Endpoint, logs: Path) -> None:
        self._process = process
        self._logs = logs
        self._rpc = xmlrpc.client.ServerProxy(
            f"http://{PROGRAMS}:{endpoint.password}@127.0.0.1:{endpoint.port}/RPC2",
            transport=_Transport(),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def require_alive(self) -> None:
        """Raises LaunchError when it has ended, which nobody asked of it."""
        if self._process.poll() is not None:
            raise LaunchError(
                f"The supervisor has ended by itself (exit code {self._process.returncode}), so "
                f"everything is stopped. See {self._logs / 'supervisord.log'}."
            )

    def await_answer(self, stop: StopRequest) -> None:
        """Raises LaunchError when it doesn't answer in time."""
        deadline = time.monotonic() + START_WITHIN_SECONDS
        while True:
            self.require_alive()
            with contextlib.suppress(OSError):
                self._rpc.supervisor.getState()
                return
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"The supervisor does not answer. See {self._logs / 'supervisord.log'}."
                )
            stop.pause(0.05)

    def start_programs(self) -> None:
        """Raises LaunchError when it doesn't."""
        try:
            self._rpc.supervisor.startProcessGroup(PROGRAMS, False)
        except (OSError, xmlrpc.client.Error) as error:
            self.require_alive()
            raise LaunchError(f"The supervisor starts no programs: {error}") from error

    def states(self) -> list[ProgramState]:
        """Every server and program, as the supervisor sees it now; none when it doesn't say."""
        try:
            answer = cast(list[dict[str, Any]], self._rpc.supervisor.getAllProcessInfo())
        except (OSError, xmlrpc.client.Error):
            return []
        return [
            ProgramState(
                name=info["name"],
                running=info["statename"] in ("RUNNING", "STARTING"),
                up_seconds=info["now"] - info["start"],
            )
            for info in answer
        ]


class _Transport(xmlrpc.client.Transport):
    """With a time limit: a supervisor that hangs must not hang the launcher."""

    def make_connection(self, host: Any) -> Any:
        connection = super().make_connection(host)
        connection.timeout = RPC_TIMEOUT_SECONDS
        return connection


@contextmanager
def supervised(
    servers: Sequence[Server],
    procfile: Procfile,
    data_dir: Path,
    environment: Mapping[str, str],
    lock: DataDirLock,
) -> Iterator[Supervisor]:
    """Runs the supervisor with the servers; at the end stops all in order, and leaves nothing.

    In a session of its own: a Ctrl-C reaches the launcher alone, which stops it in order.
    """
    endpoint = Endpoint(free_port(), secrets.token_urlsafe(32))
    path = data_dir / "run" / "supervisord.conf"
    write_private(path, configuration(servers, procfile, data_dir, endpoint))
    orphans.adopt()
    process = subprocess.Popen(
        dependent([sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(path)]),
        # Its stdin, which it never reads, is the lock: other descriptors it closes. While it
        # lives, DATA_DIR is taken, even when we were killed.
        stdin=lock.supervisors,
        stdout=subprocess.DEVNULL,
        cwd=procfile.folder,
        env=environment,
        start_new_session=True,
    )
    try:
        yield Supervisor(process, endpoint, data_dir / "logs")
    finally:
        say("Stopping everything")
        process.terminate()
        try:
            process.wait(STOP_WITHIN_SECONDS)
            grace_seconds = ORPHANS_STOP_WITHIN_SECONDS
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            grace_seconds = 0.0
        # Who lost a parent to a -9 is still there: after an orderly stop, nobody.
        orphans.end_all(grace_seconds)
