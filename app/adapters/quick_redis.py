"""A Redis as an API request may use it: quickly, or not at all."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.adapters.breaker import Breaker

# A request loses at most their sum to a Redis that is frozen or gone.
CONNECT_TIMEOUT_SECONDS = 0.05
ANSWER_TIMEOUT_SECONDS = 0.05
REST_SECONDS = 5.0

Answer = TypeVar("Answer")


def quick_options() -> dict[str, Any]:
    """Options for redis-py; on its own it retries many times behind its caller's back."""
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_timeout": ANSWER_TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }


class QuickRedis:
    """Questions to a Redis, spared by a breaker while it doesn't answer. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, decode_responses=True, **quick_options())
        self._breaker = Breaker(REST_SECONDS)

    def queue_depths(self, lanes: Sequence[str]) -> dict[str, int] | None:
        """Messages that wait, by lane; None while it is away."""

        def ask() -> dict[str, int]:
            pipeline = self._client.pipeline(transaction=False)
            for lane in lanes:
                pipeline.llen(lane)
            return dict(zip(lanes, pipeline.execute(), strict=True))

        return self._ask(ask)

    def eviction_policy(self) -> str | None:
        """Its `maxmemory-policy`; None while it is away."""
        return self._ask(
            lambda: str(self._client.config_get("maxmemory-policy").get("maxmemory-policy"))
        )

    def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        if not self._breaker.allows():
            return None
        try:
            answer = question()
        except redis.RedisError:
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return answer

    def close(self) -> None:
        self._client.close()
