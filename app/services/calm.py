"""Minutes of operations of which there is nothing to tell: most of them, and many at once.

Who has an anomaly, begins one, or has much to learn is left to the watcher, which looks at one
after another: what tells of it takes locks, and those of several are not taken in one transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final

from sqlalchemy import exists, select, text
from sqlalchemy.orm import Session

from app.domain.anomalies import Turn, judge
from app.domain.detector import Damaged, Detector, Reading, from_bytes, to_bytes
from app.domain.rollups import Rollup, merge, quantiles
from models import Anomaly, DetectorState

RESOLUTION: Final = 60
MINUTE: Final = timedelta(seconds=RESOLUTION)
RATE: Final = 0.95
COUNT_MEMORY: Final = 60
# Rollups of a minute are kept for a day more.
LOOK_BACK: Final = timedelta(days=7)
# What came in behind what was fed already is learnt by learning all anew, when there is so much.
ANEW_FROM: Final = 60
ANEW_FROM_PART: Final = 0.1
YOUNG: Final = timedelta(hours=1)
COMPARE_EVERY: Final = timedelta(hours=1)
COMPARE_YOUNG_EVERY: Final = timedelta(seconds=15)
# Who is further behind has to catch up.
AT_MOST: Final = 5 * MINUTE

_MINUTES = text(
    """
    SELECT s.operation, r.at, r.count, r.sum, r.m2, r.min, r.max, r.sketch
    FROM pggit_analytics.detector_states d
    JOIN pggit_analytics.metric_series s ON s.operation = d.operation
    JOIN pggit_analytics.metric_rollups r ON r.resolution = 60 AND r.series_id = s.id
        AND r.at >= d.fed_until AND r.at >= :since AND r.at < :complete
    WHERE d.operation = ANY(:operations)
    ORDER BY s.operation, r.at
    """
)


# Who is due to be compared, and whether much came in behind what was fed.
_BEHIND = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT operation, fed_until, seen FROM pggit_analytics.detector_states
        WHERE operation = ANY(:operations) AND state IS NOT NULL AND compared_at < now()
            - CASE WHEN created_at > now() - CAST(:young AS interval)
                THEN CAST(:compare_young AS interval) ELSE CAST(:compare AS interval) END
        ORDER BY operation FOR UPDATE SKIP LOCKED
    ), there AS MATERIALIZED (
        SELECT mine.operation, count(DISTINCT r.at) AS minutes FROM mine
        JOIN pggit_analytics.metric_series s ON s.operation = mine.operation
        JOIN pggit_analytics.metric_rollups r ON r.resolution = 60 AND r.series_id = s.id
            AND r.at >= :since AND r.at < mine.fed_until
        GROUP BY mine.operation
    )
    SELECT operation, COALESCE(minutes, 0) - seen >= GREATEST(:anew_from, :anew_part * seen)
    FROM mine LEFT JOIN there USING (operation)
    """
)
_COMPARED = text(
    "UPDATE pggit_analytics.detector_states SET compared_at = now()"
    " WHERE operation = ANY(:operations)"
)


def compare_calm(session: Session, now: datetime, operations: Sequence[str]) -> set[str]:
    """Compare what each of these was fed with what there is, where it is time to. Those that are to
    learn all anew; it is noted of the others that they were compared.
    """
    rows = session.execute(
        _BEHIND,
        {
            "operations": list(operations),
            "young": YOUNG,
            "compare_young": COMPARE_YOUNG_EVERY,
            "compare": COMPARE_EVERY,
            "since": minute_of(now - LOOK_BACK),
            "anew_from": ANEW_FROM,
            "anew_part": ANEW_FROM_PART,
        },
    ).all()
    if current := [operation for operation, is_behind in rows if not is_behind]:
        session.execute(_COMPARED, {"operations": current})
    return {operation for operation, is_behind in rows if is_behind}


def feed_calm(
    session: Session, operations: Sequence[str], complete: datetime
) -> tuple[int, set[str], set[str]]:
    """Feed what was complete before `complete`, in one transaction. How many minutes, the
    operations that were fed, and those that had nothing to be fed; of the others, which are not
    calm, nothing has changed.
    """
    rows = session.scalars(
        select(DetectorState)
        .where(
            DetectorState.operation.in_(operations),
            DetectorState.state.is_not(None),
            DetectorState.error.is_(None),
            DetectorState.fed_until >= complete - AT_MOST,
            ~exists().where(
                Anomaly.operation == DetectorState.operation, Anomaly.ended_at.is_(None)
            ),
        )
        .order_by(DetectorState.operation)
        .with_for_update(of=DetectorState, skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    minutes = _minutes(session, [row.operation for row in rows], complete)
    count, fed, idle = 0, set[str](), set[str]()
    for row in rows:
        operation = row.operation
        if operation not in minutes:
            idle.add(operation)
        elif (detector := _fed(row, minutes[operation])) is not None:
            row.state, row.seen = to_bytes(detector), detector.seen
            fed.add(operation)
            count += len(minutes[operation])
        else:
            session.expire(row)
    return count, fed, idle


def _minutes(
    session: Session, operations: Sequence[str], complete: datetime
) -> Mapping[str, Sequence[tuple[datetime, Rollup]]]:
    rows = session.execute(
        _MINUTES,
        {"operations": list(operations), "since": complete - AT_MOST, "complete": complete},
    )
    return {
        operation: [
            (at, merge(Rollup(*row[2:]) for row in bucket))
            for at, bucket in groupby(of_it, itemgetter(1))
        ]
        for operation, of_it in groupby(rows, itemgetter(0))
    }


def _fed(row: DetectorState, minutes: Sequence[tuple[datetime, Rollup]]) -> Detector | None:
    """What its detector has learnt; None where there is something to tell, or its state is damaged:
    then the row is not to be kept."""
    try:
        detector = from_bytes(row.state or b"")
    except Damaged:
        return None
    for at, rollup in minutes:
        value, learnt = value_of(rollup), detector.seen
        reading = detector.feed(at.timestamp(), value)
        is_judged = row.judged_until is None or at >= row.judged_until
        if is_judged and _is_news(at, value, reading, learnt):
            return None
        note_minute(row, detector, at, rollup, reading)
    return detector


def _is_news(at: datetime, value: float, reading: Reading, learnt: int) -> bool:
    return judge(None, at, at + MINUTE, value, reading, learnt).turn is not Turn.NOTHING


def note_minute(
    row: DetectorState, detector: Detector, at: datetime, rollup: Rollup, reading: Reading
) -> None:
    """The minute that begins at `at` was fed."""
    row.low, row.high = reading.low, reading.high
    row.usual_count += (rollup.count - row.usual_count) / min(detector.seen, COUNT_MEMORY)
    row.fed_until = at + MINUTE


def value_of(rollup: Rollup) -> float:
    """What the detector is fed for a minute."""
    return quantiles(rollup, [RATE])[0]


def minute_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
