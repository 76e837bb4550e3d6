"""Anomalies: begun, followed, ended with their alerts; and to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.domain.alerts import Severity
from app.domain.anomalies import (
    SILENT_AFTER,
    EndReason,
    Open,
    Turn,
    Usual,
    Verdict,
    may_be_told,
    off_by,
    sentence,
    severity_of,
)
from app.domain.detector import VIEWS, Reading
from app.domain.events import Changed, Event
from app.domain.live import Kind
from app.services.lifecycle import resolve
from app.services.paging import Page, PageRequest, paginate
from app.services.raising import Draft, raise_alerts
from app.services.usual import usual_for
from models import Anomaly, MetricSeries

SOURCE: Final = "anomaly"
_RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


@dataclass(frozen=True, slots=True)
class Minute:
    """A value that was judged. `ends_at`: the end of its minute, or until when it was known."""

    begins_at: datetime
    ends_at: datetime
    value: float
    reading: Reading


@dataclass(frozen=True, slots=True)
class Context:
    """A transaction, and what alerts need."""

    session: Session
    now: datetime
    events: list[Event]
    retry_schedule: Sequence[int]


def open_anomaly(session: Session, operation: str) -> Anomaly | None:
    return session.scalar(
        select(Anomaly).where(Anomaly.operation == operation, Anomaly.ended_at.is_(None))
    )


def as_open(row: Anomaly | None) -> Open | None:
    """What the rules need to know of it."""
    if row is None:
        return None
    return Open(Usual(row.low, row.high), row.calm_since, row.odd_at)


def follow(
    context: Context, operation: str, row: Anomaly | None, minute: Minute, verdict: Verdict
) -> Anomaly | None:
    """Put a verdict down, and tell of it where it is to be told; what is open afterwards."""
    becomes = verdict.open
    if becomes is None:
        return None
    before = None if row is None else (row.score, row.severity, row.alert_id)
    if row is None:
        row = _begin(context.session, operation, minute, becomes)
    else:
        _go_on(context.session, row, minute, becomes)
    if verdict.reason is not None:
        _end(context, row, becomes.calm_since or minute.ends_at, verdict.reason)
        return None
    is_odd = verdict.turn is Turn.BEGINS or becomes.odd_at == minute.ends_at
    if row.alert_id is None and is_odd:
        _tell(context, row, minute.begins_at)
    if before != (row.score, row.severity, row.alert_id):
        context.events.append(Changed(Kind.ANOMALY, (row.id,)))
    return row


def end_silent(context: Context, limit: int) -> int:
    """End those of which nothing was heard for long; how many."""
    rows = context.session.scalars(
        select(Anomaly)
        .where(Anomaly.ended_at.is_(None), Anomaly.last_at < context.now - SILENT_AFTER)
        .order_by(Anomaly.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        _end(context, row, row.last_at, EndReason.SILENT)
    return len(rows)


def _begin(session: Session, operation: str, minute: Minute, becomes: Open) -> Anomaly:
    reading = minute.reading
    row = Anomaly(
        operation=operation,
        started_at=minute.ends_at,
        low=becomes.usual.low,
        high=becomes.usual.high,
        calm_since=None,
        odd_at=minute.ends_at,
        last_at=minute.ends_at,
        score=reading.score,
        severity=severity_of(reading.score, reading.bar, off_by(becomes.usual, minute.value)),
    )
    usual = usual_for(session, operation, minute.ends_at)
    if usual is not None:
        row.low, row.high = usual.low, usual.high
    _explain(session, row, minute, usual or becomes.usual)
    session.add(row)
    session.flush()
    return row


def _go_on(session: Session, row: Anomaly, minute: Minute, becomes: Open) -> None:
    row.calm_since, row.odd_at, row.last_at = becomes.calm_since, becomes.odd_at, minute.ends_at
    reading = minute.reading
    if reading.score > row.score:
        row.score = reading.score
        usual = usual_for(session, row.operation, minute.ends_at)
        _explain(session, row, minute, usual or becomes.usual)
    if reading.score >= reading.bar:
        severity = severity_of(reading.score, reading.bar, off_by(becomes.usual, minute.value))
        row.severity = max(Severity(row.severity), severity, key=_RANK.__getitem__)


def _explain(session: Session, row: Anomaly, minute: Minute, usual: Usual) -> None:
    views = minute.reading.views
    row.value = minute.value
    row.sentence = sentence(minute.value, _unit(session, row.operation), usual, views)
    row.views = {name: round(one, 2) for name, one in zip(VIEWS, views, strict=True)}


def _unit(session: Session, operation: str) -> str | None:
    """That of all its series, where they have the same."""
    low, high = session.execute(
        select(func.min(MetricSeries.unit), func.max(MetricSeries.unit)).where(
            MetricSeries.operation == operation
        )
    ).one()
    return low if low == high else None


def _tell(context: Context, row: Anomaly, at: datetime) -> None:
    severity = Severity(row.severity)
    if not may_be_told(severity, at, context.now):
        return
    draft = Draft(
        title=f"{row.operation}: {row.sentence}"[:500],
        message=_message(row),
        severity=severity,
        source=SOURCE,
        labels={"operation": row.operation},
        dedup_key=f"{SOURCE}:{row.operation}",
    )
    ((alert, _is_new),) = raise_alerts(
        context.session, context.now, context.events, [draft], SOURCE, context.retry_schedule
    )
    row.alert_id = alert.id


def _message(row: Anomaly) -> str:
    odd = sorted(((one, name) for name, one in row.views.items() if one >= 1), reverse=True)
    seen_in = ", ".join(name.replace("_", " ") for _one, name in odd)
    more = f" Unusual in: {seen_in}." if seen_in else ""
    return f"{row.sentence}. Since {row.started_at:%Y-%m-%d %H:%M} UTC.{more}"


def _end(context: Context, row: Anomaly, at: datetime, reason: EndReason) -> None:
    row.ended_at, row.end_reason = at, reason
    context.session.flush()
    context.events.append(Changed(Kind.ANOMALY, (row.id,)))
    if row.alert_id is not None:
        resolve(context.session, context.now, context.events, row.alert_id, SOURCE)


def list_anomalies(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[Anomaly]:
    """`filters`: operation, severity, since, until: those that were going on in that time."""
    statement: Select[Anomaly] = select(Anomaly)
    for name in ("operation", "severity"):
        if name in filters:
            statement = statement.where(getattr(Anomaly, name) == filters[name])
    if "since" in filters:
        statement = statement.where(
            Anomaly.ended_at.is_(None) | (Anomaly.ended_at >= filters["since"])
        )
    if "until" in filters:
        statement = statement.where(Anomaly.started_at < filters["until"])
    return paginate(session, statement, Anomaly.id, request)
