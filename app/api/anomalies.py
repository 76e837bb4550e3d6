"""Anomalies."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.openapi import Blueprint
from app.api.schemas.anomalies import AnomalyPage, AnomalyQuery
from app.services.queries import analytics as queries

blueprint = Blueprint(
    "anomalies", __name__, url_prefix="/api/v1/anomalies", description="What is unusual, and why"
)


@blueprint.get("")
@blueprint.arguments(AnomalyQuery, location="query")
@blueprint.response(200, AnomalyPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_anomalies(query: dict[str, Any]) -> Response:
    """Stretches of time in which an operation was unusual, the newest first.

    Each says why in a sentence, and has the alert that it raised.
    """
    return cached.answer(queries.ANOMALY_LIST, query)
