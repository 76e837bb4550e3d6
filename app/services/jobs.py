"""Runs of scheduled jobs: begun once for a slot, finished with a result or an error."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.events import Changed, Event, JobRequested
from app.domain.live import Kind
from app.domain.slots import due_of, missed_between, next_due
from app.errors import NotFound, TocsinError
from app.services.paging import Page, PageRequest, paginate
from models import JobExecution

log = structlog.get_logger(__name__)

MAX_ERROR_CHARS = 2000
# No job takes this long: one that still runs then lost its worker.
LOST_AFTER_SECONDS = 3600
REMIND_AFTER_SECONDS = 10


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, its last run, and when it is due next; missed ticks over the last 24 hours."""

    name: str
    description: str
    interval_seconds: int
    lane: str
    last_execution: JobExecution | None
    next_due_at: datetime
    missed_ticks_24h: int


def begin_tick(
    session: Session, now: datetime, name: str, interval_seconds: int, slot: int, worker: str
) -> int | None:
    """The id of this slot's run, or None when somebody runs it already."""
    previous = session.scalar(
        select(func.max(JobExecution.slot)).where(
            JobExecution.job_name == name, JobExecution.slot < slot
        )
    )
    missed = missed_between(previous, slot)
    execution_id = session.scalar(
        insert(JobExecution)
        .values(
            job_name=name,
            slot=slot,
            trigger="schedule",
            status="running",
            scheduled_for=datetime.fromtimestamp(due_of(slot, interval_seconds), UTC),
            started_at=now,
            missed_ticks=missed,
            worker=worker,
        )
        .on_conflict_do_nothing(index_elements=[JobExecution.job_name, JobExecution.slot])
        .returning(JobExecution.id)
    )
    if execution_id is not None and missed:
        log.warning("ticks were missed", action="ticks_missed", job=name, missed=missed, slot=slot)
    return execution_id


def begin_requested(session: Session, now: datetime, execution_id: int, worker: str) -> bool:
    """Begin a run that was asked for by hand. False when somebody runs it already."""
    begun = session.scalar(
        update(JobExecution)
        .where(JobExecution.id == execution_id, JobExecution.status == "queued")
        .values(status="running", started_at=now, worker=worker)
        .returning(JobExecution.id)
    )
    return begun is not None


def finish(
    session: Session,
    execution_id: int,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    moment = func.clock_timestamp()
    session.execute(
        update(JobExecution)
        .where(JobExecution.id == execution_id)
        .values(
            status="succeeded" if error is None else "failed",
            finished_at=moment,
            duration_ms=func.extract("epoch", moment - JobExecution.started_at) * 1000,
            result=result,
            error=error,
        )
    )


def run_job(
    unit_of_work: Callable[[], Any],
    name: str,
    interval_seconds: int,
    work: Callable[[], Mapping[str, Any]],
    *,
    worker: str,
    slot: int | None = None,
    execution_id: int | None = None,
) -> Mapping[str, Any]:
    """Run a job for its slot, or for a run asked for by hand, unless somebody does already.

    Whatever happens is in its row. Errors are recorded and raised again.
    """
    with unit_of_work() as unit:
        if slot is not None:
            execution_id = begin_tick(unit.session, unit.now, name, interval_seconds, slot, worker)
        elif execution_id is not None and not begin_requested(
            unit.session, unit.now, execution_id, worker
        ):
            execution_id = None
        if execution_id is not None:
            unit.events.append(Changed(Kind.JOB, (execution_id,)))
    if execution_id is None:
        return {"skipped": "somebody else runs it"}
    try:
        result = work()
    except Exception as error:
        with unit_of_work() as unit:
            finish(unit.session, execution_id, error=_explain(error))
            unit.events.append(Changed(Kind.JOB, (execution_id,)))
        raise
    with unit_of_work() as unit:
        finish(unit.session, execution_id, result=result)
        unit.events.append(Changed(Kind.JOB, (execution_id,)))
    return result


def _explain(error: Exception) -> str:
    if isinstance(error, TocsinError):
        return error.detail
    lines = traceback.format_exception_only(error)
    return "".join(lines).strip()[:MAX_ERROR_CHARS]


def request_run(
    session: Session,
    now: datetime,
    events: list[Event],
    name: str,
    task: str,
    lane: str,
    arguments: Mapping[str, Any] | None = None,
) -> JobExecution:
    """Queue a run by hand; a worker of the lane takes it up. Without `arguments` it does what
    every run of the job does.
    """
    execution = JobExecution(
        job_name=name,
        trigger="manual",
        status="queued",
        scheduled_for=now,
        missed_ticks=0,
        arguments=None if arguments is None else dict(arguments),
    )
    session.add(execution)
    session.flush()
    session.refresh(execution)
    events += [JobRequested(task, lane, execution.id), Changed(Kind.JOB, (execution.id,))]
    return execution


def forgotten_runs(
    session: Session, events: list[Event], tasks: Mapping[str, tuple[str, str]]
) -> dict[str, int]:
    """Hint again about runs that nobody took up; give up those whose worker was lost.

    `tasks` gives task and lane by job name.
    """
    waiting = session.execute(
        select(JobExecution.id, JobExecution.job_name).where(
            JobExecution.status == "queued",
            JobExecution.created_at
            < func.now() - text(f"interval '{REMIND_AFTER_SECONDS} seconds'"),
        )
    ).all()
    for execution_id, name in waiting:
        if name in tasks:
            events.append(JobRequested(*tasks[name], execution_id))
    lost = session.execute(
        update(JobExecution)
        .where(
            JobExecution.status == "running",
            JobExecution.started_at < func.now() - text(f"interval '{LOST_AFTER_SECONDS} seconds'"),
        )
        .values(status="failed", finished_at=func.now(), error="its worker was lost")
        .returning(JobExecution.id)
    ).all()
    events.append(Changed(Kind.JOB, tuple(execution_id for (execution_id,) in lost)))
    return {"reminded": len(waiting), "lost": len(lost)}


def list_jobs(
    session: Session, now: datetime, schedule: Mapping[str, Mapping[str, Any]]
) -> list[JobView]:
    newest = (
        select(func.max(JobExecution.id))
        .where(JobExecution.job_name.in_(list(schedule)))
        .group_by(JobExecution.job_name)
    )
    last = {
        row.job_name: row
        for row in session.scalars(select(JobExecution).where(JobExecution.id.in_(newest)))
    }
    missed = dict(
        session.execute(
            select(JobExecution.job_name, func.sum(JobExecution.missed_ticks))
            .where(JobExecution.created_at > func.now() - text("interval '24 hours'"))
            .group_by(JobExecution.job_name)
        ).all()
    )
    return [
        JobView(
            name=name,
            description=job["description"],
            interval_seconds=job["interval_seconds"],
            lane=job["lane"],
            last_execution=last.get(name),
            next_due_at=datetime.fromtimestamp(
                next_due(now.timestamp(), job["interval_seconds"]), UTC
            ),
            missed_ticks_24h=int(missed.get(name) or 0),
        )
        for name, job in schedule.items()
    ]


def list_executions(
    session: Session, name: str, known: Mapping[str, Any], request: PageRequest
) -> Page[JobExecution]:
    if name not in known:
        raise NotFound("There is no such job.")
    return paginate(
        session,
        select(JobExecution).where(JobExecution.job_name == name),
        JobExecution.id,
        request,
    )
