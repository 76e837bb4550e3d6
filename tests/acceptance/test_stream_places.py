"""How many may watch at once, what that costs the API, and what they are told when it ends.

One more web process for all of it, with two threads for requests. The last test ends it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import websocket

from tests.acceptance.steps import another_web
from tests.harness.client import Client
from tests.harness.system import System
from tests.harness.waiting import eventually
from tests.harness.watcher import Watcher, watching

OF_ONE, IN_ALL = 20, 22
Web = tuple[str, Callable[[], None]]


@pytest.fixture(scope="module")
def web(system: System) -> Iterator[Web]:
    """Its URL, and what ends it."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "WEB_THREADS": "2",
        "STREAM_SOCKETS_PER_USER": str(OF_ONE),
        "STREAM_SOCKETS": str(IN_ALL),
    }
    with ExitStack() as stack:
        url = stack.enter_context(another_web(system, **settings))
        yield url, stack.close


def machines(client: Client, count: int) -> list[str]:
    """Keys: each counts as somebody else."""
    body = {"name": "wall", "role": "viewer"}
    return [client.post("/api/v1/api-keys", json=body).json()["key"] for _key in range(count)]


def test_places_are_limited_for_each_and_for_all(client: Client, web: Web) -> None:
    url, _end = web
    first, second = machines(client, 2)
    refusals: list[websocket.WebSocketBadStatusException] = []
    with ExitStack() as stack:

        def attempt(token: str) -> Watcher | None:
            """None where it is refused before the handshake."""
            try:
                watcher = stack.enter_context(watching(url, token=token))
            except websocket.WebSocketBadStatusException as error:
                refusals.append(error)
                return None
            watcher.read()
            return watcher

        # All at once: a place that is looked at, and then taken, would be taken twice.
        with ThreadPoolExecutor(OF_ONE + 10) as pool:
            got = [one for one in pool.map(attempt, [first] * (OF_ONE + 10)) if one is not None]
        assert len(got) == OF_ONE
        assert len([one for _try in range(4) if (one := attempt(second))]) == IN_ALL - OF_ONE
        # Who is refused for another reason takes no place, and nor does a handshake that fails.
        with watching(url, token="garbage") as nobody:
            assert nobody.until_closed().code == 1008
        assert Client(url, first).get("/api/v1/ws/dashboard").status_code == 400
        got[0].connection.close()
        eventually(lambda: attempt(second), what="a place that became free")
    assert {refusal.status_code for refusal in refusals} == {503}
    assert all(int((one.resp_headers or {})["retry-after"]) > 0 for one in refusals)


def test_many_sockets_never_starve_the_api(client: Client, web: Web) -> None:
    """Ten times as many as there are threads for requests."""
    url, _end = web
    (key,) = machines(client, 1)
    with ExitStack() as stack:

        def all_there() -> bool:
            """Those of the test before may still be about to leave."""
            try:
                watchers.append(stack.enter_context(watching(url, token=key)))
            except websocket.WebSocketBadStatusException:
                return False
            return len(watchers) == OF_ONE

        watchers: list[Watcher] = []
        eventually(all_there, what="all sockets")
        for watcher in watchers:
            watcher.wait_for("metrics")
        for _request in range(10):
            assert Client(url, client.token).get("/api/v1/auth/me").status_code == 200
        for watcher in watchers:
            watcher.wait_for("metrics")


def test_a_restart_is_said_and_costs_nothing(client: Client, system: System, web: Web) -> None:
    url, end = web
    token = str(client.token)
    with watching(system.url, token=token) as stays, watching(url, token=token) as going:
        seen = going.wait_for("metrics")
        end()
        closed = going.until_closed()
        assert (closed.code, closed.reason) == (1012, "the server restarts")
        alert = client.raise_alert()
        stays.wait_for("alert", lambda data: data["id"] == alert["id"])
        last = max(one["seq"] for one in [seen, *going.told])
        with watching(system.url, token=token, since=last) as back:
            back.wait_for("alert", lambda data: data["id"] == alert["id"])
        assert back.told[0]["seq"] == last + 1
