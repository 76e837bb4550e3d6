"""How the cache is: its levels, and the news that keep them right, each with its latency."""

from collections.abc import Mapping

from app.adapters.cache.cache import Cache
from app.adapters.quick_redis import QuickRedis
from app.services.parts import CACHE_POLICY, Part, PartStatus, measured, redis_part

_NO_SECOND = Part(PartStatus.DISABLED, detail="CACHE_REDIS_URL is not set")


def look_at_levels(
    cache: Cache, second: QuickRedis | None, broker: QuickRedis, max_items: int
) -> dict[str, Part]:
    """L1, L2, and `news`: whether this process hears of what others write."""
    return {
        "l1": measured(lambda: _first(cache, max_items)),
        "l2": measured(lambda: _second(cache, second)) if second is not None else _NO_SECOND,
        "news": measured(lambda: _news(cache, broker)),
    }


def whole(levels: Mapping[str, Part]) -> PartStatus:
    """Answers are right whatever is away, so the whole is degraded at worst."""
    states = {name: level.status for name, level in levels.items()}
    if states["l1"] is states["l2"] is PartStatus.DISABLED:
        return PartStatus.DISABLED
    if set(states.values()) <= {PartStatus.HEALTHY, PartStatus.DISABLED}:
        return PartStatus.HEALTHY
    return PartStatus.DEGRADED


def _first(cache: Cache, max_items: int) -> Part:
    if max_items == 0:
        return Part(PartStatus.DISABLED, detail="CACHE_L1_MAX_ITEMS is 0")
    cache.holds("")
    return Part(PartStatus.HEALTHY)


def _second(cache: Cache, server: QuickRedis) -> Part:
    found = redis_part(server, CACHE_POLICY)
    if found.status is PartStatus.HEALTHY and not cache.is_sharing:
        return Part(
            PartStatus.DEGRADED, detail="it failed a moment ago, and is spared for some seconds"
        )
    return found


def _news(cache: Cache, broker: QuickRedis) -> Part:
    if broker.eviction_policy() is None:
        return Part(PartStatus.UNAVAILABLE, detail="the broker does not answer")
    if not cache.listens():
        return Part(
            PartStatus.DEGRADED, detail="not connected; nothing is older than CACHE_TTL_SECONDS"
        )
    return Part(PartStatus.HEALTHY)
