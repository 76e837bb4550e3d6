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
from app.services.meter import API_LATENCY, API_RESPONSES, Meter

log = structlog.get_logger(__name__)

MAX_BYTES = 1024 * 1024
MAX_BULK_BYTES = 8 * 1024 * 1024
BULK = frozenset({"alerts.create_alerts", "metrics.take_in_samples", "integrations.alertmanager"})
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def known_by(given: str | None) -> str:
    """The id of a request from now on, in its log lines too: as given, or a new one."""
    request_id = given if given and _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def begin() -> None:
    g.request_id = known_by(request.headers.get("X-Request-ID"))
    g.started = time.perf_counter()
    if request.endpoint in BULK:
        request.max_content_length = MAX_BULK_BYTES


def note(
    meter: Meter,
    route: str | None,
    method: str,
    path: str,
    status: int,
    duration_ms: float,
    user: str | None,
    address: str | None,
) -> None:
    """A request is answered: its metrics and its line in the log, where secrets are taken out."""
    meter.note(_series(route, method if route else ""), [duration_ms])
    meter.count(_responses(status // 100))
    log.info(
        "request",
        action="request",
        method=method,
        path=path,
        status=status,
        duration_ms=round(duration_ms, 2),
        user=user,
        address=address,
    )


def end(response: Response) -> Response:
    principal = g.get("principal")
    note(
        deps().meter,
        request.url_rule.rule if request.url_rule else None,
        request.method,
        request.full_path if request.query_string else request.path,
        response.status_code,
        (time.perf_counter() - g.started) * 1000,
        principal.name if principal else None,
        request.remote_addr,
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
