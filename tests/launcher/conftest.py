"""A small project of its own for each test: a Makefile, a Procfile, and the real launcher.

Every test runs real processes, and ends those that it started by their own pids.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import requests

from app.adapters.embedded import free_port

REPOSITORY = Path(__file__).parents[2]

LAUNCH = """\
import json, sys
from pathlib import Path
from app.launcher import run
code = run(Path("Procfile"), ready_within_seconds={ready_within_seconds})
Path("exit-code").write_text(str(code))
sys.exit(code)
"""

MAKEFILE = """\
run:
\t@{python} launch.py
"""

# A stand-in for the API: ready, and it shows what environment it was given.
WEB = """\
import http.server, json, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
    def log_message(self, *_):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
address = (os.environ["HOST"], int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""

PROCFILE = """\
release: python -c "print('released')"
web: python web.py
deliver_1: sleep 1000
"""

# Servers of one's own, which nobody asks anything: the launcher starts none then.
EXTERNAL = {
    "DATABASE_URL": "postgresql://tocsin@127.0.0.1:1/tocsin",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "JWT_SECRET_KEY": "j" * 32,
    "ENCRYPTION_KEYS": "A" * 43 + "=",
}


Answer = TypeVar("Answer")


def until(ask: Callable[[], Answer | None], within_seconds: float = 20.0) -> Answer:
    """The first answer that is true, asked for until the deadline."""
    deadline = time.monotonic() + within_seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"no answer within {within_seconds} s"
        time.sleep(0.02)
    return answer


def left_of(family: Iterable[psutil.Process], within_seconds: float = 0.0) -> list[psutil.Process]:
    """Who still runs. A zombie doesn't: it waits for its parent, which may be an init."""
    _, alive = psutil.wait_procs(list(family), timeout=within_seconds)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@dataclass
class Launch:
    """One run of the launcher. `process` is what we started: `make`, or the launcher itself."""

    project: "Project"
    process: subprocess.Popen[bytes]
    output_file: Path

    @property
    def output(self) -> str:
        return self.output_file.read_text(encoding="utf-8")

    def until_says(self, text: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None or text in self.output, self.output
            return text in self.output

        until(said, within_seconds=40)

    def until_ready(self) -> None:
        self.until_says("Tocsin is ready.")
        self.until_says("Ctrl-C stops everything")

    def family(self) -> list[psutil.Process]:
        """Everything that runs now on behalf of this launch; ended at the end of the test."""
        process = psutil.Process(self.process.pid)
        family = [process, *process.children(recursive=True)]
        self.project.seen.update(family)
        return family

    def pid_of(self, program: str) -> int | None:
        """As the supervisor's log has it; None while it is not running."""
        log = (self.project.data_dir / "logs" / "supervisord.log").read_text(encoding="utf-8")
        pids = [
            int(line.rpartition(" ")[2]) for line in log.splitlines() if f"'{program}' with" in line
        ]
        alive = pids and psutil.pid_exists(pids[-1])
        return pids[-1] if alive else None

    def wait(self, within_seconds: float = 30.0) -> int:
        return self.process.wait(within_seconds)


class Project:
    """A folder with all that a launch needs, and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.port, self.flower_port = free_port(), free_port()
        self.seen: set[psutil.Process] = set()
        self.launches: list[Launch] = []
        self.write("web.py", WEB)
        self.write("Procfile", PROCFILE)
        self.write("Makefile", MAKEFILE.format(python=sys.executable))
        self.ready_within(20)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def ready_within(self, seconds: float) -> None:
        self.write("launch.py", LAUNCH.format(ready_within_seconds=seconds))

    def launch(
        self,
        command: Sequence[str] = (sys.executable, "launch.py"),
        environment: Mapping[str, str] | None = None,
    ) -> Launch:
        output_file = self.folder / f"output-{len(self.launches)}"
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        settings = {
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "DATA_DIR": str(self.data_dir),
            "PYTHONPATH": str(REPOSITORY),
        }
        with output_file.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**inherited, **settings, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        launch = Launch(self, process, output_file)
        self.launches.append(launch)
        return launch

    def make(self, environment: Mapping[str, str] | None = None) -> Launch:
        return self.launch(["make", "run"], environment)

    def environment_of_web(self) -> dict[str, str]:
        """The environment that the programs were given."""
        url = f"http://127.0.0.1:{self.port}/"
        answer = requests.get(url, timeout=5).json()
        assert isinstance(answer, dict)
        return answer

    def end(self) -> None:
        for launch in self.launches:
            if launch.process.poll() is None:
                launch.family()
                launch.process.terminate()
                launch.process.wait(30)
        for process in self.seen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(list(self.seen), timeout=10)


@pytest.fixture
def project() -> Iterator[Project]:
    # Not tmp_path: as root that one is closed to the account of the servers.
    folder = Path(tempfile.mkdtemp(prefix="tocsin-"))
    folder.chmod(0o755)
    project = Project(folder)
    try:
        yield project
    finally:
        project.end()
        shutil.rmtree(folder)
