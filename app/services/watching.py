"""The watcher: feeds the detector of each operation with its minutes, each exactly once.

What the detector has learnt, how far it was fed and what came of it are one transaction, and the
row of its state is locked meanwhile: who is killed has done nothing, and two feed nothing twice.
The value of a minute is its p95: see docs/anomalies.md.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.domain.anomalies import Turn, judge, may_judge_early
from app.domain.detector import Damaged, Detector, from_bytes, to_bytes
from app.services.anomalies import Context, Minute, as_open, end_silent, follow, open_anomaly
from app.services.calm import (
    ANEW_FROM,
    ANEW_FROM_PART,
    COMPARE_EVERY,
    COMPARE_YOUNG_EVERY,
    LOOK_BACK,
    MINUTE,
    RESOLUTION,
    YOUNG,
    compare_calm,
    feed_calm,
    minute_of,
    note_minute,
    value_of,
)
from app.services.rollups import rollups_of
from models import DetectorState

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 5.0
RUN_SECONDS: Final = 2.0
OPERATIONS_AT_ONCE: Final = 1000
# In one transaction, which must not last.
CALM_AT_ONCE: Final = 50
# At once, of one operation: so many minutes take about 0.05 s.
MINUTES_AT_ONCE: Final = 240
# Samples of a minute may come in so long after it.
GRACE: Final = timedelta(seconds=5)
# A minute is not complete while samples wait to be rolled up; for so long at most.
WAIT_FOR_ROLLER: Final = timedelta(minutes=5)
REST_AFTER_ERROR: Final = timedelta(minutes=1)
MAX_ERROR_CHARS: Final = 500

_ROLLED_UNTIL = text(
    """
    SELECT LEAST(now(), (SELECT min(received_at) FROM pggit_analytics.metric_inbox))
    """
)
# Who has samples in minutes that were not fed yet; of minutes that are not over, only who is off
# what was expected, and not known to be so.
_DUE = text(
    """
    SELECT s.operation, bool_or(is_off.is_off) AS is_off
    FROM pggit_analytics.metric_series s
    LEFT JOIN pggit_analytics.detector_states d ON d.operation = s.operation
    CROSS JOIN LATERAL (
        SELECT s.last_sample_at >= d.fed_until AND d.state IS NOT NULL
            AND EXISTS (
                SELECT FROM pggit_analytics.metric_rollups r
                WHERE r.resolution = 60 AND r.series_id = s.id AND r.at >= :complete
                    AND r.at < :complete + interval '5 minutes'
                    AND (r.max > d.high OR r.min < d.low)
            )
            AND NOT EXISTS (
                SELECT FROM pggit_analytics.anomalies a
                WHERE a.operation = s.operation AND a.ended_at IS NULL
                    AND a.alert_id IS NOT NULL
            ) AS is_off
    ) is_off
    WHERE s.operation > :after AND s.last_sample_at >= :oldest
        AND (d.retry_at IS NULL OR d.retry_at <= now())
        AND (
            (d.operation IS NULL AND s.last_sample_at >= :oldest)
            OR (s.last_sample_at >= d.fed_until AND d.fed_until < :complete)
            OR d.compared_at < now() - :compare_every
            OR (d.created_at > now() - :young AND d.compared_at < now() - :compare_young)
            OR is_off.is_off
        )
    GROUP BY s.operation ORDER BY s.operation LIMIT :limit
    """
)
_NEXT_MINUTE = text(
    """
    SELECT min(r.at) FROM pggit_analytics.metric_series s
    CROSS JOIN LATERAL (
        SELECT at FROM pggit_analytics.metric_rollups
        WHERE resolution = 60 AND series_id = s.id AND at >= :since AND at < :until
        ORDER BY at LIMIT 1
    ) r
    WHERE s.operation = :operation
    """
)
_COUNT_MINUTES = text(
    """
    SELECT count(DISTINCT r.at) FROM pggit_analytics.metric_series s
    JOIN pggit_analytics.metric_rollups r ON r.resolution = 60 AND r.series_id = s.id
        AND r.at >= :since AND r.at < :until
    WHERE s.operation = :operation
    """
)


@dataclass(slots=True)
class _Watched:
    """One operation, with its row locked."""

    row: DetectorState
    detector: Detector
    context: Context
    complete: datetime


class Watcher:
    """For one thread; any number of processes may have one."""

    def __init__(
        self, unit_of_work: Callable[[], Any], clock: Clock, retry_schedule: Sequence[int]
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._retry_schedule = retry_schedule
        self._look_at = float("-inf")
        self._after = ""
        self.is_busy = False

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Feed whoever has something new, for a few seconds at most; counts of what was done.

        Raises OperationalError or InterfaceError while the database is away.
        """
        began_at = self._clock.monotonic()
        if not (wants_look() or self.is_busy or began_at >= self._look_at):
            return {}
        self._look_at = began_at + LOOK_EVERY_SECONDS
        report: Counter[str] = Counter()
        with self._unit_of_work() as work:
            report["anomalies_silent"] = end_silent(self._context(work), OPERATIONS_AT_ONCE)
            complete = _complete_until(work.session, work.now)
            due = _due(work.session, work.now, complete, self._after)
        all_had_a_turn = len(due) < OPERATIONS_AT_ONCE
        for operation in self._left_by_the_calm(due, complete, report):
            if stopping() or self._clock.monotonic() > began_at + RUN_SECONDS:
                all_had_a_turn = False
                break
            self._watch(operation, complete, report)
            self._after = operation
        else:
            self._after = "" if all_had_a_turn else list(due)[-1]
        self.is_busy = not all_had_a_turn or report.pop("more", 0) > 0
        return {name: count for name, count in report.items() if count}

    def close(self) -> None:
        """There is nothing to give back."""

    def _context(self, work: Any) -> Context:
        return Context(work.session, work.now, work.events, self._retry_schedule)

    def _left_by_the_calm(
        self, due: Mapping[str, bool], complete: datetime, report: Counter[str]
    ) -> Sequence[str]:
        """Those that have to be looked at by themselves, after the others were fed."""
        done = set[str]()
        for begin in range(0, len(due), CALM_AT_ONCE):
            some = list(due)[begin : begin + CALM_AT_ONCE]
            try:
                with self._unit_of_work() as work:
                    behind = compare_calm(work.session, work.now, some)
                    current = [one for one in some if one not in behind]
                    fed, calm, idle = feed_calm(work.session, current, complete)
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                # Whose fault it is shows when each is looked at by itself.
                log.exception("not fed together", action="calm_failed")
                continue
            report["minutes_fed"] += fed
            done |= calm | {one for one in idle if not due[one]}
        return [one for one in due if one not in done]

    def _watch(self, operation: str, complete: datetime, report: Counter[str]) -> None:
        try:
            with self._unit_of_work() as work:
                report.update(watch(self._context(work), operation, complete))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            # One that can't be judged must not keep the others from being judged.
            log.exception("not watched", action="watch_failed", operation=operation)
            report["operations_failed"] += 1
            with self._unit_of_work() as work:
                _note_error(work.session, work.now, operation, error)


def watch(context: Context, operation: str, complete: datetime) -> Counter[str]:
    """Feed the minutes of an operation that were complete before `complete`, so many at most, and
    look at what is not over yet. Counts; `more` where there is more to feed.
    """
    report: Counter[str] = Counter()
    row = _lock(context.session, context.now, operation)
    if row is None:
        return report
    _compare(context, row)
    watched = _Watched(row, _detector(row), context, complete)
    report["minutes_fed"], has_more = _feed(watched)
    report["more"] = int(has_more)
    if not report["minutes_fed"]:
        # Else what is not over yet has its turn in the next pass, if it is off at all.
        report["judged_early"] = _look_ahead(watched)
    row.retry_at = row.error = None
    return report


def _lock(session: Session, now: datetime, operation: str) -> DetectorState | None:
    """None while somebody else has it."""
    mine = (
        select(DetectorState)
        .where(DetectorState.operation == operation)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    row = session.scalar(mine)
    if row is not None or _is_there(session, operation):
        return row
    # Only where there is none: an insert would wait for who has changed it.
    session.execute(
        insert(DetectorState)
        .values(operation=operation, fed_until=minute_of(now - LOOK_BACK))
        .on_conflict_do_nothing(index_elements=[DetectorState.operation])
    )
    return session.scalar(mine)


def _is_there(session: Session, operation: str) -> bool:
    found = select(DetectorState.operation).where(DetectorState.operation == operation)
    return session.scalar(found) is not None


def _detector(row: DetectorState) -> Detector:
    if row.state is None:
        return Detector()
    try:
        return from_bytes(row.state)
    except Damaged as error:
        log.warning(
            "learns anew", action="state_damaged", operation=row.operation, error=str(error)
        )
        _forget(row, row.fed_until)
        return Detector()


def _compare(context: Context, row: DetectorState) -> None:
    """Learn all anew where much came in behind what was fed: a history, sent after the present."""
    now = context.now
    often = COMPARE_YOUNG_EVERY if row.created_at > now - YOUNG else COMPARE_EVERY
    if row.state is None or row.compared_at > now - often:
        return
    row.compared_at = now
    since = minute_of(now - LOOK_BACK)
    there = context.session.scalar(
        _COUNT_MINUTES, {"operation": row.operation, "since": since, "until": row.fed_until}
    )
    missed = (there or 0) - row.seen
    if missed >= max(ANEW_FROM, ANEW_FROM_PART * row.seen):
        log.info("learns anew", action="learns_anew", operation=row.operation, missed=missed)
        _forget(row, now)


def _forget(row: DetectorState, now: datetime) -> None:
    """What was judged is not judged again; it only teaches."""
    row.judged_until = max(filter(None, (row.judged_until, row.fed_until)))
    row.state, row.seen = None, 0
    row.fed_until = minute_of(now - LOOK_BACK)


def _feed(watched: _Watched) -> tuple[int, bool]:
    """How many minutes, and whether there may be more."""
    row, detector, context = watched.row, watched.detector, watched.context
    first = context.session.scalar(
        _NEXT_MINUTE,
        {"operation": row.operation, "since": row.fed_until, "until": watched.complete},
    )
    if first is None:
        return 0, False
    until = min(watched.complete, first + MINUTES_AT_ONCE * MINUTE)
    anomaly = open_anomaly(context.session, row.operation)
    fed = 0
    for at, rollup in rollups_of(context.session, row.operation, RESOLUTION, first, until):
        value = value_of(rollup)
        learnt = detector.seen
        minute = Minute(at, at + MINUTE, value, detector.feed(at.timestamp(), value))
        if row.judged_until is None or at >= row.judged_until:
            verdict = judge(as_open(anomaly), at, minute.ends_at, value, minute.reading, learnt)
            if verdict.turn is not Turn.NOTHING:
                anomaly = follow(context, row.operation, anomaly, minute, verdict)
        note_minute(row, detector, at, rollup, minute.reading)
        fed += 1
    row.state, row.seen = to_bytes(detector), detector.seen
    return fed, until < watched.complete


def _look_ahead(watched: _Watched) -> int:
    """Judge what is not complete, by what is not kept: 1 where an anomaly began or got worse."""
    row, context, detector = watched.row, watched.context, watched.detector
    anomaly = open_anomaly(context.session, row.operation)
    if row.state is None or (anomaly is not None and anomaly.alert_id is not None):
        return 0
    now = context.now
    ahead = rollups_of(
        context.session, row.operation, RESOLUTION, row.fed_until, minute_of(now) + MINUTE
    )
    for at, rollup in ahead:
        if not may_judge_early(rollup.count, row.usual_count, now - at):
            continue
        value, learnt = value_of(rollup), detector.seen
        reading = detector.feed(at.timestamp(), value)
        minute = Minute(at, min(at + MINUTE, now), value, reading)
        verdict = judge(as_open(anomaly), at, minute.ends_at, value, reading, learnt)
        is_worse = anomaly is not None and reading.score > anomaly.score
        if verdict.turn is Turn.BEGINS or (verdict.turn is Turn.GOES_ON and is_worse):
            follow(context, row.operation, anomaly, minute, verdict)
            return 1
    return 0


def _complete_until(session: Session, now: datetime) -> datetime:
    """Minutes before are over, and what came in of them is rolled up."""
    rolled_until: datetime = session.execute(_ROLLED_UNTIL).scalar_one()
    return minute_of(max(rolled_until, now - WAIT_FOR_ROLLER) - GRACE)


def _due(session: Session, now: datetime, complete: datetime, after: str) -> dict[str, bool]:
    """Whose turn it is, in order, and whether each is off in a minute that is not over."""
    rows = session.execute(
        _DUE,
        {
            "after": after,
            "oldest": minute_of(now - LOOK_BACK),
            "complete": complete,
            "compare_every": COMPARE_EVERY,
            "young": YOUNG,
            "compare_young": COMPARE_YOUNG_EVERY,
            "limit": OPERATIONS_AT_ONCE,
        },
    )
    return {operation: bool(is_off) for operation, is_off in rows}


def _note_error(session: Session, now: datetime, operation: str, error: Exception) -> None:
    values = {
        "error": f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS],
        "retry_at": now + REST_AFTER_ERROR,
    }
    session.execute(
        insert(DetectorState)
        .values(operation=operation, fed_until=minute_of(now - LOOK_BACK), **values)
        .on_conflict_do_update(index_elements=[DetectorState.operation], set_=values)
    )
