"""What is usual for an operation at a time of the week."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.anomalies import Usual, time_of_week
from app.domain.baseline import hour_of_week, single_values
from app.domain.detector import Damaged, from_bytes
from app.domain.detector.streaming import USUAL_WITHIN
from models import BaselineSlot, BaselineVersion, DetectorState


def usual_for(session: Session, operation: str, at: datetime) -> Usual | None:
    """By the baseline's hour of the week; without one by the detector's own profile of the day or
    the week; None while there is none worth it.
    """
    return _of_baseline(session, operation, at) or _of_detector(session, operation, at)


def _of_baseline(session: Session, operation: str, at: datetime) -> Usual | None:
    slot = session.scalar(
        select(BaselineSlot)
        .join(BaselineVersion, BaselineVersion.id == BaselineSlot.version_id)
        .where(
            BaselineVersion.operation == operation,
            BaselineVersion.status == "active",
            BaselineSlot.slot == hour_of_week(at),
        )
    )
    if slot is None:
        return None
    low, high = single_values(slot.p50, slot.p99, slot.mad)
    return Usual(low, high, time_of_week(at))


def _of_detector(session: Session, operation: str, at: datetime) -> Usual | None:
    state = session.scalar(select(DetectorState.state).where(DetectorState.operation == operation))
    if state is None:
        return None
    try:
        detector = from_bytes(state)
    except Damaged:
        return None
    found = detector.season.usual_at(at.timestamp(), detector.whole)
    if found is None:
        return None
    room = USUAL_WITHIN * found.deviation
    low, high = max(found.mean - room, detector.lowest), min(found.mean + room, detector.highest)
    return Usual(min(low, found.mean), max(high, found.mean), time_of_week(at))
