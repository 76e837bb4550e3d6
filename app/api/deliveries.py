"""Deliveries."""

from typing import Any

from app.api.context import deps, page_answer, page_request
from app.api.openapi import Blueprint
from app.api.presenters import present_delivery
from app.api.schemas.alerts import DeliveryPage, DeliveryQuery, DeliverySchema
from app.services import deliveries

blueprint = Blueprint(
    "deliveries", __name__, url_prefix="/api/v1/deliveries", description="Who was told"
)


@blueprint.get("")
@blueprint.arguments(DeliveryQuery, location="query")
@blueprint.response(200, DeliveryPage)
def list_deliveries(query: dict[str, Any]) -> dict[str, Any]:
    """Deliveries, the newest first."""
    request = page_request(query)
    with deps().reading() as session:
        page = deliveries.list_deliveries(session, query, request)
    return page_answer(page, [present_delivery(view) for view in page.items])


@blueprint.get("/<id:delivery_id>")
@blueprint.response(200, DeliverySchema)
def get_delivery(delivery_id: int) -> dict[str, Any]:
    """One delivery, with every attempt."""
    with deps().reading() as session:
        return present_delivery(deliveries.get_delivery(session, delivery_id))


@blueprint.post("/<id:delivery_id>/retry")
@blueprint.response(200, DeliverySchema)
@blueprint.alt_response(
    409, description="Delivered already, in flight, out of order, or its webhook is gone"
)
def retry_delivery(delivery_id: int) -> dict[str, Any]:
    """Try a delivery again now, with the same `webhook-id`.

    Not one whose webhook has had later news of the same alert, or waits for earlier: nobody hears
    of the end before the beginning.
    """
    with deps().unit_of_work() as work:
        return present_delivery(deliveries.retry_delivery(work.session, work.events, delivery_id))
