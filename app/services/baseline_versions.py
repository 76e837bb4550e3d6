"""Versions of baselines: put in force, listed, rolled back to. Of each operation one is active."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.domain.back_test import Verdict
from app.domain.baseline import MIN_SLOT_SAMPLES, Baseline
from app.domain.left_out import Window
from app.errors import Conflict, NotFound
from app.services.baseline_schedules import hold, wait_a_whole_turn
from app.services.left_out import stored_window
from app.services.paging import Page, PageRequest, paginate
from models import BaselineVersion

# Of each operation, beside the active one.
VERSIONS_KEPT = 10
REJECTED_KEPT = 5

# The partials are those of this version, hour of the week by hour of the week.
_ADD_SLOTS = text(
    """
    INSERT INTO pggit_analytics.baseline_slots
        (version_id, slot, sample_count, p50, p75, p90, p95, p99, mean, stddev, mad)
    SELECT :version_id, slot, sample_count, p50, p75, p90, p95, p99, mean, stddev, mad
    FROM pggit_analytics.baseline_partials
    WHERE operation = :operation AND sample_count >= :least
    """
)
_TRIM = text(
    """
    DELETE FROM pggit_analytics.baseline_versions WHERE id IN (
        SELECT id FROM (
            SELECT id, status = 'rejected' AS was_rejected,
                row_number() OVER (PARTITION BY status = 'rejected' ORDER BY version DESC) AS place
            FROM pggit_analytics.baseline_versions
            WHERE operation = :operation AND status <> 'active'
        ) AS ranked
        WHERE place > CASE WHEN was_rejected THEN :rejected ELSE :kept END
    )
    """
)
_SLOTS = text(
    """
    SELECT version_id, json_agg(
        json_build_object(
            'slot', slot,
            'day', (ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])[1 + slot / 24],
            'hour', slot % 24,
            'sample_count', sample_count, 'p50', p50, 'p75', p75, 'p90', p90, 'p95', p95,
            'p99', p99, 'mean', mean, 'stddev', stddev, 'mad', mad
        ) ORDER BY slot
    )
    FROM pggit_analytics.baseline_slots WHERE version_id = ANY(:ids) GROUP BY version_id
    """
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A baseline that was worked out and tried."""

    baseline: Baseline
    since: datetime
    until: datetime
    left_out: list[Window]
    left_out_hours: int
    back_test: Mapping[str, Any]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class BaselineView:
    """A version as the API shows it; `slots` are JSON already."""

    row: BaselineVersion
    slots: list[dict[str, Any]]


def install(session: Session, now: datetime, operation: str, candidate: Candidate) -> int:
    """Keep a candidate as the next version, active unless its verdict rejects it; its number.

    The caller holds the operation's schedule. Whoever reads sees the former version until the
    commit, and this one, with all its hours, from then on.
    """
    newest = session.scalar(
        select(func.max(BaselineVersion.version)).where(BaselineVersion.operation == operation)
    )
    takes_over = candidate.verdict.takes_over
    if takes_over:
        _retire(session, operation, "superseded")
    row = BaselineVersion(
        operation=operation,
        version=(newest or 0) + 1,
        status="active" if takes_over else "rejected",
        window_since=candidate.since,
        window_until=candidate.until,
        left_out=[stored_window(one) for one in candidate.left_out],
        left_out_hours=candidate.left_out_hours,
        back_test=dict(candidate.back_test),
        verdict=candidate.verdict.value,
        computed_at=now,
        activated_at=now if takes_over else None,
        **asdict(candidate.baseline.overall),
    )
    session.add(row)
    session.flush()
    session.execute(
        _ADD_SLOTS, {"version_id": row.id, "operation": operation, "least": MIN_SLOT_SAMPLES}
    )
    session.execute(
        _TRIM, {"operation": operation, "kept": VERSIONS_KEPT, "rejected": REJECTED_KEPT}
    )
    return row.version


def _retire(session: Session, operation: str, status: str) -> int | None:
    """End the active version; its number."""
    return session.scalar(
        update(BaselineVersion)
        .where(BaselineVersion.operation == operation, BaselineVersion.status == "active")
        .values(status=status)
        .returning(BaselineVersion.version)
    )


def roll_back(session: Session, now: datetime, operation: str, version: int | None) -> BaselineView:
    """Put a former version in force: the one before the active one, or `version`.

    The next recalculation comes after a whole turn of the schedule. Raises NotFound where there is
    no such version, Conflict for one that was rejected or is the only one.
    """
    hold(session, operation)  # first, as a recalculation does
    active = session.scalars(
        select(BaselineVersion)
        .where(BaselineVersion.operation == operation, BaselineVersion.status == "active")
        .with_for_update()
    ).one_or_none()
    if active is None:
        raise NotFound("This operation has no baseline.")
    target = _target(session, operation, active.version, version)
    if target.status == "rejected":
        raise Conflict("This version was rejected when it was tried.")
    if target.id != active.id:
        active.status = "rolled_back"
        session.flush()
        target.status, target.activated_at = "active", now
        session.flush()
        wait_a_whole_turn(session, now, operation)
    return BaselineView(target, _slots_of(session, [target.id]).get(target.id, []))


def _target(session: Session, operation: str, active: int, version: int | None) -> BaselineVersion:
    wanted = select(BaselineVersion).where(BaselineVersion.operation == operation)
    if version is None:
        wanted = wanted.where(
            BaselineVersion.version < active, BaselineVersion.status != "rejected"
        )
    else:
        wanted = wanted.where(BaselineVersion.version == version)
    found = session.scalars(
        wanted.order_by(BaselineVersion.version.desc()).limit(1).with_for_update()
    ).one_or_none()
    if found is None and version is None:
        raise Conflict("There is no version before the active one.")
    if found is None:
        raise NotFound("There is no such version of this baseline.")
    return found


def list_baselines(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[BaselineView]:
    """The active ones, with their hours of the week. `filters`: operation."""
    page = paginate(
        session,
        select(BaselineVersion).filter_by(status="active", **filters),
        BaselineVersion.id,
        request,
    )
    slots = _slots_of(session, [row.id for row in page.items])
    return page.showing([BaselineView(row, slots.get(row.id, [])) for row in page.items])


def list_versions(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[BaselineVersion]:
    """Every version that is kept, without the hours. `filters`: operation, status."""
    statement = select(BaselineVersion).filter_by(**filters)
    return paginate(session, statement, BaselineVersion.id, request)


def _slots_of(session: Session, ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    return {row[0]: row[1] for row in session.execute(_SLOTS, {"ids": ids})}
