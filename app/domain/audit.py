"""The words of the audit log."""

from dataclasses import dataclass

RESOURCES = (
    "webhook",
    "user",
    "api_key",
    "routing_rule",
    "silence",
    "inhibition_rule",
    "delivery_pause",
    "baseline_schedule",
    "baseline_version",
    "risk_model",
    "redrive",
    "gate",
    "job_execution",
    "alert",
    "delivery",
)
# The first three are what became of a row; the last is told by whoever does it.
ACTIONS = ("insert", "update", "delete", "retry")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a `user` or an `api_key` with their id and address, or whoever runs a command."""

    kind: str
    id: int | None
    name: str
    address: str | None = None
    request_id: str | None = None
