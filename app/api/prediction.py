"""Prediction: what predicts, and how likely a webhook becomes unavailable."""

from typing import Any

from app.api.context import deps, page_request, principal
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.prediction import ModelDetailSchema, ModelPage, ModelSchema, RiskSchema
from app.services import risk_models, risk_reports
from app.services.paging import page_answer
from models import RiskModel

blueprint = Blueprint(
    "prediction",
    __name__,
    url_prefix="/api/v1",
    description="How likely webhooks become unavailable",
)


@blueprint.get("/ml/models")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ModelPage)
def list_models(query: dict[str, Any]) -> dict[str, Any]:
    """Every version that was trained, taken over or not, the newest first; 0 is the rules."""
    with deps().unit_of_work() as work:
        page = risk_models.list_models(work.session, page_request(query))
    return page_answer(page, page.items)


@blueprint.get("/ml/models/<version:version>")
@blueprint.response(200, ModelDetailSchema)
def get_model(version: int) -> dict[str, Any]:
    """One version with all its numbers."""
    with deps().unit_of_work() as work:
        row = risk_models.get_model(work.session, version)
    shown = {name: getattr(row, name) for name in ModelSchema().fields}
    return shown | {"parameters": risk_models.parameters_of(row)}


@blueprint.post("/ml/models/<version:version>/activate")
@blueprint.response(200, ModelSchema)
@blueprint.alt_response(409, description="It was trained on other features than are known now")
def activate_model(version: int) -> RiskModel:
    """Have a version predict from now on: to go back, or to the rules. The next training that finds
    a better one takes over all the same."""
    with deps().unit_of_work() as work:
        return risk_models.activate(work.session, work.now, version, principal().name)


@blueprint.get("/webhooks/<id:webhook_id>/risk")
@blueprint.response(200, RiskSchema)
def webhook_risk(webhook_id: int) -> dict[str, Any]:
    """How likely a webhook becomes unavailable within the horizon, by whom, and why."""
    with deps().unit_of_work() as work:
        report = risk_reports.risk_report(work.session, work.now, webhook_id)
    return {
        "webhook_id": report.webhook_id,
        "probability": report.probability,
        "horizon_hours": report.horizon_hours,
        "model_version": report.model.version,
        "model_kind": report.model.kind,
        "reasons": report.reasons,
        "made_at": report.made_at,
        "unknown_because": report.unknown_because,
    }
