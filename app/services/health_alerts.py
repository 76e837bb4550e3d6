"""The alerts that tell of webhooks' health: their keys, and their ends."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.events import Event
from app.domain.health import HealthStatus
from app.services.lifecycle import resolve
from app.services.maintenance import HEALTH_SOURCE
from models import Alert

FLAPPING, CERTIFICATE = "flapping", "certificate"
# What the alert of a webhook's state may be about.
_STATES = (*HealthStatus, FLAPPING)


def alert_key(webhook_id: int, about: str) -> str:
    return f"{HEALTH_SOURCE}:{webhook_id}:{about}"


def end_state_alerts(
    session: Session, now: datetime, events: list[Event], webhook_ids: Sequence[int]
) -> None:
    """Resolve what is open about the states of these webhooks."""
    keys = [alert_key(one, state) for one in webhook_ids for state in _STATES]
    end_alerts(session, now, events, keys)


def end_alerts(session: Session, now: datetime, events: list[Event], keys: Sequence[str]) -> None:
    open_alerts = session.scalars(
        select(Alert.id).where(Alert.dedup_key.in_(keys), Alert.status != "resolved")
    ).all()
    for alert_id in sorted(open_alerts):
        resolve(session, now, events, alert_id, HEALTH_SOURCE)
