"""The clock: PostgreSQL's time, carried forward by this machine's monotonic clock.

A host whose wall clock is wrong must not sign messages with a wrong time or misread a
Retry-After date, so what we tell the outside comes from here.
"""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Thread-safe: the offset is one reference, replaced whole."""

    def __init__(self) -> None:
        self._anchor = (datetime.now(UTC), time.monotonic())

    def set(self, now: datetime) -> None:
        """PostgreSQL just said that it is `now`."""
        self._anchor = (now, time.monotonic())

    def now(self) -> datetime:
        at, tick = self._anchor
        return at + timedelta(seconds=time.monotonic() - tick)

    def monotonic(self) -> float:
        """Seconds since some start: for measuring how long something takes."""
        return time.monotonic()
