"""Rows that are shown with the names of their columns."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any


def showing(*names: str) -> Callable[[Any], dict[str, Any]]:
    """Makes of a row a map of these of its attributes."""
    read = attrgetter(*names)
    return lambda row: dict(zip(names, read(row), strict=True))


present_routing_rule = showing(
    "id",
    "name",
    "position",
    "is_active",
    "matchers",
    "webhook_ids",
    "continues",
    "group_by",
    "group_wait_seconds",
    "group_interval_seconds",
    "repeat_minutes",
    "steps",
    "created_at",
    "updated_at",
)
present_inhibition_rule = showing(
    "id",
    "name",
    "is_active",
    "source_matchers",
    "target_matchers",
    "equal",
    "created_at",
    "updated_at",
)
present_schedule = showing(
    "id",
    "operation",
    "frequency_seconds",
    "lookback_days",
    "minimum_samples",
    "is_active",
    "is_default",
    "next_run_at",
    "last_run_at",
    "last_status",
    "last_error",
    "last_version",
    "failures_in_a_row",
    "created_at",
    "updated_at",
)
present_version = showing(
    "sample_count",
    "p50",
    "p75",
    "p90",
    "p95",
    "p99",
    "mean",
    "stddev",
    "mad",
    "operation",
    "version",
    "status",
    "window_since",
    "window_until",
    "left_out",
    "left_out_hours",
    "back_test",
    "verdict",
    "computed_at",
    "activated_at",
)
present_execution = showing(
    "id",
    "job_name",
    "slot",
    "trigger",
    "status",
    "scheduled_for",
    "started_at",
    "finished_at",
    "duration_ms",
    "missed_ticks",
    "worker",
    "arguments",
    "result",
    "error",
)
present_operation = showing("operation", "unit", "series", "created_at", "last_sample_at")
