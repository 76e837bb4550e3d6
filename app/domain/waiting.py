"""Why a delivery is where it is now: the first thing in its way, with its name and its end."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.traffic import Gate


class WaitingReason(StrEnum):
    """What an open delivery waits for."""

    IN_FLIGHT = "in_flight"
    HELD_BEHIND_EARLIER = "held_behind_earlier"
    WEBHOOK_INACTIVE = "webhook_inactive"
    SNOOZED = "snoozed"
    SCHEDULED = "scheduled"
    BACKING_OFF = "backing_off"
    PAUSED = "paused"
    GATE_CLOSED = "gate_closed"
    TRIAL_UNDER_WAY = "trial_under_way"
    PROBE_RED = "probe_red"
    IN_FLIGHT_CAP = "in_flight_cap"
    PACED = "paced"
    RATE_LIMITED = "rate_limited"
    IN_TURN = "in_turn"


@dataclass(frozen=True, slots=True)
class Waiting:
    """`until` is when that is over at the latest, where that is known."""

    reason: WaitingReason
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """What of an open delivery decides when it goes."""

    next_attempt_at: datetime | None
    attempts_made: int
    is_leased: bool
    is_held_behind: bool
    probe_holds_until: datetime | None
    snoozed_until: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookRoad:
    """What of its webhook does. `has_token`: its rate lets one more go now."""

    is_active: bool
    gate: Gate
    reopens_at: datetime | None
    probe_holds: bool
    in_flight: int
    max_in_flight: int
    has_token: bool
    is_paced: bool


def why_it_waits(
    delivery: WaitingDelivery, road: WebhookRoad, is_paused: bool, now: datetime
) -> Waiting:
    """The first of the things in an open delivery's way, in the order of the claim's own rules."""
    if delivery.is_leased:
        return Waiting(WaitingReason.IN_FLIGHT)
    if delivery.is_held_behind:
        return Waiting(WaitingReason.HELD_BEHIND_EARLIER)
    if not road.is_active:
        return Waiting(WaitingReason.WEBHOOK_INACTIVE)
    due = delivery.next_attempt_at
    if due is not None and due > now:
        if delivery.snoozed_until is not None and delivery.snoozed_until > now:
            return Waiting(WaitingReason.SNOOZED, due)
        tried = delivery.attempts_made > 0
        return Waiting(WaitingReason.BACKING_OFF if tried else WaitingReason.SCHEDULED, due)
    if is_paused:
        return Waiting(WaitingReason.PAUSED)
    if road.gate is Gate.CLOSED:
        return Waiting(WaitingReason.GATE_CLOSED, road.reopens_at)
    if road.gate is Gate.HALF_OPEN and road.in_flight:
        return Waiting(WaitingReason.TRIAL_UNDER_WAY)
    if road.probe_holds and delivery.probe_holds_until is not None:
        return Waiting(WaitingReason.PROBE_RED, delivery.probe_holds_until)
    if road.in_flight >= road.max_in_flight:
        return Waiting(WaitingReason.IN_FLIGHT_CAP)
    if not road.has_token:
        return Waiting(WaitingReason.PACED if road.is_paced else WaitingReason.RATE_LIMITED)
    return Waiting(WaitingReason.IN_TURN)
