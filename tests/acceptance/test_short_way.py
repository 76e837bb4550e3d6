"""What is asked again is answered without Flask: the same answers, for the same people."""

from typing import Any

import pytest
import requests

from tests.acceptance.checks import new_user, refused, signed_in
from tests.harness.client import Client
from tests.harness.waiting import eventually

API = "/api/v1"
# Nothing unusual; tests elsewhere have all read anew.
SHORT = {"Cache-Control": ""}
# Asks for no other answer, but for a closer look: so it goes by Flask.
LONG = {"Cache-Control": "max-age=60"}
# As many that each of the system's processes has answered one and knows the way.
ENOUGH = 8
CHANGING = {
    *("date", "age", "x-request-id", "content-length", "etag"),
    *("ratelimit-remaining", "ratelimit-reset"),
}


def ask(client: Client, path: str, way: dict[str, str], **headers: str) -> requests.Response:
    return client.get(f"{API}{path}", headers=way | headers)


def told(answer: requests.Response) -> tuple[int, dict[str, str], Any]:
    """All of an answer that is not another's each time."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert set(headers) >= CHANGING - {"date"}
    kept = {name: value for name, value in headers.items() if name not in CHANGING}
    return answer.status_code, kept | {"tag": headers["etag"]}, answer.json()


def known_ways(client: Client, path: str) -> None:
    for _ in range(ENOUGH):
        assert ask(client, path, SHORT).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/alerts",
        "/alerts?limit=2",
        "/alerts?limit=2&severity=info&q=short",
        "/alerts/{alert}",
        "/alerts/{alert}/deliveries",
        "/deliveries?status=failed",
        "/webhooks",
        "/routing-rules?limit=1",
        "/baselines/schedules",
    ],
)
def test_both_ways_say_the_same(client: Client, path: str) -> None:
    path = path.format(alert=client.raise_alert(title="short")["id"])

    def are_the_same() -> bool:
        return told(ask(client, path, SHORT)) == told(ask(client, path, LONG))

    for _ in range(ENOUGH):
        # Deliveries go on meanwhile.
        eventually(are_the_same, what="one answer")


def test_a_page_that_nobody_has_asked_for_is_read(client: Client) -> None:
    made = [client.raise_alert(title=f"alert {number}")["id"] for number in range(5)]
    known_ways(client, "/alerts?limit=2")

    seen, path = [], "/alerts?limit=2"
    while path:
        body = ask(client, path, SHORT).json()
        seen += [item["id"] for item in body["items"]]
        path = body["next_cursor"] and f"/alerts?limit=2&cursor={body['next_cursor']}"

    assert seen == sorted(made, reverse=True)


def test_a_change_is_seen(client: Client) -> None:
    alert = client.raise_alert()["id"]
    known_ways(client, "/alerts?limit=7")
    assert client.post(f"{API}/alerts/{alert}/acknowledge").status_code == 200

    def statuses() -> set[str]:
        answers = [ask(client, "/alerts?limit=7", SHORT).json() for _ in range(ENOUGH)]
        return {item["status"] for answer in answers for item in answer["items"]}

    eventually(lambda: statuses() == {"acknowledged"}, what="the change, by every process")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1&limit=2", "cursor=x", "nothing=1", "status=gone"]
)
def test_what_is_wrong_is_refused(client: Client, query: str) -> None:
    known_ways(client, "/alerts")
    for _ in range(2):
        refused(ask(client, f"/alerts?{query}", SHORT), 422)


def test_a_token_in_the_query_string_counts_as_ever(client: Client) -> None:
    known_ways(client, "/alerts?limit=3")
    nobody = client.as_nobody()
    refused(ask(nobody, "/alerts?limit=3", SHORT), 401)
    for _ in range(2):
        assert ask(nobody, f"/alerts?limit=3&token={client.token}", SHORT).status_code == 200
        refused(ask(nobody, "/alerts?limit=3", SHORT), 401)
        refused(ask(nobody, "/alerts?limit=3&token=x", SHORT), 401)


def test_a_token_that_is_not_quite_a_known_one_is_refused(client: Client) -> None:
    known_ways(client, "/alerts?limit=4")
    token = client.token or ""
    for other in (token[:-2], token + "x", token.swapcase(), token.split(".")[1]):
        refused(ask(client.with_token(other), "/alerts?limit=4", SHORT), 401)


def test_a_token_that_was_revoked_is_refused_though_it_was_known(admin: Client) -> None:
    user, other = signed_in(admin, "viewer"), signed_in(admin, "viewer")
    for client in (user, other):
        known_ways(client, "/alerts?limit=5")
    assert user.post(f"{API}/auth/logout").status_code < 300

    def codes(client: Client) -> set[int]:
        return {ask(client, "/alerts?limit=5", SHORT).status_code for _ in range(ENOUGH)}

    eventually(lambda: codes(user) == {401}, what="a refusal by every process")
    refused(ask(user, "/alerts?limit=5", SHORT), 401)
    assert codes(other) == {200}


def test_who_was_switched_off_is_refused(admin: Client) -> None:
    made = new_user(admin, "viewer")
    user = admin.as_nobody().login(made["username"], "a long pass phrase")
    known_ways(user, "/alerts?limit=6")
    switched = admin.request("PATCH", f"{API}/users/{made['id']}", json={"is_active": False})
    assert switched.status_code == 200, switched.text

    eventually(
        lambda: all(ask(user, "/alerts?limit=6", SHORT).status_code == 401 for _ in range(ENOUGH)),
        what="a refusal by every process",
    )


def test_each_is_counted_as_himself(admin: Client) -> None:
    """By what each has left, two tokens are never taken for one another."""
    one, other = signed_in(admin, "viewer"), signed_in(admin, "operator")

    def left(client: Client) -> int:
        return int(ask(client, "/alerts?limit=8", SHORT).headers["ratelimit-remaining"])

    def counted_apart() -> bool:
        """Not where Redis took too long once: then each process counts for itself for a while."""
        of_one, of_other = left(one), left(other)
        found = [(left(one), left(one), left(other)) for _ in range(ENOUGH)]
        return found == [
            (of_one - 2 * number - 1, of_one - 2 * number - 2, of_other - number - 1)
            for number in range(ENOUGH)
        ]

    eventually(counted_apart, what="a count for each")


def test_a_request_keeps_the_id_that_it_came_with(client: Client) -> None:
    known_ways(client, "/alerts?limit=9")
    for _ in range(2):
        answer = ask(client, "/alerts?limit=9", SHORT, **{"X-Request-ID": "my-own.id_7"})
        assert answer.headers["x-request-id"] == "my-own.id_7"
        answer = ask(client, "/alerts?limit=9", SHORT, **{"X-Request-ID": "not one"})
        assert len(answer.headers["x-request-id"]) == 32
