"""Hints: raised at once whatever state Redis is in, few, and never a pile of them."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from app.adapters import queue
from app.adapters.embedded import Servers
from app.adapters.queue import MAX_IN_BROKER, MAX_WAITING, HintQueue, Message
from tests.adapters.away import frozen_url, gone_url, stopped
from tests.harness.waiting import eventually

DELIVER = Message("alerts.deliver", "deliver", 10.0)
CHECK = Message("webhooks.check_health", "health", 10.0)
# Far more than any number of hints may cost, far less than one wait for Redis.
AT_ONCE_SECONDS = 0.5
MANY = 2000
LANES = ("deliver", "health", "jobs")


@pytest.fixture
def url(servers: Servers) -> str:
    """A database of the broker's that is these tests' own."""
    return servers.redis_url.rpartition("/")[0] + "/5"


@pytest.fixture
def redis(url: str) -> Iterator["Redis"]:
    with Redis.from_url(url, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def hints(url: str, redis: "Redis") -> Iterator[HintQueue]:
    made = HintQueue(url)
    yield made
    made.close()


def sent(redis: "Redis", lane: str) -> list[dict[str, Any]]:
    """The messages in a lane, the oldest first."""
    return [json.loads(raw) for raw in reversed(redis.lrange(lane, 0, -1))]


def after_all(hints: HintQueue, redis: "Redis") -> None:
    """Wait until what was hinted so far is sent: this one comes last."""
    hints.hint(Message("the.last", "the-last", 10.0))
    eventually(lambda: redis.llen("the-last"), what="the last hint")


def raised_in(hints: HintQueue, count: int) -> float:
    """How long it takes to raise so many hints, all different."""
    started = time.monotonic()
    for number in range(count):
        hints.hint(Message("beat.heartbeat", "jobs", 10.0, {"execution_id": number}))
    return time.monotonic() - started


def test_a_hint_is_a_task_in_its_lane(hints: HintQueue, redis: "Redis") -> None:
    hints.hint(Message("beat.heartbeat", "jobs", 10.0, {"execution_id": 7}))
    after_all(hints, redis)
    (message,) = sent(redis, "jobs")
    assert message["headers"]["task"] == "beat.heartbeat"
    assert message["headers"]["expires"] is not None
    assert "'execution_id': 7" in message["headers"]["kwargsrepr"]
    assert redis.llen("deliver") == redis.llen("celery") == 0


def test_a_burst_becomes_few_messages(hints: HintQueue, redis: "Redis") -> None:
    for _ in range(200):
        hints.hint(DELIVER)
    after_all(hints, redis)
    assert 1 <= redis.llen("deliver") <= 3


def test_a_burst_that_goes_on_for_a_while_too(hints: HintQueue, redis: "Redis") -> None:
    """Hints that come one by one, each waking the sender, are a burst all the same."""
    hinted = 0
    until = time.monotonic() + 10 * queue.DEBOUNCE_SECONDS
    while time.monotonic() < until:
        hints.hint(DELIVER)
        hinted += 1
        threading.Event().wait(queue.DEBOUNCE_SECONDS / 20)
    after_all(hints, redis)
    assert redis.llen("deliver") <= 12 < hinted


def test_different_hints_are_all_sent(hints: HintQueue, redis: "Redis") -> None:
    for number in range(20):
        hints.hint(Message("beat.heartbeat", "jobs", 10.0, {"execution_id": number}))
    hints.hint(DELIVER)
    hints.hint(CHECK)
    after_all(hints, redis)
    assert [redis.llen(lane) for lane in LANES] == [1, 1, 20]


def test_they_never_pile_up_in_the_broker(hints: HintQueue, redis: "Redis") -> None:
    """With no worker there, and one process after another that hints."""
    redis.rpush("deliver", *["{}"] * (MAX_IN_BROKER - 2))
    for _ in range(5):
        hints.hint(DELIVER)
        after_all(hints, redis)
        redis.delete("the-last")
    assert redis.llen("deliver") == MAX_IN_BROKER
    hints.hint(CHECK)
    after_all(hints, redis)
    assert redis.llen("health") == 1  # other lanes go on


def test_a_hint_is_raised_at_once_with_redis_gone() -> None:
    hints = HintQueue(gone_url())
    assert raised_in(hints, MANY) < AT_ONCE_SECONDS
    hints.close()


def test_a_hint_is_raised_at_once_with_redis_frozen() -> None:
    with frozen_url() as url:
        hints = HintQueue(url)
        assert raised_in(hints, MANY) < AT_ONCE_SECONDS
        assert len(hints._waiting) <= MAX_WAITING  # nor do they fill the memory
        hints.close()


def test_it_closes_soon_although_redis_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "TIMEOUT_SECONDS", 0.3)  # the same in less time
    with frozen_url() as url:
        hints = HintQueue(url)
        hints.hint(DELIVER)
        eventually(lambda: not hints._waiting, what="the sender's try")
        started = time.monotonic()
        hints.close()
        assert time.monotonic() - started < 1.0


def test_a_frozen_redis_is_used_again_when_it_is_back(
    hints: HintQueue, redis: "Redis", url: str
) -> None:
    hints.hint(DELIVER)
    after_all(hints, redis)
    with stopped(url):
        assert raised_in(hints, 3) < AT_ONCE_SECONDS
        # Until the sender has run into it.
        eventually(lambda: not hints._waiting, what="the sender's try")
    hints.hint(CHECK)
    eventually(lambda: redis.llen("health"), what="the hint after the thaw")


def test_no_thread_is_started_before_the_first_hint(url: str) -> None:
    """A web server forks after it has loaded the application: a thread would stay behind."""
    before = threading.active_count()
    hints = HintQueue(url)
    assert threading.active_count() == before
    hints.close()


def test_after_the_end_nothing_is_sent(hints: HintQueue, redis: "Redis") -> None:
    hints.hint(CHECK)
    after_all(hints, redis)
    hints.close()
    hints.hint(DELIVER)
    assert "hints" not in {thread.name for thread in threading.enumerate()}
    assert redis.llen("deliver") == 0
