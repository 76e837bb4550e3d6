"""What clients see of the cache: tags, 304, ages, and answers that are as the database is."""

from typing import Any

import pytest
import requests

from tests.acceptance.checks import page
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import System
from tests.harness.waiting import eventually

# As browsers ask, unlike what tests do elsewhere.
PLAIN = {"Cache-Control": ""}
API = "/api/v1"


def plain(client: Client, path: str, **headers: str) -> requests.Response:
    return client.get(f"{API}{path}", headers=PLAIN | headers)


@pytest.mark.parametrize("path", ["/alerts?limit=50", "/webhooks", "/jobs", "/alerts/{alert}"])
def test_an_answer_has_a_tag_and_is_not_sent_again(client: Client, path: str) -> None:
    path = path.format(alert=client.raise_alert()["id"])
    first = plain(client, path)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    assert int(first.headers["age"]) >= 0
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = plain(client, path, **{"If-None-Match": given})
        if again.status_code == 200:  # what was seen has changed meanwhile, as jobs do
            assert again.headers["etag"] != tag
            continue
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
    other = plain(client, path, **{"If-None-Match": '"other"'})
    assert (other.status_code, bool(other.content)) == (200, True)


def test_head_says_the_same_without_the_body(client: Client) -> None:
    client.raise_alert()
    whole = plain(client, "/alerts")
    head = client.request("HEAD", f"{API}/alerts", headers=PLAIN)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "cache-control", "content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


def test_another_answer_has_another_tag(client: Client) -> None:
    alert = client.raise_alert()["id"]
    before = plain(client, f"/alerts/{alert}").headers["etag"]
    assert client.post(f"{API}/alerts/{alert}/acknowledge").status_code == 200
    after = plain(client, f"/alerts/{alert}", **{"If-None-Match": before})
    assert after.status_code == 200
    assert after.json()["status"] == "acknowledged"


@pytest.mark.parametrize("path", ["/auth/me", "/users", "/api-keys", "/system/info"])
def test_what_is_not_cached_is_not_kept_by_anybody(client: Client, path: str) -> None:
    answer = plain(client, path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_errors_are_not_kept_either(client: Client) -> None:
    answer = plain(client, "/alerts/999999999")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_after_each_kind_of_write_the_cache_answers_as_the_database(
    client: Client, receiver: Receiver, system: System
) -> None:
    """By the API and by the workers, whichever process answers."""
    hook = client.make_webhook(receiver.url("/hook"))["id"]
    alert = client.raise_alert()["id"]
    paths = [
        "/alerts?limit=50",
        f"/alerts/{alert}",
        f"/alerts/{alert}/deliveries",
        "/deliveries",
        f"/webhooks/{hook}/deliveries",
        "/webhooks",
        f"/webhooks/{hook}",
        f"/webhooks/{hook}/health/history",
        "/routing-rules",
        "/silences",
        "/inhibition-rules",
        "/metrics/operations",
        "/baselines/schedules",
    ]

    def told(answer: requests.Response) -> tuple[int, Any]:
        """Of errors not their time and the id of their request."""
        body = answer.json()
        return answer.status_code, body if answer.ok else body["detail"]

    def are_the_same() -> bool:
        return all(told(plain(client, path)) == told(client.get(f"{API}{path}")) for path in paths)

    def write(method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = client.request(method, f"{API}{path}", json=body)
        assert answer.status_code < 300, answer.text
        # Well before the time to live of an answer is over.
        eventually(are_the_same, what=f"the same answers after {method} {path}")
        return answer.json() if answer.content else {}

    matcher = ['severity="info"']
    eventually(lambda: receiver.messages("/hook"), what="the message")
    write("POST", f"/alerts/{alert}/acknowledge")
    write("PATCH", f"/webhooks/{hook}", {"name": "renamed"})
    write("POST", f"/webhooks/{hook}/check")
    rule = write("POST", "/routing-rules", {"name": "all", "webhook_ids": [hook]})["id"]
    write("PATCH", f"/routing-rules/{rule}", {"name": "none"})
    write("DELETE", f"/routing-rules/{rule}")
    silence = write("POST", "/silences", {"matchers": matcher, "ends_at": "2099-01-01T00:00:00Z"})[
        "id"
    ]
    write("POST", f"/silences/{silence}/expire")
    write("DELETE", f"/silences/{silence}")
    inhibition = {"name": "x", "source_matchers": matcher, "target_matchers": matcher}
    write("DELETE", f"/inhibition-rules/{write('POST', '/inhibition-rules', inhibition)['id']}")
    write("POST", "/baselines/schedules", {"operation": "checkout"})
    write("POST", "/metrics", {"samples": [{"operation": "checkout", "value": 1}]})
    write("POST", f"/alerts/{alert}/resolve")
    write("DELETE", f"/webhooks/{hook}")


def test_a_list_says_whether_its_total_is_exact(client: Client) -> None:
    client.raise_alert()
    body = page(plain(client, "/alerts"))
    assert (body["total"], body["total_is_exact"]) == (1, True)
