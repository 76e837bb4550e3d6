"""Back-pressure: low severities are refused while too much is owed."""

import threading

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.domain.alerts import Severity
from app.domain.back_pressure import REFUSED_FROM, RETRY_AFTER_SECONDS, refused_severities
from app.domain.traffic import HouseReason
from app.errors import Unavailable
from app.services.traffic import lock_traffic
from models import HouseChange

# Counting the queue costs milliseconds when it is long: once in a while is enough.
COUNTED_EVERY_SECONDS = 1.0
_COUNT = text(
    "SELECT count(*) FROM (SELECT FROM pggit.alert_delivery_queue"
    " WHERE status IN ('pending', 'retrying') LIMIT :most) AS open"
)


class BackPressure:
    """What a process knows of the queue's depth. Any thread may ask."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_at = float("-inf")
        self._undelivered = 0

    def undelivered(self, session: Session) -> int:
        """Open deliveries, a second old at most; counted no further than the rules look."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._counted_at + COUNTED_EVERY_SECONDS:
                return self._undelivered
            # The others go on with the old count while this one is made.
            self._counted_at = now
        most = int(self.limit * max(REFUSED_FROM.values())) + 1
        self._undelivered = session.scalar(_COUNT, {"most": most}) or 0
        return self._undelivered

    def refuses(self, session: Session) -> frozenset[Severity]:
        """The severities that are refused at present."""
        return refused_severities(self.undelivered(session), self.limit)

    def note_change(self, session: Session) -> bool:
        """Write it down when other severities are refused than were when that was last written
        down; whether it was.
        """
        refused = sorted(self.refuses(session))
        if refused == _last_noted(session):
            return False
        # Where several keep the agenda, one of them writes.
        lock_traffic(session)
        if refused == _last_noted(session):
            return False
        session.add(
            HouseChange(
                reason=HouseReason.BACK_PRESSURE,
                refused_severities=refused,
                undelivered=self._undelivered,
                detail=f"the limit is {self.limit}",
            )
        )
        return True

    def check(self, session: Session, severity: str) -> None:
        """Raises Unavailable when an alert of this severity is refused at present."""
        if severity in self.refuses(session):
            raise Unavailable(refusal(severity), retry_after_seconds=RETRY_AFTER_SECONDS)


def _last_noted(session: Session) -> list[str]:
    last = session.scalar(
        select(HouseChange.refused_severities)
        .where(HouseChange.reason == HouseReason.BACK_PRESSURE)
        .order_by(HouseChange.id.desc())
        .limit(1)
    )
    return last or []


def refusal(severity: str) -> str:
    return f"Too much waits to be delivered; alerts of severity {severity} are refused for now."
