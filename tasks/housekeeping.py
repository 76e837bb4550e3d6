"""The jobs lane: what keeps the house."""

from collections.abc import Mapping
from typing import Any

import beat_schedule
from app.deps import Deps
from app.services import dead_mans_switch
from app.services.agenda import Agenda
from app.services.dependencies import settle_all
from app.services.health_rollups import fold
from app.services.jobs import forgotten_runs
from app.services.partitions import keep_partitions
from app.services.retention import purge
from app.services.rolling import Roller
from app.services.watching import Watcher
from tasks.lane import InTurn, Runner, this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery

TASKS = {name: (job["task"], job["lane"]) for name, job in beat_schedule.JOBS.items()}


def make_housekeeper(deps: Deps) -> Runner:
    schedule = deps.settings.retry_schedule_seconds
    return InTurn(
        Agenda(deps.unit_of_work, deps.clock, deps.back_pressure, schedule),
        Roller(deps.unit_of_work, deps.clock),
        # Behind the roller: what that has just rolled up is looked at in the same pass.
        Watcher(deps.unit_of_work, deps.clock, schedule),
    )


@celery.task(name="beat.heartbeat")
def heartbeat(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Show that beat and this lane live, and see to runs that were forgotten."""

    def work() -> Mapping[str, Any]:
        with this_lane().deps.unit_of_work() as unit:
            return forgotten_runs(unit.session, unit.events, TASKS)

    return run_scheduled("beat-heartbeat", work, slot, execution_id)


@celery.task(name="heartbeat.call")
def call_heartbeat(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Call HEARTBEAT_URL, if all is well."""

    def work() -> Mapping[str, Any]:
        deps = this_lane().deps
        url = deps.settings.heartbeat_url
        return dead_mans_switch.call(deps.reading, deps.guard, url, beat_schedule.LANES)

    return run_scheduled(dead_mans_switch.JOB, work, slot, execution_id)


@celery.task(name="metrics.roll")
def roll_metrics(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Roll up the samples that came in."""
    return run_scheduled("metrics-roll", lambda: this_lane().look(), slot, execution_id)


@celery.task(name="metrics.partitions")
def keep_metric_partitions(
    slot: int | None = None, execution_id: int | None = None
) -> Mapping[str, Any]:
    """Make the tables for the samples to come, and drop those past their retention."""
    return run_scheduled(
        "metrics-partitions",
        lambda: keep_partitions(this_lane().deps.unit_of_work),
        slot,
        execution_id,
    )


@celery.task(name="anomalies.watch")
def watch_operations(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Look for what is unusual."""
    return run_scheduled("anomalies-watch", lambda: this_lane().look(), slot, execution_id)


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
