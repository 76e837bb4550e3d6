"""Alerts: their states, and the messages that tell of them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


# How much sooner than it became due a message is ranked in its webhook's queue. So what is critical
# goes first, and still an info that has waited for five minutes goes before it: none starves.
HEAD_START_SECONDS: Mapping[Severity, int] = {
    Severity.INFO: 0,
    Severity.WARNING: 60,
    Severity.CRITICAL: 300,
}


class AlertStatus(StrEnum):
    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class EventType(StrEnum):
    FIRING = "alert.firing"
    ACKNOWLEDGED = "alert.acknowledged"
    RESOLVED = "alert.resolved"
    PING = "webhook.ping"


# Which event a change of state is, and from where it can come. Anything else changes nothing:
# acknowledging twice is no error, and what is resolved stays resolved.
TRANSITIONS: Mapping[AlertStatus, tuple[EventType, frozenset[AlertStatus]]] = {
    AlertStatus.ACKNOWLEDGED: (EventType.ACKNOWLEDGED, frozenset({AlertStatus.PENDING})),
    AlertStatus.RESOLVED: (
        EventType.RESOLVED,
        frozenset({AlertStatus.PENDING, AlertStatus.ACKNOWLEDGED}),
    ),
}


def message_body(event: EventType, at: datetime, data: Mapping[str, Any]) -> str:
    """The JSON that a receiver gets. Datetimes in `data` become ISO 8601."""
    return orjson.dumps({"type": event, "timestamp": at, "data": data}).decode()
