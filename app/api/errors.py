"""Every error in one shape; never a traceback, never HTML."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import Flask, Response, g, jsonify
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from app.adapters.database import is_away
from app.errors import FieldErrors, TocsinError

log = structlog.get_logger(__name__)

DATABASE_RETRY_AFTER_SECONDS = 5


def error_response(status_code: int, detail: str, *, errors: FieldErrors | None = None) -> Response:
    body: dict[str, Any] = {
        "detail": detail,
        "status_code": status_code,
        "timestamp": datetime.now(UTC).isoformat(),
        "request_id": g.get("request_id"),
    }
    if errors is not None:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status_code
    return response


def register(app: Flask) -> None:
    app.register_error_handler(TocsinError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OperationalError, _database_away)
    app.register_error_handler(Exception, _unexpected)


def _ours(error: TocsinError) -> Response:
    response = error_response(error.status_code, error.detail, errors=error.errors)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(error: HTTPException) -> Response:
    """Werkzeug's errors, and webargs' 422 with its messages by location."""
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if isinstance(messages, Mapping):
        fields = flat_messages(next(iter(messages.values()), {}))
        return error_response(status, "Some fields are not valid.", errors=fields)
    response = error_response(status, error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def flat_messages(
    messages: object, path: str = "", *, in_list: bool = False
) -> dict[str, list[str]]:
    """Nested messages as one map: `{"health_check": {"method": […]}}` → `health_check.method`."""
    if isinstance(messages, Mapping):
        found: dict[str, list[str]] = {}
        for name, inner in messages.items():
            # marshmallow tells a map's bad keys from its bad values; who reads, need not. What is
            # called so in an item of a list is a field.
            is_leaf = not isinstance(inner, Mapping)
            of_map = is_leaf and name in {"key", "value"} and path and not in_list
            step = "" if of_map else _legible(str(name))
            below = ".".join(part for part in (path, step) if part)
            found |= flat_messages(inner, below, in_list=isinstance(name, int))
        return found
    texts = messages if isinstance(messages, list) else [messages]
    return {path or "_schema": [str(text) for text in texts]}


def _legible(name: str) -> str:
    """A field's name as the client sent it, in characters that PostgreSQL can hold too."""
    return name.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def _database_away(error: Exception) -> Response:
    log.warning("the database does not serve", action="database_away", error=str(error))
    response = error_response(503, "The database is away or overloaded. Try again soon.")
    response.headers["Retry-After"] = str(DATABASE_RETRY_AFTER_SECONDS)
    return response


def _unexpected(error: Exception) -> Response:
    if is_away(error):
        return _database_away(error)
    log.error("unexpected", action="unexpected_error", exc_info=error)
    return error_response(500, "Something went wrong on our side; the log has it by request_id.")
