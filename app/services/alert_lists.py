"""Lists of alerts, read from where a page begins: what is older or newer costs nothing."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from app.domain.retry import DeliveryStatus
from app.services.paging import EXACT_UP_TO, Page, PageRequest, estimate
from app.services.telling import ALERT_FIELDS

# Without an extension that we can't count on, PostgreSQL has no index for a text in the middle of
# another. So `q` reads so many rows for one page, and the cursor goes on from there.
SEARCHED_ROWS = 20_000
# Ids and `created_at` rise together, but for transactions that go on at the same time and a clock
# that is set back: by as much as this, and nothing is missed.
OUT_OF_ORDER = timedelta(minutes=5)
# A hundred limits with and without each filter would be more; few are in use.
STATEMENTS_KNOWN = 1024

_CONDITIONS = {
    "status": "a.status = :status",
    "severity": "a.severity = :severity",
    "source": "a.source = :source",
    "since": "a.created_at >= :since",
    "until": "a.created_at < :until",
    "above": "a.id > :above",
    "below": "a.id < :below",
    "before": "a.id < :before",
}
_SEARCH = "WHERE a.title ILIKE :q OR a.message ILIKE :q"
_FIELDS = ", ".join(f"a.{name}" for name in ALERT_FIELDS)
_COUNTS = ", ".join(
    f"count(*) FILTER (WHERE d.status = '{one.value}') AS {one.value}" for one in DeliveryStatus
)
_LAST_BEFORE = text(
    "SELECT id FROM pggit.alerts WHERE created_at < :at ORDER BY created_at DESC LIMIT 1"
)
_FIRST_FROM = text(
    "SELECT id FROM pggit.alerts WHERE created_at >= :at ORDER BY created_at LIMIT 1"
)


def list_alerts(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> "Page[Row[Any]]":
    """`filters`: status, severity, source, q (in title or message), since, until.

    The rows have ALERT_FIELDS, and by status the counts of their deliveries. With `q` a page can
    have fewer than there is room for, and yet not be the last; the total is then of what was found
    among the newest SEARCHED_ROWS.
    """
    values = dict(filters) | _ids_of_times(session, filters)
    searches = "q" in filters
    names = frozenset(values) - {"q"}
    if searches:
        values["q"] = _containing(filters["q"])
    of_page = names if request.before is None else names | {"before"}
    values_of_page = values | {"before": request.before}
    statement = _page_and_total(of_page, names, request.limit + 1, searches)
    rows = session.execute(statement, values_of_page).all()
    total = rows[0].total
    # The total comes with a row of nulls where the page is empty.
    items = [row for row in rows if row.id is not None]
    last = items[request.limit - 1].id if len(items) > request.limit else None
    items = items[: request.limit]
    if searches:
        last = last or session.scalar(_end_of_search(of_page), values_of_page)
        is_exact = session.scalar(_end_of_search(names), values) is None
        return Page(items, total, last, is_exact)
    if total <= EXACT_UP_TO:
        return Page(items, total, last)
    return Page(items, estimate(session, _all(names), values), last, total_is_exact=False)


def _ids_of_times(session: Session, filters: Mapping[str, Any]) -> dict[str, int]:
    """Between which ids everything is that was created since and until then."""
    found = {}
    if "since" in filters:
        found["above"] = session.scalar(_LAST_BEFORE, {"at": filters["since"] - OUT_OF_ORDER})
    if "until" in filters:
        found["below"] = session.scalar(_FIRST_FROM, {"at": filters["until"] + OUT_OF_ORDER})
    return {name: one for name, one in found.items() if one is not None}


def _containing(searched: str) -> str:
    """The pattern of LIKE for texts that have this in them, by the letter."""
    return "%" + "".join(f"\\{one}" if one in "\\%_" else one for one in searched) + "%"


def _newest(names: frozenset[str], columns: str, limit: int) -> str:
    conditions = " AND ".join(_CONDITIONS[name] for name in sorted(names)) or "true"
    return (
        f"SELECT {columns} FROM pggit.alerts a WHERE {conditions}"  # noqa: S608 - constants only
        f" ORDER BY a.id DESC LIMIT {limit}"
    )


@cache
def _all(names: frozenset[str]) -> TextClause:
    conditions = " AND ".join(_CONDITIONS[name] for name in sorted(names)) or "true"
    return text(f"SELECT FROM pggit.alerts a WHERE {conditions}")


@lru_cache(STATEMENTS_KNOWN)
def _page_and_total(
    of_page: frozenset[str], of_all: frozenset[str], limit: int, searches: bool
) -> TextClause:
    """A page, the counts of its deliveries and the total in one question.

    The limit is in the text: with one that it knows only when it is asked, PostgreSQL would plan
    the statement each time, which takes longer than to answer it.
    """
    if searches:
        searched = _newest(of_page, _FIELDS, SEARCHED_ROWS)
        page = f"SELECT a.* FROM ({searched}) AS a {_SEARCH} ORDER BY a.id DESC LIMIT {limit}"  # noqa: S608
        counted = f"({_newest(of_all, _FIELDS, SEARCHED_ROWS)}) AS a {_SEARCH}"
    else:
        page = _newest(of_page, _FIELDS, limit)
        counted = f"({_newest(of_all, 'a.id', EXACT_UP_TO + 1)}) AS a"
    return text(
        f"""
        WITH page AS MATERIALIZED ({page})
        SELECT t.total, a.*, d.*
        FROM (SELECT count(*) AS total FROM {counted}) AS t
        LEFT JOIN page a ON true
        LEFT JOIN LATERAL (
            SELECT {_COUNTS}
            FROM pggit.alert_events e JOIN pggit.deliveries d ON d.event_id = e.id
            WHERE e.alert_id = a.id
        ) AS d ON true
        ORDER BY a.id DESC
        """  # noqa: S608 - constants only
    )


@cache
def _end_of_search(names: frozenset[str]) -> TextClause:
    """The id of the last row that a search reads; no row where there are no more to read."""
    last_two = f"{_newest(names, 'a.id', 2)} OFFSET {SEARCHED_ROWS - 1}"
    return text(f"SELECT max(a.id) FROM ({last_two}) AS a HAVING count(*) = 2")  # noqa: S608
