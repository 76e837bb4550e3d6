"""What a redrive may try again, and how much of it at a time."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.alerts import AlertStatus, EventType

# Of what its webhook may have in flight: so it is not idle between two looks, and a fresh alert
# never has more than this before it.
WINDOW_PER_IN_FLIGHT = 8
# Where a webhook is told slowly, what it takes in this time.
WINDOW_SECONDS = 2.0
# What was tried again and is backing off does not keep others waiting, up to so many windows.
MAX_OPEN_WINDOWS = 10
# Fresh alerts are refused from QUEUE_LIMIT on. A redrive must never be what brings that about.
PART_OF_QUEUE_LIMIT = 0.5


class SkipReason(StrEnum):
    """Why a delivery that matched was not tried again."""

    WEBHOOK_DELETED = "webhook_deleted"
    WEBHOOK_INACTIVE = "webhook_inactive"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"  # its alert is over, or somebody has seen to it
    OVERTAKEN = "overtaken"  # the webhook has had, or is owed, later news of the same alert
    NEVER_TOLD = "never_told"  # it is the end of something that the webhook never heard of
    PAST_RETENTION = "past_retention"
    CHANGED_MEANWHILE = "changed_meanwhile"  # it was retried by hand, redriven or purged


@dataclass(frozen=True, slots=True)
class Candidate:
    """What of a delivery decides whether it is tried again.

    `alert_statuses` are those of all alerts that it tells of. `was_told`: the webhook has had the
    firing, or is about to have it.
    """

    event_type: EventType
    is_follow_up: bool  # a reminder or a step
    alert_statuses: frozenset[AlertStatus]
    is_expired: bool
    is_past_retention: bool
    is_overtaken: bool
    was_told: bool


def why_skip(one: Candidate, *, include_superseded: bool) -> SkipReason | None:
    """None: it is tried again.

    `include_superseded` lifts that one reason: nobody can ask for news out of order, nor for an
    end without a beginning.
    """
    if one.is_past_retention:
        return SkipReason.PAST_RETENTION
    if one.is_expired:
        return SkipReason.EXPIRED
    if (reason := out_of_order(one)) is not None:
        return reason
    if _is_superseded(one) and not include_superseded:
        return SkipReason.SUPERSEDED
    return None


def out_of_order(one: Candidate) -> SkipReason | None:
    """Why it must not be tried again whoever asks for it; None: it may be."""
    if one.is_overtaken:
        return SkipReason.OVERTAKEN
    if one.event_type is not EventType.FIRING and not one.was_told:
        return SkipReason.NEVER_TOLD
    return None


def _is_superseded(one: Candidate) -> bool:
    if one.event_type is EventType.RESOLVED:
        return False
    if one.is_follow_up:
        return AlertStatus.PENDING not in one.alert_statuses
    return one.alert_statuses == {AlertStatus.RESOLVED}


@dataclass(frozen=True, slots=True)
class Load:
    """What a webhook is owed, and how fast it is told. `per_second` None: as fast as it takes it.

    `due` counts all that is due or in flight, fresh or not; `redriven` what is open of this
    redrive; `undelivered` what is open of all webhooks.
    """

    max_in_flight: int
    per_second: float | None
    gate_is_closed: bool
    due: int
    redriven: int
    undelivered: int


def window(max_in_flight: int, per_second: float | None, *, gate_is_closed: bool) -> int:
    """How many may be due to a webhook before a redrive adds to them."""
    if gate_is_closed:
        return 1  # something for the next trial
    size = WINDOW_PER_IN_FLIGHT * max_in_flight
    if per_second is not None:
        size = min(size, int(per_second * WINDOW_SECONDS))
    return max(size, 1)


def most_undelivered(queue_limit: int) -> int:
    """With so many deliveries open a redrive adds none."""
    return max(int(queue_limit * PART_OF_QUEUE_LIMIT), 1)


def room(load: Load, queue_limit: int) -> int:
    """How many deliveries a redrive may put into a webhook's queue now.

    Fresh alerts fill the window first: a redrive takes what they leave of it.
    """
    size = window(load.max_in_flight, load.per_second, gate_is_closed=load.gate_is_closed)
    free = min(
        size - load.due,
        size * MAX_OPEN_WINDOWS - load.redriven,
        most_undelivered(queue_limit) - load.undelivered,
    )
    return max(free, 0)
