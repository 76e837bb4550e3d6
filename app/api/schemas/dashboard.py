"""Shapes of what a dashboard shows beside the lists."""

from marshmallow import Schema, fields, validate

from app.api.schemas.alerts import AlertSchema
from app.api.schemas.fields import moment
from app.domain.health import HealthStatus

MAX_WEBHOOKS = 500
MAX_ALERTS = 100


class GridQuery(Schema):
    limit = fields.Integer(
        load_default=100,
        validate=validate.Range(min=1, max=MAX_WEBHOOKS),
        metadata={"description": "At most so many webhooks, the newest."},
    )


class OpenAlertsQuery(Schema):
    limit = fields.Integer(
        load_default=20,
        validate=validate.Range(min=1, max=MAX_ALERTS),
        metadata={"description": "At most so many alerts, the newest."},
    )


class _Minute(Schema):
    at = moment(metadata={"description": "Where the minute begins."})
    count = fields.Integer(
        allow_none=True, metadata={"description": "Attempts; null where there was none."}
    )
    p50 = fields.Float(allow_none=True, metadata={"description": "Latency in ms."})
    p95 = fields.Float(allow_none=True)
    p99 = fields.Float(allow_none=True)


class DeliveriesByMinuteSchema(Schema):
    since = moment()
    until = moment()
    step = fields.Integer(metadata={"description": "Seconds of a point."})
    outcomes = fields.Dict(
        keys=fields.String(metadata={"enum": ["delivered", "failed"]}),
        values=fields.List(fields.Nested(_Minute)),
    )


class _Cell(Schema):
    id = fields.Integer()
    name = fields.String()
    is_active = fields.Boolean()
    health_status = fields.String(metadata={"enum": [status.value for status in HealthStatus]})
    changed_at = moment(allow_none=True)
    last_check_at = moment(allow_none=True)
    uptime_24h = fields.Float(
        allow_none=True, metadata={"description": "As in the webhook's health."}
    )
    bars = fields.List(
        fields.Float(allow_none=True),
        metadata={
            "description": "Of the last 24 hours, the oldest first: the part of the checks that"
            " passed, 0 to 1; null where none counts."
        },
    )


class WebhookGridSchema(Schema):
    items = fields.List(fields.Nested(_Cell))


class _Total(Schema):
    count = fields.Integer()
    is_exact = fields.Boolean()


class OpenAlertsSchema(Schema):
    items = fields.List(fields.Nested(AlertSchema))
    totals = fields.Dict(
        keys=fields.String(metadata={"enum": ["pending", "acknowledged"]}),
        values=fields.Nested(_Total),
    )
