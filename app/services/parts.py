"""A part of the system, looked at: how it is, and how long it took to say so."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from app.adapters.quick_redis import QuickRedis

BROKER_POLICY = "noeviction"
CACHE_POLICY = "allkeys-"


class PartStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Part:
    """`latency_ms` is None where nothing was asked."""

    status: PartStatus
    latency_ms: float | None = None
    detail: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def measured(look: Callable[[], Part]) -> Part:
    began = time.perf_counter()
    part = look()
    return replace(part, latency_ms=(time.perf_counter() - began) * 1000)


def redis_part(server: QuickRedis, wanted_policy: str) -> Part:
    """A Redis, whose `maxmemory-policy` is to begin so."""
    policy = server.eviction_policy()
    if policy is None:
        return Part(PartStatus.UNAVAILABLE, detail="it does not answer")
    if not policy.startswith(wanted_policy):
        return Part(
            PartStatus.DEGRADED, detail=f"maxmemory-policy is {policy}, not {wanted_policy}"
        )
    return Part(PartStatus.HEALTHY)
