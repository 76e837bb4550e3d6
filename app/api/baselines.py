"""Baselines, their versions, and when they are recalculated."""

from typing import Any

from flask import Response

import beat_schedule
from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.baselines import (
    BaselinePage,
    BaselineSchema,
    OperationQuery,
    RecalculateSchema,
    RollBackSchema,
    ScheduleChangeSchema,
    ScheduleCreateSchema,
    SchedulePage,
    ScheduleSchema,
    VersionPage,
    VersionQuery,
)
from app.api.schemas.operations import ExecutionSchema
from app.services import baseline_schedules as schedules
from app.services import baseline_versions as versions
from app.services import recalc_runs
from app.services.presenters.analytics import present_baseline
from app.services.queries import analytics as queries
from models import JobExecution, RecalcSchedule

blueprint = Blueprint(
    "baselines", __name__, url_prefix="/api/v1/baselines", description="What is usual"
)


@blueprint.get("")
@blueprint.arguments(OperationQuery, location="query")
@blueprint.response(200, BaselinePage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_baselines(query: dict[str, Any]) -> Response:
    """The baseline that is in force of each operation, with its hours of the week."""
    return cached.answer(queries.BASELINE_LIST, query)


@blueprint.get("/versions")
@blueprint.arguments(VersionQuery, location="query")
@blueprint.response(200, VersionPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_versions(query: dict[str, Any]) -> Response:
    """All versions that are kept, the newest first, without their hours of the week."""
    return cached.answer(queries.VERSION_LIST, query)


@blueprint.post("/recalculate")
@blueprint.arguments(RecalculateSchema)
@blueprint.response(202, ExecutionSchema)
def recalculate(data: dict[str, Any]) -> JobExecution:
    """Recalculate one operation's baseline, or all, now. A worker does it, with all samples that
    were accepted before; the execution says how it went.
    """
    job = beat_schedule.JOBS[recalc_runs.JOB]
    with deps().unit_of_work() as work:
        return recalc_runs.request(
            work.session, work.now, work.events, data["operation"], job["task"], job["lane"]
        )


@blueprint.post("/rollback")
@blueprint.arguments(RollBackSchema)
@blueprint.response(200, BaselineSchema)
@blueprint.alt_response(404, description="There is no such baseline or version")
@blueprint.alt_response(409, description="There is no version before, or it was rejected")
def roll_back(data: dict[str, Any]) -> dict[str, Any]:
    """Put a former version in force. The next recalculation comes after a whole turn of the
    schedule; make that inactive to keep this version.
    """
    with deps().unit_of_work() as work:
        view = versions.roll_back(work.session, work.now, data["operation"], data["version"])
    return present_baseline(view)


@blueprint.get("/schedules")
@blueprint.arguments(OperationQuery, location="query")
@blueprint.response(200, SchedulePage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_schedules(query: dict[str, Any]) -> Response:
    """Schedules, the newest first; operations with samples get a default one by themselves."""
    return cached.answer(queries.SCHEDULE_LIST, query)


@blueprint.post("/schedules")
@blueprint.arguments(ScheduleCreateSchema)
@blueprint.response(201, ScheduleSchema)
@blueprint.alt_response(409, description="The operation has a schedule")
def create_schedule(data: dict[str, Any]) -> RecalcSchedule:
    """Say when an operation's baseline is recalculated, in the place of the default schedule."""
    with deps().unit_of_work() as work:
        return schedules.create_schedule(work.session, work.now, schedules.DEFAULTS | data)


@blueprint.get("/schedules/<id:schedule_id>")
@blueprint.response(200, ScheduleSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_schedule(schedule_id: int) -> Response:
    """One schedule."""
    return cached.answer(queries.SCHEDULE, {"id": schedule_id})


@blueprint.put("/schedules/<id:schedule_id>")
@blueprint.arguments(ScheduleCreateSchema)
@blueprint.response(200, ScheduleSchema)
def replace_schedule(data: dict[str, Any], schedule_id: int) -> RecalcSchedule:
    """Replace a schedule: what is left out gets its default, so it is due now."""
    with deps().unit_of_work() as work:
        full = {"next_run_at": work.now} | schedules.DEFAULTS | data
        return schedules.change_schedule(work.session, work.now, schedule_id, full)


@blueprint.patch("/schedules/<id:schedule_id>")
@blueprint.arguments(ScheduleChangeSchema)
@blueprint.response(200, ScheduleSchema)
def change_schedule(changes: dict[str, Any], schedule_id: int) -> RecalcSchedule:
    """Change some fields of a schedule."""
    with deps().unit_of_work() as work:
        return schedules.change_schedule(work.session, work.now, schedule_id, changes)


@blueprint.delete("/schedules/<id:schedule_id>")
@blueprint.response(204)
def delete_schedule(schedule_id: int) -> None:
    """Delete a schedule. While the operation has samples it gets a default one again; make it
    inactive to stop recalculation.
    """
    with deps().unit_of_work() as work:
        schedules.delete_schedule(work.session, schedule_id)
