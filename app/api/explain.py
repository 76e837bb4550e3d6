"""Explanations."""

from typing import Any

from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.explain import ExplanationSchema
from app.services.explain import explain

blueprint = Blueprint(
    "explain", __name__, url_prefix="/api/v1/alerts", description="Why somebody was told, or not"
)


@blueprint.get("/<id:alert_id>/explain")
@blueprint.response(200, ExplanationSchema)
def explain_alert(alert_id: int) -> dict[str, Any]:
    """Why each webhook was or was not told: every decision, with its time and reason."""
    with deps().unit_of_work() as work:
        return explain(work.session, work.now, alert_id)
