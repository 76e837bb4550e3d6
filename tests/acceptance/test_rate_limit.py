"""The rate limit, over several web processes: shared through Redis, and without it never open."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import pytest
import requests

from app.adapters.embedded import free_port
from tests.acceptance.steps import another_web, as_it_hangs, other_webs
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.system import PASSWORD, System

LIMIT = 10
INGEST_LIMIT = 3
PROCESSES = 2  # of each web
# A window that ends in no test: what was counted once counts to the end.
WINDOW_SECONDS = 3600
SETTINGS = {
    "WEB_CONCURRENCY": str(PROCESSES),
    "RATE_LIMIT_REQUESTS": str(LIMIT),
    "INGEST_RATE_LIMIT_REQUESTS": str(INGEST_LIMIT),
    "RATE_LIMIT_WINDOW_SECONDS": str(WINDOW_SECONDS),
}


@pytest.fixture(scope="module")
def webs(system: System) -> Iterator[Sequence[str]]:
    """The URLs of two more webs beside the system's, four processes in all, with a small limit."""
    with other_webs(system, 2, **SETTINGS) as urls:
        yield urls


def somebody(client: Client, name: str) -> Client:
    """A new user, signed in at the system's own web, whose limit is far away."""
    made = client.post(
        "/api/v1/users", json={"username": name, "password": PASSWORD, "role": "operator"}
    )
    assert made.status_code == 201, made.text
    return client.login(name, PASSWORD)


def ask(user: Client, urls: Sequence[str], times: int) -> list[requests.Response]:
    """That many requests, some at once, by turns to each URL, each over a connection of its own."""

    def one(url: str) -> requests.Response:
        return Client(url, user.token).get("/api/v1/auth/me")

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(one, islice(cycle(urls), times)))


def statuses(answers: Sequence[requests.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_it_holds_over_all_processes(client: Client, webs: Sequence[str]) -> None:
    user = somebody(client, "eager")

    answers = ask(user, webs, 4 * LIMIT)

    assert statuses(answers) == {200: LIMIT, 429: 3 * LIMIT}
    for answer in answers:
        assert answer.headers["ratelimit-limit"] == str(LIMIT)
        assert 0 < int(answer.headers["ratelimit-reset"]) <= WINDOW_SECONDS + 1
    left = sorted(int(one.headers["ratelimit-remaining"]) for one in answers if one.ok)
    assert left[0] == 0
    assert left[-1] <= LIMIT - 1
    for refused in (answer for answer in answers if not answer.ok):
        assert refused.headers["ratelimit-remaining"] == "0"
        assert WINDOW_SECONDS - 120 < int(refused.headers["retry-after"]) <= WINDOW_SECONDS + 1
        assert set(refused.json()) == {"detail", "status_code", "timestamp", "request_id"}
        assert refused.json()["status_code"] == 429


def test_what_is_answered_without_flask_counts_too(client: Client, webs: Sequence[str]) -> None:
    user = somebody(client, "reader")
    counted = Counter[int]()
    # One after another, so that all but the first of each process go the short way.
    for url in islice(cycle(webs), 3 * LIMIT):
        answer = Client(url, user.token).get("/api/v1/alerts", headers={"Cache-Control": ""})
        counted[answer.status_code] += 1
        if not answer.ok:
            assert answer.headers["ratelimit-remaining"] == "0"
            assert set(answer.json()) == {"detail", "status_code", "timestamp", "request_id"}

    assert counted == {200: LIMIT, 429: 2 * LIMIT}


def test_each_user_has_a_limit_of_his_own(client: Client, webs: Sequence[str]) -> None:
    one, other = somebody(client, "one"), somebody(client, "other")
    assert statuses(ask(one, webs, LIMIT + 2))[429] == 2

    assert statuses(ask(other, webs, LIMIT + 2)) == {200: LIMIT, 429: 2}


def test_health_is_exempt(client: Client, webs: Sequence[str]) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/health/deep"):
        for url in webs:
            for _request in range(LIMIT + 1):
                answer = Client(url).get(path)
                assert answer.status_code == 200
                assert "ratelimit-limit" not in answer.headers


def test_alerts_have_a_budget_of_their_own(
    client: Client, webs: Sequence[str], receiver: Receiver
) -> None:
    user = somebody(client, "machine")
    assert statuses(ask(user, webs, LIMIT + 1))[429] == 1
    alert = {"title": "Disk almost full", "severity": "info"}

    raised = [
        Client(url, user.token).post("/api/v1/alerts", json=alert)
        for url in islice(cycle(webs), INGEST_LIMIT + 2)
    ]

    assert [answer.status_code for answer in raised] == [201] * INGEST_LIMIT + [429] * 2


def test_who_is_unknown_is_counted_by_address(client: Client, webs: Sequence[str]) -> None:
    nobody = Client(client.base_url, "not a token")

    assert statuses(ask(nobody, webs, LIMIT + 5)) == {401: LIMIT, 429: 5}


def test_without_redis_each_process_allows_its_part(client: Client, system: System) -> None:
    user = somebody(client, "unlimited")
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with another_web(system, **SETTINGS, REDIS_URL=nowhere) as url:
        answers = ask(user, [url], 4 * LIMIT)

    allowed = statuses(answers)[200]
    # How the connections spread is up to the kernel; one process at least has used up its part.
    assert LIMIT // PROCESSES <= allowed <= LIMIT
    assert statuses(answers) == {200: allowed, 429: 4 * LIMIT - allowed}
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {str(LIMIT // PROCESSES)}


def test_while_redis_hangs_each_process_allows_its_part(
    client: Client, webs: Sequence[str], system: System
) -> None:
    """The last one here: these webs spare themselves a Redis that was bad for a while."""
    user = somebody(client, "patient")
    with as_it_hangs(system):
        answers = ask(user, webs[:1], 4 * LIMIT)
    assert set(statuses(answers)) == {200, 429}
    assert LIMIT // PROCESSES <= statuses(answers)[200] <= LIMIT
