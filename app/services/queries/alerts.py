"""Alerts and deliveries."""

from typing import Any

from app.adapters.asking import Asking
from app.services import alert_lists, alerts, deliveries, webhooks
from app.services.paging import Page, PageRequest, page_answer
from app.services.presenters.deliveries import (
    present_alert,
    present_delivery,
)
from app.services.queries import tables
from app.services.queries.query import (
    Arguments,
    AtOnce,
    Priority,
    Query,
    Reading,
    Seen,
    listed,
    page_request,
)

_WITH_COUNTS = frozenset({tables.ALERTS, tables.EVENTS, tables.QUEUE, tables.HISTORY})
_WITH_ATTEMPTS = frozenset({tables.EVENTS, tables.QUEUE, tables.HISTORY, tables.ATTEMPTS})


def _alert(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    alert = alerts.get_alert(reading.session, arguments["id"])
    counts = alerts.delivery_counts(reading.session, [alert.id])
    return present_alert(alert, counts.get(alert.id, {}))


def _alerts(ask: Asking, arguments: Arguments) -> Seen:
    found = alert_lists.page_of_alerts(ask, *page_request(arguments))
    return Seen(page_answer(found.page, found.page.items), found.snapshot, found.now)


def _deliveries(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return deliveries.list_deliveries(reading.session, filters, request)


def _of_alert(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    alerts.get_alert(reading.session, filters["alert_id"])
    return deliveries.list_deliveries(reading.session, filters, request)


def _of_webhook(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    webhooks.get_row(reading.session, filters["webhook_id"])
    return deliveries.list_deliveries(reading.session, filters, request)


def _delivery(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_delivery(deliveries.get_delivery(reading.session, arguments["id"]))


ALERT_LIST = Query("alerts.list", _WITH_COUNTS, AtOnce(_alerts), priority=Priority.HIGH)
ALERT = Query("alerts.get", _WITH_COUNTS, _alert, priority=Priority.MEDIUM)
ALERT_DELIVERIES = Query(
    "alerts.deliveries", _WITH_ATTEMPTS | {tables.ALERTS}, listed(_of_alert, present_delivery)
)
WEBHOOK_DELIVERIES = Query(
    "webhooks.deliveries", _WITH_ATTEMPTS | {tables.WEBHOOKS}, listed(_of_webhook, present_delivery)
)
DELIVERY_LIST = Query(
    "deliveries.list",
    _WITH_ATTEMPTS,
    listed(_deliveries, present_delivery),
    priority=Priority.MEDIUM,
)
DELIVERY = Query("deliveries.get", _WITH_ATTEMPTS, _delivery)

QUERIES = (ALERT_LIST, ALERT, ALERT_DELIVERIES, WEBHOOK_DELIVERIES, DELIVERY_LIST, DELIVERY)
