"""Which webhooks are in maintenance: covered by a maintenance window that is in force.

A window covers a webhook when it would mute the alert that the webhook is unavailable.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.alerts import Severity
from app.domain.health import HealthStatus
from app.domain.matchers import Subject, all_match
from app.domain.silences import Silence, SilenceKind, in_force_until
from app.services.routing import silence_of

# The source of alerts about webhooks.
HEALTH_SOURCE = "webhook-health"

_WINDOWS = text(
    f"""
    SELECT json_agg(s) FROM pggit.silences s
    WHERE s.kind = '{SilenceKind.MAINTENANCE}' AND s.starts_at <= :now
        AND (s.ends_at IS NULL OR s.ends_at > :now)
    """  # noqa: S608 - only a constant in it
)


def maintenance_windows(session: Session, now: datetime) -> Sequence[Silence]:
    """The maintenance windows that are in force."""
    rows = session.scalar(_WINDOWS, {"now": now})
    found = (silence_of(row) for row in rows or ())
    return [one for one in found if in_force_until(one, now) is not None]


def is_in_maintenance(windows: Sequence[Silence], webhook_id: int, name: str) -> bool:
    """Whether one of these windows covers this webhook."""
    if not windows:
        return False
    labels = {
        "webhook_id": str(webhook_id),
        "webhook": name,
        "health_status": HealthStatus.UNAVAILABLE.value,
    }
    subject = Subject(Severity.CRITICAL, HEALTH_SOURCE, labels)
    return any(all_match(one.matchers, subject) for one in windows)
