"""What is usual for an operation at a time of the week."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.anomalies import Usual, time_of_week
from app.domain.detector import Damaged, from_bytes
from app.domain.detector.streaming import USUAL_WITHIN
from models import DetectorState


def usual_for(session: Session, operation: str, at: datetime) -> Usual | None:
    """By the detector's own profile of the day or the week; None while there is none worth it."""
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
