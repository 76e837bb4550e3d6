"""The cache over REST: what it counted, how it is, warming, and forgetting."""

from typing import Any

import pytest
import requests

from tests.acceptance.steps import sleeping_webhook
from tests.harness.client import Client
from tests.harness.system import System
from tests.harness.waiting import eventually

STATS, HEALTH = "/api/v1/cache/stats", "/api/v1/cache/health"
WARM, INVALIDATE = "/api/v1/cache/warm", "/api/v1/cache/invalidate"
UNASKED = ["silences.list?limit=31", "silences.list?limit=32", "routing-rules.list?limit=31"]
ALERTS, ALERTS_KEY = "/api/v1/alerts?limit=7", "alerts.list?limit=7"


def get(client: Client, path: str) -> requests.Response:
    """As clients ask: out of the cache, and of whichever process takes the connection."""
    answer = client.get(path, headers={"Cache-Control": "", "Connection": "close"})
    assert answer.status_code == 200, answer.text
    return answer


def stats(client: Client) -> dict[str, Any]:
    answer = client.get(STATS)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def warm(client: Client, **body: Any) -> dict[str, Any]:
    answer = client.post(WARM, json=body)
    assert answer.status_code == 200, answer.text
    warmed: dict[str, Any] = answer.json()
    return warmed


def invalidate(client: Client, **body: Any) -> int:
    answer = client.post(INVALIDATE, json=body)
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["invalidated"]
    return count


def test_hits_and_misses_are_counted_by_level(client: Client) -> None:
    # Once each process has said what it counted, each count only grows.
    eventually(lambda: len(web_processes(stats(client))) == 2, what="both web processes")
    invalidate(client, all=True)
    before = stats(client)
    for _ in range(20):
        get(client, ALERTS)

    def counted() -> dict[str, Any] | None:
        # On a machine that is busy L2 is spared for a while, says nothing, and is asked nothing.
        invalidate(client, keys=[ALERTS_KEY])
        for _ in range(5):
            get(client, ALERTS)
        now = stats(client)
        was_asked = now["l2"]["hits"] + now["l2"]["misses"] > 0
        has_hits = now["l1"]["hits"] >= before["l1"]["hits"] + 10
        return now if was_asked and has_hits and now["l2"]["items"] else None

    after = eventually(counted, 60, "the hits of both processes")
    assert after is not None
    # Of processes that are there still: one that is gone takes its counts along.
    then = {one["name"]: one for one in web_processes(before)}
    pairs = [(then[one["name"]], one) for one in web_processes(after) if one["name"] in then]
    assert pairs
    assert any(now["l1"]["misses"] > was["l1"]["misses"] for was, now in pairs)
    assert any(now["loads"] > was["loads"] for was, now in pairs)
    for level in ("l1", "l2"):
        one = after[level]
        assert one["items"] >= 1
        assert one["bytes"] > 0
        assert one["hits"] + one["misses"] >= 1
        assert one["hit_rate"] == pytest.approx(one["hits"] / (one["hits"] + one["misses"]))
        assert one["evictions"] >= 0
        assert one["expirations"] >= 0
    assert 0 < after["hit_rate"] <= 1
    assert after["flights_joined"] >= 0
    assert after["is_complete"] is True


def test_every_process_has_its_own_counts_and_the_sum_is_theirs(client: Client) -> None:
    def both() -> dict[str, Any] | None:
        now = stats(client)
        return now if len(web_processes(now)) == 2 else None

    told = eventually(both, what="both web processes")
    assert told is not None
    processes = web_processes(told)
    for count in ("loads", "stale_served", "renewals"):
        assert told[count] == sum(one[count] for one in processes)
    for count in ("items", "hits", "misses"):
        assert told["l1"][count] == sum(one["l1"][count] for one in processes)
    assert len({one["pid"] for one in processes}) == 2


def web_processes(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in told["processes"] if one["kind"] == "web"]


def test_the_slowest_queries_are_told(client: Client) -> None:
    get(client, "/api/v1/webhooks?limit=3")
    slowest = stats(client)["slowest_queries"]
    assert 1 <= len(slowest) <= 10
    assert slowest == sorted(slowest, key=lambda one: one["p95_ms"], reverse=True)
    for one in slowest:
        assert one["loads"] >= 1
        assert one["mean_ms"] > 0
        assert one["rows"] >= 0
        assert "plan" in one


def test_warming_says_what_it_loaded(client: Client) -> None:
    warmed = warm(client, keys=[ALERTS_KEY, "alerts.list?limit=8"])
    assert warmed["entries"] == 2
    assert warmed["bytes"] > 0
    assert warmed["duration_ms"] > 0
    (query,) = warmed["queries"]
    assert (query["name"], query["entries"]) == ("alerts.list", 2)
    assert query["bytes"] == warmed["bytes"]
    assert 0 < query["slowest_ms"] <= query["duration_ms"] <= warmed["duration_ms"]
    assert warmed["errors"] == []
    tags = {get(client, path).headers["ETag"] for path in [ALERTS, "/api/v1/alerts?limit=8"] * 5}
    assert len(tags) == 1


def test_what_can_not_be_warmed_is_told_and_stops_nothing(client: Client) -> None:
    odd = [
        "nothing?limit=1",
        "alerts.list",
        "alerts.list?limit=many",
        "alerts.list?limit=100000",
        "alerts.get?id=999999999",
    ]
    warmed = warm(client, keys=[*odd, ALERTS_KEY])
    assert {one["key"] for one in warmed["errors"]} == set(odd)
    assert all(one["error"] for one in warmed["errors"])
    assert {one["name"] for one in warmed["queries"]} >= {"alerts.list"}


def test_a_priority_warms_what_was_asked_for_lately(client: Client) -> None:
    get(client, "/api/v1/webhooks?limit=13")

    def names() -> set[str]:
        return {one["name"] for one in warm(client, priority="high")["queries"]}

    # The other process says within moments what it was asked for.
    eventually(lambda: "webhooks.list" in names(), what="the list among what is warmed")
    assert "webhooks.list" not in {
        one["name"] for one in warm(client, priority="critical")["queries"]
    }
    assert warm(client)["entries"] >= 1


def test_keys_are_forgotten(client: Client) -> None:
    # Nobody asks for these, so no round of warming brings them back.
    warm(client, keys=UNASKED)
    assert invalidate(client, keys=UNASKED[:1]) == 1
    assert invalidate(client, keys=UNASKED) == len(UNASKED) - 1
    assert invalidate(client, keys=UNASKED) == 0


def test_a_pattern_forgets_what_fits_it(client: Client) -> None:
    warm(client, keys=UNASKED)
    assert invalidate(client, pattern="silences.list?limit=3?") == 2
    assert invalidate(client, pattern="silences.list?limit=3?") == 0
    assert invalidate(client, pattern="routing-rules.*limit=31") == 1


def test_all_is_forgotten(client: Client) -> None:
    warm(client, keys=UNASKED)
    assert invalidate(client, all=True) >= len(UNASKED)
    assert invalidate(client, keys=UNASKED) == 0


def test_every_process_forgets(client: Client, system: System) -> None:
    """What was changed past Tocsin is seen by both processes once they are told to forget."""
    webhook_id = sleeping_webhook(client, name="before")

    def names() -> set[str]:
        path = f"/api/v1/webhooks/{webhook_id}"
        return {get(client, path).json()["name"] for _ in range(8)}

    assert names() == {"before"}
    with system.sql() as sql:
        sql.execute("UPDATE pggit.webhooks SET name = 'after' WHERE id = %s", [webhook_id])
    invalidate(client, pattern=f"webhooks.get?id={webhook_id}")
    eventually(lambda: names() == {"after"}, within=5, what="the new name everywhere")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "keys"),
        ({"keys": ["a"], "all": True}, "keys"),
        ({"pattern": "a", "all": True}, "pattern"),
        ({"all": False}, "all"),
        ({"all": "yes"}, "all"),
        ({"keys": []}, "keys"),
        ({"keys": "a"}, "keys"),
        ({"pattern": ""}, "pattern"),
        ({"key": "a"}, "key"),
    ],
)
def test_what_to_forget_is_said_in_one_way(
    client: Client, body: dict[str, Any], field: str
) -> None:
    answer = client.post(INVALIDATE, json=body)
    assert answer.status_code == 422
    assert [name.partition(".")[0] for name in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"keys": [ALERTS_KEY], "priority": "high"}, "priority"),
        ({"priority": "urgent"}, "priority"),
        ({"keys": []}, "keys"),
        ({"keys": ["a" * 501]}, "keys"),
    ],
)
def test_what_to_warm_is_said_in_one_way(client: Client, body: dict[str, Any], field: str) -> None:
    answer = client.post(WARM, json=body)
    assert answer.status_code == 422
    assert [name.partition(".")[0] for name in answer.json()["errors"]] == [field]


def test_it_is_healthy_with_the_latency_of_each_level(client: Client) -> None:
    def well() -> dict[str, Any] | None:
        now: dict[str, Any] = client.get(HEALTH).json()
        return now if now["status"] == "healthy" else None

    told = eventually(well, 40, "a healthy cache")
    assert told is not None
    assert set(told["levels"]) == {"l1", "l2", "news"}
    for level in told["levels"].values():
        assert level["status"] == "healthy"
        assert level["latency_ms"] >= 0


def test_viewers_look_and_operators_act(client: Client) -> None:
    made = client.post(
        "/api/v1/users",
        json={"username": "looker", "password": "correct horse battery", "role": "viewer"},
    )
    assert made.status_code == 201, made.text
    viewer = client.as_nobody().login("looker", "correct horse battery")
    assert viewer.get(STATS).status_code == 200
    assert viewer.get(HEALTH).status_code == 200
    assert viewer.post(WARM, json={}).status_code == 403
    assert viewer.post(INVALIDATE, json={"all": True}).status_code == 403
    assert client.as_nobody().get(STATS).status_code == 401
    assert client.delete(f"/api/v1/users/{made.json()['id']}").status_code == 204
