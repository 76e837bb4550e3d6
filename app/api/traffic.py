"""Traffic: how fast webhooks are told, and the pause for operators."""

from typing import Any

from app.api.context import deps, page_request, principal
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.traffic import (
    HouseChangePage,
    PauseRequestSchema,
    PauseSchema,
    TrafficChangePage,
    TrafficSchema,
    WebhookTrafficSchema,
)
from app.services import traffic, traffic_reports
from app.services.paging import page_answer

blueprint = Blueprint(
    "traffic", __name__, url_prefix="/api/v1", description="How fast webhooks are told"
)


@blueprint.get("/traffic")
@blueprint.response(200, TrafficSchema)
def overview() -> dict[str, Any]:
    """The pause, the backlog and what it makes us refuse, and how many gates are closed."""
    pressure = deps().back_pressure
    with deps().reading() as session:
        return {
            "pause": traffic_reports.current_pause(session),
            "backlog": {
                "undelivered": pressure.undelivered(session),
                "limit": pressure.limit,
                "refused_severities": sorted(pressure.refuses(session)),
            },
            "gates": traffic_reports.gate_counts(session),
        }


@blueprint.put("/traffic/pause")
@blueprint.arguments(PauseRequestSchema)
@blueprint.response(200, PauseSchema)
def pause(data: dict[str, Any]) -> traffic_reports.Pause | None:
    """Deliver nothing until the pause is lifted. What is raised meanwhile waits in the queue."""
    with deps().unit_of_work() as work:
        traffic_reports.pause(work.session, principal().name, data["reason"])
        return traffic_reports.current_pause(work.session)


@blueprint.delete("/traffic/pause")
@blueprint.response(204)
def resume() -> None:
    """Lift the pause."""
    with deps().unit_of_work() as work:
        traffic_reports.resume(work.session, work.events, principal().name)


@blueprint.get("/traffic/history")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, HouseChangePage)
def history(query: dict[str, Any]) -> dict[str, Any]:
    """Pauses, and what back-pressure began or ceased to refuse, the newest first."""
    with deps().reading() as session:
        page = traffic_reports.house_history(session, page_request(query))
    return page_answer(page, page.items)


@blueprint.get("/webhooks/<id:webhook_id>/traffic")
@blueprint.response(200, WebhookTrafficSchema)
def webhook_traffic(webhook_id: int) -> dict[str, Any]:
    """A webhook's gate and pace, and what it is owed."""
    with deps().reading() as session:
        return traffic_reports.webhook_traffic(session, webhook_id)


@blueprint.get("/webhooks/<id:webhook_id>/traffic/history")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TrafficChangePage)
def webhook_traffic_history(query: dict[str, Any], webhook_id: int) -> dict[str, Any]:
    """Every change of a webhook's gate and pace with its reason, the newest first."""
    with deps().reading() as session:
        page = traffic_reports.traffic_history(session, webhook_id, page_request(query))
    return page_answer(page, page.items)


@blueprint.post("/webhooks/<id:webhook_id>/traffic/open")
@blueprint.response(200, WebhookTrafficSchema)
def open_gate(webhook_id: int) -> dict[str, Any]:
    """Open a webhook's gate by hand and lift its pace, without waiting for a trial."""
    with deps().unit_of_work() as work:
        traffic.open_by_hand(work.session, webhook_id)
        return traffic_reports.webhook_traffic(work.session, webhook_id)
