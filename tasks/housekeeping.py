"""The jobs lane: what keeps the house."""

from collections.abc import Mapping
from typing import Any

import beat_schedule
from app.deps import Deps
from app.services.agenda import Agenda
from app.services.dependencies import settle_all
from app.services.health_rollups import fold
from app.services.jobs import forgotten_runs
from app.services.retention import purge
from tasks.lane import Runner, this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery

TASKS = {name: (job["task"], job["lane"]) for name, job in beat_schedule.JOBS.items()}


def make_agenda(deps: Deps) -> Runner:
    schedule = deps.settings.retry_schedule_seconds
    return Agenda(deps.unit_of_work, deps.clock, deps.back_pressure, schedule)


@celery.task(name="beat.heartbeat")
def heartbeat(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Show that beat and this lane live, and see to runs that were forgotten."""

    def work() -> Mapping[str, Any]:
        with this_lane().deps.unit_of_work() as unit:
            return forgotten_runs(unit.session, unit.events, TASKS)

    return run_scheduled("beat-heartbeat", work, slot, execution_id)


@celery.task(name="history.purge")
def purge_history(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Delete history that is past its retention."""
    return run_scheduled(
        "purge-history", lambda: purge(this_lane().deps.unit_of_work), slot, execution_id
    )


@celery.task(name="health.upkeep")
def keep_health(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Fold the rollups of health checks, and settle who depends on others."""

    def work() -> Mapping[str, Any]:
        unit_of_work = this_lane().deps.unit_of_work
        return settle_all(unit_of_work) | fold(unit_of_work)

    return run_scheduled("health-upkeep", work, slot, execution_id)
