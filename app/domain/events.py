"""What services say has happened. Listeners hear of it after the commit, and only then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeliveriesQueued:
    """There is something to deliver."""


@dataclass(frozen=True, slots=True)
class ChecksDue:
    """There is a webhook to check now."""


@dataclass(frozen=True, slots=True)
class JobRequested:
    """Somebody asked for a run by hand."""

    task: str
    lane: str
    execution_id: int


Event = DeliveriesQueued | ChecksDue | JobRequested
