"""What many acceptance tests ask of an answer, and a way to ask many times at once."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import requests

from tests.harness.client import Client

Answer = TypeVar("Answer")

PASSWORD = "a long pass phrase"
_numbers = itertools.count(1)


def refused(answer: requests.Response, status_code: int, *fields: str) -> dict[str, Any]:
    """The body of an error, which has the one shape; `fields` are all that it may blame."""
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) - {"errors"} == {"detail", "status_code", "timestamp", "request_id"}
    assert body["detail"]
    assert "Traceback" not in answer.text
    assert body["status_code"] == status_code
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert body["request_id"] == answer.headers["x-request-id"]
    assert ("errors" in body) is (status_code == 422), body
    if status_code == 422:
        assert all(body["errors"].values()), body
    if fields:
        assert set(body["errors"]) == set(fields), body
    return body


def page(answer: requests.Response) -> dict[str, Any]:
    """The body of a list."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"items", "total", "total_is_exact", "next_cursor"}
    return body


def ids(answer: requests.Response) -> list[int]:
    return [item["id"] for item in page(answer)["items"]]


def at_once(client: Client, count: int, call: Callable[[Client, int], Answer]) -> list[Answer]:
    """`call` in so many threads, started together, each with a connection of its own."""
    start = threading.Barrier(count)

    def run(number: int) -> Answer:
        own = Client(client.base_url, client.token)
        start.wait(30)
        return call(own, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def new_user(client: Client, role: str, **fields: Any) -> dict[str, Any]:
    """A user with the password above, and a name that no other test has."""
    body = {"username": f"{role}-{next(_numbers)}", "password": PASSWORD, "role": role} | fields
    answer = client.post("/api/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def signed_in(client: Client, role: str) -> Client:
    """A new user of that role, signed in."""
    return client.as_nobody().login(new_user(client, role)["username"], PASSWORD)
