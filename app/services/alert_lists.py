"""Lists of alerts, read from where a page begins: what is older or newer costs nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from sqlalchemy.orm import Session

from app.adapters.database import SNAPSHOT
from app.domain.retry import DeliveryStatus
from app.domain.snapshot import Snapshot
from app.services.paging import EXACT_UP_TO, Page, PageRequest
from app.services.telling import ALERT_FIELDS

# Answers with the rows of a statement; parameters are the driver's, `%(name)s`.
Ask = Callable[[str, Mapping[str, Any]], Sequence[tuple[Any, ...]]]

# Without an extension that we can't count on, PostgreSQL has no index for a text in the middle of
# another. So `q` reads so many rows for one page, and the cursor goes on from there.
SEARCHED_ROWS = 20_000
# Ids and `created_at` rise together, but for transactions that go on at the same time and a clock
# that is set back: by as much as this, and nothing is missed.
OUT_OF_ORDER = timedelta(minutes=5)
# A hundred limits with and without each filter would be more; few are in use.
STATEMENTS_KNOWN = 1024
STATUSES = tuple(status.value for status in DeliveryStatus)

_CONDITIONS = {
    "status": "a.status = %(status)s",
    "severity": "a.severity = %(severity)s",
    "source": "a.source = %(source)s",
    "since": "a.created_at >= %(since)s",
    "until": "a.created_at < %(until)s",
    "above": "a.id > %(above)s",
    "below": "a.id < %(below)s",
    "before": "a.id < %(before)s",
}
_SEARCH = "WHERE a.title ILIKE %(q)s OR a.message ILIKE %(q)s"
_FIELDS = ", ".join(f"a.{name}" for name in ALERT_FIELDS)
_COUNTS = ", ".join(f"count(*) FILTER (WHERE d.status = '{one}') AS {one}" for one in STATUSES)
_LAST_BEFORE = (
    "SELECT id FROM pggit.alerts WHERE created_at < %(at)s ORDER BY created_at DESC LIMIT 1"
)
_FIRST_FROM = "SELECT id FROM pggit.alerts WHERE created_at >= %(at)s ORDER BY created_at LIMIT 1"
# The planner's own figure for the whole table: as old as the last vacuum or ANALYZE.
_ALL_ROWS = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'pggit.alerts'::regclass"


@dataclass(frozen=True, slots=True)
class AlertPage:
    """A page whose items are as the API shows them, by which snapshot and when it was read."""

    page: Page[dict[str, Any]]
    snapshot: Snapshot
    now: datetime


def list_alerts(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[dict[str, Any]]:
    """See `page_of_alerts`."""
    connection = session.connection()
    return page_of_alerts(
        lambda statement, values: [
            tuple(row) for row in connection.exec_driver_sql(statement, dict(values))
        ],
        filters,
        request,
    ).page


def page_of_alerts(ask: Ask, filters: Mapping[str, Any], request: PageRequest) -> AlertPage:
    """`filters`: status, severity, source, q (in title or message), since, until.

    With `q` a page can have fewer items than there is room for, and yet not be the last; the total
    is then of what was found among the newest SEARCHED_ROWS.
    """
    values = dict(filters) | _ids_of_times(ask, filters)
    searches = "q" in filters
    names = frozenset(values) - {"q"}
    if searches:
        values["q"] = _containing(filters["q"])
    of_page = names if request.before is None else names | {"before"}
    values_of_page = values | {"before": request.before}
    statement = _page_and_total(of_page, names, request.limit + 1, searches)
    rows = ask(statement, values_of_page)
    snapshot, now, total, estimate, *_first = rows[0]
    # Those come with a row of nulls where the page is empty.
    items = [_shown(row) for row in rows if row[_ID] is not None]
    last = items[request.limit - 1]["id"] if len(items) > request.limit else None
    items = items[: request.limit]
    is_exact = total is not None and total <= EXACT_UP_TO
    if searches:
        last = last or _only(ask(_end_of_search(of_page), values_of_page))
        is_exact = _only(ask(_end_of_search(names), values)) is None
    elif not is_exact:
        total = max(EXACT_UP_TO + 1, estimate or _estimate(ask, names, values))
    page = Page(items, total, last, is_exact)
    return AlertPage(page, Snapshot.parse(snapshot), now)


# Where in a row the alert begins, after what is of the whole list, and the counts begin.
_ALERT = 4
_ID = _ALERT + ALERT_FIELDS.index("id")
_DELIVERIES = _ALERT + len(ALERT_FIELDS)


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    shown = dict(zip(ALERT_FIELDS, row[_ALERT:_DELIVERIES], strict=True))
    shown["deliveries"] = dict(zip(STATUSES, row[_DELIVERIES:], strict=True))
    return shown


def page_statement(*, has_cursor: bool, limit: int) -> str:
    """What a page without filters is read by."""
    return _page_and_total(frozenset({"before"} if has_cursor else ()), frozenset(), limit + 1)


def _ids_of_times(ask: Ask, filters: Mapping[str, Any]) -> dict[str, int]:
    """Between which ids everything is that was created since and until then."""
    found = {}
    if "since" in filters:
        found["above"] = _only(ask(_LAST_BEFORE, {"at": filters["since"] - OUT_OF_ORDER}))
    if "until" in filters:
        found["below"] = _only(ask(_FIRST_FROM, {"at": filters["until"] + OUT_OF_ORDER}))
    return {name: one for name, one in found.items() if one is not None}


def _only(rows: Sequence[tuple[Any, ...]]) -> Any:
    return rows[0][0] if rows else None


def _estimate(ask: Ask, names: frozenset[str], values: Mapping[str, Any]) -> int:
    plan = _only(ask(f"EXPLAIN (FORMAT JSON) SELECT FROM {_matching(names)}", values))
    return int(plan[0]["Plan"]["Plan Rows"])


def _containing(searched: str) -> str:
    """The pattern of LIKE for texts that have this in them, by the letter."""
    return "%" + "".join(f"\\{one}" if one in "\\%_" else one for one in searched) + "%"


def _matching(names: frozenset[str]) -> str:
    conditions = " AND ".join(_CONDITIONS[name] for name in sorted(names)) or "true"
    return f"pggit.alerts a WHERE {conditions}"


def _newest(names: frozenset[str], columns: str, limit: int) -> str:
    return f"SELECT {columns} FROM {_matching(names)} ORDER BY a.id DESC LIMIT {limit}"  # noqa: S608


@lru_cache(STATEMENTS_KNOWN)
def _page_and_total(
    of_page: frozenset[str], of_all: frozenset[str], limit: int, searches: bool = False
) -> str:
    """A page, the counts of its deliveries and the total in one question, with its snapshot.

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
    total, estimate = f"(SELECT count(*) FROM {counted})", "NULL"  # noqa: S608
    if not of_all and not searches:
        # Where the table is far beyond what is counted, PostgreSQL knows without counting.
        estimate = f"({_ALL_ROWS})"
        total = f"CASE WHEN {estimate} < {2 * EXACT_UP_TO} THEN {total} END"
    return f"""
        WITH page AS MATERIALIZED ({page})
        SELECT t.*, a.*, d.*
        FROM (SELECT {SNAPSHOT}, {total} AS count, {estimate} AS reltuples) AS t
        LEFT JOIN page a ON true
        LEFT JOIN LATERAL (
            SELECT {_COUNTS}
            FROM pggit.alert_events e JOIN pggit.deliveries d ON d.event_id = e.id
            WHERE e.alert_id = a.id
        ) AS d ON true
        ORDER BY a.id DESC
        """  # noqa: S608 - constants only


@cache
def _end_of_search(names: frozenset[str]) -> str:
    """The id of the last row that a search reads; no row where there are no more to read."""
    last_two = f"{_newest(names, 'a.id', 2)} OFFSET {SEARCHED_ROWS - 1}"
    return f"SELECT max(a.id) FROM ({last_two}) AS a HAVING count(*) = 2"  # noqa: S608
