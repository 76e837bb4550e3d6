"""What a view asks of the request it serves: the dependencies, and who is asking."""

from typing import Any, cast

from flask import current_app, g

from app.deps import Deps
from app.domain.access import Principal
from app.domain.cursors import encode_cursor
from app.services.paging import Page, PageRequest

EXTENSION = "tocsin"
LIVE = "tocsin.live"


def deps() -> Deps:
    return cast("Deps", current_app.extensions[EXTENSION])


def principal() -> Principal:
    return cast("Principal", g.principal)


def page_request(query: dict[str, Any]) -> PageRequest:
    """Takes `limit` and `cursor` out of a query; what stays are the filters."""
    return PageRequest(query.pop("limit"), query.pop("cursor"))


def page_answer(page: "Page[Any]", items: list[Any]) -> dict[str, Any]:
    """A list as every list is answered; `items` are the page's, ready to be shown."""
    cursor = None if page.next_before is None else encode_cursor(page.next_before)
    return {"items": items, "total": page.total, "next_cursor": cursor}
