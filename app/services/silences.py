"""Silences and maintenance windows: make, find, change, end, remove.

Whoever shortens one looks again at what is muted, in the same transaction: it locks the silence
first, and who mutes an alert by it has locked it too (see RoutingTable), so no alert is missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from app.domain.silences import SilenceStatus, in_force_until, status_of
from app.errors import Conflict, Invalid, NotFound
from app.services.follow_ups import look_again_at_muted
from app.services.paging import Page, PageRequest, paginate
from app.services.routing import silence_of_row
from models import Silence


@dataclass(frozen=True, slots=True)
class SilenceView:
    """A silence as the API shows it. `in_force_until` None: it mutes nothing right now."""

    row: Silence
    status: SilenceStatus
    in_force_until: datetime | None


def _view(row: Silence, now: datetime) -> SilenceView:
    silence = silence_of_row(row)
    return SilenceView(row, status_of(silence, now), in_force_until(silence, now))


def create_silence(
    session: Session, now: datetime, data: Mapping[str, Any], created_by: str
) -> SilenceView:
    """Raises Invalid when it has no end, or one that makes no sense."""
    row = Silence(created_by=created_by)
    _apply(row, now, data)
    session.add(row)
    session.flush()
    return _view(row, now)


def _apply(row: Silence, now: datetime, data: Mapping[str, Any]) -> None:
    for name, value in data.items():
        setattr(row, name, value)
    problem = None
    if row.ends_at is None:
        if row.recurrence is None:
            problem = "A silence that does not recur needs an end."
    elif row.ends_at <= row.starts_at:
        problem = "The end must be after the beginning."
    elif row.ends_at <= now and "ends_at" in data:
        problem = "The end must be in the future; POST …/expire ends a silence now."
    if problem is not None:
        raise Invalid({"ends_at": [problem]})


def get_row(session: Session, silence_id: int, *, lock: bool = False) -> Silence:
    row = session.get(Silence, silence_id, with_for_update=lock)
    if row is None:
        raise NotFound("There is no such silence.")
    return row


def get_silence(session: Session, now: datetime, silence_id: int) -> SilenceView:
    return _view(get_row(session, silence_id), now)


def list_silences(
    session: Session, now: datetime, filters: Mapping[str, Any], request: PageRequest
) -> Page[SilenceView]:
    """`filters`: kind, status."""
    statement = select(Silence)
    if "kind" in filters:
        statement = statement.where(Silence.kind == filters["kind"])
    if "status" in filters:
        statement = statement.where(_has_status(SilenceStatus(filters["status"]), now))
    page = paginate(session, statement, Silence.id, request)
    return page.showing([_view(row, now) for row in page.items])


def _has_status(status: SilenceStatus, now: datetime) -> ColumnElement[bool]:
    """As the domain's `status_of`, for the database to ask."""
    goes_on = or_(Silence.ends_at.is_(None), Silence.ends_at > now)
    match status:
        case SilenceStatus.EXPIRED:
            return Silence.ends_at <= now
        case SilenceStatus.PENDING:
            return and_(goes_on, Silence.starts_at > now)
        case SilenceStatus.ACTIVE:
            return and_(goes_on, Silence.starts_at <= now)


def change_silence(
    session: Session, now: datetime, silence_id: int, changes: Mapping[str, Any]
) -> SilenceView:
    """Apply the fields that are there. Raises Invalid as `create_silence` does."""
    row = get_row(session, silence_id, lock=True)
    _apply(row, now, changes)
    row.updated_at = now
    session.flush()
    look_again_at_muted(session)
    return _view(row, now)


def expire_silence(session: Session, now: datetime, silence_id: int) -> SilenceView:
    """End it now. One that has ended stays as it is; one that has not begun is a Conflict."""
    row = get_row(session, silence_id, lock=True)
    status = _view(row, now).status
    if status is SilenceStatus.PENDING:
        raise Conflict("This silence has not begun; delete it.")
    if status is SilenceStatus.ACTIVE:
        row.ends_at = row.updated_at = now
        session.flush()
        look_again_at_muted(session)
    return _view(row, now)


def delete_silence(session: Session, silence_id: int) -> None:
    session.delete(get_row(session, silence_id, lock=True))
    session.flush()
    look_again_at_muted(session)
