"""Baselines over REST: a week of samples, a baseline, an incident that is left out, and back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.checks import page, refused
from tests.acceptance.test_jobs import run
from tests.harness.client import Client
from tests.harness.system import System
from tests.harness.waiting import eventually, until_far_from_the_next

PAY = "checkout/pay"
BASELINES = "/api/v1/baselines"
SCHEDULES = f"{BASELINES}/schedules"
JOB = "/api/v1/jobs/baseline-recalc/executions"
pytestmark = pytest.mark.usefixtures("one_hour")
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
EVERY = timedelta(minutes=2)
CONTRACT = {
    *("operation", "version", "sample_count", "computed_at", "mean", "stddev", "mad"),
    *("p50", "p75", "p90", "p95", "p99"),
}


@pytest.fixture(autouse=True)
def within_one_hour() -> None:
    """What was fed up to the last full hour is to be up to the last full hour still."""
    until_far_from_the_next(3600, 30)


def top_of_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def send(client: Client, operation: str, at: Sequence[datetime], value: float) -> None:
    """A sample at each of these times, `value` and a little more each time up to 10 more."""
    for begin in range(0, len(at), 10_000):
        samples = [
            {
                "operation": operation,
                "value": value + place % 11,
                "unit": "ms",
                "timestamp": moment.isoformat(),
            }
            for place, moment in enumerate(at[begin : begin + 10_000])
        ]
        answer = client.post("/api/v1/metrics", json={"samples": samples})
        assert answer.status_code == 201, answer.text


def between(since: datetime, until: datetime) -> list[datetime]:
    return [since + EVERY * place for place in range(int((until - since) / EVERY))]


def recalculate(client: Client, operation: str | None = PAY) -> dict[str, Any]:
    """Ask for it; the execution once it is over."""
    body = {} if operation is None else {"operation": operation}
    answer = client.post(f"{BASELINES}/recalculate", json=body)
    assert answer.status_code == 202, answer.text
    asked = answer.json()

    def over() -> dict[str, Any] | None:
        (found,) = (
            one
            for one in client.get(f"{JOB}?limit=100").json()["items"]
            if one["id"] == asked["id"]
        )
        return found if found["status"] not in {"queued", "running"} else None

    found = eventually(over, 60, "the recalculation")
    assert found is not None
    assert found["status"] == "succeeded", found
    assert found["arguments"] == {"operation": operation}
    return found


def baseline(client: Client, operation: str = PAY) -> dict[str, Any]:
    (item,) = page(client.get(BASELINES, params={"operation": operation}))["items"]
    found: dict[str, Any] = item
    return found


def versions(client: Client, **filters: Any) -> list[tuple[int, str]]:
    asked = {"operation": PAY} | filters
    items = page(client.get(f"{BASELINES}/versions", params=asked))["items"]
    assert all("slots" not in one for one in items)
    return [(one["version"], one["status"]) for one in items]


def test_a_week_of_samples_gives_a_baseline_that_an_incident_does_not_spoil(
    client: Client, system: System
) -> None:
    # Inactive: no tick makes a version of its own in between.
    asked_only = {"operation": PAY, "is_active": False}
    assert client.post(SCHEDULES, json=asked_only).status_code == 201
    week = between(top_of_hour() - WEEK, top_of_hour())
    send(client, PAY, week, 100)
    assert recalculate(client)["result"]["succeeded"] == 1
    first = baseline(client)
    assert first.keys() >= CONTRACT
    assert (first["version"], first["sample_count"], first["status"]) == (1, len(week), "active")
    assert 104 <= first["p50"] <= 106
    assert first["mean"] == pytest.approx(105, abs=0.1)
    assert first["mad"] == pytest.approx(3, abs=1)
    assert [one["slot"] for one in first["slots"]] == list(range(168))
    assert first["slots"][38].items() >= {"day": "tue", "hour": 14, "sample_count": 30}.items()
    assert first["slots"][38].keys() >= {"p50", "p99", "mean", "stddev", "mad"}
    assert first["left_out"] == []

    # Two hours, three days ago, at which it was ten times as slow. First nobody knew of it.
    began = top_of_hour() - timedelta(days=3)
    send(client, PAY, between(began, began + 2 * HOUR), 1000)
    recalculate(client)
    spoilt = baseline(client)
    assert (spoilt["version"], spoilt["sample_count"]) == (2, len(week) + 60)
    assert spoilt["p99"] > 1000

    alert = client.raise_alert(title="Slow", labels={"operation": PAY})
    client.post(f"/api/v1/alerts/{alert['id']}/resolve")
    with system.sql() as sql:  # as if it had been raised then
        sql.execute(
            "UPDATE pggit.alerts SET created_at = %s, resolved_at = %s WHERE id = %s",
            [began, began + 2 * HOUR, alert["id"]],
        )
    recalculate(client)
    third = baseline(client)
    assert third["version"] == 3
    assert third["p99"] == pytest.approx(110, abs=1)
    assert [(one["reason"], one["id"]) for one in third["left_out"]] == [("alert", alert["id"])]
    assert third["left_out_hours"] == 4
    assert third["sample_count"] == len(week) - 4 * 30
    assert third["back_test"]["fired"] == 0
    assert versions(client) == [(3, "active"), (2, "superseded"), (1, "superseded")]

    back = client.post(f"{BASELINES}/rollback", json={"operation": PAY, "version": 1})
    assert back.status_code == 200, back.text
    assert back.json() == baseline(client)
    assert (back.json()["version"], back.json()["mean"]) == (1, first["mean"])
    assert versions(client, status="rolled_back") == [(3, "rolled_back")]
    refused(client.post(f"{BASELINES}/rollback", json={"operation": PAY}), 409)
    refused(client.post(f"{BASELINES}/rollback", json={"operation": PAY, "version": 9}), 404)
    refused(client.post(f"{BASELINES}/rollback", json={"operation": "nothing"}), 404)


def test_operations_get_a_schedule_and_a_baseline_by_themselves(client: Client) -> None:
    send(client, PAY, between(top_of_hour() - 12 * HOUR, top_of_hour()), 100)
    assert recalculate(client, None)["result"]["succeeded"] >= 1
    (schedule,) = page(client.get(SCHEDULES, params={"operation": PAY}))["items"]
    assert schedule["is_default"]
    assert schedule["last_status"] == "succeeded"
    assert schedule["last_version"] == baseline(client)["version"]
    assert (schedule["frequency_seconds"], schedule["lookback_days"]) == (86_400, 28)
    assert schedule["minimum_samples"] == 100
    assert schedule["next_run_at"] > schedule["last_run_at"]


def test_nobody_asks_for_an_operation_without_samples(client: Client) -> None:
    refused(client.post(f"{BASELINES}/recalculate", json={"operation": "x"}), 422, "operation")
    assert page(client.get(BASELINES, params={"operation": "x"}))["items"] == []


BODY = {"operation": PAY}
FULL = {
    "operation": PAY,
    "frequency_seconds": 3600,
    "lookback_days": 7,
    "minimum_samples": 5000,
    "is_active": False,
    "next_run_at": "2030-01-01T00:00:00+00:00",
}
DEFAULTS = {
    "frequency_seconds": 86_400,
    "lookback_days": 28,
    "minimum_samples": 100,
    "is_active": True,
}


class TestSchedules:
    def make(self, client: Client, **fields: Any) -> dict[str, Any]:
        # Far away, so that no tick changes it behind the test's back.
        later = {"next_run_at": FULL["next_run_at"]}
        answer = client.post(SCHEDULES, json=BODY | later | fields)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def test_one_is_made_found_changed_and_removed(self, client: Client) -> None:
        made = self.make(client)
        assert made.items() >= (BODY | DEFAULTS | {"is_default": False}).items()
        path = f"{SCHEDULES}/{made['id']}"
        assert client.get(path).json() == made
        assert page(client.get(SCHEDULES, params={"operation": PAY}))["items"] == [made]

        full = client.put(path, json=FULL).json()
        assert full == made | FULL | {"updated_at": full["updated_at"]}
        patched = client.patch(path, json={"lookback_days": 14}).json()
        assert patched == full | {"lookback_days": 14, "updated_at": patched["updated_at"]}
        refused(client.patch(path, json={"operation": "another"}), 422, "operation")
        refused(client.post(SCHEDULES, json=BODY), 409)

        assert client.delete(path).status_code == 204
        for again in (
            client.get(path),
            client.put(path, json=FULL),
            client.patch(path, json={"lookback_days": 1}),
            client.delete(path),
        ):
            refused(again, 404)

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("operation", ["", "a" * 201, None, 1]),
            ("frequency_seconds", [299, 2_592_001, None, "3600", 1.5, True]),
            ("lookback_days", [0, 366, None, "7"]),
            ("minimum_samples", [0, None, "1"]),
            ("is_active", [1, None, "true"]),
            ("next_run_at", [None, "soon", 1]),
            ("last_status", ["failed"]),
        ],
    )
    def test_what_is_wrong_is_refused(
        self, client: Client, field: str, wrong: Sequence[Any]
    ) -> None:
        made = self.make(client)
        path = f"{SCHEDULES}/{made['id']}"
        for value in wrong:
            for answer in (
                client.post(SCHEDULES, json={"operation": "other"} | {field: value}),
                client.put(path, json=BODY | {field: value}),
                client.patch(path, json={field: value}),
            ):
                refused(answer, 422, field)
        assert client.get(path).json() == made


def test_what_degrades_together_is_an_incident(client: Client) -> None:
    """`db` leaves its baseline half an hour ago, `api` goes with it."""
    # Buckets of five minutes that are over, and one that is being filled: no new one meanwhile.
    until_far_from_the_next(300, 15)
    now = datetime.now(UTC)
    last = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0)
    for operation in ("api", "db"):
        send(client, operation, between(last - timedelta(days=1), last - HOUR / 2), 100)
    recalculate(client, None)
    send(client, "db", between(last - HOUR / 2, last), 1000)
    send(client, "api", between(last - HOUR / 3, last), 500)

    def look() -> list[dict[str, Any]]:
        run(client, "metrics-roll")
        run(client, "correlate-incidents")
        found: list[dict[str, Any]] = page(
            client.get("/api/v1/incidents", params={"status": "open", "operation": "api"})
        )["items"]
        return found

    (incident,) = eventually(look, 30, "an incident")
    assert client.get(f"/api/v1/incidents/{incident['id']}").json() == incident
    assert incident["cause_operation"] == "db"
    assert "db left its baseline first" in incident["summary"]
    cause, other = incident["members"]
    assert (cause["operation"], cause["is_cause"], cause["correlation"]) == ("db", True, None)
    assert (other["operation"], other["is_cause"]) == ("api", False)
    assert other["correlation"] >= 0.75
    assert other["value"] > other["usual_high"]
    assert page(client.get("/api/v1/incidents", params={"operation": "web"}))["items"] == []
    refused(client.get(f"/api/v1/incidents/{incident['id'] + 1000}"), 404)
    refused(client.get("/api/v1/incidents", params={"status": "gone"}), 422, "status")
