"""The rate limit: a moving window in Redis, shared by all web processes.

With Redis away each process counts for itself and allows its part of the limit: neither open,
nor closed.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import redis
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.adapters.breaker import Breaker
from app.adapters.quick_redis import REST_SECONDS
from app.adapters.redis_script import RedisScript

_HIT = Path(__file__).with_name("rate_limit.lua").read_text()


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
        # Both questions, whether and how much, in one script: a request waits for Redis once.
        self._hit = RedisScript(redis_url, _HIT, keys=1)
        self._own = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, who: str, limit: int) -> Verdict:
        """Count a request of `who` against `limit` per window."""
        if self._breaker.allows():
            try:
                verdict = self._count_together(who, limit)
            except redis.RedisError:
                self._breaker.failed()
            else:
                self._breaker.succeeded()
                return verdict
        return self._count_alone(who, max(1, limit // self._processes))

    def _count_together(self, who: str, limit: int) -> Verdict:
        allowed, count, oldest = self._hit(
            f"tocsin:rate:{who}/{limit}/{self._window}".encode(),
            b"%r" % time.time(),
            b"%d" % self._window,
            b"%d" % limit,
        ).split()
        resets_at = float(oldest) + self._window
        return self._verdict(allowed == b"1", limit, limit - int(count), resets_at)

    def _count_alone(self, who: str, limit: int) -> Verdict:
        item = RateLimitItemPerSecond(limit, self._window)
        allowed = self._own.hit(item, who)
        stats = self._own.get_window_stats(item, who)
        return self._verdict(allowed, limit, stats.remaining, stats.reset_time)

    @staticmethod
    def _verdict(allowed: bool, limit: int, remaining: int, resets_at: float) -> Verdict:
        reset = max(1, round(resets_at - time.time() + 0.5))
        return Verdict(allowed, limit, remaining, reset)
