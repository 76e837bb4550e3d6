"""How the cache is: its levels, and the news that keeps them right, each with its latency."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from app.adapters.cache.cache import Cache
from app.adapters.quick_redis import QuickRedis

CACHE_POLICY = "allkeys-"


class LevelStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class LevelHealth:
    """`latency_ms` is None where nothing was asked."""

    status: LevelStatus
    latency_ms: float | None = None
    detail: str | None = None


def look_at_levels(
    cache: Cache, second: QuickRedis | None, broker: QuickRedis, max_items: int
) -> dict[str, LevelHealth]:
    """L1, L2, and `news`: whether this process hears of what others write."""
    return {
        "l1": _measured(lambda: _first(cache, max_items)),
        "l2": _measured(lambda: _second(cache, second)) if second is not None else _NO_SECOND,
        "news": _measured(lambda: _news(cache, broker)),
    }


def whole(levels: Mapping[str, LevelHealth]) -> LevelStatus:
    """Answers are right whatever is away, so the whole is degraded at worst."""
    states = {name: level.status for name, level in levels.items()}
    if states["l1"] is states["l2"] is LevelStatus.DISABLED:
        return LevelStatus.DISABLED
    if set(states.values()) <= {LevelStatus.HEALTHY, LevelStatus.DISABLED}:
        return LevelStatus.HEALTHY
    return LevelStatus.DEGRADED


_NO_SECOND = LevelHealth(LevelStatus.DISABLED, detail="CACHE_REDIS_URL is not set")


def _measured(look: Callable[[], LevelHealth]) -> LevelHealth:
    began = time.perf_counter()
    found = look()
    return replace(found, latency_ms=(time.perf_counter() - began) * 1000)


def _first(cache: Cache, max_items: int) -> LevelHealth:
    if max_items == 0:
        return LevelHealth(LevelStatus.DISABLED, detail="CACHE_L1_MAX_ITEMS is 0")
    cache.holds("")
    return LevelHealth(LevelStatus.HEALTHY)


def _second(cache: Cache, server: QuickRedis) -> LevelHealth:
    policy = server.eviction_policy()
    if policy is None:
        return LevelHealth(LevelStatus.UNAVAILABLE, detail="it does not answer")
    if not policy.startswith(CACHE_POLICY):
        return LevelHealth(
            LevelStatus.DEGRADED, detail=f"maxmemory-policy is {policy}, not {CACHE_POLICY}*"
        )
    if not cache.is_sharing:
        return LevelHealth(
            LevelStatus.DEGRADED, detail="it failed a moment ago, and is spared for some seconds"
        )
    return LevelHealth(LevelStatus.HEALTHY)


def _news(cache: Cache, broker: QuickRedis) -> LevelHealth:
    if broker.eviction_policy() is None:
        return LevelHealth(LevelStatus.UNAVAILABLE, detail="the broker does not answer")
    if not cache.listens():
        return LevelHealth(
            LevelStatus.DEGRADED, detail="not connected; nothing is older than CACHE_TTL_SECONDS"
        )
    return LevelHealth(LevelStatus.HEALTHY)
