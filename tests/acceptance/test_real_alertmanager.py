"""The real Prometheus Alertmanager, from Debian, sends to a Tocsin that runs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from app.adapters.embedded import free_port
from benchmarks.debian import ALERTMANAGERS_TEMPLATE
from tests.harness.client import Client
from tests.harness.debian import called, program
from tests.harness.programs import running_program
from tests.harness.system import System
from tests.harness.waiting import eventually

PACKAGE = "prometheus-alertmanager"
# As docs/integrations.md has it, but for the pace.
ROUTE = {
    "receiver": "tocsin",
    "group_by": ["alertname"],
    "group_wait": "0s",
    "group_interval": "1s",
    "repeat_interval": "1h",
}


@pytest.fixture
def alertmanager(client: Client, system: System, tmp_path: Path) -> Iterator[str]:
    """Its address. It sends to Tocsin, as a machine with an API key of its own."""
    binary = program(PACKAGE, PACKAGE)
    made = client.post("/api/v1/api-keys", json={"name": "alertmanager", "role": "operator"})
    hook = {
        "url": f"{system.url}/api/v1/integrations/alertmanager",
        "send_resolved": True,
        "http_config": {"authorization": {"credentials": made.json()["key"]}},
    }
    config = tmp_path / "alertmanager.yml"
    # JSON, which is YAML too.
    config.write_text(
        json.dumps({"route": ROUTE, "receivers": [{"name": "tocsin", "webhook_configs": [hook]}]})
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        *called(binary, ALERTMANAGERS_TEMPLATE),
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        "--cluster.listen-address=",
        f"--web.listen-address={address}",
    ]
    with running_program(command, {}, tmp_path / "log"):
        eventually(lambda: _is_ready(address), 60, "Alertmanager")
        yield f"http://{address}"


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/-/ready", timeout=5).ok
    except requests.ConnectionError:
        return False


def raised(name: str, host: str, ends_at: datetime | None = None) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "labels": {"alertname": name, "instance": host, "severity": "critical"},
        "annotations": {"summary": f"{name} on {host}", "description": "97 %"},
        "generatorURL": "http://prometheus.example/graph",
    }
    return alert if ends_at is None else alert | {"endsAt": ends_at.isoformat()}


def tell(alertmanager: str, *alerts: dict[str, Any]) -> None:
    """As Prometheus does."""
    requests.post(f"{alertmanager}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()


def known(client: Client) -> dict[str, dict[str, Any]]:
    items = client.get("/api/v1/alerts?limit=100&source=alertmanager").json()["items"]
    return {one["title"]: one for one in items}


def test_groups_fire_grow_and_end(client: Client, alertmanager: str) -> None:
    tell(alertmanager, raised("DiskFull", "db-1"), raised("DiskFull", "db-2"))
    eventually(lambda: len(known(client)) == 2, 30, "both alerts of the group")
    first = known(client)["DiskFull on db-1"]
    assert (first["severity"], first["status"], first["count"]) == ("critical", "pending", 1)
    assert first["message"] == "97 %\nSource: http://prometheus.example/graph"
    assert first["labels"]["instance"] == "db-1"

    # The group has changed, so Alertmanager tells of all of it again.
    tell(alertmanager, raised("DiskFull", "db-3"))
    eventually(lambda: len(known(client)) == 3, 30, "the third alert")
    assert [one["count"] for one in known(client).values()] == [1, 1, 1]

    ended = datetime.now(UTC) - timedelta(seconds=1)
    tell(alertmanager, raised("DiskFull", "db-1", ended))
    eventually(
        lambda: known(client)["DiskFull on db-1"]["status"] == "resolved", 30, "the end of one"
    )
    statuses = {title: one["status"] for title, one in known(client).items()}
    assert statuses == {
        "DiskFull on db-1": "resolved",
        "DiskFull on db-2": "pending",
        "DiskFull on db-3": "pending",
    }
    assert known(client)["DiskFull on db-1"]["resolved_by"] == "alertmanager"

    # It fires again: another alert.
    tell(alertmanager, raised("DiskFull", "db-1"))
    eventually(
        lambda: (
            client.get("/api/v1/alerts?status=pending&source=alertmanager").json()["total"] == 3
        ),
        30,
        "the same alert, again",
    )
    assert client.get("/api/v1/alerts?source=alertmanager").json()["total"] == 4
