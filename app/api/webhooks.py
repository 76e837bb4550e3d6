"""Webhooks."""

from typing import Any

from app.adapters.http import fetch
from app.api.context import deps, page_answer, page_request
from app.api.openapi import Blueprint
from app.api.presenters import present_delivery, present_webhook
from app.api.schemas.alerts import DeliveryPage, DeliveryQuery
from app.api.schemas.webhooks import (
    CHECK_DEFAULTS,
    DEFAULTS,
    CheckPage,
    CheckSchema,
    HistoryQuery,
    PingSchema,
    RotatedSecretSchema,
    WebhookChangeSchema,
    WebhookCreateSchema,
    WebhookHealthSchema,
    WebhookPage,
    WebhookQuery,
    WebhookSchema,
    WebhookWithSecretSchema,
)
from app.domain.egress import EgressRefused
from app.errors import Conflict, Invalid
from app.services import deliveries, health_checks, health_reports, webhooks
from app.services.delivery import Ping, ping
from app.services.messages import Targets

blueprint = Blueprint(
    "webhooks", __name__, url_prefix="/api/v1/webhooks", description="Where alerts go"
)


def _check_url(data: dict[str, Any]) -> None:
    """What must not be dialled is not registered; the dial itself is checked anyway."""
    if "url" not in data:
        return
    try:
        deps().guard.check_url(data["url"])
    except EgressRefused as refusal:
        raise Invalid({"url": [str(refusal)]}) from None


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    return {**DEFAULTS, **data, "health_check": CHECK_DEFAULTS | data.get("health_check", {})}


@blueprint.post("")
@blueprint.arguments(WebhookCreateSchema)
@blueprint.response(201, WebhookWithSecretSchema)
def create_webhook(data: dict[str, Any]) -> dict[str, Any]:
    """Register a webhook. Its secret is shown this once."""
    _check_url(data)
    with deps().unit_of_work() as work:
        view, secret = webhooks.create_webhook(
            work.session, work.events, deps().cipher, _with_defaults(data)
        )
    return present_webhook(view) | {"secret": secret}


@blueprint.get("")
@blueprint.arguments(WebhookQuery, location="query")
@blueprint.response(200, WebhookPage)
def list_webhooks(query: dict[str, Any]) -> dict[str, Any]:
    """All webhooks, the newest first."""
    request = page_request(query)
    with deps().reading() as session:
        page = webhooks.list_webhooks(session, deps().cipher, query, request)
    return page_answer(page, [present_webhook(view) for view in page.items])


@blueprint.get("/<id:webhook_id>")
@blueprint.response(200, WebhookSchema)
def get_webhook(webhook_id: int) -> dict[str, Any]:
    """One webhook."""
    with deps().reading() as session:
        return present_webhook(webhooks.get_webhook(session, deps().cipher, webhook_id))


@blueprint.put("/<id:webhook_id>")
@blueprint.arguments(WebhookCreateSchema)
@blueprint.response(200, WebhookSchema)
def replace_webhook(data: dict[str, Any], webhook_id: int) -> dict[str, Any]:
    """Replace a webhook: what is left out gets its default. The secret stays."""
    return _change(webhook_id, _with_defaults(data))


@blueprint.patch("/<id:webhook_id>")
@blueprint.arguments(WebhookChangeSchema)
@blueprint.response(200, WebhookSchema)
def change_webhook(changes: dict[str, Any], webhook_id: int) -> dict[str, Any]:
    """Change some fields of a webhook."""
    return _change(webhook_id, changes)


def _change(webhook_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    _check_url(changes)
    with deps().unit_of_work() as work:
        view = webhooks.change_webhook(
            work.session, work.now, work.events, deps().cipher, webhook_id, changes
        )
    return present_webhook(view)


@blueprint.post("/<id:webhook_id>/enable")
@blueprint.response(200, WebhookSchema)
def enable_webhook(webhook_id: int) -> dict[str, Any]:
    """Make a webhook active again: it is checked, and what it is owed goes out, gently at first.

    The same as a PATCH of `is_active`. For one that is active it changes nothing.
    """
    return _change(webhook_id, {"is_active": True})


@blueprint.delete("/<id:webhook_id>")
@blueprint.response(204)
def delete_webhook(webhook_id: int) -> None:
    """Delete a webhook: what it is still owed is cancelled, its history stays."""
    with deps().unit_of_work() as work:
        webhooks.delete_webhook(work.session, work.now, webhook_id)


@blueprint.get("/<id:webhook_id>/health")
@blueprint.response(200, WebhookHealthSchema)
def get_health(webhook_id: int) -> dict[str, Any]:
    """A webhook's health, with latencies and uptime."""
    with deps().reading() as session:
        report = health_reports.health_report(session, webhook_id)
    row = report.row
    return {
        "webhook_id": row.webhook_id,
        "health_status": row.health_status,
        "consecutive_failures": row.consecutive_failures,
        "latency_p50_ms": report.latency_p50_ms,
        "latency_p95_ms": report.latency_p95_ms,
        "latency_p99_ms": report.latency_p99_ms,
        "uptime_24h": report.uptime_24h,
        "uptime_7d": report.uptime_7d,
        "uptime_30d": report.uptime_30d,
        "last_check_at": row.last_check_at,
        "next_check_at": row.next_check_at,
        "changed_at": row.changed_at,
        "certificate_expires_at": row.certificate_expires_at,
    }


@blueprint.get("/<id:webhook_id>/health/history")
@blueprint.arguments(HistoryQuery, location="query")
@blueprint.response(200, CheckPage)
def get_health_history(query: dict[str, Any], webhook_id: int) -> dict[str, Any]:
    """A webhook's checks, the newest first."""
    request = page_request(query)
    with deps().reading() as session:
        page = health_reports.health_history(session, webhook_id, query, request)
    return page_answer(page, page.items)


@blueprint.post("/<id:webhook_id>/check")
@blueprint.response(200, CheckSchema)
@blueprint.alt_response(409, description="Another checker took this check over")
def check_now(webhook_id: int) -> dict[str, Any]:
    """Check a webhook now; it counts like any check."""
    settings = deps().settings
    with deps().unit_of_work() as work:
        check = health_checks.claim_one(
            work.session, deps().cipher, webhook_id, settings.request_timeout_seconds
        )
    # No transaction is open while the receiver thinks.
    result = health_checks.judge_response(check, fetch(deps().guard, check.request))
    with deps().unit_of_work() as work:
        recorded = health_checks.record(
            work.session, work.now, work.events, [result], settings.retry_schedule_seconds
        )
        if not recorded:
            raise Conflict("Another checker took this check over; see its result.")
        checked_at = work.now
    return {
        "webhook_id": webhook_id,
        "checked_at": checked_at,
        "outcome": result.verdict.outcome,
        "reason": result.verdict.reason,
        "http_status": result.http_status,
        "latency_ms": result.latency_ms,
        "error": result.error,
        "health_status": result.health.status,
    }


@blueprint.post("/<id:webhook_id>/test")
@blueprint.response(200, PingSchema)
def test(webhook_id: int) -> Ping:
    """Send a signed `webhook.ping` now and answer with what came of it."""
    settings = deps().settings
    targets = Targets(
        deps().cipher, settings.request_timeout_seconds, settings.retry_schedule_seconds
    )
    return ping(deps().database, deps().clock, deps().guard, targets, webhook_id)


@blueprint.post("/<id:webhook_id>/rotate-secret")
@blueprint.response(200, RotatedSecretSchema)
def rotate_secret(webhook_id: int) -> dict[str, Any]:
    """A new secret. For 24 hours the old one signs beside it."""
    with deps().unit_of_work() as work:
        secret, until = webhooks.rotate_secret(work.session, work.now, deps().cipher, webhook_id)
    return {"secret": secret, "previous_secret_expires_at": until}


@blueprint.get("/<id:webhook_id>/deliveries")
@blueprint.arguments(DeliveryQuery, location="query")
@blueprint.response(200, DeliveryPage)
def list_webhook_deliveries(query: dict[str, Any], webhook_id: int) -> dict[str, Any]:
    """What a webhook was told, or is to be told, the newest first."""
    request = page_request(query)
    with deps().reading() as session:
        webhooks.get_row(session, webhook_id)
        page = deliveries.list_deliveries(session, query | {"webhook_id": webhook_id}, request)
    return page_answer(page, [present_delivery(view) for view in page.items])
