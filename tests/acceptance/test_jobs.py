"""Scheduled jobs: every tick once, whatever happens; runs by hand; what the purge takes away."""

import ast
import sys
from collections import defaultdict
from typing import Any

import requests

import beat_schedule
from tests.acceptance.steps import moment, running_program, settled
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import PASSWORD, System
from tests.harness.waiting import eventually

CHECK_EVERY_SECONDS = beat_schedule.JOBS["health-check"]["interval_seconds"]


def executions(client: Client, name: str) -> list[dict[str, Any]]:
    """The last of a job's runs, the newest first."""
    answer = client.get(f"/api/v1/jobs/{name}/executions?limit=100")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def run(client: Client, name: str) -> dict[str, Any]:
    """Run a job by hand; its execution once it is over."""
    answer = client.post(f"/api/v1/jobs/{name}/run")
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    assert (asked["status"], asked["trigger"], asked["slot"]) == ("queued", "manual", None)

    def over() -> dict[str, Any] | None:
        (found,) = (one for one in executions(client, name) if one["id"] == asked["id"])
        return found if found["status"] not in {"queued", "running"} else None

    # A hint that was lost is repeated by beat's heartbeat.
    found = eventually(over, 30, f"the run of {name}")
    assert found is not None
    return found


def test_the_list_is_the_schedule(client: Client) -> None:
    page = client.get("/api/v1/jobs").json()

    assert page["total"] == len(beat_schedule.JOBS)
    shown = {
        one["name"]: (one["interval_seconds"], one["lane"], one["description"])
        for one in page["items"]
    }
    assert shown == {
        name: (job["interval_seconds"], job["lane"], job["description"])
        for name, job in beat_schedule.JOBS.items()
    }
    for one in page["items"]:
        due = moment(one["next_due_at"]).timestamp()
        assert due % one["interval_seconds"] == 0, one["name"]


def test_a_tick_is_an_execution_with_its_slot(client: Client) -> None:
    newest = eventually(
        lambda: [one for one in executions(client, "health-check") if one["slot"]][:1],
        2 * CHECK_EVERY_SECONDS + 10,
        "a tick",
    )[0]

    assert newest["trigger"] == "schedule"
    assert moment(newest["scheduled_for"]).timestamp() == newest["slot"] * CHECK_EVERY_SECONDS
    assert moment(newest["scheduled_for"]) <= moment(newest["started_at"])
    assert newest["worker"].startswith("health-")
    jobs = {one["name"]: one for one in client.get("/api/v1/jobs").json()["items"]}
    assert jobs["health-check"]["last_execution"]["id"] >= newest["id"]


def test_every_job_runs_by_hand(client: Client) -> None:
    for name, job in beat_schedule.JOBS.items():
        execution = run(client, name)
        assert execution["status"] == "succeeded", execution
        assert execution["error"] is None
        assert isinstance(execution["result"], dict)
        assert execution["duration_ms"] > 0
        assert execution["worker"].startswith(job["lane"])
        assert moment(execution["started_at"]) <= moment(execution["finished_at"])


def test_there_is_no_other_job(client: Client) -> None:
    assert client.get("/api/v1/jobs/nothing/executions").status_code == 404
    assert client.post("/api/v1/jobs/nothing/run").status_code == 404


def test_with_two_beats_a_tick_runs_once(client: Client, system: System) -> None:
    """Flower shows what the workers were told, the table what they made of it."""
    before = max((one["slot"] or 0 for one in executions(client, "health-check")), default=0)

    def told() -> dict[int, list[str]]:
        """For each slot since, the results of the tasks that came for it."""
        tasks = requests.get(
            f"{system.flower_url}/api/tasks?taskname=webhooks.check_health",
            auth=("admin", PASSWORD),
            timeout=10,
        ).json()
        results = defaultdict(list)
        for task in tasks.values():
            slot = ast.literal_eval(task["kwargs"]).get("slot")
            if slot is not None and slot > before and task["state"] == "SUCCESS":
                results[slot].append(task["result"])
        return results

    def told_twice() -> dict[int, list[str]]:
        twice = {slot: results for slot, results in told().items() if len(results) == 2}
        return twice if len(twice) >= 2 else {}

    with running_program(system, [sys.executable, "-m", "tasks.beat"]):
        twice = eventually(told_twice, 45, "two slots that both beats sent")

    for slot, results in twice.items():
        skipped = ["skipped" in result for result in results]
        assert sorted(skipped) == [False, True], (slot, results)
    slots = [one["slot"] for one in executions(client, "health-check") if one["slot"]]
    since = sorted(slot for slot in slots if slot >= min(twice))
    assert since == list(range(min(twice), min(twice) + len(since)))
    assert set(twice) <= set(since)


def test_a_missed_tick_is_reported(client: Client, system: System) -> None:
    """As after a night in which nothing ran: history ends five slots ago."""
    with system.sql() as sql, sql.transaction():
        # Nobody begins a run between the two statements.
        sql.execute("LOCK TABLE pggit.scheduled_job_execution IN EXCLUSIVE MODE")
        sql.execute("DELETE FROM pggit.scheduled_job_execution WHERE job_name = 'health-check'")
        row = sql.execute(
            "INSERT INTO pggit.scheduled_job_execution"
            " (job_name, slot, trigger, status, scheduled_for)"
            " SELECT 'health-check', floor(extract(epoch FROM clock_timestamp()) / %s) - 5,"
            " 'schedule', 'succeeded', now() RETURNING slot",
            [CHECK_EVERY_SECONDS],
        ).fetchone()
    assert row is not None
    last: Any = row[0]

    later = eventually(
        lambda: [one for one in executions(client, "health-check") if one["slot"] != last],
        3 * CHECK_EVERY_SECONDS,
        "the next run",
    )

    following = min((one for one in later if one["slot"]), key=lambda one: int(one["slot"]))
    assert following["missed_ticks"] == following["slot"] - last - 1 >= 4
    jobs = {one["name"]: one for one in client.get("/api/v1/jobs").json()["items"]}
    assert jobs["health-check"]["missed_ticks_24h"] >= following["missed_ticks"]
    logs = (system.data_dir / "logs").glob("health_*.log")
    assert any('"action":"ticks_missed"' in log.read_text(encoding="utf-8") for log in logs)


def test_the_purge_takes_what_is_old_and_over(
    client: Client, receiver: Receiver, system: System
) -> None:
    told = client.make_webhook(receiver.url("/told"))
    later = client.make_webhook(receiver.url("/later"), retry_schedule_seconds=[3600])
    left = client.make_webhook(receiver.url("/left"))
    idle = client.make_webhook(receiver.url("/idle"), retry_schedule_seconds=[3600])
    for webhook in (told, later, left, idle):
        checked = f"/api/v1/webhooks/{webhook['id']}/check"
        assert client.post(checked).status_code in {200, 409}

    def alert(title: str, webhook: dict[str, Any], key: str) -> int:
        answer = client.post(
            "/api/v1/alerts",
            json={"title": title, "severity": "info", "webhook_ids": [webhook["id"]]},
            headers={"Idempotency-Key": key},
        )
        assert answer.status_code == 201
        raised: int = answer.json()["id"]
        return raised

    old, young = alert("old", told, "old"), alert("young", told, "young")
    old_and_open, for_idle = alert("old and open", later, "open"), alert("idle", idle, "idle")
    for alert_id in (old, young):
        settled(client, alert_id)
    assert client.patch(f"/api/v1/webhooks/{idle['id']}", json={"is_active": False}).ok
    assert client.delete(f"/api/v1/webhooks/{left['id']}").status_code == 204
    with system.sql() as sql:
        for statement, values in (
            (
                "UPDATE pggit.alerts SET created_at = now() - interval '31 days'"
                " WHERE id = ANY(%s)",
                [old, old_and_open],
            ),
            (
                "UPDATE pggit.webhook_health_checks SET checked_at = now() - interval '31 days'"
                " WHERE webhook_id = ANY(%s)",
                [told["id"]],
            ),
            (
                "UPDATE pggit.idempotent_requests SET created_at = now() - interval '25 hours'"
                " WHERE key = ANY(%s)",
                ["old", "open"],
            ),
            (
                "UPDATE pggit.webhooks SET deleted_at = now() - interval '31 days'"
                " WHERE id = ANY(%s)",
                [left["id"]],
            ),
            (
                "UPDATE pggit.webhooks SET updated_at = now() - interval '8 days'"
                " WHERE id = ANY(%s)",
                [idle["id"]],
            ),
            (
                "INSERT INTO pggit.scheduled_job_execution"
                " (job_name, trigger, status, scheduled_for, created_at)"
                " SELECT name, 'manual', 'succeeded', now(), now() - interval '8 days'"
                " FROM unnest(%s::text[]) AS name",
                ["purge-history", "purge-history"],
            ),
        ):
            sql.execute(statement, [values])

    result = run(client, "purge-history")["result"]

    assert result["alerts"] == 1
    assert client.get(f"/api/v1/alerts/{old}").status_code == 404
    assert client.get(f"/api/v1/alerts/{young}").status_code == 200
    assert client.get(f"/api/v1/alerts/{old_and_open}").status_code == 200
    # With all that hung on it.
    assert client.get("/api/v1/deliveries").json()["total"] == 3
    assert client.deliveries(old_and_open)[0]["status"] == "pending"

    assert result["health_checks"] >= 1
    assert client.get(f"/api/v1/webhooks/{told['id']}/health/history").json()["total"] == 0
    assert client.get(f"/api/v1/webhooks/{later['id']}/health/history").json()["total"] >= 1

    assert result["job_executions"] == 2
    assert result["idempotent_requests"] == 2
    assert result["deleted_webhooks"] == 1

    # Whom nobody can tell any more is not owed for ever.
    assert result["cancelled_for_disabled_webhooks"] == 1
    (cancelled,) = client.deliveries(for_idle)
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "webhook_disabled")
