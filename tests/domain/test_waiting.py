"""Why a delivery waits: the first thing in its way is what is said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.traffic import Gate
from app.domain.waiting import Waiting, WaitingDelivery, WaitingReason, WebhookRoad, why_it_waits

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)
FREE = WaitingDelivery(NOW, 0, False, False, None, None)
CLEAR = WebhookRoad(True, Gate.OPEN, None, False, 0, 16, True, False)

# Each with all that could be said besides, because it comes after.
CASES: list[tuple[WaitingReason, dict[str, Any], dict[str, Any], bool, datetime | None]] = [
    (WaitingReason.IN_FLIGHT, {"is_leased": True, "is_held_behind": True}, {}, True, None),
    (WaitingReason.HELD_BEHIND_EARLIER, {"is_held_behind": True}, {"is_active": False}, True, None),
    (
        WaitingReason.WEBHOOK_INACTIVE,
        {"next_attempt_at": SOON},
        {"is_active": False},
        True,
        None,
    ),
    (
        WaitingReason.SNOOZED,
        {"next_attempt_at": SOON, "snoozed_until": SOON},
        {},
        True,
        SOON,
    ),
    (WaitingReason.SCHEDULED, {"next_attempt_at": SOON}, {"gate": Gate.CLOSED}, True, SOON),
    (
        WaitingReason.BACKING_OFF,
        {"next_attempt_at": SOON, "attempts_made": 1, "snoozed_until": NOW},
        {},
        False,
        SOON,
    ),
    (WaitingReason.PAUSED, {}, {"gate": Gate.CLOSED}, True, None),
    (
        WaitingReason.GATE_CLOSED,
        {"probe_holds_until": SOON},
        {"gate": Gate.CLOSED, "reopens_at": SOON, "probe_holds": True},
        False,
        SOON,
    ),
    (
        WaitingReason.TRIAL_UNDER_WAY,
        {},
        {"gate": Gate.HALF_OPEN, "in_flight": 1},
        False,
        None,
    ),
    (
        WaitingReason.PROBE_RED,
        {"probe_holds_until": SOON, "attempts_made": 1},
        {"probe_holds": True, "in_flight": 16},
        False,
        SOON,
    ),
    (WaitingReason.IN_FLIGHT_CAP, {}, {"in_flight": 16, "has_token": False}, False, None),
    (WaitingReason.PACED, {}, {"has_token": False, "is_paced": True}, False, None),
    (WaitingReason.RATE_LIMITED, {}, {"has_token": False}, False, None),
    (WaitingReason.IN_TURN, {}, {}, False, None),
    # A red probe holds only what it may.
    (WaitingReason.IN_TURN, {"attempts_made": 1}, {"probe_holds": True}, False, None),
    (WaitingReason.IN_TURN, {"probe_holds_until": SOON}, {"probe_holds": False}, False, None),
    # A gate whose rest is over, and no trial yet: this one may be it.
    (WaitingReason.IN_TURN, {}, {"gate": Gate.HALF_OPEN}, False, None),
]


@pytest.mark.parametrize(("reason", "delivery", "road", "is_paused", "until"), CASES)
def test_the_first_thing_in_its_way(
    reason: WaitingReason,
    delivery: dict[str, Any],
    road: dict[str, Any],
    is_paused: bool,
    until: datetime | None,
) -> None:
    said = why_it_waits(replace(FREE, **delivery), replace(CLEAR, **road), is_paused, NOW)
    assert said == Waiting(reason, until)


def test_every_reason_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(WaitingReason)
