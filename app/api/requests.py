"""Around every request: its id, its size limit, its log line, its headers."""

import re
import time
import uuid
from functools import cache

import structlog
from flask import Flask, Response, g, request

from app.api.context import deps
from app.api.openapi import openapi_path
from app.domain.samples import Series
from app.logs import redact
from app.services.meter import API_LATENCY, API_RESPONSES

log = structlog.get_logger(__name__)

MAX_BYTES = 1024 * 1024
MAX_BULK_BYTES = 8 * 1024 * 1024
BULK = frozenset({"alerts.create_alerts", "metrics.take_in_samples", "integrations.alertmanager"})
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
    g.started = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if request.endpoint in BULK:
        request.max_content_length = MAX_BULK_BYTES


def end(response: Response) -> Response:
    principal = g.get("principal")
    duration_ms = (time.perf_counter() - g.started) * 1000
    route = request.url_rule.rule if request.url_rule else None
    deps().meter.note(_series(route, request.method if route else ""), [duration_ms])
    deps().meter.count(_responses(response.status_code // 100))
    log.info(
        "request",
        action="request",
        method=request.method,
        path=redact(request.full_path if request.query_string else request.path),
        status=response.status_code,
        duration_ms=round(duration_ms, 2),
        user=principal.name if principal else None,
        address=request.remote_addr,
    )
    response.headers["X-Request-ID"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@cache
def _responses(hundreds: int) -> Series:
    return Series(API_RESPONSES, (("status", f"{hundreds}xx"),))


@cache
def _series(route: str | None, method: str) -> Series:
    """Of a request's latency. There are as many as operations: of what matches no route, a client
    could make up any number."""
    if route is None:
        return Series(API_LATENCY, (("route", "unknown"),))
    return Series(API_LATENCY, (("method", method), ("route", openapi_path(route))))


def register(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.before_request(begin)
    app.after_request(end)
