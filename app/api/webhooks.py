"""Webhooks."""

from collections.abc import Sequence
from typing import Any

from flask import Response

from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.alerts import DeliveryPage, DeliveryQuery
from app.api.schemas.webhooks import (
    CHECK_DEFAULTS,
    DEFAULTS,
    PingSchema,
    RotatedSecretSchema,
    WebhookChangeSchema,
    WebhookCreateSchema,
    WebhookPage,
    WebhookQuery,
    WebhookSchema,
    WebhookWithSecretSchema,
)
from app.domain.egress import EgressRefused
from app.errors import Invalid
from app.services import webhooks
from app.services.delivery import Ping, ping
from app.services.dependencies import settle
from app.services.messages import Targets
from app.services.presenters.webhooks import present_webhook
from app.services.queries import webhooks as queries
from app.services.queries.alerts import WEBHOOK_DELIVERIES

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
    if data.get("depends_on"):
        view = _settled(view.row.id)
    return present_webhook(view) | {"secret": secret}


@blueprint.get("")
@blueprint.arguments(WebhookQuery, location="query")
@blueprint.response(200, WebhookPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_webhooks(query: dict[str, Any]) -> Response:
    """All webhooks, the newest first."""
    return cached.answer(queries.WEBHOOK_LIST, query)


@blueprint.get("/<id:webhook_id>")
@blueprint.response(200, WebhookSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_webhook(webhook_id: int) -> Response:
    """One webhook."""
    return cached.answer(queries.WEBHOOK, {"id": webhook_id})


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
    if "depends_on" in changes or "is_active" in changes:
        view = _settled(webhook_id)
    return present_webhook(view)


def _settled(webhook_id: int) -> webhooks.WebhookView:
    _settle([webhook_id])
    with deps().reading() as session:
        return webhooks.get_webhook(session, deps().cipher, webhook_id)


def _settle(webhook_ids: Sequence[int]) -> None:
    """In a transaction of its own: it locks the health of others, and they may wait for ours. Where
    it does not come to that, the upkeep of the next minute does it."""
    with deps().unit_of_work() as work:
        settle(work.session, work.now, work.events, webhook_ids)


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
        dependents = webhooks.delete_webhook(work.session, work.now, webhook_id)
    if dependents:
        _settle(dependents)


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
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_webhook_deliveries(query: dict[str, Any], webhook_id: int) -> Response:
    """What a webhook was told, or is to be told, the newest first."""
    return cached.answer(WEBHOOK_DELIVERIES, query | {"webhook_id": webhook_id})
