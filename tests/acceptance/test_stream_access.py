"""Who may watch the stream, for how long, and how many at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.harness.client import Client
from tests.harness.system import PASSWORD, System
from tests.harness.watcher import Closed, Watcher, watching


def refused(system: System, **how: Any) -> Closed:
    """How a socket ends that is told nothing else."""
    with watching(system.url, **how) as watcher:
        closed = watcher.until_closed()
        assert watcher.told == []
    return closed


def ticket(client: Client) -> str:
    answer = client.post("/api/v1/auth/ws-ticket")
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


def changed_token(system: System, token: str, **claims: Any) -> str:
    key = system.settings["JWT_SECRET_KEY"]
    old = jwt.decode(token, key, ["HS256"], audience="tocsin-api")
    return jwt.encode(old | claims, key, "HS256")


@pytest.fixture
def person(client: Client) -> Iterator[tuple[Client, int]]:
    """A viewer, who may watch, and the id."""
    account = {"username": "watcher", "password": PASSWORD, "role": "viewer"}
    made = client.post("/api/v1/users", json=account)
    assert made.status_code == 201, made.text
    yield client.as_nobody().login("watcher", PASSWORD), made.json()["id"]
    client.delete(f"/api/v1/users/{made.json()['id']}")


def test_a_viewer_may_by_token_header_or_ticket(person: tuple[Client, int], system: System) -> None:
    viewer, _id = person
    ways: list[dict[str, Any]] = [
        {"token": viewer.token},
        {"header": {"Authorization": f"Bearer {viewer.token}"}},
        {"ticket": ticket(viewer)},
    ]
    for way in ways:
        with watching(system.url, **way) as watcher:
            assert watcher.read()["type"] == "snapshot"


def test_no_token_or_a_bad_one_is_1008_with_a_reason(client: Client, system: System) -> None:
    token = str(client.token)
    past = int((datetime.now(UTC) - timedelta(minutes=1)).timestamp())
    refresh = client.post(
        "/api/v1/auth/login", json={"username": "admin", "password": PASSWORD}
    ).json()["refresh_token"]
    ways: dict[str, dict[str, Any]] = {
        "needed": {},
        "not good": {"token": "garbage"},
        "expired": {"token": changed_token(system, token, exp=past)},
        "no access token": {"token": refresh},
        "API key": {"token": "tsk_" + "x" * 43},
        "unknown, used": {"ticket": "never-given"},
        "must be": {"header": {"Authorization": "Basic YTpi"}},
    }
    for reason, way in ways.items():
        closed = refused(system, **way)
        assert closed.code == 1008
        assert reason in closed.reason


def test_a_ticket_is_good_once_and_not_for_long(client: Client, system: System) -> None:
    used, old = ticket(client), ticket(client)
    with watching(system.url, ticket=used) as watcher:
        assert watcher.read()["type"] == "snapshot"
    assert refused(system, ticket=used).code == 1008
    with system.sql() as sql:
        sql.execute("UPDATE pggit.ws_tickets SET expires_at = now() - interval '1 second'")
    assert refused(system, ticket=old).code == 1008


def test_a_ticket_is_good_once_however_many_try_at_once(client: Client, system: System) -> None:
    one = ticket(client)

    def attempt(_number: int) -> str:
        with watching(system.url, ticket=one) as watcher:
            try:
                return str(watcher.read()["type"])
            except Closed as closed:
                return str(closed.code)

    with ThreadPoolExecutor(8) as pool:
        results = sorted(pool.map(attempt, range(8)))
    assert results == ["1008"] * 7 + ["snapshot"]


def test_a_ticket_needs_somebody_who_may(person: tuple[Client, int], client: Client) -> None:
    assert client.as_nobody().post("/api/v1/auth/ws-ticket").status_code == 401
    viewer, _id = person
    assert ticket(viewer)


def test_a_ticket_of_one_who_signed_out_is_worth_nothing(
    person: tuple[Client, int], system: System
) -> None:
    viewer, _id = person
    late = ticket(viewer)
    assert viewer.post("/api/v1/auth/logout").status_code == 204
    assert refused(system, ticket=late).code == 1008


def test_the_origin_is_the_own_host_or_listed(client: Client, system: System) -> None:
    token = str(client.token)
    for origin in (system.url, "http://localhost:3000"):
        with watching(system.url, token=token, origin=origin) as watcher:
            assert watcher.read()["type"] == "snapshot"
    for origin in (
        "http://evil.example",
        "null",
        f"{system.url}.evil.example",
        "http://",
        "http://[",
    ):
        closed = refused(system, token=token, origin=origin)
        assert (closed.code, closed.reason) == (1008, "this origin is not allowed")


def test_a_page_of_somebody_else_does_not_use_up_a_ticket(client: Client, system: System) -> None:
    one = ticket(client)
    assert refused(system, ticket=one, origin="http://evil.example").code == 1008
    with watching(system.url, ticket=one) as watcher:
        assert watcher.read()["type"] == "snapshot"


def test_sockets_end_when_their_credentials_do(
    person: tuple[Client, int], client: Client, system: System
) -> None:
    viewer, user_id = person
    key = client.post("/api/v1/api-keys", json={"name": "wall", "role": "viewer"}).json()
    again = client.as_nobody().login("watcher", PASSWORD)
    soon = int((datetime.now(UTC) + timedelta(seconds=12)).timestamp())
    ways: dict[str, dict[str, Any]] = {
        "signed out": {"token": viewer.token},
        "signed out, by ticket": {"ticket": ticket(viewer)},
        "disabled": {"token": again.token},
        "key deleted": {"token": key["key"]},
        "expired": {"token": changed_token(system, str(client.token), exp=soon)},
        "stays": {"token": client.token},
    }
    with ExitStack() as stack:
        watchers: dict[str, Watcher] = {
            name: stack.enter_context(watching(system.url, **way)) for name, way in ways.items()
        }
        for watcher in watchers.values():
            assert watcher.read()["type"] == "snapshot"
        assert viewer.post("/api/v1/auth/logout").status_code == 204
        change = client.patch(f"/api/v1/users/{user_id}", json={"is_active": False})
        assert change.status_code == 200
        assert client.delete(f"/api/v1/api-keys/{key['id']}").status_code == 204
        for name in list(ways)[:-1]:
            closed = watchers[name].until_closed()
            assert closed.code == 1008, name
            assert "token" in closed.reason
        watchers["stays"].wait_for("metrics")
