"""Webhooks and their health."""

from typing import Any

from app.services import health_reports, webhooks
from app.services.paging import Page, PageRequest
from app.services.presenters.webhooks import (
    present_check,
    present_health,
    present_timeline,
    present_webhook,
)
from app.services.queries import tables
from app.services.queries.query import Arguments, Priority, Query, Reading, listed

# What is told with "now" in it, as the days that a certificate has left.
_BY_THE_CLOCK_SECONDS = 10.0


def _webhooks(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return webhooks.list_webhooks(reading.session, reading.cipher, filters, request)


def _webhook(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_webhook(webhooks.get_webhook(reading.session, reading.cipher, arguments["id"]))


def _health(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_health(
        health_reports.health_report(reading.session, arguments["id"]), reading.now
    )


def _history(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    webhook_id = filters.pop("id")
    return health_reports.health_history(reading.session, webhook_id, filters, request)


def _timeline(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    filters = dict(arguments)
    webhook_id, step = filters.pop("id"), filters.pop("step")
    timeline = health_reports.health_timeline(reading.session, webhook_id, filters, step)
    return present_timeline(webhook_id, timeline)


_READS = frozenset({tables.WEBHOOKS, tables.HEALTH})
# Headers are encrypted at rest, since they often carry somebody's token, and shown in clear.
WEBHOOK_LIST = Query(
    "webhooks.list",
    _READS,
    listed(_webhooks, present_webhook),
    priority=Priority.HIGH,
    shared=False,
)
WEBHOOK = Query("webhooks.get", _READS, _webhook, priority=Priority.MEDIUM, shared=False)
HEALTH = Query(
    "webhooks.health", _READS | {tables.CHECK_ROLLUPS}, _health, ttl=_BY_THE_CLOCK_SECONDS
)
HEALTH_HISTORY = Query(
    "webhooks.health-history",
    frozenset({tables.WEBHOOKS, tables.CHECKS}),
    listed(_history, present_check),
)
HEALTH_TIMELINE = Query(
    "webhooks.health-timeline",
    frozenset({tables.WEBHOOKS, tables.CHECK_ROLLUPS}),
    _timeline,
    ttl=_BY_THE_CLOCK_SECONDS,
)

QUERIES = (WEBHOOK_LIST, WEBHOOK, HEALTH, HEALTH_HISTORY, HEALTH_TIMELINE)
