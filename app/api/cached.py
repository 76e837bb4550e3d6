"""Answers of declared queries: their bytes as they are, with what lets a client ask again cheaply.

`ETag` is of the bytes. `Cache-Control: private, no-cache` has a browser keep an answer and ask each
time whether it still is the one (304); `Age` says how old it is. A request with `Cache-Control:
no-cache` has it read from the database.
"""

from flask import Response, g, request

from app.adapters.cache.entry import Answer
from app.api.context import deps, wants_fresh
from app.services.queries.query import Arguments, Query

KEEP_AND_ASK = "private, no-cache"
# For the OpenAPI document.
UNCHANGED = "If-None-Match has its ETag: nothing has changed"
# RFC 7234, 5.5.1; it comes with answers that are older than they should be, while PostgreSQL is
# away.
STALE_WARNING = '110 tocsin "Response is Stale"'


def answer(query: Query, arguments: Arguments) -> Response:
    """The response for a query: 200, or 304 where the client has it already. Raises NotFound."""
    found = deps().reader.get(query, arguments, fresh=wants_fresh())
    g.from_cache = query, arguments  # for app.api.short_way
    entry = found.entry
    headers = headers_of(found)
    if _has_already(entry.etag):
        return Response(status=304, headers=headers)
    return Response(entry.body, 200, headers, mimetype="application/json")


def headers_of(found: Answer) -> list[tuple[str, str]]:
    """What is said of an answer beside it."""
    headers = [
        ("ETag", found.entry.etag),
        ("Cache-Control", KEEP_AND_ASK),
        ("Age", str(int(found.age))),
    ]
    if found.is_stale:
        headers.append(("Warning", STALE_WARNING))
    return headers


def _has_already(etag: str) -> bool:
    """By RFC 9110, 13.1.2: `*`, or a list of tags of which one is the same, be it weak."""
    given = request.headers.get("If-None-Match")
    if given is None:
        return False
    if given.strip() == "*":
        return True
    return etag in (tag.strip().removeprefix("W/") for tag in given.split(","))
