"""Health of Tocsin itself, for people, probes and load balancers."""

from datetime import UTC, datetime

from flask import Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

import beat_schedule
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.operations import DeepHealthSchema, HealthSchema
from app.services import status
from app.services.parts import PartStatus

blueprint = Blueprint("health", __name__, url_prefix="/health", description="Is it well?")

_deep = DeepHealthSchema()


def _now() -> str:
    return datetime.now(UTC).isoformat()


@blueprint.get("")
@blueprint.response(200, HealthSchema)
def health() -> Response:
    """The process answers."""
    return jsonify({"status": "healthy", "timestamp": _now()})


@blueprint.get("/live")
@blueprint.response(200, HealthSchema)
def live() -> Response:
    """The process answers; restart it when it doesn't."""
    return jsonify({"status": "healthy", "timestamp": _now()})


@blueprint.get("/ready")
@blueprint.response(200, HealthSchema)
def ready() -> Response:
    """It can serve: the database answers and is migrated. The first time, once this process has
    warmed its cache, or has had five seconds for it.
    """
    try:
        with deps().reading() as session:
            is_ready = status.is_migrated(session)
    except SQLAlchemyError:
        is_ready = False
    retry_after = "5"
    if is_ready:
        is_ready, retry_after = deps().warm_start.is_over(), "1"
    response = jsonify({"status": "healthy" if is_ready else "unavailable", "timestamp": _now()})
    if not is_ready:
        response.status_code = 503
        response.headers["Retry-After"] = retry_after
    return response


@blueprint.get("/deep")
@blueprint.response(200, DeepHealthSchema)
def deep() -> Response:
    """Every part, each with its own status; 503 only without the database."""
    parts = status.look_at_parts(
        deps().database,
        deps().broker,
        deps().cache_redis,
        beat_schedule.LANES,
        calls_out=deps().settings.heartbeat_url is not None,
    )
    whole = status.worst(parts)
    body = {"status": whole, "timestamp": datetime.now(UTC), "checks": parts}
    response = jsonify(_deep.dump(body))
    if whole is PartStatus.UNAVAILABLE:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return response
