"""The dead man's switch of a system that runs: what it did is a run like any other."""

from typing import Any

from tests.harness.client import Client
from tests.harness.waiting import eventually

JOB = "/api/v1/jobs/dead-mans-switch"


def test_its_calls_are_runs_of_a_job(client: Client) -> None:
    asked = client.post(f"{JOB}/run")
    assert asked.status_code == 202

    def over() -> dict[str, Any]:
        for one in client.get(f"{JOB}/executions").json()["items"]:
            if one["id"] == asked.json()["id"] and one["status"] in {"succeeded", "failed"}:
                found: dict[str, Any] = one
                return found
        return {}

    run = eventually(over, 30, "the run")
    assert (run["status"], run["error"]) == ("succeeded", None)
    assert (run["result"]["called"], run["result"]["http_status"]) == (True, 200)
    part = client.get("/health/deep").json()["checks"]["heartbeat"]
    assert part["status"] == "healthy"
    assert part["data"]["last_call_seconds"] < 300
