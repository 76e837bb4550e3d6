"""What a dashboard begins with; what changes from then on comes by the stream."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.openapi import Blueprint
from app.api.schemas.dashboard import (
    DeliveriesByMinuteSchema,
    GridQuery,
    OpenAlertsQuery,
    OpenAlertsSchema,
    WebhookGridSchema,
)
from app.api.schemas.operations import QueueSchema
from app.services.queries import dashboard as queries

blueprint = Blueprint(
    "dashboard", __name__, url_prefix="/api/v1/dashboard", description="The whole at a glance"
)


@blueprint.get("/queue")
@blueprint.response(200, QueueSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_queue() -> Response:
    """How much is undelivered, and for how long the oldest has been due."""
    return cached.answer(queries.QUEUE, {})


@blueprint.get("/deliveries")
@blueprint.response(200, DeliveriesByMinuteSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_deliveries() -> Response:
    """Attempts of the last hour by outcome, with their latency, minute by minute."""
    return cached.answer(queries.DELIVERIES, {})


@blueprint.get("/webhooks")
@blueprint.arguments(GridQuery, location="query")
@blueprint.response(200, WebhookGridSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_webhooks(query: dict[str, Any]) -> Response:
    """The newest webhooks, each with its health and 24 bars, one an hour."""
    return cached.answer(queries.WEBHOOK_GRID, query)


@blueprint.get("/alerts")
@blueprint.arguments(OpenAlertsQuery, location="query")
@blueprint.response(200, OpenAlertsSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_alerts(query: dict[str, Any]) -> Response:
    """The newest alerts that nobody has resolved, and how many there are by status."""
    return cached.answer(queries.OPEN_ALERTS, query)
