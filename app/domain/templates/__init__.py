"""Templates: what a message looks like to a webhook's receiver. Only the body; never the headers.

Rendering is a pure function of the template and the message, so each attempt of a delivery is the
same message. It never fails: what a template can't render is sent in a plain form that says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from app.domain.templates import custom, shapes
from app.domain.templates.custom import TemplateFailed
from app.domain.templates.words import summary_of


class Shape(StrEnum):
    RAW = "raw"
    SLACK = "slack"
    MATTERMOST = "mattermost"
    DISCORD = "discord"
    PAGERDUTY = "pagerduty"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Template:
    """`text` is that of a custom one, `routing_key` the integration's of PagerDuty."""

    shape: Shape = Shape.RAW
    text: str | None = None
    routing_key: str | None = None


class Rendered(NamedTuple):
    """A body to send, JSON in UTF-8. With an `error` it is the plain form."""

    body: bytes
    error: str | None = None


RAW = Template()


def render(template: Template, body: bytes) -> Rendered:
    """What a receiver gets in place of `body`, which is a message as Tocsin makes it."""
    if template.shape is Shape.RAW:
        return Rendered(body)
    message: dict[str, Any] = orjson.loads(body)
    try:
        return Rendered(_shaped(template, message))
    except TemplateFailed as failure:
        return Rendered(_plain(message, str(failure)), str(failure))


def _shaped(template: Template, message: Mapping[str, Any]) -> bytes:
    match template.shape:
        case Shape.SLACK:
            return orjson.dumps(shapes.slack(message))
        case Shape.MATTERMOST:
            return orjson.dumps(shapes.mattermost(message))
        case Shape.DISCORD:
            return orjson.dumps(shapes.discord(message))
        case Shape.PAGERDUTY:
            return orjson.dumps(shapes.pagerduty(message, template.routing_key or ""))
        case _:
            return custom.render(template.text or "", message)


def _plain(message: Mapping[str, Any], reason: str) -> bytes:
    """The message itself, with the line that most chat services read: better an ugly alert than
    none."""
    line = f"{summary_of(message)} (the template of this webhook failed: {reason})"
    return orjson.dumps({**message, "text": line, "content": line, "template_error": reason})


def problems(template: Template) -> Mapping[str, list[str]]:
    """What is wrong with a template, by field: tried on a message of each kind."""
    if template.text is not None and template.shape is not Shape.CUSTOM:
        return {"text": ["Only a custom template has a text."]}
    if template.routing_key is not None and template.shape is not Shape.PAGERDUTY:
        return {"routing_key": ["Only PagerDuty has a routing key."]}
    if template.shape is Shape.PAGERDUTY and not template.routing_key:
        return {"routing_key": ["PagerDuty needs the routing key of an integration."]}
    if template.shape is not Shape.CUSTOM:
        return {}
    if not template.text:
        return {"text": ["A custom template needs a text."]}
    try:
        custom.check(template.text)
        for message in SAMPLES:
            custom.render(template.text, message)
    except TemplateFailed as failure:
        return {"text": [str(failure)]}
    return {}


_ALERT = {
    "id": 1,
    "title": 'Disk "almost" full',
    "message": "/var is at 97 %\nC:\\ too",
    "severity": "critical",
    "source": "node-exporter",
    "labels": {"host": "db-1", "team": "storage"},
    "dedup_key": "disk/db-1",
    "webhook_ids": None,
    "count": 1,
    "status": "pending",
    "created_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
    "expires_at": None,
    "acknowledged_by": None,
    "acknowledged_at": None,
    "resolved_by": None,
    "resolved_at": None,
    "snoozed_by": None,
    "snoozed_until": None,
}
_LISTED = ("id", "title", "severity", "status", "labels")
_AT = "2026-01-01T00:00:00+00:00"
# One of each kind of message, and what a template trips over: no message, no labels, a group.
SAMPLES: tuple[Mapping[str, Any], ...] = (
    {"type": "alert.firing", "timestamp": _AT, "data": _ALERT},
    {
        "type": "alert.acknowledged",
        "timestamp": _AT,
        "data": {**_ALERT, "status": "acknowledged", "acknowledged_by": "ada"},
    },
    {
        "type": "alert.resolved",
        "timestamp": _AT,
        "data": {**_ALERT, "status": "resolved", "message": None, "source": None, "labels": {}},
    },
    {
        "type": "alert.firing",
        "timestamp": _AT,
        "data": {
            **_ALERT,
            "group": {
                "rule": "storage",
                "labels": {"team": "storage"},
                "count": 2,
                "alerts": [{name: _ALERT[name] for name in _LISTED}] * 2,
            },
        },
    },
    {"type": "webhook.ping", "timestamp": _AT, "data": {"webhook_id": 1, "name": "on-call"}},
)
