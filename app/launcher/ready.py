"""Waits until the API is ready; says what is wrong when it is not, and how to begin when it is."""

import json
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from app.launcher.errors import LaunchError
from app.launcher.resolve import Plan
from app.launcher.stop import StopRequest
from app.launcher.supervisor import ProgramState, Supervisor
from app.settings import Settings

PROBE_TIMEOUT_SECONDS = 2.0
# What runs for less than this, long after it was started, has been dying and starting again.
SETTLED_SECONDS = 5
TAIL_LINES = 20


def await_ready(
    supervisor: Supervisor, settings: Settings, stop: StopRequest, within_seconds: float
) -> None:
    """Raises LaunchError, with the end of the logs that matter, when it takes too long."""
    deadline = time.monotonic() + within_seconds
    while (fault := _not_ready(settings)) is not None:
        supervisor.require_alive()
        if time.monotonic() > deadline:
            raise LaunchError(
                _diagnosis(supervisor.states(), settings.data_dir / "logs", fault, within_seconds)
            )
        stop.pause(0.2)


def _not_ready(settings: Settings) -> str | None:
    """None when it is; else what it answers."""
    # No proxy from the environment stands between this machine and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{settings.local_url}/health/ready", timeout=PROBE_TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"/health/ready answers {error.code}: {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return f"/health/ready does not answer: {error}"


def _diagnosis(
    states: Iterable[ProgramState], logs: Path, fault: str, within_seconds: float
) -> str:
    settled = min(SETTLED_SECONDS, within_seconds / 2)
    down = [state.name for state in states if not state.running or state.up_seconds < settled]
    report = [f"Not ready after {within_seconds:.0f} s: {fault}"]
    report += [f"{name} is not up." for name in down]
    for name in down or ["web"]:
        report.append(f"The end of {logs / name}.log:\n{tail(logs / f'{name}.log')}")
    return "\n".join(report)


def tail(log: Path) -> str:
    """The last lines of a log, indented."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:] or ["(empty)"])


def login_body(settings: Settings) -> str:
    """What the first line of the block sends, from a file: it works with any password, and
    shows none."""
    return json.dumps({"username": settings.admin_username, "password": settings.admin_password})


def ready_block(plan: Plan, login: Path) -> str:
    """Everything that a person needs to begin. `login` holds the body of the login request."""
    settings = plan.settings
    url = settings.local_url
    if plan.password_file is None:
        password = "with the ADMIN_PASSWORD that you gave"  # noqa: S105
    elif plan.password_is_new:
        password = f"password {settings.admin_password} (shown once; kept in {plan.password_file})"
    else:
        password = f"password in {plan.password_file}"
    facts = [
        ("Page", f"{url}/"),
        ("API", f"{url}/api/v1"),
        ("Docs", f"{url}/api/docs"),
        (
            "Flower",
            f"http://127.0.0.1:{settings.flower_port}/{settings.flower_url_prefix}".rstrip("/"),
        ),
        ("Login", f"{settings.admin_username}, {password}"),
        ("Data", str(settings.data_dir)),
        ("Logs", str(settings.data_dir / "logs")),
    ]
    if plan.loopback_allowed:
        facts.append(("Egress", "webhooks on loopback are allowed (EGRESS_ALLOW is not set)"))

    as_json = "-H 'Content-Type: application/json'"
    send = f'curl -sS -H "Authorization: Bearer $TOKEN" {as_json}'
    webhook = json.dumps({"name": "demo", "url": "http://127.0.0.1:9000/hook"})
    alert = json.dumps({"title": "Disk almost full", "severity": "critical"})
    read_token = shlex.quote('import json, sys; print(json.load(sys.stdin)["access_token"])')
    return "\n".join(
        [
            "",
            "Tocsin is ready.",
            *(f"  {name:<8}{value}" for name, value in facts),
            "Log in, add a webhook, raise an alert:",
            f"  TOKEN=$(curl -sS {as_json} -d {shlex.quote(f'@{login}')} {url}/api/v1/auth/login"
            f" | python3 -c {read_token})",
            f"  {send} -d {shlex.quote(webhook)} {url}/api/v1/webhooks",
            f"  {send} -d {shlex.quote(alert)} {url}/api/v1/alerts",
            "Ctrl-C stops everything; the data stays.",
        ]
    )
