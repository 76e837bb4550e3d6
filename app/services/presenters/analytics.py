"""Baselines, anomalies, incidents, silences and jobs, as the API shows them."""

from typing import Any

from app.services.baseline_versions import BaselineView
from app.services.incidents import IncidentView
from app.services.jobs import JobView
from app.services.presenters.rows import present_execution, present_version, showing
from app.services.silences import SilenceView
from models import Anomaly

_anomaly = showing("id", "operation", "started_at", "ended_at", "end_reason", "severity", "score")
_incident = showing(
    "id",
    "status",
    "cause_operation",
    "summary",
    "started_at",
    "closed_at",
    "created_at",
    "updated_at",
)
_member = showing(
    "off_since", "back_at", "back_reason", "correlation", "value", "usual_low", "usual_high"
)
_job = showing("name", "description", "interval_seconds", "lane", "next_due_at", "missed_ticks_24h")


def present_silence(view: SilenceView) -> dict[str, Any]:
    row = view.row
    return {
        "id": row.id,
        "kind": row.kind,
        "comment": row.comment,
        "matchers": row.matchers,
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "recurrence": row.recurrence,
        "created_by": row.created_by,
        "status": view.status,
        "in_force_until": view.in_force_until,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def present_baseline(view: BaselineView) -> dict[str, Any]:
    return present_version(view.row) | {"slots": view.slots}


def present_anomaly(row: Anomaly) -> dict[str, Any]:
    return _anomaly(row) | {
        "value": row.value,
        "expected_low": row.low,
        "expected_high": row.high,
        "sentence": row.sentence,
        "views": row.views,
        "alert_id": row.alert_id,
    }


def present_incident(view: IncidentView) -> dict[str, Any]:
    cause = view.row.cause_operation
    members = [
        {"operation": member.operation, "is_cause": member.operation == cause} | _member(member)
        for member in view.members
    ]
    return _incident(view.row) | {"members": members}


def present_job(view: JobView) -> dict[str, Any]:
    last = view.last_execution
    return _job(view) | {"last_execution": None if last is None else present_execution(last)}
