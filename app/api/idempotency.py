"""The header `Idempotency-Key`, and how a replay shows."""

from typing import Any, Final

from flask import Response, request

from app.errors import Malformed

MAX_KEY_CHARS: Final = 255
HEADER: Final[dict[str, Any]] = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A repeated request with the same key gets the first answer again.",
    "schema": {"type": "string", "maxLength": MAX_KEY_CHARS},
}


def idempotency_key() -> str | None:
    """Raises Malformed for one that is empty or too long."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        raise Malformed(f"An Idempotency-Key has 1 to {MAX_KEY_CHARS} characters.")
    return key


def marked(response: Response, *, is_replay: bool) -> Response:
    if is_replay:
        response.headers["Idempotent-Replayed"] = "true"
    return response
