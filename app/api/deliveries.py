"""Deliveries."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.alerts import DeliveryPage, DeliveryQuery, DeliverySchema
from app.services import deliveries
from app.services.presenters.deliveries import present_delivery
from app.services.queries import alerts as queries

blueprint = Blueprint(
    "deliveries", __name__, url_prefix="/api/v1/deliveries", description="Who was told"
)


@blueprint.get("")
@blueprint.arguments(DeliveryQuery, location="query")
@blueprint.response(200, DeliveryPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_deliveries(query: dict[str, Any]) -> Response:
    """Deliveries, the newest first."""
    return cached.answer(queries.DELIVERY_LIST, query)


@blueprint.get("/<id:delivery_id>")
@blueprint.response(200, DeliverySchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_delivery(delivery_id: int) -> Response:
    """One delivery, with every attempt."""
    return cached.answer(queries.DELIVERY, {"id": delivery_id})


@blueprint.post("/<id:delivery_id>/retry")
@blueprint.response(200, DeliverySchema)
@blueprint.alt_response(409, description="Delivered already, in flight, or its webhook is gone")
def retry_delivery(delivery_id: int) -> dict[str, Any]:
    """Try a delivery again now, with the same `webhook-id`."""
    with deps().unit_of_work() as work:
        return present_delivery(deliveries.retry_delivery(work.session, work.events, delivery_id))
