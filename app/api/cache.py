"""The cache: what it counted, how it is, warming, and forgetting."""

from datetime import UTC, datetime
from typing import Any

from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.cache import (
    CacheHealthSchema,
    CacheStatsSchema,
    InvalidatedSchema,
    InvalidateRequestSchema,
    WarmedSchema,
    WarmRequestSchema,
)
from app.services.cache_health import look_at_levels, whole
from app.services.cache_reports import slowest_queries, together
from app.services.queries.query import Priority
from app.services.warming import Warmed

blueprint = Blueprint(
    "cache", __name__, url_prefix="/api/v1/cache", description="What answers are kept, and how"
)


@blueprint.get("/stats")
@blueprint.response(200, CacheStatsSchema)
def get_stats() -> dict[str, Any]:
    """What the cache counted, per process and all web processes together, and the slowest queries.

    Each process tells its counts every two seconds; this one's are of now. While Redis is away
    they are this process's alone, and `is_complete` is false.
    """
    reports, is_complete = deps().reporter.all()
    return {
        **together(reports),
        "is_complete": is_complete,
        "detail": None if is_complete else "Redis does not answer: these are of one process only.",
        "processes": sorted(reports, key=lambda report: report["name"]),
        "slowest_queries": slowest_queries(reports),
    }


@blueprint.get("/health")
@blueprint.response(200, CacheHealthSchema)
def get_health() -> dict[str, Any]:
    """Each level and the news between processes, with its latency. Answers are right in any case:
    what is away makes them slower, and the whole degraded.
    """
    levels = look_at_levels(
        deps().cache, deps().cache_redis, deps().broker, deps().settings.cache_l1_max_items
    )
    return {"status": whole(levels), "timestamp": datetime.now(UTC), "levels": levels}


@blueprint.post("/warm")
@blueprint.arguments(WarmRequestSchema)
@blueprint.response(200, WarmedSchema)
def warm(data: dict[str, Any]) -> Warmed:
    """Load answers and keep them: these `keys`, or what was asked for lately of a `priority`, or of
    all. What L2 does not bring to other processes they are told to load themselves.
    """
    warmer = deps().warmer
    if "keys" in data:
        keys = data["keys"]
    else:
        priorities = [Priority(data["priority"])] if "priority" in data else list(Priority)
        keys = [key for priority in priorities for key in warmer.asked_lately(priority)]
    return warmer.warm_by_hand(keys)


@blueprint.post("/invalidate")
@blueprint.arguments(InvalidateRequestSchema)
@blueprint.response(200, InvalidatedSchema)
def invalidate(data: dict[str, Any]) -> dict[str, Any]:
    """Forget answers: in this process and in L2 at once, in all others within moments.

    Nobody needs this for an answer to be right; it is for what was changed past Tocsin.
    """
    cache = deps().cache
    if "keys" in data:
        count = cache.drop(data["keys"])
    elif "pattern" in data:
        count = cache.drop_matching(data["pattern"])
    else:
        count = cache.clear()
    return {"invalidated": count}
