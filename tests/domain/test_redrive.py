"""What a redrive tries again, and how much at a time: by tables."""

from dataclasses import replace

import pytest

from app.domain.alerts import AlertStatus, EventType
from app.domain.redrive import Candidate, Load, SkipReason, room, why_skip, window

PENDING, ACKNOWLEDGED, RESOLVED = (
    frozenset({AlertStatus.PENDING}),
    frozenset({AlertStatus.ACKNOWLEDGED}),
    frozenset({AlertStatus.RESOLVED}),
)
FIRING = Candidate(
    event_type=EventType.FIRING,
    is_follow_up=False,
    alert_statuses=PENDING,
    is_expired=False,
    is_past_retention=False,
    is_overtaken=False,
    was_told=False,
)
REMINDER = replace(FIRING, is_follow_up=True, was_told=True)
ACKNOWLEDGEMENT = replace(
    FIRING, event_type=EventType.ACKNOWLEDGED, alert_statuses=ACKNOWLEDGED, was_told=True
)
RESOLUTION = replace(FIRING, event_type=EventType.RESOLVED, alert_statuses=RESOLVED, was_told=True)


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (FIRING, None),
        (replace(FIRING, alert_statuses=ACKNOWLEDGED), None),
        (replace(FIRING, alert_statuses=RESOLVED), SkipReason.SUPERSEDED),
        # Of a group: as long as one of its alerts is open.
        (replace(FIRING, alert_statuses=PENDING | RESOLVED), None),
        (REMINDER, None),
        (replace(REMINDER, alert_statuses=ACKNOWLEDGED), SkipReason.SUPERSEDED),
        (replace(REMINDER, alert_statuses=ACKNOWLEDGED | PENDING), None),
        (ACKNOWLEDGEMENT, None),
        (replace(ACKNOWLEDGEMENT, alert_statuses=RESOLVED), SkipReason.SUPERSEDED),
        (replace(ACKNOWLEDGEMENT, was_told=False), SkipReason.NEVER_TOLD),
        # That an alert is over is news for as long as nobody has heard it.
        (RESOLUTION, None),
        (replace(RESOLUTION, was_told=False), SkipReason.NEVER_TOLD),
        (replace(FIRING, is_overtaken=True), SkipReason.OVERTAKEN),
        (replace(FIRING, is_expired=True), SkipReason.EXPIRED),
        (replace(FIRING, is_past_retention=True), SkipReason.PAST_RETENTION),
    ],
)
def test_what_is_passed_over(candidate: Candidate, expected: SkipReason | None) -> None:
    assert why_skip(candidate, include_superseded=False) is expected


@pytest.mark.parametrize("old", [FIRING, REMINDER, ACKNOWLEDGEMENT])
def test_what_is_superseded_goes_if_it_is_asked_for(old: Candidate) -> None:
    over = replace(old, alert_statuses=RESOLVED)
    assert why_skip(over, include_superseded=True) is None


@pytest.mark.parametrize(
    "wrong",
    [
        replace(FIRING, is_overtaken=True),
        replace(RESOLUTION, was_told=False),
        replace(FIRING, is_expired=True),
        replace(FIRING, is_past_retention=True),
    ],
)
def test_nothing_else_can_be_asked_for(wrong: Candidate) -> None:
    assert why_skip(wrong, include_superseded=True) is not None


@pytest.mark.parametrize(
    ("max_in_flight", "per_second", "gate_is_closed", "expected"),
    [
        (16, None, False, 128),
        (1, None, False, 8),
        (500, None, False, 4000),
        (16, 1000.0, False, 128),
        (16, 5.0, False, 10),
        # There is always something to go on with.
        (16, 0.01, False, 1),
        (16, None, True, 1),
        (500, 1000.0, True, 1),
    ],
)
def test_the_window_is_what_the_webhook_takes_meanwhile(
    max_in_flight: int, per_second: float | None, gate_is_closed: bool, expected: int
) -> None:
    assert window(max_in_flight, per_second, gate_is_closed=gate_is_closed) == expected


IDLE = Load(
    max_in_flight=2, per_second=None, gate_is_closed=False, due=0, redriven=0, undelivered=0
)


@pytest.mark.parametrize(
    ("load", "queue_limit", "expected"),
    [
        (IDLE, 1000, 16),
        (replace(IDLE, due=10), 1000, 6),
        (replace(IDLE, due=100), 1000, 0),
        # What backs off does not keep the others waiting, but it doesn't pile up either.
        (replace(IDLE, redriven=100), 1000, 16),
        (replace(IDLE, redriven=155), 1000, 5),
        (replace(IDLE, redriven=160), 1000, 0),
        # Half of the limit: far from where alerts are refused.
        (replace(IDLE, undelivered=495), 1000, 5),
        (replace(IDLE, undelivered=500), 1000, 0),
        (replace(IDLE, undelivered=5000), 1000, 0),
        (IDLE, 1, 1),
        (replace(IDLE, gate_is_closed=True), 1000, 1),
        (replace(IDLE, gate_is_closed=True, due=1), 1000, 0),
    ],
)
def test_there_is_room_for_what_the_others_leave(
    load: Load, queue_limit: int, expected: int
) -> None:
    assert room(load, queue_limit) == expected
