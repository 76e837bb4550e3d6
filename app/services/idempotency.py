"""`Idempotency-Key`: whoever repeats a request gets the first answer again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.errors import Conflict
from models import IdempotentRequest

Answer = tuple[int, dict[str, Any]]


def request_hash(body: Mapping[str, Any]) -> str:
    """The same for equal bodies, whatever the order of their fields."""
    canonical = json.dumps(body, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def answer_once(
    session: Session,
    principal: str,
    key: str | None,
    body: Mapping[str, Any],
    answer: Callable[[], Answer],
) -> tuple[Answer, bool]:
    """The answer, and whether it is a replay. Raises Conflict for a key with another body.

    It is kept in the transaction that does the work, so there is never one without the other;
    of two requests at once, the second waits for the first and gets its answer.
    """
    if key is None:
        return answer(), False
    # The key's lock, held to the end of the transaction, makes the second request wait.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"{principal} {key}"},
    )
    hashed = request_hash(body)
    known = session.scalar(
        select(IdempotentRequest).where(
            IdempotentRequest.principal == principal, IdempotentRequest.key == key
        )
    )
    if known is not None:
        if known.request_hash != hashed:
            raise Conflict("This Idempotency-Key was used with another body.")
        return (known.status_code, known.answer), True
    first = answer()
    session.add(
        IdempotentRequest(
            principal=principal,
            key=key,
            request_hash=hashed,
            status_code=first[0],
            answer=first[1],
        )
    )
    return first, False
