"""Alerts."""

from datetime import timedelta
from typing import Any

from flask import Response, jsonify, request
from marshmallow import ValidationError

from app.api import cached
from app.api.context import deps, principal
from app.api.errors import flat_messages
from app.api.openapi import Blueprint
from app.api.schemas.alerts import (
    AcknowledgeBatchResultSchema,
    AcknowledgeBatchSchema,
    AlertBatchResultSchema,
    AlertBatchSchema,
    AlertCreateSchema,
    AlertPage,
    AlertQuery,
    AlertSchema,
    DeliveryPage,
    DeliveryQuery,
    SnoozeSchema,
)
from app.deps import Work
from app.errors import FieldErrors, Invalid, Malformed
from app.services import alerts, lifecycle, raising
from app.services.back_pressure import refusal
from app.services.idempotency import answer_once
from app.services.presenters.deliveries import present_alert
from app.services.queries import alerts as queries
from app.services.raising import Draft
from models import Alert

blueprint = Blueprint(
    "alerts", __name__, url_prefix="/api/v1/alerts", description="What is to be told"
)

MAX_IDEMPOTENCY_KEY_CHARS = 255
IDEMPOTENCY_HEADER = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A repeated request with the same key gets the first answer again.",
    "schema": {"type": "string", "maxLength": MAX_IDEMPOTENCY_KEY_CHARS},
}
_alert = AlertSchema()
_draft = AlertCreateSchema()
_batch_result = AlertBatchResultSchema()


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise Malformed(f"An Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters.")
    return key


def _raise(work: Work, drafts: list[Draft]) -> list[tuple[Alert, bool]]:
    return raising.raise_alerts(
        work.session,
        work.now,
        work.events,
        drafts,
        principal().name,
        deps().settings.retry_schedule_seconds,
    )


def _shown(work: Work, alert: Alert) -> dict[str, Any]:
    counts = alerts.delivery_counts(work.session, [alert.id])
    return present_alert(alert, counts.get(alert.id, {}))


def _replayed(answer: tuple[int, dict[str, Any]], replay: bool) -> Response:
    response = jsonify(answer[1])
    response.status_code = answer[0]
    if replay:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@blueprint.post("")
@blueprint.arguments(AlertCreateSchema)
@blueprint.doc(parameters=[IDEMPOTENCY_HEADER])
@blueprint.response(201, AlertSchema)
@blueprint.alt_response(200, schema=AlertSchema, description="Open already: its count is raised")
@blueprint.alt_response(409, description="The Idempotency-Key was used with another body")
@blueprint.alt_response(503, description="Too much waits to be delivered, or no database")
def create_alert(data: dict[str, Any]) -> Response:
    """Raise an alert. A 201 means that it and its deliveries are committed."""
    draft = Draft(**data)
    with deps().unit_of_work() as work:

        def answer() -> tuple[int, dict[str, Any]]:
            deps().back_pressure.check(work.session, draft.severity)
            unknown = raising.unknown_targets(work.session, draft.webhook_ids or ())
            raising.check_draft(unknown, draft, work.now)
            ((alert, is_new),) = _raise(work, [draft])
            return 201 if is_new else 200, _alert.dump(_shown(work, alert))

        answered = answer_once(work.session, principal().key, _idempotency_key(), data, answer)
    return _replayed(*answered)


@blueprint.post("/batch")
@blueprint.arguments(AlertBatchSchema)
@blueprint.doc(parameters=[IDEMPOTENCY_HEADER])
@blueprint.response(201, AlertBatchResultSchema)
@blueprint.alt_response(207, schema=AlertBatchResultSchema, description="Some were refused")
@blueprint.alt_response(409, description="The Idempotency-Key was used with another body")
def create_alerts(data: dict[str, Any]) -> Response:
    """Raise up to 1,000 alerts. A bad one doesn't stop the others."""
    drafts: dict[int, Draft] = {}
    errors: dict[int, FieldErrors] = {}
    for index, raw in enumerate(data["alerts"]):
        try:
            drafts[index] = Draft(**_draft.load(raw))
        except ValidationError as error:
            errors[index] = flat_messages(error.messages)
    with deps().unit_of_work() as work:

        def answer() -> tuple[int, dict[str, Any]]:
            refused = deps().back_pressure.refuses(work.session)
            for index, draft in list(drafts.items()):
                if draft.severity in refused:
                    errors[index] = {"severity": [refusal(draft.severity)]}
                    del drafts[index]
            unknown = raising.unknown_targets(
                work.session,
                (target for draft in drafts.values() for target in draft.webhook_ids or ()),
            )
            for index, draft in list(drafts.items()):
                try:
                    raising.check_draft(unknown, draft, work.now)
                except Invalid as error:
                    errors[index] = error.errors or {}
                    del drafts[index]
            raised = _raise(work, list(drafts.values()))
            result = {
                "created": [
                    {"index": index, "id": alert.id}
                    for index, (alert, _is_new) in zip(drafts, raised, strict=True)
                ],
                "errors": [{"index": index, "errors": errors[index]} for index in sorted(errors)],
            }
            return 207 if errors else 201, _batch_result.dump(result)

        answered = answer_once(work.session, principal().key, _idempotency_key(), data, answer)
    return _replayed(*answered)


@blueprint.get("")
@blueprint.arguments(AlertQuery, location="query")
@blueprint.response(200, AlertPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_alerts(query: dict[str, Any]) -> Response:
    """Alerts, the newest first."""
    return cached.answer(queries.ALERT_LIST, query)


@blueprint.get("/<id:alert_id>")
@blueprint.response(200, AlertSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_alert(alert_id: int) -> Response:
    """One alert."""
    return cached.answer(queries.ALERT, {"id": alert_id})


@blueprint.get("/<id:alert_id>/deliveries")
@blueprint.arguments(DeliveryQuery, location="query")
@blueprint.response(200, DeliveryPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_alert_deliveries(query: dict[str, Any], alert_id: int) -> Response:
    """Who was told of an alert, or is to be told, with every attempt."""
    return cached.answer(queries.ALERT_DELIVERIES, query | {"alert_id": alert_id})


@blueprint.post("/<id:alert_id>/acknowledge")
@blueprint.response(200, AlertSchema)
def acknowledge_alert(alert_id: int) -> dict[str, Any]:
    """Acknowledge an alert. Twice is no error."""
    with deps().unit_of_work() as work:
        alert, _changed = lifecycle.acknowledge(
            work.session, work.now, work.events, alert_id, principal().name
        )
        return _shown(work, alert)


@blueprint.post("/<id:alert_id>/resolve")
@blueprint.response(200, AlertSchema)
def resolve_alert(alert_id: int) -> dict[str, Any]:
    """Resolve an alert. Twice is no error."""
    with deps().unit_of_work() as work:
        alert, _changed = lifecycle.resolve(
            work.session, work.now, work.events, alert_id, principal().name
        )
        return _shown(work, alert)


@blueprint.post("/<id:alert_id>/snooze")
@blueprint.arguments(SnoozeSchema)
@blueprint.response(200, AlertSchema)
def snooze_alert(data: dict[str, Any], alert_id: int) -> dict[str, Any]:
    """Tell nobody of an alert for a while; then those who were told are reminded, once.

    Snoozing again moves the end. Acknowledging or resolving ends it. What is acknowledged or
    resolved already is not changed.
    """
    with deps().unit_of_work() as work:
        until = data.get("until") or work.now + timedelta(minutes=data["minutes"])
        if until <= work.now:
            raise Invalid({"until": ["Must be in the future."]})
        alert = lifecycle.snooze(
            work.session, work.now, work.events, alert_id, until, principal().name
        )
        return _shown(work, alert)


@blueprint.post("/<id:alert_id>/unsnooze")
@blueprint.response(200, AlertSchema)
def unsnooze_alert(alert_id: int) -> dict[str, Any]:
    """End a snooze early. Without one it changes nothing."""
    with deps().unit_of_work() as work:
        return _shown(work, lifecycle.unsnooze(work.session, work.now, work.events, alert_id))


@blueprint.post("/acknowledge-batch")
@blueprint.arguments(AcknowledgeBatchSchema)
@blueprint.response(200, AcknowledgeBatchResultSchema)
def acknowledge_alerts(data: dict[str, list[int]]) -> dict[str, list[int]]:
    """Acknowledge many alerts."""
    with deps().unit_of_work() as work:
        return lifecycle.acknowledge_batch(
            work.session, work.now, work.events, data["alert_ids"], principal().name
        )
