"""Incidents: operations that degrade together."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.openapi import Blueprint
from app.api.schemas.incidents import IncidentPage, IncidentQuery, IncidentSchema
from app.services.queries import analytics as queries

blueprint = Blueprint(
    "incidents", __name__, url_prefix="/api/v1/incidents", description="What degrades together"
)


@blueprint.get("")
@blueprint.arguments(IncidentQuery, location="query")
@blueprint.response(200, IncidentPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_incidents(query: dict[str, Any]) -> Response:
    """Incidents, the newest first; `operation` asks for those that it is a member of."""
    return cached.answer(queries.INCIDENT_LIST, query)


@blueprint.get("/<id:incident_id>")
@blueprint.response(200, IncidentSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_incident(incident_id: int) -> Response:
    """One incident, the likely cause first among its members."""
    return cached.answer(queries.INCIDENT, {"id": incident_id})
