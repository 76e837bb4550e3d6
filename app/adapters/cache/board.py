"""What processes tell of themselves on the broker's Redis: their counters, and what was asked for.

The counters of a process are there for a few seconds, so one that is gone is soon forgotten. Keys
that were asked for have the time of it, and are bounded in number and length. Times are in seconds
since 1970, by PostgreSQL's clock.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.adapters.breaker import Breaker

# Nobody who waits for an answer out of the cache waits for this.
TIMEOUT_SECONDS = 0.5
REST_SECONDS = 2.0
COUNTERS_LIVE_SECONDS = 10
ASKED_LIVE_SECONDS = 3600
MAX_ASKED = 5_000
MAX_KEY_CHARS = 500

_PROCESSES = "tocsin:cache:processes"
_COUNTERS = "tocsin:cache:counters:"
_ASKED = "tocsin:cache:asked"

Said = TypeVar("Said")


class Board:
    """Thread-safe. Whatever is wrong with Redis: False or None, after TIMEOUT_SECONDS at most."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._breaker = Breaker(REST_SECONDS)

    def tell(self, process: str, counters: bytes, asked: Mapping[str, float], now: float) -> bool:
        """Put up the counters of a process, and the keys it was asked for since it last told."""

        def put() -> bool:
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(_COUNTERS + process, counters, ex=COUNTERS_LIVE_SECONDS)
            pipeline.zadd(_PROCESSES, {process: now})
            pipeline.zremrangebyscore(_PROCESSES, "-inf", now - COUNTERS_LIVE_SECONDS)
            short = {key: at for key, at in asked.items() if len(key) <= MAX_KEY_CHARS}
            if short:
                pipeline.zadd(_ASKED, short, gt=True)
                pipeline.zremrangebyscore(_ASKED, "-inf", now - ASKED_LIVE_SECONDS)
                pipeline.zremrangebyrank(_ASKED, 0, -MAX_ASKED - 1)
                pipeline.expire(_ASKED, ASKED_LIVE_SECONDS)
            pipeline.execute()
            return True

        return bool(self._ask(put))

    def counters(self) -> list[bytes] | None:
        """Of all processes that told of themselves lately."""

        def read() -> list[bytes]:
            names = self._client.zrange(_PROCESSES, 0, -1)
            found = self._client.mget([_COUNTERS.encode() + name for name in names])
            return [one for one in found if one is not None]

        return self._ask(lambda: read() if self._client.exists(_PROCESSES) else [])

    def asked_since(self, since: float) -> list[str] | None:
        """Keys that anybody was asked for since then, the latest first."""
        found = self._ask(lambda: self._client.zrevrangebyscore(_ASKED, "+inf", since))
        return None if found is None else [key.decode() for key in found]

    def close(self) -> None:
        self._client.close()

    def _ask(self, question: Callable[[], Said]) -> Said | None:
        if not self._breaker.allows():
            return None
        try:
            answer = question()
        except (redis.RedisError, OSError):
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return answer
