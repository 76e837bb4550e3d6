"""All queries by name, and keys read back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from app.errors import NotFound
from app.services.queries import alerts, analytics, dashboard, routing, tokens, webhooks
from app.services.queries.query import Query

ALL = {
    query.name: query
    for module in (alerts, webhooks, routing, analytics, dashboard, tokens)
    for query in module.QUERIES
}
TABLES_READ = frozenset().union(*(query.reads for query in ALL.values()))

# What of the arguments is not a text.
_TYPES: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("limit", "cursor", "id", "alert_id", "webhook_id", "user_id", "step"), int),
    **dict.fromkeys(("since", "until"), datetime.fromisoformat),
    "is_active": lambda text: text == "True",
    "agg": lambda text: text.split(","),
    "labels": lambda text: dict(parse_qsl(text, keep_blank_values=True)),
}


def read_key(key: str) -> tuple[Query, dict[str, Any]]:
    """The query and its arguments, of a key that `Query.key` made. Raises NotFound for others."""
    name, _, given = key.partition("?")
    if name not in ALL:
        raise NotFound(f"There is no query {name!r}.")
    try:
        arguments = {
            name: _TYPES.get(name, str)(text)
            for name, text in parse_qsl(given, keep_blank_values=True, strict_parsing=bool(given))
        }
    except ValueError:
        raise NotFound(f"{key!r} is no key of a query.") from None
    return ALL[name], arguments
