"""Pages of a list: newest first, by id, so that inserts shift nothing.

How many there are is counted up to a bound and estimated beyond, so that no list reads the whole
of a large table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.domain.cursors import encode_cursor

Item = TypeVar("Item")
Other = TypeVar("Other")

# Counting so many entries of an index takes about a millisecond, and nobody reads on from there.
EXACT_UP_TO = 10_000


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """`next_before` is the last id of this page when there is another, else None.

    A `total` that is not exact is an estimate.
    """

    items: list[Item]
    total: int
    next_before: int | None
    total_is_exact: bool = True

    def showing(self, items: "list[Other]") -> "Page[Other]":
        """The same page with something else made of its items."""
        return Page(items, self.total, self.next_before, self.total_is_exact)


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
    page = statement.order_by(id_column.desc()).limit(request.limit + 1)
    if request.before is not None:
        page = page.where(id_column < request.before)
    rows: list[Any] = list(session.scalars(page))
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    total, is_exact = count(session, statement, id_column)
    last = getattr(rows[-1], id_column.key) if more else None
    return Page(rows, total, last, is_exact)


def count(
    session: Session, statement: "Select[Any]", id_column: "InstrumentedAttribute[int]"
) -> tuple[int, bool]:
    """How many rows there are, and whether that is exact."""
    bounded = statement.with_only_columns(id_column).order_by(id_column.desc())
    found = session.scalar(
        select(func.count()).select_from(bounded.limit(EXACT_UP_TO + 1).subquery())
    )
    if found is None or found <= EXACT_UP_TO:
        return found or 0, True
    return estimate(session, statement), False


def estimate(session: Session, statement: "Select[Any]") -> int:
    """How many rows a statement gives, as the planner thinks; more than are counted."""
    connection = session.connection()
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", compiled.params)
    return max(int(plan.scalar_one()[0]["Plan"]["Plan Rows"]), EXACT_UP_TO + 1)


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


def page_answer(page: "Page[Any]", items: list[Any]) -> dict[str, Any]:
    """A list as every list is answered; `items` are the page's, ready to be shown."""
    cursor = None if page.next_before is None else encode_cursor(page.next_before)
    return {
        "items": items,
        "total": page.total,
        "total_is_exact": page.total_is_exact,
        "next_cursor": cursor,
    }
