"""Lists read no more than a page and its count, however long they are.

A million rows as the planner sees them: far fewer, spread thin over many pages, with the counts of
a million in the statistics. Pages that are fewer than a million rows take make reading all of them
look cheaper than it is, so the test is the stricter. To write a million would take a minute.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from app.adapters.database import Database
from app.adapters.embedded import Servers
from app.services import alert_lists, deliveries
from app.services.paging import EXACT_UP_TO, Page, PageRequest
from tests.services.conftest import TEMPLATE, _another

DATABASE = "tocsin_lists"
ROWS = 30_000
TOLD = 1_000_000
LARGE = ("alerts", "alert_events", "alert_delivery_history", "alert_delivery_queue")
NOW = datetime.now(UTC)

_SPREAD = [f"ALTER TABLE pggit.{table} SET (fillfactor = 10)" for table in LARGE]
_FILL = [
    # In the order of time, a second apart; one in a hundred open, the newest among them.
    f"""
    INSERT INTO pggit.alerts (title, severity, source, status, created_by, created_at)
    SELECT 'alert ' || i, (ARRAY['info', 'warning', 'critical'])[1 + i % 3], 'source-' || i % 50,
        CASE i % 100 WHEN 0 THEN 'pending' WHEN 1 THEN 'acknowledged' ELSE 'resolved' END, 'x',
        now() - ({ROWS} - i) * interval '10 seconds'
    FROM generate_series(1, {ROWS}) i
    """,  # noqa: S608 - numbers of ours
    "INSERT INTO pggit.alert_events (alert_id, type, body)"
    " SELECT id, 'alert.firing', '{}' FROM pggit.alerts",
    """
    INSERT INTO pggit.alert_delivery_history (id, event_id, webhook_id, webhook_message_id, status,
        attempts_made, created_at, finished_at)
    SELECT id, id, 1 + id % 100, 'msg_' || id, 'delivered', 1, now(), now()
    FROM pggit.alert_events WHERE id % 10 <> 0
    """,
    """
    INSERT INTO pggit.alert_delivery_queue (id, event_id, webhook_id, status, attempts_made)
    OVERRIDING SYSTEM VALUE
    SELECT id, id, 1 + id % 100, CASE id % 1000 WHEN 0 THEN 'pending' WHEN 10 THEN 'retrying'
        WHEN 20 THEN 'cancelled' ELSE 'failed' END, 1
    FROM pggit.alert_events WHERE id % 10 = 0
    """,
    "ANALYZE",
    f"""
    UPDATE pg_class c SET reltuples = c.reltuples * {TOLD / ROWS}
    FROM pg_class t LEFT JOIN pg_index i ON i.indrelid = t.oid
    WHERE t.oid = ANY(ARRAY[{", ".join(f"'pggit.{table}'" for table in LARGE)}]::regclass[])
        AND (c.oid = t.oid AND i.indisprimary OR c.oid = i.indexrelid)
    """,  # noqa: S608 - names of ours
]


@dataclass
class Lists:
    """Asks for a page, and tells how it was read."""

    database: Database
    plans: list[str]

    def alerts(self, limit: int = 50, before: int | None = None, **filters: Any) -> Page[Any]:
        with self.database.session() as session:
            return alert_lists.list_alerts(session, filters, PageRequest(limit, before))

    def deliveries(self, **filters: Any) -> Page[Any]:
        with self.database.session() as session:
            return deliveries.list_deliveries(session, filters, PageRequest(50))


@pytest.fixture(scope="module")
def lists(servers: Servers, database_url: str) -> Iterator[Lists]:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
        url = _another(servers.database_url, DATABASE)
        with psycopg.connect(url, autocommit=True) as own:
            own.execute("SET synchronous_commit = off")
            for statement in _SPREAD + _FILL:
                own.execute(statement.encode())
        driver = url.replace("postgresql://", "postgresql+psycopg://")
        database = Database(driver, pool_min=1, pool_max=2)
        plans: list[str] = []

        def explain(
            _connection: Any, cursor: Any, statement: str, values: Any, *_more: Any
        ) -> None:
            if statement.lstrip().startswith(("SELECT", "WITH")):
                with cursor.connection.cursor() as other:
                    rows = other.execute(f"EXPLAIN {statement}", values).fetchall()
                plans.append("\n".join(row[0] for row in rows))

        event.listen(database.engine, "before_cursor_execute", explain)
        yield Lists(database, plans)
        database.close()
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def read_badly(plan: str, rows_sorted_at_most: int = 2 * EXACT_UP_TO) -> list[str]:
    """Where a plan goes through a large table from end to end, or sorts many rows."""
    scans = [
        line.strip()
        for line in plan.splitlines()
        if re.search(rf"Seq Scan on ({'|'.join(LARGE)})", line)
    ]
    sorts = [
        line.strip()
        for line in plan.splitlines()
        if re.search(r"\bSort\b.*\(cost", line)
        and int(re.search(r"rows=(\d+)", line)[1]) > rows_sorted_at_most  # type: ignore[index]
    ]
    return scans + sorts


HOUR = timedelta(hours=1)
ALERT_FILTERS: list[Mapping[str, Any]] = [
    {},
    {"status": "pending"},
    {"status": "resolved"},
    {"severity": "critical"},
    {"source": "source-7"},
    {"source": "nobody"},
    {"since": NOW - 5 * HOUR},
    {"until": NOW - 50 * HOUR},
    {"since": NOW - 40 * HOUR, "until": NOW - 5 * HOUR},
    {"until": NOW - 50 * HOUR, "status": "resolved"},
    {"status": "pending", "severity": "critical"},
    {"q": "nowhere"},
    {"q": "alert 99", "severity": "info"},
]


@pytest.mark.parametrize("filters", ALERT_FILTERS, ids=str)
@pytest.mark.parametrize("before", [None, ROWS // 2])
def test_no_list_of_alerts_reads_or_sorts_them_all(
    lists: Lists, filters: Mapping[str, Any], before: int | None
) -> None:
    lists.plans.clear()
    lists.alerts(before=before, **filters)
    assert lists.plans
    for plan in lists.plans:
        assert not read_badly(plan), plan


@pytest.mark.parametrize(
    "filters",
    [{}, {"webhook_id": 7}, {"webhook_id": 7, "status": "failed"}, {"alert_id": 5000}]
    + [{"status": one} for one in ("pending", "retrying", "delivered", "failed", "cancelled")],
    ids=str,
)
def test_no_list_of_deliveries_reads_or_sorts_them_all(
    lists: Lists, filters: Mapping[str, Any]
) -> None:
    lists.plans.clear()
    lists.deliveries(**filters)
    assert lists.plans
    for plan in lists.plans:
        assert not read_badly(plan), plan


def test_what_was_delivered_is_not_looked_for_in_the_queue(lists: Lists) -> None:
    lists.plans.clear()
    lists.deliveries(status="delivered")
    assert not any("alert_delivery_queue" in plan for plan in lists.plans)


class TestPages:
    def test_a_total_is_exact_up_to_a_bound_and_estimated_beyond(self, lists: Lists) -> None:
        pending, everything = lists.alerts(status="pending"), lists.alerts()
        assert (pending.total, pending.total_is_exact) == (ROWS // 100, True)
        assert not everything.total_is_exact
        assert everything.total > EXACT_UP_TO
        resolved = lists.alerts(status="resolved")
        assert not resolved.total_is_exact
        assert EXACT_UP_TO < resolved.total < everything.total
        assert not lists.deliveries().total_is_exact

    def test_times_end_where_they_say(self, lists: Lists) -> None:
        since, until = NOW - 3 * HOUR, NOW - 2 * HOUR
        page, found = lists.alerts(limit=100, since=since, until=until), []
        while True:
            found += page.items
            if page.next_before is None:
                break
            page = lists.alerts(limit=100, before=page.next_before, since=since, until=until)
        times = [one["created_at"] for one in found]
        assert times == sorted(times, reverse=True)
        assert min(times) - since < timedelta(seconds=10)
        assert until - max(times) <= timedelta(seconds=10)
        assert len(found) == page.total == 360

    def test_a_search_goes_on_from_where_it_had_to_stop(self, lists: Lists) -> None:
        """The only one is farther back than one search reads."""
        page, asked = lists.alerts(q="alert 5000"), 1
        assert (page.items, page.total_is_exact) == ([], False)
        while not page.items and page.next_before is not None:
            page, asked = lists.alerts(q="alert 5000", before=page.next_before), asked + 1
        assert [one["title"] for one in page.items] == ["alert 5000"]
        assert asked == 1 + (ROWS - 5000) // alert_lists.SEARCHED_ROWS

    def test_a_page_beyond_the_end_is_empty_and_knows_the_total(self, lists: Lists) -> None:
        page = lists.alerts(before=1, status="pending")
        assert (page.items, page.total, page.next_before) == ([], ROWS // 100, None)
