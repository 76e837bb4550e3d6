"""Incidents of operations that went off their baselines together, to read."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.services.paging import Page, PageRequest, paginate
from models import Incident, IncidentMember


@dataclass(frozen=True, slots=True)
class IncidentView:
    """The likely cause is the first of its members, the others follow as they joined."""

    row: Incident
    members: Sequence[IncidentMember]


def list_incidents(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[IncidentView]:
    """`filters`: status, operation (of a member)."""
    statement = select(Incident)
    if "status" in filters:
        statement = statement.where(Incident.status == filters["status"])
    if "operation" in filters:
        members = select(IncidentMember.incident_id).where(
            IncidentMember.operation == filters["operation"]
        )
        statement = statement.where(Incident.id.in_(members))
    page = paginate(session, statement, Incident.id, request)
    return page.showing(_views(session, page.items))


def get_incident(session: Session, incident_id: int) -> IncidentView:
    row = session.get(Incident, incident_id)
    if row is None:
        raise NotFound("There is no such incident.")
    return _views(session, [row])[0]


def _views(session: Session, rows: Sequence[Incident]) -> list[IncidentView]:
    members: dict[int, list[IncidentMember]] = defaultdict(list)
    for member in session.scalars(
        select(IncidentMember)
        .where(IncidentMember.incident_id.in_([row.id for row in rows]))
        .order_by(IncidentMember.off_since, IncidentMember.operation)
    ):
        members[member.incident_id].append(member)
    return [
        IncidentView(
            row, sorted(members[row.id], key=lambda one: one.operation != row.cause_operation)
        )
        for row in rows
    ]
