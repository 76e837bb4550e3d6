"""From a tick to a run: what every scheduled task does around its work."""

from collections.abc import Callable, Mapping
from typing import Any

import beat_schedule
from app.domain.samples import Series
from app.services.jobs import run_job
from app.services.meter import JOB_RUNS
from tasks.lane import this_lane


def run_scheduled(
    name: str,
    work: Callable[[], Mapping[str, Any]],
    slot: int | None,
    execution_id: int | None,
) -> Mapping[str, Any]:
    """Run a job for its slot or for a run asked for by hand; a bare hint wakes the lane."""
    lane = this_lane()
    if slot is None and execution_id is None:
        return lane.wake()
    outcome = "failed"
    try:
        result = run_job(
            lane.deps.unit_of_work,
            name,
            beat_schedule.JOBS[name]["interval_seconds"],
            work,
            worker=lane.worker,
            slot=slot,
            execution_id=execution_id,
        )
        outcome = "skipped" if "skipped" in result else "succeeded"
        return result
    finally:
        lane.deps.meter.count(Series(JOB_RUNS, (("job", name), ("outcome", outcome))))
