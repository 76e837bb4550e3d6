"""The rate limit: a moving window in Redis, shared by all web processes.

With Redis away each process counts for itself and allows its part of the limit: neither open,
nor closed.
"""

import time
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError

from app.adapters.breaker import Breaker
from app.adapters.quick_redis import REST_SECONDS, quick_options


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is within its limit; when it resets, in whole seconds from now."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int


class RateLimiter:
    """Thread-safe. `window_seconds` is the window's length, `processes` who share a limit."""

    def __init__(self, redis_url: str, *, window_seconds: int, processes: int) -> None:
        self._window = window_seconds
        self._processes = processes
        self._breaker = Breaker(REST_SECONDS)
        self._shared = MovingWindowRateLimiter(
            RedisStorage(
                redis_url,
                wrap_exceptions=True,
                **quick_options(),
            )
        )
        self._own = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, who: str, limit: int) -> Verdict:
        """Count a request of `who` against `limit` per window."""
        item = RateLimitItemPerSecond(limit, self._window)
        if self._breaker.allows():
            try:
                verdict = self._count(self._shared, item, who)
            except (StorageError, RedisError):
                self._breaker.failed()
            else:
                self._breaker.succeeded()
                return verdict
        part = RateLimitItemPerSecond(max(1, limit // self._processes), self._window)
        return self._count(self._own, part, who)

    def _count(self, limiter: MovingWindowRateLimiter, item: RateLimitItem, who: str) -> Verdict:
        allowed = limiter.hit(item, who)
        stats = limiter.get_window_stats(item, who)
        reset = max(1, round(stats.reset_time - time.time() + 0.5))
        return Verdict(allowed, item.amount, stats.remaining, reset)
