"""Routing: whom an alert would reach."""

from typing import Any

from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.routing import RoutingAnswerSchema, RoutingTestSchema
from app.services.raising import Draft
from app.services.routing_preview import preview

blueprint = Blueprint(
    "routing", __name__, url_prefix="/api/v1/routing", description="Whom an alert would reach"
)


@blueprint.post("/test")
@blueprint.arguments(RoutingTestSchema)
@blueprint.response(200, RoutingAnswerSchema)
def test(data: dict[str, Any]) -> dict[str, Any]:
    """Whom this alert would reach now, and why. Nothing is raised, nobody is told."""
    with deps().unit_of_work() as work:
        return preview(work.session, work.now, Draft(**({"title": ""} | data)))
