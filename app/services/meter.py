"""Tocsin's own metrics: noted where something happens, rolled up in the process, and written by a
thread of its own, a few rows every few seconds.

Noting must never slow or fail what it measures: it puts a reference into a list. While the
database is away, rollups wait; what finds no room is dropped, and counted.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.adapters.database import Database
from app.domain.rollups import Rollup, merge, rollup_of
from app.domain.samples import Series
from app.domain.totals import Total, total_of
from app.services.series import SeriesBook
from app.services.totals import add_totals

log = structlog.get_logger(__name__)

DELIVERY_LATENCY = "tocsin.delivery.latency_ms"
CHECK_LATENCY = "tocsin.check.latency_ms"
API_LATENCY = "tocsin.api.latency_ms"
DROPPED = "tocsin.metrics.dropped"
# Counters.
DELIVERIES = "tocsin.deliveries"
JOB_RUNS = "tocsin.job.runs"
API_RESPONSES = "tocsin.api.responses"
UNITS = {DROPPED: "values"}

WRITE_EVERY_SECONDS = 5.0
# Values that are noted and not rolled up yet, and rollups that are not written yet.
MAX_VALUES = 200_000
MAX_PARTS = 10_000
STOP_WITHIN_SECONDS = 2.0
MINUTE = 60

Part = tuple[Series, int]

_PUT = text(
    """
    INSERT INTO pggit_analytics.metric_parts
        (series_id, at, count, sum, m2, min, max, sketch)
    SELECT t.* FROM unnest(
        CAST(:series AS bigint[]), CAST(:ats AS timestamptz[]), CAST(:counts AS bigint[]),
        CAST(:sums AS float8[]), CAST(:m2s AS float8[]), CAST(:mins AS float8[]),
        CAST(:maxs AS float8[]), CAST(:sketches AS bytea[])
    ) AS t (id, at, count, sum, m2, min, max, sketch)
    JOIN pggit_analytics.metric_series s ON s.id = t.id
    RETURNING id
    """
)


class _SeriesGone(Exception):
    """What we know is of another database, as after a restore from a backup."""


class Meter:
    """Any thread may note. The writer's thread is started by the first, so after any fork."""

    def __init__(self, database: Database, clock: Clock, book: SeriesBook) -> None:
        self._database = database
        self._clock = clock
        self._book = book
        self._lock = threading.Lock()
        self._noted: list[tuple[Series, int, Sequence[float]]] = []
        self._values = self._dropped = 0
        self._counted: dict[Series, int] = defaultdict(int)
        self._parts: dict[Part, Rollup] = {}
        # As many as there are series, so they need no limit while the database is away.
        self._totals: dict[Series, Total] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def note(self, series: Series, values: Sequence[float]) -> None:
        """These values are of now. There must be few such series, by their construction: no
        limit holds them. Never waits for more than a list, never fails.
        """
        minute = self._this_minute()
        with self._lock:
            if self._values + len(values) > MAX_VALUES:
                self._dropped += len(values)
                return
            self._values += len(values)
            self._noted.append((series, minute, values))
            self._start_once()

    def count(self, counter: Series, times: int = 1) -> None:
        """Something has happened so often. As with `note`, there must be few such counters."""
        with self._lock:
            self._counted[counter] += times
            self._start_once()

    def _start_once(self) -> None:
        if self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._write_all, name="meter", daemon=True)
            self._thread.start()

    def write(self) -> int:
        """Write what was noted; how many rollups that made.

        Raises SQLAlchemyError while the database is away; what was noted is kept, in bounds.
        """
        self._roll_up()
        written, added = dict(self._parts), dict(self._totals)
        if not (written or added):
            return 0
        try:
            with self._database.session() as session:
                if written:
                    self._put(session, written)
                add_totals(session, added)
        except _SeriesGone:
            self._book.forget()
            return 0
        for part in written:
            del self._parts[part]
        self._totals.clear()
        return len(written)

    def close(self) -> None:
        """Writes what there is, if that takes no time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_SECONDS)

    def _write_all(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(WRITE_EVERY_SECONDS)
            try:
                self.write()
            except SQLAlchemyError as error:
                log.info("own metrics wait", action="meter_waits", error=str(error))
            except Exception:
                # Whatever it was, it must not end what measures the rest.
                log.exception("own metrics not written", action="meter_failed")

    def _roll_up(self) -> None:
        with self._lock:
            noted, self._noted, self._values = self._noted, [], 0
            dropped, self._dropped = self._dropped, 0
            counted, self._counted = self._counted, defaultdict(int)
        values: dict[Part, list[Sequence[float]]] = defaultdict(list)
        for series, minute, some in noted:
            values[series, minute].append(some)
        for part, several in values.items():
            together = np.concatenate(several)
            if len(together):
                self._add(part, rollup_of(together))
                self._add_total(part[0], total_of(together))
        for counter, times in counted.items():
            self._add_total(counter, Total(times))
        if dropped:
            self._add_total(Series(DROPPED), Total(dropped))
            self._add((Series(DROPPED), self._this_minute()), rollup_of([float(dropped)]))

    def _this_minute(self) -> int:
        return int(self._clock.now().timestamp()) // MINUTE * MINUTE

    def _add(self, part: Part, news: Rollup) -> None:
        if part in self._parts:
            self._parts[part] = merge((self._parts[part], news))
        elif len(self._parts) < MAX_PARTS:
            self._parts[part] = news
        else:
            with self._lock:
                self._dropped += news.count

    def _add_total(self, series: Series, news: Total) -> None:
        self._totals[series] = self._totals.get(series, Total(0)) + news

    def _put(self, session: Session, parts: dict[Part, Rollup]) -> None:
        wanted = {series: UNITS.get(series.operation, "ms") for series, _minute in parts}
        found = self._book.find(session, wanted.items(), None)
        rollups = list(parts.values())
        rows = session.execute(
            _PUT,
            {
                "series": [found[series].id for series, _minute in parts],
                "ats": [datetime.fromtimestamp(minute, UTC) for _series, minute in parts],
                "counts": [one.count for one in rollups],
                "sums": [one.sum for one in rollups],
                "m2s": [one.m2 for one in rollups],
                "mins": [one.min for one in rollups],
                "maxs": [one.max for one in rollups],
                "sketches": [one.sketch for one in rollups],
            },
        )
        if len(rows.all()) != len(parts):
            raise _SeriesGone
