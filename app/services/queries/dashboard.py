"""What a dashboard asks beside the lists. Job runs are those of `jobs.list`."""

from dataclasses import asdict
from typing import Any

from app.services import overview
from app.services.queries import tables
from app.services.queries.query import Arguments, Priority, Query, Reading
from app.services.status import queue_depth

# Ages grow by the clock, and whole minutes pass.
_LIVE_SECONDS = 2.0
_MINUTES_SECONDS = 10.0


def _queue(reading: Reading, _arguments: Arguments) -> dict[str, Any]:
    return asdict(queue_depth(reading.session))


def _deliveries(reading: Reading, _arguments: Arguments) -> dict[str, Any]:
    return overview.deliveries_by_minute(reading.session, reading.now)


def _webhooks(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return {"items": overview.webhook_grid(reading.session, reading.now, arguments["limit"])}


def _alerts(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return overview.open_alerts(reading.session, arguments["limit"])


QUEUE = Query(
    "dashboard.queue",
    frozenset({tables.QUEUE}),
    _queue,
    ttl=_LIVE_SECONDS,
    priority=Priority.CRITICAL,
)
DELIVERIES = Query(
    "dashboard.deliveries",
    frozenset({tables.SERIES, tables.METRIC_ROLLUPS}),
    _deliveries,
    ttl=_MINUTES_SECONDS,
    priority=Priority.CRITICAL,
)
WEBHOOK_GRID = Query(
    "dashboard.webhooks",
    frozenset({tables.WEBHOOKS, tables.HEALTH, tables.CHECK_ROLLUPS}),
    _webhooks,
    priority=Priority.HIGH,
)
OPEN_ALERTS = Query(
    "dashboard.alerts",
    frozenset({tables.ALERTS, tables.EVENTS, tables.QUEUE, tables.HISTORY}),
    _alerts,
    priority=Priority.CRITICAL,
)

QUERIES = (QUEUE, DELIVERIES, WEBHOOK_GRID, OPEN_ALERTS)
