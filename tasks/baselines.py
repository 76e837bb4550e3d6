"""Baselines and incidents, in the jobs lane."""

from collections.abc import Mapping
from typing import Any

from app.services import recalc_runs
from app.services.correlation import correlate
from tasks.lane import this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery


@celery.task(name="baselines.recalculate")
def recalculate(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Recalculate the baselines that are due, or those that somebody asked for."""

    def work() -> Mapping[str, Any]:
        if execution_id is not None:
            # Whoever asks has perhaps just sent the samples: the lane rolls them up now.
            this_lane().look()
        return recalc_runs.run(this_lane().deps.unit_of_work, execution_id)

    return run_scheduled(recalc_runs.JOB, work, slot, execution_id)


@celery.task(name="incidents.correlate")
def correlate_incidents(
    slot: int | None = None, execution_id: int | None = None
) -> Mapping[str, Any]:
    """Bring the incidents up to date."""
    return run_scheduled(
        "correlate-incidents",
        lambda: correlate(this_lane().deps.unit_of_work),
        slot,
        execution_id,
    )
