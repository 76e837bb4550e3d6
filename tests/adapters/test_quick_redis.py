"""A Redis that an API request may ask: it answers soon, or is spared."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from app.adapters import quick_redis
from app.adapters.embedded import Servers
from app.adapters.quick_redis import QuickRedis
from tests.adapters.away import frozen_url, gone_url, stopped
from tests.harness.waiting import eventually
from tests.services.world import at_once

# The contract says 100 ms; the rest is for a test machine that has other things to do.
AT_MOST_SECONDS = 0.5
SPARED = 1000


@pytest.fixture
def broker(servers: Servers) -> Iterator[QuickRedis]:
    quick = QuickRedis(servers.redis_url)
    yield quick
    quick.close()


def timed(quick: QuickRedis) -> float:
    """How long a question takes that gets no answer."""
    started = time.monotonic()
    assert quick.eviction_policy() is None
    return time.monotonic() - started


def test_it_says_what_each_server_evicts(servers: Servers, broker: QuickRedis) -> None:
    assert broker.eviction_policy() == "noeviction"
    cache = QuickRedis(servers.cache_redis_url)
    assert cache.eviction_policy() == "allkeys-lru"
    cache.close()


def test_it_counts_what_waits(servers: Servers, broker: QuickRedis) -> None:
    with Redis.from_url(servers.redis_url) as redis:
        redis.rpush("a-lane", "1", "2")
        try:
            assert broker.queue_depths(["a-lane", "an-empty-lane"]) == {
                "a-lane": 2,
                "an-empty-lane": 0,
            }
        finally:
            redis.delete("a-lane")


def test_a_server_that_is_gone_costs_next_to_nothing() -> None:
    quick = QuickRedis(gone_url())
    assert timed(quick) < AT_MOST_SECONDS
    assert quick.queue_depths(["deliver"]) is None
    quick.close()


def test_a_frozen_one_costs_a_moment_once_and_then_is_spared() -> None:
    with frozen_url() as url:
        quick = QuickRedis(url)
        assert timed(quick) < AT_MOST_SECONDS
        assert sum(timed(quick) for _ in range(SPARED)) < AT_MOST_SECONDS
        quick.close()


def test_many_who_ask_a_frozen_one_at_once_lose_no_more_each() -> None:
    with frozen_url() as url:
        quick = QuickRedis(url)
        assert max(at_once(*[lambda: timed(quick)] * 20)) < 2 * AT_MOST_SECONDS
        quick.close()


def test_a_connection_that_was_good_is_no_better_when_it_freezes(
    servers: Servers, broker: QuickRedis
) -> None:
    assert broker.eviction_policy() == "noeviction"
    with stopped(servers.redis_url):
        assert timed(broker) < AT_MOST_SECONDS
        assert sum(timed(broker) for _ in range(SPARED)) < AT_MOST_SECONDS


def test_it_is_asked_again_when_it_is_back(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_redis, "REST_SECONDS", 0.2)  # the same in less time
    quick = QuickRedis(servers.redis_url)
    with stopped(servers.redis_url):
        timed(quick)
    assert eventually(quick.eviction_policy, what="an answer") == "noeviction"
    quick.close()
