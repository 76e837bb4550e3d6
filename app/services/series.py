"""Series: their ids by their names, made when they are new."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.domain.samples import Series

# Retention lets a series live that somebody has asked for within a day; see `SERIES_SEEN_DAYS`.
KNOWN_FOR_SECONDS = 3600.0
SEEN_EVERY = "1 hour"
# Of all who look up or make series at the same time, one does.
SERIES_LOCK = 0x5E71E5


class Known(NamedTuple):
    """A series that is there."""

    id: int
    unit: str | None


_LOOK_UP = text(
    """
    SELECT t.place, s.id, s.unit
    FROM ROWS FROM (
        json_to_recordset(CAST(:names AS json)) AS (place int, operation text, labels jsonb)
    ) AS t
    JOIN pggit_analytics.metric_series s ON s.operation = t.operation AND s.labels = t.labels
    """
)
_MAKE = text(
    """
    INSERT INTO pggit_analytics.metric_series (operation, labels, unit)
    SELECT t.operation, t.labels, t.unit
    FROM ROWS FROM (
        json_to_recordset(CAST(:names AS json))
            AS (place int, operation text, labels jsonb, unit text)
    ) AS t
    ORDER BY t.place
    LIMIT :room
    ON CONFLICT DO NOTHING
    """
)
# Who is locked is being sampled: its last sample keeps it, and it is noted next time.
_NOTE_SEEN = text(
    f"""
    UPDATE pggit_analytics.metric_series s SET seen_at = now()
    WHERE s.id IN (
        SELECT id FROM pggit_analytics.metric_series
        WHERE id = ANY(:ids) AND seen_at < now() - interval '{SEEN_EVERY}'
        FOR UPDATE SKIP LOCKED
    )
    """  # noqa: S608 - only constants in it
)
_GIVE_UNIT = text(
    """
    UPDATE pggit_analytics.metric_series s SET unit = :unit
    WHERE s.id IN (
        SELECT id FROM pggit_analytics.metric_series
        WHERE id = :id AND unit IS NULL FOR UPDATE SKIP LOCKED
    )
    RETURNING id
    """
)


class SeriesBook:
    """The series that a process knows. Any thread may ask.

    It knows no more than there are; all is forgotten once an hour.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Series, Known] = {}
        self._forget_at = float("-inf")

    def find(
        self, session: Session, wanted: Iterable[tuple[Series, str | None]], limit: int | None
    ) -> dict[Series, Known]:
        """The series that are `wanted`, each with a unit, which one that has none yet is given.

        What is not there is made, as long as there are fewer than `limit` in all, and left out
        after that.
        """
        now = self._clock.monotonic()
        if now >= self._forget_at:
            self._known, self._forget_at = {}, now + KNOWN_FOR_SECONDS
        known = self._known
        found: dict[Series, Known] = {}
        asked: dict[Series, str | None] = {}
        for series, unit in wanted:
            one = known.get(series)
            if one is None or (one.unit is None and unit is not None):
                asked[series] = asked.get(series) or unit
            else:
                found[series] = one
        if asked:
            news = _look_up_or_make(session, asked, limit)
            known.update(news)
            found |= news
        return found

    def forget(self) -> None:
        """What was known is not so: look all of it up again."""
        self._known = {}


def _look_up_or_make(
    session: Session, asked: Mapping[Series, str | None], limit: int | None
) -> dict[Series, Known]:
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SERIES_LOCK})
    found = _look_up(session, list(asked))
    missing = [series for series in asked if series not in found]
    if missing:
        room = None if limit is None else max(limit - _count(session), 0)
        session.execute(_MAKE, {"names": _as_json(missing, asked), "room": room})
        found |= _look_up(session, missing)
    ids = [one.id for one in found.values()]
    session.execute(_NOTE_SEEN, {"ids": ids})
    for series, one in found.items():
        unit = asked[series]
        if one.unit is None and unit is not None:
            given = session.execute(_GIVE_UNIT, {"id": one.id, "unit": unit})
            found[series] = Known(one.id, unit if given.first() else None)
    return found


def _look_up(session: Session, names: list[Series]) -> dict[Series, Known]:
    rows = session.execute(_LOOK_UP, {"names": _as_json(names, {})})
    return {names[row.place]: Known(row.id, row.unit) for row in rows}


def _as_json(names: list[Series], units: Mapping[Series, str | None]) -> str:
    return json.dumps(
        [
            {
                "place": place,
                "operation": one.operation,
                "labels": dict(one.labels),
                "unit": units.get(one),
            }
            for place, one in enumerate(names)
        ]
    )


def _count(session: Session) -> int:
    return session.scalar(text("SELECT count(*) FROM pggit_analytics.metric_series")) or 0
