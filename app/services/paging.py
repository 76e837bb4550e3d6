"""Pages of a list: newest first, by id, so that inserts shift nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """`next_before` is the last id of this page when there is another, else None."""

    items: list[Item]
    total: int
    next_before: int | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `limit` rows whose id is below `before` (None: from the newest)."""

    limit: int
    before: int | None = None


def paginate(
    session: Session,
    statement: "Select[Item]",
    id_column: "InstrumentedAttribute[int]",
    request: PageRequest,
) -> "Page[Item]":
    """One page of `statement`, which selects one entity and has no order of its own."""
    total = session.scalar(select(func.count()).select_from(statement.order_by(None).subquery()))
    page = statement.order_by(id_column.desc()).limit(request.limit + 1)
    if request.before is not None:
        page = page.where(id_column < request.before)
    rows: list[Any] = list(session.scalars(page))
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    return Page(rows, total or 0, getattr(rows[-1], id_column.key) if more else None)


def page_of_known(items: "Sequence[Item]", request: PageRequest) -> "Page[Item]":
    """One page of a list that is in memory as a whole; places count down as ids do."""
    places = range(len(items), 0, -1)
    ahead = [
        (place, item)
        for place, item in zip(places, items, strict=True)
        if request.before is None or place < request.before
    ]
    shown = ahead[: request.limit]
    more = len(ahead) > request.limit
    return Page([item for _, item in shown], len(items), shown[-1][0] if more else None)
