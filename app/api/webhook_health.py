"""The health of webhooks: how they are and were, and a check by hand."""

from typing import Any

from flask import Response

from app.adapters.http import fetch
from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.webhooks import (
    BadgeQuery,
    CheckPage,
    CheckSchema,
    HistoryQuery,
    TimelineQuery,
    TimelineSchema,
    WebhookHealthSchema,
)
from app.domain.badge import status_badge, uptime_badge
from app.errors import Conflict
from app.services import health_checks, health_reports
from app.services.check_plans import Plans
from app.services.health_records import record
from app.services.presenters.webhooks import present_check
from app.services.queries import webhooks as queries

blueprint = Blueprint(
    "webhook-health",
    __name__,
    url_prefix="/api/v1/webhooks",
    description="How webhooks are doing",
)


@blueprint.get("/<id:webhook_id>/health")
@blueprint.response(200, WebhookHealthSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_health(webhook_id: int) -> Response:
    """A webhook's health, with latencies and uptime.

    Uptime is the part of the checks that did not fail, to the hour; checks in a maintenance window
    are left out, and so are those while a webhook that this one depends on was unavailable.
    """
    return cached.answer(queries.HEALTH, {"id": webhook_id})


@blueprint.get("/<id:webhook_id>/health/history")
@blueprint.arguments(HistoryQuery, location="query")
@blueprint.response(200, CheckPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_health_history(query: dict[str, Any], webhook_id: int) -> Response:
    """A webhook's checks, the newest first."""
    return cached.answer(queries.HEALTH_HISTORY, query | {"id": webhook_id})


@blueprint.get("/<id:webhook_id>/health/timeline")
@blueprint.arguments(TimelineQuery, location="query")
@blueprint.response(200, TimelineSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_health_timeline(query: dict[str, Any], webhook_id: int) -> Response:
    """A webhook's checks in steps of time, the oldest first; where there were none is a gap.

    At most 2,000 steps. Steps under 5 minutes are kept for 2 days, under an hour for 8 days, others
    for 400 days.
    """
    return cached.answer(queries.HEALTH_TIMELINE, query | {"id": webhook_id})


@blueprint.get("/<id:webhook_id>/badge.svg")
@blueprint.arguments(BadgeQuery, location="query")
@blueprint.response(
    200, {"type": "string"}, content_type="image/svg+xml", description="A small SVG"
)
def get_badge(query: dict[str, Any], webhook_id: int) -> Response:
    """A badge with a webhook's status, or its uptime, for pages that show images.

    Where no header can be set, `?token=` takes an API key; give it one of a viewer.
    """
    with deps().reading() as session:
        badge = health_reports.badge(session, webhook_id)
    svg = (
        uptime_badge(badge.name, query["window"], badge.uptimes[query["window"]])
        if query["show"] == "uptime"
        else status_badge(badge.name, badge.health_status, is_active=badge.is_active)
    )
    return Response(svg, mimetype="image/svg+xml", headers=BADGE_HEADERS)


# Opened as a page of its own it could run scripts, if one ever came to be in it.
BADGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


@blueprint.post("/<id:webhook_id>/check")
@blueprint.response(200, CheckSchema)
@blueprint.alt_response(409, description="Another checker took this check over")
def check_now(webhook_id: int) -> dict[str, Any]:
    """Check a webhook now; it counts like any check.

    A failure that would make it unavailable is confirmed by a second check at once, whose result
    this is then.
    """
    settings, guard = deps().settings, deps().guard
    plans = Plans(deps().cipher, settings.request_timeout_seconds)
    with deps().unit_of_work() as work:
        check = health_checks.claim_one(work.session, plans, webhook_id)
    # No transaction is open while the receiver thinks.
    result = health_checks.judge_response(check, fetch(guard, check.request))
    if result.wants_confirmation:
        result = health_checks.confirm(result, fetch(guard, check.request))
    with deps().unit_of_work() as work:
        recorded = record(
            work.session, work.now, work.events, [result], settings.retry_schedule_seconds
        )
        if not recorded:
            raise Conflict("Another checker took this check over; see its result.")
        row = health_reports.latest_check(work.session, webhook_id)
    return present_check(row)
