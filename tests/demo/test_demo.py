"""`make demo` as a person starts it: alive, told by the API alone; stopped, gone without a trace.

One test, since it needs a whole system of its own. By hand, all of it is seen within a minute of
the ready block (docs/demo.md); a machine that runs a suite beside it gets three.
"""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from app.adapters.embedded import free_port
from tests.harness.client import Client
from tests.harness.system import (
    ROOT,
    START_WITHIN_SECONDS,
    STOP_WITHIN_SECONDS,
    clean_environment,
    data_dir,
)
from tests.harness.waiting import eventually

ALIVE_WITHIN_SECONDS = 180.0
# The rate limit is as it is by default, for us as well.
LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Demo:
    process: "subprocess.Popen[bytes]"
    data_dir: Path
    url: str
    receiver_url: str
    output: Path

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]


@contextmanager
def running(folder: Path, ports: tuple[int, int, int]) -> Iterator[Demo]:
    """Started, and stopped with all that it started."""
    port, flower_port, receiver_port = ports
    output = folder.with_name(f"{folder.name}.log")
    environment = clean_environment(
        {
            "DATA_DIR": str(folder),
            "PORT": str(port),
            "FLOWER_PORT": str(flower_port),
            "DEMO_PORT": str(receiver_port),
        }
    )
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url, receiver_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{receiver_port}"
    demo = Demo(process, folder, url, receiver_url, output)
    try:
        eventually(lambda: is_up(demo), START_WITHIN_SECONDS, "the demo's block")
        yield demo
    finally:
        family = demo.family() if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN_SECONDS)
        finally:
            _gone, left = psutil.wait_procs(family, timeout=5)
            for one in left:
                one.kill()
            output.unlink()
    assert not left, f"processes were left behind: {left}"


def is_up(demo: Demo) -> bool:
    assert demo.process.poll() is None, demo.said()
    return "The demo is running" in demo.said()


def items(client: Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def any_of(client: Client, path: str, holds: Callable[[dict[str, Any]], Any]) -> Callable[[], bool]:
    """Is there one in this list of which it holds?"""
    return lambda: any(holds(one) for one in items(client, path))


def was_told_with_others(client: Client) -> bool:
    for alert in items(client, "/alerts?source=blackbox&limit=2"):
        said = client.get(f"/api/v1/alerts/{alert['id']}/explain").json()["decisions"]
        if any(one["reason"] == "told_with_group" for one in said):
            return True
    return False


def cache_hits(client: Client) -> int:
    stats = client.get("/api/v1/cache/stats").json()
    return int(stats["l1"]["hits"])


def set_up(client: Client) -> dict[str, list[str]]:
    """What a second run must not double, by name."""
    named = {
        path: sorted(str(one["name"]) for one in items(client, f"/{path}?limit=100"))
        for path in ("webhooks", "routing-rules", "inhibition-rules", "api-keys")
    }
    named["users"] = sorted(one["username"] for one in items(client, "/users"))
    named["silences"] = sorted(one["comment"] for one in items(client, "/silences"))
    return named


def test_everything_is_alive_and_stops_and_is_found_again() -> None:
    ports = free_port(), free_port(), free_port()
    with data_dir() as outer:
        folder = outer / "demo"
        with running(folder, ports) as demo:
            client = Client(demo.url).login(
                "admin", (folder / "admin-password").read_text(encoding="utf-8")
            )
            hits_before = cache_hits(client)
            seen: dict[str, Callable[[], bool]] = {
                "a delivery": any_of(client, "/deliveries?status=delivered", bool),
                "one that failed after a retry": any_of(
                    client, "/deliveries?status=failed", lambda one: len(one["attempts"]) > 1
                ),
                "an unavailable webhook": any_of(
                    client, "/webhooks?health_status=unavailable", bool
                ),
                "one that depends on it": any_of(
                    client, "/webhooks?limit=100", lambda one: one["depends_on"]
                ),
                "a webhook that answered 410": any_of(
                    client, "/webhooks?limit=100", lambda one: one["disabled_reason"] == "gone"
                ),
                "a job that ran": any_of(
                    client, "/jobs/beat-heartbeat/executions", lambda one: one["finished_at"]
                ),
                "an acknowledged alert": any_of(
                    client, "/alerts?status=acknowledged", lambda one: one["acknowledged_by"]
                ),
                "an alert of Alertmanager's": any_of(client, "/alerts?source=alertmanager", bool),
                "a grouped delivery": lambda: was_told_with_others(client),
                "cache hits": lambda: cache_hits(client) > hits_before,
                "a baseline": any_of(client, "/baselines", lambda one: one["slots"]),
                "an open anomaly": any_of(
                    client, "/anomalies", lambda one: one["ended_at"] is None and one["alert_id"]
                ),
            }
            for what, is_seen in seen.items():
                eventually(is_seen, ALIVE_WITHIN_SECONDS, what, every=LOOK_EVERY_SECONDS)

            # Who is sent to verifies, and found nothing wrong.
            counts = client.as_nobody()
            counts.base_url = demo.receiver_url
            received = counts.get("/").json()["webhooks"]
            assert sum(one["accepted"] for one in received.values()) > 0
            assert sum(one["bad_signatures"] for one in received.values()) == 0
            # Nobody of it runs into the rate limit.
            feeder_log = (folder / "logs" / "feeder.log").read_text(encoding="utf-8")
            assert "rate limit" not in feeder_log

            # The feeder may die: the rest stays, it comes back, and doubles nothing.
            before = set_up(client)
            family = demo.family()
            feeder = next(one for one in family if "demo.feeder" in one.cmdline())
            runs = feeder_log.count("silences and schedules are there")
            feeder.kill()
            eventually(
                lambda: (
                    (folder / "logs" / "feeder.log")
                    .read_text(encoding="utf-8")
                    .count("silences and schedules are there")
                    > runs
                ),
                ALIVE_WITHIN_SECONDS,
                "the feeder's return",
            )
            assert set_up(client) == before
            assert demo.process.poll() is None
            assert {one.pid for one in family} - {feeder.pid} <= {one.pid for one in demo.family()}

        assert demo.process.returncode == 0
        for port in ports:
            assert not listens(port)
        assert (folder / "demo-only").exists()
        kept = json.loads((folder / "secrets" / "demo.json").read_text(encoding="utf-8"))
        assert set(kept["webhooks"]) == set(before["webhooks"])


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
