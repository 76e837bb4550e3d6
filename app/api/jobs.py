"""Scheduled jobs."""

from typing import Any

from flask import Response

import beat_schedule
from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.operations import ExecutionPage, ExecutionSchema, JobPage
from app.errors import NotFound
from app.services import jobs
from app.services.queries import analytics as queries
from models import JobExecution

blueprint = Blueprint(
    "jobs", __name__, url_prefix="/api/v1/jobs", description="What runs on a schedule"
)


@blueprint.get("")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, JobPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_jobs(query: dict[str, Any]) -> Response:
    """Every job with its last run, in the order of the schedule."""
    return cached.answer(queries.JOB_LIST, query)


@blueprint.get("/<string:name>/executions")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ExecutionPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_executions(query: dict[str, Any], name: str) -> Response:
    """A job's runs, the newest first."""
    return cached.answer(queries.EXECUTION_LIST, query | {"name": name})


@blueprint.post("/<string:name>/run")
@blueprint.response(202, ExecutionSchema)
def run_job(name: str) -> JobExecution:
    """Run a job now; a worker takes it up, and its execution says how it went."""
    if name not in beat_schedule.JOBS:
        raise NotFound("There is no such job.")
    job = beat_schedule.JOBS[name]
    with deps().unit_of_work() as work:
        return jobs.request_run(work.session, work.now, work.events, name, job["task"], job["lane"])
