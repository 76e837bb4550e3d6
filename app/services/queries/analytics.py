"""Metrics, baselines, anomalies, incidents and jobs."""

from typing import Any

from app.services import (
    anomalies,
    baseline_schedules,
    baseline_versions,
    incidents,
    jobs,
    metrics,
)
from app.services.paging import Page, PageRequest, page_of_known
from app.services.presenters.analytics import (
    present_anomaly,
    present_baseline,
    present_incident,
    present_job,
)
from app.services.presenters.rows import (
    present_execution,
    present_operation,
    present_schedule,
    present_version,
)
from app.services.queries import tables
from app.services.queries.query import Arguments, Priority, Query, Reading, listed

# What is asked for up to now, and when a job is due next.
_UP_TO_NOW_SECONDS = 5.0


def _points(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return metrics.answer(reading.session, reading.now, arguments)


def _operations(reading: Reading, _filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return page_of_known(metrics.list_operations(reading.session), request)


def _baselines(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return baseline_versions.list_baselines(reading.session, filters, request)


def _versions(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return baseline_versions.list_versions(reading.session, filters, request)


def _schedules(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return baseline_schedules.list_schedules(reading.session, filters, request)


def _schedule(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_schedule(baseline_schedules.get_schedule(reading.session, arguments["id"]))


def _anomalies(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return anomalies.list_anomalies(reading.session, filters, request)


def _incidents(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return incidents.list_incidents(reading.session, filters, request)


def _incident(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_incident(incidents.get_incident(reading.session, arguments["id"]))


def _jobs(reading: Reading, _filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    views = jobs.list_jobs(reading.session, reading.now, reading.schedule)
    return page_of_known(views, request)


def _executions(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return jobs.list_executions(reading.session, filters["name"], reading.schedule, request)


_BASELINES = frozenset({tables.VERSIONS, tables.SLOTS})
_INCIDENTS = frozenset({tables.INCIDENTS, tables.MEMBERS})
_SCHEDULES = frozenset({tables.SCHEDULES})
_JOBS = frozenset({tables.EXECUTIONS})

METRIC_POINTS = Query(
    "metrics.query",
    frozenset({tables.SERIES, tables.METRIC_ROLLUPS}),
    _points,
    ttl=_UP_TO_NOW_SECONDS,
)
OPERATION_LIST = Query(
    "metrics.operations", frozenset({tables.SERIES}), listed(_operations, present_operation)
)
BASELINE_LIST = Query(
    "baselines.list", _BASELINES, listed(_baselines, present_baseline), priority=Priority.LOW
)
VERSION_LIST = Query(
    "baselines.versions", frozenset({tables.VERSIONS}), listed(_versions, present_version)
)
SCHEDULE_LIST = Query("baselines.schedules", _SCHEDULES, listed(_schedules, present_schedule))
SCHEDULE = Query("baselines.schedule", _SCHEDULES, _schedule)
ANOMALY_LIST = Query(
    "anomalies.list",
    # Deleting an alert takes it out of its anomaly.
    frozenset({tables.ANOMALIES}),
    listed(_anomalies, present_anomaly),
    priority=Priority.MEDIUM,
)
INCIDENT_LIST = Query(
    "incidents.list", _INCIDENTS, listed(_incidents, present_incident), priority=Priority.MEDIUM
)
INCIDENT = Query("incidents.get", _INCIDENTS, _incident)
JOB_LIST = Query(
    "jobs.list",
    _JOBS,
    listed(_jobs, present_job),
    ttl=_UP_TO_NOW_SECONDS,
    priority=Priority.HIGH,
)
EXECUTION_LIST = Query("jobs.executions", _JOBS, listed(_executions, present_execution))

QUERIES = (
    METRIC_POINTS,
    OPERATION_LIST,
    BASELINE_LIST,
    VERSION_LIST,
    SCHEDULE_LIST,
    SCHEDULE,
    ANOMALY_LIST,
    INCIDENT_LIST,
    INCIDENT,
    JOB_LIST,
    EXECUTION_LIST,
)
