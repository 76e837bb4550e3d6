"""Metrics through the API: samples in, points out, and Tocsin's own among them."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import requests

from tests.acceptance.checks import refused
from tests.acceptance.steps import another_web, settled
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

HOUR = timedelta(hours=1)
JSON = {"Content-Type": "application/json"}


def start_of(hours_ago: int = 1) -> datetime:
    """A full hour that is over."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - hours_ago * HOUR


def sample(value: Any, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    stamp = {} if at is None else {"timestamp": at.isoformat()}
    return {"operation": "checkout", "value": value} | stamp | fields


def send(client: Client, *samples: dict[str, Any]) -> requests.Response:
    return client.post("/api/v1/metrics", json={"samples": list(samples)})


def query(client: Client, **asked: Any) -> dict[str, Any]:
    answer = client.get("/api/v1/metrics/query", params={"operation": "checkout"} | asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rolled(client: Client, count: int, **asked: Any) -> dict[str, Any]:
    """The answer to a query, once so many samples are in it."""
    # The lane rolls by itself too, only not as soon.
    assert client.post("/api/v1/jobs/metrics-roll/run").status_code == 202

    def look() -> dict[str, Any]:
        found = query(client, agg="count", **asked)
        there = sum(one["count"] or 0 for one in found["points"])
        assert there <= count, "a sample counts once"
        return found if there == count else {}

    return eventually(look, what=f"{count} samples in the rollups")


class TestIn:
    def test_samples_come_in_and_are_seen(self, client: Client) -> None:
        begin = start_of()
        values = [float(number) for number in range(1, 101)]
        random.shuffle(values)
        answer = send(
            client,
            *(
                sample(value, begin + timedelta(seconds=30 * place), unit="ms")
                for place, value in enumerate(values)
            ),
        )
        assert (answer.status_code, answer.json()) == (201, {"accepted": 100, "errors": []})
        asked = {"since": begin.isoformat(), "until": (begin + HOUR).isoformat(), "step": 3600}
        rolled(client, 100, **asked)
        every = "count,sum,min,max,avg,stddev,p50,p75,p90,p95,p99,rate"
        found = query(client, agg=every, **asked)
        assert (found["unit"], found["series"], found["step"], found["resolution"]) == (
            ("ms", 1, 3600, 3600)
        )
        (point,) = found["points"]
        assert datetime.fromisoformat(point.pop("at")) == begin
        assert point.pop("stddev") == pytest.approx(28.866070)
        assert point == {
            "count": 100,
            "sum": 5050,
            "min": 1,
            "max": 100,
            "avg": 50.5,
            "p50": 50,
            "p75": 75,
            "p90": 90,
            "p95": 95,
            "p99": 99,
            "rate": pytest.approx(100 / 3600),
        }

    def test_a_key_counts_once_however_often_it_is_sent(self, client: Client) -> None:
        key = {"Idempotency-Key": "a-batch"}
        body = {"samples": [sample(1, start_of()), sample(1, unit="u" * 99)]}
        first, again = (
            client.post("/api/v1/metrics", json=body, headers=key) for _each in range(2)
        )
        assert first.status_code == again.status_code == 207
        assert first.json() == again.json()
        assert first.json()["accepted"] == 1
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        other = client.post("/api/v1/metrics", json={"samples": [sample(2)]}, headers=key)
        refused(other, 409)
        refused(client.post("/api/v1/metrics", json=body, headers={"Idempotency-Key": ""}), 400)
        since = {"since": start_of(2).isoformat(), "until": datetime.now(UTC).isoformat()}
        rolled(client, 1, **since)

    def test_gaps_are_nulls_and_late_samples_fill_them(self, client: Client) -> None:
        begin = start_of()
        asked = {
            "since": begin.isoformat(),
            "until": (begin + timedelta(minutes=3)).isoformat(),
            "step": 60,
        }
        send(client, sample(1, begin), sample(3, begin + timedelta(minutes=2)))
        rolled(client, 2, **asked)
        assert [one["avg"] for one in query(client, **asked)["points"]] == [1, None, 3]
        send(client, sample(2, begin + timedelta(minutes=1)), sample(5, begin))
        rolled(client, 4, **asked)
        points = query(client, agg="avg,p99", **asked)["points"]
        assert [(one["avg"], one["p99"]) for one in points] == [(3, 5), (2, 2), (3, 3)]
        # The coarser rollups have them, too.
        for step in (300, 3600):
            (point,) = query(client, agg="count,max", **(asked | {"step": step}))["points"]
            assert (point["count"], point["max"]) == (4, 5)

    def test_labels_choose_series(self, client: Client) -> None:
        send(
            client,
            sample(1, labels={"host": "a", "zone": "x"}),
            sample(2, labels={"host": "b", "zone": "x"}),
            sample(4),
        )
        rolled(client, 3)

        def total(**labels: str) -> tuple[int, float]:
            found = query(
                client, agg="sum", **{f"label.{name}": one for name, one in labels.items()}
            )
            return found["series"], sum(one["sum"] or 0 for one in found["points"])

        assert total() == (3, 7)
        assert total(zone="x") == (2, 3)
        assert total(zone="x", host="b") == (1, 2)
        assert total(zone="y") == (0, 0)

    def test_a_bad_sample_does_not_stop_the_others(self, client: Client) -> None:
        old = datetime.now(UTC) - timedelta(days=15)
        answer = send(
            client,
            sample(1),
            sample(2, old),
            {"operation": "checkout", "value": "3", "more": 1},
            sample(4),
        )
        assert answer.status_code == 207
        assert answer.json() == {
            "accepted": 2,
            "errors": [
                {"index": 1, "errors": {"timestamp": ["Must not be older than 14 days."]}},
                {
                    "index": 2,
                    "errors": {"value": ["Not a valid number."], "more": ["Unknown field."]},
                },
            ],
        }
        rolled(client, 2)

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ('"\\ud800"', "Not a valid number."),
            ("1" + "0" * 101, "Must be from -1e+100 to 1e+100."),
            ("1e99999", "Must be from -1e+100 to 1e+100."),
            ("123456789012345678901234567890", None),
        ],
    )
    def test_what_the_fast_parser_refuses_is_one_samples_fault(
        self, client: Client, value: str, fault: str | None
    ) -> None:
        body = f'{{"samples": [{{"operation": "checkout", "value": {value}}}]}}'
        answer = client.post("/api/v1/metrics", data=body, headers=JSON)
        if fault is None:
            assert (answer.status_code, answer.json()["accepted"]) == (201, 1)
        else:
            assert answer.status_code == 207
            assert answer.json()["errors"] == [{"index": 0, "errors": {"value": [fault]}}]

    @pytest.mark.parametrize(
        ("body", "status", "errors"),
        [
            ("{", 400, None),
            ('{"samples": [{"operation": "a", "value": NaN}]}', 400, None),
            ("[" * 100_000, 400, None),
            (b'{"samples": ["\xff"]}', 400, None),
            ("", 422, {"samples": ["Missing data for required field."]}),
            ("[]", 422, {"_schema": ["Invalid input type."]}),
            ('{"samples": {}}', 422, {"samples": ["Not a valid list."]}),
            ('{"samples": []}', 422, {"samples": ["Length must be between 1 and 10000."]}),
            (
                json.dumps({"samples": [{}] * 10_001}),
                422,
                {"samples": ["Length must be between 1 and 10000."]},
            ),
            ('{"samples": [{}], "x": 1}', 422, {"x": ["Unknown field."]}),
        ],
    )
    def test_a_body_that_is_none(
        self, admin: Client, body: str | bytes, status: int, errors: object
    ) -> None:
        answer = admin.post("/api/v1/metrics", data=body, headers=JSON)
        assert (answer.status_code, answer.json().get("errors")) == (status, errors)

    def test_a_full_request_of_ten_thousand(self, client: Client) -> None:
        at = datetime.now(UTC)
        answer = send(
            client,
            *(
                sample(number, at, labels={"host": f"web-{number % 100}", "filler": "x" * 200})
                for number in range(10_000)
            ),
        )
        assert (answer.status_code, answer.json()["accepted"]) == (201, 10_000)
        found = rolled(client, 10_000)
        assert found["series"] == 100

    def test_other_types_and_larger_bodies_are_refused(self, admin: Client) -> None:
        plain = admin.post("/api/v1/metrics", data="{}", headers={"Content-Type": "text/plain"})
        assert plain.status_code == 415
        large = admin.post("/api/v1/metrics", data=b"x" * (8 * 1024 * 1024 + 1), headers=JSON)
        assert large.status_code == 413

    def test_limits_refuse_with_words(self, client: Client, system: System) -> None:
        limits = {
            "METRIC_SERIES_LIMIT": "1",
            "METRIC_INBOX_LIMIT": "1",
            "INGEST_RATE_LIMIT_REQUESTS": "98765",
            "WEB_CONCURRENCY": "1",
        }
        send(client, sample(1))
        rolled(client, 1)
        with another_web(system, **limits) as url:
            bounded = Client(url, client.token)
            more = send(bounded, sample(1, labels={"host": "new"}))
            assert more.status_code == 207
            assert more.headers["RateLimit-Limit"] == "98765"
            (fault,) = more.json()["errors"][0]["errors"]["operation"]
            assert "There are 1 series already" in fault
            # Those that are there go on, until too many wait: the count is a second old at most.
            assert send(bounded, sample(1)).status_code in {201, 503}

            def retry_after() -> str | None:
                answer = send(bounded, *[sample(1)] * 1000)
                return answer.headers["Retry-After"] if answer.status_code == 503 else None

            assert int(eventually(retry_after, what="a full inbox") or 0) > 0


class TestQuery:
    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"agg": "p42"}, "agg"),
            ({"agg": ""}, "agg"),
            ({"step": 59}, "step"),
            ({"step": 61}, "step"),
            ({"step": "x"}, "step"),
            ({"since": "now"}, "since"),
            ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
            (
                {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "step": 60},
                "step",
            ),
            ({"operation": ""}, "operation"),
            ({"opration": "x"}, "opration"),
            ({"label.": "x"}, "label."),
        ],
    )
    def test_what_cannot_be_answered_is_422(
        self, client: Client, asked: dict[str, Any], field: str
    ) -> None:
        send(client, sample(1))
        answer = client.get("/api/v1/metrics/query", params={"operation": "checkout"} | asked)
        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == [field]

    def test_too_many_points_are_refused_and_the_most_are_answered(self, client: Client) -> None:
        send(client, sample(1))
        until = datetime.now(UTC)
        most = timedelta(minutes=10_999)

        def asked(span: timedelta) -> requests.Response:
            params = {
                "operation": "checkout",
                "since": (until - span).isoformat(),
                "until": until.isoformat(),
                "step": "60",
            }
            return client.get("/api/v1/metrics/query", params=params)

        answer = asked(most)
        assert answer.status_code == 200
        assert len(answer.json()["points"]) in {10_999, 11_000}
        answer = asked(most + timedelta(minutes=2))
        assert answer.status_code == 422
        assert "11000 are the most" in answer.json()["errors"]["step"][0]

    def test_an_operation_that_there_is_not_is_404(self, client: Client) -> None:
        answer = client.get("/api/v1/metrics/query", params={"operation": "never heard of"})
        assert answer.status_code == 404


def test_operations_are_listed_page_by_page(client: Client) -> None:
    at = start_of()
    send(
        client,
        sample(1, at, labels={"host": "a"}, unit="ms"),
        sample(1, at, labels={"host": "b"}, unit="ms"),
        sample(1, at, operation="mixed", labels={"host": "a"}, unit="ms"),
        sample(1, at, operation="mixed", labels={"host": "b"}, unit="s"),
    )

    def listed() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        cursor: dict[str, str] = {}
        while True:
            answer = client.get("/api/v1/metrics/operations", params={"limit": "1"} | cursor)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found |= {one["operation"]: one for one in page["items"]}
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    client.post("/api/v1/jobs/metrics-roll/run")
    eventually(lambda: listed()["mixed"]["last_sample_at"], what="the last sample")
    found = listed()
    assert (found["checkout"]["series"], found["checkout"]["unit"]) == (2, "ms")
    assert (found["mixed"]["series"], found["mixed"]["unit"]) == (2, None)
    assert datetime.fromisoformat(found["checkout"]["last_sample_at"]) == at


def test_what_tocsin_does_itself_is_measured(client: Client, receiver: Receiver) -> None:
    webhook = client.make_webhook(receiver.url("/hook"))
    alert = client.raise_alert(webhook_ids=[webhook["id"]])
    assert settled(client, alert["id"])[0]["status"] == "delivered"
    assert client.get("/api/v1/alerts/1000000000").status_code == 404
    assert client.get("/nowhere/at/all").status_code == 404
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()

    def measured(operation: str, **labels: str) -> bool:
        params = {"operation": operation, "since": since, "agg": "count,p95"} | {
            f"label.{name}": value for name, value in labels.items()
        }
        answer = client.get("/api/v1/metrics/query", params=params)
        points = answer.json()["points"] if answer.status_code == 200 else []
        return any(one["count"] and one["p95"] > 0 for one in points)

    for operation, labels in (
        ("tocsin.delivery.latency_ms", {"outcome": "delivered"}),
        ("tocsin.check.latency_ms", {"outcome": "passed"}),
        ("tocsin.api.latency_ms", {"route": "/api/v1/alerts/{alert_id}", "method": "GET"}),
        ("tocsin.api.latency_ms", {"route": "unknown"}),
    ):
        eventually(partial(measured, operation, **labels), 30, operation)
