"""Runs of the job `baseline-recalc`: what is due, or what somebody asked for.

Each operation is done by itself. One that fails is recorded in its schedule, and the rest go on.
"""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.events import Event
from app.domain.recalculation import Outcome
from app.errors import Invalid
from app.services.baseline_schedules import (
    Lease,
    add_defaults,
    claim_due,
    claim_operation,
    record,
)
from app.services.jobs import request_run
from app.services.recalculation import Result, recalculate
from models import JobExecution, RecalcSchedule

log = structlog.get_logger(__name__)

JOB = "baseline-recalc"
# What is still due then waits for the next tick; the lane has other jobs.
TICK_SECONDS = 20.0
# For what somebody asked for: longer, but far from where a run counts as lost.
REQUEST_SECONDS = 900.0
# Samples that were accepted before somebody asked are in his baseline: so long they are waited for.
INBOX_SECONDS = 30.0
LOOK_EVERY_SECONDS = 0.2
MAX_WHYS = 20

_INBOX = text(
    "SELECT EXISTS (SELECT FROM pggit_analytics.metric_inbox WHERE received_at <= :moment)"
)


def request(
    session: Session,
    now: datetime,
    events: list[Event],
    operation: str | None,
    task: str,
    lane: str,
) -> JobExecution:
    """Ask for a recalculation of one operation, or of all whose schedule is active.

    Raises Invalid for an operation that has neither samples nor a schedule.
    """
    add_defaults(session, now)
    known = select(RecalcSchedule.id).where(RecalcSchedule.operation == operation)
    if operation is not None and session.scalar(known) is None:
        raise Invalid({"operation": ["There are no samples of this operation."]})
    return request_run(session, now, events, JOB, task, lane, {"operation": operation})


def run(unit_of_work: Callable[[], Any], execution_id: int | None) -> Mapping[str, Any]:
    """Do what the execution was asked for; without arguments, what is due. Counts by outcome."""
    with unit_of_work() as work:
        add_defaults(work.session, work.now)
        asked = _asked(work.session, execution_id)
    if asked is None:
        return _summary(_what_is_due(unit_of_work))
    operations, asked_at = asked
    _wait_for_inbox(unit_of_work, asked_at)
    with unit_of_work() as work:
        # A tick that ran while we waited did not have these samples.
        since = work.now
    return _summary(_what_is_asked(unit_of_work, operations, since))


def _asked(session: Session, execution_id: int | None) -> tuple[Sequence[str], datetime] | None:
    """The operations, and when it was asked for them."""
    execution = None if execution_id is None else session.get(JobExecution, execution_id)
    if execution is None or execution.arguments is None:
        return None
    operation = execution.arguments["operation"]
    if operation is not None:
        return [operation], execution.scheduled_for
    wanted = select(RecalcSchedule.operation).where(RecalcSchedule.is_active)
    return session.scalars(wanted).all(), execution.scheduled_for


def _what_is_due(unit_of_work: Callable[[], Any]) -> Iterator[tuple[str, Result]]:
    end = time.monotonic() + TICK_SECONDS
    while time.monotonic() < end:
        with unit_of_work() as work:
            lease = claim_due(work.session, work.now)
        if lease is None:
            return
        yield from _attempt(unit_of_work, lease)


def _what_is_asked(
    unit_of_work: Callable[[], Any], operations: Sequence[str], since: datetime
) -> Iterator[tuple[str, Result]]:
    """What somebody else has done since then, with the same samples, is done."""
    end = time.monotonic() + REQUEST_SECONDS
    for operation in operations:
        while time.monotonic() < end:
            with unit_of_work() as work:
                done = _outcome_since(work.session, operation, since)
                lease = None if done else claim_operation(work.session, work.now, operation)
            if done is not None:
                yield operation, done
                break
            if lease is not None:
                yield from _attempt(unit_of_work, lease)
                break
            # Somebody is at it, perhaps with data from before.
            time.sleep(LOOK_EVERY_SECONDS)  # only the row tells when it is done


def _outcome_since(session: Session, operation: str, since: datetime) -> Result | None:
    row = session.scalars(
        select(RecalcSchedule).where(RecalcSchedule.operation == operation)
    ).one_or_none()
    if row is None:
        return Result(Outcome.FAILED, None, "Its schedule is gone.")
    if row.last_run_at is None or row.last_status is None or row.last_run_at < since:
        return None
    return Result(Outcome(row.last_status), row.last_version, row.last_error)


def _attempt(unit_of_work: Callable[[], Any], lease: Lease) -> Iterator[tuple[str, Result]]:
    with unit_of_work() as work:
        began_at = work.now
    try:
        result = recalculate(unit_of_work, lease)
    except Exception as error:
        why = "".join(traceback.format_exception_only(error)).strip()
        log.exception(
            "a baseline was not recalculated", action="recalc_failed", operation=lease.operation
        )
        with unit_of_work() as work:
            record(work.session, work.now, lease, began_at, Outcome.FAILED, error=why)
        result = Result(Outcome.FAILED, None, why)
    if result is not None:
        yield lease.operation, result


def _wait_for_inbox(unit_of_work: Callable[[], Any], moment: datetime) -> None:
    """Until what had come in by then is in the rollups."""
    end = time.monotonic() + INBOX_SECONDS
    while time.monotonic() < end:
        with unit_of_work() as work:
            if not work.session.scalar(_INBOX, {"moment": moment}):
                return
        time.sleep(LOOK_EVERY_SECONDS)  # the roller is on another thread or host: only rows tell


def _summary(results: Iterator[tuple[str, Result]]) -> Mapping[str, Any]:
    counts = Counter[str]()
    whys: dict[str, str] = {}
    for operation, result in results:
        counts[result.outcome.value] += 1
        if result.why is not None and len(whys) < MAX_WHYS:
            whys[operation] = result.why
    return {outcome.value: counts[outcome.value] for outcome in Outcome} | {"why": whys}
