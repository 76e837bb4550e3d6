"""What a view asks of the request it serves: the dependencies, and who is asking."""

from typing import Any, cast

from flask import current_app, g, request

from app.deps import Deps
from app.domain.access import Principal
from app.services.paging import PageRequest

EXTENSION = "tocsin"
LIVE = "tocsin.live"


def deps() -> Deps:
    return cast("Deps", current_app.extensions[EXTENSION])


def principal() -> Principal:
    return cast("Principal", g.principal)


def wants_fresh() -> bool:
    """Whether the request asks for what the database has now (RFC 9111, 5.2.1.4)."""
    return "no-cache" in request.headers.get("Cache-Control", "").lower()


def page_request(query: dict[str, Any]) -> PageRequest:
    """Takes `limit` and `cursor` out of a query; what stays are the filters."""
    return PageRequest(query.pop("limit"), query.pop("cursor"))
