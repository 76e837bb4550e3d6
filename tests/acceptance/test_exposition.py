"""/metrics: who may see it, what is in it, and that Prometheus' own tool has nothing to say."""

import subprocess
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import beat_schedule
from tests.acceptance.checks import refused
from tests.acceptance.steps import another_web, settled
from tests.harness.client import Client
from tests.harness.debian import program
from tests.harness.receiver import Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

TOKEN = "a token for the scraper"
EXPECTED = {
    "tocsin_build_info",
    "tocsin_broker_up",
    "tocsin_broker_messages",
    "tocsin_database_up",
    "tocsin_queue_undelivered",
    "tocsin_queue_in_flight",
    "tocsin_queue_oldest_due_seconds",
    "tocsin_dead_letters",
    "tocsin_delivery_paused",
    "tocsin_webhooks",
    "tocsin_webhooks_inactive",
    "tocsin_webhooks_gate_closed",
    "tocsin_alerts_open",
    "tocsin_job_last_success_timestamp_seconds",
    "tocsin_job_last_duration_seconds",
    "tocsin_job_missed_ticks",
    "tocsin_workers",
    "tocsin_database_connections",
    "tocsin_database_connections_limit",
    "tocsin_metric_inbox_samples",
    "tocsin_deliveries",
    "tocsin_job_runs",
    "tocsin_api_responses",
    "tocsin_metrics_dropped",
    "tocsin_delivery_duration_seconds",
    "tocsin_check_duration_seconds",
    "tocsin_api_request_duration_seconds",
}


def scraped(system: System) -> list[Sample]:
    answer = requests.get(f"{system.url}/metrics", timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return [
        sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    ]


def value(system: System, name: str, **labels: str) -> float:
    """0 for one that is not there."""
    found = [one.value for one in scraped(system) if (one.name, one.labels) == (name, labels)]
    return found[0] if found else 0.0


def test_it_has_what_there_is_to_watch(client: Client, system: System) -> None:
    answer = requests.get(f"{system.url}/metrics", timeout=30)
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert families == EXPECTED
    assert value(system, "tocsin_database_up") == 1
    assert value(system, "tocsin_broker_up") == 1
    for lane, alive in {"deliver": 2, "health": 2, "jobs": 1}.items():
        assert value(system, "tocsin_workers", lane=lane) == alive
    assert value(system, "tocsin_database_connections", state="active") >= 1


def test_promtool_has_nothing_to_say(client: Client, receiver: Receiver, system: System) -> None:
    promtool = program("prometheus", "promtool")
    client.make_webhook(receiver.url("/hook"))
    settled(client, client.raise_alert()["id"])
    eventually(
        lambda: value(system, "tocsin_delivery_duration_seconds_count", outcome="delivered"),
        what="a histogram",
    )
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        answer = requests.get(f"{system.url}/metrics", headers={"accept": accept}, timeout=30)
        # The tool reads the plain format only.
        if accept == "text/plain":
            checked = subprocess.run(
                [promtool, "check", "metrics"],
                input=answer.content,
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
        else:
            assert answer.headers["content-type"].startswith("application/openmetrics-text")
            assert answer.text.endswith("# EOF\n")


def test_it_counts_what_is_delivered(client: Client, receiver: Receiver, system: System) -> None:
    """All processes' counts, a few seconds late: those of an earlier test may come in, too."""
    client.make_webhook(receiver.url("/hook"))
    for _ in range(3):
        settled(client, client.raise_alert()["id"])

    def told() -> tuple[float, float]:
        return (
            value(system, "tocsin_deliveries_total", outcome="delivered"),
            value(system, "tocsin_delivery_duration_seconds_count", outcome="delivered"),
        )

    eventually(lambda: min(told()) >= 3, 30, "three deliveries")
    buckets = [
        (float(one.labels["le"]), one.value)
        for one in scraped(system)
        if one.name == "tocsin_delivery_duration_seconds_bucket"
        and one.labels["outcome"] == "delivered"
    ]
    assert buckets == sorted(buckets)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    edge, count = buckets[-1]
    assert (edge, count >= 3) == (float("inf"), True)


def test_open_alerts_are_counted_by_status_and_severity(client: Client, system: System) -> None:
    alert = client.raise_alert(severity="warning")
    client.raise_alert(severity="info")
    client.post(f"/api/v1/alerts/{alert['id']}/acknowledge")
    open_alerts = {
        (one.labels["status"], one.labels["severity"]): one.value
        for one in scraped(system)
        if one.name == "tocsin_alerts_open"
    }
    assert open_alerts["acknowledged", "warning"] == 1
    assert open_alerts["pending", "info"] == 1
    assert len(open_alerts) == 6


def test_no_label_is_made_up_by_a_client_or_a_webhook(
    client: Client, receiver: Receiver, system: System
) -> None:
    """Labels have few values: so many series, and not one more whatever is sent."""
    client.make_webhook(receiver.url("/hook"), name="a-name-of-mine")
    client.raise_alert(title="a-title-of-mine", labels={"a-label": "of-mine"}, source="a-source")
    client.get("/api/v1/no-such-route-of-mine")
    client.request("PROPFIND", "/api/v1/alerts")
    eventually(
        lambda: value(system, "tocsin_api_responses_total", status="4xx"), what="the answers"
    )
    text = requests.get(f"{system.url}/metrics", timeout=30).text
    assert "of-mine" not in text
    assert "a-source" not in text
    assert "PROPFIND" not in text


def test_jobs_say_when_they_last_succeeded(client: Client, system: System) -> None:
    name = "tocsin_job_last_success_timestamp_seconds"
    eventually(lambda: value(system, name, job="beat-heartbeat"), 30, "a run")
    jobs = {one.labels["job"] for one in scraped(system) if "job" in one.labels}
    assert jobs <= set(beat_schedule.JOBS)
    runs = {"job": "beat-heartbeat", "outcome": "succeeded"}
    eventually(lambda: value(system, "tocsin_job_runs_total", **runs), 30, "a count")


@pytest.fixture(scope="module")
def guarded(system: System) -> Iterator[str]:
    """Another web process, with a token."""
    with another_web(system, METRICS_TOKEN=TOKEN) as url:
        yield url


def test_without_a_token_it_answers_this_machine_only(system: System) -> None:
    """Whoever came through a proxy here only looks as if he were on this machine."""
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        answer = requests.get(f"{system.url}/metrics", headers={header: "for=1.2.3.4"}, timeout=30)
        refused(answer, 403)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer", 401),
        ("Bearer a guess", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
    ],
)
def test_with_a_token_everybody_needs_it(
    guarded: str, authorization: str | None, status: int
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = requests.get(f"{guarded}/metrics", headers=headers, timeout=30)
    assert answer.status_code == status
    if status != 200:
        refused(answer, status)
        assert TOKEN not in answer.text


def test_a_token_of_the_api_is_not_enough(client: Client, guarded: str) -> None:
    headers = {"Authorization": f"Bearer {client.token}"}
    assert requests.get(f"{guarded}/metrics", headers=headers, timeout=30).status_code == 401
