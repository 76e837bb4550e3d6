"""Taking in samples: each request is one row of the inbox, which the roller empties.

So those who send contend for nothing, and what is accepted is committed.
"""

import threading

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.domain.samples import Faults, Samples, pack
from app.errors import Unavailable
from app.services.series import Known, SeriesBook

log = structlog.get_logger(__name__)

COUNTED_EVERY_SECONDS = 1.0
RETRY_AFTER_SECONDS = 10
TRIES = 3
_WAITING = text("SELECT COALESCE(sum(samples), 0) FROM pggit_analytics.metric_inbox")
# Nothing is put in whose series are not there: somebody else would have to know what they were.
_PUT = text(
    """
    INSERT INTO pggit_analytics.metric_inbox (samples, payload)
    SELECT :samples, :payload
    WHERE (SELECT count(*) FROM pggit_analytics.metric_series WHERE id = ANY(:ids)) = :series
    RETURNING id
    """
)


class Intake:
    """What a process knows of series and of the inbox. Any thread may use it."""

    def __init__(self, clock: Clock, book: SeriesBook, series_limit: int, inbox_limit: int) -> None:
        self._clock = clock
        self._book = book
        self._series_limit = series_limit
        self._inbox_limit = inbox_limit
        self._lock = threading.Lock()
        self._counted_at = float("-inf")
        self._waiting = 0

    def accept(self, session: Session, samples: Samples) -> dict[int, Faults]:
        """Take these in, but for those that are refused: what is wrong, by their index.

        Raises Unavailable while too many wait to be rolled up.
        """
        self._check_room(session)
        for _try in range(TRIES):
            refused = self._put(session, samples)
            if refused is not None:
                return refused
            # As after a restore from a backup: what we know is of another database.
            log.warning("series are gone", action="series_gone")
            self._book.forget()
        raise Unavailable(
            "The series of these samples come and go.", retry_after_seconds=RETRY_AFTER_SECONDS
        )

    def _put(self, session: Session, samples: Samples) -> dict[int, Faults] | None:
        """None when some of the series are not there any more."""
        found = self._book.find(session, samples.names, self._series_limit)
        ids = np.zeros(len(samples.names), dtype=np.int64)
        faults: dict[int, Faults] = {}
        for slot, (series, unit) in enumerate(samples.names):
            one = found.get(series)
            fault = self._fault(one, unit)
            if fault is not None:
                faults[slot] = fault
            elif one is not None:
                ids[slot] = one.id
        series_ids = ids[samples.slots]
        # No series has the id 0.
        is_good = series_ids != 0
        if is_good.any() and not _put_in(
            session, series_ids[is_good], samples.times[is_good], samples.values[is_good]
        ):
            return None
        return {
            int(samples.indexes[place]): faults[int(samples.slots[place])]
            for place in np.flatnonzero(~is_good)
        }

    def _fault(self, found: Known | None, unit: str | None) -> Faults | None:
        if found is None:
            return {
                "operation": [
                    f"There are {self._series_limit} series already, and no more are made: use "
                    "fewer operations, or labels with fewer values."
                ]
            }
        if unit is not None and found.unit not in (None, unit):
            return {"unit": [f"The unit of this series is {found.unit}."]}
        return None

    def _check_room(self, session: Session) -> None:
        with self._lock:
            now = self._clock.monotonic()
            is_due = now >= self._counted_at + COUNTED_EVERY_SECONDS
            if is_due:
                # The others go on with the old count while this one is made.
                self._counted_at = now
        if is_due:
            self._waiting = session.scalar(_WAITING) or 0
        if self._waiting >= self._inbox_limit:
            raise Unavailable(
                "Too many samples wait to be rolled up.", retry_after_seconds=RETRY_AFTER_SECONDS
            )


def _put_in(
    session: Session,
    series_ids: NDArray[np.int64],
    times: NDArray[np.int64],
    values: NDArray[np.float64],
) -> bool:
    """False, and nothing is put in, where one of the series is not there."""
    wanted = np.unique(series_ids).tolist()
    row = session.execute(
        _PUT,
        {
            "samples": len(values),
            "payload": pack(series_ids, times, values),
            "ids": wanted,
            "series": len(wanted),
        },
    )
    return row.first() is not None
