"""Beat: stamps each tick with its slot, so that however many beats there are, it runs once.

Ticks are aligned to the clock, so nothing needs to be remembered over a restart.
"""

import copy
import time
from datetime import datetime
from typing import Any

import structlog
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedstate, schedule

import beat_schedule
from app.domain.slots import next_due, slot_of
from tasks.worker import celery, settings

log = structlog.get_logger(__name__)

# With no worker there, ticks must not pile up in the broker.
MAX_IN_BROKER = 100


class Aligned(schedule):
    """Due at every multiple of the interval since 1970, in whole seconds."""

    def __init__(self, interval_seconds: int) -> None:
        super().__init__(interval_seconds)
        self.interval_seconds = interval_seconds

    def __reduce__(self) -> tuple[type["Aligned"], tuple[int]]:
        return (type(self), (self.interval_seconds,))

    def is_due(self, last_run_at: datetime) -> schedstate:
        now = time.time()
        due = next_due(last_run_at.timestamp(), self.interval_seconds)
        if now < due:
            return schedstate(False, due - now)
        return schedstate(True, next_due(now, self.interval_seconds) - now)


class SlotScheduler(Scheduler):
    """Sends each tick with the slot that it is for; a tick nobody took up in time means nothing."""

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> Any:
        interval = beat_schedule.JOBS[str(entry.name)]["interval_seconds"]
        lane = beat_schedule.JOBS[str(entry.name)]["lane"]
        stamped = copy.copy(entry)
        stamped.kwargs = {**(entry.kwargs or {}), "slot": slot_of(time.time(), interval)}
        stamped.options = {**(entry.options or {}), "expires": interval}
        connection: Any = self.connection
        if connection.default_channel.client.llen(lane) >= MAX_IN_BROKER:
            log.warning("nobody takes ticks up", action="tick_not_sent", lane=lane, job=entry.name)
            return None
        return super().apply_async(stamped, producer=producer, advance=advance, **kwargs)


celery.conf.beat_schedule = {
    name: {
        "task": job["task"],
        "schedule": Aligned(job["interval_seconds"]),
        "options": {"queue": job["lane"]},
    }
    for name, job in beat_schedule.JOBS.items()
}


def main() -> None:
    beat = celery.Beat(
        scheduler="tasks.beat:SlotScheduler",
        max_interval=1,
        loglevel=settings.log_level,
        quiet=True,
    )
    beat.run()


if __name__ == "__main__":
    main()
