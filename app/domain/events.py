"""What services say has happened. Listeners hear of it after the commit, and only then."""

from dataclasses import dataclass

from app.domain.live import Kind


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


@dataclass(frozen=True, slots=True)
class Changed:
    """These are not what they were: whoever watches wants to know."""

    kind: Kind
    ids: tuple[int, ...]


Event = DeliveriesQueued | ChecksDue | JobRequested | Changed
