"""Incidents: operations that degrade together."""

from typing import Any

from app.api.context import deps, page_answer, page_request
from app.api.openapi import Blueprint
from app.api.presenters import present_incident
from app.api.schemas.incidents import IncidentPage, IncidentQuery, IncidentSchema
from app.services import incidents

blueprint = Blueprint(
    "incidents", __name__, url_prefix="/api/v1/incidents", description="What degrades together"
)


@blueprint.get("")
@blueprint.arguments(IncidentQuery, location="query")
@blueprint.response(200, IncidentPage)
def list_incidents(query: dict[str, Any]) -> dict[str, Any]:
    """Incidents, the newest first; `operation` asks for those that it is a member of."""
    request = page_request(query)
    with deps().reading() as session:
        page = incidents.list_incidents(session, query, request)
    return page_answer(page, [present_incident(view) for view in page.items])


@blueprint.get("/<id:incident_id>")
@blueprint.response(200, IncidentSchema)
def get_incident(incident_id: int) -> dict[str, Any]:
    """One incident, the likely cause first among its members."""
    with deps().reading() as session:
        return present_incident(incidents.get_incident(session, incident_id))
