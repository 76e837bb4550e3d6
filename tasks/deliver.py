"""The delivery lane."""

from collections.abc import Mapping
from typing import Any

from app.deps import Deps
from app.services.delivery import Drain
from app.services.messages import Targets
from tasks.lane import Runner, this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery


def make_drain(deps: Deps) -> Runner:
    settings = deps.settings
    targets = Targets(
        deps.cipher, settings.request_timeout_seconds, settings.retry_schedule_seconds
    )
    return Drain(
        deps.database, deps.clock, deps.guard, targets, meter=deps.meter, changes=deps.changes
    )


@celery.task(name="alerts.deliver")
def deliver(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Deliver what is due."""
    return run_scheduled("deliver", lambda: this_lane().look(), slot, execution_id)
