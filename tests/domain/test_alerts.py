"""Alerts: which change of state is allowed, and the message that tells of it."""

import json
from datetime import UTC, datetime

import pytest

from app.domain.alerts import TRANSITIONS, AlertStatus, EventType, message_body

PENDING, ACKNOWLEDGED, RESOLVED = AlertStatus


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (PENDING, ACKNOWLEDGED, EventType.ACKNOWLEDGED),
        (PENDING, RESOLVED, EventType.RESOLVED),
        (ACKNOWLEDGED, RESOLVED, EventType.RESOLVED),
        # Twice is no change, and what is resolved stays so.
        (ACKNOWLEDGED, ACKNOWLEDGED, None),
        (RESOLVED, ACKNOWLEDGED, None),
        (RESOLVED, RESOLVED, None),
    ],
)
def test_states_follow_each_other(
    before: AlertStatus, after: AlertStatus, event: EventType | None
) -> None:
    told, allowed_from = TRANSITIONS[after]
    assert (told if before in allowed_from else None) == event


def test_nothing_becomes_pending_again() -> None:
    assert PENDING not in TRANSITIONS


def test_a_message_is_what_the_contract_says() -> None:
    at = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    raw = message_body(EventType.FIRING, at, {"id": 1, "title": "Größe 🚨", "created_at": at})
    assert json.loads(raw) == {
        "type": "alert.firing",
        "timestamp": "2026-07-01T12:00:00+00:00",
        "data": {"id": 1, "title": "Größe 🚨", "created_at": "2026-07-01T12:00:00+00:00"},
    }
    assert ": " not in raw  # every receiver gets every byte on every attempt


def test_the_events_have_the_names_that_receivers_know() -> None:
    assert list(EventType) == [
        "alert.firing",
        "alert.acknowledged",
        "alert.resolved",
        "webhook.ping",
    ]
