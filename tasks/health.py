"""The health lane."""

from collections.abc import Mapping
from typing import Any

from app.deps import Deps
from app.services.checker import Checker
from tasks.lane import Runner, this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery


def make_checker(deps: Deps) -> Runner:
    settings = deps.settings
    return Checker(
        deps.unit_of_work,
        deps.clock,
        deps.cipher,
        deps.guard,
        settings.request_timeout_seconds,
        settings.retry_schedule_seconds,
    )


@celery.task(name="webhooks.check_health")
def check_health(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Check the webhooks that are due."""
    return run_scheduled("health-check", lambda: this_lane().look(), slot, execution_id)
