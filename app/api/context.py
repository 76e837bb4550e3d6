"""What a view asks of the request it serves: the dependencies, and who is asking."""

from typing import Any, cast

from flask import current_app, g

from app.deps import Deps
from app.domain.access import Principal
from app.services.paging import PageRequest

EXTENSION = "tocsin"


def deps() -> Deps:
    return cast("Deps", current_app.extensions[EXTENSION])


def principal() -> Principal:
    return cast("Principal", g.principal)


def page_request(query: dict[str, Any]) -> PageRequest:
    """Takes `limit` and `cursor` out of a query; what stays are the filters."""
    return PageRequest(query.pop("limit"), query.pop("cursor"))
