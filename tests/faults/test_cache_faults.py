"""L2 killed, flushed, frozen, slow, with another password: over REST, nobody sees it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis

from app.deps import Deps
from app.settings import Settings
from tests.adapters.cache.own_redis import PASSWORD, OwnRedis, own_redis
from tests.faults.lanes import running_web
from tests.faults.proxy import Mode, Proxy
from tests.faults.test_redis_links import through
from tests.harness.client import Client
from tests.harness.waiting import eventually

# The contract says 100 ms more, and a breaker; this says that nobody waits for a time-out.
SOON_SECONDS = 2.0
USED_AGAIN_WITHIN_SECONDS = 30.0
WEBHOOKS, STATS = "/api/v1/webhooks", "/api/v1/cache/stats"
RULES = "/api/v1/routing-rules"


class Bench(NamedTuple):
    """A web process without L1, so that its L2 is asked each time; and the way to its servers."""

    web: Client
    second: OwnRedis
    link: Proxy


@pytest.fixture(scope="module")
def bench(
    settings: Settings, deps: Deps, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    with ExitStack() as stack:
        second = stack.enter_context(own_redis())
        link = stack.enter_context(Proxy(("127.0.0.1", second.port)))
        bent = {"CACHE_REDIS_URL": through(link, second.url), "CACHE_L1_MAX_ITEMS": "0"}
        folder: Path = tmp_path_factory.mktemp("bench")
        yield Bench(
            stack.enter_context(running_web(settings, deps, folder, bent=bent)), second, link
        )


@pytest.fixture
def rule(bench: Bench) -> Iterator[str]:
    """Of routing: what L2 may keep, and what each test changes."""
    webhook = bench.web.make_webhook("http://127.0.0.1:9000/hook", is_active=False)
    made = bench.web.post(RULES, json={"name": "first", "webhook_ids": [webhook["id"]]})
    assert made.status_code == 201, made.text
    yield f"{RULES}/{made.json()['id']}"
    assert bench.web.delete(f"{WEBHOOKS}/{webhook['id']}").status_code == 204


def shown(web: Client, path: str) -> Any:
    """What it answers out of its cache, and soon."""
    began = time.monotonic()
    answer = web.get(path, headers={"Cache-Control": ""})
    assert time.monotonic() - began < SOON_SECONDS
    return answer


def stays_right(web: Client, path: str, what: str) -> None:
    """Whatever is written is shown by the next answer, and both come soon."""
    for number in range(3):
        name = f"{what} {number}"
        assert web.patch(path, json={"name": name}).status_code == 200
        for _ in range(2):
            assert shown(web, path).json()["name"] == name


def second_hits(web: Client) -> int:
    level = web.get(STATS).json()["l2"]
    return int(level["hits"])


def is_used(bench: Bench, path: str) -> None:
    def hits() -> bool:
        before = second_hits(bench.web)
        shown(bench.web, path)
        shown(bench.web, path)
        return second_hits(bench.web) > before

    eventually(hits, USED_AGAIN_WITHIN_SECONDS, "a hit in L2")


@pytest.mark.parametrize("mode", [Mode.FROZEN, Mode.SLOW, Mode.BLACKHOLE, Mode.RESET])
def test_an_l2_that_is_unwell_makes_no_answer_wrong_or_late(
    bench: Bench, rule: str, mode: Mode
) -> None:
    is_used(bench, rule)
    bench.link.turn(mode)
    try:
        stays_right(bench.web, rule, mode.name)
        told = bench.web.get("/api/v1/cache/health")
        assert (told.status_code, told.json()["status"]) == (200, "degraded")
        assert bench.web.get(STATS).json()["breakers"]["l2"] == "open"
    finally:
        bench.link.turn(Mode.PASS)
    # And what it had from before is not shown when it is back.
    stays_right(bench.web, rule, "back")
    is_used(bench, rule)


def test_an_l2_that_is_killed(bench: Bench, rule: str) -> None:
    is_used(bench, rule)
    bench.second.kill()
    try:
        stays_right(bench.web, rule, "killed")
    finally:
        bench.second.start()
    is_used(bench, rule)
    stays_right(bench.web, rule, "back")


def test_an_l2_that_is_flushed(bench: Bench, rule: str) -> None:
    is_used(bench, rule)
    bench.second.client.flushall()
    stays_right(bench.web, rule, "flushed")
    is_used(bench, rule)


def test_an_l2_with_another_password(bench: Bench, rule: str) -> None:
    is_used(bench, rule)
    bench.second.client.config_set("requirepass", "another")
    with Redis.from_url(bench.second.url_with("another")) as redis:
        try:
            redis.client_kill_filter(_type="normal", skipme=True)
            stays_right(bench.web, rule, "password")
        finally:
            redis.config_set("requirepass", PASSWORD)
    is_used(bench, rule)
