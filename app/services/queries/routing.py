"""Routing rules, silences and inhibition rules."""

from typing import Any

from app.services import inhibition_rules, routing_rules, silences
from app.services.paging import Page, PageRequest
from app.services.presenters.analytics import present_silence
from app.services.presenters.rows import present_inhibition_rule, present_routing_rule
from app.services.queries import tables
from app.services.queries.query import Arguments, Priority, Query, Reading, listed

# A silence begins and ends by the clock: that it did is not seen for so long.
_SILENCE_SECONDS = 2.0


def _routing_rules(reading: Reading, _filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return routing_rules.list_rules(reading.session, request)


def _routing_rule(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_routing_rule(routing_rules.get_rule(reading.session, arguments["id"]))


def _inhibition_rules(
    reading: Reading, _filters: dict[str, Any], request: PageRequest
) -> Page[Any]:
    return inhibition_rules.list_rules(reading.session, request)


def _inhibition_rule(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_inhibition_rule(inhibition_rules.get_rule(reading.session, arguments["id"]))


def _silences(reading: Reading, filters: dict[str, Any], request: PageRequest) -> Page[Any]:
    return silences.list_silences(reading.session, reading.now, filters, request)


def _silence(reading: Reading, arguments: Arguments) -> dict[str, Any]:
    return present_silence(silences.get_silence(reading.session, reading.now, arguments["id"]))


_ROUTING = frozenset({tables.ROUTING_RULES})
_INHIBITION = frozenset({tables.INHIBITION_RULES})
_SILENCES = frozenset({tables.SILENCES})

ROUTING_RULE_LIST = Query(
    "routing-rules.list",
    _ROUTING,
    listed(_routing_rules, present_routing_rule),
    priority=Priority.LOW,
)
ROUTING_RULE = Query("routing-rules.get", _ROUTING, _routing_rule)
INHIBITION_RULE_LIST = Query(
    "inhibition-rules.list",
    _INHIBITION,
    listed(_inhibition_rules, present_inhibition_rule),
    priority=Priority.LOW,
)
INHIBITION_RULE = Query("inhibition-rules.get", _INHIBITION, _inhibition_rule)
SILENCE_LIST = Query(
    "silences.list", _SILENCES, listed(_silences, present_silence), ttl=_SILENCE_SECONDS
)
SILENCE = Query("silences.get", _SILENCES, _silence, ttl=_SILENCE_SECONDS)

QUERIES = (
    ROUTING_RULE_LIST,
    ROUTING_RULE,
    INHIBITION_RULE_LIST,
    INHIBITION_RULE,
    SILENCE_LIST,
    SILENCE,
)
