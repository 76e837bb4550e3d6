"""Neighbours: what others send us in a form of their own."""

from typing import Any

import structlog
from flask import Response, jsonify
from marshmallow import ValidationError

from app.api.context import deps, principal
from app.api.errors import flat_messages
from app.api.openapi import Blueprint
from app.api.schemas.integrations import (
    AlertmanagerAlertSchema,
    AlertmanagerResultSchema,
    AlertmanagerSchema,
)
from app.domain.alertmanager import (
    MAX_LABEL_CHARS,
    Notice,
    cut,
    message_of,
    severity_of,
    title_of,
)
from app.domain.back_pressure import RETRY_AFTER_SECONDS
from app.errors import FieldErrors, Invalid, Unavailable
from app.services import alertmanager as service
from app.services.back_pressure import refusal

blueprint = Blueprint(
    "integrations", __name__, url_prefix="/api/v1/integrations", description="Neighbours"
)
log = structlog.get_logger(__name__)

# A transaction for so many: a large group must hold no locks for long.
CHUNK = 100
_alert = AlertmanagerAlertSchema()


def _notice(raw: Any) -> Notice:
    """Raises ValidationError."""
    data = _alert.load(raw)
    labels: dict[str, str] = data["labels"]
    return Notice(
        fingerprint=data["fingerprint"],
        starts_at=data["starts_at"],
        ends_at=_end_of(data),
        title=title_of(labels, data["annotations"]),
        message=message_of(data["annotations"], data["generator_url"]),
        severity=severity_of(labels),
        labels={name: cut(value, MAX_LABEL_CHARS) for name, value in labels.items()},
    )


def _end_of(data: dict[str, Any]) -> Any:
    """Of a firing alert it is in the year 1, or a time at which it would be taken for over."""
    if data["status"] == "firing":
        return None
    return data["ends_at"] or data["starts_at"]


@blueprint.post("/alertmanager")
@blueprint.arguments(AlertmanagerSchema)
@blueprint.response(200, AlertmanagerResultSchema)
@blueprint.alt_response(207, schema=AlertmanagerResultSchema, description="Some were refused")
@blueprint.alt_response(503, description="Too much waits to be delivered, or no database")
def alertmanager(data: dict[str, Any]) -> Response:
    """Take in what Prometheus Alertmanager tells (its webhook, version 4).

    Each firing alert becomes one of ours, once, however often it is told; its end resolves it. A
    bad one doesn't stop the others. With none that is good the answer is 422, and Alertmanager says
    so in its log. After a 503 it tries again, and what was taken in before stays as it is.
    """
    notices: dict[int, Notice] = {}
    errors: dict[int, FieldErrors] = {}
    for index, raw in enumerate(data["alerts"]):
        try:
            notices[index] = _notice(raw)
        except ValidationError as error:
            errors[index] = flat_messages(error.messages)
    if errors:
        log.warning(
            "alerts of Alertmanager refused",
            action="alertmanager_refused",
            group=data["group_key"],
            errors=dict(list(errors.items())[:10]),
        )
    if errors and not notices:
        raise Invalid(
            {
                f"alerts.{index}.{name}": texts
                for index, found in errors.items()
                for name, texts in found.items()
            }
        )
    if data["truncated_alerts"]:
        log.warning(
            "Alertmanager left alerts out",
            action="alertmanager_truncated",
            group=data["group_key"],
            alerts=data["truncated_alerts"],
        )
    results = _take_in(list(notices.values()))
    taken = [
        {
            "index": index,
            "fingerprint": notice.fingerprint,
            "became": results[notice.key].became,
            "id": results[notice.key].alert_id,
        }
        for index, notice in notices.items()
    ]
    response = jsonify(
        {
            "alerts": taken,
            "errors": [{"index": index, "errors": errors[index]} for index in sorted(errors)],
        }
    )
    response.status_code = 207 if errors else 200
    return response


def _take_in(notices: list[Notice]) -> dict[service.Key, service.Result]:
    """Raises Unavailable, when all others are taken in, where some are refused for now."""
    results: dict[service.Key, service.Result] = {}
    refused: set[str] = set()
    for start in range(0, len(notices), CHUNK):
        with deps().unit_of_work() as work:
            too_low = deps().back_pressure.refuses(work.session)
            chunk = notices[start : start + CHUNK]
            now = [one for one in chunk if one.ends_at is not None or one.severity not in too_low]
            refused |= {one.severity for one in chunk if one not in now}
            results |= service.take_in(
                work.session,
                work.now,
                work.events,
                now,
                principal().name,
                deps().settings.retry_schedule_seconds,
            )
    if refused:
        raise Unavailable(refusal(min(refused)), retry_after_seconds=RETRY_AFTER_SECONDS)
    return results
