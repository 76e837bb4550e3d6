"""The jobs lane: what was asked for lately is loaded before somebody asks again."""

from collections.abc import Mapping
from typing import Any

from app.services.queries.query import Priority
from tasks.lane import this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery


def _warm(priority: Priority, slot: int | None, execution_id: int | None) -> Mapping[str, Any]:
    def work() -> Mapping[str, Any]:
        deps = this_lane().deps
        deps.reporter.start()
        warmed = deps.warmer.warm_round(priority)
        return {
            "entries": warmed.entries,
            "bytes": warmed.bytes,
            "still_good": warmed.still_good,
            "left": warmed.left,
            "for_web_processes": warmed.for_others,
            "errors": len(warmed.errors),
        }

    return run_scheduled(f"cache-warm-{priority}", work, slot, execution_id)


@celery.task(name="cache.warm_critical")
def warm_critical(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Warm what is critical."""
    return _warm(Priority.CRITICAL, slot, execution_id)


@celery.task(name="cache.warm_high")
def warm_high(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Warm what has a high priority."""
    return _warm(Priority.HIGH, slot, execution_id)


@celery.task(name="cache.warm_medium")
def warm_medium(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Warm what has a medium priority."""
    return _warm(Priority.MEDIUM, slot, execution_id)


@celery.task(name="cache.warm_low")
def warm_low(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Warm what has a low priority."""
    return _warm(Priority.LOW, slot, execution_id)
