"""Around every request: its id, its size limit, its log line, its headers."""

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from app.logs import redact

log = structlog.get_logger(__name__)

MAX_BYTES = 1024 * 1024
MAX_BULK_BYTES = 8 * 1024 * 1024
BULK = frozenset({"alerts.create_alerts"})
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
    log.info(
        "request",
        action="request",
        method=request.method,
        path=redact(request.full_path if request.query_string else request.path),
        status=response.status_code,
        duration_ms=round((time.perf_counter() - g.started) * 1000, 2),
        user=principal.name if principal else None,
        address=request.remote_addr,
    )
    response.headers["X-Request-ID"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def register(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.before_request(begin)
    app.after_request(end)
