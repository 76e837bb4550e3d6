"""Scheduled jobs."""

from typing import Any

import beat_schedule
from app.api.context import deps, page_answer, page_request
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.operations import ExecutionPage, ExecutionSchema, JobPage
from app.errors import NotFound
from app.services import jobs
from app.services.paging import page_of_known
from models import JobExecution

blueprint = Blueprint(
    "jobs", __name__, url_prefix="/api/v1/jobs", description="What runs on a schedule"
)


@blueprint.get("")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, JobPage)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """Every job with its last run, in the order of the schedule."""
    with deps().unit_of_work() as work:
        views = jobs.list_jobs(work.session, work.now, beat_schedule.JOBS)
    page = page_of_known(views, page_request(query))
    return page_answer(page, page.items)


@blueprint.get("/<string:name>/executions")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ExecutionPage)
def list_executions(query: dict[str, Any], name: str) -> dict[str, Any]:
    """A job's runs, the newest first."""
    with deps().reading() as session:
        page = jobs.list_executions(session, name, beat_schedule.JOBS, page_request(query))
    return page_answer(page, page.items)


@blueprint.post("/<string:name>/run")
@blueprint.response(202, ExecutionSchema)
def run_job(name: str) -> JobExecution:
    """Run a job now; a worker takes it up, and its execution says how it went."""
    if name not in beat_schedule.JOBS:
        raise NotFound("There is no such job.")
    job = beat_schedule.JOBS[name]
    with deps().unit_of_work() as work:
        return jobs.request_run(work.session, work.now, work.events, name, job["task"], job["lane"])
