"""When baselines are recalculated: schedules by API, default ones, and who works on which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.recalculation import Outcome, next_run
from app.errors import Conflict, Invalid, NotFound
from app.services.paging import Page, PageRequest, paginate
from models import RecalcSchedule

DEFAULTS: dict[str, Any] = {
    "frequency_seconds": 86_400,
    "lookback_days": 28,
    "minimum_samples": 100,
    "is_active": True,
}
# No recalculation takes this long: whoever still holds a schedule then was lost.
LEASE = timedelta(minutes=5)
MAX_ERROR_CHARS = 1000

_DEFAULT = text(
    """
    INSERT INTO pggit.baseline_recalc_schedule
        (operation, frequency_seconds, lookback_days, minimum_samples, is_active, is_default,
            next_run_at)
    SELECT DISTINCT s.operation, CAST(:frequency_seconds AS integer),
        CAST(:lookback_days AS integer), CAST(:minimum_samples AS integer),
        CAST(:is_active AS boolean), true, CAST(:now AS timestamptz)
    FROM pggit_analytics.metric_series s
    WHERE NOT EXISTS (
        SELECT FROM pggit.baseline_recalc_schedule b WHERE b.operation = s.operation
    )
    ON CONFLICT (operation) DO NOTHING
    """
)
_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id FROM pggit.baseline_recalc_schedule
        WHERE (leased_until IS NULL OR leased_until <= :now) AND {which}
        ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE /* unseen */ pggit.baseline_recalc_schedule s
    SET lease_token = gen_random_uuid(), leased_until = CAST(:now AS timestamptz) + :lease
    FROM due WHERE s.id = due.id
    RETURNING s.id, s.operation, s.lease_token::text, s.frequency_seconds, s.lookback_days,
        s.minimum_samples
"""
_CLAIM_DUE = text(_CLAIM.format(which="is_active AND next_run_at <= :now"))
_CLAIM_ONE = text(_CLAIM.format(which="operation = :operation"))


@dataclass(frozen=True, slots=True)
class Lease:
    """A schedule that somebody works on; nobody else does while the token is in its row."""

    schedule_id: int
    operation: str
    token: str
    frequency: timedelta
    lookback: timedelta
    minimum_samples: int


def create_schedule(session: Session, now: datetime, data: Mapping[str, Any]) -> RecalcSchedule:
    """Takes the place of a default one. Raises Conflict where somebody has made one before."""
    schedule_id = session.scalar(
        insert(RecalcSchedule)
        .values({"next_run_at": now} | dict(data) | {"is_default": False})
        .on_conflict_do_update(
            index_elements=[RecalcSchedule.operation],
            set_={"next_run_at": now} | dict(data) | {"is_default": False, "updated_at": now},
            where=RecalcSchedule.is_default.is_(True),
        )
        .returning(RecalcSchedule.id)
    )
    if schedule_id is None:
        raise Conflict("This operation has a schedule; change that one.")
    return get_schedule(session, schedule_id)


def get_schedule(session: Session, schedule_id: int, *, lock: bool = False) -> RecalcSchedule:
    row = session.get(RecalcSchedule, schedule_id, with_for_update=lock)
    if row is None:
        raise NotFound("There is no such schedule.")
    return row


def list_schedules(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[RecalcSchedule]:
    """`filters`: operation."""
    statement = select(RecalcSchedule).filter_by(**filters)
    return paginate(session, statement, RecalcSchedule.id, request)


def change_schedule(
    session: Session, now: datetime, schedule_id: int, changes: Mapping[str, Any]
) -> RecalcSchedule:
    """Apply the fields that are there. A default one that is changed is a default no more.

    Raises Invalid where it is to be for another operation.
    """
    row = get_schedule(session, schedule_id, lock=True)
    if changes.get("operation", row.operation) != row.operation:
        raise Invalid({"operation": ["This stays; make a schedule for the other operation."]})
    for name, value in changes.items():
        setattr(row, name, value)
    row.is_default = False
    row.updated_at = now
    session.flush()
    return row


def delete_schedule(session: Session, schedule_id: int) -> None:
    """An operation that has samples gets a default one again."""
    session.delete(get_schedule(session, schedule_id, lock=True))
    session.flush()


def add_defaults(session: Session, now: datetime) -> int:
    """A schedule for each operation that has samples and no schedule; how many."""
    return session.execute(_DEFAULT, DEFAULTS | {"now": now}).rowcount  # type: ignore[attr-defined, no-any-return]


def claim_due(session: Session, now: datetime) -> Lease | None:
    """The schedule that has been due for the longest time and that nobody works on."""
    return _leased(session.execute(_CLAIM_DUE, {"now": now, "lease": LEASE}).one_or_none())


def claim_operation(session: Session, now: datetime, operation: str) -> Lease | None:
    """That of an operation, due or not, active or not; None while somebody works on it."""
    values = {"now": now, "lease": LEASE, "operation": operation}
    return _leased(session.execute(_CLAIM_ONE, values).one_or_none())


def _leased(row: Any) -> Lease | None:
    if row is None:
        return None
    return Lease(
        schedule_id=row.id,
        operation=row.operation,
        token=row.lease_token,
        frequency=timedelta(seconds=row.frequency_seconds),
        lookback=timedelta(days=row.lookback_days),
        minimum_samples=row.minimum_samples,
    )


def is_still_mine(session: Session, lease: Lease) -> bool:
    """Whether it is, and stays so until the commit."""
    found = session.scalar(
        select(RecalcSchedule.id)
        .where(RecalcSchedule.id == lease.schedule_id, RecalcSchedule.lease_token == lease.token)
        .with_for_update()
    )
    return found is not None


def record(
    session: Session,
    now: datetime,
    lease: Lease,
    began_at: datetime,
    outcome: Outcome,
    *,
    error: str | None = None,
    version: int | None = None,
) -> None:
    """How it went, in the row of its schedule, and when it is due next. Gives the lease back."""
    row = session.get(RecalcSchedule, lease.schedule_id, with_for_update=True)
    if row is None or row.lease_token != lease.token:
        return  # deleted, or given up by the clock and taken by another
    row.failures_in_a_row = row.failures_in_a_row + 1 if outcome is Outcome.FAILED else 0
    row.lease_token = row.leased_until = None
    row.last_run_at = began_at
    row.last_status = outcome.value
    row.last_error = None if error is None else error[:MAX_ERROR_CHARS]
    row.last_version = version if version is not None else row.last_version
    frequency = timedelta(seconds=row.frequency_seconds)
    row.next_run_at = next_run(now, frequency, outcome, row.failures_in_a_row)


def hold(session: Session, operation: str) -> None:
    """Nobody switches the baseline of this operation until the commit."""
    session.execute(
        select(RecalcSchedule.id).where(RecalcSchedule.operation == operation).with_for_update()
    )


def wait_a_whole_turn(session: Session, now: datetime, operation: str) -> None:
    """The next recalculation comes after a whole turn of the schedule."""
    session.execute(
        update(RecalcSchedule)
        .where(RecalcSchedule.operation == operation)
        .values(next_run_at=now + RecalcSchedule.frequency_seconds * text("interval '1 second'"))
    )
