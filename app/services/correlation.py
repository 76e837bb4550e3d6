"""Incidents: who is off its baseline now, who belongs together, and who is back.

Asked once a minute, by one worker at a time, of the 5-minute rollups of the last hours.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.back_test import CONFIRM_BUCKETS
from app.domain.baseline import Baseline, Buckets, Statistics, hour_of_week
from app.domain.correlation import (
    Deviation,
    Group,
    Member,
    deviation_of,
    group,
    is_back,
    is_silent,
    summary,
)
from models import Incident, IncidentMember

LOOK_BACK = timedelta(hours=3)
SETTLED_AFTER = timedelta(hours=1)
# Every pair is compared; of more than so many, the ones that went off first.
MOST_OFF = 200
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtext('tocsin.correlation'))")
_RECENT = text(
    """
    SELECT s.operation, extract(epoch FROM r.at)::float8 AS at,
        sum(r.sum) / sum(r.count)::float8 AS mean, sum(r.count)::float8 AS samples
    FROM pggit_analytics.baseline_versions v
    JOIN pggit_analytics.metric_series s ON s.operation = v.operation
    CROSS JOIN LATERAL (
        SELECT at, sum, count FROM pggit_analytics.metric_rollups
        WHERE resolution = 300 AND series_id = s.id AND at >= :since AND at <= :now
    ) r
    WHERE v.status = 'active' AND s.last_sample_at >= :since
    GROUP BY s.operation, r.at ORDER BY s.operation, r.at
    """
)
# Of the hours of the week that the last hours are in; -1 is the operation's whole.
_BASELINES = text(
    """
    SELECT v.operation, -1 AS slot, v.sample_count, v.p50, v.p75, v.p90, v.p95, v.p99, v.mean,
        v.stddev, v.mad
    FROM pggit_analytics.baseline_versions v
    WHERE v.status = 'active' AND v.operation = ANY(:operations)
    UNION ALL
    SELECT v.operation, s.slot, s.sample_count, s.p50, s.p75, s.p90, s.p95, s.p99, s.mean,
        s.stddev, s.mad
    FROM pggit_analytics.baseline_versions v
    JOIN pggit_analytics.baseline_slots s ON s.version_id = v.id
    WHERE v.status = 'active' AND v.operation = ANY(:operations) AND s.slot = ANY(:slots)
    """
)
_CLOSE = text(
    """
    UPDATE pggit_analytics.incidents i
    SET status = 'closed', updated_at = :now, closed_at = (
        SELECT max(back_at) FROM pggit_analytics.incident_members m WHERE m.incident_id = i.id
    )
    WHERE i.status = 'open' AND NOT EXISTS (
        SELECT FROM pggit_analytics.incident_members m
        WHERE m.incident_id = i.id AND m.back_at IS NULL
    )
    """
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an operation now."""

    baseline: Baseline
    buckets: Buckets


def off_baseline_now(seen: Mapping[str, Seen], now: datetime) -> list[Deviation]:
    """The operations that are off their baselines now."""
    found = (
        deviation_of(operation, one.baseline, one.buckets, now) for operation, one in seen.items()
    )
    return [one for one in found if one is not None]


def look(session: Session, now: datetime) -> dict[str, Seen]:
    """Every operation with a baseline and samples in the last hours."""
    buckets = _recent(session, now)
    baselines = _baselines(session, list(buckets), now)
    return {
        operation: Seen(baselines[operation], buckets[operation])
        for operation in buckets
        if operation in baselines
    }


def _recent(session: Session, now: datetime) -> dict[str, Buckets]:
    rows = session.execute(_RECENT, {"since": now - LOOK_BACK, "now": now})
    of: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        of[row.operation].append((row.at, row.mean, row.samples))
    return {
        operation: Buckets(*np.array(points, dtype=np.float64).T)
        for operation, points in of.items()
    }


def _baselines(session: Session, operations: Sequence[str], now: datetime) -> dict[str, Baseline]:
    slots = _slots_between(now - LOOK_BACK, now)
    rows = session.execute(_BASELINES, {"operations": operations, "slots": slots})
    of: dict[str, dict[int, Statistics]] = defaultdict(dict)
    for row in rows:
        of[row.operation][row.slot] = Statistics(*row[2:])
    return {operation: Baseline(found.pop(-1), found) for operation, found in of.items()}


def _slots_between(since: datetime, until: datetime) -> list[int]:
    hours = int((until - since).total_seconds() // 3600) + 1
    return sorted({hour_of_week(since + timedelta(hours=one)) for one in range(hours + 1)})


def correlate(unit_of_work: Callable[[], Any]) -> Mapping[str, Any]:
    """Bring the incidents up to date; counts of what was done.

    Comparing takes a second where hundreds are off, so no transaction is open meanwhile. Whoever
    writes what another has written in between finds its incidents and adds nothing.
    """
    with unit_of_work() as work:
        now = work.now
        seen = look(work.session, now)
    off = off_baseline_now(seen, now)
    groups = group(sorted(off, key=lambda one: one.since)[:MOST_OFF])
    with unit_of_work() as work:
        session = work.session
        if not session.scalar(_ONE_AT_A_TIME):
            return {"skipped": "somebody else does it"}
        back = _see_to_members(session, now, seen, off)
        opened = sum(_place(session, now, one) for one in groups)
        closed = _close(session, now)
    return {"off": len(off), "opened": opened, "back": back, "closed": closed}


def _see_to_members(
    session: Session, now: datetime, seen: Mapping[str, Seen], off: Iterable[Deviation]
) -> int:
    """Note of each member of an open incident whether it is back; how many are."""
    still_off = {one.operation: one for one in off}
    back = 0
    for member in session.scalars(select(IncidentMember).where(IncidentMember.back_at.is_(None))):
        if (deviation := still_off.get(member.operation)) is not None:
            _describe(member, deviation)
            continue
        known = seen.get(member.operation)
        if known is None or is_silent(known.buckets, now):
            member.back_at, member.back_reason = now, "no_data"
        elif is_back(known.baseline, known.buckets):
            usual_since = float(known.buckets.at[-CONFIRM_BUCKETS])
            member.back_at = max(datetime.fromtimestamp(usual_since, UTC), member.off_since)
            member.back_reason = "usual_again"
        back += member.back_at is not None
    session.flush()
    return back


def _describe(member: IncidentMember, deviation: Deviation) -> None:
    member.value = deviation.value
    member.usual_low, member.usual_high = deviation.usual


def _place(session: Session, now: datetime, found: Group) -> bool:
    """Put a group into the open incident that some of it are in, the oldest of these; or open one.

    Whether one was opened. Who is in another open incident stays there.
    """
    operations = [one.deviation.operation for one in found.members]
    taken = {
        member.operation: member.incident_id
        for member in session.scalars(
            select(IncidentMember).where(
                IncidentMember.back_at.is_(None), IncidentMember.operation.in_(operations)
            )
        )
    }
    if taken:
        incident = session.get_one(Incident, min(taken.values()))
    else:
        incident = Incident(
            cause_operation=found.cause.operation, started_at=found.cause.since, summary=""
        )
        session.add(incident)
        session.flush()
    # Who was first is known while all of it is in what is looked at.
    if now - incident.started_at < SETTLED_AFTER:
        incident.cause_operation = found.cause.operation
        incident.started_at = min(incident.started_at, found.cause.since)
    for one in found.members:
        if taken.get(one.deviation.operation, incident.id) == incident.id:
            _join(session, incident, one)
    session.flush()
    _sum_up(session, incident, now)
    return not taken


def _join(session: Session, incident: Incident, one: Member) -> None:
    operation = one.deviation.operation
    member = session.get(IncidentMember, (incident.id, operation))
    if member is None:
        member = IncidentMember(
            incident_id=incident.id, operation=operation, off_since=one.deviation.since
        )
        session.add(member)
    member.back_at = member.back_reason = None
    _describe(member, one.deviation)
    if operation == incident.cause_operation:
        member.correlation = None
    elif one.correlation is not None:
        member.correlation = one.correlation


def _sum_up(session: Session, incident: Incident, now: datetime) -> None:
    correlations = {
        member.operation: member.correlation or 0.0
        for member in session.scalars(
            select(IncidentMember).where(IncidentMember.incident_id == incident.id)
        )
        if member.operation != incident.cause_operation
    }
    said = summary(incident.cause_operation, incident.started_at, correlations)
    if said != incident.summary:
        incident.summary, incident.updated_at = said, now


def _close(session: Session, now: datetime) -> int:
    """Close the incidents whose members are all back."""
    return session.execute(_CLOSE, {"now": now}).rowcount  # type: ignore[attr-defined, no-any-return]
