"""Anomalies."""

from typing import Any

from app.api.context import deps, page_answer, page_request
from app.api.openapi import Blueprint
from app.api.schemas.anomalies import AnomalyPage, AnomalyQuery
from app.services import anomalies

blueprint = Blueprint(
    "anomalies", __name__, url_prefix="/api/v1/anomalies", description="What is unusual, and why"
)


@blueprint.get("")
@blueprint.arguments(AnomalyQuery, location="query")
@blueprint.response(200, AnomalyPage)
def list_anomalies(query: dict[str, Any]) -> dict[str, Any]:
    """Stretches of time in which an operation was unusual, the newest first.

    Each says why in a sentence, and has the alert that it raised.
    """
    with deps().reading() as session:
        page = anomalies.list_anomalies(session, query, page_request(query))
    return page_answer(page, page.items)
