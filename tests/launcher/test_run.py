"""A launch, from the first to the next: what it makes, what it says, what it keeps alive."""

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from app.adapters.embedded.process import Account, server_account

from .conftest import EXTERNAL, Launch, Project, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def curl_lines(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if "curl " in line]


def test_first_run_and_next_run(project: Project) -> None:
    launch = project.launch()
    launch.until_ready()
    environment = project.environment_of_web()
    password = (project.data_dir / "admin-password").read_text()
    assert f"Login   admin, password {password} (shown once" in launch.output
    assert environment["ADMIN_PASSWORD"] == password
    assert environment["EGRESS_ALLOW"] == "127.0.0.0/8,::1/128"
    assert environment["DATA_DIR"] == str(project.data_dir)
    for kept in ("JWT_SECRET_KEY", "ENCRYPTION_KEYS", "REDIS_URL", "CACHE_REDIS_URL"):
        assert environment[kept]

    # What a program is told is what runs.
    with psycopg.connect(environment["DATABASE_URL"].replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE kept (note text)")
    policies = {}
    for name in ("REDIS_URL", "CACHE_REDIS_URL"):
        with redis.Redis.from_url(environment[name]) as client:
            policies[name] = client.config_get("maxmemory-policy")["maxmemory-policy"]
    assert policies == {"REDIS_URL": "noeviction", "CACHE_REDIS_URL": "allkeys-lru"}

    # Secrets are closed to others, and no secret is on a command line.
    run = project.data_dir / "run"
    for private in (project.data_dir / "admin-password", run / "settings.env", run / "login.json"):
        assert mode(private) == 0o600
    assert mode(project.data_dir / "secrets") == 0o700
    assert mode(project.data_dir) & 0o066 == 0
    redis_password = environment["REDIS_URL"].split(":")[2].partition("@")[0]
    for process in launch.family():
        command = " ".join(process.cmdline())
        assert password not in command
        assert redis_password not in command

    # The same settings for a command-line tool.
    shown = subprocess.run(
        ["sh", "-c", f"set -a; . {shlex.quote(str(run / 'settings.env'))}; env -0"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"DATABASE_URL={environment['DATABASE_URL']}" in shown.stdout.split("\0")

    # A second launcher is refused, and disturbs nothing.
    second = project.launch()
    assert second.wait() == 1
    assert f"runs already on {project.data_dir} (pid {launch.process.pid})" in second.output

    # What dies is back.
    for program in ("web", "deliver_1", "broker", "postgres"):
        assert_comes_back(launch, program)

    launch.process.terminate()
    assert launch.wait(20) == 0
    assert not (run / "settings.env").exists()
    assert not (run / "login.json").exists()

    # The next run finds the data and the secrets, and shows the password no more.
    again = project.launch()
    again.until_ready()
    now = project.environment_of_web()
    assert password not in again.output
    assert str(project.data_dir / "admin-password") in again.output
    for name in ("JWT_SECRET_KEY", "ENCRYPTION_KEYS", "ADMIN_PASSWORD"):
        assert now[name] == environment[name]
    with psycopg.connect(now["DATABASE_URL"].replace("+psycopg", "")) as connection:
        connection.execute("SELECT note FROM kept")


def may_run_python(account: Account) -> bool:
    python = Path(sys.executable).resolve()
    return all(account.may_enter(folder) for folder in (*python.parents, *Path(__file__).parents))


@as_root
def test_as_an_ordinary_user(project: Project) -> None:
    account = server_account()
    assert account is not None
    if not may_run_python(account):
        pytest.skip("this Python is closed to others")
    os.chown(project.folder, account.uid, account.gid)
    become = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    launch = project.launch(["setpriv", *become, sys.executable, "launch.py"])
    launch.until_ready()
    assert {process.uids().real for process in launch.family()} == {account.uid}
    assert mode(project.data_dir) == 0o700

    launch.process.terminate()
    assert launch.wait(20) == 0


def assert_comes_back(launch: Launch, program: str) -> None:
    pid = until(lambda: launch.pid_of(program))
    psutil.Process(pid).kill()

    def returned() -> bool:
        return launch.pid_of(program) not in (None, pid)

    until(returned, within_seconds=3)
    launch.family()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_lines_work_with_any_password(project: Project) -> None:
    password = """it's "odd" $HOME `x` \\ %s ;#"""
    project.write(
        "web.py",
        "import http.server, json, os, signal, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "    def do_POST(self):\n"
        "        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))\n"
        "        answer = {'access_token': 't0ken'} if 'password' in body else {}\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(json.dumps(answer).encode())\n"
        "        with open('requests', 'a') as file:\n"
        "            seen = [self.path, self.headers.get('Authorization'), body]\n"
        "            file.write(json.dumps(seen) + '\\n')\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "address = (os.environ['HOST'], int(os.environ['PORT']))\n"
        "http.server.ThreadingHTTPServer(address, Handler).serve_forever()\n",
    )
    launch = project.launch(environment={**EXTERNAL, "ADMIN_PASSWORD": password})
    launch.until_ready()
    assert password not in launch.output

    script = "set -e\n" + "\n".join(curl_lines(launch.output))
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)

    seen = [json.loads(line) for line in (project.folder / "requests").read_text().splitlines()]
    assert seen == [
        ["/api/v1/auth/login", None, {"username": "admin", "password": password}],
        [
            "/api/v1/webhooks",
            "Bearer t0ken",
            {"name": "demo", "url": "http://127.0.0.1:9000/hook"},
        ],
        ["/api/v1/alerts", "Bearer t0ken", {"title": "Disk almost full", "severity": "critical"}],
    ]
