"""Prediction through the API: what predicts, a webhook's risk, and choosing by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.domain.risk_features import FEATURES
from app.domain.risk_model import LinearModel, Weight
from app.domain.risk_scores import Reference
from tests.acceptance.checks import refused
from tests.acceptance.steps import moment
from tests.acceptance.test_jobs import run
from tests.harness.client import Client
from tests.harness.system import System
from tests.harness.waiting import until_far_from_the_next

pytestmark = pytest.mark.usefixtures("one_hour")

# A week of checks, 12 an hour, all well.
WEEK = """
    INSERT INTO pggit.webhook_health_rollups
        (webhook_id, resolution, at, checks, failed, slow, in_maintenance, latency_sum_ms)
    SELECT %s, 3600, date_trunc('hour', now()) - ago * interval '1 hour', 12, 0, 0, 0, 1200
    FROM generate_series(1, 168) AS ago
"""
# Active, and not checked while the test runs: its first check is due tomorrow.
LATER = (
    "UPDATE pggit.webhook_health_metrics SET next_check_at = now() + interval '1 day',"
    " health_status = 'healthy', consecutive_failures = 1, lease_token = NULL"
    " WHERE webhook_id = %s"
)


@pytest.fixture(autouse=True)
def within_one_hour() -> None:
    """What was fed up to the last full hour is to be up to the last full hour still."""
    until_far_from_the_next(3600, 15)


def get(client: Client, path: str) -> Mapping[str, Any]:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


def predicted_webhook(client: Client, system: System) -> int:
    """One with a week of checks, of which the last failed."""
    webhook = int(client.make_webhook("http://127.0.0.1:9000/hook")["id"])
    # At once, so that no run by schedule sees the half of it.
    with system.sql() as sql, sql.transaction():
        sql.execute(WEEK, [webhook])
        sql.execute(LATER, [webhook])
    assert run(client, "predict-risk")["status"] == "succeeded"
    return webhook


def add_model(system: System) -> int:
    """A version that says little, whatever it is asked."""
    weights = tuple(
        Weight(name, 0.0, 1.0, 0.5, 0.0, Reference((0.0,), (0.9, 0.1))) for name in FEATURES
    )
    artifact = LinearModel(weights, -2.0, 1.0, 0.0).to_json()
    with system.sql() as sql:
        row = sql.execute(
            "INSERT INTO pggit_ml.models (kind, features_version, features, horizon_hours,"
            " artifact, decision, detail) VALUES ('model', 1, %s, 6, %s, 'no_better', 'tested')"
            " RETURNING version",
            [list(FEATURES), artifact],
        ).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_the_rules_predict_until_there_is_a_model(client: Client, system: System) -> None:
    (rules,) = get(client, "/ml/models")["items"]
    assert (rules["version"], rules["kind"], rules["is_active"]) == (0, "rules", True)
    assert rules["features"] == list(FEATURES)

    webhook = predicted_webhook(client, system)
    risk = get(client, f"/webhooks/{webhook}/risk")
    assert risk["probability"] == 0.5
    assert (risk["model_version"], risk["model_kind"], risk["horizon_hours"]) == (0, "rules", 6)
    assert moment(risk["made_at"])
    assert risk["unknown_because"] is None
    assert risk["reasons"] == [
        {
            "name": "failing_now",
            "effect": "raises",
            "text": "1 failed check in a row",
            "value": 1.0,
            "contribution": None,
        }
    ]


def test_without_checks_there_is_no_risk_and_a_reason(client: Client) -> None:
    webhook = client.make_webhook("http://127.0.0.1:9000/hook", is_active=False)["id"]
    risk = get(client, f"/webhooks/{webhook}/risk")
    assert (risk["probability"], risk["made_at"], risk["reasons"]) == (None, None, [])
    assert risk["unknown_because"] == "webhook_inactive"
    refused(client.get("/api/v1/webhooks/999999999/risk"), 404)


def test_a_version_is_chosen_by_hand_and_says_why_it_predicts(
    client: Client, system: System
) -> None:
    get(client, "/ml/models")
    version = add_model(system)
    page = get(client, "/ml/models?limit=1")
    assert [one["version"] for one in page["items"]] == [version]
    following = get(client, f"/ml/models?limit=1&cursor={page['next_cursor']}")
    assert ([one["version"] for one in following["items"]], page["total"]) == ([0], 2)
    shown = get(client, f"/ml/models/{version}")
    assert (shown["is_active"], shown["decision"], shown["detail"]) == (
        False,
        "no_better",
        "tested",
    )
    assert [one["feature"] for one in shown["parameters"]["weights"]] == list(FEATURES)
    assert get(client, "/ml/models/0")["parameters"] is None

    chosen = client.post(f"/api/v1/ml/models/{version}/activate")
    assert chosen.status_code == 200, chosen.text
    assert (chosen.json()["is_active"], chosen.json()["activated_by"]) == (True, "admin")
    assert not get(client, "/ml/models/0")["is_active"]

    webhook = predicted_webhook(client, system)
    risk = get(client, f"/webhooks/{webhook}/risk")
    assert (risk["model_version"], risk["model_kind"]) == (version, "model")
    assert 0 < risk["probability"] < 1
    assert 1 <= len(risk["reasons"]) <= 5
    strengths = [abs(one["contribution"]) for one in risk["reasons"]]
    assert strengths == sorted(strengths, reverse=True)
    assert all("usual:" in one["text"] for one in risk["reasons"])

    assert client.post("/api/v1/ml/models/0/activate").json()["is_active"]
    assert not get(client, f"/ml/models/{version}")["is_active"]


@pytest.mark.parametrize(
    "version", ["7777", "999999999999999999", "1000000000000000000", "-1", "01", "x"]
)
def test_a_version_that_is_not_there_is_not_found(client: Client, version: str) -> None:
    refused(client.get(f"/api/v1/ml/models/{version}"), 404)
    refused(client.post(f"/api/v1/ml/models/{version}/activate"), 404)


def test_training_without_outcomes_says_what_is_missing(client: Client) -> None:
    execution = run(client, "train-risk-model")
    assert execution["status"] == "succeeded"
    assert execution["result"]["trained"] is False
    assert execution["result"]["reason"] == "too_few_examples"
    assert execution["result"]["reviewed"] == 0
