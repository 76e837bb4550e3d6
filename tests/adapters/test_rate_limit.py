"""The rate limit: one for all processes, and a part of it for each while Redis is away."""

import time
import uuid
from collections.abc import Iterator
from functools import partial

import pytest

from app.adapters import rate_limit
from app.adapters.embedded import Servers
from app.adapters.rate_limit import RateLimiter
from tests.adapters.away import frozen_url, gone_url, stopped
from tests.harness.waiting import eventually
from tests.services.world import at_once

AT_MOST_SECONDS = 0.5


@pytest.fixture
def who() -> str:
    """Somebody who has not asked for anything yet."""
    return f"user:{uuid.uuid4()}"


@pytest.fixture
def pair(servers: Servers) -> Iterator[tuple[RateLimiter, RateLimiter]]:
    """Two web processes."""
    yield (  # noqa: PT022 - a pair reads better than two fixtures
        RateLimiter(servers.redis_url, window_seconds=60, processes=2),
        RateLimiter(servers.redis_url, window_seconds=60, processes=2),
    )


def allowed(limiter: RateLimiter, who: str, limit: int, times: int) -> int:
    return sum(limiter.hit(who, limit).allowed for _ in range(times))


def test_processes_share_one_limit(pair: tuple[RateLimiter, RateLimiter], who: str) -> None:
    first, second = pair
    assert allowed(first, who, 10, 6) == 6
    assert allowed(second, who, 10, 6) == 4
    assert allowed(first, who, 10, 6) == 0


def test_at_once_too(pair: tuple[RateLimiter, RateLimiter], who: str) -> None:
    counts = at_once(*[partial(allowed, limiter, who, 25, 10) for limiter in pair * 3])
    assert sum(counts) == 25


def test_everybody_has_a_limit_of_their_own(
    pair: tuple[RateLimiter, RateLimiter], who: str
) -> None:
    assert allowed(pair[0], who, 3, 5) == 3
    assert allowed(pair[0], who + "0", 3, 5) == 3


def test_it_says_what_is_left_and_when_it_is_over(
    pair: tuple[RateLimiter, RateLimiter], who: str
) -> None:
    verdicts = [pair[0].hit(who, 3) for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0]
    assert {verdict.limit for verdict in verdicts} == {3}
    assert all(1 <= verdict.reset_seconds <= 61 for verdict in verdicts)


def test_after_the_window_one_may_again(servers: Servers, who: str) -> None:
    limiter = RateLimiter(servers.redis_url, window_seconds=1, processes=2)
    assert allowed(limiter, who, 2, 3) == 2
    eventually(lambda: limiter.hit(who, 2).allowed, what="the next window")


@pytest.mark.parametrize(
    ("limit", "processes", "part"), [(10, 2, 5), (100, 4, 25), (3, 2, 1), (1, 8, 1)]
)
def test_with_redis_gone_each_allows_its_part(
    who: str, limit: int, processes: int, part: int
) -> None:
    limiter = RateLimiter(gone_url(), window_seconds=60, processes=processes)
    assert allowed(limiter, who, limit, limit) == part
    assert limiter.hit(who, limit).limit == part


def test_a_frozen_redis_costs_a_moment_once(who: str) -> None:
    with frozen_url() as url:
        limiter = RateLimiter(url, window_seconds=60, processes=2)
        started = time.monotonic()
        assert limiter.hit(who, 10).allowed
        assert time.monotonic() - started < AT_MOST_SECONDS
        started = time.monotonic()
        assert allowed(limiter, who, 10, 200) == 4
        assert time.monotonic() - started < AT_MOST_SECONDS


def test_it_falls_back_and_comes_back(
    servers: Servers, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "REST_SECONDS", 0.2)  # the same in less time
    first, second = (
        RateLimiter(servers.redis_url, window_seconds=60, processes=2) for _ in range(2)
    )
    assert first.hit(who, 10).limit == 10
    with stopped(servers.redis_url):
        for limiter in (first, second):
            assert allowed(limiter, who, 10, 10) == 5
    for limiter in (first, second):
        eventually(lambda one=limiter: one.hit(who, 10).limit == 10, what="the shared limit")  # type: ignore[misc]
    assert allowed(first, who, 10, 10) + allowed(second, who, 10, 10) < 10
    assert not first.hit(who, 10).allowed
